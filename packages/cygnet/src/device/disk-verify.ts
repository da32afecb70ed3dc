import { firstSlices } from '../base/bytes.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8 } from '../scsi/fields.ts'
import type { SenseData } from '../scsi/sense.ts'
import { invalidCdbField, SenseKey } from '../scsi/sense.ts'
import { WriteFlags } from '../store/backing-store.ts'
import { compareBytes, repeats } from './compare.ts'
import type { DiskMedium } from './disk-medium.ts'
import { CHUNK_BYTES } from './disk-medium.ts'
import type { Operation } from './operation.ts'

/** BYTCHK, bits 2 and 1 of CDB byte 1: compare nothing, all blocks, or each block with the one that was sent. */
const ByteCheck = { none: 0, all: 1, one: 3 } as const

const byteCheck = (op: Operation): number => (get8(op.task.cdb, 1) >>> 1) & 3

const miscompare = (information: number): SenseData => ({
  key: SenseKey.miscompare,
  additional: AdditionalSense.miscompareDuringVerify,
  information,
})

/**
 * VERIFY and WRITE AND VERIFY (10), (12), (16) (SBC-4 §5.35 to §5.37, §5.44 to §5.46). The medium is read piece by piece,
 * so a verification of any length takes `CHUNK_BYTES` of memory.
 */
export class DiskVerify {
  readonly #medium: DiskMedium

  constructor(medium: DiskMedium) {
    this.#medium = medium
  }

  readonly verify = (op: Operation): void => {
    const medium = this.#medium
    const mode = byteCheck(op)
    if (mode === 2) return op.check(invalidCdbField(1, 2))
    const limitBlocks = mode === ByteCheck.all ? medium.transferBlocks : Number.POSITIVE_INFINITY
    if (!medium.locate(op, limitBlocks)) return
    if (mode === ByteCheck.none || op.blocks === 0) return this.#nextPiece(op)
    op.receive(mode === ByteCheck.all ? op.lengthBytes : medium.blockBytes, this.#received)
  }

  readonly #received = (op: Operation): void => {
    const { task } = op
    const { blockBytes } = this.#medium
    if (byteCheck(op) === ByteCheck.one) {
      if (task.dataOutLimitBytes < blockBytes) return op.check(invalidCdbField(1, 2))
    } else {
      op.lengthBytes = Math.min(op.lengthBytes, wholeBlocks(task.dataOutLimitBytes, blockBytes))
    }
    this.#nextPiece(op)
  }

  readonly writeAndVerify = (op: Operation): void => {
    const mode = byteCheck(op)
    if (mode > ByteCheck.all) return op.check(invalidCdbField(1, 2))
    if (this.#medium.locate(op)) op.receive(op.lengthBytes, this.#writeReceived)
  }

  readonly #writeReceived = (op: Operation): void => {
    op.lengthBytes = Math.min(op.lengthBytes, wholeBlocks(op.task.dataOutLimitBytes, this.#medium.blockBytes))
    if (op.lengthBytes === 0) return op.good()
    this.#medium.locks.acquire(op, 'shared', this.#write)
  }

  readonly #write = (op: Operation): void => {
    op.awaitStore(this.#written)
    // What is verified is the medium, so the data must have reached it.
    const slices = firstSlices(op.task.dataOut, op.lengthBytes)
    this.#medium.store.write(slices, op.offset, WriteFlags.fua, op.done)
  }

  readonly #written = (op: Operation): void => {
    if (op.error) return op.check(this.#medium.failure(op.error, 'write', op.offset))
    this.#nextPiece(op)
  }

  #nextPiece(op: Operation): void {
    const medium = this.#medium
    const rest = op.lengthBytes - op.position
    if (rest === 0) return op.good()
    op.stepBytes = Math.min(rest, CHUNK_BYTES)
    op.buffer ??= medium.pool.take(op.stepBytes)
    op.awaitStore(this.#compare)
    medium.store.read(op.buffer.bytes.subarray(0, op.stepBytes), op.offset + op.position, op.done)
  }

  readonly #compare = (op: Operation): void => {
    const medium = this.#medium
    const { buffer, position, task } = op
    if (op.error) return op.check(medium.failure(op.error, 'read', op.offset + position))
    const mode = byteCheck(op)
    if (buffer && mode !== ByteCheck.none) {
      const piece = buffer.bytes.subarray(0, op.stepBytes)
      const differsAt =
        mode === ByteCheck.one
          ? repeats(task.dataOut, medium.blockBytes, piece)
          : compareBytes(task.dataOut, position, piece)
      if (differsAt >= 0) {
        const block = Math.floor((position + differsAt) / medium.blockBytes)
        return op.check(miscompare(op.lba + block))
      }
    }
    op.position += op.stepBytes
    this.#nextPiece(op)
  }
}

export const wholeBlocks = (lengthBytes: number, blockBytes: number): number =>
  lengthBytes - (lengthBytes % blockBytes)
