import { get8 } from '../scsi/fields.ts'
import { firstSlices } from '../base/bytes.ts'
import { cdbFlagsAt } from '../scsi/cdb.ts'
import { cdbLength } from '../scsi/opcodes.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { Operation } from './operation.ts'

const FUA = 0x08

/** FORCE UNIT ACCESS, which the 6-byte commands do not have: there the bit is part of the LBA. */
export const hasFua = (cdb: Uint8Array): boolean =>
  cdbLength(get8(cdb, 0)) !== 6 && (get8(cdb, cdbFlagsAt(cdb)) & FUA) !== 0

/**
 * READ and WRITE (6), (10), (12), (16): the path of nearly every I/O (SBC-4 §5.15 to §5.18, §5.40 to §5.43).
 * DPO is accepted and does nothing: there is no cache here to keep the data out of.
 */
export class DiskReadWrite {
  readonly #medium: DiskMedium

  constructor(medium: DiskMedium) {
    this.#medium = medium
  }

  readonly read = (op: Operation): void => {
    if (this.#medium.locate(op)) this.readLocated(op)
  }

  /** Of a command whose blocks are in `op` already. */
  readLocated(op: Operation): void {
    const medium = this.#medium
    const { task } = op
    task.dataInLengthBytes = op.lengthBytes
    const wantedBytes = Math.min(op.lengthBytes, task.dataInLimitBytes)
    if (wantedBytes === 0) return op.good()
    if (medium.locks.hasIsolated) medium.locks.acquire(op, 'shared', this.#readNow)
    else this.#readNow(op)
  }

  readonly #readNow = (op: Operation): void => {
    const medium = this.#medium
    const { task } = op
    const wantedBytes = Math.min(op.lengthBytes, task.dataInLimitBytes)
    // The store is asked for whole blocks, even where the initiator takes less.
    const readBytes = Math.ceil(wantedBytes / medium.blockBytes) * medium.blockBytes
    const buffer = medium.pool.take(readBytes)
    const into = buffer.bytes.subarray(0, readBytes)
    task.dataInBuffer = buffer
    task.dataIn = wantedBytes === readBytes ? into : into.subarray(0, wantedBytes)
    op.awaitStore(this.#readDone)
    medium.store.read(into, op.offset, op.done)
  }

  readonly #readDone = (op: Operation): void => {
    if (op.error) op.check(this.#medium.failure(op.error, 'read', op.offset))
    else op.good()
  }

  readonly write = (op: Operation): void => {
    if (this.#medium.locate(op)) op.receive(op.lengthBytes, this.#received)
  }

  readonly #received = (op: Operation): void => {
    const { task } = op
    if (op.lengthBytes > task.dataOutLimitBytes) {
      // The initiator's buffer ends earlier than the CDB says: the whole blocks that came are written.
      op.lengthBytes = task.dataOutLimitBytes - (task.dataOutLimitBytes % this.#medium.blockBytes)
    }
    if (op.lengthBytes === 0) return op.good()
    this.#medium.locks.acquire(op, 'shared', this.#writeNow)
  }

  readonly #writeNow = (op: Operation): void => {
    const medium = this.#medium
    const { task } = op
    op.awaitStore(this.#writeDone)
    medium.store.write(
      firstSlices(task.dataOut, op.lengthBytes),
      op.offset,
      medium.writeFlags(hasFua(task.cdb)),
      op.done,
    )
  }

  readonly #writeDone = (op: Operation): void => {
    if (op.error) op.check(this.#medium.failure(op.error, 'write', op.offset))
    else op.good()
  }
}
