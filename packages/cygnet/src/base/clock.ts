/** Milliseconds on a monotonic clock; only differences mean anything. */
export type Instant = number

/** The time port: `runtime/` gives the machine's clock, a simulator gives its own. */
export interface Clock {
  now(): Instant
}

/** A fixed set of timers with one deadline: `next()` says when to call back, `expired(now)` says which fired. */
export class TimerTable<Name extends string> {
  readonly #names: readonly Name[]
  readonly #deadlines: Float64Array

  constructor(names: readonly Name[]) {
    this.#names = names
    this.#deadlines = new Float64Array(names.length).fill(Infinity)
  }

  set(name: Name, deadline: Instant): void {
    this.#deadlines[this.#names.indexOf(name)] = deadline
  }

  clear(name: Name): void {
    this.set(name, Infinity)
  }

  /** When a timer expires, or undefined where it does not run. */
  deadline(name: Name): Instant | undefined {
    const deadline = this.#deadlines[this.#names.indexOf(name)]
    return deadline === Infinity ? undefined : deadline
  }

  clearAll(): void {
    this.#deadlines.fill(Infinity)
  }

  /** The earliest deadline, or undefined where no timer runs. */
  next(): Instant | undefined {
    let earliest = Infinity
    for (const deadline of this.#deadlines) if (deadline < earliest) earliest = deadline
    return earliest === Infinity ? undefined : earliest
  }

  /** One timer whose deadline has come, cleared; call until undefined. */
  expired(now: Instant): Name | undefined {
    for (let i = 0; i < this.#deadlines.length; i++) {
      const deadline = this.#deadlines[i]
      if (deadline !== undefined && deadline <= now) {
        this.#deadlines[i] = Infinity
        return this.#names[i]
      }
    }
    return undefined
  }
}
