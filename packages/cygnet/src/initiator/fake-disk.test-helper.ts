import { joinSlices } from '../base/bytes.ts'
import { CygnetError } from '../base/errors.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { type Capacity16, encodeCapacity10, encodeCapacity16 } from '../scsi/capacity.ts'
import { cdbBlocks, cdbLba } from '../scsi/cdb.ts'
import { get16, get32, get64, get8, set32, set64, setAscii } from '../scsi/fields.ts'
import { encodeModeData } from '../scsi/mode.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import { encodeSense, illegalRequest, type SenseData, SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import {
  type BlockLimits,
  encodeBlockCharacteristics,
  encodeBlockLimits,
  encodeDeviceIdentification,
  encodeProvisioning,
  encodeSerialNumber,
  encodeSupportedPages,
  VpdPage,
} from '../scsi/vpd.ts'
import type {
  ScsiFailure,
  ScsiRequestOptions,
  ScsiResult,
  ScsiStatusResult,
} from '../session/initiator-role/scsi-request.ts'
import { type ScsiCommand, type ScsiExecutor, settleWith, type Timing } from './scsi-executor.ts'

/** A clock that stands still, and timers that fire when it is moved on. */
export class FakeTiming implements Timing {
  #now = 0
  readonly #timers = new Map<() => void, number>()
  now(): number {
    return this.#now
  }
  schedule(callback: () => void, delayMs: number): () => void {
    this.#timers.set(callback, this.#now + delayMs)
    return () => void this.#timers.delete(callback)
  }
  get timers(): number {
    return this.#timers.size
  }
  /** Moves on to the next timer, as often as `promise` needs that. Milliseconds that it took. */
  async runUntil(promise: Promise<unknown>): Promise<number> {
    const start = this.#now
    const state = { isOver: false }
    const over = (): void => void (state.isOver = true)
    promise.then(over, over)
    for (let turns = 0; !state.isOver && turns < 10_000; turns++) {
      // oxlint-disable-next-line no-await-in-loop -- turn after turn
      await new Promise((resolve) => setImmediate(resolve))
      const [next] = [...this.#timers].toSorted(([, a], [, b]) => a - b)
      if (state.isOver || next === undefined) continue
      this.#timers.delete(next[0])
      this.#now = Math.max(this.#now, next[1])
      next[0]()
    }
    return this.#now - start
  }
}

export const status = (code: number, more: Partial<ScsiStatusResult> = {}): ScsiStatusResult => ({
  kind: 'status',
  status: code,
  statusQualifier: 0,
  sense: new Uint8Array(0),
  dataInBytes: 0,
  dataInResidualBytes: 0,
  dataOutResidualBytes: 0,
  ...more,
})
export const check = (sense: SenseData): ScsiStatusResult =>
  status(ScsiStatus.checkCondition, { sense: encodeSense(sense, false) })
export const attention = (additional: number): ScsiStatusResult =>
  check({ key: SenseKey.unitAttention, additional })
const refused = (): ScsiStatusResult => check(illegalRequest(AdditionalSense.invalidOperationCode))

export const noLimits: BlockLimits = {
  compareAndWriteBlocks: 0,
  transferGranularityBlocks: 0,
  transferBlocks: 0,
  optimalTransferBlocks: 0,
  unmapBlocks: 0,
  unmapDescriptors: 0,
  unmapGranularityBlocks: 0,
  writeSameBlocks: 0,
  writeSameNonZero: true,
  atomicBlocks: 0,
  atomicGranularityBlocks: 0,
}

/** A SCSI disk in memory that answers as it is told to. */
export class FakeDisk implements ScsiExecutor {
  capacity: Capacity16
  serialNumber = 'FAKE1'
  deviceType = 0
  limits: BlockLimits | undefined = noLimits
  thin = true
  writeCache = true
  writeProtected = false
  dpoFua = true
  bytes: Uint8Array
  /** Opcodes that it refuses. */
  readonly unknown = new Set<number>()
  /** Answers to the next commands, for the opcode or for any (-1), instead of carrying them out. */
  readonly answers: { opcode: number; answer: ScsiStatusResult | ScsiFailure }[] = []
  readonly log: ScsiCommand[] = []
  /** Runs before a command is carried out. */
  onCommand: ((command: ScsiCommand) => Promise<void> | void) | undefined
  /** Unmapped blocks. */
  readonly holes = new Set<number>()
  /** Commands under way, and the most at a time. */
  active = 0
  mostActive = 0

