import { type Serial32, serialAdd, serialDistance, serialLess } from '../../base/serial32.ts'

/** How a StatSN stands to those that came before. */
export type StatusArrival =
  /** New, and nothing before it is missing. */
  | 'next'
  /** New, and something before it is missing. */
  | 'ahead'
  /** It has been here. */
  | 'repeated'
  /** So far ahead that the target cannot mean it. */
  | 'absurd'

/** Consecutive StatSNs. */
export interface StatusRun {
  readonly first: Serial32
  readonly count: number
}

/**
 * The StatSNs of one connection at its initiator (RFC 7143 §4.2.2.2). What came ahead of a gap is remembered; ExpStatSN
 * stays at the gap, and at a response that is kept back (§7.9: it must not be acknowledged before its data is complete).
 * Memory bound: `limit` numbers ahead of ExpStatSN.
 */
export class StatusNumbers {
  readonly #limit: number
  #expStatSN: Serial32 = 0
  /** One past the highest that came. */
  #end: Serial32 = 0
  /** One past the highest that was looked at for gaps. */
  #asked: Serial32 = 0
  /** Came, from ExpStatSN on: true where acknowledged, false where kept back. */
  readonly #came = new Map<Serial32, boolean>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Everything before it is acknowledged. */
  get expStatSN(): Serial32 {
    return this.#expStatSN
  }

  restart(expStatSN: Serial32): void {
    this.#expStatSN = expStatSN
    this.#end = expStatSN
    this.#asked = expStatSN
    this.#came.clear()
  }

  /** A PDU that is numbered; acknowledged at once unless `keepBack`. */
  receive(statSN: Serial32, keepBack = false): StatusArrival {
    if (statSN === this.#expStatSN && this.#came.size === 0 && !keepBack) {
      this.#expStatSN = serialAdd(statSN, 1)
      if (serialLess(this.#end, this.#expStatSN)) this.#end = this.#expStatSN
      return 'next'
    }
    const distance = serialDistance(this.#expStatSN, statSN)
    if (distance < 0 || this.#came.has(statSN)) return 'repeated'
    if (distance > this.#limit) return 'absurd'
    this.#came.set(statSN, !keepBack)
    const isNext = this.#missing(statSN) === 0
    const after = serialAdd(statSN, 1)
    if (serialLess(this.#end, after)) this.#end = after
    this.#advance()
    return isNext ? 'next' : 'ahead'
  }

  /** The StatSN of a PDU that is not numbered: the one that comes next. False where that is absurd. */
  announce(statSN: Serial32): boolean {
    if (serialDistance(this.#expStatSN, statSN) > this.#limit) return false
    if (serialLess(this.#end, statSN)) this.#end = statSN
    return true
  }

  /** What was kept back is complete. */
  acknowledge(statSN: Serial32): void {
    if (this.#came.size === 0 || !this.#came.has(statSN)) return
    this.#came.set(statSN, true)
    this.#advance()
  }

  /** Something before what came last is missing. */
  get hasGap(): boolean {
    return this.#missing(this.#end) > 0
  }

  /** Everything up to `statSN` has come. */
  isComplete(statSN: Serial32): boolean {
    return this.#missing(statSN) === 0
  }

  /** What is missing, as runs. */
  gaps(): StatusRun[] {
    return this.#gapsFrom(this.#expStatSN)
  }

  /** What is missing and was not returned by this before. */
  newGaps(): StatusRun[] {
    const from = serialLess(this.#expStatSN, this.#asked) ? this.#asked : this.#expStatSN
    this.#asked = this.#end
    return this.#gapsFrom(from)
  }

  #gapsFrom(from: Serial32): StatusRun[] {
    const runs: { first: Serial32; count: number }[] = []
    let last: { first: Serial32; count: number } | undefined
    for (let statSN = from; serialLess(statSN, this.#end); statSN = serialAdd(statSN, 1)) {
      if (this.#came.has(statSN)) last = undefined
      else if (last !== undefined) last.count++
      else {
        last = { first: statSN, count: 1 }
        runs.push(last)
      }
    }
    return runs
  }

  /** How many before `end` have not come. */
  #missing(end: Serial32): number {
    let count = serialDistance(this.#expStatSN, end)
    if (count <= 0) return 0
    for (const statSN of this.#came.keys()) if (serialLess(statSN, end)) count--
    return count
  }

  #advance(): void {
    while (this.#came.get(this.#expStatSN) === true) {
      this.#came.delete(this.#expStatSN)
      this.#expStatSN = serialAdd(this.#expStatSN, 1)
    }
    if (serialLess(this.#end, this.#expStatSN)) this.#end = this.#expStatSN
  }
}
