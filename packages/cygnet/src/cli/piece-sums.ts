import { crc32c } from '../base/crc32c.ts'

const PIECE_BYTES = 1024 * 1024

/** CRC32C of every MiB of a stream: 4 bytes for each, to compare with when it is read again. */
export class PieceSums {
  readonly sums: number[] = []
  #lengthBytes = 0

  get lengthBytes(): number {
    return this.#lengthBytes
  }

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const inPiece = this.#lengthBytes % PIECE_BYTES
      const end = Math.min(bytes.length, at + PIECE_BYTES - inPiece)
      const index = Math.floor(this.#lengthBytes / PIECE_BYTES)
      this.sums[index] = crc32c(bytes, at, end, this.sums[index] ?? 0)
      this.#lengthBytes += end - at
      at = end
    }
  }

  /** Where the first piece begins that is another one; undefined where all are the same. */
  differsFrom(other: PieceSums): number | undefined {
    const index = this.sums.findIndex((sum, i) => sum !== other.sums[i])
    if (index >= 0) return index * PIECE_BYTES
    return this.#lengthBytes === other.lengthBytes
      ? undefined
      : Math.min(this.#lengthBytes, other.lengthBytes)
  }

  /** A stage of a pipe that lets everything through and sums it. */
  tap(onBytes?: (totalBytes: number) => void): TransformStream<Uint8Array, Uint8Array> {
    return new TransformStream({
      transform: (chunk, controller) => {
        this.add(chunk)
        onBytes?.(this.#lengthBytes)
        controller.enqueue(chunk)
      },
    })
  }
}