  constructor(blocks = 1024, blockBytes = 512) {
    this.capacity = { blocks, blockBytes, physicalExponent: 0, thin: true, unmappedReadsZero: true }
    this.bytes = new Uint8Array(blocks * blockBytes)
  }

  /** The opcodes that came, without those that only ask what the unit is. */
  get opcodes(): number[] {
    return this.log.map(({ cdb }) => get8(cdb, 0))
  }

  async execute(command: ScsiCommand): Promise<ScsiStatusResult> {
    this.log.push(command)
    this.mostActive = Math.max(this.mostActive, ++this.active)
    try {
      await this.onCommand?.(command)
      await Promise.resolve()
      const opcode = get8(command.cdb, 0)
      const index = this.answers.findIndex((one) => one.opcode === opcode || one.opcode === -1)
      const scripted = index >= 0 ? this.answers.splice(index, 1)[0]?.answer : undefined
      if (scripted?.kind === 'failed') throw new CygnetError(scripted.code, scripted.message)
      if (scripted) return scripted
      return this.unknown.has(opcode) ? refused() : this.#carryOut(opcode, command)
    } finally {
      this.active--
    }
  }

  submit(command: ScsiRequestOptions, done: (result: ScsiResult) => void): void {
    void settleWith(this.execute(command), done)
  }

  #carryOut(opcode: number, command: ScsiCommand): ScsiStatusResult {
    const { cdb } = command
    switch (opcode) {
      case Opcode.testUnitReady:
      case Opcode.synchronizeCache10:
      case Opcode.synchronizeCache16:
      case Opcode.startStopUnit:
        return status(ScsiStatus.good)
      case Opcode.inquiry:
        return this.#inquiry(command)
      case Opcode.readCapacity10:
        return this.#answer(command, encodeCapacity10(this.capacity))
      case Opcode.serviceActionIn16:
        return (get8(cdb, 1) & 0x1f) === ServiceAction.readCapacity16
          ? this.#answer(command, encodeCapacity16(this.capacity))
          : this.#lbaStatus(command)
      case Opcode.modeSense10:
      case Opcode.modeSense6:
        return this.#modeSense(command, opcode === Opcode.modeSense10 ? 8 : 4)
      case Opcode.read10:
      case Opcode.read16: {
        const at = this.#range(cdb)
        return at === undefined
          ? check(illegalRequest(AdditionalSense.lbaOutOfRange))
          : this.#answer(command, this.bytes.subarray(at.start, at.end))
      }
      case Opcode.write10:
      case Opcode.write16:
        return this.#write(cdb, joinSlices(command.dataOut ?? []))
      case Opcode.writeSame10:
      case Opcode.writeSame16:
        return this.#writeSame(cdb, joinSlices(command.dataOut ?? []))
      case Opcode.unmap:
        return this.#unmap(joinSlices(command.dataOut ?? []))
      case Opcode.compareAndWrite:
        return this.#compareAndWrite(cdb, joinSlices(command.dataOut ?? []))
      default:
        return refused()
    }
  }

