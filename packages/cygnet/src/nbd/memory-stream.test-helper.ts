import { BufferPool } from '../base/pool.ts'
import type { NbdStream, NbdStreamHandler } from './nbd-stream.ts'

/** One end of a stream that keeps what is written to it. */
export class MemoryStream implements NbdStream {
  readonly peer = 'memory'
  isPaused = false
  isEnded = false
  isDestroyed = false
  /** Where set, what was written stays in the way until `release`. */
  holdsBack = false
  readonly #held: (() => void)[] = []
  #bytes: Uint8Array[] = []

  get queuedBytes(): number {
    return this.#held.length
  }

  write(chunks: readonly Uint8Array[], sent?: () => void): void {
    for (const chunk of chunks) this.#bytes.push(chunk.slice())
    if (!sent) return
    if (this.holdsBack) this.#held.push(sent)
    else queueMicrotask(sent)
  }

  release(): void {
    for (const sent of this.#held.splice(0)) sent()
  }

  /** What was written since the last call. */
  taken(): Uint8Array {
    const all = Buffer.concat(this.#bytes)
    this.#bytes = []
    return new Uint8Array(all)
  }

  pause(): void {
    this.isPaused = true
  }
  resume(): void {
    this.isPaused = false
  }
  end(): void {
    this.isEnded = true
  }
  destroy(): void {
    this.isDestroyed = true
  }
}

const pool = new BufferPool({ poison: true })

/** Hands bytes to a handler in pieces of `pieceBytes`, in memory that is used again at once. */
export function feed(handler: NbdStreamHandler, bytes: Uint8Array, pieceBytes = bytes.length): void {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = bytes.subarray(at, at + pieceBytes)
    const segment = pool.take(Math.max(1, piece.length))
    segment.bytes.set(piece)
    handler.received(segment, 0, piece.length)
    segment.release()
  }
}

/** Lets everything that needs no time happen. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Fields one after the other: a number is 32 bits, a bigint 64, `[n]` 16 bits, a string its bytes. */
export function pack(
  ...fields: readonly (number | bigint | readonly [number] | string | Uint8Array)[]
): Uint8Array {
  const parts = fields.map((field) => {
    if (field instanceof Uint8Array) return field
    if (typeof field === 'string') return new TextEncoder().encode(field)
    const bytes = new Uint8Array(typeof field === 'number' ? 4 : typeof field === 'bigint' ? 8 : 2)
    const view = new DataView(bytes.buffer)
    if (typeof field === 'number') view.setUint32(0, field)
    else if (typeof field === 'bigint') view.setBigUint64(0, field)
    else view.setUint16(0, field[0])
    return bytes
  })
  return new Uint8Array(Buffer.concat(parts))
}
