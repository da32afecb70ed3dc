import type { DiskCommands } from './disk-commands.ts'
import { optional } from './disk-facts.ts'
import { inParts } from './in-parts.ts'
import type { WholeBlocks } from './partial-blocks.ts'

/** What a disk's caches are like at the moment. */
export interface CacheModes {
  /** WCE; undefined where the unit does not say. */
  readonly writeCache: boolean | undefined
  /** FUA works. */
  readonly fua: boolean
}

/** Reads and writes of whole blocks, in commands that the unit takes. */
export class DiskTransfers implements WholeBlocks {
  readonly blockSizeBytes: number
  /** Most blocks of one command. */
  readonly transferBlocks: number
  readonly #commands: DiskCommands
  readonly #modes: () => CacheModes

  constructor(
    commands: DiskCommands,
    blockSizeBytes: number,
    transferBlocks: number,
    modes: () => CacheModes,
  ) {
    this.#commands = commands
    this.blockSizeBytes = blockSizeBytes
    this.transferBlocks = transferBlocks
    this.#modes = modes
  }

  async readBlocks(start: number, into: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const block = this.blockSizeBytes
    const lba = start / block
    if (into.length <= this.transferBlocks * block) return this.#commands.read(lba, into, signal)
    await inParts(lba, lba + into.length / block, this.transferBlocks, (from, to) =>
      this.#commands.read(from, into.subarray((from - lba) * block, (to - lba) * block), signal),
    )
  }

  async writeBlocks(
    start: number,
    bytes: Uint8Array,
    fua: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const block = this.blockSizeBytes
    const lba = start / block
    const hasFua = fua && this.#modes().fua
    await inParts(lba, lba + bytes.length / block, this.transferBlocks, (from, to) =>
      this.#commands.write(from, bytes.subarray((from - lba) * block, (to - lba) * block), hasFua, signal),
    )
    if (fua && !hasFua) await this.makeDurable(start, start + bytes.length, signal)
  }

  /** Flushes bytes [start, end) of the write cache; all of it with 0 and 0. A unit that cannot flush has no cache. */
  async makeDurable(start: number, end: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#modes().writeCache === false) return
    const block = this.blockSizeBytes
    await optional(this.#commands.synchronizeCache(start / block, (end - start) / block, signal))
  }
}
