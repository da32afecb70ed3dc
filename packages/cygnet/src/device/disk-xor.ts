import { firstSlices } from '../base/bytes.ts'
import { cdbFlagsAt } from '../scsi/cdb.ts'
import { get8 } from '../scsi/fields.ts'
import { combineBytes } from './combine.ts'
import type { DiskMedium } from './disk-medium.ts'
import { hasFua } from './disk-read-write.ts'
import { wholeBlocks } from './disk-verify.ts'
import type { Operation } from './operation.ts'

const DISABLE_WRITE = 0x04

/**
 * XDWRITEREAD (10) and (32) (SBC-3 §5.42, §5.43), the bidirectional commands: the data that was sent takes the place of
 * what the blocks held, and the exclusive or of both goes back. With DISABLE WRITE the blocks stay as they are. XORPINFO
 * is refused by the table: there is no protection information.
 */
export class DiskXor {
  readonly #medium: DiskMedium

  constructor(medium: DiskMedium) {
    this.#medium = medium
  }

  readonly xdWriteRead = (op: Operation): void => {
    if (this.#medium.locate(op)) op.receive(op.lengthBytes, this.#received)
  }

  readonly #received = (op: Operation): void => {
    const { task } = op
    // Where less was sent than the CDB says, that is how far both directions go.
    op.lengthBytes = Math.min(op.lengthBytes, wholeBlocks(task.dataOutLimitBytes, this.#medium.blockBytes))
    task.dataInLengthBytes = op.lengthBytes
    if (op.lengthBytes === 0) return op.good()
    this.#medium.locks.acquire(op, 'exclusive', this.#read)
  }

  readonly #read = (op: Operation): void => {
    const medium = this.#medium
    const { task, lengthBytes } = op
    const buffer = medium.pool.take(lengthBytes)
    const into = buffer.bytes.subarray(0, lengthBytes)
    task.dataInBuffer = buffer
    task.dataIn = into
    op.awaitStore(this.#combine)
    medium.store.read(into, op.offset, op.done)
  }

  readonly #combine = (op: Operation): void => {
    const medium = this.#medium
    const { task, lengthBytes } = op
    if (op.error) return op.check(medium.failure(op.error, 'read', op.offset))
    const slices = firstSlices(task.dataOut, lengthBytes)
    combineBytes(task.dataIn, slices, 'exclusive-or')
    if (task.dataInLimitBytes < lengthBytes) task.dataIn = task.dataIn.subarray(0, task.dataInLimitBytes)
    if (get8(task.cdb, cdbFlagsAt(task.cdb)) & DISABLE_WRITE) return op.good()
    op.awaitStore(this.#written)
    medium.store.write(slices, op.offset, medium.writeFlags(hasFua(task.cdb)), op.done)
  }

  readonly #written = (op: Operation): void => {
    if (op.error) op.check(this.#medium.failure(op.error, 'write', op.offset))
    else op.good()
  }
}