  #range(cdb: Uint8Array): { start: number; end: number } | undefined {
    const { blocks, blockBytes } = this.capacity
    const lba = cdbLba(cdb)
    const end = lba + cdbBlocks(cdb)
    return end > blocks ? undefined : { start: lba * blockBytes, end: end * blockBytes }
  }

  #answer({ dataIn = new Uint8Array(0) }: ScsiCommand, bytes: Uint8Array): ScsiStatusResult {
    const part = bytes.subarray(0, dataIn.length)
    dataIn.set(part)
    return status(ScsiStatus.good, {
      dataInBytes: part.length,
      dataInResidualBytes: dataIn.length - bytes.length,
    })
  }

  #write(cdb: Uint8Array, data: Uint8Array): ScsiStatusResult {
    const at = this.#range(cdb)
    if (at === undefined) return check(illegalRequest(AdditionalSense.lbaOutOfRange))
    this.bytes.set(data, at.start)
    this.#map(at.start, at.end, false)
    return status(ScsiStatus.good)
  }

  #writeSame(cdb: Uint8Array, block: Uint8Array): ScsiStatusResult {
    const at = this.#range(cdb)
    const mayUnmap = (get8(cdb, 1) & 0x08) !== 0
    if (at === undefined || (mayUnmap && !this.thin))
      return check(illegalRequest(AdditionalSense.invalidFieldInCdb))
    for (let i = at.start; i < at.end; i += block.length) this.bytes.set(block, i)
    this.#map(at.start, at.end, mayUnmap)
    return status(ScsiStatus.good)
  }

  #unmap(list: Uint8Array): ScsiStatusResult {
    const { blockBytes } = this.capacity
    const start = get64(list, 8) * blockBytes
    const end = start + get32(list, 16) * blockBytes
    this.bytes.fill(0, start, end)
    this.#map(start, end, true)
    return status(ScsiStatus.good)
  }

  #compareAndWrite(cdb: Uint8Array, data: Uint8Array): ScsiStatusResult {
    const lengthBytes = get8(cdb, 13) * this.capacity.blockBytes
    const at = get64(cdb, 2) * this.capacity.blockBytes
    const isSame = this.bytes.subarray(at, at + lengthBytes).every((byte, i) => byte === data[i])
    if (!isSame)
      return check({ key: SenseKey.miscompare, additional: AdditionalSense.miscompareDuringVerify })
    this.bytes.set(data.subarray(lengthBytes), at)
    return status(ScsiStatus.good)
  }

  #map(start: number, end: number, isHole: boolean): void {
    const { blockBytes } = this.capacity
    for (let lba = start / blockBytes; lba < end / blockBytes; lba++) {
      if (isHole) this.holes.add(lba)
      else this.holes.delete(lba)
    }
  }

  #lbaStatus(command: ScsiCommand): ScsiStatusResult {
    if (!this.thin) return check(illegalRequest(AdditionalSense.invalidFieldInCdb))
    const lba = get64(command.cdb, 2)
    const isHole = this.holes.has(lba)
    let end = lba
    while (end < this.capacity.blocks && this.holes.has(end) === isHole) end++
    const bytes = new Uint8Array(24)
    set32(bytes, 0, 20)
    set64(bytes, 8, lba)
    set32(bytes, 16, end - lba)
    bytes[20] = isHole ? 1 : 0
    return this.#answer(command, bytes)
  }

  #modeSense(command: ScsiCommand, headerBytes: 4 | 8): ScsiStatusResult {
    const page = new Uint8Array(20)
    page[0] = 0x08
    page[1] = 18
    page[2] = this.writeCache ? 0x04 : 0
    const deviceSpecific = (this.writeProtected ? 0x80 : 0) | (this.dpoFua ? 0x10 : 0)
    const data = { deviceSpecific, block: undefined, longBlock: false, pages: [page] }
    return this.#answer(command, encodeModeData(data, headerBytes))
  }

  #inquiry(command: ScsiCommand): ScsiStatusResult {
    const { cdb } = command
    if ((get8(cdb, 1) & 1) === 0) return this.#answer(command, this.#standardInquiry())
    const pages: Readonly<Record<number, () => Uint8Array | undefined>> = {
      [VpdPage.supportedPages]: () =>
        encodeSupportedPages(0, [0, 0x80, 0x83, 0xb1, 0xb2, ...(this.limits ? [0xb0] : [])]),
      [VpdPage.unitSerialNumber]: () => encodeSerialNumber(0, this.serialNumber),
      [VpdPage.deviceIdentification]: () =>
        encodeDeviceIdentification(0, [
          { association: 0, type: 1, codeSet: 2, value: new TextEncoder().encode(this.serialNumber) },
        ]),
      [VpdPage.blockLimits]: () => this.limits && encodeBlockLimits(0, this.limits),
      [VpdPage.blockDeviceCharacteristics]: () => encodeBlockCharacteristics(0, false, false),
      [VpdPage.logicalBlockProvisioning]: () =>
        encodeProvisioning(0, { thin: this.thin, anchors: false, thresholdExponent: 0 }),
    }
    const page = pages[get8(cdb, 2)]?.()
    return page && get16(cdb, 3) > 0
      ? this.#answer(command, page)
      : check(illegalRequest(AdditionalSense.invalidFieldInCdb))
  }

  #standardInquiry(): Uint8Array {
    const bytes = new Uint8Array(36)
    bytes[0] = this.deviceType
    bytes[2] = 6
    bytes[3] = 2
    bytes[4] = 31
    setAscii(bytes, 8, 8, 'FAKE')
    setAscii(bytes, 16, 16, 'DISK')
    return bytes
  }
}
