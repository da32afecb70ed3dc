/**
 * A small fast pseudo-random generator (sfc32: 128 bits of state), for simulation and tests: the same seed gives the
 * same numbers on every machine. Never for secrets.
 */
export class Prng {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** `seed`: two 32-bit words make 2^64 different streams. */
  constructor(seed: number, stream = 0) {
    this.#a = seed | 0
    this.#b = stream | 0
    this.#c = (seed / 2 ** 32) | 0
    for (let i = 0; i < 12; i++) this.next32()
  }

  /** 0..2^32-1. */
  next32(): number {
    const result = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0
    return result >>> 0
  }

  /** 0 up to, not including, 1. */
  unit(): number {
    return this.next32() / 2 ** 32
  }

  /** 0..`limit` - 1, for limits up to 2^32. */
  below(limit: number): number {
    return Math.floor(this.unit() * limit)
  }

  /** `low`..`high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True with this probability, 0..1. */
  chance(probability: number): boolean {
    return this.unit() < probability
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item
  }

  /** A generator of its own, that the numbers taken from this one later do not depend on. */
  fork(): Prng {
    return new Prng(this.next32(), this.next32())
  }
}
