import { FINAL_BIT, putReserved, putStart } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * SNACK Request (RFC 7143 §11.16)
 *
 *    0|.|.| 0x10      |1|.|.|.| Type  | Reserved                      |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Reserved, 8 bytes                                      |
 *   16| Initiator Task Tag or 0xffffffff                              |
 *   20| Target Transfer Tag or SNACK Tag or 0xffffffff                |
 *   24| Reserved                                                      |
 *   28| ExpStatSN                                                     |
 *   32| Reserved, 8 bytes                                             |
 *   40| BegRun                                                        |
 *   44| RunLength                                                     |
 */
export interface SnackRequest {
  /** `SnackType`, 0..15. */
  type: number
  lun: bigint
  initiatorTaskTag: number
  /** Target transfer tag of a DataACK, SNACK tag of an R-Data SNACK, otherwise `RESERVED_TAG`. */
  targetTransferTag: number
  expStatSN: number
  /** First StatSN, DataSN or R2TSN that is asked for. */
  begRun: number
  /** How many; 0 means all from `begRun` on. */
  runLength: number
}

export function decodeSnackRequest(view: DataView, at: number): SnackRequest {
  return {
    type: view.getUint8(at + 1) & 0x0f,
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    targetTransferTag: view.getUint32(at + 20),
    expStatSN: view.getUint32(at + 28),
    begRun: view.getUint32(at + 40),
    runLength: view.getUint32(at + 44),
  }
}

export function encodeSnackRequest(view: DataView, at: number, pdu: SnackRequest): void {
  putStart(view, at, Opcode.snackRequest, FINAL_BIT | pdu.type, 0, 0)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.targetTransferTag)
  view.setUint32(at + 24, 0)
  view.setUint32(at + 28, pdu.expStatSN)
  putReserved(view, at + 32, 2)
  view.setUint32(at + 40, pdu.begRun)
  view.setUint32(at + 44, pdu.runLength)
}
