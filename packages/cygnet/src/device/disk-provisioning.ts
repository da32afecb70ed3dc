import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16, get32, get64 } from '../scsi/fields.ts'
import { cdbBlocksAt } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { illegalRequest, invalidCdbField, invalidParameterField } from '../scsi/sense.ts'
import { UNMAP_BLOCKS, UNMAP_DESCRIPTORS, WRITE_SAME_BLOCKS } from './disk-inquiry.ts'
import type { DiskMedium } from './disk-medium.ts'
import { CHUNK_BYTES } from './disk-medium.ts'
import type { Operation } from './operation.ts'
import { gather } from './parameters.ts'

const WriteSameBit = { anchor: 0x10, unmap: 0x08, noData: 0x01 } as const
/** Of UNMAP. */
const ANCHOR = 0x01
const UNMAP_HEADER_BYTES = 8
const UNMAP_DESCRIPTOR_BYTES = 16

/**
 * UNMAP and WRITE SAME (SBC-4 §5.33, §5.47, §5.48). Unmapped blocks read as zeroes (LBPRZ), so a WRITE SAME of zeroes
 * with UNMAP releases the space; one of anything else writes it, as its data must read back. With the write cache off
 * both are flushed before they end: they have no force unit access of their own. With ANCHOR the blocks read as zeroes too,
 * but keep or get their space, which is what zeroes are written for.
 */
export class DiskProvisioning {
  readonly #medium: DiskMedium

  constructor(medium: DiskMedium) {
    this.#medium = medium
  }

