import type { Clock, Instant } from '../base/clock.ts'

export interface LoginThrottleLimits {
  /** Failed authentications from one address before it has to wait. 1 or more. */
  readonly freeFailures: number
  /** The first wait; it doubles with each further failure. */
  readonly firstDelayMs: number
  readonly maxDelayMs: number
  /** Failures are forgotten when there was none for so long after the last wait. */
  readonly forgetAfterMs: number
  /** Addresses that are remembered; the one that failed longest ago is forgotten first. */
  readonly addresses: number
}

export const defaultThrottleLimits: LoginThrottleLimits = {
  freeFailures: 5,
  firstDelayMs: 1000,
  maxDelayMs: 60_000,
  forgetAfterMs: 600_000,
  addresses: 4096,
}

interface Failures {
  readonly count: number
  readonly blockedUntil: Instant
}

/**
 * Slows down the guessing of secrets: after some failed authentications, an address must wait before its next login. A
 * success does not wipe them out, or whoever knows one secret could guess the others between his logins.
 */
export class LoginThrottle {
  readonly #clock: Clock
  readonly #limits: LoginThrottleLimits
  /** In order of the last failure, oldest first. */
  readonly #failures = new Map<string, Failures>()

  constructor(clock: Clock, limits: LoginThrottleLimits = defaultThrottleLimits) {
    this.#clock = clock
    this.#limits = limits
  }

  /** Milliseconds until a login from this address is looked at again; 0: at once. */
  waitMs(address: string): number {
    return Math.max(0, (this.#failures.get(address)?.blockedUntil ?? 0) - this.#clock.now())
  }

  failed(address: string): void {
    const { freeFailures, firstDelayMs, maxDelayMs, forgetAfterMs, addresses } = this.#limits
    const now = this.#clock.now()
    const before = this.#failures.get(address)
    const isForgotten = before === undefined || before.blockedUntil + forgetAfterMs <= now
    const count = (isForgotten ? 0 : before.count) + 1
    const doublings = count - freeFailures
    const delayMs = doublings < 0 ? 0 : Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(doublings, 30))
    this.#failures.delete(address)
    this.#failures.set(address, { count, blockedUntil: now + delayMs })
    for (const oldest of this.#failures.keys()) {
      if (this.#failures.size <= addresses) break
      this.#failures.delete(oldest)
    }
  }
}
