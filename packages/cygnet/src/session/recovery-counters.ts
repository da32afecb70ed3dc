/**
 * How often each recovery path of RFC 7143 §7 ran, for either role: a target counts what it serves and does, an
 * initiator what it asks for and does. Plain numbers, gathered when somebody asks. A server has one for all its
 * sessions, an initiator one for each session.
 */
export class RecoveryCounters {
  // What was noticed (§7.8, §7.9, §7.14).
  /** A header digest error: the connection ended (§7.8). */
  digestErrorHeader = 0
  /** A data digest error, whatever was done about it (§7.8). */
  digestErrorData = 0
  /** A gap in DataSN, R2TSN, StatSN or in the bytes of a sequence (§7.9). */
  sequenceError = 0
  /** A sequence of data, or a response, did not come in time (§7.1.4.1). */
  sequenceTimeout = 0
  /** A full feature phase connection was lost without a logout (§7.14). */
  connectionLost = 0

  // Within a command (§7.1.4.1): level 1.
  /** SNACK for Data-In (§11.16.1, type 0). */
  dataSnack = 0
  /** SNACK for R2Ts (type 0). */
  r2tSnack = 0
  /** DataACK (type 2). */
  dataAck = 0
  /** R-Data SNACK (type 3). */
  rDataSnack = 0
  /** R2T that asks for lost Data-Out again (§11.8). */
  recoveryR2T = 0

  // Within a connection (§7.1.4.2): level 1.
  /** SNACK for responses (type 1). */
  statusSnack = 0
  /** A command sent again, or received where its first copy was lost or discarded (§7.2.1). */
  commandRetry = 0
  /** A command that was received twice and ignored (§4.2.2.1). */
  commandDuplicate = 0

  // Connection recovery (§7.1.4.3): level 2.
  /** A Logout with reason 2, explicit or implied by a login, freed the tasks of a connection. */
  connectionRecovery = 0
  /** TASK REASSIGN that was carried out (§7.2.2). */
  taskReassign = 0
  /** TASK REASSIGN that was refused: still allegiant, not supported, does not exist (§11.6.1). */
  taskReassignRefused = 0
  /** An unacknowledged response sent again on another connection. */
  statusResent = 0
  /** A login took the place of a connection with the same CID (§6.3.4). */
  connectionReinstatement = 0
  /** A connection was added to a session that had lost its last one (§6.3.6). */
  sessionContinuation = 0
  /** Tasks that ended because nobody reassigned them within Time2Wait + Time2Retain (§7.6 c). */
  time2RetainExpired = 0

  // Session recovery (§7.1.4.4): level 0.
  /** A login with TSIH 0 took the place of a session (§6.3.5). */
  sessionReinstatement = 0
  /** A session ended without a logout. */
  sessionLost = 0
  /** Tasks that an initiator sent again in a new session. */
  taskReplayed = 0
  /** Tasks that an initiator gave up, because doing them twice would not be safe. */
  taskNotReplayed = 0

  // What each level did where it could not help (§7.1.4).
  /** The data was not to be had any more: the command ended with CHECK CONDITION or was sent again. */
  fallbackWithinCommand = 0
  /** Recovery within a connection failed: the connection was dropped. */
  fallbackToConnectionRecovery = 0
  /** Connection recovery failed or was not possible: the session was dropped. */
  fallbackToSessionRecovery = 0

  /** Rejects, sent by a target or received by an initiator, by `RejectReason`. */
  readonly rejects: number[] = Array.from({ length: 16 }, () => 0)

  countReject(reason: number): void {
    const index = reason & 0x0f
    this.rejects[index] = (this.rejects[index] ?? 0) + 1
  }
}
