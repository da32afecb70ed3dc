import { assert } from '../base/assert.ts'
import type { Operation, OperationHost, Step } from './operation.ts'

/**
 * Keeps COMPARE AND WRITE and ORWRITE (exclusive) apart from every write (shared) to the same bytes. Writes among
 * themselves run freely. While no exclusive lock is held or wanted a write costs one push and one swap.
 * A write that was aborted under way counts as exclusive too, for reads as well: see `isolate`.
 * An operation locks `offset`, `lengthBytes`; a waiting one holds back later ones that overlap it, so nobody starves.
 */
export class RangeLocks {
  readonly #host: OperationHost
  #held: Operation[] = []
  #waiting: Operation[] = []
  /** Exclusive locks held or wanted. */
  #exclusive = 0
  #isolated = 0

  constructor(host: OperationHost) {
    this.#host = host
  }

  /** Some range is isolated: reads have to ask for their range too. */
  get hasIsolated(): boolean {
    return this.#isolated > 0
  }

  /** Runs `step` when the range is free, as `op.next`; at once where it is free now. */
  acquire(op: Operation, kind: 'shared' | 'exclusive', step: Step): void {
    assert(op.lock === 'none', 'an operation locks one range')
    op.lock = kind
    if (kind === 'exclusive') this.#exclusive++
    if (this.#exclusive === 0 || !this.#isBlocked(op)) {
      this.#hold(op)
      step(op)
      return
    }
    op.next = step
    op.phase = 'locked'
    this.#waiting.push(op)
  }

  /**
   * The task of a holder was aborted while the store still writes for it. Its initiator may not wait for that (a lost
   * session is not told), so whoever comes later to the same bytes does: the old data must not land on top of newer
   * data, nor be seen to change after it was read.
   */
  isolate(op: Operation): void {
    if (op.lock === 'none' || op.lock === 'isolated' || op.lockIndex < 0) return
    if (op.lock === 'shared') this.#exclusive++
    op.lock = 'isolated'
    this.#isolated++
  }

  release(op: Operation): void {
    if (op.lock === 'none') return
    if (op.lock !== 'shared') this.#exclusive--
    if (op.lock === 'isolated') this.#isolated--
    op.lock = 'none'
    if (op.lockIndex < 0) this.#waiting = this.#waiting.filter((other) => other !== op)
    else this.#drop(op)
    if (this.#waiting.length > 0) this.#grant()
  }

  #hold(op: Operation): void {
    op.lockIndex = this.#held.length
    this.#held.push(op)
  }

  /** The last holder takes the place of the one that leaves. */
  #drop(op: Operation): void {
    const last = this.#held.pop()
    if (last !== undefined && last !== op) {
      this.#held[op.lockIndex] = last
      last.lockIndex = op.lockIndex
    }
    op.lockIndex = -1
  }

  #grant(): void {
    const candidates = this.#waiting
    const granted: Operation[] = []
    this.#waiting = []
    for (const op of candidates) {
      if (this.#isBlocked(op)) {
        this.#waiting.push(op)
        continue
      }
      this.#hold(op)
      // Not `locked` any more, before anything else runs: an abort now has to leave it to the run queue.
      op.phase = 'ready'
      granted.push(op)
    }
    for (const op of granted) this.#host.wake(op)
  }

  /** By a holder, or by somebody who has waited longer. */
  #isBlocked(op: Operation): boolean {
    for (const other of this.#held) if (conflicts(op, other)) return true
    for (const other of this.#waiting) if (conflicts(op, other)) return true
    return false
  }
}

const conflicts = (a: Operation, b: Operation): boolean =>
  (a.lock !== 'shared' || b.lock !== 'shared') &&
  a.offset < b.offset + b.lengthBytes &&
  b.offset < a.offset + a.lengthBytes
