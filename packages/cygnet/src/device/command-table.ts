import { get8 } from '../scsi/fields.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField } from '../scsi/sense.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { cdbControlAt, cdbServiceAction, lengthOfCdb, NACA } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { Step } from './operation.ts'
import type { Reach } from './target-port-groups.ts'

export const CommandFlag = {
  /** A pending unit attention waits for another command (SAM-5 §5.14). */
  quiet: 1,
  /** Needs the medium: refused while the unit is stopped. */
  medium: 2,
  /** Changes the medium: refused where it is write protected. */
  write: 4,
  /** Changes the unit for every initiator: refused to one that may only read. */
  governs: 8,
} as const

/**
 * Which reservations of others a command conflicts with (SPC-5 §5.13.1, SBC-4 §4.17, SPC-2 §5.5.1):
 * `allowed` none; `reserve` what RESERVE has reserved; `read` that, and persistent reservations for exclusive access;
 * `write` every one. `own`: the command sees to it itself.
 */
export type ReservationClass = 'allowed' | 'reserve' | 'read' | 'write' | 'own'

/** One row of a device type's dispatch table: all that is known of a command. */
export interface Command {
  readonly name: string
  readonly opcode: number
  /** Bits 4..0 of byte 1 (bytes 8 and 9 of a variable length CDB), where the opcode alone does not say which command it is. */
  readonly serviceAction?: number
  /**
   * CDB usage data in hexadecimal: the bits that the unit looks at, NACA in CONTROL aside. Every other bit must be zero.
   */
  readonly usage: string
  /** Bits that older standards defined and that may be set without effect, like `usage`. */
  readonly ignored?: string
  readonly reservation: ReservationClass
  /** Whether a CDB asks for something that conflicts with no reservation, although others of the command do. */
  readonly isHarmless?: (cdb: Uint8Array) => boolean
  /** Works while the target port is not active: how far from it (SPC-5 §5.18.2.4). Not at all where not given. */
  readonly reach?: Reach
  /** Bits of `CommandFlag`. */
  readonly flags: number
  /** Recommended timeout in seconds, for REPORT SUPPORTED OPERATION CODES. */
  readonly timeoutS: number
  readonly start: Step
}

/** A command whose CDB usage data are bytes. */
export interface TableEntry extends Command {
  /** As long as the CDB; opcode and service action hold their values (SPC-5 §6.35.3). */
  readonly usageBytes: Uint8Array
  readonly allowedBits: Uint8Array
  /** The byte of CONTROL. */
  readonly controlAt: number
}

type Slot = TableEntry | ReadonlyMap<number, TableEntry> | undefined

/** Finds commands, and checks CDBs against their usage data. */
export class CommandTable {
  /** In order of opcode and service action. */
  readonly entries: readonly TableEntry[]
  readonly #slots: Slot[] = Array.from<Slot>({ length: 256 }).fill(undefined)

  constructor(commands: readonly Command[]) {
    const order = (command: Command): number => command.opcode * 0x1_0000 + (command.serviceAction ?? 0)
    this.entries = commands.map(toEntry).toSorted((a, b) => order(a) - order(b))
    for (const entry of this.entries) {
      const slot = this.#slots[entry.opcode]
      if (entry.serviceAction === undefined) this.#slots[entry.opcode] = entry
      else
        this.#slots[entry.opcode] = new Map(slot instanceof Map ? slot : []).set(entry.serviceAction, entry)
    }
  }

  find(opcode: number, serviceAction: number): TableEntry | undefined {
    const slot = this.#slots[opcode]
    return slot instanceof Map ? slot.get(serviceAction) : (slot as TableEntry | undefined)
  }

  /** The command that a CDB is. */
  entryFor(cdb: Uint8Array): TableEntry | undefined {
    const slot = this.#slots[get8(cdb, 0)]
    return slot instanceof Map ? slot.get(cdbServiceAction(cdb)) : (slot as TableEntry | undefined)
  }

  /** Whether the opcode is known, and has service actions. */
  kind(opcode: number): 'unknown' | 'plain' | 'service-actions' {
    const slot = this.#slots[opcode]
    if (slot === undefined) return 'unknown'
    return slot instanceof Map ? 'service-actions' : 'plain'
  }

  /** Why there is no entry. */
  unknown(opcode: number): SenseData {
    if (opcode === Opcode.variableLength && this.kind(opcode) !== 'unknown') return invalidCdbField(8, 7)
    if (this.kind(opcode) === 'service-actions') return invalidCdbField(1, 4)
    return illegalRequest(AdditionalSense.invalidOperationCode)
  }
}

/** Rows that differ by opcode and CDB length only. FUA_NV and SYNC_NV, once defined, may be set without effect. */
export const family = (
  base: Pick<Command, 'reservation' | 'flags' | 'timeoutS' | 'start'>,
  rows: readonly (readonly [name: string, opcode: number, usage: string, ignored?: string])[],
): Command[] =>
  rows.map(([name, opcode, usage, ignored]) => ({
    ...base,
    name,
    opcode,
    usage,
    ...(ignored === undefined ? {} : { ignored }),
  }))

function toEntry(command: Command): TableEntry {
  const usageBytes = fromHex(command.usage)
  if (usageBytes.length !== lengthOfCdb(usageBytes)) {
    throw new RangeError(`${command.name}: CDB usage data of ${usageBytes.length} bytes`)
  }
  const controlAt = cdbControlAt(command.opcode)
  usageBytes[controlAt] = NACA | get8(usageBytes, controlAt)
  const allowedBits = Uint8Array.from(usageBytes)
  allowedBits[0] = 0xff
  if (command.opcode === Opcode.variableLength) allowedBits.fill(0xff, 8, 10)
  else if (command.serviceAction !== undefined) allowedBits[1] = 0x1f | get8(usageBytes, 1)
  if (command.ignored !== undefined) {
    for (const [i, bits] of fromHex(command.ignored).entries()) allowedBits[i] = bits | get8(allowedBits, i)
  }
  return { ...command, usageBytes, allowedBits, controlAt }
}

/** ADDITIONAL CDB LENGTH is the command's, and its transport brought all of it. */
const isWhole = ({ usageBytes }: TableEntry, cdb: Uint8Array): boolean =>
  lengthOfCdb(cdb) === usageBytes.length && cdb.length >= usageBytes.length

const fromHex = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(' ', '').match(/../g) ?? [], (digits) => Number.parseInt(digits, 16))

/** INVALID FIELD IN CDB with a pointer to the first bit that must be zero and is not, or to a length that is not right. */
export function checkUsage(entry: TableEntry, cdb: Uint8Array): SenseData | undefined {
  const { allowedBits } = entry
  if (entry.opcode === Opcode.variableLength && !isWhole(entry, cdb)) return invalidCdbField(7, 7)
  for (let i = 1; i < allowedBits.length; i++) {
    const wrong = get8(cdb, i) & ~get8(allowedBits, i)
    if (wrong !== 0) return invalidCdbField(i, 31 - Math.clz32(wrong))
  }
  return undefined
}
