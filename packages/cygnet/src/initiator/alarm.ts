import type { Instant } from '../base/clock.ts'
import type { InitiatorRuntime } from './ports.ts'

/** One deadline that moves: calls back when it has come. */
export class Alarm {
  readonly #runtime: InitiatorRuntime
  readonly #ring: (now: Instant) => void
  #cancel: (() => void) | undefined
  #deadline: Instant | undefined

  constructor(runtime: InitiatorRuntime, ring: (now: Instant) => void) {
    this.#runtime = runtime
    this.#ring = ring
  }

  /** Undefined: no deadline. */
  set(deadline: Instant | undefined): void {
    if (deadline === this.#deadline) return
    this.#cancel?.()
    this.#cancel = undefined
    this.#deadline = deadline
    if (deadline === undefined) return
    const delayMs = Math.max(1, Math.ceil(deadline - this.#runtime.clock.now()))
    this.#cancel = this.#runtime.schedule(() => {
      this.#deadline = undefined
      this.#cancel = undefined
      this.#ring(this.#runtime.clock.now())
    }, delayMs)
  }
}
