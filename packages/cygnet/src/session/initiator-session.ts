import type { Instant } from '../base/clock.ts'
import type { BufferPool } from '../base/pool.ts'
import type { Closure } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import type { InitiatorLoginOptions } from './initiator-login.ts'
import type { SessionPolicy } from './initiator-policy.ts'
import type { DigestPreferences } from './initiator-preferences.ts'
import type { InitiatorAuthentication } from './initiator-security.ts'
import type { SessionEvent } from './initiator-session-events.ts'
import type { Pair } from './negotiator.ts'
import type { ConnectionParameters, SessionParameters } from './parameters.ts'
import type { RecoveryCounters } from './recovery-counters.ts'
import type { ScsiRequest } from './scsi-request.ts'

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

/** How a text request, ping or task management function ended. */
export type TextDone = (pairs: readonly Pair[] | undefined, failure: Closure | undefined) => void
export type PingDone = (failure: Closure | undefined) => void
/** `response`: a `TaskManagementResponseCode`; undefined where there was none. */
export type ManageDone = (response: number | undefined, failure: Closure | undefined) => void

/**
 * An initiator's session, sans-IO. The host (a runtime or a simulator)
 * - opens a byte stream for each connection that a `connect` event brings, then calls `connection.transportOpened(now)`,
 *   or `connection.transportClosed(reason, now)` where that failed or when the stream ends;
 * - feeds each connection with `receive`, sends what `hasOutput` and `pollTransmit` have, calls `handleTimeout` at
 *   `pollTimeout`, and ends the stream of one whose `state` is `closed`;
 * - calls the session's own `handleTimeout` at its `pollTimeout`, and drains `pollEvent` after each of these.
 */
export declare class InitiatorSession {
  constructor(options: InitiatorSessionOptions)
  readonly counters: RecoveryCounters
  /** 0 before the first login. */
  readonly tsih: number
  readonly sessionParameters: SessionParameters
  /** Of the first connection. */
  readonly connectionParameters: ConnectionParameters
  /** Requests are taken: logged in, or being opened again; not closing. */
  readonly isOpen: boolean
  /** Opens the leading connection. */
  start(now: Instant): void
  /** Takes a request; it waits where the command window is closed or the session is being opened again. */
  execute(request: ScsiRequest): void
  /** Ends a request with TASK_ABORTED, once the target has aborted its task; no effect where it is done. */
  abort(request: ScsiRequest): void
  /** A task management function for a LUN or the target (`TaskManagementFunction` 2..7, 10..12). */
  manage(taskManagementFunction: number, lun: number, done: ManageDone): void
  ping(done: PingDone, data?: Uint8Array): void
  text(pairs: readonly Pair[], done: TextDone): void
  /** One more connection, up to what the target agreed to; false where that is reached. */
  addConnection(): boolean
  /** Logs a connection out when its tasks are done; the others go on. */
  removeConnection(cid: number): void
  /** Ends the session: `ended` follows. */
  logOut(): void
  pollEvent(): SessionEvent | undefined
  pollTimeout(): Instant | undefined
  handleTimeout(now: Instant): void
}
