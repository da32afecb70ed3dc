import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get32, get64, set32, set64 } from '../scsi/fields.ts'
import { illegalRequest } from '../scsi/sense.ts'
import type { Extent } from '../store/backing-store.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { Operation } from './operation.ts'

const HEADER_BYTES = 8
const DESCRIPTOR_BYTES = 16
/** Most descriptors in one answer. */
const DESCRIPTORS_LIMIT = 1024
/** Most of the medium that one answer describes: what one search for holes may cost. */
const WINDOW_BYTES = 1024 * 1024 * 1024

const ProvisioningStatus = { mapped: 0, deallocated: 1 } as const

interface Run {
  readonly lba: number
  readonly end: number
  readonly status: number
}

/*
 * GET LBA STATUS (16) (SBC-4 §5.6): 2 STARTING LBA (8), 10 ALLOCATION LENGTH (4).
 * Data: 0 PARAMETER DATA LENGTH (4), reserved (4), descriptors: 0 LBA (8), 8 NUMBER OF BLOCKS (4), 12 PROVISIONING STATUS(3-0)
 */
export class DiskLbaStatus {
  readonly #medium: DiskMedium

  constructor(medium: DiskMedium) {
    this.#medium = medium
  }

  readonly getLbaStatus = (op: Operation): void => {
    const { blockBytes, blocks, store } = this.#medium
    const lba = get64(op.task.cdb, 2)
    if (lba >= blocks) return op.check(illegalRequest(AdditionalSense.lbaOutOfRange))
    const window = Math.min(blocks - lba, WINDOW_BYTES / blockBytes)
    this.#medium.locateRange(op, lba, window)
    if (!store.can.extents)
      return this.#reply(op, [{ lba, end: lba + window, status: ProvisioningStatus.mapped }])
    op.awaitStore(this.#found)
    store.extents(op.offset, op.lengthBytes, op.extentsDone)
  }

  readonly #found = (op: Operation): void => {
    if (op.error) return op.check(this.#medium.failure(op.error, 'read', op.offset))
    this.#reply(op, toRuns(op.extents, op.lba, op.lba + op.blocks, this.#medium.blockBytes))
  }

  #reply(op: Operation, runs: readonly Run[]): void {
    const allocationBytes = get32(op.task.cdb, 10)
    const fitting = Math.max(1, Math.floor((allocationBytes - HEADER_BYTES) / DESCRIPTOR_BYTES))
    const count = Math.min(runs.length, fitting, DESCRIPTORS_LIMIT)
    const bytes = new Uint8Array(HEADER_BYTES + count * DESCRIPTOR_BYTES)
    set32(bytes, 0, bytes.length - 4)
    let at = HEADER_BYTES
    for (const { lba, end, status } of runs.slice(0, count)) {
      set64(bytes, at, lba)
      set32(bytes, at + 8, end - lba)
      bytes[at + 12] = status
      at += DESCRIPTOR_BYTES
    }
    op.reply(bytes, allocationBytes)
  }
}

/** Runs of blocks of equal status from `lba` to `end`. A block counts as deallocated only where all of it is a hole. */
function toRuns(extents: readonly Extent[], lba: number, end: number, blockBytes: number): Run[] {
  const runs: Run[] = []
  let at = lba
  for (const { kind, offset, lengthBytes } of extents) {
    if (kind !== 'hole') continue
    const holeFrom = Math.max(at, Math.ceil(offset / blockBytes))
    const holeEnd = Math.min(end, Math.floor((offset + lengthBytes) / blockBytes))
    if (holeFrom >= holeEnd) continue
    if (holeFrom > at) runs.push({ lba: at, end: holeFrom, status: ProvisioningStatus.mapped })
    runs.push({ lba: holeFrom, end: holeEnd, status: ProvisioningStatus.deallocated })
    at = holeEnd
  }
  if (at < end) runs.push({ lba: at, end, status: ProvisioningStatus.mapped })
  return runs
}
