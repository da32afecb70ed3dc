import type { CygnetError } from '../base/errors.ts'

/** Why a store could not do what was asked. A logical unit turns these into sense data. */
export type StoreFailure =
  /** The bytes cannot be read or written: EIO, a bad sector. */
  | 'medium'
  /** The file system or pool behind the store is full (ENOSPC, EDQUOT). */
  | 'no-space'
  /** Opened read-only. */
  | 'read-only'
  /** The store went away: closed, device removed, connection lost. */
  | 'gone'

/** `cause` carries the system's own error for the log; peers never see it. */
export interface StoreError {
  readonly failure: StoreFailure
  /** Byte offset of the first bad byte, where known. */
  readonly offset?: number
  readonly cause?: Error | CygnetError
}

/** Called exactly once, perhaps before the call that takes it returns. */
export type Done = (error: StoreError | undefined) => void

export interface Geometry {
  /** Capacity. It changes only with `remeasure`, and never gets smaller. */
  readonly sizeBytes: number
  /** Smallest unit that reads and writes should be aligned to (a power of two; 1 where it does not matter). */
  readonly alignmentBytes: number
  /** What the medium works in, for the physical block size a disk reports (a power of two, 512 or more). */
  readonly physicalBlockBytes: number
  /** Smallest range that `trim` can release (a power of two); requests are rounded inwards. */
  readonly trimGranularityBytes: number
}

export interface StoreCapabilities {
  readonly write: boolean
  /** `trim` releases space; trimmed bytes read as zeroes. */
  readonly trim: boolean
  /** Acknowledged writes may be lost by a crash until `flush`. */
  readonly volatileCache: boolean
  /** `extents` knows holes. Without it, everything counts as data. */
  readonly extents: boolean
  /** `renewKey` is there: bytes are kept encrypted. */
  readonly renewKey?: boolean
  /** No write is ever found half done, not even after a crash. */
  readonly atomicWrites?: boolean
  /** Zeroes that are written take the space that later writes to the same place need: those do not fail for want of it. */
  readonly reserves?: boolean
  /** `space` is there: what it is made of may run full. */
  readonly tellsSpace?: boolean
}

/** Of what a store is made of. */
export interface StoreSpace {
  /** Taken by this store. */
  readonly usedBytes: number
  /** Left to write to. Others may take it too. */
  readonly availableBytes: number
}

export type SpaceDone = (error: StoreError | undefined, space: StoreSpace | undefined) => void

/** Bit flags of a write. */
export const WriteFlags = {
  none: 0,
  /** On stable storage before `done`: force unit access. */
  fua: 1,
} as const

export interface Extent {
  readonly offset: number
  readonly lengthBytes: number
  /** `hole`: reads as zeroes and takes no space. */
  readonly kind: 'data' | 'hole'
}

/**
 * Where a disk's bytes live. Speaks bytes, never SCSI; features are filters around it. The caller keeps every
 * range inside `geometry.sizeBytes`, never reads `into` or changes `slices` before `done`, and calls nothing after
 * `close`. Operations may run concurrently and complete in any order; a read that overlaps an unfinished write
 * may return old or new bytes.
 */
export interface BackingStore {
  readonly geometry: Geometry
  /** Read once at open. */
  readonly can: StoreCapabilities
  /** Fills `into` with the bytes at `offset`. */
  read(into: Uint8Array, offset: number, done: Done): void
  /** Writes the slices one after the other from `offset`. `flags`: see `WriteFlags`. */
  write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void
  /** Everything acknowledged before this call is on stable storage when `done` is called. */
  flush(done: Done): void
  /** Releases the whole granules inside the range; the whole range reads as zeroes afterwards. */
  trim(offset: number, lengthBytes: number, done: Done): void
  /** Writes zeroes; `mayTrim` allows releasing the space. */
  zero(offset: number, lengthBytes: number, mayTrim: boolean, done: Done): void
  /** The data and holes of a range, in order, without gaps. */
  extents(
    offset: number,
    lengthBytes: number,
    done: (error: StoreError | undefined, extents: readonly Extent[]) => void,
  ): void
  /** Looks how large what it is made of is now: `geometry` has a larger capacity when `done` is called, where that grew. */
  remeasure?(done: Done): void
  /** Looks how much space there is now. */
  space?(done: SpaceDone): void
  /** Forgets the key that everything was written with, for good, when `done` is called: what is read afterwards is not what was written. */
  renewKey?(done: Done): void
  /** Flushes and releases everything. Called once, when no operation is under way. */
  close(done: Done): void
}
