import { bitIf, dataSegmentLengthOf, FINAL_BIT, IMMEDIATE_BIT, putReserved, putStart } from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * Text Request (RFC 7143 §11.10)
 *
 *    0|.|I| 0x04      |F|C| Reserved                                  |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Reserved, 8 bytes                                      |
 *   16| Initiator Task Tag                                            |
 *   20| Target Transfer Tag or 0xffffffff                             |
 *   24| CmdSN                                                         |
 *   28| ExpStatSN                                                     |
 *   32| Reserved, 16 bytes                                            |
 *   48  header digest, data segment (text), data digest
 */
export interface TextRequest {
  immediate: boolean
  /** The F bit. */
  final: boolean
  /** The C bit: the text goes on in the next PDU; never with `final`. */
  continue: boolean
  dataSegmentLength: number
  lun: bigint
  initiatorTaskTag: number
  targetTransferTag: number
  cmdSN: number
  expStatSN: number
}

export function decodeTextRequest(view: DataView, at: number): TextRequest {
  const flags = view.getUint8(at + 1)
  return {
    immediate: (view.getUint8(at) & IMMEDIATE_BIT) !== 0,
    final: (flags & FINAL_BIT) !== 0,
    continue: (flags & 0x40) !== 0,
    dataSegmentLength: dataSegmentLengthOf(view, at),
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    targetTransferTag: view.getUint32(at + 20),
    cmdSN: view.getUint32(at + 24),
    expStatSN: view.getUint32(at + 28),
  }
}

export function encodeTextRequest(view: DataView, at: number, pdu: TextRequest): void {
  const flags = bitIf(pdu.final, FINAL_BIT) | bitIf(pdu.continue, 0x40)
  const opcode = Opcode.textRequest | bitIf(pdu.immediate, IMMEDIATE_BIT)
  putStart(view, at, opcode, flags, 0, pdu.dataSegmentLength)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.targetTransferTag)
  view.setUint32(at + 24, pdu.cmdSN)
  view.setUint32(at + 28, pdu.expStatSN)
  putReserved(view, at + 32, 4)
}

/*
 * Text Response (RFC 7143 §11.11)
 *
 *    0|.|.| 0x24      |F|C| Reserved                                  |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Reserved, 8 bytes                                      |
 *   16| Initiator Task Tag                                            |
 *   20| Target Transfer Tag or 0xffffffff                             |
 *   24| StatSN                                                        |
 *   28| ExpCmdSN                                                      |
 *   32| MaxCmdSN                                                      |
 *   36| Reserved, 12 bytes                                            |
 *   48  header digest, data segment (text), data digest
 */
export interface TextResponse {
  /** The F bit. */
  final: boolean
  /** The C bit: the text goes on in the next PDU; never with `final`. */
  continue: boolean
  dataSegmentLength: number
  lun: bigint
  initiatorTaskTag: number
  targetTransferTag: number
  statSN: number
  expCmdSN: number
  maxCmdSN: number
}

export function decodeTextResponse(view: DataView, at: number): TextResponse {
  const flags = view.getUint8(at + 1)
  return {
    final: (flags & FINAL_BIT) !== 0,
    continue: (flags & 0x40) !== 0,
    dataSegmentLength: dataSegmentLengthOf(view, at),
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    targetTransferTag: view.getUint32(at + 20),
    statSN: view.getUint32(at + 24),
    expCmdSN: view.getUint32(at + 28),
    maxCmdSN: view.getUint32(at + 32),
  }
}

export function encodeTextResponse(view: DataView, at: number, pdu: TextResponse): void {
  const flags = bitIf(pdu.final, FINAL_BIT) | bitIf(pdu.continue, 0x40)
  putStart(view, at, Opcode.textResponse, flags, 0, pdu.dataSegmentLength)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.targetTransferTag)
  view.setUint32(at + 24, pdu.statSN)
  view.setUint32(at + 28, pdu.expCmdSN)
  view.setUint32(at + 32, pdu.maxCmdSN)
  putReserved(view, at + 36, 3)
}
