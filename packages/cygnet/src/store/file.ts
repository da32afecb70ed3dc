import { assert } from '../base/assert.ts'
import { CygnetError } from '../base/errors.ts'
import type {
  BackingStore,
  Done,
  Extent,
  Geometry,
  SpaceDone,
  StoreCapabilities,
  StoreError,
} from './backing-store.ts'
import { WriteFlags } from './backing-store.ts'
import type { DiskFile, DiskIO, OpenOptions } from './disk-io.ts'
import { FlushQueue } from './flush-queue.ts'

/** Opens a regular file or block device as a store; the error says what to do. */
export function openFileStore(
  io: DiskIO,
  path: string,
  options: OpenOptions,
  done: (error: Error | undefined, store: FileStore | undefined) => void,
): void {
  io.open(path, options, (error, file) => {
    if (error || file === undefined) return done(error, undefined)
    if (file.sizeBytes > 0) return done(undefined, new FileStore(file, options.readOnly))
    const empty = new CygnetError(
      'STORE_EMPTY',
      `${path} has no bytes to serve: delete it and give a size to create it, or use another image`,
    )
    file.close(() => done(empty, undefined))
  })
}

const READ_ONLY: StoreError = { failure: 'read-only' }

/** Zeroes are written from one shared block, this many times in one call. */
const ZEROES = new Uint8Array(256 * 1024)
const ZERO_SLICES_MAX = 16

/**
 * A regular file or block device. Writes go to the operating system's page cache, a volatile cache to the disk's
 * user: `flush` and forced unit access make them durable with fdatasync.
 */
export class FileStore implements BackingStore {
  #geometry: Geometry
  readonly can: StoreCapabilities
  readonly #file: DiskFile
  readonly #flushes: FlushQueue

  /** `file` becomes the store's own: `close` closes it. */
  constructor(file: DiskFile, readOnly: boolean) {
    this.#file = file
    this.#flushes = new FlushQueue((done) => file.sync(done))
    const blockBytes = powerOfTwoAtLeast(Math.max(512, file.blockBytes))
    this.#geometry = {
      sizeBytes: file.sizeBytes,
      alignmentBytes: 1,
      // A network file system may call a megabyte its block; the page is what a partial write costs.
      physicalBlockBytes: Math.min(4096, blockBytes),
      trimGranularityBytes: blockBytes,
    }
    this.can = {
      write: !readOnly,
      trim: !readOnly && file.canPunchHoles,
      volatileCache: !readOnly,
      extents: file.canSeekHoles,
      reserves: !readOnly && file.writesInPlace === true,
      tellsSpace: !readOnly && file.space !== undefined,
    }
  }

  get geometry(): Geometry {
    return this.#geometry
  }

  /** A file that became smaller keeps its capacity: what is missing is an error when it is read. */
  remeasure(done: Done): void {
    if (!this.#file.measure) return done(undefined)
    this.#file.measure((error, sizeBytes) => {
      if (!error && sizeBytes > this.#geometry.sizeBytes) this.#geometry = { ...this.#geometry, sizeBytes }
      done(error)
    })
  }

  space(done: SpaceDone): void {
    if (this.#file.space) this.#file.space(done)
    else done(undefined, undefined)
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    this.#file.read(into, offset, done)
  }

  write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    if (!this.can.write) return done(READ_ONLY)
    const operation = this.#operations.pop() ?? new WriteOperation(this.#flushes, this.#operations)
    operation.start(done, (flags & WriteFlags.fua) !== 0)
    this.#file.write(slices, offset, operation.written)
  }

  flush(done: Done): void {
    if (!this.can.write) return done(undefined)
    this.#flushes.request(done)
  }

  trim(offset: number, lengthBytes: number, done: Done): void {
    this.zero(offset, lengthBytes, true, done)
  }

  zero(offset: number, lengthBytes: number, mayTrim: boolean, done: Done): void {
    if (!this.can.write) return done(READ_ONLY)
    const acknowledge: Done = (error) => {
      this.#flushes.noteWrite()
      done(error)
    }
    const end = offset + lengthBytes
    const granule = this.geometry.trimGranularityBytes
    const first = Math.ceil(offset / granule) * granule
    // The last granule of an image may be short: its end is a boundary too.
    const last = end === this.geometry.sizeBytes ? end : Math.floor(end / granule) * granule
    if (!mayTrim || !this.#file.canPunchHoles || first >= last) {
      return this.#writeZeroes(offset, end, acknowledge)
    }
    this.#writeZeroes(offset, first, (headError) => {
      if (headError) return acknowledge(headError)
      this.#writeZeroes(last, end, (tailError) => {
        if (tailError) return acknowledge(tailError)
        this.#file.punchHole(first, last - first, (punchError) => {
          // Space that cannot be released can still be zeroed; a broken medium will say so again.
          if (punchError) this.#writeZeroes(first, last, acknowledge)
          else acknowledge(undefined)
        })
      })
    })
  }

  extents(
    offset: number,
    lengthBytes: number,
    done: (error: StoreError | undefined, extents: readonly Extent[]) => void,
  ): void {
    if (lengthBytes === 0) done(undefined, [])
    else if (this.#file.canSeekHoles) this.#file.extents(offset, lengthBytes, done)
    else done(undefined, [{ offset, lengthBytes, kind: 'data' }])
  }

  close(done: Done): void {
    this.flush((flushError) => {
      this.#file.close((closeError) => done(flushError ?? closeError))
    })
  }

  readonly #operations: WriteOperation[] = []

  #writeZeroes(offset: number, end: number, done: Done): void {
    let at = offset
    let looping = false
    let completedInCall = false
    const next = (error: StoreError | undefined): void => {
      if (error) return done(error)
      completedInCall = true
      if (looping) return
      // A loop where completions come before the call returns: a terabyte of zeroes must not fill the stack.
      looping = true
      while (completedInCall) {
        if (at >= end) return done(undefined)
        completedInCall = false
        const slices: Uint8Array[] = []
        const from = at
        while (at < end && slices.length < ZERO_SLICES_MAX) {
          const lengthBytes = Math.min(ZEROES.length, end - at)
          slices.push(lengthBytes === ZEROES.length ? ZEROES : ZEROES.subarray(0, lengthBytes))
          at += lengthBytes
        }
        this.#file.write(slices, from, next)
      }
      looping = false
    }
    next(undefined)
  }
}

/** One write under way, used again for later writes so that a write allocates nothing. */
class WriteOperation {
  readonly #flushes: FlushQueue
  readonly #idle: WriteOperation[]
  #done: Done | undefined
  #fua = false

  constructor(flushes: FlushQueue, idle: WriteOperation[]) {
    this.#flushes = flushes
    this.#idle = idle
  }

  start(done: Done, fua: boolean): void {
    this.#done = done
    this.#fua = fua
  }

  readonly written = (error: StoreError | undefined): void => {
    const done = this.#done
    assert(done !== undefined, 'the disk completed a write twice')
    this.#done = undefined
    const fua = this.#fua
    this.#idle.push(this)
    this.#flushes.noteWrite()
    if (error || !fua) done(error)
    else this.#flushes.request(done)
  }
}

const powerOfTwoAtLeast = (value: number): number => 2 ** Math.ceil(Math.log2(value))
