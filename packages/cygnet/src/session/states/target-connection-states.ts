import type { TransitionTable } from './state-machine.ts'

/** RFC 7143 §8.1.1. S2 (XPT_WAIT) is the initiator's. */
export type TargetConnectionState =
  /** S1: on instantiation, or closed. */
  | 'FREE'
  /** S3: waits for the first Login Request. */
  | 'XPT_UP'
  /** S4 */
  | 'IN_LOGIN'
  /** S5 */
  | 'LOGGED_IN'
  /** S6: a Logout Request is being carried out. */
  | 'IN_LOGOUT'
  /** S7: we asked for a logout, which has not come yet. */
  | 'LOGOUT_REQUESTED'
  /** S8: lost with its tasks; `connection-cleanup-states.ts` goes on from here. */
  | 'CLEANUP_WAIT'

/** What §8.1.2 names as the causes of its transitions, each under one name in all states. */
export type TargetConnectionEvent =
  | 'transportOpened'
  /** Timed out, reset or disconnected. */
  | 'transportLost'
  | 'loginReceived'
  | 'loginTimedOut'
  /** The final Login Response has the status class 0. */
  | 'loginSucceeded'
  /** It has another one. */
  | 'loginFailed'
  /** A Logout Request for this connection or its session was received on it. */
  | 'logoutReceived'
  /** Async Message 1 is sent. */
  | 'logoutRequested'
  | 'logoutSucceeded'
  | 'logoutFailed'
  /** An emergency: Async Message 2 for this connection, or 3, is sent, or would be if the peer could take it. */
  | 'dropped'
  /** A Logout that closes the session succeeded on another connection. */
  | 'sessionClosed'
  /** Reinstatement of the connection or of the session. */
  | 'reinstated'
  | 'reinstatementFailed'

/** RFC 7143 §8.1.4. */
export const targetConnectionTransitions: TransitionTable<TargetConnectionState, TargetConnectionEvent> = {
  FREE: { transportOpened: ['T3', 'XPT_UP'] },
  XPT_UP: {
    loginReceived: ['T4', 'IN_LOGIN'],
    loginTimedOut: ['T6', 'FREE'],
    transportLost: ['T6', 'FREE'],
  },
  IN_LOGIN: {
    loginSucceeded: ['T5', 'LOGGED_IN'],
    loginFailed: ['T7', 'FREE'],
    loginTimedOut: ['T7', 'FREE'],
    transportLost: ['T7', 'FREE'],
    sessionClosed: ['T7', 'FREE'],
  },
  LOGGED_IN: {
    sessionClosed: ['T8', 'FREE'],
    reinstated: ['T8', 'FREE'],
    logoutReceived: ['T9', 'IN_LOGOUT'],
    logoutRequested: ['T11', 'LOGOUT_REQUESTED'],
    transportLost: ['T15', 'CLEANUP_WAIT'],
    reinstatementFailed: ['T15', 'CLEANUP_WAIT'],
    dropped: ['T15', 'CLEANUP_WAIT'],
  },
  IN_LOGOUT: {
    logoutSucceeded: ['T13', 'FREE'],
    sessionClosed: ['T13', 'FREE'],
    reinstated: ['T13', 'FREE'],
    logoutFailed: ['T17', 'CLEANUP_WAIT'],
    transportLost: ['T17', 'CLEANUP_WAIT'],
    reinstatementFailed: ['T17', 'CLEANUP_WAIT'],
    dropped: ['T17', 'CLEANUP_WAIT'],
  },
  LOGOUT_REQUESTED: {
    logoutReceived: ['T10', 'IN_LOGOUT'],
    logoutRequested: ['T12', 'LOGOUT_REQUESTED'],
    transportLost: ['T16', 'CLEANUP_WAIT'],
    reinstatementFailed: ['T16', 'CLEANUP_WAIT'],
    dropped: ['T16', 'CLEANUP_WAIT'],
    sessionClosed: ['T18', 'FREE'],
    reinstated: ['T18', 'FREE'],
  },
  CLEANUP_WAIT: {},
}
