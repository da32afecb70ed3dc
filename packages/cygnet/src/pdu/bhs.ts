import { assert } from '../base/assert.ts'
import { getU24 } from '../base/bytes.ts'

/*
 * What every basic header segment has in common (RFC 7143 §11.2.1):
 *
 *      0               1               2               3
 *    0|.|I| Opcode    |F| Opcode-specific fields                      |
 *    4|TotalAHSLength | DataSegmentLength                             |
 *    8| LUN or Opcode-specific fields                                 |
 *   16| Initiator Task Tag                                            |
 *   20| Opcode-specific fields (28 bytes)                             |
 *
 * Codecs take the DataView of a whole segment and the offset of the header in it: a view of each header, let alone
 * of each field, costs more than the header's decoding. `encode` writes all 48 bytes, reserved ones as zero;
 * `decode` ignores reserved bits, as §11 asks of receivers.
 */

/** Length of a basic header segment in bytes. */
export const BHS_BYTES = 48

/** Largest DataSegmentLength that its 24 bits can say. */
export const MAX_DATA_SEGMENT_BYTES = 0xff_ffff

/** Largest total length of the additional header segments: 255 words of four bytes. */
export const MAX_AHS_BYTES = 255 * 4

/** The tag that stands for "no tag", both ITT and TTT. */
export const RESERVED_TAG = 0xffff_ffff

export const FINAL_BIT = 0x80

export const opcodeOf = (view: DataView, at: number): number => view.getUint8(at) & 0x3f

export const isImmediate = (view: DataView, at: number): boolean => (view.getUint8(at) & 0x40) !== 0

export const isFinal = (view: DataView, at: number): boolean => (view.getUint8(at + 1) & FINAL_BIT) !== 0

/** DataSegmentLength in bytes, without padding. */
export const dataSegmentLengthOf = (view: DataView, at: number): number => getU24(view, at + 5)

/** Length of all additional header segments in bytes: 0..1020, a multiple of four. */
export const ahsLengthOf = (view: DataView, at: number): number => view.getUint8(at + 4) * 4

export const initiatorTaskTagOf = (view: DataView, at: number): number => view.getUint32(at + 16)

/** The bit where the flag is set, 0 where it is not. */
export const bitIf = (flag: boolean, bit: number): number => (flag ? bit : 0)

/**
 * Writes bytes 0..7: opcode with the immediate bit, byte 1 (flags), bytes 2 and 3, TotalAHSLength in words of four
 * bytes and DataSegmentLength in bytes.
 */
export function putStart(
  view: DataView,
  at: number,
  opcodeByte: number,
  flags: number,
  byte2And3: number,
  dataSegmentLength: number,
  totalAhsLength = 0,
): void {
  assert(
    dataSegmentLength >= 0 && dataSegmentLength <= MAX_DATA_SEGMENT_BYTES,
    'DataSegmentLength needs 24 bits',
  )
  assert(totalAhsLength >= 0 && totalAhsLength <= 255, 'TotalAHSLength needs 8 bits')
  view.setUint32(at, (opcodeByte << 24) | (flags << 16) | byte2And3)
  view.setUint32(at + 4, (totalAhsLength << 24) | dataSegmentLength)
}

/** The immediate bit in byte 0. */
export const IMMEDIATE_BIT = 0x40

/** Writes zeroes over `words` reserved words of four bytes. */
export function putReserved(view: DataView, at: number, words: number): void {
  for (let i = 0; i < words; i++) view.setUint32(at + i * 4, 0)
}

/** A copy of a few bytes of the header: it lives on when the receive segment is reused. */
export function copyBytes(view: DataView, at: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  for (let i = 0; i < lengthBytes; i++) bytes[i] = view.getUint8(at + i)
  return bytes
}

/** Writes the first `lengthBytes` of `bytes`, zero-filled where it is shorter. */
export function putBytes(view: DataView, at: number, bytes: Uint8Array, lengthBytes: number): void {
  for (let i = 0; i < lengthBytes; i++) view.setUint8(at + i, bytes[i] ?? 0)
}
