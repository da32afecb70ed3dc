import { pad4 } from '../base/bytes.ts'
import { copyBytes, putBytes } from './bhs.ts'
import { AhsType } from './codes.ts'

/*
 * Additional header segments (RFC 7143 §11.2.2), each padded to four bytes:
 *
 *    0| AHSLength                     | AHSType       | AHS-Specific  |
 *    4/ AHS-Specific                                                  /
 *
 * AHSLength counts the bytes from byte 3 on, without padding. AHSType: two reserved bits and a six-bit code.
 *
 * Extended CDB, bytes 16 and on of a CDB of 17 bytes or more:
 *    0| AHSLength (CDBLength - 15)    | 0x01          |  Reserved     |
 *    4/ ExtendedCDB...+padding                                        /
 *
 * Bidirectional Read Expected Data Transfer Length:
 *    0| AHSLength (0x0005)            | 0x02          | Reserved      |
 *    4| Bidirectional Read Expected Data Transfer Length              |
 */

/** What the additional header segments of a SCSI Command say. */
export interface Ahs {
  /** Bytes 16 and on of the CDB, at least one, copied out of the header. */
  readonly extendedCdb: Uint8Array | undefined
  /** Bytes that the initiator expects to read in a bidirectional command. */
  readonly bidirectionalReadExpectedDataTransferLength: number | undefined
}

/** `unknownTypes` has the AHS codes that RFC 7143 reserves; receiving one is a protocol error (§11). */
export type ParsedAhs =
  | { readonly ok: true; readonly ahs: Ahs; readonly unknownTypes: readonly number[] }
  | { readonly ok: false; readonly error: string }

const refuse = (error: string): ParsedAhs => ({ ok: false, error })

/** Reads the `lengthBytes` bytes of additional header segments that start at `at`. */
export function parseAhs(view: DataView, at: number, lengthBytes: number): ParsedAhs {
  const end = at + lengthBytes
  let extendedCdb: Uint8Array | undefined
  let bidirectionalReadExpectedDataTransferLength: number | undefined
  const unknownTypes: number[] = []
  for (let next = at; next < end; ) {
    if (next + 4 > end) return refuse('an AHS is cut off')
    const ahsLength = view.getUint16(next)
    const type = view.getUint8(next + 2) & 0x3f
    const here = next
    next += pad4(3 + ahsLength)
    if (next > end) return refuse(`AHSLength ${ahsLength} reaches past TotalAHSLength`)
    if (type === AhsType.extendedCdb) {
      if (extendedCdb !== undefined) return refuse('two extended CDBs')
      if (ahsLength < 2) return refuse(`AHSLength ${ahsLength} of an extended CDB is less than 2`)
      extendedCdb = copyBytes(view, here + 4, ahsLength - 1)
    } else if (type === AhsType.bidirectionalReadLength) {
      if (bidirectionalReadExpectedDataTransferLength !== undefined)
        return refuse('two bidirectional read lengths')
      if (ahsLength !== 5) return refuse(`AHSLength ${ahsLength} of a bidirectional read length is not 5`)
      bidirectionalReadExpectedDataTransferLength = view.getUint32(here + 4)
    } else {
      unknownTypes.push(type)
    }
  }
  return { ok: true, ahs: { extendedCdb, bidirectionalReadExpectedDataTransferLength }, unknownTypes }
}

/** Bytes that `encodeAhs` writes for this AHS; a quarter of it is the PDU's TotalAHSLength. */
export function encodedAhsLength(ahs: Ahs): number {
  const cdbBytes = ahs.extendedCdb === undefined ? 0 : 4 + pad4(ahs.extendedCdb.length)
  return cdbBytes + (ahs.bidirectionalReadExpectedDataTransferLength === undefined ? 0 : 8)
}

/** Writes the additional header segments and returns their length in bytes. */
export function encodeAhs(view: DataView, at: number, ahs: Ahs): number {
  let next = at
  if (ahs.extendedCdb !== undefined) {
    const { length } = ahs.extendedCdb
    view.setUint16(next, length + 1)
    view.setUint16(next + 2, AhsType.extendedCdb << 8)
    putBytes(view, next + 4, ahs.extendedCdb, pad4(length))
    next += 4 + pad4(length)
  }
  if (ahs.bidirectionalReadExpectedDataTransferLength !== undefined) {
    view.setUint16(next, 5)
    view.setUint16(next + 2, AhsType.bidirectionalReadLength << 8)
    view.setUint32(next + 4, ahs.bidirectionalReadExpectedDataTransferLength)
    next += 8
  }
  return next - at
}

/** The whole CDB: the 16 bytes of the BHS followed by those of the extended CDB. */
export function joinCdb(cdb: Uint8Array, extendedCdb: Uint8Array | undefined): Uint8Array {
  if (extendedCdb === undefined) return cdb
  const whole = new Uint8Array(cdb.length + extendedCdb.length)
  whole.set(cdb)
  whole.set(extendedCdb, cdb.length)
  return whole
}
