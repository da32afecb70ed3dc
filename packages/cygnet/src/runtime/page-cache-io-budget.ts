/**
 * How much I/O one turn of the event loop does inline, for all connections together; the rest of the turn's requests
 * take the thread pool, so that a busy connection delays the others by no more than the budget costs.
 *
 * The end of a turn is seen by an immediate, which is asked for only once half of the budget is used: a turn may find
 * up to a half used by earlier ones, and light load pays for no immediate at all.
 */
export class TurnBudget {
  readonly #maxBytes: number
  readonly #atTurnEnd: (run: () => void) => void
  #usedBytes = 0
  #armed = false

  constructor(
    maxBytes: number,
    atTurnEnd: (run: () => void) => void = (run) => {
      setImmediate(run)
    },
  ) {
    this.#maxBytes = maxBytes
    this.#atTurnEnd = atTurnEnd
  }

  /** True where the turn has room for an operation of this cost. */
  take(costBytes: number): boolean {
    const usedBytes = this.#usedBytes + costBytes
    if (usedBytes > this.#maxBytes) return false
    this.#usedBytes = usedBytes
    if (!this.#armed && usedBytes * 2 > this.#maxBytes) {
      this.#armed = true
      this.#atTurnEnd(this.#renew)
    }
    return true
  }

  readonly #renew = (): void => {
    this.#armed = false
    this.#usedBytes = 0
  }
}
