import type { AsyncMessage } from '../../pdu/async-message.ts'
import { AsyncEvent, RejectReason } from '../../pdu/codes.ts'
import type { LoginRedirection } from './initiator-login.ts'
import type { LoginFailure } from './initiator-login-failure.ts'
import type { Pair } from '../negotiator.ts'

/** Names a request of ours until it is answered. */
export type RequestId = number

/** What the target wants to say by itself (RFC 7143 §11.9). */
export type Notice =
  /** It asks us to log out, which we do at once. */
  | { readonly kind: 'logout-requested'; readonly withinSeconds: number }
  /** It is about to drop the connection or the whole session. */
  | {
      readonly kind: 'drop-announced'
      readonly what: 'connection' | 'session'
      /** Before we may come back. */
      readonly time2WaitSeconds: number
      readonly time2RetainSeconds: number
    }
  /** A SCSI asynchronous event: the data segment holds sense data. */
  | { readonly kind: 'scsi-event'; readonly lun: bigint; readonly data: Uint8Array }
  | { readonly kind: 'vendor-event'; readonly asyncEvent: number; readonly asyncVCode: number }

/** Why a connection ended. */
export interface Closure {
  /** Stable, for programs. */
  readonly code: string
  /** One sentence. */
  readonly message: string
}

/** When a target that drops us wants us back: the Time2Wait and Time2Retain that it announced. */
export interface Grace {
  readonly time2WaitSeconds: number
  readonly time2RetainSeconds: number
}

/** What a connection tells its session. */
export type InitiatorEvent =
  | { readonly kind: 'logged-in' }
  | LoginFailure
  | LoginRedirection
  /** The answer to a text request. */
  | { readonly kind: 'text'; readonly request: RequestId; readonly pairs: readonly Pair[] }
  | { readonly kind: 'pong'; readonly request: RequestId }
  /** One request failed; the session goes on. */
  | { readonly kind: 'request-failed'; readonly request: RequestId; readonly failure: Closure }
  | { readonly kind: 'notice'; readonly notice: Notice }
  /** The target wants the connection logged out (§11.9.1, event 1). */
  | { readonly kind: 'logout-wanted'; readonly withinSeconds: number }
  /** It announces that it drops another connection of the session (event 2). */
  | { readonly kind: 'drop-announced'; readonly cid: number; readonly grace: Grace }
  /** The target has confirmed the logout of the connection or of its session. */
  | { readonly kind: 'logged-out' }
  /** It answers the logout of another connection, for recovery (`LogoutResponseCode`). */
  | {
      readonly kind: 'recovery-logout'
      readonly cid: number
      readonly response: number
      readonly grace: Grace
    }
  /** It rejected that request. */
  | { readonly kind: 'recovery-logout-rejected'; readonly cid: number }
  /** The connection is gone, and with it every request of its own that has no answer. `grace`: it was announced. */
  | {
      readonly kind: 'dropped'
      readonly failure: Closure
      readonly scope: 'connection' | 'session'
      readonly grace: Grace | undefined
    }

/** The notices that are only passed on; undefined for the others. */
export function noticeOf(message: AsyncMessage, data: Uint8Array): Notice | undefined {
  switch (message.asyncEvent) {
    case AsyncEvent.scsiEvent:
      return { kind: 'scsi-event', lun: message.lun, data }
    case AsyncEvent.logoutRequest:
      return { kind: 'logout-requested', withinSeconds: message.parameter3 }
    case AsyncEvent.connectionDrop:
    case AsyncEvent.sessionDrop:
      return {
        kind: 'drop-announced',
        what: message.asyncEvent === AsyncEvent.sessionDrop ? 'session' : 'connection',
        time2WaitSeconds: message.parameter2,
        time2RetainSeconds: message.parameter3,
      }
    case AsyncEvent.negotiationRequest:
    case AsyncEvent.taskTermination:
      return undefined
    default:
      return { kind: 'vendor-event', asyncEvent: message.asyncEvent, asyncVCode: message.asyncVCode }
  }
}

export const brokenProtocol = (what: string): Closure => ({
  code: 'PROTOCOL_ERROR',
  message: `The target broke the iSCSI protocol (${what}): update or report its software.`,
})

export const lostConnection = (reason: string): Closure => ({
  code: 'CONNECTION_LOST',
  message: `The connection to the target was lost: ${reason}.`,
})

export const sessionIsClosed: Closure = {
  code: 'SESSION_CLOSED',
  message: 'The session is closed: open another one.',
}

export const noConnection: Closure = {
  code: 'CONNECTION_LOST',
  message: 'The session has no connection at the moment: try again when it is open again.',
}

const rejectReasons: Readonly<Record<number, string>> = {
  [RejectReason.dataDigestError]: 'it arrived with a data digest error',
  [RejectReason.snackReject]: 'the SNACK was rejected',
  [RejectReason.protocolError]: 'it breaks the protocol',
  [RejectReason.commandNotSupported]: 'it is not supported',
  [RejectReason.immediateCommandReject]: 'there are too many immediate commands',
  [RejectReason.taskInProgress]: 'its task tag is in use',
  [RejectReason.invalidDataAck]: 'the data acknowledgement is invalid',
  [RejectReason.invalidPduField]: 'a field of it is invalid',
  [RejectReason.longOperationReject]: 'the target has no resources to go on with it',
  [RejectReason.negotiationReset]: 'the negotiation was reset',
  [RejectReason.waitingForLogout]: 'the target waits for us to log out',
}

/** Reasons that say nothing against the request itself: it may be made anew. */
export const passingReasons: ReadonlySet<number> = new Set([
  RejectReason.waitingForLogout,
  RejectReason.dataDigestError,
])

/** A Reject of one of our requests (§11.17.1). */
export const rejection = (opcodeName: string, reason: number): Closure => ({
  code: 'REQUEST_REJECTED',
  message: `The target rejected our ${opcodeName}: ${rejectReasons[reason] ?? `reason 0x${reason.toString(16).padStart(2, '0')}`}.`,
})
