import { dataSegmentLengthOf, FINAL_BIT, putStart, RESERVED_TAG } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * Asynchronous Message (RFC 7143 §11.9)
 *
 *    0|.|.| 0x32      |1| Reserved                                    |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Reserved, 8 bytes                                      |
 *   16| 0xffffffff                                                    |
 *   20| Reserved                                                      |
 *   24| StatSN                                                        |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| AsyncEvent    | AsyncVCode    | Parameter1 or Reserved        |
 *   40| Parameter2 or Reserved        | Parameter3 or Reserved        |
 *   44| Reserved                                                      |
 *   48  header digest, data segment (sense and event data), data digest
 */
export interface AsyncMessage {
  dataSegmentLength: number
  lun: bigint
  statSN: number
  expCmdSN: number
  maxCmdSN: number
  /** `AsyncEvent`. */
  asyncEvent: number
  /** For vendor-specific events only. */
  asyncVCode: number
  /** 16 bits: the CID in a connection drop. */
  parameter1: number
  /** 16 bits: Time2Wait in seconds in a drop notification. */
  parameter2: number
  /** 16 bits: Time2Retain, or the time to act, in seconds. */
  parameter3: number
}

export function decodeAsyncMessage(view: DataView, at: number): AsyncMessage {
  return {
    dataSegmentLength: dataSegmentLengthOf(view, at),
    lun: view.getBigUint64(at + 8),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
    asyncEvent: view.getUint8(at + 36),
    asyncVCode: view.getUint8(at + 37),
    parameter1: view.getUint16(at + 38),
    parameter2: view.getUint16(at + 40),
    parameter3: view.getUint16(at + 42),
  }
}

export function encodeAsyncMessage(view: DataView, at: number, pdu: AsyncMessage): void {
  putStart(view, at, Opcode.asyncMessage, FINAL_BIT, 0, pdu.dataSegmentLength)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, RESERVED_TAG)
  view.setUint32(at + 20, 0)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  view.setUint8(at + 36, pdu.asyncEvent)
  view.setUint8(at + 37, pdu.asyncVCode)
  view.setUint16(at + 38, pdu.parameter1)
  view.setUint16(at + 40, pdu.parameter2)
  view.setUint16(at + 42, pdu.parameter3)
  view.setUint32(at + 44, 0)
}
