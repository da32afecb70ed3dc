import { firstSlices } from '../base/bytes.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { invalidCdbField, SenseKey } from '../scsi/sense.ts'
import { combineBytes } from './combine.ts'
import { compareBytes } from './compare.ts'
import { COMPARE_AND_WRITE_BLOCKS } from './disk-inquiry.ts'
import type { DiskMedium } from './disk-medium.ts'
import { hasFua } from './disk-read-write.ts'
import { wholeBlocks } from './disk-verify.ts'
import type { Operation } from './operation.ts'

/**
 * COMPARE AND WRITE and ORWRITE (16) (SBC-4 §5.3, §5.8): read, then write, with an exclusive lock on the range, so that
 * no write of another task falls between the two.
 */
export class DiskAtomic {
  readonly #medium: DiskMedium

  constructor(medium: DiskMedium) {
    this.#medium = medium
  }

  /** 13 NUMBER OF LOGICAL BLOCKS (1). Data-Out: what must be there, then what to write, of that length each. */
  readonly compareAndWrite = (op: Operation): void => {
    const { task } = op
    // Byte 10, where a 16-byte CDB has its length, is reserved up to byte 12; the table has checked that.
    if (!this.#medium.locate(op, COMPARE_AND_WRITE_BLOCKS)) return
    // Half a comparison is none: the buffer must be just what the CDB asks for.
    if (task.dataOutLimitBytes !== 2 * op.lengthBytes) return op.check(invalidCdbField(13, 7))
    if (op.blocks === 0) return op.good()
    op.receive(2 * op.lengthBytes, this.#compareReceived)
  }

  readonly #compareReceived = (op: Operation): void => {
    this.#medium.locks.acquire(op, 'exclusive', this.#readForCompare)
  }

  readonly #readForCompare = (op: Operation): void => this.#read(op, this.#compare)

  #read(op: Operation, then: (op: Operation) => void): void {
    op.buffer = this.#medium.pool.take(op.lengthBytes)
    op.awaitStore(then)
    this.#medium.store.read(op.buffer.bytes.subarray(0, op.lengthBytes), op.offset, op.done)
  }

  readonly #compare = (op: Operation): void => {
    const medium = this.#medium
    const { buffer, lengthBytes, task } = op
    if (op.error || !buffer) return this.#readFailed(op)
    const differsAt = compareBytes(task.dataOut, 0, buffer.bytes.subarray(0, lengthBytes))
    if (differsAt >= 0) {
      // INFORMATION: the offset in Data-Out of the first byte that differs.
      const additional = AdditionalSense.miscompareDuringVerify
      return op.check({ key: SenseKey.miscompare, additional, information: differsAt })
    }
    op.awaitStore(this.#written)
    medium.store.write(
      bytesFrom(task.dataOut, lengthBytes),
      op.offset,
      medium.writeFlags(hasFua(task.cdb)),
      op.done,
    )
  }

  #readFailed(op: Operation): void {
    op.check(this.#medium.failure(op.error ?? { failure: 'medium' }, 'read', op.offset))
  }

  readonly #written = (op: Operation): void => {
    if (op.error) op.check(this.#medium.failure(op.error, 'write', op.offset))
    else op.good()
  }

  readonly orWrite = (op: Operation): void => {
    if (this.#medium.locate(op)) op.receive(op.lengthBytes, this.#orReceived)
  }

  readonly #orReceived = (op: Operation): void => {
    op.lengthBytes = Math.min(op.lengthBytes, wholeBlocks(op.task.dataOutLimitBytes, this.#medium.blockBytes))
    if (op.lengthBytes === 0) return op.good()
    this.#medium.locks.acquire(op, 'exclusive', this.#readForOr)
  }

  readonly #readForOr = (op: Operation): void => this.#read(op, this.#or)

  readonly #or = (op: Operation): void => {
    const medium = this.#medium
    const { buffer, lengthBytes, task } = op
    if (op.error || !buffer) return this.#readFailed(op)
    const bytes = buffer.bytes.subarray(0, lengthBytes)
    combineBytes(bytes, firstSlices(task.dataOut, lengthBytes), 'or')
    op.awaitStore(this.#written)
    medium.store.write([bytes], op.offset, medium.writeFlags(hasFua(task.cdb)), op.done)
  }
}

/** Everything from byte `from` of a list of slices. */
function bytesFrom(slices: readonly Uint8Array[], from: number): readonly Uint8Array[] {
  const rest: Uint8Array[] = []
  let start = 0
  for (const slice of slices) {
    if (start + slice.length > from) rest.push(slice.subarray(Math.max(0, from - start)))
    start += slice.length
  }
  return rest
}
