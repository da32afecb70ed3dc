import type {
  BackingStore,
  Done,
  Extent,
  Geometry,
  SpaceDone,
  StoreCapabilities,
  StoreError,
} from './backing-store.ts'

/** The operations of a store by name, as filters' options and tables spell them. */
export type StoreOperation = 'read' | 'write' | 'flush' | 'trim' | 'zero' | 'extents' | 'close'

export type ExtentsDone = (error: StoreError | undefined, extents: readonly Extent[]) => void

/** A store around another store. This one changes nothing; a filter overrides what it is about. */
export class FilterStore implements BackingStore {
  readonly can: StoreCapabilities
  protected readonly inner: BackingStore

  constructor(inner: BackingStore) {
    this.inner = inner
    this.can = inner.can
  }

  get geometry(): Geometry {
    return this.inner.geometry
  }

  remeasure(done: Done): void {
    if (this.inner.remeasure) this.inner.remeasure(done)
    else done(undefined)
  }

  space(done: SpaceDone): void {
    if (this.inner.space) this.inner.space(done)
    else done(undefined, undefined)
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    this.inner.read(into, offset, done)
  }

  write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    this.inner.write(slices, offset, flags, done)
  }

  flush(done: Done): void {
    this.inner.flush(done)
  }

  trim(offset: number, lengthBytes: number, done: Done): void {
    this.inner.trim(offset, lengthBytes, done)
  }

  zero(offset: number, lengthBytes: number, mayTrim: boolean, done: Done): void {
    this.inner.zero(offset, lengthBytes, mayTrim, done)
  }

  extents(offset: number, lengthBytes: number, done: ExtentsDone): void {
    this.inner.extents(offset, lengthBytes, done)
  }

  close(done: Done): void {
    this.inner.close(done)
  }
}
