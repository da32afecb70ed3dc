/** A request that may bring news, in the order of issue. */
export interface Attentive {
  readonly lun: number
  readonly order: number
}

/** A condition that an initiator must be told of before a command succeeds. */
interface Mark {
  readonly what: string
  readonly order: number
}

/**
 * Whether an initiator hears of what it must hear: after a login, and after another initiator's reset, its next command
 * to the unit ends with a unit attention (SAM-5 §5.14).
 *
 * Commands overtake each other on several connections, and answers are lost with them: wherever an older command might
 * have brought the news, or its answer may be lost, nothing is concluded.
 */
export class Attentions {
  readonly #marks = new Map<number, Mark>()
  readonly #lastHeard = new Map<number, number>()
  readonly #takeOrder: () => number
  #lastForgotten = -1

  constructor(takeOrder: () => number) {
    this.#takeOrder = takeOrder
  }

  /** `since`: an attention that was heard, or may have been lost, after this is the one. */
  expect(lun: number, what: string, since: number, order: number): void {
    if ((this.#lastHeard.get(lun) ?? -1) >= since || this.#lastForgotten >= since) return
    this.#marks.set(lun, { what, order })
  }

  heard(lun: number, order: number): void {
    this.#lastHeard.set(lun, order)
    this.#marks.delete(lun)
  }

  /** An answer may have been lost. */
  forget(lun?: number): void {
    this.#lastForgotten = this.#takeOrder()
    if (lun === undefined) this.#marks.clear()
    else this.#marks.delete(lun)
  }

  /** A command succeeded; `outstanding`: those without an answer. What is wrong, if anything. */
  succeeded(request: Attentive, outstanding: Iterable<Attentive>): string | undefined {
    const mark = this.#marks.get(request.lun)
    if (mark === undefined || request.order < mark.order) return undefined
    this.#marks.delete(request.lun)
    for (const other of outstanding)
      if (other.lun === request.lun && other.order < request.order) return undefined
    return `a command to LUN ${request.lun} succeeded without a unit attention for ${mark.what}`
  }
}
