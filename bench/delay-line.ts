/**
 * One direction of a slow network: chunks leave in order, a fixed time after they came. Sans I/O: time goes in, and what
 * is due comes out.
 *
 * What is on its way counts until its acknowledgement would be back, a whole round trip after it came; where that is as
 * much as the window, no more is taken, as a TCP sender would stop. So a connection carries at most one window in a
 * round trip.
 */
export class DelayLine {
  readonly #delayMs: number
  readonly #windowBytes: number
  readonly #chunks: { readonly bytes: Uint8Array; readonly dueMs: number }[] = []
  readonly #acknowledgements: { readonly lengthBytes: number; readonly dueMs: number }[] = []
  #flightBytes = 0

  /** `delayMs`: one way. */
  constructor(delayMs: number, windowBytes: number) {
    this.#delayMs = delayMs
    this.#windowBytes = windowBytes
  }

  /** Nothing more should be put in until time has passed. */
  get isFull(): boolean {
    return this.#flightBytes >= this.#windowBytes
  }

  /** When `take` has something to do next, in milliseconds; undefined: never. */
  get dueMs(): number | undefined {
    const chunk = this.#chunks[0]?.dueMs
    const acknowledgement = this.#acknowledgements[0]?.dueMs
    if (chunk === undefined || acknowledgement === undefined) return chunk ?? acknowledgement
    return Math.min(chunk, acknowledgement)
  }

  put(bytes: Uint8Array, nowMs: number): void {
    this.#flightBytes += bytes.length
    this.#chunks.push({ bytes, dueMs: nowMs + this.#delayMs })
  }

  /** The chunks that have arrived at the other end. */
  take(nowMs: number): Uint8Array[] {
    while ((this.#acknowledgements[0]?.dueMs ?? Infinity) <= nowMs)
      this.#flightBytes -= this.#acknowledgements.shift()?.lengthBytes ?? 0
    const arrived: Uint8Array[] = []
    while ((this.#chunks[0]?.dueMs ?? Infinity) <= nowMs) {
      const bytes = this.#chunks.shift()?.bytes
      if (bytes) arrived.push(bytes)
    }
    return arrived
  }

  /** The other end has taken so many of the bytes that arrived: the acknowledgement is on its way. */
  delivered(lengthBytes: number, nowMs: number): void {
    this.#acknowledgements.push({ lengthBytes, dueMs: nowMs + this.#delayMs })
  }
}
