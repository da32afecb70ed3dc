import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16, get24, get32 } from '../scsi/fields.ts'
import { lbaOfMsf } from '../scsi/mmc-address.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField } from '../scsi/sense.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { DiskReadWrite } from './disk-read-write.ts'
import type { Operation } from './operation.ts'
import { gather } from './parameters.ts'

const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)
const OUT_OF_RANGE = illegalRequest(AdditionalSense.lbaOutOfRange)
const WRONG_MODE = illegalRequest(AdditionalSense.illegalModeForThisTrack)

/** EXPECTED SECTOR TYPE, byte 1: any, or mode 1, which is what there is. */
const SectorType = { mask: 0x1c, any: 0x00, mode1: 0x08 } as const
/** Byte 9: the 2048 bytes of user data; byte 10: no sub-channel. */
const USER_DATA = 0x10
/** SET STREAMING, type 0. */
const PERFORMANCE_DESCRIPTOR_BYTES = 28

/** READ CD, READ CD MSF, SEEK (10), SET CD SPEED and SET STREAMING (MMC-6 §6.18, §6.19, §6.35, §6.37, §6.39). */
export class OpticalRead {
  readonly #medium: DiskMedium
  readonly #readWrite: DiskReadWrite

  constructor(medium: DiskMedium, readWrite: DiskReadWrite) {
    this.#medium = medium
    this.#readWrite = readWrite
  }

  /** 2 LBA (4)   6 TRANSFER LENGTH (3) */
  readonly readCd = (op: Operation): void => {
    const { cdb } = op.task
    this.#read(op, get32(cdb, 2), get24(cdb, 6), 6)
  }

  /** 3 STARTING MSF (3)   6 ENDING MSF (3), the first that is not read */
  readonly readCdMsf = (op: Operation): void => {
    const { cdb } = op.task
    const from = lbaOfMsf(cdb, 3)
    const end = lbaOfMsf(cdb, 6)
    if (from === undefined) return op.check(invalidCdbField(3, 7))
    if (end === undefined || end < from) return op.check(invalidCdbField(6, 7))
    if (from < 0) return op.check(OUT_OF_RANGE)
    this.#read(op, from, end - from, 6)
  }

  #read(op: Operation, lba: number, blocks: number, lengthAt: number): void {
    const problem = checkSelection(op.task.cdb)
    if (problem) return op.check(problem)
    if (!this.#medium.locateRange(op, lba, blocks)) return
    if (blocks > this.#medium.transferBlocks) return op.check(invalidCdbField(lengthAt, 7))
    // No field was selected: nothing is to be transferred.
    if (get8(op.task.cdb, 9) === 0) return op.good()
    this.#readWrite.readLocated(op)
  }

  /** 2 LBA (4) */
  readonly seek = (op: Operation): void => {
    if (get32(op.task.cdb, 2) >= this.#medium.blocks) op.check(OUT_OF_RANGE)
    else op.good()
  }

  /** Any speed will do: none has an effect. */
  readonly setSpeed = (op: Operation): void => op.good()

  /** 8 TYPE, 9 PARAMETER LIST LENGTH (2) */
  readonly setStreaming = (op: Operation): void => {
    const { cdb } = op.task
    const lengthBytes = get16(cdb, 9)
    if (get8(cdb, 8) !== 0) return op.check(invalidCdbField(8, 7))
    if (lengthBytes === 0) return op.good()
    if (lengthBytes !== PERFORMANCE_DESCRIPTOR_BYTES) return op.check(LENGTH_ERROR)
    op.receive(lengthBytes, this.#streamingReceived)
  }

  readonly #streamingReceived = (op: Operation): void => {
    if (gather(op.task)) op.good()
    else op.check(LENGTH_ERROR)
  }
}

/** Which sectors, and what of them. */
function checkSelection(cdb: Uint8Array): SenseData | undefined {
  const type = get8(cdb, 1) & SectorType.mask
  if (type !== SectorType.any && type !== SectorType.mode1) return WRONG_MODE
  const fields = get8(cdb, 9)
  if (fields !== USER_DATA && fields !== 0) return invalidCdbField(9, 7)
  return get8(cdb, 10) === 0 ? undefined : invalidCdbField(10, 2)
}
