import { hex } from '../base/bytes.ts'
import { get32, get64, set32, set64 } from '../scsi/fields.ts'

/** Every so many bytes describe themselves. */
export const SECTOR_BYTES = 512

/*
 * A sector:  0  "CYGNETVF" (8)   8  run (8)   16  sector number (8)   24  generation (4)   28  check of 8..27 (4)
 *           32  words of a generator that begins with that check
 */
const MAGIC = new TextEncoder().encode('CYGNETVF')
const HEADER_BYTES = 32

/** What a sector says that it is. */
interface SectorIdentity {
  /** 8 bytes in hexadecimal: one call of `cygnet verify`. */
  readonly run: string
  readonly sector: number
  /** How often it was written. */
  readonly generation: number
}

/** One run's sectors: fills and checks them. */
export class VerifyPattern {
  readonly run: string
  readonly #run: Uint8Array

  /** `run`: 8 bytes that no other run has. */
  constructor(run: Uint8Array) {
    this.#run = run
    this.run = hex(run)
  }

  /** Fills whole sectors from sector number `first` on. */
  fillSectors(bytes: Uint8Array, first: number, generation: number): void {
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES)
      this.#fillSector(bytes, at, first + at / SECTOR_BYTES, generation)
  }

  /** The first byte that is not as `fillSectors` made it; undefined where all are. `scratch`: as long as `bytes`. */
  firstWrong(bytes: Uint8Array, first: number, generation: number, scratch: Uint8Array): number | undefined {
    this.fillSectors(scratch, first, generation)
    if (Buffer.compare(bytes, scratch) === 0) return undefined
    return bytes.findIndex((byte, i) => byte !== scratch[i])
  }

  /** Whose a sector is that is not the one that was expected. */
  describe(bytes: Uint8Array, sector: number, generation: number): string {
    if (bytes.every((byte) => byte === 0)) return 'zeroes'
    const found = identify(bytes)
    if (found === undefined) return 'no block of any verification'
    const expected = new Uint8Array(SECTOR_BYTES)
    this.#fillSector(expected, 0, found.sector, found.generation)
    const isWhole = found.run !== this.run || Buffer.compare(expected, bytes) === 0
    const damage = isWhole ? '' : ', damaged'
    if (found.run !== this.run) return `sector ${found.sector} of another verification (${found.run})`
    if (found.sector !== sector)
      return `sector ${found.sector} of this verification, as written for the ${ordinal(found.generation)} time${damage}`
    if (found.generation !== generation)
      return `the same sector as written for the ${ordinal(found.generation)} time, not the ${ordinal(generation)}${damage}`
    return 'the right sector, damaged'
  }

  #fillSector(bytes: Uint8Array, at: number, sector: number, generation: number): void {
    bytes.set(MAGIC, at)
    bytes.set(this.#run, at + 8)
    set64(bytes, at + 16, sector)
    set32(bytes, at + 24, generation)
    let word = checkOf(bytes, at)
    set32(bytes, at + 28, word)
    for (let i = at + HEADER_BYTES; i < at + SECTOR_BYTES; i += 4) {
      // xorshift32: never zero, as the check is not.
      word ^= word << 13
      word ^= word >>> 17
      word ^= word << 5
      bytes[i] = word
      bytes[i + 1] = word >>> 8
      bytes[i + 2] = word >>> 16
      bytes[i + 3] = word >>> 24
    }
  }
}

/** FNV-1a over what identifies a sector; never zero. */
function checkOf(bytes: Uint8Array, at: number): number {
  let hash = 0x811c9dc5
  for (let i = at + 8; i < at + 28; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x0100_0193)
  return hash >>> 0 || 1
}

function identify(bytes: Uint8Array): SectorIdentity | undefined {
  const isOne = MAGIC.every((byte, i) => bytes[i] === byte) && get32(bytes, 28) === checkOf(bytes, 0)
  if (!isOne) return undefined
  return { run: hex(bytes.subarray(8, 16)), sector: get64(bytes, 16), generation: get32(bytes, 24) }
}

function ordinal(count: number): string {
  const ending = { 1: 'st', 2: 'nd', 3: 'rd' }[count % 10]
  return `${count}${ending !== undefined && Math.floor((count % 100) / 10) !== 1 ? ending : 'th'}`
}
