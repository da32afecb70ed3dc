import type { Instant } from '../base/clock.ts'
import type { TargetSession } from '../session/target-role/target-session.ts'
import type { EventQueue } from './event-queue.ts'

/** Timers are not late in virtual time; what is rounded may be. */
const SLACK_MS = 1

/**
 * Whether sessions that have lost their last connection are kept for Time2Wait and Time2Retain, and no longer (RFC 7143
 * §6.3.6, §7.6).
 */
export class Retention {
  readonly #queue: EventQueue
  readonly #violation: (what: string) => void
  readonly #isKept: (session: TargetSession) => boolean
  readonly #lostAt = new Map<TargetSession, Instant>()
  /** The last connection was logged out: it leaves nothing to wait for, and others were lost before. */
  readonly #loggedOut = new Set<TargetSession>()

  constructor(
    queue: EventQueue,
    isKept: (session: TargetSession) => boolean,
    violation: (what: string) => void,
  ) {
    this.#queue = queue
    this.#isKept = isKept
    this.#violation = violation
  }

  /** It has a connection again. */
  connected(session: TargetSession): void {
    this.#lostAt.delete(session)
    this.#loggedOut.delete(session)
  }

  /** Its last connection was lost, or logged out. */
  gone(session: TargetSession, isLoggedOut: boolean): void {
    if (this.#lostAt.has(session)) return
    if (isLoggedOut) this.#loggedOut.add(session)
    const queue = this.#queue
    const lostAt = queue.now()
    this.#lostAt.set(session, lostAt)
    queue.after(retainMs(session) + SLACK_MS, () => {
      if (this.#lostAt.get(session) !== lostAt) return
      this.#lostAt.delete(session)
      if (this.#isKept(session))
        this.#violation(`session ${session.tsih} is kept longer than Time2Wait and Time2Retain`)
    })
  }

  /** It has ended because it had no connection. */
  ended(session: TargetSession): void {
    const lostAt = this.#lostAt.get(session) ?? this.#queue.now()
    this.#lostAt.delete(session)
    // Nothing needs to be kept: the tasks of a connection end with it.
    if (session.parameters.errorRecoveryLevel === 0 || this.#loggedOut.has(session)) return
    const leftMs = lostAt + retainMs(session) - this.#queue.now()
    if (leftMs > SLACK_MS)
      this.#violation(`session ${session.tsih} ended ${leftMs} ms before Time2Wait and Time2Retain were over`)
  }
}

function retainMs({ parameters }: TargetSession): number {
  const { defaultTime2Wait, defaultTime2Retain } = parameters
  return defaultTime2Retain === 0 ? 0 : (defaultTime2Wait + defaultTime2Retain) * 1000
}
