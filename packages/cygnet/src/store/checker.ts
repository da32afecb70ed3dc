import { assert } from '../base/assert.ts'
import { totalLength } from '../base/bytes.ts'
import type { BackingStore, Done, Extent, StoreError } from './backing-store.ts'
import type { ExtentsDone, StoreOperation } from './filter.ts'
import { FilterStore } from './filter.ts'

const FAILURES: ReadonlySet<string> = new Set(['medium', 'no-space', 'read-only', 'gone'])
const KNOWN_WRITE_FLAGS = 1

/**
 * Holds both sides to the contract of `BackingStore` and throws an `AssertionError` at the one that breaks it. Cheap
 * enough for every I/O in production: nothing is allocated for an operation.
 *
 * The caller keeps ranges inside the store, uses known flags, and calls nothing once it has closed, nor closes while
 * operations are under way. The store calls `done` exactly once, names failures that exist at offsets that were asked
 * for, and reports extents in order and without gaps. (A second `done` goes unseen where the record of the first is
 * in use again; `BufferCheckerStore`, for tests, misses none.)
 */
export class CheckerStore extends FilterStore {
  readonly #idle: CheckedOperation[] = []
  readonly #reuse: boolean
  #underWay = 0
  #closed = false

  /** `reuse: false` gives each operation a record of its own, so that no second `done` is missed. */
  constructor(inner: BackingStore, options: { readonly reuse?: boolean } = {}) {
    super(inner)
    this.#reuse = options.reuse ?? true
    const { geometry } = inner
    assert(Number.isSafeInteger(geometry.sizeBytes) && geometry.sizeBytes > 0, 'a store without a size')
    assert(isPowerOfTwo(geometry.alignmentBytes), 'alignmentBytes is no power of two')
    assert(isPowerOfTwo(geometry.physicalBlockBytes), 'physicalBlockBytes is no power of two')
    assert(geometry.physicalBlockBytes >= 512, 'physicalBlockBytes is below 512')
    assert(isPowerOfTwo(geometry.trimGranularityBytes), 'trimGranularityBytes is no power of two')
  }

  /** Operations begun and not yet done; zero at rest. */
  get underWay(): number {
    return this.#underWay
  }

  override read(into: Uint8Array, offset: number, done: Done): void {
    this.inner.read(into, offset, this.#begin('read', offset, into.length, done))
  }

  override write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    if ((flags & ~KNOWN_WRITE_FLAGS) !== 0) assert(false, `unknown write flags ${flags}`)
    this.inner.write(slices, offset, flags, this.#begin('write', offset, totalLength(slices), done))
  }

  override flush(done: Done): void {
    this.inner.flush(this.#begin('flush', 0, this.geometry.sizeBytes, done))
  }

  override trim(offset: number, lengthBytes: number, done: Done): void {
    this.inner.trim(offset, lengthBytes, this.#begin('trim', offset, lengthBytes, done))
  }

  override zero(offset: number, lengthBytes: number, mayTrim: boolean, done: Done): void {
    this.inner.zero(offset, lengthBytes, mayTrim, this.#begin('zero', offset, lengthBytes, done))
  }

  override extents(offset: number, lengthBytes: number, done: ExtentsDone): void {
    let extents: readonly Extent[] = []
    const operation = this.#begin('extents', offset, lengthBytes, (error) => done(error, extents))
    this.inner.extents(offset, lengthBytes, (error, found) => {
      if (error === undefined) checkExtents(found, offset, lengthBytes)
      extents = found
      operation(error)
    })
  }

  override close(done: Done): void {
    assert(this.#underWay === 0, `close with ${this.#underWay} operations under way`)
    const operation = this.#begin('close', 0, this.geometry.sizeBytes, done)
    this.#closed = true
    this.inner.close(operation)
  }

  #begin(name: StoreOperation, offset: number, lengthBytes: number, done: Done): Done {
    const isInside =
      Number.isSafeInteger(offset) &&
      offset >= 0 &&
      Number.isSafeInteger(lengthBytes) &&
      lengthBytes >= 0 &&
      offset + lengthBytes <= this.geometry.sizeBytes
    // Words are made for what is wrong only: this runs with every I/O.
    if (this.#closed) assert(false, `${name} after close`)
    if (!isInside)
      assert(false, `${name} of ${offset}+${lengthBytes} in a store of ${this.geometry.sizeBytes}`)
    this.#underWay++
    const operation = this.#idle.pop() ?? new CheckedOperation(this.#finished)
    return operation.begin(name, offset, lengthBytes, done)
  }

  readonly #finished = (operation: CheckedOperation): void => {
    this.#underWay--
    if (this.#reuse) this.#idle.push(operation)
  }
}

/** What was asked, and the `done` that the store was given for it. */
class CheckedOperation {
  readonly #finished: (operation: CheckedOperation) => void
  #name: StoreOperation = 'read'
  #offset = 0
  #lengthBytes = 0
  #done: Done | undefined

  constructor(finished: (operation: CheckedOperation) => void) {
    this.#finished = finished
  }

  begin(name: StoreOperation, offset: number, lengthBytes: number, done: Done): Done {
    this.#name = name
    this.#offset = offset
    this.#lengthBytes = lengthBytes
    this.#done = done
    return this.#complete
  }

  readonly #complete = (error: StoreError | undefined): void => {
    const done = this.#done
    if (done === undefined) return assert(false, `the store completed a ${this.#name} twice`)
    if (error !== undefined) this.#checkError(error)
    this.#done = undefined
    this.#finished(this)
    done(error)
  }

  #checkError(error: StoreError): void {
    assert(FAILURES.has(error.failure), `the store failed a ${this.#name} with '${error.failure}'`)
    const { offset } = error
    // A flush names no range of its own, and an empty range has no byte that could be bad.
    const known =
      offset === undefined || (offset >= this.#offset && offset < this.#offset + this.#lengthBytes)
    assert(known, `the store failed a ${this.#name} at ${offset}, outside what was asked`)
  }
}

function checkExtents(extents: readonly Extent[], offset: number, lengthBytes: number): void {
  let at = offset
  for (const extent of extents) {
    assert(extent.offset === at, `the store reported an extent at ${extent.offset} where ${at} was next`)
    assert(extent.lengthBytes > 0, `the store reported an empty extent at ${at}`)
    at += extent.lengthBytes
  }
  assert(at === offset + lengthBytes, `the store's extents end at ${at}, not ${offset + lengthBytes}`)
}

const isPowerOfTwo = (value: number): boolean => value >= 1 && Number.isInteger(Math.log2(value))
