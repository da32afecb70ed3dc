/**
 * The floor: what Node and the system alone take for the same bytes. A request is as long as an iSCSI header (and the data,
 * for a write), and so is an answer (and the data, for a read); nobody looks at what is in them. Whatever a target
 * takes more than this is its own.
 */
import type { Load } from './cases.ts'
import { writesOf } from './offsets.ts'

/** RFC 7143 §11.2.1: a basic header segment. */
export const HEADER_BYTES = 48

export interface Exchange {
  readonly requestBytes: number
  readonly answerBytes: number
}

export function exchangeOf({ pattern, blockBytes }: Pick<Load, 'pattern' | 'blockBytes'>): Exchange {
  return writesOf[pattern] > 0
    ? { requestBytes: HEADER_BYTES + blockBytes, answerBytes: HEADER_BYTES }
    : { requestBytes: HEADER_BYTES, answerBytes: HEADER_BYTES + blockBytes }
}

/** The first bytes on a connection say how long requests and answers are. */
export const GREETING_BYTES = 8

export function encodeGreeting({ requestBytes, answerBytes }: Exchange): Buffer {
  const greeting = Buffer.alloc(GREETING_BYTES)
  greeting.writeUInt32BE(requestBytes, 0)
  greeting.writeUInt32BE(answerBytes, 4)
  return greeting
}

export const decodeGreeting = (bytes: Buffer): Exchange => ({
  requestBytes: bytes.readUInt32BE(0),
  answerBytes: bytes.readUInt32BE(4),
})

/** Counts whole messages in a stream of bytes. */
export class MessageCounter {
  readonly #messageBytes: number
  #partBytes = 0

  constructor(messageBytes: number) {
    this.#messageBytes = messageBytes
  }

  /** How many messages end in the next so many bytes. */
  add(lengthBytes: number): number {
    const bytes = this.#partBytes + lengthBytes
    const whole = Math.floor(bytes / this.#messageBytes)
    this.#partBytes = bytes - whole * this.#messageBytes
    return whole
  }
}

/** Writes a number of equal messages with as few calls as memory allows: views of one block of noise. */
export class MessageWriter {
  readonly #block: Buffer
  readonly #messageBytes: number
  readonly #atOnce: number

  constructor(messageBytes: number) {
    this.#messageBytes = messageBytes
    this.#atOnce = Math.max(1, Math.floor(BLOCK_BYTES / messageBytes))
    this.#block = Buffer.alloc(this.#atOnce * messageBytes, 0xa5)
  }

  write(stream: { write(chunk: Uint8Array): unknown }, count: number): void {
    for (let left = count; left > 0; left -= this.#atOnce)
      stream.write(this.#block.subarray(0, Math.min(left, this.#atOnce) * this.#messageBytes))
  }
}

const BLOCK_BYTES = 2 ** 20
