/**
 * Big-endian fields of CDBs and parameter data. A CDB is too short-lived for a DataView of its own, so these read
 * bytes; the caller has checked the length.
 */
/** One byte; zero past the end. */
export const get8 = (bytes: Uint8Array, at: number): number => bytes[at] ?? 0

export const get16 = (bytes: Uint8Array, at: number): number => (get8(bytes, at) << 8) | get8(bytes, at + 1)

export const get24 = (bytes: Uint8Array, at: number): number => (get8(bytes, at) << 16) | get16(bytes, at + 1)

export const get32 = (bytes: Uint8Array, at: number): number =>
  ((get8(bytes, at) << 24) | get24(bytes, at + 1)) >>> 0

export const get48 = (bytes: Uint8Array, at: number): number =>
  get16(bytes, at) * 0x1_0000_0000 + get32(bytes, at + 2)

/**
 * A 64-bit field as a number: exact below 2^53, and never below 2^53 where the field is not. Comparing it with a
 * capacity (always below 2^53) is therefore exact.
 */
export const get64 = (bytes: Uint8Array, at: number): number =>
  get32(bytes, at) * 0x1_0000_0000 + get32(bytes, at + 4)

export function set16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export function set24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16
  set16(bytes, at + 1, value)
}

export function set32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  set24(bytes, at + 1, value)
}

/** `value` is a whole number from 0 to 2^48 - 1. */
export function set48(bytes: Uint8Array, at: number, value: number): void {
  set16(bytes, at, Math.floor(value / 0x1_0000_0000))
  set32(bytes, at + 2, value >>> 0)
}

/** `value` is a whole number from 0 to 2^53. */
export function set64(bytes: Uint8Array, at: number, value: number): void {
  set32(bytes, at, Math.floor(value / 0x1_0000_0000))
  set32(bytes, at + 4, value >>> 0)
}

/** Left-aligned ASCII, filled with spaces (SPC-5 §4.3.1); what is not printable ASCII becomes a space. */
export function setAscii(bytes: Uint8Array, at: number, lengthBytes: number, text: string): void {
  for (let i = 0; i < lengthBytes; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 0x20
    bytes[at + i] = code >= 0x20 && code <= 0x7e ? code : 0x20
  }
}

/** An ASCII field without its trailing spaces and NULs. */
export function getAscii(bytes: Uint8Array, at: number, lengthBytes: number): string {
  let text = ''
  for (let i = 0; i < lengthBytes && at + i < bytes.length; i++)
    text += String.fromCharCode(get8(bytes, at + i))
  let end = text.length
  while (end > 0 && (text[end - 1] === ' ' || text[end - 1] === '\0')) end--
  return text.slice(0, end)
}
