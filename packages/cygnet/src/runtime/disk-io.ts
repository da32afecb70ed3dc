import fs from 'node:fs'
import { assert } from '../base/assert.ts'
import { totalLength } from '../base/bytes.ts'
import type { Done, Extent, SpaceDone, StoreError } from '../store/backing-store.ts'
import type { DiskFile, DiskIO, OpenOptions } from '../store/disk-io.ts'
import { blockDeviceFacts } from './disk-io-block-device.ts'
import { storeErrorOf } from './disk-io-errors.ts'
import { findExtents, punchHole } from './disk-io-holes.ts'
import type { OpenedImage } from './disk-io-open.ts'
import { openImage } from './disk-io-open.ts'
import { DiskRequests } from './disk-io-requests.ts'
import type { PageCacheFile } from './page-cache-io.ts'
import { PageCache } from './page-cache-io.ts'
import type { SystemCalls } from './page-cache-io-calls.ts'

/**
 * The machine's disks, through Node's thread pool, and for bytes in the page cache past it. Those are copied before
 * `read` or `write` returns, and `done` is called inside the call: a caller that starts its next operation from
 * `done` must bound the recursion (a queue and a loop do).
 */
export class NodeDiskIO implements DiskIO {
  readonly #calls: SystemCalls | undefined
  readonly #cache: PageCache | undefined

  /** `calls` from `loadSystemCalls()`. Without them there is no inline path, and no holes or locks on files. */
  constructor(calls: SystemCalls | undefined, cache: PageCache | undefined = calls && new PageCache(calls)) {
    this.#calls = calls
    this.#cache = cache
  }

  /** Blocks for a moment: disks are opened at start and by configuration, not on the path of an I/O. */
  open(
    path: string,
    options: OpenOptions,
    done: (error: Error | undefined, file: DiskFile | undefined) => void,
  ): void {
    let image: OpenedImage
    try {
      image = openImage(path, options, this.#calls)
    } catch (error) {
      return done(error as Error, undefined)
    }
    const pageCache = this.#cache?.attach(image.fd, image.kind, image.fileSystemType)
    done(undefined, new NodeDiskFile(image, this.#calls, pageCache))
  }
}

class NodeDiskFile implements DiskFile {
  readonly kind: DiskFile['kind']
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly canPunchHoles: boolean
  readonly canSeekHoles: boolean
  readonly writesInPlace: boolean
  readonly space?: (done: SpaceDone) => void
  readonly #fd: number
  readonly #requests: DiskRequests
  readonly #calls: SystemCalls | undefined
  readonly #pageCache: PageCacheFile | undefined
  #syncsUnderWay = 0

  constructor(image: OpenedImage, calls: SystemCalls | undefined, pageCache: PageCacheFile | undefined) {
    this.kind = image.kind
    this.sizeBytes = image.sizeBytes
    this.blockBytes = image.blockBytes
    this.canPunchHoles = image.canPunchHoles
    this.canSeekHoles = image.canSeekHoles
    this.#fd = image.fd
    this.#requests = new DiskRequests(image.fd)
    this.#calls = calls
    this.#pageCache = pageCache
    this.writesInPlace = image.kind === 'file' && WRITES_IN_PLACE.has(image.fileSystemType)
    if (image.kind === 'file') this.space = (done) => findSpace(image.fd, done)
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    if (into.length === 0) return done(undefined)
    const filled = this.#pageCache === undefined ? 0 : this.#pageCache.read(into, offset)
    if (filled === into.length) done(undefined)
    else this.#requests.read(into, filled, offset, done)
  }

  write(slices: readonly Uint8Array[], offset: number, done: Done): void {
    const lengthBytes = totalLength(slices)
    if (lengthBytes === 0) return done(undefined)
    // A write that may have to wait for a running sync, or another thread's write, does that on another thread.
    const mayWait = this.#syncsUnderWay > 0 || this.#requests.writesUnderWay > 0
    const inline = mayWait ? undefined : this.#pageCache
    const written = inline === undefined ? 0 : inline.write(slices, lengthBytes, offset)
    if (written === lengthBytes) done(undefined)
    else this.#requests.write(slices, written, offset, done)
  }

  measure(done: (error: StoreError | undefined, sizeBytes: number) => void): void {
    fs.fstat(this.#fd, (error, stat) => {
      if (error) return done(storeErrorOf(error), 0)
      const sizeBytes = this.kind === 'file' ? stat.size : blockDeviceFacts(stat.rdev)?.sizeBytes
      done(undefined, sizeBytes ?? this.sizeBytes)
    })
  }

  sync(done: Done): void {
    this.#syncsUnderWay++
    fs.fdatasync(this.#fd, (error) => {
      this.#syncsUnderWay--
      done(error ? storeErrorOf(error) : undefined)
    })
  }

  punchHole(offset: number, lengthBytes: number, done: Done): void {
    assert(this.#calls !== undefined && this.canPunchHoles, 'this file cannot punch holes')
    if (lengthBytes === 0) done(undefined)
    else punchHole(this.#calls, this.#fd, offset, lengthBytes, done)
  }

  extents(
    offset: number,
    lengthBytes: number,
    done: (error: StoreError | undefined, extents: readonly Extent[]) => void,
  ): void {
    assert(this.#calls !== undefined && this.canSeekHoles, 'this file cannot find holes')
    findExtents(this.#calls, this.#fd, offset, lengthBytes, done)
  }

  close(done: Done): void {
    fs.close(this.#fd, (error) => done(error ? storeErrorOf(error) : undefined))
  }
}

/** ext4, XFS, tmpfs, by their magic numbers. Those that copy on write need new space for every write. */
const WRITES_IN_PLACE: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x01021994])

/** st_blocks counts 512 bytes, whatever the file system's own blocks are. */
const STAT_BLOCK_BYTES = 512

function findSpace(fd: number, done: SpaceDone): void {
  fs.fstat(fd, (statError, stat) => {
    if (statError) return done(storeErrorOf(statError), undefined)
    // The path that the image was opened by may be another's by now.
    fs.statfs(`/proc/self/fd/${fd}`, (error, fileSystem) => {
      if (error) return done(storeErrorOf(error), undefined)
      const availableBytes = fileSystem.bavail * fileSystem.bsize
      done(undefined, { usedBytes: stat.blocks * STAT_BLOCK_BYTES, availableBytes })
    })
  })
}
