/** Gathers a piece of known length from the bytes of a stream. */
export class ByteCollector {
  /** Valid when `isFull`; used again for the next piece. */
  #bytes: Uint8Array
  #view: DataView
  #neededBytes = 0
  #haveBytes = 0

  constructor(capacityBytes: number) {
    this.#bytes = new Uint8Array(capacityBytes)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** Begins a piece. */
  expect(lengthBytes: number): void {
    if (lengthBytes > this.#bytes.length) {
      this.#bytes = new Uint8Array(lengthBytes)
      this.#view = new DataView(this.#bytes.buffer)
    }
    this.#neededBytes = lengthBytes
    this.#haveBytes = 0
  }

  get isFull(): boolean {
    return this.#haveBytes === this.#neededBytes
  }

  get isEmpty(): boolean {
    return this.#haveBytes === 0
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#neededBytes)
  }

  get view(): DataView {
    return this.#view
  }

  /** Takes what it needs of bytes [at, end); where the rest begins. */
  take(from: Uint8Array, at: number, end: number): number {
    const lengthBytes = Math.min(this.#neededBytes - this.#haveBytes, end - at)
    // Byte by byte: pieces are short, and a view of them costs more.
    if (lengthBytes <= 64) {
      for (let i = 0; i < lengthBytes; i++) this.#bytes[this.#haveBytes + i] = from[at + i] ?? 0
    } else this.#bytes.set(from.subarray(at, at + lengthBytes), this.#haveBytes)
    this.#haveBytes += lengthBytes
    return at + lengthBytes
  }
}
