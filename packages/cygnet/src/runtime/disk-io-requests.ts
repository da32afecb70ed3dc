import fs from 'node:fs'
import { assert } from '../base/assert.ts'
import { totalLength } from '../base/bytes.ts'
import type { Done, StoreError } from '../store/backing-store.ts'
import { isTransient, storeErrorOf } from './disk-io-errors.ts'

/** EINTR and EAGAIN in a row, without a byte of progress, before they count as an error. */
const TRANSIENT_ERRORS_MAX = 16

const EMPTY: Uint8Array = new Uint8Array(0)

/**
 * One file's reads and writes through libuv's thread pool, with a record for each that is under way, used again and
 * again.
 */
export class DiskRequests {
  readonly #fd: number
  /** Writes that are not yet done. */
  writesUnderWay = 0
  readonly #idleReads: ReadRequest[] = []
  readonly #idleWrites: WriteRequest[] = []

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Fills `into` from byte `filled` on; byte 0 of `into` lies at `offset` of the file. */
  read(into: Uint8Array, filled: number, offset: number, done: Done): void {
    const request = this.#idleReads.pop() ?? new ReadRequest(this.#fd, this.#idleReads)
    request.start(into, filled, offset, done)
  }

  /** Called by a request whose write is done. */
  ended(request: WriteRequest): void {
    this.writesUnderWay--
    this.#idleWrites.push(request)
  }

  /** Writes all of `slices` but their first `written` bytes; the first byte of all belongs at `offset`. */
  write(slices: readonly Uint8Array[], written: number, offset: number, done: Done): void {
    this.writesUnderWay++
    const request = this.#idleWrites.pop() ?? new WriteRequest(this, this.#fd)
    request.start(slices, written, offset, done)
  }
}

class ReadRequest {
  readonly #fd: number
  readonly #idle: ReadRequest[]
  #into: Uint8Array = EMPTY
  #filled = 0
  #offset = 0
  #transientErrors = 0
  #done: Done | undefined

  constructor(fd: number, idle: ReadRequest[]) {
    this.#fd = fd
    this.#idle = idle
  }

  start(into: Uint8Array, filled: number, offset: number, done: Done): void {
    this.#into = into
    this.#filled = filled
    this.#offset = offset
    this.#transientErrors = 0
    this.#done = done
    this.#next()
  }

  #next(): void {
    const filled = this.#filled
    fs.read(this.#fd, this.#into, filled, this.#into.length - filled, this.#offset + filled, this.#completed)
  }

  readonly #completed = (error: NodeJS.ErrnoException | null, readBytes: number): void => {
    const at = this.#offset + this.#filled
    if (error) {
      if (isTransient(error) && ++this.#transientErrors <= TRANSIENT_ERRORS_MAX) return this.#next()
      return this.#finish(storeErrorOf(error, at))
    }
    // The end of the file where the image goes on: somebody has cut it while it was served.
    if (readBytes === 0)
      return this.#finish({ failure: 'medium', offset: at, cause: new Error('image was truncated') })
    this.#filled += readBytes
    this.#transientErrors = 0
    if (this.#filled < this.#into.length) this.#next()
    else this.#finish(undefined)
  }

  #finish(error: StoreError | undefined): void {
    const done = this.#done
    assert(done !== undefined, 'a disk read ended twice')
    this.#done = undefined
    this.#into = EMPTY
    this.#idle.push(this)
    done(error)
  }
}

class WriteRequest {
  readonly #owner: DiskRequests
  readonly #fd: number
  #slices: readonly Uint8Array[] = []
  #remainingBytes = 0
  #offset = 0
  #transientErrors = 0
  #done: Done | undefined

  constructor(owner: DiskRequests, fd: number) {
    this.#owner = owner
    this.#fd = fd
  }

  start(slices: readonly Uint8Array[], written: number, offset: number, done: Done): void {
    this.#slices = written === 0 ? slices : withoutFirst(slices, written)
    this.#remainingBytes = totalLength(this.#slices)
    this.#offset = offset + written
    this.#transientErrors = 0
    this.#done = done
    this.#next()
  }

  #next(): void {
    const [only] = this.#slices
    if (this.#slices.length === 1 && only !== undefined) {
      fs.write(this.#fd, only, 0, only.length, this.#offset, this.#completed)
    } else {
      fs.writev(this.#fd, this.#slices as Uint8Array[], this.#offset, this.#completed)
    }
  }

  readonly #completed = (error: NodeJS.ErrnoException | null, writtenBytes: number): void => {
    if (error) {
      if (isTransient(error) && ++this.#transientErrors <= TRANSIENT_ERRORS_MAX) return this.#next()
      return this.#finish(storeErrorOf(error, this.#offset))
    }
    this.#remainingBytes -= writtenBytes
    if (this.#remainingBytes === 0) return this.#finish(undefined)
    // A short write: the rest tells why, by an error, or succeeds.
    if (writtenBytes > 0) this.#transientErrors = 0
    else if (++this.#transientErrors > TRANSIENT_ERRORS_MAX) {
      return this.#finish({
        failure: 'medium',
        offset: this.#offset,
        cause: new Error('write makes no progress'),
      })
    }
    this.#slices = withoutFirst(this.#slices, writtenBytes)
    this.#offset += writtenBytes
    this.#next()
  }

  #finish(error: StoreError | undefined): void {
    const done = this.#done
    assert(done !== undefined, 'a disk write ended twice')
    this.#done = undefined
    this.#slices = []
    this.#owner.ended(this)
    done(error)
  }
}

/** What is left of a list of slices after its first `lengthBytes`. */
export function withoutFirst(slices: readonly Uint8Array[], lengthBytes: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = lengthBytes
  for (const slice of slices) {
    if (skip >= slice.length) skip -= slice.length
    else {
      rest.push(skip === 0 ? slice : slice.subarray(skip))
      skip = 0
    }
  }
  return rest
}
