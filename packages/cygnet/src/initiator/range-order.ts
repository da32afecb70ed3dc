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
  readonly #turns = new Set<Turn>()

  /** Requests under way or waiting. */
  get size(): number {
    return this.#turns.size
  }

  /** Runs `action` for bytes [start, end) when it is its turn: at once where nothing is in the way. */
  async run<T>(start: number, end: number, isWrite: boolean, action: () => Promise<T>): Promise<T> {
    const turn = new Turn(start, end, isWrite)
    for (const other of this.#turns) {
      if ((isWrite || other.isWrite) && start < other.end && other.start < end) {
        other.followers ??= []
        other.followers.push(turn)
        turn.waitsFor++
      }
    }
    this.#turns.add(turn)
    if (turn.waitsFor > 0) await new Promise<void>((resolve) => (turn.begin = resolve))
    try {
      return await action()
    } finally {
      this.#turns.delete(turn)
      for (const follower of turn.followers ?? []) if (--follower.waitsFor === 0) follower.begin?.()
    }
  }

  /** When all that is here now has ended, well or not. */
  async idle(): Promise<void> {
    await this.run(0, Infinity, true, () => Promise.resolve())
  }
}
