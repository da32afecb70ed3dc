import { bitIf, dataSegmentLengthOf, FINAL_BIT, IMMEDIATE_BIT, putReserved, putStart } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * NOP-Out (RFC 7143 §11.18)
 *
 *    0|.|I| 0x00      |1| Reserved                                    |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Reserved, 8 bytes                                      |
 *   16| Initiator Task Tag or 0xffffffff                              |
 *   20| Target Transfer Tag or 0xffffffff                             |
 *   24| CmdSN                                                         |
 *   28| ExpStatSN                                                     |
 *   32| Reserved, 16 bytes                                            |
 *   48  header digest, data segment (ping data), data digest
 */
export interface NopOut {
  immediate: boolean
  dataSegmentLength: number
  lun: bigint
  /** A valid tag asks for a NOP-In in answer. */
  initiatorTaskTag: number
  /** A valid tag answers the NOP-In that carried it. */
  targetTransferTag: number
  cmdSN: number
  expStatSN: number
}

export function decodeNopOut(view: DataView, at: number): NopOut {
  return {
    immediate: (view.getUint8(at) & IMMEDIATE_BIT) !== 0,
    dataSegmentLength: dataSegmentLengthOf(view, at),
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    targetTransferTag: view.getUint32(at + 20),
    cmdSN: view.getUint32(at + 24),
    expStatSN: view.getUint32(at + 28),
  }
}

export function encodeNopOut(view: DataView, at: number, pdu: NopOut): void {
  const opcode = Opcode.nopOut | bitIf(pdu.immediate, IMMEDIATE_BIT)
  putStart(view, at, opcode, FINAL_BIT, 0, pdu.dataSegmentLength)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.targetTransferTag)
  view.setUint32(at + 24, pdu.cmdSN)
  view.setUint32(at + 28, pdu.expStatSN)
  putReserved(view, at + 32, 4)
}

/*
 * NOP-In (RFC 7143 §11.19)
 *
 *    0|.|.| 0x20      |1| Reserved                                    |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Reserved, 8 bytes                                      |
 *   16| Initiator Task Tag or 0xffffffff                              |
 *   20| Target Transfer Tag or 0xffffffff                             |
 *   24| StatSN                                                        |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| Reserved, 12 bytes                                            |
 *   48  header digest, data segment (return ping data), data digest
 */
export interface NopIn {
  dataSegmentLength: number
  lun: bigint
  /** The tag of the NOP-Out that is answered, otherwise `RESERVED_TAG`. */
  initiatorTaskTag: number
  /** A valid tag asks for a NOP-Out in answer. */
  targetTransferTag: number
  /** The next StatSN; not advanced where the initiator task tag is reserved. */
  statSN: number
  expCmdSN: number
  maxCmdSN: number
}

export function decodeNopIn(view: DataView, at: number): NopIn {
  return {
    dataSegmentLength: dataSegmentLengthOf(view, at),
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    targetTransferTag: view.getUint32(at + 20),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
  }
}

export function encodeNopIn(view: DataView, at: number, pdu: NopIn): void {
  putStart(view, at, Opcode.nopIn, FINAL_BIT, 0, pdu.dataSegmentLength)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.targetTransferTag)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  putReserved(view, at + 36, 3)
}
