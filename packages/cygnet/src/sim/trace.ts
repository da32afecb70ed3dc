import type { Clock } from '../base/clock.ts'
import { dumpPdu } from '../pdu/dump.ts'
import { opcodeOf } from '../pdu/bhs.ts'
import { Opcode } from '../pdu/opcodes.ts'
import { dataOf, type WirePdu } from './wire/cutter.ts'
import type { Direction } from './wire/observer.ts'

/** Data of these is text or sense data; of others it is too much to print. */
const shown: ReadonlySet<number> = new Set([
  Opcode.loginRequest,
  Opcode.loginResponse,
  Opcode.textRequest,
  Opcode.textResponse,
  Opcode.scsiResponse,
])

/** Everything that passed between the machines, as a ladder: the initiator's side at the left, the target's at the right. */
export class Trace {
  readonly #clock: Clock
  readonly #lines: string[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get text(): string {
    return this.#lines.join('\n')
  }

  pdu(connection: string, direction: Direction, pdu: WirePdu): void {
    const data = shown.has(opcodeOf(pdu.view, pdu.start)) && pdu.dataLengthBytes > 0 ? [dataOf(pdu)] : []
    const [name = '', ...fields] = dumpPdu(pdu.view, pdu.start, data).split('\n')
    const arrow = direction === 'request' ? '|-->|' : '|<--|'
    const length = pdu.dataLengthBytes > 0 ? `, ${pdu.dataLengthBytes} bytes` : ''
    this.#add(
      connection,
      `${arrow} ${name.trim()}${length}: ${fields.map(compact).filter(Boolean).join(', ')}`,
    )
  }

  fault(connection: string, kind: string): void {
    this.#add(connection, `|xxx| ${kind}`)
  }

  note(connection: string, text: string): void {
    this.#add(connection, `|   | ${text.trimEnd()}`)
  }

  #add(connection: string, text: string): void {
    this.#lines.push(`${this.#clock.now().toFixed(3).padStart(12)} ${connection.padEnd(10)} ${text}`)
  }
}

/** `Label   value` as `Label=value`; nothing where the value says nothing. */
function compact(line: string): string {
  const [label = '', ...rest] = line.trim().split(/\s{2,}/)
  const value = rest.join(' ')
  if (value === '') return label
  return value === '0' || value === 'false' || value === 'no' ? '' : `${label}=${value}`
}
