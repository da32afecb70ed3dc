/** A request to a range, under way or waiting. */
export class Turn {
  readonly start: number
  readonly end: number
  readonly isWrite: boolean
  /** How many before it have to end first. */
  waitsFor = 0
  /** Those that wait for this one. */
  followers: Turn[] | undefined
  /** Where it is in the list. */
  at = 0

  constructor(start: number, end: number, isWrite: boolean) {
    this.start = start
    this.end = end
    this.isWrite = isWrite
  }

  /** Its turn has come, after a wait. */
  begin(): void {}
}

/** One that somebody awaits. */
class AwaitedTurn extends Turn {
  readonly #begun = Promise.withResolvers<void>()

  override begin(): void {
    this.#begun.resolve()
  }

  get begun(): Promise<void> {
    return this.#begun.promise
  }
}

/**
 * Requests to overlapping ranges, of which one writes at least, run one after the other in the order in which they
 * came; all others run at the same time. A target may carry out commands in any order, and a command that is sent
 * again after a lost connection comes later than it was meant to: as no two of them are under way together, neither
 * shows.
 */
export class RangeOrder {
  /** In no order. (A set would do; but what it drops in each request keeps the young generation's garbage alive.) */
  readonly #turns: Turn[] = []
  #writes = 0

  /** Requests under way or waiting. */
  get size(): number {
    return this.#turns.length
  }

  /** Runs `action` for bytes [start, end) when it is its turn: at once where nothing is in the way. */
  async run<T>(start: number, end: number, isWrite: boolean, action: () => Promise<T>): Promise<T> {
    const turn = new AwaitedTurn(start, end, isWrite)
    if (!this.enter(turn)) await turn.begun
    try {
      return await action()
    } finally {
      this.leave(turn)
    }
  }

  /** Takes its place in the order; true where it is its turn already, else `begin` is called when it is. */
  enter(turn: Turn): boolean {
    const { start, end, isWrite } = turn
    if (isWrite || this.#writes > 0) {
      for (const other of this.#turns) {
        if ((isWrite || other.isWrite) && start < other.end && other.start < end) {
          other.followers ??= []
          other.followers.push(turn)
          turn.waitsFor++
        }
      }
    }
    if (isWrite) this.#writes++
    turn.at = this.#turns.push(turn) - 1
    return turn.waitsFor === 0
  }

  /** It has ended, well or not: those that waited for it alone begin. */
  leave(turn: Turn): void {
    const last = this.#turns.pop()
    if (last !== undefined && last !== turn) {
      last.at = turn.at
      this.#turns[turn.at] = last
    }
    if (turn.isWrite) this.#writes--
    if (turn.followers === undefined) return
    for (const follower of turn.followers) if (--follower.waitsFor === 0) follower.begin()
  }

  /** When all that is here now has ended, well or not. */
  async idle(): Promise<void> {
    await this.run(0, Infinity, true, () => Promise.resolve())
  }
}
