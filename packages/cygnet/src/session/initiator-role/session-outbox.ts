import type { SessionEvent } from './initiator-session-events.ts'

/** What a session has to tell, in order, for when its host polls: events, and results that may not come at once. */
export class SessionOutbox {
  readonly #wake: () => void
  #isAwake = false
  #events: SessionEvent[] = []
  #later: (() => void)[] = []

  constructor(wake: () => void) {
    this.#wake = wake
  }

  /** Asks to be polled, once between two polls. */
  wake(): void {
    if (this.#isAwake) return
    this.#isAwake = true
    this.#wake()
  }

  emit(event: SessionEvent): void {
    this.#events.push(event)
    this.wake()
  }

  /** Runs at the next poll. */
  afterwards(run: () => void): void {
    this.#later.push(run)
    this.wake()
  }

  get isEmpty(): boolean {
    return this.#events.length === 0 && this.#later.length === 0
  }

  poll(): SessionEvent | undefined {
    this.#isAwake = false
    this.runLater()
    return this.#events.length === 0 ? undefined : this.#events.shift()
  }

  runLater(): void {
    if (this.#later.length === 0) return
    const later = this.#later
    this.#later = []
    for (const run of later) run()
  }
}
