import { get8 } from '../scsi/fields.ts'
import { assert } from '../base/assert.ts'
import type { SenseData } from '../scsi/sense.ts'
import type { Done } from '../store/backing-store.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { Operation } from './operation.ts'

/**
 * SYNCHRONIZE CACHE, PRE-FETCH and START STOP UNIT (SBC-4 §5.24, §5.9, §5.31). A flush with IMMED goes on after its
 * task has ended; should it fail, the next command that needs the medium hears of it as a deferred error (SPC-5 §4.4.5).
 */
export class DiskCache {
  readonly #medium: DiskMedium
  /** After START STOP UNIT with START = 0. */
  stopped = false
  #deferred: SenseData | undefined
  #background = 0
  #whenIdle: (() => void) | undefined
  readonly #backgroundDone: Done

  constructor(medium: DiskMedium) {
    this.#medium = medium
    this.#backgroundDone = (error) => {
      if (error) this.#deferred = { ...medium.failure(error, 'write', 0), deferred: true }
      if (--this.#background === 0) this.#whenIdle?.()
    }
  }

  get deferredError(): SenseData | undefined {
    return this.#deferred
  }

  /** The failure of a background flush, cleared by taking it. */
  takeDeferredError(): SenseData | undefined {
    const error = this.#deferred
    this.#deferred = undefined
    return error
  }

  /** Calls back when no background flush is under way. */
  whenIdle(callback: () => void): void {
    assert(this.#whenIdle === undefined, 'a disk is closed once')
    if (this.#background === 0) callback()
    else this.#whenIdle = callback
  }

  /** 1 IMMED(1). The range is checked; everything is flushed. */
  readonly synchronize = (op: Operation): void => {
    if (this.#medium.locate(op, Number.POSITIVE_INFINITY)) this.#flush(op, 0x02, this.#flushed)
  }

  #flush(op: Operation, immediateBit: number, then: (op: Operation) => void): void {
    const { store } = this.#medium
    if (get8(op.task.cdb, 1) & immediateBit) {
      this.#background++
      op.error = undefined
      then(op)
      store.flush(this.#backgroundDone)
      return
    }
    op.awaitStore(then)
    store.flush(op.done)
  }

  readonly #flushed = (op: Operation): void => {
    if (op.error) op.check(this.#medium.failure(op.error, 'write', op.offset))
    else op.good()
  }

  /** GOOD rather than CONDITION MET: nothing promises that the blocks stay in the cache. */
  readonly preFetch = (op: Operation): void => {
    if (this.#medium.locate(op, Number.POSITIVE_INFINITY)) op.good()
  }

  /** 1 IMMED(0), 4 NO_FLUSH(2) START(0). LOEJ and power conditions are refused by the table. */
  readonly startStop = (op: Operation): void => {
    const cdb = op.task.cdb
    if (get8(cdb, 4) & 0x01) {
      this.stopped = false
      return op.good()
    }
    if (get8(cdb, 4) & 0x04) return this.#stop(op)
    op.offset = 0
    this.#flush(op, 0x01, this.#stop)
  }

  readonly #stop = (op: Operation): void => {
    if (!op.error) this.stopped = true
    this.#flushed(op)
  }
}
