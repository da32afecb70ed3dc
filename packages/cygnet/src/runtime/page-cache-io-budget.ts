/**
 * How much inline work one turn of the event loop does, for all connections together; the rest of the turn's requests
 * take the thread pool, so that a busy connection delays the others by no more than the budget.
 *
 * The end of a turn is seen by an immediate, which is asked for only once half of the budget is used: a turn may find
 * up to a half used by earlier ones, and light load pays for no immediate at all. The unit is the caller's.
 */
export class TurnBudget {
  readonly #max: number
  readonly #atTurnEnd: (run: () => void) => void
  #used = 0
  #armed = false

  constructor(
    max: number,
    atTurnEnd: (run: () => void) => void = (run) => {
      setImmediate(run)
    },
  ) {
    this.#max = max
    this.#atTurnEnd = atTurnEnd
  }

  /** True where the turn has room for work of this cost. */
  has(cost: number): boolean {
    return this.#used + cost <= this.#max
  }

  charge(cost: number): void {
    this.#used += cost
    if (!this.#armed && this.#used * 2 > this.#max) {
      this.#armed = true
      this.#atTurnEnd(this.#renew)
    }
  }

  readonly #renew = (): void => {
    this.#armed = false
    this.#used = 0
  }
}
