/** Whole blocks of a device. Offsets and lengths are in bytes, and multiples of `blockSizeBytes`. */
export interface WholeBlocks {
  readonly blockSizeBytes: number
  readBlocks(start: number, into: Uint8Array, signal: AbortSignal | undefined): Promise<void>
  writeBlocks(start: number, bytes: Uint8Array, fua: boolean, signal: AbortSignal | undefined): Promise<void>
}

/** The blocks that a range touches, in bytes. */
export function touched(
  blockSizeBytes: number,
  offset: number,
  lengthBytes: number,
): { readonly start: number; readonly end: number } {
  return {
    start: offset - (offset % blockSizeBytes),
    end: Math.ceil((offset + lengthBytes) / blockSizeBytes) * blockSizeBytes,
  }
}

/** The blocks that lie wholly in a range, in bytes; none where `start` is not below `end`. */
export function within(
  blockSizeBytes: number,
  offset: number,
  lengthBytes: number,
): { readonly start: number; readonly end: number } {
  const end = offset + lengthBytes
  return {
    start: Math.ceil(offset / blockSizeBytes) * blockSizeBytes,
    end: end - (end % blockSizeBytes),
  }
}

/** Reads any range, by way of the blocks that it touches. */
export async function readRange(
  device: WholeBlocks,
  offset: number,
  into: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { start, end } = touched(device.blockSizeBytes, offset, into.length)
  if (end - start === into.length) return device.readBlocks(start, into, signal)
  const whole = new Uint8Array(end - start)
  await device.readBlocks(start, whole, signal)
  into.set(whole.subarray(offset - start, offset - start + into.length))
}

/**
 * Writes any range: blocks that it covers in part are read, changed and written. The caller lets nobody else write to
 * them meanwhile.
 */
export async function writeRange(
  device: WholeBlocks,
  offset: number,
  bytes: Uint8Array,
  fua: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const block = device.blockSizeBytes
  const { start, end } = touched(block, offset, bytes.length)
  if (end - start === bytes.length) return device.writeBlocks(start, bytes, fua, signal)
  const whole = new Uint8Array(end - start)
  const last = end - start - block
  const hasHead = start < offset
  const hasTail = offset + bytes.length < end
  if (hasHead) await device.readBlocks(start, whole.subarray(0, block), signal)
  if (hasTail && !(hasHead && last === 0)) await device.readBlocks(end - block, whole.subarray(last), signal)
  whole.set(bytes, offset - start)
  await device.writeBlocks(start, whole, fua, signal)
}
