import type { TransitionTable } from './state-machine.ts'

/** RFC 7143 §8.3.3. Q2 and Q5 are the target's. */
export type InitiatorSessionState =
  /** Q1: on instantiation, or after cleanup. */
  | 'FREE'
  /** Q3: the full feature phase. */
  | 'LOGGED_IN'
  /** Q4: no connection is left; waits for session continuation or recovery. */
  | 'FAILED'

export type InitiatorSessionEvent =
  /** The first connection reached LOGGED_IN. */
  | 'loginSucceeded'
  /** Session closure (§6.3.6). */
  | 'closed'
  /** Session failure (§6.3.6). */
  | 'failed'
  /** A connection of the failed session was reinstated. */
  | 'continued'
  /** The state is no longer worth keeping: Time2Wait and Time2Retain are over. */
  | 'timedOut'
  /** Session reinstatement: a new session of the same initiator port took its place. */
  | 'reinstated'

/** RFC 7143 §8.3.1. */
export const initiatorSessionTransitions: TransitionTable<InitiatorSessionState, InitiatorSessionEvent> = {
  FREE: { loginSucceeded: ['N1', 'LOGGED_IN'] },
  LOGGED_IN: { closed: ['N3', 'FREE'], failed: ['N5', 'FAILED'] },
  FAILED: { continued: ['N4', 'LOGGED_IN'], timedOut: ['N6', 'FREE'], reinstated: ['N6', 'FREE'] },
}
