import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get32, get48, set16, set48 } from '../scsi/fields.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import { illegalRequest, invalidCdbField } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { Operation } from './operation.ts'
import { gather } from './parameters.ts'

const RECORD = 'identifyingInformation'
/** Information types, and most bytes of each (SPC-5 §6.32): of the peripheral device, and as text. */
const INFORMATION_BYTES: Readonly<Record<number, number>> = { 0: 64, 2: 256 }
const NO_INFORMATION = new Uint8Array(0)
/** Not information, but which types of it there are. */
const SUPPORTED_TYPES = 0x7f
const TIMESTAMP_BYTES = 12
/** TIMESTAMP ORIGIN: set by SET TIMESTAMP, or by other means. */
const Origin = { command: 2, other: 3 } as const
const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)

type Tell = (what: AdditionalSense, cause: Nexus) => void

/** What initiators note at a unit: identifying information (SPC-5 §6.32, §6.43) and its clock (§6.37, §6.47). */
export class UnitInformation {
  readonly #now: () => number
  readonly #records: DurableRecords | undefined
  readonly #tell: Tell
  readonly #information = new Map<number, Uint8Array>()
  /** Of the clock that was set, against the unit's own; undefined: it was not. */
  #offsetMs: number | undefined

  /** `now`: milliseconds since 1970. `tell` everybody but the cause. */
  constructor(now: () => number, records: DurableRecords | undefined, tell: Tell) {
    this.#now = now
    this.#records = records
    this.#tell = tell
    const saved = (records?.get(RECORD) ?? {}) as Readonly<Record<string, string>>
    for (const [type, hex] of Object.entries(saved)) {
      this.#information.set(Number(type), Uint8Array.from(Buffer.from(hex, 'hex')))
    }
  }

  /** 6 ALLOCATION LENGTH (4). Data: 0 LENGTH (2)   2 ORIGIN(2-0)   4 TIMESTAMP (6), milliseconds. */
  readonly reportTimestamp = (op: Operation): void => {
    const bytes = new Uint8Array(TIMESTAMP_BYTES)
    set16(bytes, 0, TIMESTAMP_BYTES - 2)
    bytes[2] = this.#offsetMs === undefined ? Origin.other : Origin.command
    set48(bytes, 4, this.#now() + (this.#offsetMs ?? 0))
    op.reply(bytes, get32(op.task.cdb, 6))
  }

  /** 6 PARAMETER LIST LENGTH (4). The list: 4 TIMESTAMP (6). */
  readonly setTimestamp = (op: Operation): void => {
    const lengthBytes = get32(op.task.cdb, 6)
    if (lengthBytes === 0) return op.good()
    if (lengthBytes !== TIMESTAMP_BYTES) return op.check(LENGTH_ERROR)
    op.receive(lengthBytes, this.#timestampReceived)
  }

  readonly #timestampReceived = (op: Operation): void => {
    const list = gather(op.task)
    if (!list) return op.check(LENGTH_ERROR)
    this.#offsetMs = get48(list, 4) - this.#now()
    this.#tell(AdditionalSense.timestampChanged, op.task.nexus)
    op.good()
  }

  /** 6 ALLOCATION LENGTH (4)   10 TYPE(7-1). Data: 2 LENGTH (2)   4 INFORMATION. */
  readonly reportIdentifying = (op: Operation): void => {
    const { cdb } = op.task
    const type = get8(cdb, 10) >>> 1
    if (type === SUPPORTED_TYPES) return op.reply(supportedTypes(), get32(cdb, 6))
    if (INFORMATION_BYTES[type] === undefined) return op.check(invalidCdbField(10, 7))
    const information = this.#information.get(type) ?? NO_INFORMATION
    const bytes = new Uint8Array(4 + information.length)
    set16(bytes, 2, information.length)
    bytes.set(information, 4)
    op.reply(bytes, get32(cdb, 6))
  }

  /** 6 PARAMETER LIST LENGTH (4), that of the information   10 TYPE(7-1) */
  readonly setIdentifying = (op: Operation): void => {
    const { cdb } = op.task
    const limitBytes = INFORMATION_BYTES[get8(cdb, 10) >>> 1]
    const lengthBytes = get32(cdb, 6)
    if (limitBytes === undefined) return op.check(invalidCdbField(10, 7))
    if (lengthBytes > limitBytes) return op.check(invalidCdbField(6, 7))
    op.receive(lengthBytes, this.#identifyingReceived)
  }

  readonly #identifyingReceived = (op: Operation): void => {
    const list = gather(op.task)
    if (!list) return op.check(LENGTH_ERROR)
    this.#information.set(get8(op.task.cdb, 10) >>> 1, list)
    if (!this.#records) return this.#saved(op)
    const value = Object.fromEntries(
      [...this.#information].map(([type, bytes]) => [type, Buffer.from(bytes).toString('hex')]),
    )
    op.awaitStore(this.#saved)
    this.#records.set(RECORD, value, op.done)
  }

  readonly #saved = (op: Operation): void => {
    if (op.error) return op.check(illegalRequest(AdditionalSense.insufficientResources))
    this.#tell(AdditionalSense.deviceIdentifierChanged, op.task.nexus)
    op.good()
  }
}

/** 2 LENGTH (2), then for each type 0 TYPE(7-1)   2 MAXIMUM LENGTH (2) */
function supportedTypes(): Uint8Array {
  const types = Object.entries(INFORMATION_BYTES)
  const bytes = new Uint8Array(4 + 4 * types.length)
  set16(bytes, 2, bytes.length - 4)
  for (const [i, [type, limitBytes]] of types.entries()) {
    bytes[4 + 4 * i] = Number(type) << 1
    set16(bytes, 6 + 4 * i, limitBytes)
  }
  return bytes
}

const inRow = { opcode: Opcode.maintenanceIn, reservation: 'read', flags: 0, timeoutS: 10 } as const
const outRow = {
  opcode: Opcode.maintenanceOut,
  reservation: 'write',
  flags: CommandFlag.governs,
  timeoutS: 10,
} as const

export const informationCommands = (information: UnitInformation): Command[] => [
  {
    ...inRow,
    name: 'REPORT IDENTIFYING INFORMATION',
    serviceAction: ServiceAction.reportIdentifyingInformation,
    usage: 'a3 05 00 00 00 00 ff ff ff ff fe 00',
    start: information.reportIdentifying,
  },
  {
    ...outRow,
    name: 'SET IDENTIFYING INFORMATION',
    serviceAction: ServiceAction.setIdentifyingInformation,
    usage: 'a4 06 00 00 00 00 ff ff ff ff fe 00',
    start: information.setIdentifying,
  },
  {
    ...inRow,
    name: 'REPORT TIMESTAMP',
    serviceAction: ServiceAction.reportTimestamp,
    usage: 'a3 0f 00 00 00 00 ff ff ff ff 00 00',
    start: information.reportTimestamp,
  },
  {
    ...outRow,
    name: 'SET TIMESTAMP',
    serviceAction: ServiceAction.setTimestamp,
    usage: 'a4 0f 00 00 00 00 ff ff ff ff 00 00',
    start: information.setTimestamp,
  },
]
