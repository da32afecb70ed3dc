import type { Instant } from '../../base/clock.ts'
import type { BufferPool } from '../../base/pool.ts'
import type { Closure } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import type { InitiatorLoginOptions } from './initiator-login.ts'
import type { SessionPolicy } from './initiator-policy.ts'
import type { DigestPreferences } from './initiator-preferences.ts'
import type { InitiatorAuthentication } from './initiator-security.ts'
import type { Pair } from '../negotiator.ts'

/** Who logs in to what, the same for every connection and for every time that the session is opened again. */
export type LoginTemplate = Pick<
  InitiatorLoginOptions,
  'type' | 'initiatorName' | 'initiatorAlias' | 'targetName' | 'isid' | 'portalGroupTag'
> & {
  /** This side of the authentication of one login. */
  authentication(): InitiatorAuthentication
}

export interface InitiatorSessionOptions {
  readonly pool: BufferPool
  readonly now: Instant
  /**
   * There is an event, or a connection has something to transmit, or there is a new deadline: poll soon. Called at most
   * once between calls of `pollEvent`, for the session and all of its connections.
   */
  readonly wake: () => void
  /** Unpredictable bytes. */
  random(lengthBytes: number): Uint8Array
  readonly login: LoginTemplate
  readonly limits: InitiatorLimits
  readonly policy: SessionPolicy
  readonly digests: DigestPreferences
}

/** How a text request or a ping ended. */
export type TextDone = (pairs: readonly Pair[] | undefined, failure: Closure | undefined) => void
export type PingDone = (failure: Closure | undefined) => void

/** Where a session is in its life. */
export type SessionPhase =
  | 'idle'
  /** Its first login. */
  | 'opening'
  | 'open'
  /** Lost; being opened again. */
  | 'reopening'
  /** We log out. */
  | 'closing'
  | 'ended'
