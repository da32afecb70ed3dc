import { get8, get16, get32, set16, set32 } from '../scsi/fields.ts'
import { invalidCdbField } from '../scsi/sense.ts'
import type { CommandTable, TableEntry } from './command-table.ts'
import type { Operation } from './operation.ts'

/*
 * REPORT SUPPORTED OPERATION CODES (SPC-5 §6.35):
 *   2  RCTD(7) REPORTING OPTIONS(2-0)   3  REQUESTED OPERATION CODE   4  REQUESTED SERVICE ACTION (2)   6  ALLOCATION LENGTH (4)
 */
const ReportingOptions = { all: 0, opcode: 1, opcodeAndServiceAction: 2, either: 3 } as const
const TIMEOUTS_BYTES = 12

/**
 * Longer CDBs are left out of the list of all commands, and described to whoever asks for one of them: libiscsi has room
 * for 16 bytes of usage data, and its conformance suite fails with any target that lists a command with more.
 */
const LISTED_CDB_BYTES = 16

/** `table` is asked at each command, as it holds this command too. */
export const reportSupportedOperationCodes =
  (table: () => CommandTable) =>
  (op: Operation): void => {
    const cdb = op.task.cdb
    const withTimeouts = (get8(cdb, 2) & 0x80) !== 0
    const option = get8(cdb, 2) & 0x07
    const opcode = get8(cdb, 3)
    const serviceAction = get16(cdb, 4)
    const allocationBytes = get32(cdb, 6)
    if (option === ReportingOptions.all) return op.reply(encodeAll(table(), withTimeouts), allocationBytes)
    if (option > ReportingOptions.either) return op.check(invalidCdbField(2, 2))
    const kind = table().kind(opcode)
    if (option === ReportingOptions.opcode && kind === 'service-actions')
      return op.check(invalidCdbField(2, 2))
    if (option === ReportingOptions.opcodeAndServiceAction && kind === 'plain') {
      return op.check(invalidCdbField(2, 2))
    }
    const isPlainWithAction = option === ReportingOptions.either && kind === 'plain' && serviceAction !== 0
    const entry = isPlainWithAction ? undefined : table().find(opcode, serviceAction)
    op.reply(encodeOne(entry, withTimeouts), allocationBytes)
  }

/** All listed commands: COMMAND DATA LENGTH (4), then 8 bytes (20 with timeouts) for each. */
function encodeAll(table: CommandTable, withTimeouts: boolean): Uint8Array {
  const entries = table.entries.filter(({ usageBytes }) => usageBytes.length <= LISTED_CDB_BYTES)
  const descriptorBytes = withTimeouts ? 8 + TIMEOUTS_BYTES : 8
  const bytes = new Uint8Array(4 + entries.length * descriptorBytes)
  set32(bytes, 0, bytes.length - 4)
  let at = 4
  for (const entry of entries) {
    bytes[at] = entry.opcode
    set16(bytes, at + 2, entry.serviceAction ?? 0)
    bytes[at + 5] = (withTimeouts ? 0x02 : 0) | (entry.serviceAction === undefined ? 0 : 0x01)
    set16(bytes, at + 6, entry.usageBytes.length)
    if (withTimeouts) putTimeouts(bytes, at + 8, entry)
    at += descriptorBytes
  }
  return bytes
}

/** One command: CTDP(7) SUPPORT(2-0) in byte 1, CDB SIZE (2), CDB usage data, timeouts. */
function encodeOne(entry: TableEntry | undefined, withTimeouts: boolean): Uint8Array {
  if (entry === undefined) return Uint8Array.of(0, SUPPORT_NONE, 0, 0)
  const usageBytes = entry.usageBytes.length
  const bytes = new Uint8Array(4 + usageBytes + (withTimeouts ? TIMEOUTS_BYTES : 0))
  bytes[1] = (withTimeouts ? 0x80 : 0) | SUPPORT_STANDARD
  set16(bytes, 2, usageBytes)
  bytes.set(entry.usageBytes, 4)
  if (withTimeouts) putTimeouts(bytes, 4 + usageBytes, entry)
  return bytes
}

const SUPPORT_NONE = 1
const SUPPORT_STANDARD = 3

/** Timeouts descriptor: length 0Ah, command specific, NOMINAL (4, 0 is "not said"), RECOMMENDED (4), in seconds. */
function putTimeouts(bytes: Uint8Array, at: number, entry: TableEntry): void {
  set16(bytes, at, TIMEOUTS_BYTES - 2)
  set32(bytes, at + 8, entry.timeoutS)
}
