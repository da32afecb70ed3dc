import type { Operation } from './operation.ts'

/**
 * The operations of a unit that have a task. (A map would do; but the tables that it drops as entries come and go keep
 * the young generation's garbage alive.)
 */
export class OperationSet {
  readonly #operations: Operation[] = []
  #arrivals = 0

  get size(): number {
    return this.#operations.length
  }

  add(op: Operation): void {
    op.arrival = this.#arrivals++
    op.place = this.#operations.length
    this.#operations.push(op)
  }

  delete(op: Operation): void {
    const last = this.#operations.pop() as Operation
    if (last === op) return
    last.place = op.place
    this.#operations[op.place] = last
  }

  /** In no order. */
  [Symbol.iterator](): Iterator<Operation> {
    return this.#operations[Symbol.iterator]()
  }

  /** A copy, in the order in which their tasks came. */
  inOrder(): Operation[] {
    return this.#operations.toSorted((a, b) => a.arrival - b.arrival)
  }
}
