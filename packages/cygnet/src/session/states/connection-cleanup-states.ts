import type { TransitionTable } from './state-machine.ts'

/**
 * RFC 7143 §8.2: what becomes of a connection (CSM-C) that was lost with its tasks, in both roles. Either another connection
 * of the session logs it out (explicit, CSM-E), or a new one takes its CID by reinstatement (implicit, CSM-I).
 */
export type ConnectionCleanupState =
  /** R1, the connection's S8. */
  | 'CLEANUP_WAIT'
  /** R2 */
  | 'IN_CLEANUP'
  /** R3, the connection's S1. */
  | 'FREE'

export type ConnectionCleanupEvent =
  /** The time that the connection's state is kept is over: Time2Wait and Time2Retain. */
  | 'timedOut'
  /** A Logout that closes the session succeeded on another connection. */
  | 'sessionClosed'
  /** A Logout Request for the CID was sent or received on another connection in LOGGED_IN. */
  | 'logoutBegun'
  /** It was answered with a failure, timed out or was aborted, or its connection left LOGGED_IN. */
  | 'logoutFailed'
  | 'logoutSucceeded'
  /** A login that reinstates the connection or the session was sent or received. */
  | 'reinstatementBegun'
  /** Its connection went to FREE, not to LOGGED_IN. */
  | 'reinstatementFailed'
  /** Its connection is in LOGGED_IN. */
  | 'reinstated'

export const connectionCleanupTransitions: TransitionTable<ConnectionCleanupState, ConnectionCleanupEvent> = {
  CLEANUP_WAIT: {
    timedOut: ['M1', 'FREE'],
    sessionClosed: ['M1', 'FREE'],
    logoutBegun: ['M2', 'IN_CLEANUP'],
    reinstatementBegun: ['M2', 'IN_CLEANUP'],
  },
  IN_CLEANUP: {
    logoutFailed: ['M3', 'CLEANUP_WAIT'],
    reinstatementFailed: ['M3', 'CLEANUP_WAIT'],
    logoutSucceeded: ['M4', 'FREE'],
    reinstated: ['M4', 'FREE'],
    sessionClosed: ['M4', 'FREE'],
  },
  FREE: {},
}
