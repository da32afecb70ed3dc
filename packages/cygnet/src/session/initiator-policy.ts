/** How a session spreads commands over its connections. */
export type Spread = 'least-bytes' | 'round-robin'

/** What an initiator's session wants to be, and what it does when something goes wrong. */
export interface SessionPolicy {
  /** Connections to open, 1..32; the target may agree to fewer. */
  readonly connections: number
  /** `least-bytes`: to the connection with the fewest bytes outstanding. */
  readonly spread: Spread
  /** Offered; the target may agree to less (RFC 7143 §7.1.5). */
  readonly errorRecoveryLevel: 0 | 1 | 2
  /** For how long a lost session is opened again before everything fails; 0: never again. */
  readonly reopenLimitMs: number
  /** Default of a request's time until it is aborted; 0: never. */
  readonly taskTimeoutMs: number
  /** How often one request is sent again after the loss of a session. */
  readonly replayLimit: number
}

export const defaultSessionPolicy: SessionPolicy = {
  connections: 1,
  spread: 'least-bytes',
  errorRecoveryLevel: 0,
  reopenLimitMs: 0,
  taskTimeoutMs: 60_000,
  replayLimit: 8,
}
