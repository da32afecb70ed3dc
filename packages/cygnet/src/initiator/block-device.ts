import { BlockDeviceError } from './block-device-error.ts'

/** What a device can do beyond reading and writing. */
export interface DeviceCapabilities {
  /** Acknowledged writes may be lost by a crash of the device until `flush`. */
  readonly volatileCache: boolean
  /** `unmap` releases space. */
  readonly unmap: boolean
  /** `writeZeroes` costs less than writing zeroes. */
  readonly writeZeroes: boolean
  /** `extents` knows what is allocated. Without it, everything counts as data. */
  readonly extents: boolean
  /** Longest range of `compareAndWrite`, in bytes; 0: there is none. */
  readonly compareAndWriteBytes: number
  /** Smallest range that `unmap` releases, in bytes. */
  readonly unmapGranularityBytes: number
  /** A good size for one request, in bytes. */
  readonly optimalBytes: number
}

export interface RequestOptions {
  /** Ends the wait: the promise rejects with the signal's reason. Whether a write has happened is unknown then. */
  readonly signal?: AbortSignal
}

export interface WriteOptions extends RequestOptions {
  /** On stable storage before the promise resolves (force unit access). */
  readonly fua?: boolean
}

export interface ZeroOptions extends WriteOptions {
  /** The space may be released. Default: true. */
  readonly mayUnmap?: boolean
}

export interface DeviceExtent {
  /** Bytes. */
  readonly offset: number
  readonly lengthBytes: number
  /** `hole`: takes no space. */
  readonly kind: 'data' | 'hole'
  /** Reads as zeroes for certain. */
  readonly isZero: boolean
}

/** What a device says by itself. */
export type DeviceEvent =
  | { readonly kind: 'capacity-changed'; readonly sizeBytes: number }
  /** A way to the device was lost, or works again; requests wait, or take another one. */
  | { readonly kind: 'path-lost' | 'path-restored'; readonly path: string; readonly reason: string }
  /** The target has other logical units than before. */
  | { readonly kind: 'luns-changed' }
  /** Somebody took our reservation or registration away. */
  | { readonly kind: 'reservation-lost'; readonly reason: string }
  /** The device reported something else: a reset, changed parameters. Nothing was lost. */
  | { readonly kind: 'attention'; readonly reason: string }
  /** The device cannot be used any more. */
  | { readonly kind: 'failed'; readonly error: BlockDeviceError }

/**
 * A disk, addressed in bytes. Ranges of any alignment will do; those of whole blocks cost least. Requests may run at
 * the same time: those that overlap take effect in the order in which they were made.
 *
 * Offsets and lengths are whole numbers of bytes from 0 on, and a range ends at `sizeBytes` at the latest; a length of 0 does
 * nothing. Every method but `onEvent` and `close` rejects with a `BlockDeviceError`. For misuse, before anything is sent:
 * ARGUMENT_INVALID, PAST_END, UNALIGNED (where whole blocks are needed), READ_ONLY, NOT_SUPPORTED, DEVICE_CLOSED. The other codes say
 * what the device reports, or how the way to it was lost. A `signal` rejects with its reason.
 */
export interface BlockDevice extends AsyncDisposable {
  /** Capacity. It can change: see the event `capacity-changed`. */
  readonly sizeBytes: number
  /** Logical block size, a power of two. */
  readonly blockSizeBytes: number
  readonly readOnly: boolean
  readonly can: DeviceCapabilities
  /** What it is, in a few words for people. */
  readonly description: string

  /** Reads so many bytes, or fills `into`; what was read. `into` must be left alone meanwhile. */
  read(offset: number, target: number | Uint8Array, options?: RequestOptions): Promise<Uint8Array>
  /** `bytes` must not be changed meanwhile. */
  write(offset: number, bytes: Uint8Array, options?: WriteOptions): Promise<void>
  /** Everything acknowledged before this call is on stable storage when the promise resolves. */
  flush(options?: RequestOptions): Promise<void>
  /** Says that the range is not needed: whole granules in it may be released, and read as anything until written. */
  unmap(offset: number, lengthBytes: number, options?: RequestOptions): Promise<void>
  /** The range reads as zeroes afterwards. */
  writeZeroes(offset: number, lengthBytes: number, options?: ZeroOptions): Promise<void>
  /** Fills a range of whole blocks with one block, of `blockSizeBytes`. Rejects with UNALIGNED for other ranges. */
  writeSame(offset: number, lengthBytes: number, block: Uint8Array, options?: WriteOptions): Promise<void>
  /**
   * Writes whole blocks if they hold what is expected, in one step; otherwise rejects with MISCOMPARE. Both have one length, at most
   * `can.compareAndWriteBytes`.
   */
  compareAndWrite(
    offset: number,
    expected: Uint8Array,
    bytes: Uint8Array,
    options?: RequestOptions,
  ): Promise<void>
  /** Data and holes from `offset` on, in order and without gaps; perhaps of a first part of the range alone. */
  extents(offset: number, lengthBytes: number, options?: RequestOptions): Promise<readonly DeviceExtent[]>
  /** Hears what the device says by itself. Returns what ends that. */
  onEvent(listener: (event: DeviceEvent) => void): () => void
  /** Waits for requests under way, flushes, lets go. Never rejects; the second time it does nothing. */
  close(): Promise<void>
}

/** @throws {BlockDeviceError} PAST_END, ARGUMENT_INVALID */
export function checkRange(sizeBytes: number, offset: number, lengthBytes: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new BlockDeviceError(
      'ARGUMENT_INVALID',
      `An offset is a whole number of bytes, 0 or more, not ${offset}.`,
    )
  }
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0) {
    throw new BlockDeviceError(
      'ARGUMENT_INVALID',
      `A length is a whole number of bytes, 0 or more, not ${lengthBytes}.`,
    )
  }
  if (offset + lengthBytes > sizeBytes) {
    const range = `${lengthBytes} bytes at ${offset}`
    throw new BlockDeviceError(
      'PAST_END',
      `The device has ${sizeBytes} bytes: ${range} are past its end.`,
      offset,
    )
  }
}

/** @throws {BlockDeviceError} UNALIGNED */
export function checkAligned(blockSizeBytes: number, offset: number, lengthBytes: number): void {
  if (offset % blockSizeBytes === 0 && lengthBytes % blockSizeBytes === 0) return
  throw new BlockDeviceError(
    'UNALIGNED',
    `${lengthBytes} bytes at ${offset} are not whole blocks of ${blockSizeBytes} bytes.`,
    offset,
  )
}

/** One extent for a range of which nothing is known. */
export const unknownExtent = (offset: number, lengthBytes: number): readonly DeviceExtent[] =>
  lengthBytes === 0 ? [] : [{ offset, lengthBytes, kind: 'data', isZero: false }]

/** The listeners of one device. */
export class DeviceEvents {
  readonly #listeners = new Set<(event: DeviceEvent) => void>()

  add(listener: (event: DeviceEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  emit(event: DeviceEvent): void {
    for (const listener of [...this.#listeners]) listener(event)
  }
}
