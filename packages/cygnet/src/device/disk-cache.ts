import { get8 } from '../scsi/fields.ts'
import { assert } from '../base/assert.ts'
import type { SenseData } from '../scsi/sense.ts'
import type { Done } from '../store/backing-store.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { MediumDoor } from './medium-door.ts'
import type { Operation } from './operation.ts'

const StartStop = { powerCondition: 0xf0, noFlush: 0x04, loadEject: 0x02, start: 0x01 } as const

/**
 * SYNCHRONIZE CACHE, PRE-FETCH and START STOP UNIT (SBC-4 §5.24, §5.9, §5.31). A flush with IMMED goes on after its
 * task has ended; should it fail, the next command that needs the medium hears of it as a deferred error (SPC-5 §4.4.5).
 */
export class DiskCache {
  readonly #medium: DiskMedium
  readonly #door: MediumDoor
  /** After START STOP UNIT with START = 0. */
  stopped = false
  #deferred: SenseData | undefined
  #background = 0
  #whenIdle: (() => void) | undefined
  readonly #backgroundDone: Done

  constructor(medium: DiskMedium, door: MediumDoor) {
    this.#medium = medium
    this.#door = door
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

  /**
   * 1 IMMED(0), 4 POWER CONDITION(7-4) NO_FLUSH(2) LOEJ(1) START(0). With a power condition the other bits mean nothing; what
   * has no motor to save power with is in every condition at once. A removable medium that was stopped starts by itself, as
   * drives of such media do. LOEJ is refused by the table where the medium is fixed.
   */
  readonly startStop = (op: Operation): void => {
    const flags = get8(op.task.cdb, 4)
    if (flags & StartStop.powerCondition) return op.good()
    const isStart = (flags & StartStop.start) !== 0
    if (flags & StartStop.loadEject) {
      if (isStart || !this.#door.isLoaded || this.#door.isPrevented) {
        if (isStart && !this.#door.isPrevented) this.stopped = false
        return this.#door.move(op, isStart)
      }
    } else if (isStart) {
      this.stopped = false
      return op.good()
    }
    op.offset = 0
    if (flags & StartStop.noFlush || !this.#door.isLoaded) this.#stop(op)
    else this.#flush(op, 0x01, this.#stop)
  }

  readonly #stop = (op: Operation): void => {
    if (op.error) return this.#flushed(op)
    if (get8(op.task.cdb, 4) & StartStop.loadEject) return this.#door.move(op, false)
    this.#medium.counters.stops++
    this.stopped = !this.#door.isRemovable
    op.good()
  }
}
