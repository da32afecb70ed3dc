import type { BackingStore, Done } from './backing-store.ts'
import type { ExtentsDone, StoreOperation } from './filter.ts'
import { FilterStore } from './filter.ts'

/** The part of a clock that a delay needs; handed in, so that a simulator's virtual time works as well. */
export interface Scheduler {
  /** Calls `run` once, `delayMs` (0 or more) from now, never before this call returns. */
  after(delayMs: number, run: () => void): void
}

/** Milliseconds until an operation's completion is passed on. A function may answer differently each time. */
export type Delay = (operation: StoreOperation) => number

/** A filter that makes a slow disk: completions come late, and out of order where the delays differ. */
export class DelayStore extends FilterStore {
  readonly #scheduler: Scheduler
  readonly #delay: Delay

  constructor(inner: BackingStore, scheduler: Scheduler, delay: Delay) {
    super(inner)
    this.#scheduler = scheduler
    this.#delay = delay
  }

  override read(into: Uint8Array, offset: number, done: Done): void {
    this.inner.read(into, offset, this.#late('read', done))
  }

  override write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    this.inner.write(slices, offset, flags, this.#late('write', done))
  }

  override flush(done: Done): void {
    this.inner.flush(this.#late('flush', done))
  }

  override trim(offset: number, lengthBytes: number, done: Done): void {
    this.inner.trim(offset, lengthBytes, this.#late('trim', done))
  }

  override zero(offset: number, lengthBytes: number, mayTrim: boolean, done: Done): void {
    this.inner.zero(offset, lengthBytes, mayTrim, this.#late('zero', done))
  }

  override extents(offset: number, lengthBytes: number, done: ExtentsDone): void {
    this.inner.extents(offset, lengthBytes, this.#late('extents', done))
  }

  override close(done: Done): void {
    this.inner.close(this.#late('close', done))
  }

  #late<Arguments extends unknown[]>(
    operation: StoreOperation,
    done: (...results: Arguments) => void,
  ): (...results: Arguments) => void {
    return (...results) => this.#scheduler.after(this.#delay(operation), () => done(...results))
  }
}
