import type { OnReadOpts } from 'node:net'
import type { BufferPool, PooledBuffer } from '../base/pool.ts'

/** Bytes [start, end) of a pooled segment came in. Who keeps views of them retains the segment. */
export type Received = (segment: PooledBuffer, start: number, end: number) => void

/** A new segment is taken when less than this part of the old one is left. */
const LEAST_PART = 1 / 8
/** What a connection has that is idle, or moves little. */
const SMALL_SEGMENT_BYTES = 8 * 1024
/** A read that leaves most of a small segment free. */
const SHORT_READ_BYTES = SMALL_SEGMENT_BYTES / 4
/** After so many of them in a row, a small segment is enough. */
const SHORT_READS = 8

/**
 * Pooled segments that a socket is read into, each filled before the next is taken. They are small until a read fills one,
 * and again when little comes: a thousand idle connections must not cost much.
 */
export class ReceiveSegments {
  /** Size of the segments where much is received, from the next one on: a power of two. */
  largestBytes: number
  /** For a socket that reads into our memory: `node:net`'s `onread`. */
  readonly onRead: OnReadOpts
  readonly #pool: BufferPool
  readonly #received: Received
  #segment: PooledBuffer
  #end = 0
  #wantsLarge = false
  #shortReads = 0
  #isClosed = false

  constructor(pool: BufferPool, largestBytes: number, received: Received) {
    this.#pool = pool
    this.largestBytes = largestBytes
    this.#received = received
    this.#segment = pool.take(this.#wantedBytes)
    this.onRead = {
      buffer: () => this.#room(),
      callback: (lengthBytes) => this.#arrived(lengthBytes),
    }
  }

  /** For a stream that hands out memory of its own. */
  copyIn(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && !this.#isClosed; ) {
      const room = this.#room()
      const part = chunk.subarray(at, at + room.length)
      room.set(part)
      at += part.length
      this.#arrived(part.length)
    }
  }

  /** For bytes that somebody else has read: the current segment may be where the socket reads to just now. */
  replay(bytes: Uint8Array): void {
    const segment = this.#pool.take(bytes.length)
    segment.bytes.set(bytes)
    this.#received(segment, 0, bytes.length)
    segment.release()
  }

  /** Nothing more comes. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#segment.release()
  }

  get #wantedBytes(): number {
    return this.#wantsLarge ? this.largestBytes : Math.min(this.largestBytes, SMALL_SEGMENT_BYTES)
  }

  #room(): Uint8Array {
    const { bytes, references } = this.#segment
    // Nobody keeps views of it: the same memory again, which is in the processor's cache.
    if (references === 1 && bytes.length === this.#wantedBytes) {
      this.#end = 0
      return bytes
    }
    if (references === 1 || bytes.length - this.#end < bytes.length * LEAST_PART) {
      this.#segment.release()
      this.#segment = this.#pool.take(this.#wantedBytes)
      this.#end = 0
    }
    return this.#segment.bytes.subarray(this.#end)
  }

  #arrived(lengthBytes: number): boolean {
    if (this.#isClosed) return false
    const start = this.#end
    this.#end += lengthBytes
    this.#watch(lengthBytes)
    this.#received(this.#segment, start, this.#end)
    return true
  }

  #watch(lengthBytes: number): void {
    if (lengthBytes > SHORT_READ_BYTES) this.#shortReads = 0
    else if (++this.#shortReads >= SHORT_READS) this.#wantsLarge = false
    if (this.#end === this.#segment.bytes.length) this.#wantsLarge = true
  }
}
