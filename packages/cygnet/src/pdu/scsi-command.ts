import {
  ahsLengthOf,
  bitIf,
  copyBytes,
  dataSegmentLengthOf,
  FINAL_BIT,
  IMMEDIATE_BIT,
  putBytes,
  putStart,
} from './bhs.ts'
import { Opcode } from './opcodes.ts'

/*
 * SCSI Command (RFC 7143 §11.3)
 *
 *    0|.|I| 0x01      |F|R|W|. .|ATTR | Reserved                      |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| Logical Unit Number (LUN), 8 bytes                            |
 *   16| Initiator Task Tag                                            |
 *   20| Expected Data Transfer Length                                 |
 *   24| CmdSN                                                         |
 *   28| ExpStatSN                                                     |
 *   32| SCSI Command Descriptor Block (CDB), 16 bytes                 |
 *   48  AHS (optional), header digest, immediate data, data digest
 */
export interface ScsiCommand {
  /** The I bit. */
  immediate: boolean
  /** The F bit: no unsolicited Data-Out follows. */
  final: boolean
  /** The R bit: data to the initiator is expected. */
  read: boolean
  /** The W bit: data from the initiator is expected. */
  write: boolean
  /** ATTR 0..7 (`TaskAttribute`; 5 to 7 are reserved). */
  attribute: number
  /** TotalAHSLength in words of four bytes, 0..255. */
  totalAhsLength: number
  /** Immediate data in bytes, without padding. */
  dataSegmentLength: number
  lun: bigint
  initiatorTaskTag: number
  /** Bytes; the write half of a bidirectional command. */
  expectedDataTransferLength: number
  cmdSN: number
  expStatSN: number
  /** 16 bytes, copied out of the header. `encode` zero-fills a shorter CDB; the rest of a longer one travels in an AHS. */
  cdb: Uint8Array
}

export function decodeScsiCommand(view: DataView, at: number): ScsiCommand {
  const flags = view.getUint8(at + 1)
  return {
    immediate: (view.getUint8(at) & IMMEDIATE_BIT) !== 0,
    final: (flags & FINAL_BIT) !== 0,
    read: (flags & 0x40) !== 0,
    write: (flags & 0x20) !== 0,
    attribute: flags & 0x07,
    totalAhsLength: ahsLengthOf(view, at) >>> 2,
    dataSegmentLength: dataSegmentLengthOf(view, at),
    lun: view.getBigUint64(at + 8),
    initiatorTaskTag: view.getUint32(at + 16),
    expectedDataTransferLength: view.getUint32(at + 20),
    cmdSN: view.getUint32(at + 24),
    expStatSN: view.getUint32(at + 28),
    cdb: copyBytes(view, at + 32, 16),
  }
}

export function encodeScsiCommand(view: DataView, at: number, pdu: ScsiCommand): void {
  const flags = bitIf(pdu.final, FINAL_BIT) | bitIf(pdu.read, 0x40) | bitIf(pdu.write, 0x20) | pdu.attribute
  const opcode = Opcode.scsiCommand | bitIf(pdu.immediate, IMMEDIATE_BIT)
  putStart(view, at, opcode, flags, 0, pdu.dataSegmentLength, pdu.totalAhsLength)
  view.setBigUint64(at + 8, pdu.lun)
  view.setUint32(at + 16, pdu.initiatorTaskTag)
  view.setUint32(at + 20, pdu.expectedDataTransferLength)
  view.setUint32(at + 24, pdu.cmdSN)
  view.setUint32(at + 28, pdu.expStatSN)
  putBytes(view, at + 32, pdu.cdb, 16)
}
