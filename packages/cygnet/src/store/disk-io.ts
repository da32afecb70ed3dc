import type { Done, Extent, SpaceDone, StoreError } from './backing-store.ts'

/**
 * The disk port: what a file store needs of the operating system. `runtime/` implements it on Node, a simulator on
 * memory. A completion may come before the call returns (bytes that are already in the page cache).
 */
export interface DiskIO {
  open(
    path: string,
    options: OpenOptions,
    done: (error: Error | undefined, file: DiskFile | undefined) => void,
  ): void
}

export interface OpenOptions {
  readonly readOnly: boolean
  /** Create the file sparse with this size where it is missing. */
  readonly createSizeBytes?: number
}

/** An open regular file or block device. */
export interface DiskFile {
  readonly kind: 'file' | 'block-device'
  readonly sizeBytes: number
  /** The file system's or device's block size (st_blksize, or the device's physical sector size). */
  readonly blockBytes: number
  readonly canPunchHoles: boolean
  readonly canSeekHoles: boolean
  read(into: Uint8Array, offset: number, done: Done): void
  /** How large it is now. */
  measure?(done: (error: StoreError | undefined, sizeBytes: number) => void): void
  /** What the file takes of its file system, and what is left there. Only files that can grow have it. */
  readonly space?: (done: SpaceDone) => void
  /** The file system writes in place: what was written once has its space. */
  readonly writesInPlace?: boolean
  /** One positional gathered write; short writes are completed. */
  write(slices: readonly Uint8Array[], offset: number, done: Done): void
  /** fdatasync. */
  sync(done: Done): void
  /** Deallocates the range, which then reads as zeroes (FALLOC_FL_PUNCH_HOLE, BLKDISCARD with zeroes, …). */
  punchHole(offset: number, lengthBytes: number, done: Done): void
  extents(
    offset: number,
    lengthBytes: number,
    done: (error: StoreError | undefined, extents: readonly Extent[]) => void,
  ): void
  close(done: Done): void
}
