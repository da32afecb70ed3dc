/**
 * CRC32C (Castagnoli), the digest of RFC 7143 §13.1: reflected polynomial 0x82f63b78, initial value and final complement
 * all ones. On the wire the value is sent least significant byte first (the examples of RFC 7143 A.4).
 *
 * Slicing by 16: entry `256 * k + b` is the CRC of byte b followed by k zero bytes, so that sixteen input bytes
 * are folded with sixteen independent look-ups.
 */
const SLICES = 16
const TABLE = buildTable()

function buildTable(): Int32Array {
  const table = new Int32Array(256 * SLICES)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
    table[byte] = crc
  }
  for (let i = 256; i < table.length; i++) {
    const shorter = table[i - 256] as number
    table[i] = (shorter >>> 8) ^ (table[shorter & 0xff] as number)
  }
  return table
}

/** A native CRC32C: `previous` is the CRC of what came before, 0 at the start; the result may be signed. */
export type NativeCrc32c = (bytes: Uint8Array, previous: number) => number

/** Below this length the call into native code costs more than the table. */
const NATIVE_FROM_BYTES = 128

let native: NativeCrc32c | undefined

/** Installs (or with undefined removes) a native implementation, used from then on for inputs of 128 bytes and more. */
export function useFastCrc32c(implementation: NativeCrc32c | undefined): void {
  native = implementation
}

/**
 * CRC32C of `bytes[start..end)`, 0..2^32-1. To chain, give the result for the preceding bytes as `previous`:
 * `crc32c(ab, 0, 2) === crc32c(b, 0, 1, crc32c(a, 0, 1))`.
 */
export function crc32c(bytes: Uint8Array, start: number, end: number, previous = 0): number {
  if (native !== undefined && end - start >= NATIVE_FROM_BYTES) {
    return native(bytes.subarray(start, end), previous) >>> 0
  }
  return tableCrc32c(bytes, start, end, previous)
}

function tableCrc32c(bytes: Uint8Array, start: number, end: number, previous: number): number {
  const t = TABLE
  let crc = ~previous
  let i = start
  // The assertions `as number` cost nothing: every index is within its array.
  for (; i + SLICES <= end; i += SLICES) {
    crc ^=
      (bytes[i] as number) |
      ((bytes[i + 1] as number) << 8) |
      ((bytes[i + 2] as number) << 16) |
      ((bytes[i + 3] as number) << 24)
    crc =
      (t[3840 + (crc & 0xff)] as number) ^
      (t[3584 + ((crc >>> 8) & 0xff)] as number) ^
      (t[3328 + ((crc >>> 16) & 0xff)] as number) ^
      (t[3072 + (crc >>> 24)] as number) ^
      (t[2816 + (bytes[i + 4] as number)] as number) ^
      (t[2560 + (bytes[i + 5] as number)] as number) ^
      (t[2304 + (bytes[i + 6] as number)] as number) ^
      (t[2048 + (bytes[i + 7] as number)] as number) ^
      (t[1792 + (bytes[i + 8] as number)] as number) ^
      (t[1536 + (bytes[i + 9] as number)] as number) ^
      (t[1280 + (bytes[i + 10] as number)] as number) ^
      (t[1024 + (bytes[i + 11] as number)] as number) ^
      (t[768 + (bytes[i + 12] as number)] as number) ^
      (t[512 + (bytes[i + 13] as number)] as number) ^
      (t[256 + (bytes[i + 14] as number)] as number) ^
      (t[bytes[i + 15] as number] as number)
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ (t[(crc ^ (bytes[i] as number)) & 0xff] as number)
  return ~crc >>> 0
}
