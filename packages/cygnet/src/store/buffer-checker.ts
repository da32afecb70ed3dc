import { assert } from '../base/assert.ts'
import type { BackingStore, Done } from './backing-store.ts'
import { CheckerStore } from './checker.ts'

/** Old enough to be forgotten: a store that still writes to a read's buffer after so many operations is not caught. */
const WATCHED_MAX = 8
const POISON = 0xdb

/**
 * The contract checker for tests: besides all that `CheckerStore` asserts, it watches who touches buffers when. Each
 * operation works on copies of its own.
 *
 * - The caller's `into` is poisoned until `done`: a caller that reads it early sees nonsense.
 * - A store that writes to `into` after `done` throws at one of the next operations.
 * - A caller or store that changes `slices` before `done` throws at `done`.
 * - The store's slices are poisoned after `done`: a store that kept them will show nonsense.
 */
export class BufferCheckerStore extends CheckerStore {
  readonly #watched: Uint8Array[] = []

  constructor(inner: BackingStore) {
    super(inner, { reuse: false })
  }

  override read(into: Uint8Array, offset: number, done: Done): void {
    this.#checkWatched()
    into.fill(POISON)
    const own = new Uint8Array(into.length).fill(POISON)
    super.read(own, offset, (error) => {
      into.set(own)
      this.#watch(own)
      done(error)
    })
  }

  override write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    this.#checkWatched()
    const own = slices.map((slice) => slice.slice())
    super.write(own, offset, flags, (error) => {
      for (const [i, copy] of own.entries()) {
        assert(equal(copy, slices[i]), `slice ${i} of a write at ${offset} changed before it was done`)
        this.#watch(copy)
      }
      done(error)
    })
  }

  override close(done: Done): void {
    this.#checkWatched()
    super.close((error) => {
      this.#checkWatched()
      done(error)
    })
  }

  #watch(bytes: Uint8Array): void {
    bytes.fill(POISON)
    this.#watched.push(bytes)
    if (this.#watched.length > WATCHED_MAX) this.#watched.shift()
  }

  #checkWatched(): void {
    for (const bytes of this.#watched) {
      assert(isPoison(bytes), 'the store changed a buffer after it was done with it')
    }
  }
}

// Loops, not `every`: tests pass tens of megabytes through here.
function isPoison(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== POISON) return false
  return true
}

function equal(a: Uint8Array, b: Uint8Array | undefined): boolean {
  if (b === undefined || a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
