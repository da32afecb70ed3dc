import { hex, joinSlices, totalLength } from '../base/bytes.ts'
import type { ParsedAhs } from './ahs.ts'
import { parseAhs } from './ahs.ts'
import { decodeAsyncMessage } from './async-message.ts'
import { ahsLengthOf, BHS_BYTES, isImmediate, opcodeOf, RESERVED_TAG } from './bhs.ts'
import { decodeDataIn, decodeDataOut, decodeR2T } from './data.ts'
import { codeName, fieldLabel } from './dump-names.ts'
import { decodeLoginRequest, decodeLoginResponse } from './login.ts'
import { loginStatusOf } from './login-status.ts'
import { decodeLogoutRequest, decodeLogoutResponse } from './logout.ts'
import { decodeNopIn, decodeNopOut } from './nop.ts'
import { Opcode, opcodeName } from './opcodes.ts'
import { decodeReject } from './reject.ts'
import { decodeScsiCommand } from './scsi-command.ts'
import { decodeScsiResponse } from './scsi-response.ts'
import { decodeSnackRequest } from './snack.ts'
import { decodeTaskManagementRequest, decodeTaskManagementResponse } from './task-management.ts'
import { decodeTextRequest, decodeTextResponse } from './text-pdu.ts'

/** Bytes of a data segment that are printed, of text and of all else; the rest is counted. */
const SHOWN_TEXT_BYTES = 8192
const SHOWN_DATA_BYTES = 256

const decoders: Readonly<Record<number, (view: DataView, at: number) => object>> = {
  [Opcode.nopOut]: decodeNopOut,
  [Opcode.scsiCommand]: decodeScsiCommand,
  [Opcode.taskManagementRequest]: decodeTaskManagementRequest,
  [Opcode.loginRequest]: decodeLoginRequest,
  [Opcode.textRequest]: decodeTextRequest,
  [Opcode.dataOut]: decodeDataOut,
  [Opcode.logoutRequest]: decodeLogoutRequest,
  [Opcode.snackRequest]: decodeSnackRequest,
  [Opcode.nopIn]: decodeNopIn,
  [Opcode.scsiResponse]: decodeScsiResponse,
  [Opcode.taskManagementResponse]: decodeTaskManagementResponse,
  [Opcode.loginResponse]: decodeLoginResponse,
  [Opcode.textResponse]: decodeTextResponse,
  [Opcode.dataIn]: decodeDataIn,
  [Opcode.logoutResponse]: decodeLogoutResponse,
  [Opcode.r2t]: decodeR2T,
  [Opcode.asyncMessage]: decodeAsyncMessage,
  [Opcode.reject]: decodeReject,
}

/** What the data segment of these PDUs holds, as lines; of all others it is bytes. */
const dataDumpers: Readonly<Record<number, (bytes: Uint8Array) => string[]>> = {
  [Opcode.loginRequest]: textLines,
  [Opcode.loginResponse]: textLines,
  [Opcode.textRequest]: textLines,
  [Opcode.textResponse]: textLines,
  [Opcode.scsiResponse]: senseLines,
  [Opcode.asyncMessage]: senseLines,
  [Opcode.reject]: badHeaderLines,
}

