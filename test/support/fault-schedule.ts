/** Has a `FaultProxy` do a fault every now and then, chosen by its seed, on one of its connections that have logged in. */
import type { Cut, Direction, FaultLink, FaultProxy } from './fault-proxy.ts'
import { type Region, regions } from './pdu-tracker.ts'

/** How probable each fault is against the others; a missing one never happens. */
export interface FaultMix {
  readonly reset?: number
  readonly fin?: number
  readonly 'half-open'?: number
  readonly stall?: number
  readonly split?: number
  readonly delay?: number
  /** Of bytes that a digest protects: on a connection without digests nothing comes of it. */
  readonly corrupt?: number
}
type Kind = keyof FaultMix

export interface FaultPlan {
  readonly mix: FaultMix
  /** Between two faults, in milliseconds: least and most. */
  readonly everyMs: readonly [number, number]
  /** How long a stall, a delay or a split lasts: least and most. */
  readonly lastsMs: readonly [number, number]
  /** How much later bytes come during a delay, at most. */
  readonly delayMs?: number
  /** Where bits are flipped. Default: in both directions. */
  readonly corrupts?: Direction
  /** No more faults than this. */
  readonly most: number
}

const SPLIT_BYTES = 40
const DEFAULT_DELAY_MS = 30
const ways = ['to-target', 'to-initiator', 'both'] as const

export class FaultSchedule {
  /** What was done, for the test's output. */
  readonly done: string[] = []
  readonly #proxy: FaultProxy
  readonly #plan: FaultPlan
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor(proxy: FaultProxy, plan: FaultPlan) {
    this.#proxy = proxy
    this.#plan = plan
    this.#next()
  }

  /** No more faults; those that last are ended. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.#proxy.heal()
  }

  #next(): void {
    if (this.done.length >= this.#plan.most) return
    this.#after(this.#between(this.#plan.everyMs), () => {
      this.#strike()
      this.#next()
    })
  }

  #strike(): void {
    const link = this.#oneOf(this.#proxy.links.filter((one) => one.isFullFeature))
    if (link === undefined) return
    const kind = this.#draw()
    this.done.push(`${kind} on ${link.id}`)
    this.#do(kind, link)
  }

  #do(kind: Kind, link: FaultLink): void {
    const which = this.#oneOf(ways) ?? 'both'
    const lastsMs = this.#between(this.#plan.lastsMs)
    switch (kind) {
      case 'stall':
        link.stall(lastsMs, which)
        return
      case 'delay':
        link.delay(this.#proxy.random.between(1, this.#plan.delayMs ?? DEFAULT_DELAY_MS), which)
        this.#after(lastsMs, () => link.delay(0))
        return
      case 'split':
        link.split(SPLIT_BYTES, which)
        this.#after(lastsMs, () => link.split(0))
        return
      case 'corrupt': {
        const isProtected = (region: Region) =>
          region.startsWith('header') ? link.digests.header : link.digests.data
        const direction = this.#plan.corrupts ?? which
        const region = this.#oneOf(regions.filter(isProtected))
        if (region !== undefined) link.corrupt({ region, ...(direction !== 'both' && { direction }) })
        return
      }
      default:
        link.cut(kind satisfies Cut)
    }
  }

  #draw(): Kind {
    const weights = Object.entries(this.#plan.mix) as [Kind, number][]
    const sum = weights.reduce((total, [, weight]) => total + weight, 0)
    let left = this.#proxy.random.next() * sum
    for (const [kind, weight] of weights) {
      left -= weight
      if (left < 0) return kind
    }
    return (weights.at(-1) as [Kind, number])[0]
  }

  #oneOf<T>(list: readonly T[]): T | undefined {
    return list[this.#proxy.random.between(0, list.length - 1)]
  }

  #between([least, most]: readonly [number, number]): number {
    return this.#proxy.random.between(least, most)
  }

  #after(delayMs: number, then: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      then()
    }, delayMs)
    this.#timers.add(timer)
  }
}
