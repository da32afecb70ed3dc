/** A request to a range, under way or waiting. */
class Turn {
  readonly start: number
  readonly end: number
  readonly isWrite: boolean
  /** How many before it have to end first. */
  waitsFor = 0
  /** Those that wait for this one. */
  followers: Turn[] | undefined
  begin: (() => void) | undefined
  /** Where it is in the list. */
  at = 0

  constructor(start: number, end: number, isWrite: boolean) {
    this.start = start
    this.end = end
    this.isWrite = isWrite
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
    const turn = this.#enter(new Turn(start, end, isWrite))
    if (turn.waitsFor > 0) await new Promise<void>((resolve) => (turn.begin = resolve))
    try {
      return await action()
    } finally {
      this.#leave(turn)
    }
  }

  #enter(turn: Turn): Turn {
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
    return turn
  }

  #leave(turn: Turn): void {
    const last = this.#turns.pop()
    if (last !== undefined && last !== turn) {
      last.at = turn.at
      this.#turns[turn.at] = last
    }
    if (turn.isWrite) this.#writes--
    if (turn.followers === undefined) return
    for (const follower of turn.followers) if (--follower.waitsFor === 0) follower.begin?.()
  }

  /** When all that is here now has ended, well or not. */
  async idle(): Promise<void> {
    await this.run(0, Infinity, true, () => Promise.resolve())
  }
}
