import { padding4, totalLength } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'

/*
 * Digests of outgoing PDUs (RFC 7143 §11.2.3): the header digest covers BHS and AHS, the data digest covers the data
 * segment with its padding. Both are CRC32C, sent least significant byte first.
 */

/** Length of a digest in bytes. */
export const DIGEST_BYTES = 4

const ZERO_PADDING = new Uint8Array(3)

/** Header digest of the BHS and AHS in `bytes[at..at+lengthBytes)`. */
export const headerDigestOf = (bytes: Uint8Array, at: number, lengthBytes: number): number =>
  crc32c(bytes, at, at + lengthBytes)

/** Data digest of a data segment in slices, with the zero padding that follows it on the wire. */
export function dataDigestOf(slices: readonly Uint8Array[]): number {
  let digest = 0
  for (const slice of slices) digest = crc32c(slice, 0, slice.length, digest)
  return crc32c(ZERO_PADDING, 0, padding4(totalLength(slices)), digest)
}

/** Data digest of the one-slice data segment `bytes[start..end)`, with its zero padding; no list is needed. */
export const dataDigestOfRange = (bytes: Uint8Array, start: number, end: number): number =>
  crc32c(ZERO_PADDING, 0, padding4(end - start), crc32c(bytes, start, end))

export const putDigest = (view: DataView, at: number, digest: number): void =>
  view.setUint32(at, digest, true)

export const digestAt = (view: DataView, at: number): number => view.getUint32(at, true)
