import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16, get24, set24 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { illegalRequest, invalidCdbField, invalidParameterField } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Command } from './command-table.ts'
import { CommandFlag } from './command-table.ts'
import type { Operation } from './operation.ts'
import { gather } from './parameters.ts'

const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)
const BUFFER_BYTES = 4096
const Mode = { data: 0x02, descriptor: 0x03, echo: 0x0a, echoDescriptor: 0x0b } as const
const Bit = { selfTestCode: 0xe0, pageFormat: 0x10, selfTest: 0x04 } as const
/** The one diagnostic page: which pages there are (SPC-5 §7.2.3). */
const SUPPORTED_PAGES = Uint8Array.of(0, 0, 0, 1, 0)

/**
 * READ BUFFER and WRITE BUFFER (10) with a buffer of 4 KiB and one that echoes for each nexus (SPC-5 §6.18, §6.49), and SEND
 * DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS (§6.42, §6.31): what tests the way to a unit rather than the unit.
 */
export class Diagnostics {
  readonly #buffer = new Uint8Array(BUFFER_BYTES)
  readonly #echoes = new WeakMap<Nexus, Uint8Array>()

  /** 1 MODE(4-0)   2 BUFFER ID   3 BUFFER OFFSET (3)   6 ALLOCATION LENGTH (3) */
  readonly readBuffer = (op: Operation): void => {
    const { cdb, nexus } = op.task
    const mode = get8(cdb, 1)
    const allocationBytes = get24(cdb, 6)
    if (mode === Mode.descriptor) return op.reply(descriptorOf(get8(cdb, 2)), allocationBytes)
    if (mode === Mode.echoDescriptor) {
      return op.reply(Uint8Array.of(0, 0, BUFFER_BYTES >>> 8, BUFFER_BYTES & 0xff), allocationBytes)
    }
    if (mode === Mode.echo) {
      const echo = this.#echoes.get(nexus)
      if (echo) op.reply(echo, allocationBytes)
      else op.check(illegalRequest(AdditionalSense.commandSequenceError))
      return
    }
    if (mode !== Mode.data) return op.check(invalidCdbField(1, 4))
    if (get8(cdb, 2) !== 0) return op.check(invalidCdbField(2, 7))
    const offset = get24(cdb, 3)
    if (offset > BUFFER_BYTES) return op.check(invalidCdbField(3, 7))
    op.reply(this.#buffer.slice(offset), allocationBytes)
  }

  /** 1 MODE(4-0)   2 BUFFER ID   3 BUFFER OFFSET (3)   6 PARAMETER LIST LENGTH (3) */
  readonly writeBuffer = (op: Operation): void => {
    const { cdb } = op.task
    const mode = get8(cdb, 1)
    if (mode !== Mode.data && mode !== Mode.echo) return op.check(invalidCdbField(1, 4))
    const offset = mode === Mode.data ? get24(cdb, 3) : 0
    if (mode === Mode.data && get8(cdb, 2) !== 0) return op.check(invalidCdbField(2, 7))
    if (offset > BUFFER_BYTES) return op.check(invalidCdbField(3, 7))
    if (offset + get24(cdb, 6) > BUFFER_BYTES) return op.check(invalidCdbField(6, 7))
    op.receive(get24(cdb, 6), this.#bufferReceived)
  }

  readonly #bufferReceived = (op: Operation): void => {
    const { cdb, nexus } = op.task
    const bytes = gather(op.task)
    if (!bytes) return op.check(LENGTH_ERROR)
    if (get8(cdb, 1) === Mode.echo) this.#echoes.set(nexus, bytes)
    else this.#buffer.set(bytes, get24(cdb, 3))
    op.good()
  }

  /** 1 SELF-TEST CODE(7-5) PF(4) SELFTEST(2)   3 PARAMETER LIST LENGTH (2). There is nothing that the default self-test could find. */
  readonly send = (op: Operation): void => {
    const { cdb } = op.task
    const flags = get8(cdb, 1)
    const lengthBytes = get16(cdb, 3)
    if (flags & Bit.selfTestCode) return op.check(invalidCdbField(1, 7))
    if (lengthBytes === 0) return op.good()
    if (flags & Bit.selfTest || lengthBytes > BUFFER_BYTES) return op.check(invalidCdbField(3, 7))
    if (!(flags & Bit.pageFormat)) return op.check(invalidCdbField(1, 4))
    op.receive(lengthBytes, this.#pageReceived)
  }

  readonly #pageReceived = (op: Operation): void => {
    const list = gather(op.task)
    if (!list || list.length < 4 || 4 + get16(list, 2) !== list.length) return op.check(LENGTH_ERROR)
    if (list[0] !== 0) return op.check(invalidParameterField(0, 7))
    if (get16(list, 2) !== 0) return op.check(invalidParameterField(2, 7))
    op.good()
  }

  /** 1 PCV(0)   2 PAGE CODE   3 ALLOCATION LENGTH (2). Without PCV: the page that was asked for, of which there is one. */
  readonly receive = (op: Operation): void => {
    const { cdb } = op.task
    if (get8(cdb, 2) !== 0) return op.check(invalidCdbField(2, 7))
    op.reply(SUPPORTED_PAGES, get16(cdb, 3))
  }
}

/** 0 OFFSET BOUNDARY, as a power of two: any   1 BUFFER CAPACITY (3), zero of a buffer that does not exist */
function descriptorOf(id: number): Uint8Array {
  const bytes = new Uint8Array(4)
  set24(bytes, 1, id === 0 ? BUFFER_BYTES : 0)
  return bytes
}

const row = { reservation: 'write', flags: 0, timeoutS: 10 } as const

export const diagnosticCommands = (diagnostics: Diagnostics): Command[] => [
  {
    ...row,
    name: 'READ BUFFER (10)',
    opcode: Opcode.readBuffer10,
    usage: '3c 1f ff ff ff ff ff ff ff 00',
    start: diagnostics.readBuffer,
  },
  {
    ...row,
    name: 'WRITE BUFFER (10)',
    opcode: Opcode.writeBuffer10,
    usage: '3b 1f ff ff ff ff ff ff ff 00',
    flags: CommandFlag.governs,
    start: diagnostics.writeBuffer,
  },
  {
    ...row,
    name: 'SEND DIAGNOSTIC',
    opcode: Opcode.sendDiagnostic,
    usage: '1d f7 00 ff ff 00',
    start: diagnostics.send,
  },
  {
    ...row,
    name: 'RECEIVE DIAGNOSTIC RESULTS',
    opcode: Opcode.receiveDiagnosticResults,
    usage: '1c 01 ff ff ff 00',
    start: diagnostics.receive,
  },
]
