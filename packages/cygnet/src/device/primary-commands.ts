import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16, get32 } from '../scsi/fields.ts'
import { encodeReportLuns } from '../scsi/lun.ts'
import type { SenseData } from '../scsi/sense.ts'
import { encodeSense, invalidCdbField, SenseKey } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Step } from './operation.ts'

const NO_SENSE: SenseData = { key: SenseKey.noSense, additional: AdditionalSense.none }

/** Pages and standard data of INQUIRY (SPC-5 §6.7). */
export interface InquirySource {
  standard(nexus: Nexus): Uint8Array
  /** Undefined where there is no such page. */
  page(page: number, nexus: Nexus): Uint8Array | undefined
}

/** INQUIRY: 1 EVPD(0), 2 PAGE CODE, 3 ALLOCATION LENGTH (2). */
export const inquiry =
  (source: InquirySource): Step =>
  (op) => {
    const { cdb, nexus } = op.task
    const wantsPage = (get8(cdb, 1) & 1) !== 0
    if (!wantsPage && cdb[2] !== 0) return op.check(invalidCdbField(2, 7))
    const bytes = wantsPage ? source.page(get8(cdb, 2), nexus) : source.standard(nexus)
    if (bytes === undefined) return op.check(invalidCdbField(2, 7))
    op.reply(bytes, get16(cdb, 3))
  }

/**
 * REQUEST SENSE (SPC-5 §6.39): 1 DESC(0), 4 ALLOCATION LENGTH. `current` says what the nexus should hear, and clears
 * what hearing it clears.
 */
export const requestSense =
  (current: (nexus: Nexus) => SenseData | undefined): Step =>
  (op) => {
    const { cdb, nexus } = op.task
    op.reply(encodeSense(current(nexus) ?? NO_SENSE, (get8(cdb, 1) & 1) !== 0), get8(cdb, 4))
  }

/** SELECT REPORT (SPC-5 §6.33): the logical units without, only, or with the well known one. */
const SelectReport = { units: 0, wellKnown: 1, all: 2 } as const

/**
 * REPORT LUNS: 2 SELECT REPORT, 6 ALLOCATION LENGTH (4). Works on any LUN, whether it has a unit or not. `heard`: the
 * nexus knows now that its LUNs have changed, if they have.
 */
export const reportLuns =
  (heard: (nexus: Nexus) => void): Step =>
  (op) => {
    const { cdb, nexus } = op.task
    const select = get8(cdb, 2)
    if (select > SelectReport.all) return op.check(invalidCdbField(2, 7))
    const luns = select === SelectReport.wellKnown ? [] : nexus.reportLuns()
    heard(nexus)
    op.reply(encodeReportLuns(luns, select !== SelectReport.units), get32(cdb, 6))
  }

/** TEST UNIT READY: all that could be wrong was checked before. */
export const testUnitReady: Step = (op) => op.good()

/** Byte 0: ABORT TASK, ABORT TASK SET, CLEAR ACA, CLEAR TASK SET, LOGICAL UNIT RESET; what RFC 7144 adds: QUERY TASK. */
const FUNCTIONS = 0xf8
const LATER_FUNCTIONS = 0x04
/** Byte 1: QUERY ASYNCHRONOUS EVENT, QUERY TASK SET, I_T NEXUS RESET. */
const LATER_FUNCTIONS_1 = 0x07

/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-5 §6.36). 2 REPD(7), 6 ALLOCATION LENGTH (4). */
export const reportTaskManagement: Step = (op) => {
  const { cdb, nexus } = op.task
  const allocationBytes = get32(cdb, 6)
  if (allocationBytes < 4) return op.check(invalidCdbField(6, 7))
  const extended = (get8(cdb, 2) & 0x80) !== 0
  const bytes = new Uint8Array(extended ? 16 : 4)
  const hasLater = (nexus.protocolLevel ?? 1) >= 2
  bytes[0] = FUNCTIONS | (hasLater ? LATER_FUNCTIONS : 0)
  bytes[1] = hasLater ? LATER_FUNCTIONS_1 : 0
  if (extended) bytes[3] = 12
  op.reply(bytes, allocationBytes)
}
