/** How a session spreads commands over its connections. */
export type Spread = 'least-bytes' | 'round-robin'

/** How the target reports tasks that a task management function ended (RFC 7143 §4.2.3). */
export type TaskReporting = 'RFC3720' | 'ResponseFence' | 'FastAbort'

/** What an initiator's session wants to be, and what it does when something goes wrong. */
export interface SessionPolicy {
  /** Connections to open, 1..32; the target may agree to fewer. */
  readonly connections: number
  /** Offered as MaxConnections, for `addConnection`. Default: `connections`. */
  readonly maxConnections?: number
  /** `least-bytes`: to the connection with the fewest bytes outstanding. */
  readonly spread: Spread
  /** Offered; the target may agree to less (RFC 7143 §7.1.5). */
  readonly errorRecoveryLevel: 0 | 1 | 2
  /** For how long a lost session is opened again before everything fails; 0: never again. */
  readonly reopenLimitMs: number
  /** Default of a request's time until it is aborted; 0: never. */
  readonly taskTimeoutMs: number
  /** Offered: least wait before a lost connection is recovered, 0..3600 (DefaultTime2Wait; the greater offer counts). */
  readonly time2WaitSeconds: number
  /** Offered: how long the target keeps tasks after that, 0..3600 (DefaultTime2Retain; the lesser offer counts). */
  readonly time2RetainSeconds: number
  /** Offered, the best first (TaskReporting, RFC 7143 §13.23). */
  readonly taskReporting: readonly TaskReporting[]
  /** How often one request is sent again after the loss of a session. */
  readonly replayLimit: number
}

export const defaultSessionPolicy: SessionPolicy = {
  connections: 1,
  spread: 'least-bytes',
  errorRecoveryLevel: 0,
  reopenLimitMs: 0,
  taskTimeoutMs: 60_000,
  time2WaitSeconds: 2,
  time2RetainSeconds: 20,
  taskReporting: ['ResponseFence', 'RFC3720'],
  replayLimit: 8,
}
