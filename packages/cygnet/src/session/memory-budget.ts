/**
 * Memory that all sessions of a server share for the data of tasks in work. A session with nothing in work may always
 * begin one task, so that none can starve the others: at most the limit, and one transfer for each session, are in
 * use.
 */
export class MemoryBudget {
  readonly #limitBytes: number
  readonly #waiting = new Set<() => void>()
  #usedBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Takes memory whether or not there is some: for the first task of a session. */
  reserve(bytes: number): void {
    this.#usedBytes += bytes
  }

  /** Takes memory where there is some; `retry` is called once when there may be. */
  tryReserve(bytes: number, retry: () => void): boolean {
    if (this.#usedBytes + bytes > this.#limitBytes) {
      this.#waiting.add(retry)
      return false
    }
    this.#usedBytes += bytes
    return true
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes
    if (this.#waiting.size === 0 || bytes === 0) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const retry of waiting) retry()
  }

  /** Who waits no more. */
  forget(retry: () => void): void {
    this.#waiting.delete(retry)
  }
}
