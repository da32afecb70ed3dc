import { assert } from '../base/assert.ts'
import type { Done, StoreError } from './backing-store.ts'

/**
 * Runs at most one sync at a time and lets everybody who can share one share it.
 *
 * A sync that began before a write was acknowledged may have missed that write. So a request joins the running sync
 * only where nothing was written since that began; otherwise all requests that arrive during it share the next one.
 *
 * A failed sync is final. The kernel reports a lost write-back once and then forgets it, so a later sync that
 * succeeds says nothing about the data that was lost: after the first failure every request fails until the file is
 * opened again.
 */
export class FlushQueue {
  readonly #sync: (done: Done) => void
  /** Acknowledged data that no sync covers yet. True at first: an earlier process may have left some. */
  #dirty = true
  #running = false
  #current: Done[] = []
  #next: Done[] = []
  #failed: StoreError | undefined
  #starting = false

  constructor(sync: (done: Done) => void) {
    this.#sync = sync
  }

  /** To be called when a write, trim or zeroing has ended, well or badly, before it is acknowledged. */
  noteWrite(): void {
    this.#dirty = true
  }

  request(done: Done): void {
    if (this.#failed) return done(this.#failed)
    if (this.#running) {
      if (this.#dirty) this.#next.push(done)
      else this.#current.push(done)
      return
    }
    if (!this.#dirty) return done(undefined)
    this.#next.push(done)
    this.#start()
  }

  /** A loop, not recursion: a sync may complete before its call returns. */
  #start(): void {
    if (this.#starting) return
    this.#starting = true
    while (!this.#running && this.#next.length > 0) {
      this.#current = this.#next
      this.#next = []
      this.#running = true
      this.#dirty = false
      this.#sync(this.#completed)
    }
    this.#starting = false
  }

  readonly #completed = (error: StoreError | undefined): void => {
    assert(this.#running, 'the disk completed a sync twice')
    const served = this.#current
    this.#current = []
    this.#running = false
    if (error) {
      // The store is still there but what was written to it is not: whatever the first cause was, later it is this.
      this.#failed = { failure: error.failure === 'gone' ? 'gone' : 'medium', ...causeOf(error) }
      served.push(...this.#next)
      this.#next = []
    }
    // The next sync starts first, so that it runs while the answers of this one are sent.
    this.#start()
    for (const done of served) done(error)
  }
}

const causeOf = (error: StoreError): Pick<StoreError, 'cause'> =>
  error.cause === undefined ? {} : { cause: error.cause }
