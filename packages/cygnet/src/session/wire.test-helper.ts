import assert from 'node:assert/strict'
import { pad4, viewOf } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import { ahsLengthOf, BHS_BYTES, dataSegmentLengthOf, opcodeOf } from '../pdu/bhs.ts'
import { type DataIn, decodeDataIn, decodeR2T, type R2T } from '../pdu/data.ts'
import { decodeLoginResponse, type LoginResponse } from '../pdu/login.ts'
import { decodeLogoutResponse, type LogoutResponse } from '../pdu/logout.ts'
import { decodeNopIn, type NopIn } from '../pdu/nop.ts'
import { Opcode, opcodeName } from '../pdu/opcodes.ts'
import { decodeReject, type Reject } from '../pdu/reject.ts'
import { decodeScsiResponse, type ScsiResponse } from '../pdu/scsi-response.ts'
import { decodeTaskManagementResponse, type TaskManagementResponse } from '../pdu/task-management.ts'
import { parseText } from '../pdu/text.ts'
import { decodeTextResponse, type TextResponse } from '../pdu/text-pdu.ts'
import { type AsyncMessage, decodeAsyncMessage } from '../pdu/async-message.ts'

/** A PDU that the target sent. */
export interface Answer {
  readonly opcode: number
  readonly name: string
  readonly view: DataView
  readonly data: Uint8Array
}

export interface Digests {
  readonly header: boolean
  readonly data: boolean
}

export const NO_DIGESTS: Digests = { header: false, data: false }

const ZEROES = new Uint8Array(4)

/** One PDU as it goes on the wire. `encode` writes the BHS; its DataSegmentLength is set here. */
export function wirePdu(
  encode: (view: DataView, at: number) => void,
  data: Uint8Array,
  digests: Digests,
  options: { readonly ahs?: Uint8Array; readonly spoilData?: boolean; readonly spoilHeader?: boolean } = {},
): Uint8Array {
  const header = new Uint8Array(BHS_BYTES + (options.ahs?.length ?? 0))
  const view = viewOf(header)
  encode(view, 0)
  header[4] = (options.ahs?.length ?? 0) / 4
  header.set([data.length >>> 16, data.length >>> 8, data.length], 5)
  if (options.ahs) header.set(options.ahs, BHS_BYTES)
  const parts: Uint8Array[] = [header]
  if (digests.header) parts.push(digest([header], options.spoilHeader ?? false))
  if (data.length > 0) {
    const segment = [data, ZEROES.subarray(0, pad4(data.length) - data.length)]
    parts.push(...segment)
    if (digests.data) parts.push(digest(segment, options.spoilData ?? false))
  }
  return new Uint8Array(Buffer.concat(parts))
}

function digest(parts: readonly Uint8Array[], spoil: boolean): Uint8Array {
  let value = 0
  for (const part of parts) value = crc32c(part, 0, part.length, value)
  const bytes = new Uint8Array(4)
  viewOf(bytes).setUint32(0, spoil ? (value ^ 1) >>> 0 : value, true)
  return bytes
}

/** Takes the first PDU off `bytes`, checking digests and padding; undefined where it is not whole. */
export function takeAnswer(
  bytes: Uint8Array,
  digests: Digests,
): { readonly answer: Answer; readonly lengthBytes: number } | undefined {
  if (bytes.length < BHS_BYTES) return undefined
  const view = viewOf(bytes)
  assert.equal(ahsLengthOf(view, 0), 0, 'a target sends no AHS')
  let at = BHS_BYTES
  if (digests.header) {
    assert.equal(view.getUint32(at, true), crc32c(bytes, 0, BHS_BYTES), 'header digest')
    at += 4
  }
  const lengthBytes = dataSegmentLengthOf(view, 0)
  const end = at + pad4(lengthBytes)
  assert.ok(bytes.length >= end, 'the target sends whole PDUs')
  for (let i = at + lengthBytes; i < end; i++) assert.equal(bytes[i], 0, '§11.1 padding is zero')
  const data = bytes.slice(at, at + lengthBytes)
  let total = end
  if (digests.data && lengthBytes > 0) {
    assert.equal(view.getUint32(end, true), crc32c(bytes, at, end), 'data digest')
    total += 4
  }
  const opcode = opcodeOf(view, 0)
  const header = viewOf(bytes.slice(0, BHS_BYTES))
  return { answer: { opcode, name: opcodeName(opcode), view: header, data }, lengthBytes: total }
}

function decodeAs<T>(
  answer: Answer | undefined,
  opcode: number,
  decode: (view: DataView, at: number) => T,
): T {
  assert.ok(answer, `no ${opcodeName(opcode)} came`)
  assert.equal(answer.name, opcodeName(opcode))
  return decode(answer.view, 0)
}

export const asLogin = (a: Answer | undefined): LoginResponse =>
  decodeAs(a, Opcode.loginResponse, decodeLoginResponse)
export const asScsi = (a: Answer | undefined): ScsiResponse =>
  decodeAs(a, Opcode.scsiResponse, decodeScsiResponse)
export const asDataIn = (a: Answer | undefined): DataIn => decodeAs(a, Opcode.dataIn, decodeDataIn)
export const asR2T = (a: Answer | undefined): R2T => decodeAs(a, Opcode.r2t, decodeR2T)
export const asReject = (a: Answer | undefined): Reject => decodeAs(a, Opcode.reject, decodeReject)
export const asNopIn = (a: Answer | undefined): NopIn => decodeAs(a, Opcode.nopIn, decodeNopIn)
export const asTask = (a: Answer | undefined): TaskManagementResponse =>
  decodeAs(a, Opcode.taskManagementResponse, decodeTaskManagementResponse)
export const asText = (a: Answer | undefined): TextResponse =>
  decodeAs(a, Opcode.textResponse, decodeTextResponse)
export const asLogout = (a: Answer | undefined): LogoutResponse =>
  decodeAs(a, Opcode.logoutResponse, decodeLogoutResponse)
export const asAsync = (a: Answer | undefined): AsyncMessage =>
  decodeAs(a, Opcode.asyncMessage, decodeAsyncMessage)

/** The text of a login or text response as a map; fails where a key comes twice. */
export function pairsOf(data: Uint8Array): Map<string, string> {
  const parsed = parseText([data])
  assert.ok(parsed.ok, 'the text is well-formed')
  const map = new Map(parsed.pairs)
  assert.equal(map.size, parsed.pairs.length, 'a key came twice')
  return map
}

/** Sense key and additional sense of a SCSI Response's data segment. */
export function senseOf(answer: Answer | undefined): { key: number; additional: number } {
  assert.ok(answer)
  const view = viewOf(answer.data)
  assert.equal(view.getUint16(0), answer.data.length - 2, '§11.4.7.1 SenseLength')
  return { key: view.getUint8(4) & 0x0f, additional: view.getUint16(14) }
}

/** Names of the PDUs, for comparing a whole exchange. */
export const names = (answers: readonly Answer[]): string[] => answers.map((answer) => answer.name)
