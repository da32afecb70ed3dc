/**
 * Memory that all sessions of a server share for the data of tasks in work. A session with nothing in work may always
 * begin one task, so that none can starve the others: at most the limit, and one transfer for each session, are in
 * use.
 */
export class MemoryBudget {
  readonly #limitBytes: number
  readonly #waiting = new Set<() => void>()
  readonly #offers = new Set<() => boolean>()
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

  hasRoomFor(bytes: number): boolean {
    return this.#usedBytes + bytes <= this.#limitBytes
  }

  /** Takes memory where there is some; `retry` is called once when there may be. */
  tryReserve(bytes: number, retry: () => void): boolean {
    for (const giveUp of this.#offers) while (!this.hasRoomFor(bytes) && giveUp());
    if (!this.hasRoomFor(bytes)) {
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

  /** Some of the memory in use is dispensable: `giveUp` releases a part of it, and returns false where none is left. */
  offer(giveUp: () => boolean): void {
    this.#offers.add(giveUp)
  }

  withdrawOffer(giveUp: () => boolean): void {
    this.#offers.delete(giveUp)
  }

  /** Who waits no more. */
  forget(retry: () => void): void {
    this.#waiting.delete(retry)
  }
}
