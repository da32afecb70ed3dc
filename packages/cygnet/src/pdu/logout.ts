import { bitIf, FINAL_BIT, IMMEDIATE_BIT, putReserved, putStart } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * Logout Request (RFC 7143 §11.14); DataSegmentLength is 0
 *
 *    0|.|I| 0x06      |1| Reason Code | Reserved                      |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| Reserved, 8 bytes                                             |
 *   16| Initiator Task Tag                                            |
 *   20| CID or Reserved               | Reserved                      |
 *   24| CmdSN                                                         |
 *   28| ExpStatSN                                                     |
 *   32| Reserved, 16 bytes                                            |
 */
export interface LogoutRequest {
  immediate: boolean
  /** `LogoutReason`, 0..127. */
  reasonCode: number
  initiatorTaskTag: number
  /** Reserved where the session is closed. */
  cid: number
  cmdSN: number
  expStatSN: number
}

export function decodeLogoutRequest(view: DataView, at: number): LogoutRequest {
  return {
    immediate: (view.getUint8(at) & IMMEDIATE_BIT) !== 0,
    reasonCode: view.getUint8(at + 1) & 0x7f,
    initiatorTaskTag: view.getUint32(at + 16),
    cid: view.getUint16(at + 20),
    cmdSN: view.getUint32(at + 24),
    expStatSN: view.getUint32(at + 28),
  }
}

export function encodeLogoutRequest(view: DataView, at: number, pdu: LogoutRequest): void {
  const opcode = Opcode.logoutRequest | bitIf(pdu.immediate, IMMEDIATE_BIT)
  putStart(view, at, opcode, FINAL_BIT | pdu.reasonCode, 0, 0)
  putReserved(view, at + 8, 2)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.cid << 16)
  view.setUint32(at + 24, pdu.cmdSN)
  view.setUint32(at + 28, pdu.expStatSN)
  putReserved(view, at + 32, 4)
}

/*
 * Logout Response (RFC 7143 §11.15); DataSegmentLength is 0
 *
 *    0|.|.| 0x26      |1| Reserved    | Response      | Reserved      |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| Reserved, 8 bytes                                             |
 *   16| Initiator Task Tag                                            |
 *   20| Reserved                                                      |
 *   24| StatSN                                                        |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| Reserved                                                      |
 *   40| Time2Wait                     | Time2Retain                   |
 *   44| Reserved                                                      |
 */
export interface LogoutResponse {
  /** `LogoutResponseCode`. */
  response: number
  initiatorTaskTag: number
  statSN: number
  expCmdSN: number
  maxCmdSN: number
  /** Seconds, 16 bits. */
  time2Wait: number
  /** Seconds, 16 bits. */
  time2Retain: number
}

export function decodeLogoutResponse(view: DataView, at: number): LogoutResponse {
  return {
    response: view.getUint8(at + 2),
    initiatorTaskTag: view.getUint32(at + 16),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
    time2Wait: view.getUint16(at + 40),
    time2Retain: view.getUint16(at + 42),
  }
}

export function encodeLogoutResponse(view: DataView, at: number, pdu: LogoutResponse): void {
  putStart(view, at, Opcode.logoutResponse, FINAL_BIT, pdu.response << 8, 0)
  putReserved(view, at + 8, 2)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, 0)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  view.setUint32(at + 36, 0)
  view.setUint16(at + 40, pdu.time2Wait)
  view.setUint16(at + 42, pdu.time2Retain)
  view.setUint32(at + 44, 0)
}
