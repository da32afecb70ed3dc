import { totalLength } from '../base/bytes.ts'
import type { Prng } from '../base/prng.ts'
import type { Done, Extent, StoreError } from '../store/backing-store.ts'
import type { DiskFile, DiskIO, OpenOptions } from '../store/disk-io.ts'
import type { EventQueue } from './event-queue.ts'

/** What is written to the medium in one piece, or not at all. */
export const SECTOR_BYTES = 512
const HOLE_BYTES = 4096

export interface DiskBehaviour {
  /** Usual time of an operation, milliseconds; 0: complete before the call returns. */
  readonly latencyMs: number
  /** Part of the operations that take up to a hundred times as long, so that later ones overtake them. */
  readonly slow: number
  /** Parts of the operations that fail. A write that fails may have written any of its sectors. */
  readonly readErrors: number
  readonly writeErrors: number
  readonly syncErrors: number
}

const EIO: StoreError = { failure: 'medium' }
const GONE: StoreError = { failure: 'gone' }

/**
 * A disk behind an operating system's page cache. What was written is in the cache; a sync takes the sectors that were
 * dirty when it began to the medium; `crash` lets any of the others be lost, sector by sector.
 */
export class SimDisk implements DiskIO {
  readonly sizeBytes: number
  behaviour: DiskBehaviour
  readonly #queue: EventQueue
  readonly #prng: Prng
  readonly #cache: Uint8Array
  readonly #medium: Uint8Array
  readonly #dirty = new Set<number>()
  readonly #holes: Uint8Array
  /** Of the machine that runs: what an earlier one began never completes. */
  #generation = 0
  operations = 0
  failures = 0

  constructor(queue: EventQueue, prng: Prng, sizeBytes: number, behaviour: DiskBehaviour) {
    this.sizeBytes = sizeBytes
    this.behaviour = behaviour
    this.#queue = queue
    this.#prng = prng
    this.#cache = new Uint8Array(sizeBytes)
    this.#medium = new Uint8Array(sizeBytes)
    this.#holes = new Uint8Array(Math.ceil(sizeBytes / HOLE_BYTES)).fill(1)
  }

