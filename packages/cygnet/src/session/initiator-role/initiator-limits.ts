/**
 * Every bound of an initiator's protocol engine, with its default. The memory of one connection is at most one receive
 * segment and one transmit batch, and `textBytes` for each text that is coming in. Data of SCSI requests stays in the
 * memory of the caller: a session holds as many requests as it is given, and has at most as many of them on the wire as
 * the target's command window allows.
 */
export interface InitiatorLimits {
  /** Largest data segment that we declare to receive (MaxRecvDataSegmentLength), 512..2^24-1 bytes. */
  readonly maxRecvDataSegmentLength: number
  /** 512..2^24-1 bytes; what is agreed on may be less. */
  readonly maxBurstLength: number
  /** At most `maxBurstLength`. */
  readonly firstBurstLength: number
  /** 1..65535; 1 where a level of error recovery is offered (§13.19). */
  readonly maxOutstandingR2T: number
  /** Most bytes of text that a login's answers, or the answer to one request, may have. */
  readonly textBytes: number
  /** From the first byte to the end of the login phase. */
  readonly loginTimeoutMs: number
  /** For the answer to a text request, a ping or a logout. */
  readonly requestTimeoutMs: number
  /** Silence after which a NOP-Out asks whether the target is there. */
  readonly nopIntervalMs: number
  /** Time for it to answer before the connection is dropped. */
  readonly nopTimeoutMs: number
  /** How often the deadlines of tasks are looked at, and so how late a timeout may be noticed. */
  readonly sweepMs: number
  /** For what a SNACK asked for, before it is asked for again (ErrorRecoveryLevel 1 and 2). */
  readonly snackTimeoutMs: number
  /** How often the same is asked for by SNACK before the next level of recovery is tried. */
  readonly snackTries: number
  /** Most PDUs that are taken ahead of a gap, in the data of a task or the responses of a connection. */
  readonly aheadPdus: number
  /** Most PDUs that wait for a target that does not read, beyond two for each task: it makes us answer pings and R2Ts. */
  readonly queuedPdus: number
  /** For ExpCmdSN to show that a command arrived, before the command is sent again (ErrorRecoveryLevel 1 and 2). */
  readonly commandRetryMs: number
  /** How often one command is sent again before the next level of recovery is tried. */
  readonly commandRetries: number
  /** For the answer to a task management function before a stronger one is tried. */
  readonly taskManagementTimeoutMs: number
  /** Wait between attempts to open a session or a connection again: doubled from the first to the last. */
  readonly reopenFirstDelayMs: number
  readonly reopenLastDelayMs: number
  /** How often a target may send one attempt to open the session again elsewhere. */
  readonly reopenRedirections: number
}

export const defaultInitiatorLimits: InitiatorLimits = {
  maxRecvDataSegmentLength: 256 * 1024,
  maxBurstLength: 1024 * 1024,
  firstBurstLength: 256 * 1024,
  maxOutstandingR2T: 8,
  textBytes: 4 * 1024 * 1024,
  loginTimeoutMs: 15_000,
  requestTimeoutMs: 15_000,
  nopIntervalMs: 15_000,
  nopTimeoutMs: 15_000,
  sweepMs: 250,
  snackTimeoutMs: 2_000,
  snackTries: 3,
  aheadPdus: 4096,
  queuedPdus: 1024,
  commandRetryMs: 2_000,
  commandRetries: 3,
  taskManagementTimeoutMs: 10_000,
  reopenFirstDelayMs: 100,
  reopenLastDelayMs: 5_000,
  reopenRedirections: 4,
}
