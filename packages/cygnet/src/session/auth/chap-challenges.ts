import { assert } from '../../base/assert.ts'
import { hex } from '../../base/bytes.ts'
import type { ChapAlgorithm } from './chap-algorithms.ts'
import { MAX_CHAP_BINARY_BYTES } from './chap-keys.ts'

const MIN_CHALLENGE_BYTES = 16
const DEFAULT_CHALLENGE_BYTES = 32

/** What one side asked the other; the response to it is awaited. */
export interface Challenge {
  readonly algorithm: ChapAlgorithm
  readonly identifier: number
  readonly challenge: Uint8Array
}

export interface ChallengeOptions {
  random(lengthBytes: number): Uint8Array
  /** 16..1024. Default: 32. */
  readonly challengeBytes?: number
  /** One for all connections of this role; without it, only this exchange is guarded against reflection. */
  readonly challenges?: RecentChallenges
}

/**
 * The challenges that a node issued last, on all its connections. A peer that sends one of them back wants us to
 * compute the answer that it owes us (RFC 7143 §9.2.1). Give one to all authenticators of a role in a process: to both
 * roles, and it cannot log in to itself.
 */
export class RecentChallenges {
  readonly #capacity: number
  /** In the order of issue. */
  readonly #challenges = new Set<string>()

  /** @param capacity How many are remembered; more than logins at once. */
  constructor(capacity = 1024) {
    this.#capacity = capacity
  }

  add(challenge: Uint8Array): void {
    const key = hex(challenge)
    this.#challenges.delete(key)
    this.#challenges.add(key)
    if (this.#challenges.size <= this.#capacity) return
    for (const oldest of this.#challenges) {
      this.#challenges.delete(oldest)
      return
    }
  }

  has(challenge: Uint8Array): boolean {
    return this.#challenges.has(hex(challenge))
  }
}

/** Makes the challenges of one exchange, and knows them when they come back. */
export class Challenger {
  readonly #options: ChallengeOptions
  readonly #lengthBytes: number
  readonly #recent: RecentChallenges

  constructor(options: ChallengeOptions) {
    this.#options = options
    this.#lengthBytes = options.challengeBytes ?? DEFAULT_CHALLENGE_BYTES
    this.#recent = options.challenges ?? new RecentChallenges()
    assert(
      this.#lengthBytes >= MIN_CHALLENGE_BYTES && this.#lengthBytes <= MAX_CHAP_BINARY_BYTES,
      'a CHAP challenge has 16 to 1024 bytes',
    )
  }

  issue(algorithm: ChapAlgorithm): Challenge {
    const [identifier = 0] = this.#options.random(1)
    const challenge = this.#options.random(this.#lengthBytes)
    this.#recent.add(challenge)
    return { algorithm, identifier, challenge }
  }

  isOurs(challenge: Uint8Array): boolean {
    return this.#recent.has(challenge)
  }
}