const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`)
const count = (bytes: number): string => (bytes === 1 ? '1 byte' : `${bytes} bytes`)
const line = (label: string, value: string): string => `${label.padEnd(34)} ${value}`

/**
 * A PDU for people: several lines, the first its name, no line feed at the end. The header is at `at` in `view`, where
 * at least its 48 bytes must be; the AHS is printed as far as `view` has it. For logs and debugging, not for each I/O.
 */
export function dumpPdu(view: DataView, at: number, data: readonly Uint8Array[] = []): string {
  const opcode = opcodeOf(view, at)
  const lines = headerLines(view, at)
  const lengthBytes = totalLength(data)
  if (lengthBytes > 0) {
    const dumper = dataDumpers[opcode] ?? hexLines
    const shownBytes = dumper === textLines ? SHOWN_TEXT_BYTES : SHOWN_DATA_BYTES
    const bytes = joinSlices(data, Math.min(shownBytes, totalLength(data)))
    lines.push(`data, ${count(lengthBytes)}`, ...indent(dumper(bytes)))
    if (bytes.length < lengthBytes) lines.push(`  ... and ${count(lengthBytes - bytes.length)} more`)
  }
  const [first = '', ...rest] = lines
  return [first, ...indent(rest)].join('\n')
}

/** The name, then a line for each field and AHS. */
function headerLines(view: DataView, at: number): string[] {
  const opcode = opcodeOf(view, at)
  const title = `${opcodeName(opcode)} (0x${opcode.toString(16).padStart(2, '0')})`
  const decode = decoders[opcode]
  if (decode === undefined) {
    return [isImmediate(view, at) ? `${title}, immediate` : title, ...hexLines(copyOf(view, at, BHS_BYTES))]
  }
  const set: string[] = []
  const lines: string[] = []
  const pdu: object = decode(view, at)
  for (const [field, value] of Object.entries(pdu) as [string, unknown][]) {
    if (value === true) set.push(fieldLabel(field).toLowerCase())
    if (typeof value !== 'boolean') lines.push(line(fieldLabel(field), formatField(opcode, field, value)))
  }
  if (opcode === Opcode.loginResponse) lines.push(loginStatusLine(view, at))
  return [[title, ...set].join(', '), ...lines, ...ahsLines(view, at)]
}

function formatField(opcode: number, field: string, value: unknown): string {
  if (value instanceof Uint8Array) return spacedHex(value)
  if (typeof value === 'bigint') return formatLun(value)
  if (typeof value !== 'number') return String(value)
  if (field.endsWith('Tag')) return value === RESERVED_TAG ? 'none (0xffffffff)' : `0x${hex32(value)}`
  const name = codeName(opcode, field, value)
  return name === undefined ? String(value) : `${value} (${name})`
}

/** All eight bytes; and the number, where the LUN has one level: peripheral addressing on bus 0 or flat (SAM-5 §4.7). */
function formatLun(lun: bigint): string {
  const text = `0x${lun.toString(16).padStart(16, '0')}`
  const firstLevel = Number(lun >> 48n)
  const isPeripheral = firstLevel >>> 8 === 0
  const isFlat = firstLevel >>> 14 === 1
  const isOneLevel = (lun & 0xffff_ffff_ffffn) === 0n
  return isOneLevel && (isPeripheral || isFlat) ? `${text} (${firstLevel & 0x3fff})` : text
}

function loginStatusLine(view: DataView, at: number): string {
  const { statusClass, statusDetail } = decodeLoginResponse(view, at)
  const { name, text } = loginStatusOf(statusClass, statusDetail)
  return line('Status', `${name}: ${text}`)
}

function ahsLines(view: DataView, at: number): string[] {
  const lengthBytes = ahsLengthOf(view, at)
  if (lengthBytes === 0) return []
  const start = at + BHS_BYTES
  if (start + lengthBytes > view.byteLength) return [line('AHS', `${count(lengthBytes)}, not received`)]
  const parsed: ParsedAhs = parseAhs(view, start, lengthBytes)
  if (!parsed.ok)
    return [line('AHS', `malformed: ${parsed.error}`), ...indent(hexLines(copyOf(view, start, lengthBytes)))]
  const { extendedCdb, bidirectionalReadExpectedDataTransferLength: readLength } = parsed.ahs
  const lines: string[] = []
  if (extendedCdb !== undefined) lines.push(line('AHS, extended CDB', spacedHex(extendedCdb)))
  if (readLength !== undefined) lines.push(line('AHS, bidirectional read length', String(readLength)))
  for (const type of parsed.unknownTypes) lines.push(line('AHS, unknown type', String(type)))
  return lines
}

/** Keys and values as they are: a continued text may begin and end within a pair. */
function textLines(bytes: Uint8Array): string[] {
  const pairs = new TextDecoder().decode(bytes).split('\0')
  // What is between the last null and the end: empty where the text is complete.
  if (pairs.at(-1) === '') pairs.pop()
  return pairs.map((pair) => pair.replaceAll(/\p{Cc}/gu, '\u{fffd}'))
}

/** SenseLength, sense data, and what follows it (RFC 7143 §11.4.7, §11.9.4). */
function senseLines(bytes: Uint8Array): string[] {
  if (bytes.length < 2) return hexLines(bytes)
  const end = 2 + (((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0))
  const sense = bytes.subarray(2, end)
  const rest = bytes.subarray(end)
  return [
    `sense data, SenseLength ${end - 2}`,
    ...indent(hexLines(sense)),
    ...(rest.length > 0 ? ['then', ...indent(hexLines(rest))] : []),
  ]
}

/** The header that was rejected, without its data: a rejected Reject does not nest. */
function badHeaderLines(bytes: Uint8Array): string[] {
  if (bytes.length < BHS_BYTES) return hexLines(bytes)
  const [first = '', ...rest] = headerLines(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0)
  return [`header of the bad PDU: ${first}`, ...indent(rest)]
}

/** Sixteen bytes a line, in hexadecimal and as ASCII. */
function hexLines(bytes: Uint8Array): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16)
    const ascii = Array.from(row, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    ).join('')
    lines.push(`${at.toString(16).padStart(4, '0')}  ${spacedHex(row).padEnd(47)}  ${ascii}`)
  }
  return lines
}

const spacedHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => hex(Uint8Array.of(byte))).join(' ')
const hex32 = (value: number): string => value.toString(16).padStart(8, '0')

const copyOf = (view: DataView, at: number, lengthBytes: number): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset + at, lengthBytes).slice()
