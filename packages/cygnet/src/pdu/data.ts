import { bitIf, dataSegmentLengthOf, FINAL_BIT, putStart } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * SCSI Data-Out (RFC 7143 §11.7)
 *
 *    0|.|.| 0x05      |F| Reserved                                    |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Reserved, 8 bytes                                      |
 *   16| Initiator Task Tag                                            |
 *   20| Target Transfer Tag or 0xffffffff                             |
 *   24| Reserved (there is no CmdSN here)                             |
 *   28| ExpStatSN                                                     |
 *   32| Reserved                                                      |
 *   36| DataSN                                                        |
 *   40| Buffer Offset                                                 |
 *   44| Reserved                                                      |
 *   48  header digest, data segment, data digest
 */
export interface DataOut {
  /** The F bit: the last PDU of unsolicited data, or of the answer to one R2T. */
  final: boolean
  dataSegmentLength: number
  lun: bigint
  initiatorTaskTag: number
  /** `RESERVED_TAG` in unsolicited data. */
  targetTransferTag: number
  expStatSN: number
  dataSN: number
  /** Bytes from the start of the command's whole transfer. */
  bufferOffset: number
}

export function decodeDataOut(view: DataView, at: number): DataOut {
  return {
    final: (view.getUint8(at + 1) & FINAL_BIT) !== 0,
    dataSegmentLength: dataSegmentLengthOf(view, at),
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    targetTransferTag: view.getUint32(at + 20),
    expStatSN: view.getUint32(at + 28),
    dataSN: view.getUint32(at + 36),
    bufferOffset: view.getUint32(at + 40),
  }
}

export function encodeDataOut(view: DataView, at: number, pdu: DataOut): void {
  putStart(view, at, Opcode.dataOut, bitIf(pdu.final, FINAL_BIT), 0, pdu.dataSegmentLength)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.targetTransferTag)
  view.setUint32(at + 24, 0)
  view.setUint32(at + 28, pdu.expStatSN)
  view.setUint32(at + 32, 0)
  view.setUint32(at + 36, pdu.dataSN)
  view.setUint32(at + 40, pdu.bufferOffset)
  view.setUint32(at + 44, 0)
}

/*
 * SCSI Data-In (RFC 7143 §11.7)
 *
 *    0|.|.| 0x25      |F|A|0 0 0|O|U|S| Reserved      |Status or Rsvd |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Reserved, 8 bytes                                      |
 *   16| Initiator Task Tag                                            |
 *   20| Target Transfer Tag or 0xffffffff                             |
 *   24| StatSN or Reserved                                            |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| DataSN                                                        |
 *   40| Buffer Offset                                                 |
 *   44| Residual Count                                                |
 *   48  header digest, data segment, data digest
 */
export interface DataIn {
  /** The F bit: the last PDU of a sequence. */
  final: boolean
  /** The A bit: a DataACK SNACK is wanted (ErrorRecoveryLevel 1 and higher). */
  acknowledge: boolean
  /** The O bit, valid with `hasStatus`. */
  residualOverflow: boolean
  /** The U bit, valid with `hasStatus`. */
  residualUnderflow: boolean
  /** The S bit: `status`, `statSN` and `residualCount` are valid and the command is complete. Implies `final`. */
  hasStatus: boolean
  status: number
  dataSegmentLength: number
  lun: bigint
  initiatorTaskTag: number
  targetTransferTag: number
  statSN: number
  expCmdSN: number
  maxCmdSN: number
  dataSN: number
  bufferOffset: number
  residualCount: number
}

export function decodeDataIn(view: DataView, at: number): DataIn {
  const flags = view.getUint8(at + 1)
  return {
    final: (flags & FINAL_BIT) !== 0,
    acknowledge: (flags & 0x40) !== 0,
    residualOverflow: (flags & 0x04) !== 0,
    residualUnderflow: (flags & 0x02) !== 0,
    hasStatus: (flags & 0x01) !== 0,
    status: view.getUint8(at + 3),
    dataSegmentLength: dataSegmentLengthOf(view, at),
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    targetTransferTag: view.getUint32(at + 20),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
    dataSN: view.getUint32(at + 36),
    bufferOffset: view.getUint32(at + 40),
    residualCount: view.getUint32(at + 44),
  }
}

export function encodeDataIn(view: DataView, at: number, pdu: DataIn): void {
  const flags =
    bitIf(pdu.final, FINAL_BIT) |
    bitIf(pdu.acknowledge, 0x40) |
    bitIf(pdu.residualOverflow, 0x04) |
    bitIf(pdu.residualUnderflow, 0x02) |
    bitIf(pdu.hasStatus, 0x01)
  putStart(view, at, Opcode.dataIn, flags, pdu.status, pdu.dataSegmentLength)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.targetTransferTag)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  view.setUint32(at + 36, pdu.dataSN)
  view.setUint32(at + 40, pdu.bufferOffset)
  view.setUint32(at + 44, pdu.residualCount)
}

/*
 * Ready To Transfer (RFC 7143 §11.8); DataSegmentLength is 0
 *
 *    0|.|.| 0x31      |1| Reserved                                    |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN, 8 bytes                                                  |
 *   16| Initiator Task Tag                                            |
 *   20| Target Transfer Tag                                           |
 *   24| StatSN (the next one; not advanced by this PDU)               |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| R2TSN                                                         |
 *   40| Buffer Offset                                                 |
 *   44| Desired Data Transfer Length                                  |
 */
export interface R2T {
  lun: bigint
  initiatorTaskTag: number
  targetTransferTag: number
  statSN: number
  expCmdSN: number
  maxCmdSN: number
  r2tSN: number
  bufferOffset: number
  /** Bytes, 1..MaxBurstLength. */
  desiredDataTransferLength: number
}

export function decodeR2T(view: DataView, at: number): R2T {
  return {
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    targetTransferTag: view.getUint32(at + 20),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
    r2tSN: view.getUint32(at + 36),
    bufferOffset: view.getUint32(at + 40),
    desiredDataTransferLength: view.getUint32(at + 44),
  }
}

export function encodeR2T(view: DataView, at: number, pdu: R2T): void {
  putStart(view, at, Opcode.r2t, FINAL_BIT, 0, 0)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.targetTransferTag)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  view.setUint32(at + 36, pdu.r2tSN)
  view.setUint32(at + 40, pdu.bufferOffset)
  view.setUint32(at + 44, pdu.desiredDataTransferLength)
}
