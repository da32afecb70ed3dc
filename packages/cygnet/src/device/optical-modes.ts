import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16 } from '../scsi/fields.ts'
import { DISC_BLOCK_BYTES } from '../scsi/mmc-address.ts'
import { encodeOpticalPages } from '../scsi/mmc-modes.ts'
import {
  ALL_SUBPAGES,
  decodeModeHeader,
  encodeModeData,
  ModePage,
  modePageLength,
  PageControl,
} from '../scsi/mode.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField, invalidParameterField } from '../scsi/sense.ts'
import type { Operation } from './operation.ts'
import type { OpticalDisc } from './optical-disc.ts'
import { DRIVE_KILOBYTES_PER_SECOND } from './optical-disc.ts'
import { gather } from './parameters.ts'

const PF = 0x10
const PS = 0x80
const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)
/** The longest parameter list that MODE SELECT takes: every page, a block descriptor, a header, with room. */
const SELECT_LIMIT_BYTES = 256

const pageCode = (page: Uint8Array): number => get8(page, 0)

/**
 * MODE SENSE and MODE SELECT (6) and (10) of a drive (SPC-5 §6.11 to §6.14, MMC-6 §7). A drive that is a file has no parameter
 * that could be changed: MODE SELECT takes the values that there are. There is no block descriptor (MMC-6 §7.1.3).
 */
export class OpticalModes {
  readonly canSave = false
  readonly #disc: OpticalDisc

  constructor(disc: OpticalDisc) {
    this.#disc = disc
  }

  get #pages(): readonly Uint8Array[] {
    return encodeOpticalPages({
      isLocked: this.#disc.isLocked,
      kilobytesPerSecond: DRIVE_KILOBYTES_PER_SECOND,
    })
  }

  /** 2 PC(7-6) PAGE CODE(5-0), 3 SUBPAGE CODE, 4 or 7 ALLOCATION LENGTH. */
  readonly sense = (op: Operation): void => {
    const { cdb } = op.task
    const isLong = cdb[0] === Opcode.modeSense10
    const control = get8(cdb, 2) >>> 6
    const code = get8(cdb, 2) & 0x3f
    if (control === PageControl.saved) return op.check(illegalRequest(AdditionalSense.savingNotSupported))
    if (cdb[3] !== 0 && cdb[3] !== ALL_SUBPAGES) return op.check(invalidCdbField(3, 7))
    const pages = this.#pages.filter((page) => code === ModePage.all || code === pageCode(page))
    if (pages.length === 0) return op.check(invalidCdbField(2, 5))
    // What can be changed: nothing.
    if (control === PageControl.changeable) for (const page of pages) page.fill(0, 2)
    const data = { deviceSpecific: 0, block: undefined, longBlock: false, pages }
    op.reply(encodeModeData(data, isLong ? 8 : 4), isLong ? get16(cdb, 7) : get8(cdb, 4))
  }

  /** 1 PF(4), 4 or 7 PARAMETER LIST LENGTH. */
  readonly select = (op: Operation): void => {
    const { cdb } = op.task
    const isLong = cdb[0] === Opcode.modeSelect10
    const lengthBytes = isLong ? get16(cdb, 7) : get8(cdb, 4)
    if (lengthBytes === 0) return op.good()
    if (!(get8(cdb, 1) & PF)) return op.check(invalidCdbField(1, 4))
    if (lengthBytes > SELECT_LIMIT_BYTES) return op.check(invalidCdbField(isLong ? 7 : 4, 7))
    op.receive(lengthBytes, this.#received)
  }

  readonly #received = (op: Operation): void => {
    const list = gather(op.task)
    const parts = list && decodeModeHeader(list, op.task.cdb[0] === Opcode.modeSelect10 ? 8 : 4)
    if (!list || !parts) return op.check(LENGTH_ERROR)
    // Blocks are of one size: an initiator that takes them for smaller ones would read at the wrong place.
    const { blockBytes = 0, descriptorAt } = parts
    if (blockBytes !== 0 && blockBytes !== DISC_BLOCK_BYTES)
      return op.check(invalidParameterField(descriptorAt + 4))
    const problem = this.#compare(list, parts.pagesAt)
    if (problem) op.check(problem)
    else op.good()
  }

  #compare(list: Uint8Array, from: number): SenseData | undefined {
    const own = this.#pages
    for (let at = from; at < list.length; ) {
      const page = own.find((each) => pageCode(each) === (get8(list, at) & ~PS))
      if (!page) return invalidParameterField(at, 5)
      const lengthBytes = modePageLength(list, at)
      if (lengthBytes === undefined) return LENGTH_ERROR
      if (lengthBytes !== page.length) return invalidParameterField(at + 1, 7)
      if (at + lengthBytes > list.length) return LENGTH_ERROR
      for (let i = 2; i < lengthBytes; i++) {
        const changed = get8(list, at + i) ^ get8(page, i)
        if (changed !== 0) return invalidParameterField(at + i, 31 - Math.clz32(changed))
      }
      at += lengthBytes
    }
    return undefined
  }
}
