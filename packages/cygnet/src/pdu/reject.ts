import { dataSegmentLengthOf, FINAL_BIT, putReserved, putStart, RESERVED_TAG } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * Reject (RFC 7143 §11.17)
 *
 *    0|.|.| 0x3f      |1| Reserved    | Reason        | Reserved      |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| Reserved, 8 bytes                                             |
 *   16| 0xffffffff                                                    |
 *   20| Reserved                                                      |
 *   24| StatSN                                                        |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| DataSN/R2TSN or Reserved                                      |
 *   40| Reserved, 8 bytes                                             |
 *   48  header digest, data segment (the header of the bad PDU, without its digest), data digest
 */
export interface Reject {
  /** `RejectReason`. */
  reason: number
  dataSegmentLength: number
  statSN: number
  expCmdSN: number
  maxCmdSN: number
  /** DataSN or R2TSN, valid where a Data/R2T SNACK is rejected as a protocol error. */
  dataSN: number
}

export function decodeReject(view: DataView, at: number): Reject {
  return {
    reason: view.getUint8(at + 2),
    dataSegmentLength: dataSegmentLengthOf(view, at),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
    dataSN: view.getUint32(at + 36),
  }
}

export function encodeReject(view: DataView, at: number, pdu: Reject): void {
  putStart(view, at, Opcode.reject, FINAL_BIT, pdu.reason << 8, pdu.dataSegmentLength)
  putReserved(view, at + 8, 2)
  view.setUint32(at + 16, RESERVED_TAG)
  view.setUint32(at + 20, 0)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  view.setUint32(at + 36, pdu.dataSN)
  putReserved(view, at + 40, 2)
}
