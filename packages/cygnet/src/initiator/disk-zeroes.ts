import type { DiskCommands } from './disk-commands.ts'
import { type DiskFacts, isRefusal } from './disk-facts.ts'
import { inParts } from './in-parts.ts'

/** One WRITE SAME must not take so long that it looks lost: a device may really write all this. */
const WRITTEN_BYTES_MAX = 64 * 1024 * 1024
/** And this, where it only releases the space. */
const RELEASED_BYTES_MAX = 1024 * 1024 * 1024
/** Where a device tells no limit, what the field of WRITE SAME (10) holds is safe. */
const UNTOLD_BLOCKS_MAX = 0xffff
const UNMAP_BLOCKS_END = 0xffff_ffff
/** Written at once, where there is no WRITE SAME. */
const PATTERN_BYTES = 256 * 1024

/** Ways to fill blocks, the cheapest first; what a device refuses is not tried again. */
const ways = ['unmap', 'same', 'write'] as const
type Way = (typeof ways)[number]

/** Filling, zeroing and releasing of whole blocks. */
export class DiskZeroes {
  readonly #commands: DiskCommands
  readonly #facts: DiskFacts
  #refused = new Set<Way>()

  constructor(commands: DiskCommands, facts: DiskFacts) {
    this.#commands = commands
    this.#facts = facts
    if (facts.provisioning?.writeSame16Unmap !== true || !facts.provisioning.unmappedReadsZero)
      this.#refused.add('unmap')
  }

  /** Zeroing is cheaper than writing zeroes, as far as is known. */
  get isCheap(): boolean {
    return !this.#refused.has('unmap') || !this.#refused.has('same')
  }

  /** UNMAP within the limits of page B0h. */
  async unmap(lba: number, end: number, signal: AbortSignal | undefined): Promise<void> {
    const limit = this.#facts.limits?.unmapBlocks ?? 0
    const blocks = limit === 0 ? UNMAP_BLOCKS_END : Math.min(limit, UNMAP_BLOCKS_END)
    await inParts(lba, end, blocks, (from, to) => this.#commands.unmap(from, to - from, signal))
  }

  async zero(lba: number, end: number, mayUnmap: boolean, signal: AbortSignal | undefined): Promise<void> {
    await this.fill(lba, end, new Uint8Array(this.#facts.capacity.blockBytes), mayUnmap, signal)
  }

  /** `mayUnmap`: `block` is zeroes. */
  async fill(
    lba: number,
    end: number,
    block: Uint8Array,
    mayUnmap: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for (const way of ways) {
      if (this.#refused.has(way) || (way === 'unmap' && !mayUnmap)) continue
      try {
        // oxlint-disable-next-line no-await-in-loop -- the next way is for devices that refuse this one
        await this.#fillBy(way, lba, end, block, signal)
        return
      } catch (error) {
        if (way === 'write' || !isRefusal(error)) throw error
        this.#refused.add(way)
      }
    }
  }

  async #fillBy(
    way: Way,
    lba: number,
    end: number,
    block: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { blockBytes } = this.#facts.capacity
    if (way === 'write') {
      const pattern = repeated(block, Math.min((end - lba) * blockBytes, PATTERN_BYTES))
      return inParts(lba, end, pattern.length / blockBytes, (from, to) =>
        this.#commands.write(from, pattern.subarray(0, (to - from) * blockBytes), false, signal),
      )
    }
    const told = this.#facts.limits?.writeSameBlocks ?? 0
    const most = (way === 'unmap' ? RELEASED_BYTES_MAX : WRITTEN_BYTES_MAX) / blockBytes
    const blocks = Math.min(told === 0 ? UNTOLD_BLOCKS_MAX : told, most)
    return inParts(lba, end, blocks, (from, to) =>
      this.#commands.writeSame(from, to - from, block, way === 'unmap', signal),
    )
  }
}

function repeated(block: Uint8Array, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  for (let at = 0; at < lengthBytes; at += block.length) bytes.set(block, at)
  return bytes
}
