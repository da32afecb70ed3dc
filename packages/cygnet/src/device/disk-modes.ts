import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16 } from '../scsi/fields.ts'
import type { ModeParts } from '../scsi/mode.ts'
import {
  ALL_SUBPAGES,
  decodeModeHeader,
  decodeModePages,
  encodeModeData,
  ModeFlags,
  ModePage,
  modePageLength,
  PageControl,
} from '../scsi/mode.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField, invalidParameterField, SenseKey } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import type { QueueError } from './device-server.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { Page } from './disk-mode-pages.ts'
import { definePage, pageKey, subpageKey, thresholdOf, thresholdPages } from './disk-mode-pages.ts'
import type { Operation } from './operation.ts'
import { gather } from './parameters.ts'

const WCE = 0x04
/** QERR, byte 3 of the control page. TST = 000b and TAS = 0 cannot be changed. */
const QERR = 0x06
const QERR_SHIFT = 1
const QERR_RESERVED = 2
const D_SENSE = 0x04
const GLTSD = 0x02
const SWP = 0x08
const UNRESTRICTED_REORDERING = 0x10
const DEXCPT = 0x08

const PS = 0x80
const SPF = 0x40
/** Of the CDB. */
const SP = 0x01
const RECORD = 'modePages'
const SAVE_FAILED: SenseData = {
  key: SenseKey.hardwareError,
  additional: AdditionalSense.internalTargetFailure,
}

/** The longest parameter list that MODE SELECT takes: every page, a long block descriptor, a header, with room. */
const SELECT_LIMIT_BYTES = 256

/**
 * MODE SENSE and MODE SELECT (6) and (10) of a disk (SPC-5 §6.11 to §6.14): the caching page with WCE, the control page
 * with D_SENSE, QERR and SWP, the informational exceptions page. Where there are records, SP saves pages over resets and
 * restarts.
 */
export class DiskModes {
  readonly #medium: DiskMedium
  readonly #protected: boolean
  /** In order of code and subpage. */
  readonly #pages: ReadonlyMap<string, Page>
  readonly #caching: Page
  readonly #control: Page
  readonly #thresholds: ReturnType<typeof thresholdPages> | undefined
  readonly #records: DurableRecords | undefined
  readonly #changed: (cause: Nexus) => void

