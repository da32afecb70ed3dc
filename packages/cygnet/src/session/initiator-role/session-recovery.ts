import type { Instant } from '../../base/clock.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import type { Closure, Grace } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import type { LoginRedirection } from './initiator-login.ts'
import type { LoginFailure } from './initiator-login-failure.ts'
import type { SessionPolicy } from './initiator-policy.ts'
import type { PortalAddress } from '../portal-address.ts'

/** What session recovery needs of its session. */
export interface ReopeningSession {
  readonly now: Instant
  readonly limits: InitiatorLimits
  readonly policy: SessionPolicy
  /** Connects and logs in as a new session; at `portal`, where the target sent us there. */
  reopen(portal: PortalAddress | undefined): void
  /** It is over. */
  notReopened(failure: Closure): void
  /** Calls `SessionRecovery.handleTimeout` then. */
  setReopenTimer(deadline: Instant | undefined): void
}

const MS_PER_SECOND = 1000

/** Answers to a login that no waiting changes. */
const finalAnswers: ReadonlySet<LoginStatus | undefined> = new Set([
  LoginStatus.authenticationFailure,
  LoginStatus.authorizationFailure,
  LoginStatus.targetRemoved,
])

/**
 * Session recovery (RFC 7143 §7.1.4.4): logs in again with the same ISID and TSIH 0, which takes the place of what is left
 * of the lost session at the target (§6.3.5). Begins after Time2Wait, tries again with growing delays, and gives up after
 * `policy.reopenLimitMs`.
 *
 * What was on its way is replayed where its request says that this is safe (`TaskReplay`), in the order in which it was
 * asked for. The reasoning:
 * - *Nothing of the old session happens after the login.* Reinstatement ends the old session at the target, with an I_T
 *   nexus loss for its tasks, before the login is answered. A command of the old session has then been executed, or never
 *   will be. What its connections still carry reaches nobody; what waits in our own sockets is taken back by a reset.
 *   A target that has crashed has forgotten the old session as well.
 * - *Reads* may be executed twice. Data of the old session cannot reach the buffer of the new one: its connections are
 *   gone, and the task has another tag.
 * - *Writes* of the same bytes may be executed twice, as long as nothing that overlaps is asked for while one has no answer.
 *   Without that rule: A is executed, B overwrites a part of it and is acknowledged, and A, whose answer was lost, is
 *   replayed: A-B-A. SIMPLE tasks have no order among themselves, either, so that a replay could swap two that overlap.
 *   Whoever says `safe` keeps to it (`initiator/range-order.ts`).
 * - *Other initiators* may have written between the two executions, and would be overwritten. Whoever shares a unit
 *   without reservations says `never`, as one does for what depends on what is there (COMPARE AND WRITE, reservations).
 * - Where there is no new session, TASK_LOST says that nobody knows: until the target has noticed the loss, or somebody
 *   has reinstated the session, the command may still be executed.
 */
export class SessionRecovery {
  readonly #session: ReopeningSession
  #isUnderWay = false
  #giveUpAt: Instant = 0
  #delayMs = 0
  #redirections = 0
  #failure: Closure | undefined

  constructor(session: ReopeningSession) {
    this.#session = session
  }

  get isUnderWay(): boolean {
    return this.#isUnderWay
  }

  /** The session is lost, and is to be opened again after `grace`. */
  begin(failure: Closure, time2WaitSeconds: number): void {
    const { now, policy, limits } = this.#session
    if (!this.#isUnderWay) {
      this.#isUnderWay = true
      this.#giveUpAt = now + policy.reopenLimitMs
      this.#delayMs = limits.reopenFirstDelayMs
    }
    this.#failure = failure
    this.#redirections = 0
    this.#session.setReopenTimer(now + Math.max(time2WaitSeconds * MS_PER_SECOND, this.#delayMs))
  }

  handleTimeout(now: Instant): void {
    if (!this.#isUnderWay) return
    if (now >= this.#giveUpAt) this.#giveUp()
    else {
      // An attempt that hangs ends with its own timeouts, or here.
      this.#session.setReopenTimer(this.#giveUpAt)
      this.#session.reopen(undefined)
    }
  }

  /** It is open again. */
  succeeded(): void {
    this.#isUnderWay = false
    this.#session.setReopenTimer(undefined)
  }

  /** An attempt failed. */
  failed(event: LoginFailure | LoginRedirection): void {
    const { limits, now } = this.#session
    if (event.kind === 'redirected' && this.#redirections < limits.reopenRedirections) {
      this.#redirections++
      this.#session.reopen(event.portals[0])
      return
    }
    this.#redirections = 0
    if (event.kind === 'failed') {
      this.#failure = { code: event.code, message: event.message }
      if (finalAnswers.has(event.status)) {
        this.#giveUp()
        return
      }
    }
    this.#delayMs = Math.min(2 * this.#delayMs, limits.reopenLastDelayMs)
    this.#session.setReopenTimer(Math.min(now + this.#delayMs, this.#giveUpAt))
  }

  cancel(): void {
    this.#isUnderWay = false
    this.#session.setReopenTimer(undefined)
  }

  #giveUp(): void {
    this.cancel()
    const last = this.#failure === undefined ? '' : ` ${this.#failure.message}`
    const { reopenLimitMs } = this.#session.policy
    this.#session.notReopened({
      code: 'SESSION_LOST',
      message: `The session was lost, and could not be opened again within ${reopenLimitMs} ms.${last}`,
    })
  }
}

/** Seconds to wait before a lost session is opened again. */
export const reopenWaitSeconds = (grace: Grace | undefined, defaultTime2Wait: number): number =>
  grace?.time2WaitSeconds ?? defaultTime2Wait
