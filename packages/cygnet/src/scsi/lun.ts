import { set16, set32 } from './fields.ts'

/*
 * The eight-byte LUN field (SAM-5 §4.7). Only single-level LUNs exist here, so bytes 2..7 are zero:
 *   peripheral device addressing  00b (2) BUS IDENTIFIER = 0 (6) | LUN (8)              LUN 0..255
 *   flat space addressing         01b (2) LUN (14)                                       LUN 0..16383
 *   extended, well known LUN      11b (2) 00b (2) 0001b (4) | W-LUN (8)                  REPORT LUNS is 01h
 */

/** The REPORT LUNS well known logical unit, C101h. */
export const REPORT_LUNS_WLUN = 0xc101_0000_0000_0000n

/** Largest LUN that flat space addressing holds. */
export const MAX_LUN = 0x3fff

export type LunAddress =
  | { readonly kind: 'unit'; readonly lun: number }
  | { readonly kind: 'report-luns' }
  /** A form that no logical unit here has: answer LOGICAL UNIT NOT SUPPORTED. */
  | { readonly kind: 'unsupported' }

/** Decodes the LUN field of a PDU, read as a big-endian 64-bit number. */
export function decodeLun(field: bigint): LunAddress {
  if (field === REPORT_LUNS_WLUN) return { kind: 'report-luns' }
  if ((field & 0x0000_ffff_ffff_ffffn) !== 0n) return { kind: 'unsupported' }
  const first = Number(field >> 48n)
  const method = first >>> 14
  // Peripheral addressing with a bus identifier would mean a device behind this one.
  if (method === 0 && first <= 0xff) return { kind: 'unit', lun: first }
  if (method === 1) return { kind: 'unit', lun: first & MAX_LUN }
  return { kind: 'unsupported' }
}

/** The first two bytes of the LUN field: peripheral addressing up to 255, flat space above (what every initiator expects). */
const firstTwoBytes = (lun: number): number => (lun <= 0xff ? lun : 0x4000 | lun)

const fieldOf = (lun: number): bigint => BigInt(firstTwoBytes(lun)) << 48n
/** Arithmetic of bigints is slow, and every command has a LUN. */
const smallLuns = Array.from({ length: 256 }, (_, lun) => fieldOf(lun))

/** The LUN field for a LUN of 0..16383. */
export const encodeLun = (lun: number): bigint => smallLuns[lun] ?? fieldOf(lun)

/** REPORT LUNS parameter data (SPC-5 §6.33): LUN LIST LENGTH (4), reserved (4), eight bytes for each LUN. */
export function encodeReportLuns(luns: readonly number[], withWellKnown: boolean): Uint8Array {
  const count = luns.length + (withWellKnown ? 1 : 0)
  const bytes = new Uint8Array(8 + 8 * count)
  set32(bytes, 0, 8 * count)
  let at = 8
  for (const lun of luns) {
    set16(bytes, at, firstTwoBytes(lun))
    at += 8
  }
  if (withWellKnown) set16(bytes, at, Number(REPORT_LUNS_WLUN >> 48n))
  return bytes
}

/** The LUN fields in REPORT LUNS parameter data, as many as are there in full. */
export function decodeReportLuns(bytes: Uint8Array): LunAddress[] {
  if (bytes.length < 8) return []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = Math.min(bytes.length, 8 + view.getUint32(0))
  const luns: LunAddress[] = []
  for (let at = 8; at + 8 <= end; at += 8) luns.push(decodeLun(view.getBigUint64(at)))
  return luns
}
