import type { LoginStatus } from '../../pdu/login-status.ts'
import type { Nexus, ScsiTask } from '../../scsi/task.ts'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Pair } from '../negotiator.ts'
import type { TargetSession } from './target-session.ts'

/** Who asks to log in, as its first login request says. */
export interface LoginIdentity {
  readonly initiatorName: string
  readonly initiatorAlias: string
  /** Whom it authenticated itself as; '' where it did not, or not yet. */
  readonly user: string
  readonly type: 'Normal' | 'Discovery'
  /** '' for a discovery session that names no target. */
  readonly targetName: string
  /** Six bytes, hexadecimal. */
  readonly isid: string
  /** 0: a new session. */
  readonly tsih: number
  readonly cid: number
  /** `address:port` of the initiator's end of the connection, for logs and access rules. */
  readonly peerAddress: string
  /** `address:port` of our end: the portal that it came in through. */
  readonly localAddress: string
}

/** The login may go on. */
export interface LoginAdmission {
  readonly ok: true
  /** Tag of the portal group that serves it; undefined for a discovery session without a target. */
  readonly portalGroupTag: number | undefined
  readonly targetAlias: string
  /** Authentication methods that this initiator may choose from, in order; `None` where it need not authenticate. */
  readonly authMethods: readonly string[]
  /** This side of a method that was agreed on, other than `None`. */
  authenticator(method: string): Authenticator
}

/** The login ends here. */
export interface LoginRefusal {
  readonly kind: 'refusal'
  readonly ok: false
  readonly status: LoginStatus
  /** For our log: what was wrong. */
  readonly reason: string
  /** A proof was wrong: perhaps somebody guesses. */
  readonly isFailedProof?: true
  /** With a redirection: where to (§13.8: no portal group tag). */
  readonly targetAddress?: string
}

export const refuse = (status: LoginStatus, reason: string): LoginRefusal => ({
  kind: 'refusal',
  ok: false,
  status,
  reason,
})

/** The target has moved: the initiator may follow (§11.13.5, status class 1). */
export const redirect = (status: LoginStatus, targetAddress: string): LoginRefusal => ({
  ...refuse(status, `moved to ${targetAddress}`),
  targetAddress,
})

/** What a session gets from the target that it logged in to. */
export interface SessionHome {
  readonly ok: true
  /** 1..65535, unique among the target's sessions. */
  readonly tsih: number
  readonly nexus: Nexus
  readonly port: ScsiPort
}

/** The SCSI side of a session; implemented where transport and devices meet. */
export interface ScsiPort {
  submit(task: ScsiTask): void
  resume(task: ScsiTask): void
  abort(task: ScsiTask): void
  /** Tasks end by an event of the protocol: the nexus gets a unit attention that says so (§11.14.5). */
  tasksCleared(): void
  /**
   * A task management function that is not about one task: `done` with the response code (§11.6.1) when all affected
   * tasks have ended, and for QUERY ASYNCHRONOUS EVENT with the additional response information (RFC 7144 §6.3).
   * `covers`: which tasks of the session itself ABORT TASK SET and CLEAR TASK SET are for (§11.5.1: those before them).
   */
  manage(
    taskManagementFunction: number,
    lun: number,
    done: (response: number, additionalResponse?: number) => void,
    covers?: (task: ScsiTask) => boolean,
  ): void
}

/** The target node, as a connection sees it. */
export interface TargetHost {
  /** The first login request is complete: may this go on, and how? */
  admit(identity: LoginIdentity): LoginAdmission | LoginRefusal
  /** The last login response is about to leave: creates the session's place, ending the one that it reinstates. */
  establish(identity: LoginIdentity, session: TargetSession): SessionHome | LoginRefusal
  /** The login names a session that exists, for one more connection or one in the place of another (§6.3.4): that session. */
  join(identity: LoginIdentity): TargetSession | LoginRefusal
  /** An initiator could not prove who it is; for the limits on guessing. */
  authenticationFailed(peerAddress: string): void
  /** What SendTargets answers (Appendix C); undefined where the value is not allowed in this session. */
  sendTargets(session: TargetSession, value: string): Pair[] | undefined
  /** The session is over; its tasks have been told to abort. */
  sessionClosed(session: TargetSession, closure: SessionClosure): void
}

/** How a session ended (§6.3.5). */
export type SessionClosure = 'logout' | 'reinstated' | 'connection-lost'