  /**
   * `changed` is called when MODE SELECT changed something, with who did it. `thresholdCount`: of the space that is left, in
   * threshold sets, 0 for none; undefined where the space is not known.
   */
  constructor(
    medium: DiskMedium,
    isProtected: boolean,
    records: DurableRecords | undefined,
    changed: (cause: Nexus) => void,
    thresholdCount?: number,
  ) {
    this.#thresholds = thresholdCount === undefined ? undefined : thresholdPages(thresholdCount)
    this.#records = records
    this.#medium = medium
    this.#protected = isProtected
    this.#changed = changed
    // Without a volatile cache there is nothing to enable.
    const wce = medium.store.can.volatileCache ? WCE : 0
    this.#caching = definePage(ModePage.caching, 20, [[2, medium.writeCache ? wce : 0, wce]])
    this.#control = definePage(ModePage.control, 12, [
      [2, GLTSD, D_SENSE],
      [3, UNRESTRICTED_REORDERING, QERR],
      [4, 0, SWP],
    ])
    const exceptions = definePage(ModePage.informationalExceptions, 12, [[2, DEXCPT, 0]])
    const pages = [
      ...(this.#thresholds ? [this.#thresholds.recovery] : []),
      this.#caching,
      this.#control,
      exceptions,
      ...(this.#thresholds ? [this.#thresholds.provisioning] : []),
    ]
    this.#pages = new Map(pages.map((page) => [pageKey(page), page]))
    this.#restore()
  }

  /** MODE SELECT with SP. */
  get canSave(): boolean {
    return this.#records !== undefined
  }

  /** What was saved, as far as it can be changed. */
  #restore(): void {
    const record = (this.#records?.get(RECORD) ?? {}) as Readonly<Record<string, string>>
    for (const [key, page] of this.#pages) {
      const bytes = Buffer.from(record[key] ?? '', 'hex')
      if (bytes.length !== page.saved.length) continue
      for (let i = 2; i < bytes.length; i++) {
        const mask = get8(page.changeable, i)
        page.saved[i] = (get8(page.initial, i) & ~mask) | (get8(bytes, i) & mask)
      }
    }
    this.reset()
  }

  /** D_SENSE: sense data in descriptor format. */
  get descriptorSense(): boolean {
    return (get8(this.#control.current, 2) & D_SENSE) !== 0
  }

  get queueError(): QueueError {
    return ((get8(this.#control.current, 3) & QERR) >>> QERR_SHIFT) as QueueError
  }

  /** SWP: software write protect. */
  get softwareProtect(): boolean {
    return (get8(this.#control.current, 4) & SWP) !== 0
  }

  /** The least space that should be left, in threshold sets. Undefined: nobody wants to hear of it. */
  get thresholdCount(): number | undefined {
    return this.#thresholds && thresholdOf(this.#thresholds.recovery, this.#thresholds.provisioning)
  }

  reset(): void {
    for (const page of this.#pages.values()) page.current.set(page.saved)
    this.#apply()
  }

  #apply(): void {
    this.#medium.writeCache = (get8(this.#caching.current, 2) & WCE) !== 0
  }

  /** 1 LLBAA(4, only in the 10-byte CDB) DBD(3), 2 PC(7-6) PAGE CODE(5-0), 3 SUBPAGE CODE, 4 or 7 ALLOCATION LENGTH. */
  readonly sense = (op: Operation): void => {
    const cdb = op.task.cdb
    const isLong = cdb[0] === Opcode.modeSense10
    const control = get8(cdb, 2) >>> 6
    const code = get8(cdb, 2) & 0x3f
    if (control === PageControl.saved && !this.canSave)
      return op.check(illegalRequest(AdditionalSense.savingNotSupported))
    const subpage = get8(cdb, 3)
    const ofCode = [...this.#pages.values()].filter((page) => code === ModePage.all || page.code === code)
    if (ofCode.length === 0) return op.check(invalidCdbField(2, 5))
    const pages = ofCode.filter((page) => subpage === ALL_SUBPAGES || page.subpage === subpage)
    if (pages.length === 0 || (code === ModePage.all && subpage !== 0 && subpage !== ALL_SUBPAGES)) {
      return op.check(invalidCdbField(3, 7))
    }
    const values = VALUES[control] ?? 'current'
    const withBlock = (get8(cdb, 1) & 0x08) === 0
    const isProtected = this.#protected || this.softwareProtect || op.task.nexus.readOnly === true
    const data = {
      deviceSpecific: ModeFlags.dpoFua | (isProtected ? ModeFlags.writeProtected : 0),
      block: withBlock ? this.#medium : undefined,
      longBlock: isLong && (get8(cdb, 1) & 0x10) !== 0,
      pages: pages.map((page) => this.#savable(page[values])),
    }
    op.reply(encodeModeData(data, isLong ? 8 : 4), isLong ? get16(cdb, 7) : get8(cdb, 4))
  }

  /** With PS, where pages can be saved. */
  #savable(bytes: Uint8Array): Uint8Array {
    if (!this.canSave) return bytes
    const copy = Uint8Array.from(bytes)
    copy[0] = PS | get8(bytes, 0)
    return copy
  }

  /** 1 PF(4) SP(0), 4 or 7 PARAMETER LIST LENGTH. */
  readonly select = (op: Operation): void => {
    const cdb = op.task.cdb
    const isLong = cdb[0] === Opcode.modeSelect10
    const lengthBytes = isLong ? get16(cdb, 7) : get8(cdb, 4)
    if (lengthBytes === 0) return op.good()
    if (!(get8(cdb, 1) & 0x10)) return op.check(invalidCdbField(1, 4))
    if (lengthBytes > SELECT_LIMIT_BYTES) return op.check(invalidCdbField(isLong ? 7 : 4, 7))
    op.receive(lengthBytes, this.#selectInTurn)
  }

  /** One at a time, as each starts from what the one before has made of the pages. No block lies where they are locked. */
  readonly #selectInTurn = (op: Operation): void => {
    op.offset = -1
    op.lengthBytes = 1
    this.#medium.locks.acquire(op, 'exclusive', this.#selectReceived)
  }

  readonly #selectReceived = (op: Operation): void => {
    const { task } = op
    const list = gather(task)
    const isLong = task.cdb[0] === Opcode.modeSelect10
    const parts = list && decodeModeHeader(list, isLong ? 8 : 4)
    if (!list || !parts) return op.check(illegalRequest(AdditionalSense.parameterListLengthError))
    // All pages are checked before any takes effect.
    const problem = this.#checkBlock(parts) ?? this.#walkPages(list, parts.pagesAt, false)
    if (problem) return op.check(problem)
    op.parameters = list.subarray(parts.pagesAt)
    if (!this.#records || !(get8(task.cdb, 1) & SP)) return this.#takeEffect(op)
    op.awaitStore(this.#saved)
    this.#records.set(RECORD, this.#recordWith(op.parameters), op.done)
  }

  /** All pages, with what the list makes of them. */
  #recordWith(list: Uint8Array): Readonly<Record<string, string>> {
    const record: Record<string, string> = {}
    for (const [key, page] of this.#pages) record[key] = Buffer.from(page.current).toString('hex')
    for (const page of decodeModePages(list, 0)) record[keyAt(page, 0)] = Buffer.from(page).toString('hex')
    return record
  }

  readonly #saved = (op: Operation): void => {
    if (op.error) return op.check(SAVE_FAILED)
    this.#takeEffect(op)
    for (const page of this.#pages.values()) page.saved.set(page.current)
  }

  #takeEffect(op: Operation): void {
    const { task } = op
    const before = this.#fingerprint()
    const hadWriteCache = this.#medium.writeCache
    this.#walkPages(op.parameters ?? NO_PAGES, 0, true)
    this.#apply()
    if (this.#fingerprint() !== before) this.#changed(task.nexus)
    if (this.#medium.writeCache || !hadWriteCache) return op.good()
    // From now on GOOD means durable: so must be what was written before.
    op.awaitStore(this.#flushed)
    this.#medium.store.flush(op.done)
  }

  readonly #flushed = (op: Operation): void => {
    if (op.error) op.check(this.#medium.failure(op.error, 'write', 0))
    else op.good()
  }

  /** The block length cannot change; zero says "as it is". */
  #checkBlock(parts: ModeParts): SenseData | undefined {
    const { blockBytes, descriptorAt } = parts
    if (blockBytes === undefined || blockBytes === 0 || blockBytes === this.#medium.blockBytes)
      return undefined
    return invalidParameterField(descriptorAt + 4)
  }

  #walkPages(list: Uint8Array, from: number, apply: boolean): SenseData | undefined {
    for (let at = from; at < list.length; ) {
      const page = this.#pages.get(keyAt(list, at))
      if (!page) return invalidParameterField(at, 5)
      const lengthBytes = modePageLength(list, at)
      if (lengthBytes === undefined) return illegalRequest(AdditionalSense.parameterListLengthError)
      if (lengthBytes !== page.current.length) return invalidParameterField(at + 1, 7)
      if (at + lengthBytes > list.length) return illegalRequest(AdditionalSense.parameterListLengthError)
      for (let i = 2; i < lengthBytes; i++) {
        const fixed = (get8(list, at + i) ^ get8(page.current, i)) & ~get8(page.changeable, i)
        if (fixed !== 0) return invalidParameterField(at + i, 31 - Math.clz32(fixed))
        if (
          page === this.#control &&
          i === 3 &&
          (get8(list, at + i) & QERR) >>> QERR_SHIFT === QERR_RESERVED
        ) {
          return invalidParameterField(at + i, 2)
        }
        if (apply) page.current[i] = get8(list, at + i)
      }
      at += lengthBytes
    }
    return undefined
  }

  #fingerprint(): string {
    return [...this.#pages.values()].map((page) => page.current.join()).join()
  }
}

/** Of the page or subpage that begins at `at`, PS aside. */
function keyAt(list: Uint8Array, at: number): string {
  const code = get8(list, at) & 0x3f
  return get8(list, at) & SPF ? subpageKey(code, get8(list, at + 1)) : `${code}`
}

const VALUES = ['current', 'changeable', 'initial', 'saved'] as const
const NO_PAGES = new Uint8Array(0)
