/** Length rounded up to the next multiple of four: every iSCSI segment is padded so (RFC 7143 §11.1). */
export const pad4 = (lengthBytes: number): number => (lengthBytes + 3) & ~3

/** Padding bytes (0..3) that follow a segment of this length. */
export const padding4 = (lengthBytes: number): number => -lengthBytes & 3

export const getU24 = (view: DataView, offset: number): number =>
  (view.getUint8(offset) << 16) | view.getUint16(offset + 1)

export function setU24(view: DataView, offset: number, value: number): void {
  view.setUint8(offset, value >>> 16)
  view.setUint16(offset + 1, value & 0xffff)
}

export const getU48 = (view: DataView, offset: number): number =>
  view.getUint16(offset) * 0x1_0000_0000 + view.getUint32(offset + 2)

export function setU48(view: DataView, offset: number, value: number): void {
  view.setUint16(offset, Math.floor(value / 0x1_0000_0000))
  view.setUint32(offset + 2, value >>> 0)
}

/** One DataView over exactly the bytes of `bytes`. */
export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Total length of a list of byte slices. */
export function totalLength(slices: readonly Uint8Array[]): number {
  let lengthBytes = 0
  for (const slice of slices) lengthBytes += slice.length
  return lengthBytes
}

/** The first `lengthBytes` bytes (all, where not given) of a list of slices as one array, copied. */
export function joinSlices(slices: readonly Uint8Array[], lengthBytes = totalLength(slices)): Uint8Array {
  const joined = new Uint8Array(lengthBytes)
  let at = 0
  for (const slice of slices) {
    if (at === lengthBytes) break
    const part = slice.length <= lengthBytes - at ? slice : slice.subarray(0, lengthBytes - at)
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** The first `lengthBytes` of a list of slices, as slices; the list itself where that is all of it. */
export function firstSlices(slices: readonly Uint8Array[], lengthBytes: number): readonly Uint8Array[] {
  if (totalLength(slices) === lengthBytes) return slices
  const first: Uint8Array[] = []
  let leftBytes = lengthBytes
  for (const slice of slices) {
    if (leftBytes === 0) break
    const part = slice.length <= leftBytes ? slice : slice.subarray(0, leftBytes)
    first.push(part)
    leftBytes -= part.length
  }
  return first
}

/** Lower-case hexadecimal, two digits a byte. */
export function hex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}
