import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16, set16, set32, set64 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { invalidCdbField, SenseKey } from '../scsi/sense.ts'
import type { Command } from './command-table.ts'
import type { Operation } from './operation.ts'
import type { SpaceParameter, SpaceThreshold } from './space-threshold.ts'

/** Log pages (SPC-5 §7.3, SBC-4 §6.4). */
export const LogPage = {
  supported: 0x00,
  writeErrors: 0x02,
  readErrors: 0x03,
  verifyErrors: 0x05,
  provisioning: 0x0c,
  temperature: 0x0d,
  startStop: 0x0e,
  solidState: 0x11,
  informationalExceptions: 0x2f,
} as const

const ALL_SUBPAGES = 0xff
const CUMULATIVE = 1
/** TEMPERATURE: not available. */
const NO_TEMPERATURE = 0xff
/** Of the pages of error counters. */
export const TOTAL_UNCORRECTED = 0x0006
const ACCUMULATED_STARTS = 0x0004
const ENDURANCE_USED = 0x0001
/** FORMAT AND LINKING: binary list parameters; counters that do not wrap. */
const FORMAT_LIST = 0x03

/** What a disk counts. */
export interface DiskCounters {
  /** Commands that failed for the medium's sake. */
  readErrors: number
  writeErrors: number
  /** START STOP UNIT that stopped it. */
  stops: number
}

/** 0 PARAMETER CODE (2)   2 control   3 LENGTH   4 value */
function parameter(code: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + value.length)
  set16(bytes, 0, code)
  bytes[2] = FORMAT_LIST
  bytes[3] = value.length
  bytes.set(value, 4)
  return bytes
}

function counter(code: number, count: number): Uint8Array {
  const value = new Uint8Array(8)
  set64(value, 0, count)
  return parameter(code, value)
}

function starts(count: number): Uint8Array {
  const value = new Uint8Array(4)
  set32(value, 0, Math.min(count, 0xffff_ffff))
  return parameter(ACCUMULATED_STARTS, value)
}

const spaceParameter = ({ code, value }: SpaceParameter): Uint8Array => parameter(code, value)
const UNKNOWN: SenseData = {
  key: SenseKey.hardwareError,
  additional: AdditionalSense.internalTargetFailure,
}
const NO_PARAMETERS = (): readonly Uint8Array[] => []

/** LOG SENSE (SPC-5 §6.10). What cannot be known of a store is said to be not available, rather than made up. */
export class LogPages {
  readonly #pages: ReadonlyMap<number, () => readonly Uint8Array[]>
  readonly #space: SpaceThreshold | undefined

  /** `space`: only where it is known. */
  constructor(counters: DiskCounters, space: SpaceThreshold | undefined) {
    this.#space = space
    const temperature = Uint8Array.of(0, NO_TEMPERATURE)
    this.#pages = new Map<number, () => readonly Uint8Array[]>([
      [LogPage.writeErrors, () => [counter(TOTAL_UNCORRECTED, counters.writeErrors)]],
      [LogPage.readErrors, () => [counter(TOTAL_UNCORRECTED, counters.readErrors)]],
      [LogPage.verifyErrors, () => [counter(TOTAL_UNCORRECTED, counters.readErrors)]],
      ...(space ? [[LogPage.provisioning, () => space.parameters.map(spaceParameter)] as const] : []),
      [LogPage.temperature, () => [parameter(0, temperature)]],
      [LogPage.startStop, () => [starts(counters.stops)]],
      [LogPage.solidState, () => [parameter(ENDURANCE_USED, new Uint8Array(4))]],
      [LogPage.informationalExceptions, () => [parameter(0, Uint8Array.of(0, 0, NO_TEMPERATURE, 0))]],
    ])
  }

  /** 1 SP(0), zero   2 PC(7-6) PAGE CODE(5-0)   3 SUBPAGE CODE   5 PARAMETER POINTER (2)   7 ALLOCATION LENGTH (2) */
  readonly sense = (op: Operation): void => {
    const { cdb } = op.task
    const code = get8(cdb, 2) & 0x3f
    const subpage = get8(cdb, 3)
    if (get8(cdb, 2) >>> 6 !== CUMULATIVE) return op.check(invalidCdbField(2, 7))
    if (code === LogPage.supported && (subpage === 0 || subpage === ALL_SUBPAGES)) {
      return op.reply(this.#supported(subpage === ALL_SUBPAGES), get16(cdb, 7))
    }
    if (!this.#pages.has(code)) return op.check(invalidCdbField(2, 5))
    if (subpage !== 0) return op.check(invalidCdbField(3, 7))
    if (code === LogPage.provisioning && this.#space) this.#space.lookFor(op, this.#answer)
    else this.#answer(op)
  }

  readonly #answer = (op: Operation): void => {
    const { cdb } = op.task
    const code = get8(cdb, 2) & 0x3f
    if (op.error) return op.check(UNKNOWN)
    const page = this.#pages.get(code) ?? NO_PARAMETERS
    const pointer = get16(cdb, 5)
    const all = page()
    const from = all.findIndex((each) => get16(each, 0) >= pointer)
    if (from < 0) return op.check(invalidCdbField(5, 7))
    op.reply(encodePage(code, 0, Uint8Array.from(Buffer.concat(all.slice(from)))), get16(cdb, 7))
  }

  #supported(withSubpages: boolean): Uint8Array {
    const codes = [LogPage.supported, ...this.#pages.keys()]
    if (!withSubpages) return encodePage(LogPage.supported, 0, Uint8Array.from(codes))
    const pairs = [LogPage.supported, 0, ...codes.flatMap((code) => [code, code === 0 ? ALL_SUBPAGES : 0])]
    return encodePage(LogPage.supported, ALL_SUBPAGES, Uint8Array.from(pairs))
  }
}

/** 0 DS(7) SPF(6) PAGE CODE(5-0)   1 SUBPAGE CODE   2 LENGTH (2)   4 parameters. DS: nothing is saved. */
function encodePage(code: number, subpage: number, rest: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + rest.length)
  bytes[0] = 0x80 | (subpage === 0 ? 0 : 0x40) | code
  bytes[1] = subpage
  set16(bytes, 2, rest.length)
  bytes.set(rest, 4)
  return bytes
}

export const logSenseRow = (pages: LogPages): Command => ({
  name: 'LOG SENSE',
  opcode: Opcode.logSense,
  usage: '4d 00 ff ff 00 ff ff ff ff 00',
  reservation: 'read',
  reach: 'standby',
  flags: 0,
  timeoutS: 10,
  start: pages.sense,
})