  open(
    _path: string,
    _options: OpenOptions,
    done: (error: Error | undefined, file: DiskFile | undefined) => void,
  ): void {
    done(undefined, new SimFile(this, this.#generation))
  }

  /** The machine loses its power: of each sector that was not synced, the old or the new content is there afterwards. */
  crash(): void {
    this.#generation++
    for (const sector of this.#dirty) {
      const [from, to] = this.#prng.chance(0.5) ? [this.#cache, this.#medium] : [this.#medium, this.#cache]
      copySector(from, to, sector)
    }
    this.#dirty.clear()
  }

  /** What would be there after a crash at this moment, of the sectors that were not written since they were synced. */
  get medium(): Uint8Array {
    return this.#medium
  }

  isRunning(generation: number): boolean {
    return generation === this.#generation
  }

  /** Runs `effect` after the time that an operation takes, and `done`; or fails with a probability of `errors`. */
  perform(generation: number, errors: number, done: Done, effect: () => void, fail?: () => void): void {
    this.operations++
    const { latencyMs, slow } = this.behaviour
    const isBad = this.#prng.chance(errors)
    const run = (): void => {
      if (!this.isRunning(generation)) return
      if (isBad) {
        this.failures++
        fail?.()
        done(EIO)
        return
      }
      effect()
      done(undefined)
    }
    if (latencyMs === 0) return run()
    const factor = this.#prng.chance(slow) ? 100 * this.#prng.unit() : 0.5 + this.#prng.unit()
    this.#queue.after(latencyMs * factor, run)
  }

  read(into: Uint8Array, offset: number): void {
    into.set(this.#cache.subarray(offset, offset + into.length))
  }

  /** `torn`: any of the sectors stay as they were. */
  write(slices: readonly Uint8Array[], offset: number, torn: boolean): void {
    let at = offset
    for (const slice of slices) {
      this.#put(slice, at, torn)
      at += slice.length
    }
  }

  #put(slice: Uint8Array, offset: number, torn: boolean): void {
    const end = offset + slice.length
    if (!torn) this.#cache.set(slice, offset)
    for (let sector = Math.floor(offset / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++) {
      const from = Math.max(offset, sector * SECTOR_BYTES)
      const to = Math.min(end, (sector + 1) * SECTOR_BYTES)
      this.#dirty.add(sector)
      if (torn && to - from === SECTOR_BYTES && this.#prng.chance(0.5))
        this.#cache.set(slice.subarray(from - offset, to - offset), from)
    }
    const lastHole = Math.floor((end - 1) / HOLE_BYTES)
    for (let hole = Math.floor(offset / HOLE_BYTES); hole <= lastHole; hole++) this.#holes[hole] = 0
  }

  punchHole(offset: number, lengthBytes: number): void {
    this.#cache.fill(0, offset, offset + lengthBytes)
    const end = offset + lengthBytes
    for (let at = offset; at < end; at += SECTOR_BYTES) this.#dirty.add(at / SECTOR_BYTES)
    for (let at = offset; at < end; at += HOLE_BYTES) this.#holes[at / HOLE_BYTES] = 1
  }

  /** Takes note of what is dirty now; the result puts exactly that on the medium. */
  beginSync(): () => void {
    const sectors = [...this.#dirty]
    const contents = new Uint8Array(sectors.length * SECTOR_BYTES)
    for (const [index, sector] of sectors.entries()) {
      contents.set(sectorOf(this.#cache, sector), index * SECTOR_BYTES)
    }
    return () => {
      for (const [index, sector] of sectors.entries()) {
        const content = contents.subarray(index * SECTOR_BYTES, (index + 1) * SECTOR_BYTES)
        this.#medium.set(content, sector * SECTOR_BYTES)
        if (isEqual(content, sectorOf(this.#cache, sector))) this.#dirty.delete(sector)
      }
    }
  }

  extents(offset: number, lengthBytes: number): Extent[] {
    const extents: { offset: number; lengthBytes: number; kind: 'data' | 'hole' }[] = []
    const end = offset + lengthBytes
    for (let at = offset; at < end; ) {
      const next = Math.min(end, (Math.floor(at / HOLE_BYTES) + 1) * HOLE_BYTES)
      const kind = this.#holes[Math.floor(at / HOLE_BYTES)] === 1 ? 'hole' : 'data'
      const last = extents.at(-1)
      if (last?.kind === kind) last.lengthBytes += next - at
      else extents.push({ offset: at, lengthBytes: next - at, kind })
      at = next
    }
    return extents
  }
}

const sectorOf = (bytes: Uint8Array, sector: number): Uint8Array =>
  bytes.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)

const copySector = (from: Uint8Array, to: Uint8Array, sector: number): void =>
  to.set(sectorOf(from, sector), sector * SECTOR_BYTES)

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** The disk, as one run of the target has it open. */
class SimFile implements DiskFile {
  readonly kind = 'file'
  readonly sizeBytes: number
  readonly blockBytes = HOLE_BYTES
  readonly canPunchHoles = true
  readonly canSeekHoles = true
  readonly #disk: SimDisk
  readonly #generation: number

  constructor(disk: SimDisk, generation: number) {
    this.#disk = disk
    this.#generation = generation
    this.sizeBytes = disk.sizeBytes
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    const disk = this.#disk
    disk.perform(this.#generation, disk.behaviour.readErrors, done, () => disk.read(into, offset))
  }

  write(slices: readonly Uint8Array[], offset: number, done: Done): void {
    const disk = this.#disk
    if (totalLength(slices) === 0) return done(undefined)
    disk.perform(
      this.#generation,
      disk.behaviour.writeErrors,
      done,
      () => disk.write(slices, offset, false),
      () => disk.write(slices, offset, true),
    )
  }

  sync(done: Done): void {
    const disk = this.#disk
    disk.perform(this.#generation, disk.behaviour.syncErrors, done, disk.beginSync())
  }

  punchHole(offset: number, lengthBytes: number, done: Done): void {
    const disk = this.#disk
    disk.perform(this.#generation, disk.behaviour.writeErrors, done, () =>
      disk.punchHole(offset, lengthBytes),
    )
  }

  extents(
    offset: number,
    lengthBytes: number,
    done: (error: StoreError | undefined, extents: readonly Extent[]) => void,
  ): void {
    const disk = this.#disk
    disk.perform(
      this.#generation,
      0,
      (error) => done(error, error ? [] : disk.extents(offset, lengthBytes)),
      () => {},
    )
  }

  close(done: Done): void {
    done(this.#disk.isRunning(this.#generation) ? undefined : GONE)
  }
}
