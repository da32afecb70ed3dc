import { assert } from '../base/assert.ts'
import type { BackingStore, Done, Extent, Geometry, StoreCapabilities } from './backing-store.ts'

export interface MemoryStoreOptions {
  /** Capacity, 1 byte or more. It is also the bound of the memory that the store can come to hold. */
  readonly sizeBytes: number
  /** Unit of allocation, a power of two, 512 bytes or more. Default 64 KiB. */
  readonly chunkBytes?: number
  /** Runs its argument in a later turn of the event loop. With it, no turn copies much more than `TURN_BYTES`. */
  readonly defer?: (run: () => void) => void
}

/** Some 5 to 10 ms of copying. */
const TURN_BYTES = 64 * 1024 * 1024

const CAPABILITIES: StoreCapabilities = {
  write: true,
  trim: true,
  volatileCache: false,
  extents: true,
  // After a crash there is nothing to be found.
  atomicWrites: true,
}

/**
 * A sparse disk in memory: chunks come into being when first written, an absent chunk reads as zeroes. Nothing outlives
 * the process. Every operation completes before its call returns, except reads and writes when many have done so: a
 * VERIFY of a large disk, piece by piece, must not keep everybody else waiting.
 */
export class MemoryStore implements BackingStore {
  readonly geometry: Geometry
  readonly can = CAPABILITIES
  readonly #chunks = new Map<number, Uint8Array>()
  readonly #chunkBytes: number
  readonly #defer: MemoryStoreOptions['defer']
  /** Copied since completions were last deferred. */
  #copiedBytes = 0
  /** Completions that wait for the next turn. */
  #deferred: Done[] = []

  constructor(options: MemoryStoreOptions) {
    const { sizeBytes, chunkBytes = 64 * 1024 } = options
    assert(Number.isSafeInteger(sizeBytes) && sizeBytes > 0, `a memory store of ${sizeBytes} bytes`)
    assert(chunkBytes >= 512 && Number.isInteger(Math.log2(chunkBytes)), `chunks of ${chunkBytes} bytes`)
    this.#chunkBytes = chunkBytes
    this.#defer = options.defer
    this.geometry = {
      sizeBytes,
      alignmentBytes: 1,
      physicalBlockBytes: Math.min(chunkBytes, 4096),
      trimGranularityBytes: chunkBytes,
    }
  }

  /** Memory held for written data. */
  get allocatedBytes(): number {
    return this.#chunks.size * this.#chunkBytes
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    const end = offset + into.length
    for (let at = offset; at < end; ) {
      const start = at % this.#chunkBytes
      const lengthBytes = Math.min(this.#chunkBytes - start, end - at)
      const chunk = this.#chunks.get((at - start) / this.#chunkBytes)
      if (chunk === undefined) into.fill(0, at - offset, at - offset + lengthBytes)
      else if (lengthBytes === this.#chunkBytes) into.set(chunk, at - offset)
      else into.set(chunk.subarray(start, start + lengthBytes), at - offset)
      at += lengthBytes
    }
    this.#copied(into.length, done)
  }

  write(slices: readonly Uint8Array[], offset: number, _flags: number, done: Done): void {
    let at = offset
    for (const slice of slices) {
      for (let taken = 0; taken < slice.length; ) {
        const start = at % this.#chunkBytes
        const lengthBytes = Math.min(this.#chunkBytes - start, slice.length - taken)
        const chunk = this.#chunkFor((at - start) / this.#chunkBytes)
        if (chunk instanceof Error) return done({ failure: 'no-space', offset: at, cause: chunk })
        chunk.set(lengthBytes === slice.length ? slice : slice.subarray(taken, taken + lengthBytes), start)
        taken += lengthBytes
        at += lengthBytes
      }
    }
    this.#copied(at - offset, done)
  }

  flush(done: Done): void {
    done(undefined)
  }

  trim(offset: number, lengthBytes: number, done: Done): void {
    this.zero(offset, lengthBytes, true, done)
  }

  /** An absent chunk is zeroes already, so nothing is ever allocated here. */
  zero(offset: number, lengthBytes: number, mayTrim: boolean, done: Done): void {
    const end = offset + lengthBytes
    for (let at = offset; at < end; ) {
      const start = at % this.#chunkBytes
      const index = (at - start) / this.#chunkBytes
      const chunkEnd = Math.min(this.#chunkBytes, this.geometry.sizeBytes - (at - start))
      const stop = Math.min(chunkEnd, end - (at - start))
      if (mayTrim && start === 0 && stop === chunkEnd) this.#chunks.delete(index)
      else this.#chunks.get(index)?.fill(0, start, stop)
      at += stop - start
    }
    done(undefined)
  }

  extents(
    offset: number,
    lengthBytes: number,
    done: (error: undefined, extents: readonly Extent[]) => void,
  ): void {
    const end = offset + lengthBytes
    const extents: Extent[] = []
    let first = offset
    while (first < end) {
      const kind = this.#kindAt(first)
      let next = first
      do next += this.#chunkBytes - (next % this.#chunkBytes)
      while (next < end && this.#kindAt(next) === kind)
      extents.push({ offset: first, lengthBytes: Math.min(next, end) - first, kind })
      first = next
    }
    done(undefined, extents)
  }

  close(done: Done): void {
    this.#chunks.clear()
    done(undefined)
  }

  #copied(lengthBytes: number, done: Done): void {
    this.#copiedBytes += lengthBytes
    if (this.#defer === undefined || this.#copiedBytes < TURN_BYTES) return done(undefined)
    this.#deferred.push(done)
    if (this.#deferred.length === 1) this.#defer(this.#nextTurn)
  }

  readonly #nextTurn = (): void => {
    const deferred = this.#deferred
    this.#deferred = []
    this.#copiedBytes = 0
    for (const done of deferred) done(undefined)
  }

  #kindAt(offset: number): Extent['kind'] {
    return this.#chunks.has(Math.floor(offset / this.#chunkBytes)) ? 'data' : 'hole'
  }

  #chunkFor(index: number): Uint8Array | Error {
    let chunk = this.#chunks.get(index)
    if (chunk === undefined) {
      try {
        chunk = new Uint8Array(this.#chunkBytes)
        this.#chunks.set(index, chunk)
      } catch (error) {
        // The engine throws a RangeError where memory or the map is exhausted; anything else is a bug.
        if (error instanceof RangeError) return error
        throw error
      }
    }
    return chunk
  }
}
