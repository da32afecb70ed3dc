import { totalLength } from '../base/bytes.ts'
import type { BackingStore, Done, StoreError, StoreFailure } from './backing-store.ts'
import type { ExtentsDone, StoreOperation } from './filter.ts'
import { FilterStore } from './filter.ts'

/** One row of the table of faults. */
export interface ErrorRule {
  readonly operation: StoreOperation
  readonly failure: StoreFailure
  /** Only operations that touch this byte range, first byte and length. Default: all. */
  readonly range?: { readonly offset: number; readonly lengthBytes: number }
  /** Matching operations that succeed before the first fails. Default 0. */
  readonly skip?: number
  /** Matching operations that fail, after which the row is spent. Default: no end. */
  readonly times?: number
}

/** A filter that fails chosen operations, without passing them on. The first row that matches decides. */
export class ErrorStore extends FilterStore {
  readonly #rows: readonly { readonly rule: ErrorRule; matched: number }[]

  constructor(inner: BackingStore, rules: readonly ErrorRule[]) {
    super(inner)
    this.#rows = rules.map((rule) => ({ rule, matched: 0 }))
  }

  override read(into: Uint8Array, offset: number, done: Done): void {
    const error = this.#fault('read', offset, into.length)
    if (error) done(error)
    else this.inner.read(into, offset, done)
  }

  override write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    const error = this.#fault('write', offset, totalLength(slices))
    if (error) done(error)
    else this.inner.write(slices, offset, flags, done)
  }

  override flush(done: Done): void {
    const error = this.#fault('flush')
    if (error) done(error)
    else this.inner.flush(done)
  }

  override trim(offset: number, lengthBytes: number, done: Done): void {
    const error = this.#fault('trim', offset, lengthBytes)
    if (error) done(error)
    else this.inner.trim(offset, lengthBytes, done)
  }

  override zero(offset: number, lengthBytes: number, mayTrim: boolean, done: Done): void {
    const error = this.#fault('zero', offset, lengthBytes)
    if (error) done(error)
    else this.inner.zero(offset, lengthBytes, mayTrim, done)
  }

  override extents(offset: number, lengthBytes: number, done: ExtentsDone): void {
    const error = this.#fault('extents', offset, lengthBytes)
    if (error) done(error, [])
    else this.inner.extents(offset, lengthBytes, done)
  }

  /** A store that fails to close is closed all the same, as with close(2). */
  override close(done: Done): void {
    const error = this.#fault('close')
    this.inner.close((innerError) => done(error ?? innerError))
  }

  /** `offset` and `lengthBytes` are missing for operations on the whole store, which every range matches. */
  #fault(operation: StoreOperation, offset = 0, lengthBytes = Infinity): StoreError | undefined {
    for (const row of this.#rows) {
      const { rule } = row
      const from = Math.max(offset, rule.range?.offset ?? 0)
      const to = Math.min(
        offset + lengthBytes,
        rule.range ? rule.range.offset + rule.range.lengthBytes : Infinity,
      )
      if (rule.operation !== operation || from >= to) continue
      const nth = row.matched++
      const skip = rule.skip ?? 0
      if (nth < skip || nth >= skip + (rule.times ?? Infinity)) continue
      return lengthBytes === Infinity ? { failure: rule.failure } : { failure: rule.failure, offset: from }
    }
    return undefined
  }
}
