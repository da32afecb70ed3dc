import type { BufferPool } from '../base/pool.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { cdbBlocks, cdbBlocksAt, cdbLba } from '../scsi/cdb.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField, SenseKey } from '../scsi/sense.ts'
import type { BackingStore, StoreError } from '../store/backing-store.ts'
import { WriteFlags } from '../store/backing-store.ts'
import type { DiskCounters } from './log-pages.ts'
import type { Operation } from './operation.ts'
import type { RangeLocks } from './range-locks.ts'

/** Largest transfer of one command, MAXIMUM TRANSFER LENGTH of the block limits page. */
export const MAX_TRANSFER_BYTES = 16 * 1024 * 1024

/**
 * Piece by which commands go over more of the medium than they transfer. No session's memory pays for it, and every task may
 * hold one: so it is small.
 */
export const CHUNK_BYTES = 128 * 1024

export interface MediumOptions {
  readonly blockBytes: number
  /** False: what the store could release stays allocated. Default true. */
  readonly thin?: boolean
  /** Default: what the store says. */
  readonly physicalBlockBytes?: number
}

/** What block commands work on: the store, seen in logical blocks. */
export class DiskMedium {
  readonly store: BackingStore
  readonly pool: BufferPool
  readonly locks: RangeLocks
  readonly blockBytes: number
  /** Capacity. */
  blocks: number
  /** Blocks can be unmapped, and then read as zeroes. */
  readonly isThin: boolean
  /** Thin, and known how much space is left. */
  readonly tellsSpace: boolean
  /** Thin, and blocks can be anchored: unmapped, with space of their own. */
  readonly canAnchor: boolean
  readonly physicalBlockBytes: number
  readonly transferBlocks: number
  /** WCE of the caching page: a write may stay in the volatile cache until SYNCHRONIZE CACHE. */
  writeCache: boolean
  /** For LOG SENSE. */
  readonly counters: DiskCounters = { readErrors: 0, writeErrors: 0, stops: 0 }

  constructor(store: BackingStore, pool: BufferPool, locks: RangeLocks, options: MediumOptions) {
    const { blockBytes } = options
    this.store = store
    this.pool = pool
    this.locks = locks
    this.blockBytes = blockBytes
    this.isThin = store.can.trim && options.thin !== false
    this.canAnchor = this.isThin && store.can.reserves === true
    this.tellsSpace = this.isThin && store.can.tellsSpace === true
    this.physicalBlockBytes = options.physicalBlockBytes ?? store.geometry.physicalBlockBytes
    this.blocks = store.geometry.sizeBytes / blockBytes
    this.transferBlocks = MAX_TRANSFER_BYTES / blockBytes
    this.writeCache = store.can.volatileCache
  }

  /** Takes what the store has grown by. Whether it has, by a block at least. */
  grow(): boolean {
    const blocks = Math.floor(this.store.geometry.sizeBytes / this.blockBytes)
    if (blocks <= this.blocks) return false
    this.blocks = blocks
    return true
  }

  get sizeBytes(): number {
    return this.blocks * this.blockBytes
  }

  /** Logical blocks in a physical one, as a power of two. */
  get physicalExponent(): number {
    const ratio = this.physicalBlockBytes / this.blockBytes
    return ratio > 1 ? Math.min(15, Math.floor(Math.log2(ratio))) : 0
  }

  /**
   * Takes LBA and length from the CDB into `op`. False: it ended with CHECK CONDITION. An LBA equal to the capacity is
   * in range only where the length is zero (SBC-4 §4.5: LBA plus length may not exceed the capacity).
   */
  locate(op: Operation, limitBlocks: number = this.transferBlocks): boolean {
    const cdb = op.task.cdb
    const blocks = cdbBlocks(cdb)
    if (!this.locateRange(op, cdbLba(cdb), blocks)) return false
    if (blocks <= limitBlocks) return true
    op.check(invalidCdbField(cdbBlocksAt(cdb), 7))
    return false
  }

  locateRange(op: Operation, lba: number, blocks: number): boolean {
    // An LBA past 2^53 is not exact, but it and its sum with a length are never less than 2^53: out of range.
    if (lba + blocks > this.blocks) {
      op.check(illegalRequest(AdditionalSense.lbaOutOfRange))
      return false
    }
    op.lba = lba
    op.blocks = blocks
    op.offset = lba * this.blockBytes
    op.lengthBytes = blocks * this.blockBytes
    return true
  }

  writeFlags(forceUnitAccess: boolean): number {
    return forceUnitAccess || !this.writeCache ? WriteFlags.fua : WriteFlags.none
  }

  /** Sense data for a store's failure at `offset` or, better, where the store says. */
  failure(error: StoreError, direction: 'read' | 'write', offset: number): SenseData {
    const { key, additional } = FAILURES[direction][error.failure]
    if (error.failure !== 'medium') return { key, additional }
    if (direction === 'read') this.counters.readErrors++
    else this.counters.writeErrors++
    return { key, additional, information: Math.floor((error.offset ?? offset) / this.blockBytes) }
  }
}

const COMMON_FAILURES = {
  'no-space': { key: SenseKey.dataProtect, additional: AdditionalSense.spaceAllocationFailed },
  'read-only': { key: SenseKey.dataProtect, additional: AdditionalSense.writeProtected },
  gone: { key: SenseKey.notReady, additional: AdditionalSense.notReadyCauseNotReportable },
} as const

const FAILURES = {
  read: {
    ...COMMON_FAILURES,
    medium: { key: SenseKey.mediumError, additional: AdditionalSense.unrecoveredReadError },
  },
  write: {
    ...COMMON_FAILURES,
    medium: { key: SenseKey.mediumError, additional: AdditionalSense.writeError },
  },
} as const
