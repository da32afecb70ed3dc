import * as fc from 'fast-check'
import { decodeAsyncMessage, encodeAsyncMessage } from './async-message.ts'
import { decodeDataIn, decodeDataOut, decodeR2T, encodeDataIn, encodeDataOut, encodeR2T } from './data.ts'
import { decodeLoginRequest, decodeLoginResponse, encodeLoginRequest, encodeLoginResponse } from './login.ts'
import {
  decodeLogoutRequest,
  decodeLogoutResponse,
  encodeLogoutRequest,
  encodeLogoutResponse,
} from './logout.ts'
import { decodeNopIn, decodeNopOut, encodeNopIn, encodeNopOut } from './nop.ts'
import { Opcode } from './opcodes.ts'
import { decodeReject, encodeReject } from './reject.ts'
import { decodeScsiCommand, encodeScsiCommand } from './scsi-command.ts'
import { decodeScsiResponse, encodeScsiResponse } from './scsi-response.ts'
import { decodeSnackRequest, encodeSnackRequest } from './snack.ts'
import {
  decodeTaskManagementRequest,
  decodeTaskManagementResponse,
  encodeTaskManagementRequest,
  encodeTaskManagementResponse,
} from './task-management.ts'
import { decodeTextRequest, decodeTextResponse, encodeTextRequest, encodeTextResponse } from './text-pdu.ts'

/** A codec with what its fields may be. The PDU type is hidden, so that all codecs fit one table. */
export interface CodecCase {
  readonly name: keyof typeof Opcode
  readonly opcode: number
  readonly pdus: fc.Arbitrary<object>
  decode(view: DataView, at: number): object
  encode(view: DataView, at: number, pdu: object): void
}

function codec<Pdu extends object>(
  name: keyof typeof Opcode,
  decode: (view: DataView, at: number) => Pdu,
  encode: (view: DataView, at: number, pdu: Pdu) => void,
  fields: { [Field in keyof Pdu]: fc.Arbitrary<Pdu[Field]> },
): CodecCase {
  return {
    name,
    opcode: Opcode[name],
    pdus: fc.record<object>(fields, { noNullPrototype: true }),
    decode,
    encode: (view, at, pdu) => encode(view, at, pdu as Pdu),
  }
}

const flag = fc.boolean()
const u2 = fc.nat(3)
const u8 = fc.nat(0xff)
const u16 = fc.nat(0xffff)
const u24 = fc.nat(0xffffff)
const u32 = fc.nat({ max: 0xffffffff })
const lun = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const numbering = { statSN: u32, expCmdSN: u32, maxCmdSN: u32 }
const loginStart = {
  transit: flag,
  continue: flag,
  csg: u2,
  nsg: u2,
  versionMax: u8,
  dataSegmentLength: u24,
  isid: bytes(6),
  tsih: u16,
  initiatorTaskTag: u32,
}

