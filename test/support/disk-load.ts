/** Writes and reads a block device at random in several places at once, and compares all that it reads with what it wrote there. */
import assert from 'node:assert/strict'
import type { BlockDevice } from '../../packages/cygnet/src/initiator.ts'
import type { Seeded } from './seeded.ts'

const BLOCK_BYTES = 512
const NOISE_BYTES = 1 << 20

export interface DiskLoadOptions {
  /** Requests at the same time; each worker has a part of the disk of its own. */
  readonly workers: number
  /** Of one worker. */
  readonly partBytes: number
  /** Longest request. */
  readonly mostBytes: number
}

export class DiskLoad {
  writes = 0
  reads = 0
  readonly #disk: BlockDevice
  readonly #random: Seeded
  readonly #options: DiskLoadOptions
  /** What each part holds. */
  readonly #parts: Buffer[]
  readonly #noise: Buffer

  constructor(disk: BlockDevice, random: Seeded, options: DiskLoadOptions) {
    this.#disk = disk
    this.#random = random
    this.#options = options
    this.#parts = Array.from({ length: options.workers }, () => Buffer.alloc(options.partBytes))
    this.#noise = random.bytes(NOISE_BYTES)
  }

  /** Runs until `isOver`. Rejects with the first error, or difference. */
  async run(isOver: () => boolean): Promise<void> {
    const failure = new AbortController()
    const worker = async (index: number): Promise<void> => {
      const part = this.#parts[index] as Buffer
      const start = index * this.#options.partBytes
      // What was there before is not known.
      await this.#disk.write(start, part)
      /* oxlint-disable no-await-in-loop -- each request of a worker follows the one before */
      while (!failure.signal.aborted && !isOver()) {
        if (this.#random.next() < 0.5) await this.#write(part, start)
        else await this.#compare(part, start)
      }
      /* oxlint-enable no-await-in-loop */
    }
    await Promise.all(
      this.#parts.map((_, index) =>
        worker(index).catch((error: unknown) => {
          failure.abort()
          throw error
        }),
      ),
    )
  }

  /** Reads and compares everything that was written. */
  async verify(): Promise<void> {
    for (const [index, part] of this.#parts.entries()) {
      // oxlint-disable-next-line no-await-in-loop -- the disk is not to be read all at once
      const found = await this.#disk.read(index * this.#options.partBytes, part.length)
      assert.ok(part.equals(found), `part ${index} is as it was written`)
    }
  }

  #range(): { offset: number; lengthBytes: number } {
    const lengthBytes = this.#random.between(1, this.#options.mostBytes / BLOCK_BYTES) * BLOCK_BYTES
    const last = (this.#options.partBytes - lengthBytes) / BLOCK_BYTES
    return { offset: this.#random.between(0, last) * BLOCK_BYTES, lengthBytes }
  }

  async #write(part: Buffer, start: number): Promise<void> {
    const { offset, lengthBytes } = this.#range()
    const from = this.#random.between(0, NOISE_BYTES - lengthBytes)
    const bytes = this.#noise.subarray(from, from + lengthBytes)
    await this.#disk.write(start + offset, bytes)
    bytes.copy(part, offset)
    this.writes++
  }

  async #compare(part: Buffer, start: number): Promise<void> {
    const { offset, lengthBytes } = this.#range()
    const found = await this.#disk.read(start + offset, lengthBytes)
    assert.ok(
      part.subarray(offset, offset + lengthBytes).equals(found),
      `${lengthBytes} bytes at ${start + offset}`,
    )
    this.reads++
  }
}
