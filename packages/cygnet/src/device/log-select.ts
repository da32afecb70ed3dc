import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16, get64 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField, invalidParameterField } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { DiskCounters } from './log-pages.ts'
import { LogPage, TOTAL_UNCORRECTED } from './log-pages.ts'
import type { Operation } from './operation.ts'
import { gather } from './parameters.ts'

/** PC: cumulative values, and what they begin with. The others are thresholds, of which there are none. */
const PageControl = { cumulative: 1, defaultCumulative: 3 } as const
const PARAMETER_CODE_RESET = 0x02
/** Every page with counters, in any order, and room. */
const LIST_LIMIT_BYTES = 256
const PAGE_HEADER_BYTES = 4
const PARAMETER_BYTES = 12
const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)

/** The counters that an initiator may set, by page. */
const SETTABLE: Readonly<Record<number, 'readErrors' | 'writeErrors'>> = {
  [LogPage.writeErrors]: 'writeErrors',
  [LogPage.readErrors]: 'readErrors',
  [LogPage.verifyErrors]: 'readErrors',
}

/**
 * LOG SELECT (SPC-5 §6.8): begins error counters anew, or sets them. What else log pages tell is no initiator's to change.
 * `changed`: everybody but the cause must hear of it.
 */
export class LogSelect {
  readonly #counters: DiskCounters
  readonly #changed: (cause: Nexus) => void

  constructor(counters: DiskCounters, changed: (cause: Nexus) => void) {
    this.#counters = counters
    this.#changed = changed
  }

  /** 1 PCR(1) SP(0), zero   2 PC(7-6) PAGE CODE(5-0)   3 SUBPAGE CODE   7 PARAMETER LIST LENGTH (2) */
  readonly select = (op: Operation): void => {
    const { cdb } = op.task
    const resets = (get8(cdb, 1) & PARAMETER_CODE_RESET) !== 0
    const control = get8(cdb, 2) >>> 6
    const code = get8(cdb, 2) & 0x3f
    const lengthBytes = get16(cdb, 7)
    if (control !== PageControl.cumulative && control !== PageControl.defaultCumulative) {
      return op.check(invalidCdbField(2, 7))
    }
    if (lengthBytes > 0) {
      if (resets) return op.check(invalidCdbField(1, 1))
      if (code !== 0) return op.check(invalidCdbField(2, 5))
      if (get8(cdb, 3) !== 0) return op.check(invalidCdbField(3, 7))
      if (lengthBytes > LIST_LIMIT_BYTES) return op.check(LENGTH_ERROR)
      return op.receive(lengthBytes, this.#received)
    }
    const counter = SETTABLE[code]
    if (code !== 0 && counter === undefined) return op.check(invalidCdbField(2, 5))
    if (get8(cdb, 3) !== 0) return op.check(invalidCdbField(3, 7))
    if (resets || control === PageControl.defaultCumulative) {
      for (const name of counter ? [counter] : Object.values(SETTABLE)) this.#counters[name] = 0
      this.#changed(op.task.nexus)
    }
    op.good()
  }

  readonly #received = (op: Operation): void => {
    const list = gather(op.task)
    if (!list) return op.check(LENGTH_ERROR)
    const values = decodeCounters(list)
    if (!(values instanceof Map)) return op.check(values)
    for (const [name, count] of values) this.#counters[name] = count
    if (values.size > 0) this.#changed(op.task.nexus)
    op.good()
  }
}

/**
 * Pages: 0 SPF(6) PAGE CODE(5-0)   1 SUBPAGE CODE   2 PAGE LENGTH (2), then parameters: 0 PARAMETER CODE (2)   3 LENGTH   4 value.
 * All are checked before any takes effect.
 */
function decodeCounters(list: Uint8Array): Map<'readErrors' | 'writeErrors', number> | SenseData {
  const values = new Map<'readErrors' | 'writeErrors', number>()
  for (let at = 0; at < list.length; ) {
    if (at + PAGE_HEADER_BYTES > list.length) return LENGTH_ERROR
    const name = SETTABLE[get8(list, at) & 0x7f]
    const end = at + PAGE_HEADER_BYTES + get16(list, at + 2)
    if (name === undefined) return invalidParameterField(at, 5)
    if (get8(list, at + 1) !== 0) return invalidParameterField(at + 1, 7)
    if (end > list.length) return LENGTH_ERROR
    for (at += PAGE_HEADER_BYTES; at < end; at += PARAMETER_BYTES) {
      if (at + PARAMETER_BYTES > end) return LENGTH_ERROR
      if (get16(list, at) !== TOTAL_UNCORRECTED) return invalidParameterField(at, 7)
      if (get8(list, at + 3) !== PARAMETER_BYTES - 4) return invalidParameterField(at + 3, 7)
      // A counter stays at the most that it can have, and ours are exact below 2^53.
      values.set(name, Math.min(get64(list, at + 4), Number.MAX_SAFE_INTEGER))
    }
  }
  return values
}

export const logSelectRow = (pages: LogSelect): Command => ({
  name: 'LOG SELECT',
  opcode: Opcode.logSelect,
  usage: '4c 02 ff ff 00 00 00 ff ff 00',
  reservation: 'write',
  reach: 'standby',
  flags: CommandFlag.governs,
  timeoutS: 10,
  start: pages.select,
})
