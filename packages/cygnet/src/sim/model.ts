import { SECTOR_BYTES } from './disk.ts'

/**
 * What may be on a disk, sector by sector: the reference that every read is held to.
 *
 * Each write has a number, its sectors are filled with a pattern made of that number and their own, so a read says
 * which write it saw. Number 0 is a sector of zeroes: never written, or unmapped. Of every sector the model keeps the
 * values that could be there:
 * - a write that was begun is possible from then on, until a write that began after its end has been acknowledged;
 * - a write whose end was never heard of (a lost task) stays possible until `fail` is called for it;
 * - a read that returned a value rules out all those that had ended before the read began;
 * - a value that was ruled out comes back with a crash, unless what ruled it out was flushed.
 *
 * Time is counted in events, so that two that happen in the same millisecond have an order.
 */
export class ModelDisk {
  readonly sectors: number
  readonly #values: Value[][]
  readonly #reads = new Set<ModelRead>()
  #tick = 1
  #nextWrite = 1
  #crashedAt = 0

  constructor(sizeBytes: number) {
    this.sectors = sizeBytes / SECTOR_BYTES
    this.#values = Array.from({ length: this.sectors }, () => [new Value(ZEROES, 0, 0)])
  }

  /** A number for a write that will be filled with its pattern. */
  takeNumber(): number {
    return this.#nextWrite++
  }

