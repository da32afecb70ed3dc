import type { TransitionTable } from './state-machine.ts'

/** RFC 7143 §8.1.1. S3 (XPT_UP) is the target's. */
export type InitiatorConnectionState =
  /** S1: on instantiation, or closed. */
  | 'FREE'
  /** S2: waits for the transport connection. */
  | 'XPT_WAIT'
  /** S4 */
  | 'IN_LOGIN'
  /** S5 */
  | 'LOGGED_IN'
  /** S6: waits for a Logout Response. */
  | 'IN_LOGOUT'
  /** S7: the target asked for a logout, for which we are not ready yet. */
  | 'LOGOUT_REQUESTED'
  /** S8: lost with its tasks; `connection-cleanup-states.ts` goes on from here. */
  | 'CLEANUP_WAIT'

/** What §8.1.2 names as the causes of its transitions, each under one name in all states. */
export type InitiatorConnectionEvent =
  | 'connectRequested'
  | 'transportOpened'
  /** Refused, timed out, reset or disconnected. */
  | 'transportLost'
  /** The final Login Response has the status class 0. */
  | 'loginSucceeded'
  /** It has another one, or the login timed out. */
  | 'loginFailed'
  /** We are ready: a Logout Request for this connection or its session was sent on it. */
  | 'logoutSent'
  /** Async Message 1. */
  | 'logoutRequested'
  | 'logoutSucceeded'
  /** The Logout Response has another status than 0, or did not come in time. */
  | 'logoutFailed'
  /** Async Message 2 for this connection, or 3. */
  | 'dropAnnounced'
  /** A Logout that closes the session succeeded on another connection. */
  | 'sessionClosed'

/** RFC 7143 §8.1.3. */
export const initiatorConnectionTransitions: TransitionTable<
  InitiatorConnectionState,
  InitiatorConnectionEvent
> = {
  FREE: { connectRequested: ['T1', 'XPT_WAIT'] },
  XPT_WAIT: {
    transportLost: ['T2', 'FREE'],
    sessionClosed: ['T2', 'FREE'],
    transportOpened: ['T4', 'IN_LOGIN'],
  },
  IN_LOGIN: {
    loginSucceeded: ['T5', 'LOGGED_IN'],
    loginFailed: ['T7', 'FREE'],
    transportLost: ['T7', 'FREE'],
    sessionClosed: ['T7', 'FREE'],
  },
  LOGGED_IN: {
    sessionClosed: ['T8', 'FREE'],
    logoutSent: ['T9', 'IN_LOGOUT'],
    logoutRequested: ['T11', 'LOGOUT_REQUESTED'],
    transportLost: ['T15', 'CLEANUP_WAIT'],
    dropAnnounced: ['T15', 'CLEANUP_WAIT'],
  },
  IN_LOGOUT: {
    logoutSucceeded: ['T13', 'FREE'],
    sessionClosed: ['T13', 'FREE'],
    logoutRequested: ['T14', 'IN_LOGOUT'],
    logoutFailed: ['T17', 'CLEANUP_WAIT'],
    transportLost: ['T17', 'CLEANUP_WAIT'],
    dropAnnounced: ['T17', 'CLEANUP_WAIT'],
  },
  LOGOUT_REQUESTED: {
    logoutSent: ['T10', 'IN_LOGOUT'],
    logoutRequested: ['T12', 'LOGOUT_REQUESTED'],
    transportLost: ['T16', 'CLEANUP_WAIT'],
    dropAnnounced: ['T16', 'CLEANUP_WAIT'],
    sessionClosed: ['T18', 'FREE'],
  },
  CLEANUP_WAIT: {},
}
