import {
  bitIf,
  copyBytes,
  dataSegmentLengthOf,
  IMMEDIATE_BIT,
  putBytes,
  putReserved,
  putStart,
} from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * Login Request (RFC 7143 §11.12); never digests
 *
 *    0|.|1| 0x03      |T|C|.|.|CSG|NSG| Version-max   | Version-min   |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| ISID, 6 bytes                                                 |
 *   14                                | TSIH                          |
 *   16| Initiator Task Tag                                            |
 *   20| CID                           | Reserved                      |
 *   24| CmdSN                                                         |
 *   28| ExpStatSN or Reserved                                         |
 *   32| Reserved, 16 bytes                                            |
 *   48  data segment (login parameters in text format)
 */
export interface LoginRequest {
  /** The T bit. */
  transit: boolean
  /** The C bit: the text goes on in the next PDU; never with `transit`. */
  continue: boolean
  /** CSG, current stage: `LoginStage`, 2 is reserved. */
  csg: number
  /** NSG, next stage: valid with `transit`. */
  nsg: number
  versionMax: number
  versionMin: number
  dataSegmentLength: number
  /** 6 bytes, copied out of the header. */
  isid: Uint8Array
  tsih: number
  initiatorTaskTag: number
  cid: number
  cmdSN: number
  expStatSN: number
}

export function decodeLoginRequest(view: DataView, at: number): LoginRequest {
  const flags = view.getUint8(at + 1)
  return {
    transit: (flags & 0x80) !== 0,
    continue: (flags & 0x40) !== 0,
    csg: (flags >>> 2) & 0x03,
    nsg: flags & 0x03,
    versionMax: view.getUint8(at + 2),
    versionMin: view.getUint8(at + 3),
    dataSegmentLength: dataSegmentLengthOf(view, at),
    isid: copyBytes(view, at + 8, 6),
    tsih: view.getUint16(at + 14),
    initiatorTaskTag: view.getUint32(at + 16),
    cid: view.getUint16(at + 20),
    cmdSN: view.getUint32(at + 24),
    expStatSN: view.getUint32(at + 28),
  }
}

/** Byte 1 of both login PDUs. */
const loginFlags = (pdu: { transit: boolean; continue: boolean; csg: number; nsg: number }): number =>
  bitIf(pdu.transit, 0x80) | bitIf(pdu.continue, 0x40) | (pdu.csg << 2) | pdu.nsg

export function encodeLoginRequest(view: DataView, at: number, pdu: LoginRequest): void {
  const versions = (pdu.versionMax << 8) | pdu.versionMin
  putStart(view, at, Opcode.loginRequest | IMMEDIATE_BIT, loginFlags(pdu), versions, pdu.dataSegmentLength)
  putBytes(view, at + 8, pdu.isid, 6)
  view.setUint16(at + 14, pdu.tsih)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.cid << 16)
  view.setUint32(at + 24, pdu.cmdSN)
  view.setUint32(at + 28, pdu.expStatSN)
  putReserved(view, at + 32, 4)
}

/*
 * Login Response (RFC 7143 §11.13); never digests
 *
 *    0|.|.| 0x23      |T|C|.|.|CSG|NSG| Version-max   |Version-active |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| ISID, 6 bytes                                                 |
 *   14                                | TSIH                          |
 *   16| Initiator Task Tag                                            |
 *   20| Reserved                                                      |
 *   24| StatSN                                                        |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| Status-Class  | Status-Detail | Reserved                      |
 *   40| Reserved, 8 bytes                                             |
 *   48  data segment (login parameters in text format)
 */
export interface LoginResponse {
  /** The T bit. */
  transit: boolean
  /** The C bit: the text goes on in the next PDU; never with `transit`. */
  continue: boolean
  csg: number
  nsg: number
  versionMax: number
  versionActive: number
  dataSegmentLength: number
  isid: Uint8Array
  tsih: number
  initiatorTaskTag: number
  /** `statSN`, `expCmdSN` and `maxCmdSN` are valid where `statusClass` is 0. */
  statSN: number
  expCmdSN: number
  maxCmdSN: number
  /** With `statusDetail`: see `LoginStatus`. */
  statusClass: number
  statusDetail: number
}

export function decodeLoginResponse(view: DataView, at: number): LoginResponse {
  const flags = view.getUint8(at + 1)
  return {
    transit: (flags & 0x80) !== 0,
    continue: (flags & 0x40) !== 0,
    csg: (flags >>> 2) & 0x03,
    nsg: flags & 0x03,
    versionMax: view.getUint8(at + 2),
    versionActive: view.getUint8(at + 3),
    dataSegmentLength: dataSegmentLengthOf(view, at),
    isid: copyBytes(view, at + 8, 6),
    tsih: view.getUint16(at + 14),
    initiatorTaskTag: view.getUint32(at + 16),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
    statusClass: view.getUint8(at + 36),
    statusDetail: view.getUint8(at + 37),
  }
}

export function encodeLoginResponse(view: DataView, at: number, pdu: LoginResponse): void {
  const versions = (pdu.versionMax << 8) | pdu.versionActive
  putStart(view, at, Opcode.loginResponse, loginFlags(pdu), versions, pdu.dataSegmentLength)
  putBytes(view, at + 8, pdu.isid, 6)
  view.setUint16(at + 14, pdu.tsih)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, 0)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  view.setUint32(at + 36, (pdu.statusClass << 24) | (pdu.statusDetail << 16))
  putReserved(view, at + 40, 2)
}
