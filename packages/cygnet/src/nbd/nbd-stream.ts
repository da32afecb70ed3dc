import type { PooledBuffer } from '../base/pool.ts'

/** Bytes to the other end, in order. */
export interface NbdStream {
  /** The other end, for messages. */
  readonly peer: string
  /** Written, and not yet taken by the system. */
  readonly queuedBytes: number
  /** `sent` runs when the chunks' memory is not needed any more, however that came about. */
  write(chunks: readonly Uint8Array[], sent?: () => void): void
  /** Nothing is to be received for now; what is on its way may still come. */
  pause(): void
  resume(): void
  /** Sends what was written, then closes. */
  end(): void
  /** Closes at once. */
  destroy(): void
}

/** What comes from the other end. */
export interface NbdStreamHandler {
  /** Bytes [start, end) of a segment, which is used again afterwards. */
  received(segment: PooledBuffer, start: number, end: number): void
  /** What was written has been taken by the system. */
  drained(): void
  /** Nothing more comes, and nothing more can be sent. Once. */
  closed(reason: string): void
}