  /*
   * UNMAP: 1 ANCHOR(0)   7 PARAMETER LIST LENGTH (2). The list: 0 UNMAP DATA LENGTH (2), 2 BLOCK DESCRIPTOR DATA LENGTH (2), 8 descriptors:
   *   0  LBA (8)   8  NUMBER OF BLOCKS (4)   12  reserved (4)
   */
  readonly unmap = (op: Operation): void => {
    const lengthBytes = get16(op.task.cdb, 7)
    if (lengthBytes === 0) return op.good()
    if (lengthBytes < UNMAP_HEADER_BYTES) {
      return op.check(illegalRequest(AdditionalSense.parameterListLengthError))
    }
    op.receive(lengthBytes, this.#unmapReceived)
  }

  readonly #unmapReceived = (op: Operation): void => {
    const list = gather(op.task)
    if (!list) return op.check(illegalRequest(AdditionalSense.parameterListLengthError))
    const descriptorBytes = get16(list, 2)
    if (UNMAP_HEADER_BYTES + descriptorBytes > list.length) {
      return op.check(illegalRequest(AdditionalSense.parameterListLengthError))
    }
    const count = Math.floor(descriptorBytes / UNMAP_DESCRIPTOR_BYTES)
    if (count > UNMAP_DESCRIPTORS) return op.check(invalidParameterField(2, 7))
    // Everything is checked before anything is unmapped. The lock covers all the ranges and what is between them.
    let total = 0
    let first = this.#medium.blocks
    let end = 0
    for (let i = 0; i < count; i++) {
      const at = UNMAP_HEADER_BYTES + i * UNMAP_DESCRIPTOR_BYTES
      const lba = get64(list, at)
      const blocks = get32(list, at + 8)
      total += blocks
      if (total > UNMAP_BLOCKS) return op.check(invalidParameterField(at + 8, 7))
      if (!this.#medium.locateRange(op, lba, blocks)) return
      if (blocks === 0) continue
      first = Math.min(first, lba)
      end = Math.max(end, lba + blocks)
    }
    if (total === 0) return op.good()
    op.parameters = list.subarray(UNMAP_HEADER_BYTES, UNMAP_HEADER_BYTES + count * UNMAP_DESCRIPTOR_BYTES)
    this.#medium.locateRange(op, first, end - first)
    this.#medium.locks.acquire(op, 'shared', this.#unmapNext)
  }

  readonly #unmapNext = (op: Operation): void => {
    const { blockBytes, store } = this.#medium
    if (op.error) return op.check(this.#medium.failure(op.error, 'write', op.offset))
    const list = op.parameters ?? NO_DESCRIPTORS
    while (op.position < list.length) {
      const lba = get64(list, op.position)
      const blocks = get32(list, op.position + 8)
      op.position += UNMAP_DESCRIPTOR_BYTES
      if (blocks === 0) continue
      op.awaitStore(this.#unmapNext)
      const [offset, lengthBytes] = [lba * blockBytes, blocks * blockBytes]
      if (get8(op.task.cdb, 1) & ANCHOR) store.zero(offset, lengthBytes, false, op.done)
      else store.trim(offset, lengthBytes, op.done)
      return
    }
    this.#makeDurable(op)
  }

  /** 1 ANCHOR(4) UNMAP(3), in WRITE SAME (16) also NDOB(0): the data are one block of zeroes that is not sent. */
  readonly writeSame = (op: Operation): void => {
    const { task } = op
    const medium = this.#medium
    const flags = get8(task.cdb, 1)
    if (!medium.locate(op, WRITE_SAME_BLOCKS)) return
    if (op.blocks === 0) {
      // To the last block, unless that is more than one command does; a thin disk (WSNZ = 1) has UNMAP for that.
      if (medium.isThin) return op.check(invalidCdbField(cdbBlocksAt(task.cdb), 7))
      const rest = medium.blocks - op.lba
      if (rest === 0) return op.check(illegalRequest(AdditionalSense.lbaOutOfRange))
      if (rest > WRITE_SAME_BLOCKS) return op.check(invalidCdbField(cdbBlocksAt(task.cdb), 7))
      medium.locateRange(op, op.lba, rest)
    }
    if (flags & WriteSameBit.unmap && !medium.isThin) return op.check(invalidCdbField(1, 3))
    if (flags & WriteSameBit.anchor && !(flags & WriteSameBit.unmap)) return op.check(invalidCdbField(1, 4))
    if (task.cdb[0] === Opcode.writeSame16 && flags & WriteSameBit.noData) {
      return medium.locks.acquire(op, 'shared', this.#zero)
    }
    // One block exactly: with anything else the initiator means another command than it sent.
    if (task.dataOutLimitBytes !== medium.blockBytes)
      return op.check(invalidCdbField(cdbBlocksAt(task.cdb), 7))
    op.receive(medium.blockBytes, this.#sameReceived)
  }

  readonly #sameReceived = (op: Operation): void => {
    const isZero = op.task.dataOut.every((slice) => slice.every((byte) => byte === 0))
    this.#medium.locks.acquire(op, 'shared', isZero ? this.#zero : this.#fill)
  }

  readonly #zero = (op: Operation): void => {
    const mayTrim = (get8(op.task.cdb, 1) & (WriteSameBit.unmap | WriteSameBit.anchor)) === WriteSameBit.unmap
    op.awaitStore(this.#zeroed)
    this.#medium.store.zero(op.offset, op.lengthBytes, mayTrim, op.done)
  }

  readonly #zeroed = (op: Operation): void => {
    if (op.error) return op.check(this.#medium.failure(op.error, 'write', op.offset))
    this.#makeDurable(op)
  }

  #makeDurable(op: Operation): void {
    const { store, writeCache } = this.#medium
    if (writeCache || !store.can.volatileCache) return op.good()
    op.awaitStore(this.#flushed)
    store.flush(op.done)
  }

  readonly #flushed = (op: Operation): void => {
    if (op.error) op.check(this.#medium.failure(op.error, 'write', op.offset))
    else op.good()
  }

  /** A buffer full of the block, written as often as it takes. */
  readonly #fill = (op: Operation): void => {
    const { blockBytes, pool } = this.#medium
    const chunkBytes = Math.min(op.lengthBytes, CHUNK_BYTES)
    op.buffer = pool.take(chunkBytes)
    const { bytes } = op.buffer
    let at = 0
    for (const slice of op.task.dataOut) {
      bytes.set(slice, at)
      at += slice.length
    }
    for (let filled = blockBytes; filled < chunkBytes; filled *= 2) {
      bytes.copyWithin(filled, 0, Math.min(filled, chunkBytes - filled))
    }
    this.#fillNext(op)
  }

  #fillNext(op: Operation): void {
    const medium = this.#medium
    const rest = op.lengthBytes - op.position
    if (rest === 0 || !op.buffer) return op.good()
    op.stepBytes = Math.min(rest, CHUNK_BYTES)
    op.awaitStore(this.#filled)
    medium.store.write(
      [op.buffer.bytes.subarray(0, op.stepBytes)],
      op.offset + op.position,
      medium.writeFlags(false),
      op.done,
    )
  }

  readonly #filled = (op: Operation): void => {
    if (op.error) return op.check(this.#medium.failure(op.error, 'write', op.offset + op.position))
    op.position += op.stepBytes
    this.#fillNext(op)
  }
}

const NO_DESCRIPTORS = new Uint8Array(0)
