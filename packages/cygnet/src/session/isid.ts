import { getU24, getU48, hex, setU24, setU48, viewOf } from '../base/bytes.ts'

/**
 * The initiator's part of a session identifier (RFC 7143 §11.12.5): six bytes, in the format that T says.
 *
 * ```
 *  Byte    0             1       2       3      4       5
 *       | T | A (6)  |      B (16)   | C (8) |    D (16)     |
 *   00    A and B: OUI without I/G and U/L;  C and D: qualifier
 *   01    A: 0;  B and C: IANA enterprise number;  D: qualifier
 *   10    A: 0;  B and C: random;  D: qualifier
 *   11    reserved
 * ```
 */
export type Isid =
  /** `oui`: 24 bits as registered, its two lowest bits of the first byte zero. `qualifier`: 24 bits. */
  | { readonly type: 'oui'; readonly oui: number; readonly qualifier: number }
  /** `enterprise`: 24 bits. `qualifier`: 16 bits. */
  | { readonly type: 'enterprise'; readonly enterprise: number; readonly qualifier: number }
  /** `random`: 24 bits. `qualifier`: 16 bits. */
  | { readonly type: 'random'; readonly random: number; readonly qualifier: number }
  /** `value`: the 46 bits after T. */
  | { readonly type: 'reserved'; readonly value: number }

export const ISID_BYTES = 6

const FORMAT_SHIFT = 6
const FORMAT_ENTERPRISE = 1
const FORMAT_RANDOM = 2
const FORMAT_RESERVED = 3
/** The bits of a first byte that are not T: A. */
const A_MASK = 0x3f

/** Reads six bytes; reserved bits are not looked at. */
export function parseIsid(bytes: Uint8Array): Isid {
  const view = viewOf(bytes)
  const first = view.getUint8(0)
  switch (first >>> FORMAT_SHIFT) {
    case FORMAT_ENTERPRISE:
      return { type: 'enterprise', enterprise: getU24(view, 1), qualifier: view.getUint16(4) }
    case FORMAT_RANDOM:
      return { type: 'random', random: getU24(view, 1), qualifier: view.getUint16(4) }
    case FORMAT_RESERVED:
      return { type: 'reserved', value: getU48(view, 0) - FORMAT_RESERVED * 2 ** 46 }
    default:
      return { type: 'oui', oui: (first << 18) | view.getUint16(1), qualifier: getU24(view, 3) }
  }
}

/** The six bytes. Fields are cut to their width. */
export function encodeIsid(isid: Isid): Uint8Array {
  const bytes = new Uint8Array(ISID_BYTES)
  const view = viewOf(bytes)
  switch (isid.type) {
    case 'oui':
      view.setUint8(0, (isid.oui >>> 18) & A_MASK)
      view.setUint16(1, isid.oui & 0xffff)
      setU24(view, 3, isid.qualifier)
      return bytes
    case 'enterprise':
      view.setUint8(0, FORMAT_ENTERPRISE << FORMAT_SHIFT)
      setU24(view, 1, isid.enterprise)
      view.setUint16(4, isid.qualifier)
      return bytes
    case 'random':
      view.setUint8(0, FORMAT_RANDOM << FORMAT_SHIFT)
      setU24(view, 1, isid.random)
      view.setUint16(4, isid.qualifier)
      return bytes
    case 'reserved':
      setU48(view, 0, FORMAT_RESERVED * 2 ** 46 + (isid.value % 2 ** 46))
      return bytes
  }
}

/** Six bytes written as 12 hexadecimal digits, with or without 0x; undefined for any other text. */
export function parseIsidText(text: string): Uint8Array | undefined {
  const digits = /^(?:0[xX])?([\da-fA-F]{12})$/.exec(text)?.[1]
  return digits === undefined ? undefined : Uint8Array.from(Buffer.from(digits, 'hex'))
}

/** As it stands in an initiator port name (RFC 7143 §4.4.1): 0x and 12 lower-case hexadecimal digits. */
export const formatIsid = (bytes: Uint8Array): string => `0x${hex(bytes)}`

/** For people: what the six bytes say. */
export function describeIsid(bytes: Uint8Array): string {
  const isid = parseIsid(bytes)
  switch (isid.type) {
    case 'oui':
      return `OUI ${formatOui(isid.oui)}, qualifier ${isid.qualifier}`
    case 'enterprise':
      return `enterprise number ${isid.enterprise}, qualifier ${isid.qualifier}`
    case 'random':
      return `random 0x${isid.random.toString(16).padStart(6, '0')}, qualifier ${isid.qualifier}`
    case 'reserved':
      return `reserved format, ${formatIsid(bytes)}`
  }
}

const formatOui = (oui: number): string =>
  oui
    .toString(16)
    .padStart(6, '0')
    .replace(/..(?=.)/g, '$&-')
