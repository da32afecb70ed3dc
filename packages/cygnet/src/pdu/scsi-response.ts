import { bitIf, dataSegmentLengthOf, FINAL_BIT, putReserved, putStart } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * SCSI Response (RFC 7143 §11.4)
 *
 *    0|.|.| 0x21      |1|. .|o|u|O|U|.| Response      | Status        |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| Reserved, 8 bytes                                             |
 *   16| Initiator Task Tag                                            |
 *   20| SNACK Tag or Reserved                                         |
 *   24| StatSN                                                        |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| ExpDataSN or Reserved                                         |
 *   40| Bidirectional Read Residual Count or Reserved                 |
 *   44| Residual Count or Reserved                                    |
 *   48  header digest, data segment (sense and response data), data digest
 */
export interface ScsiResponse {
  /** The o bit. */
  bidirectionalReadOverflow: boolean
  /** The u bit. */
  bidirectionalReadUnderflow: boolean
  /** The O bit: `residualCount` bytes did not fit what the initiator expected. */
  residualOverflow: boolean
  /** The U bit: `residualCount` of the expected bytes were not transferred. */
  residualUnderflow: boolean
  /** `ServiceResponse`. */
  response: number
  /** `ScsiStatus`, valid where `response` is "command completed". */
  status: number
  dataSegmentLength: number
  initiatorTaskTag: number
  snackTag: number
  statSN: number
  expCmdSN: number
  maxCmdSN: number
  expDataSN: number
  bidirectionalReadResidualCount: number
  residualCount: number
}

export function decodeScsiResponse(view: DataView, at: number): ScsiResponse {
  const flags = view.getUint8(at + 1)
  return {
    bidirectionalReadOverflow: (flags & 0x10) !== 0,
    bidirectionalReadUnderflow: (flags & 0x08) !== 0,
    residualOverflow: (flags & 0x04) !== 0,
    residualUnderflow: (flags & 0x02) !== 0,
    response: view.getUint8(at + 2),
    status: view.getUint8(at + 3),
    dataSegmentLength: dataSegmentLengthOf(view, at),
    initiatorTaskTag: view.getUint32(at + 16),
    snackTag: view.getUint32(at + 20),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
    expDataSN: view.getUint32(at + 36),
    bidirectionalReadResidualCount: view.getUint32(at + 40),
    residualCount: view.getUint32(at + 44),
  }
}

export function encodeScsiResponse(view: DataView, at: number, pdu: ScsiResponse): void {
  const flags =
    FINAL_BIT |
    bitIf(pdu.bidirectionalReadOverflow, 0x10) |
    bitIf(pdu.bidirectionalReadUnderflow, 0x08) |
    bitIf(pdu.residualOverflow, 0x04) |
    bitIf(pdu.residualUnderflow, 0x02)
  putStart(view, at, Opcode.scsiResponse, flags, (pdu.response << 8) | pdu.status, pdu.dataSegmentLength)
  putReserved(view, at + 8, 2)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.snackTag)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  view.setUint32(at + 36, pdu.expDataSN)
  view.setUint32(at + 40, pdu.bidirectionalReadResidualCount)
  view.setUint32(at + 44, pdu.residualCount)
}
