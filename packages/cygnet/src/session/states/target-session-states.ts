import type { TransitionTable } from './state-machine.ts'

/** RFC 7143 §8.3.3. */
export type TargetSessionState =
  /** Q1: on instantiation, or after cleanup. */
  | 'FREE'
  /** Q2: the login of the first connection goes on. */
  | 'ACTIVE'
  /** Q3: the full feature phase. */
  | 'LOGGED_IN'
  /** Q4: no connection is left; waits for session continuation or recovery. */
  | 'FAILED'
  /** Q5: a login may continue the session. */
  | 'IN_CONTINUE'

export type TargetSessionEvent =
  /** The first connection reached IN_LOGIN. */
  | 'loginReceived'
  | 'loginSucceeded'
  /** The leading login failed. */
  | 'loginFailed'
  /** Session closure (§6.3.6). */
  | 'closed'
  /** Session failure (§6.3.6). */
  | 'failed'
  /** Session reinstatement: the same initiator port logged in to a new session. */
  | 'reinstated'
  /** Time2Wait and Time2Retain are over. */
  | 'timedOut'
  /** A login to the failed session has begun. */
  | 'continuationBegun'
  /** The last such login failed. */
  | 'continuationFailed'
  | 'continued'

/** RFC 7143 §8.3.2. */
export const targetSessionTransitions: TransitionTable<TargetSessionState, TargetSessionEvent> = {
  FREE: { loginReceived: ['N1', 'ACTIVE'] },
  ACTIVE: { loginSucceeded: ['N2', 'LOGGED_IN'], loginFailed: ['N9', 'FREE'] },
  LOGGED_IN: { closed: ['N3', 'FREE'], reinstated: ['N3', 'FREE'], failed: ['N5', 'FAILED'] },
  FAILED: {
    timedOut: ['N6', 'FREE'],
    reinstated: ['N6', 'FREE'],
    continuationBegun: ['N7', 'IN_CONTINUE'],
  },
  IN_CONTINUE: {
    continuationFailed: ['N8', 'FAILED'],
    continued: ['N10', 'LOGGED_IN'],
    reinstated: ['N11', 'FREE'],
  },
}