  beginRead(sector: number, count: number): ModelRead {
    const read = { sector, count, begun: this.#tick++ }
    this.#reads.add(read)
    return read
  }

  /** It ended without data. */
  dropRead(read: ModelRead): void {
    this.#reads.delete(read)
  }

  /** Why `bytes` cannot be what was read, or undefined. */
  endRead(read: ModelRead, bytes: Uint8Array): string | undefined {
    const now = this.#tick++
    this.#reads.delete(read)
    for (let index = 0; index < read.count; index++) {
      const sector = read.sector + index
      const found = numberOf(bytes, index * SECTOR_BYTES, sector)
      if (typeof found === 'string') return `sector ${sector}: ${found}`
      const wrong = this.#observe(sector, found, read.begun, now)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }

  #observe(sector: number, number: number, begun: number, now: number): string | undefined {
    const values = this.#values[sector] as Value[]
    const seen = values.findLast((value) => value.number === number && value.diedAt > begun)
    if (seen === undefined) {
      return `sector ${sector} holds write ${number}; possible were ${this.#describe(sector, begun)}`
    }
    // What a read saw before a crash need not be there after it.
    if (values.length === 1 || seen.endedAt > begun || begun < this.#crashedAt) return undefined
    for (const other of values) {
      if (other !== seen && other.endedAt <= begun && other.diedAt === Infinity) other.diedAt = now
    }
    return undefined
  }

  /** The values that a read that begins now may return. */
  possible(sector: number): number[] {
    const values = this.#values[sector] as Value[]
    return values.filter(({ diedAt }) => diedAt === Infinity).map(({ number }) => number)
  }

  #describe(sector: number, begun: number): string {
    return (this.#values[sector] as Value[])
      .map(({ number, begunAt, endedAt, diedAt }) => {
        const dead = diedAt === Infinity ? '' : diedAt > begun ? '' : ', overwritten'
        return `${number} (begun ${begunAt}, ended ${endedAt}${dead})`
      })
      .join(', ')
  }

  /** `number` 0: zeroes, as UNMAP leaves them. */
  beginWrite(sector: number, count: number, number: number): ModelWrite {
    const begunAt = this.#tick++
    const values: Value[] = []
    for (let index = 0; index < count; index++) {
      const value = new Value(number, begunAt, Infinity)
      values.push(value)
      this.#values[sector + index]?.push(value)
    }
    return { sector, values, begunAt }
  }

  /** It was acknowledged. `durable`: with forced unit access. */
  acknowledge(write: ModelWrite, durable: boolean): void {
    const now = this.#tick++
    for (const [index, own] of write.values.entries()) {
      own.endedAt = now
      // Acknowledged before a crash, perhaps, and lost in it.
      if (write.begunAt < this.#crashedAt) continue
      const sector = write.sector + index
      for (const other of this.#values[sector] as Value[]) {
        if (other === own || other.endedAt > write.begunAt) continue
        other.diedAt = Math.min(other.diedAt, now)
        if (durable) other.isGone = true
      }
      if (durable) this.#forget(sector)
    }
  }

  /** It has ended, and any of its sectors may have been written: an error, an abort. */
  fail(write: ModelWrite): void {
    const now = this.#tick++
    for (const value of write.values) value.endedAt = now
  }

  /** It was refused before anything was written. */
  refuse(write: ModelWrite): void {
    for (const [index, value] of write.values.entries()) {
      const values = this.#values[write.sector + index] as Value[]
      values.splice(values.indexOf(value), 1)
    }
  }

  beginFlush(): number {
    return this.#tick++
  }

  /** What had been overwritten when the flush began is gone for good. */
  endFlush(begunAt: number): void {
    if (begunAt < this.#crashedAt) return
    for (let sector = 0; sector < this.sectors; sector++) {
      const values = this.#values[sector] as Value[]
      if (values.length === 1) continue
      for (const value of values) if (value.diedAt < begunAt) value.isGone = true
      this.#forget(sector)
    }
  }

  /** Why what is on the medium is not what was promised of `count` sectors, or undefined. */
  checkDurable(medium: Uint8Array, sector = 0, count = this.sectors): string | undefined {
    const words = wordsOf(medium)
    for (let at = sector; at < sector + count; at++) {
      const number = words[at * WORDS] as number
      const values = this.#values[at] as Value[]
      if (!values.some((value) => value.number === number && !value.isGone))
        return `sector ${at} of the medium holds write ${number}, which a flush has left behind`
    }
    return undefined
  }

  /** What was not flushed may be there or not; nothing that was begun goes on. */
  crash(): void {
    this.#crashedAt = this.#tick++
    for (const values of this.#values) {
      for (const value of values) if (!value.isGone) value.diedAt = Infinity
    }
  }

  #forget(sector: number): void {
    const values = this.#values[sector] as Value[]
    if (values.length === 1) return
    // A read that is under way may still return what has been overwritten since it began.
    const [oldest] = this.#reads
    const oldestRead = oldest?.begun ?? Infinity
    const kept = values.filter((value) => !value.isGone || value.diedAt > oldestRead)
    if (kept.length !== values.length) this.#values[sector] = kept
  }
}

const ZEROES = 0

/** One value that a sector may have, and since when and until when. */
class Value {
  readonly number: number
  readonly begunAt: number
  /** The write has ended; it cannot take effect later. */
  endedAt: number
  /** A read that begins after this does not return it. */
  diedAt = Infinity
  /** Not even after a crash. */
  isGone = false

  constructor(number: number, begunAt: number, endedAt: number) {
    this.number = number
    this.begunAt = begunAt
    this.endedAt = endedAt
  }
}

export interface ModelRead {
  readonly sector: number
  readonly count: number
  readonly begun: number
}

export interface ModelWrite {
  readonly sector: number
  readonly values: readonly Value[]
  readonly begunAt: number
}

const WORDS = SECTOR_BYTES / 4

const patternOf = (number: number, sector: number): number =>
  Math.imul(number ^ 0x5bd1e995, 0x9e3779b1) ^ Math.imul(sector, 0x85ebca6b)

/** Fills whole sectors with the pattern of a write. */
export function fillPattern(bytes: Uint8Array, sector: number, number: number): void {
  const words = wordsOf(bytes)
  for (let start = 0, at = sector; start < words.length; start += WORDS, at++) {
    if (number === ZEROES) {
      words.fill(0, start, start + WORDS)
      continue
    }
    const pattern = patternOf(number, at)
    words[start] = number
    words[start + 1] = at
    for (let index = 2; index < WORDS; index++) words[start + index] = pattern + index
  }
}

/** The write that the sector at `offset` in `bytes` is of, or what is wrong with it. */
export function numberOf(bytes: Uint8Array, offset: number, sector: number): number | string {
  const words = wordsOf(bytes)
  const start = offset / 4
  const number = words[start] as number
  if (number === ZEROES) {
    for (let index = 1; index < WORDS; index++) {
      if (words[start + index] !== 0) return `zero, but not at word ${index}`
    }
    return ZEROES
  }
  if (words[start + 1] !== sector) return `the data of sector ${words[start + 1]}, write ${number}`
  const pattern = patternOf(number, sector)
  for (let index = 2; index < WORDS; index++) {
    if (words[start + index] !== (pattern + index) >>> 0)
      return `write ${number}, wrong from word ${index} on`
  }
  return number
}

const wordsOf = (bytes: Uint8Array): Uint32Array =>
  new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
