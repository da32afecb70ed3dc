import type { BlockDevice } from '../initiator/block-device.ts'
import { LoadMeter } from './load.ts'
import { SECTOR_BYTES, type VerifyPattern } from './verify-pattern.ts'

export interface VerifyOptions {
  /** The part of the device that is used, in bytes; a multiple of `blockBytes`. */
  readonly spanBytes: number
  /** Bytes of one request, a multiple of 512. */
  readonly blockBytes: number
  readonly depth: number
  readonly pattern: VerifyPattern
  /** 0..1, without 1. */
  random(): number
  /** True: enough of random requests; what was written is read once more then. */
  isOver(): boolean
}

/** What a run needs of a block device. */
export type VerifiedDevice = Pick<BlockDevice, 'write' | 'flush'> & {
  read(offset: number, into: Uint8Array): Promise<Uint8Array>
}

/** The first wrong byte, and whose it was. */
export interface Wrong {
  readonly offset: number
  readonly found: string
  readonly expected: string
}

/** Of a request that was made: even odds for a write where the block was written before, else it is written. */
const WRITE_SHARE = 0.5

/**
 * Writes self-describing blocks to random places and reads them back, many at a time but never two to one block, so
 * that what each must hold is known exactly. At the end everything that was written is read once more.
 */
export class VerifyRun {
  readonly meter = new LoadMeter()
  readonly #device: VerifiedDevice
  readonly #options: VerifyOptions
  /** How often each block was written; a block that is under way is in the set. */
  readonly #generations: Uint32Array
  readonly #underWay = new Set<number>()
  #wrong: Wrong | undefined
  #checkedBytes = 0
  #readBackBlocks: number | undefined

  constructor(device: VerifiedDevice, options: VerifyOptions) {
    this.#device = device
    this.#options = options
    this.#generations = new Uint32Array(options.spanBytes / options.blockBytes)
  }

  /** Bytes that were read and looked at. */
  get checkedBytes(): number {
    return this.#checkedBytes
  }

  /** How far the last reading of everything is, 0 to 1; undefined before it. */
  get readBackPart(): number | undefined {
    return this.#readBackBlocks === undefined ? undefined : this.#readBackBlocks / this.#generations.length
  }

  /** The first wrong byte; undefined where there is none. */
  async run(): Promise<Wrong | undefined> {
    const options = this.#options
    const { depth } = options
    await this.#atOnce(depth, async (buffers) => {
      while (!options.isOver() && !this.#wrong) await this.#request(this.#choose(), buffers)
    })
    await this.#device.flush()
    let next = 0
    await this.#atOnce(depth, async (buffers) => {
      while (next < this.#generations.length && !this.#wrong) {
        const block = next++
        this.#readBackBlocks = block
        if (this.#generations[block] !== 0) await this.#check(block, buffers)
      }
    })
    return this.#wrong
  }

  async #atOnce(count: number, work: (buffers: Buffers) => Promise<void>): Promise<void> {
    const { blockBytes } = this.#options
    await Promise.all(
      Array.from({ length: Math.min(count, this.#generations.length) }, () =>
        work({ bytes: new Uint8Array(blockBytes), scratch: new Uint8Array(blockBytes) }),
      ),
    )
  }

  /** A block that nobody else has. */
  #choose(): number {
    const count = this.#generations.length
    let block = Math.floor(this.#options.random() * count)
    while (this.#underWay.has(block)) block = (block + 1) % count
    return block
  }

  async #request(block: number, buffers: Buffers): Promise<void> {
    const isWrite = this.#generations[block] === 0 || this.#options.random() < WRITE_SHARE
    this.#underWay.add(block)
    try {
      await (isWrite ? this.#write(block, buffers) : this.#check(block, buffers))
    } finally {
      this.#underWay.delete(block)
    }
  }

  async #write(block: number, { bytes }: Buffers): Promise<void> {
    const { blockBytes, pattern } = this.#options
    const generation = (this.#generations[block] ?? 0) + 1
    pattern.fillSectors(bytes, (block * blockBytes) / SECTOR_BYTES, generation)
    const startMs = performance.now()
    await this.#device.write(block * blockBytes, bytes)
    this.meter.ended(startMs, blockBytes)
    this.#generations[block] = generation
  }

  async #check(block: number, { bytes, scratch }: Buffers): Promise<void> {
    const { blockBytes, pattern } = this.#options
    const offset = block * blockBytes
    const generation = this.#generations[block] ?? 0
    const startMs = performance.now()
    await this.#device.read(offset, bytes)
    this.meter.ended(startMs, blockBytes)
    this.#checkedBytes += blockBytes
    const first = offset / SECTOR_BYTES
    const wrongAt = pattern.firstWrong(bytes, first, generation, scratch)
    if (wrongAt === undefined || (this.#wrong && this.#wrong.offset < offset)) return
    const sectorAt = wrongAt - (wrongAt % SECTOR_BYTES)
    const sector = first + sectorAt / SECTOR_BYTES
    this.#wrong = {
      offset: offset + wrongAt,
      found: pattern.describe(bytes.subarray(sectorAt, sectorAt + SECTOR_BYTES), sector, generation),
      expected: `sector ${sector}, written ${generation} ${generation === 1 ? 'time' : 'times'}`,
    }
  }
}

interface Buffers {
  readonly bytes: Uint8Array
  readonly scratch: Uint8Array
}
