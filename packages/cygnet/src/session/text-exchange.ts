import { totalLength } from '../base/bytes.ts'
import { encodeText, parseText } from '../pdu/text.ts'
import type { Pair } from './negotiator.ts'

const EMPTY: Uint8Array = new Uint8Array(0)

export type TextResult =
  /** The C bit was set: more text follows. */
  | { readonly kind: 'partial' }
  | { readonly kind: 'complete'; readonly pairs: readonly Pair[] }
  | { readonly kind: 'error'; readonly reason: string }

/**
 * The text of one exchange, in both directions (RFC 7143 §6.1): collects logical text data segments that the C bit
 * spreads over PDUs, and cuts outgoing text into segments that the peer can take. Takes at most `limitBytes` of text
 * in all: what is remembered of a negotiation (keys used, answers) is in proportion to it.
 */
export class TextExchange {
  readonly #limitBytes: number
  /** Text that more follows, in one place: a peer may send it byte by byte. */
  #incoming = EMPTY
  #incomingBytes = 0
  #receivedBytes = 0
  #outgoing = EMPTY

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Takes the data segment of one PDU. The bytes are copied where they must be kept. */
  receive(data: readonly Uint8Array[], isContinued: boolean): TextResult {
    const lengthBytes = totalLength(data)
    this.#receivedBytes += lengthBytes
    if (this.#receivedBytes > this.#limitBytes) {
      return { kind: 'error', reason: `the text is longer than ${this.#limitBytes} bytes` }
    }
    if (isContinued) {
      for (const slice of data) this.#keep(slice)
      return { kind: 'partial' }
    }
    const parsed = parseText([this.#incoming.subarray(0, this.#incomingBytes), ...data])
    this.#incoming = EMPTY
    this.#incomingBytes = 0
    return parsed.ok ? { kind: 'complete', pairs: parsed.pairs } : { kind: 'error', reason: parsed.error }
  }

  /** Part of a logical text data segment has come. */
  get isReceiving(): boolean {
    return this.#incomingBytes > 0
  }

  #keep(slice: Uint8Array): void {
    const endBytes = this.#incomingBytes + slice.length
    if (endBytes > this.#incoming.length) {
      const larger = new Uint8Array(Math.max(endBytes, 2 * this.#incoming.length))
      larger.set(this.#incoming)
      this.#incoming = larger
    }
    this.#incoming.set(slice, this.#incomingBytes)
    this.#incomingBytes = endBytes
  }

  queue(pairs: readonly Pair[]): void {
    if (pairs.length === 0) return
    const text = encodeText(pairs)
    if (this.#outgoing.length === 0) {
      this.#outgoing = text
      return
    }
    const joined = new Uint8Array(this.#outgoing.length + text.length)
    joined.set(this.#outgoing)
    joined.set(text, this.#outgoing.length)
    this.#outgoing = joined
  }

  /** The next data segment to send, at most `limitBytes`; empty where there is none. */
  take(limitBytes: number): Uint8Array {
    const segment = this.#outgoing.subarray(0, limitBytes)
    this.#outgoing = this.#outgoing.subarray(segment.length)
    return segment
  }

  /** Text is left that did not fit: the C bit of the segment just taken. */
  get isSending(): boolean {
    return this.#outgoing.length > 0
  }
}
