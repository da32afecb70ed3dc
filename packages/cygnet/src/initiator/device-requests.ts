import { type BlockDevice, checkAligned, checkRange, type WriteOptions } from './block-device.ts'
import { BlockDeviceError } from './block-device-error.ts'
import { inParts } from './in-parts.ts'

/** Most bytes of one write, where a range is filled by writing. */
const FILL_BYTES_MAX = 1024 * 1024

/**
 * What every request is checked for, before anything is done.
 * @throws {BlockDeviceError} DEVICE_CLOSED, PAST_END, ARGUMENT_INVALID; the signal's reason
 */
export function checkRequest(
  { sizeBytes }: Pick<BlockDevice, 'sizeBytes'>,
  isClosed: boolean,
  offset: number,
  lengthBytes: number,
  signal?: AbortSignal,
): void {
  signal?.throwIfAborted()
  if (isClosed) throw new BlockDeviceError('DEVICE_CLOSED', 'The device was closed: open it again.')
  checkRange(sizeBytes, offset, lengthBytes)
}

/** Callers in JavaScript are told what a compiler tells others. @throws {BlockDeviceError} ARGUMENT_INVALID */
export function checkBytes(bytes: unknown, what: string): void {
  if (bytes instanceof Uint8Array) return
  throw new BlockDeviceError('ARGUMENT_INVALID', `${what} must be a Uint8Array (a Buffer is one).`)
}

/** @throws {BlockDeviceError} READ_ONLY */
export function checkWritable({
  readOnly,
  description,
}: Pick<BlockDevice, 'readOnly' | 'description'>): void {
  if (readOnly) throw new BlockDeviceError('READ_ONLY', `${description} cannot be written to.`)
}

/** What a read is asked for: bytes, or an array that they fill. @throws {BlockDeviceError} ARGUMENT_INVALID */
export function readLength(target: unknown): number {
  if (typeof target === 'number') return target
  checkBytes(target, 'What is read to')
  return (target as Uint8Array).length
}

/** What `writeSame` takes. @throws {BlockDeviceError} UNALIGNED, ARGUMENT_INVALID */
export function checkFill(
  { blockSizeBytes }: Pick<BlockDevice, 'blockSizeBytes'>,
  offset: number,
  lengthBytes: number,
  block: Uint8Array,
): void {
  checkAligned(blockSizeBytes, offset, lengthBytes)
  checkBytes(block, 'What is written')
  if (block.length === blockSizeBytes) return
  throw new BlockDeviceError(
    'ARGUMENT_INVALID',
    `A block of this device has ${blockSizeBytes} bytes, not ${block.length}.`,
  )
}

/** `writeSame` of a device that has nothing but writes for it; checked before. */
export async function fillByWriting(
  device: Pick<BlockDevice, 'write'>,
  offset: number,
  lengthBytes: number,
  block: Uint8Array,
  options: WriteOptions,
): Promise<void> {
  const wholeBlocksBytes = FILL_BYTES_MAX - (FILL_BYTES_MAX % block.length)
  const pattern = new Uint8Array(Math.min(lengthBytes, wholeBlocksBytes))
  for (let at = 0; at < pattern.length; at += block.length) pattern.set(block, at)
  await inParts(offset, offset + lengthBytes, Math.max(1, pattern.length), (from, to) =>
    device.write(from, pattern.subarray(0, to - from), options),
  )
}