export const codecs: readonly CodecCase[] = [
  codec('nopOut', decodeNopOut, encodeNopOut, {
    immediate: flag,
    dataSegmentLength: u24,
    lun,
    initiatorTaskTag: u32,
    targetTransferTag: u32,
    cmdSN: u32,
    expStatSN: u32,
  }),
  codec('scsiCommand', decodeScsiCommand, encodeScsiCommand, {
    immediate: flag,
    final: flag,
    read: flag,
    write: flag,
    attribute: fc.nat(7),
    totalAhsLength: u8,
    dataSegmentLength: u24,
    lun,
    initiatorTaskTag: u32,
    expectedDataTransferLength: u32,
    cmdSN: u32,
    expStatSN: u32,
    cdb: bytes(16),
  }),
  codec('taskManagementRequest', decodeTaskManagementRequest, encodeTaskManagementRequest, {
    immediate: flag,
    function: fc.nat(0x7f),
    lun,
    initiatorTaskTag: u32,
    referencedTaskTag: u32,
    cmdSN: u32,
    expStatSN: u32,
    refCmdSN: u32,
    expDataSN: u32,
  }),
  codec('loginRequest', decodeLoginRequest, encodeLoginRequest, {
    ...loginStart,
    versionMin: u8,
    cid: u16,
    cmdSN: u32,
    expStatSN: u32,
  }),
  codec('textRequest', decodeTextRequest, encodeTextRequest, {
    immediate: flag,
    final: flag,
    continue: flag,
    dataSegmentLength: u24,
    lun,
    initiatorTaskTag: u32,
    targetTransferTag: u32,
    cmdSN: u32,
    expStatSN: u32,
  }),
  codec('dataOut', decodeDataOut, encodeDataOut, {
    final: flag,
    dataSegmentLength: u24,
    lun,
    initiatorTaskTag: u32,
    targetTransferTag: u32,
    expStatSN: u32,
    dataSN: u32,
    bufferOffset: u32,
  }),
  codec('logoutRequest', decodeLogoutRequest, encodeLogoutRequest, {
    immediate: flag,
    reasonCode: fc.nat(0x7f),
    initiatorTaskTag: u32,
    cid: u16,
    cmdSN: u32,
    expStatSN: u32,
  }),
  codec('snackRequest', decodeSnackRequest, encodeSnackRequest, {
    type: fc.nat(15),
    lun,
    initiatorTaskTag: u32,
    targetTransferTag: u32,
    expStatSN: u32,
    begRun: u32,
    runLength: u32,
  }),
  codec('nopIn', decodeNopIn, encodeNopIn, {
    dataSegmentLength: u24,
    lun,
    initiatorTaskTag: u32,
    targetTransferTag: u32,
    ...numbering,
  }),
  codec('scsiResponse', decodeScsiResponse, encodeScsiResponse, {
    bidirectionalReadOverflow: flag,
    bidirectionalReadUnderflow: flag,
    residualOverflow: flag,
    residualUnderflow: flag,
    response: u8,
    status: u8,
    dataSegmentLength: u24,
    initiatorTaskTag: u32,
    snackTag: u32,
    ...numbering,
    expDataSN: u32,
    bidirectionalReadResidualCount: u32,
    residualCount: u32,
  }),
  codec('taskManagementResponse', decodeTaskManagementResponse, encodeTaskManagementResponse, {
    response: u8,
    initiatorTaskTag: u32,
    ...numbering,
  }),
  codec('loginResponse', decodeLoginResponse, encodeLoginResponse, {
    ...loginStart,
    versionActive: u8,
    ...numbering,
    statusClass: u8,
    statusDetail: u8,
  }),
  codec('textResponse', decodeTextResponse, encodeTextResponse, {
    final: flag,
    continue: flag,
    dataSegmentLength: u24,
    lun,
    initiatorTaskTag: u32,
    targetTransferTag: u32,
    ...numbering,
  }),
  codec('dataIn', decodeDataIn, encodeDataIn, {
    final: flag,
    acknowledge: flag,
    residualOverflow: flag,
    residualUnderflow: flag,
    hasStatus: flag,
    status: u8,
    dataSegmentLength: u24,
    lun,
    initiatorTaskTag: u32,
    targetTransferTag: u32,
    ...numbering,
    dataSN: u32,
    bufferOffset: u32,
    residualCount: u32,
  }),
  codec('logoutResponse', decodeLogoutResponse, encodeLogoutResponse, {
    response: u8,
    initiatorTaskTag: u32,
    ...numbering,
    time2Wait: u16,
    time2Retain: u16,
  }),
  codec('r2t', decodeR2T, encodeR2T, {
    lun,
    initiatorTaskTag: u32,
    targetTransferTag: u32,
    ...numbering,
    r2tSN: u32,
    bufferOffset: u32,
    desiredDataTransferLength: u32,
  }),
  codec('asyncMessage', decodeAsyncMessage, encodeAsyncMessage, {
    dataSegmentLength: u24,
    lun,
    ...numbering,
    asyncEvent: u8,
    asyncVCode: u8,
    parameter1: u16,
    parameter2: u16,
    parameter3: u16,
  }),
  codec('reject', decodeReject, encodeReject, {
    reason: u8,
    dataSegmentLength: u24,
    ...numbering,
    dataSN: u32,
  }),
]

export function codecOf(opcode: number): CodecCase {
  const found = codecs.find((candidate) => candidate.opcode === opcode)
  if (found === undefined) throw new Error(`no codec has opcode ${opcode}`)
  return found
}
