/**
 * Every bound of a target's protocol engine, with its default. The memory of one session is at most
 * `sessionBufferBytes` for data in work, plus `commandDepth` first bursts, plus one receive segment and one transmit
 * batch for each connection. Received data holds the segments that it lies in: at most twice its size, or two segments
 * for each command. Over all sessions, data in work is bounded by the server's `MemoryBudget`.
 */
export interface TargetLimits {
  /** Non-immediate commands in work for each session: the command window. */
  readonly commandDepth: number
  /** Immediate commands in work for each session; more are rejected (§11.17.1, reason 0x06). */
  readonly immediateDepth: number
  /** Sum of the Data-In and Data-Out buffers of a session's tasks in work; commands beyond it wait in order. */
  readonly sessionBufferBytes: number
  /** Largest data segment that we declare to receive (MaxRecvDataSegmentLength). */
  readonly maxRecvDataSegmentLength: number
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly maxOutstandingR2T: number
  /** Most bytes of text that one negotiation sequence may send us (§6.1 asks for 8 KiB, 64 KiB with long authentication items). */
  readonly textBytes: number
  /** From the first byte to the end of the login phase. */
  readonly loginTimeoutMs: number
  /** Silence after which a NOP-In asks whether the initiator is there. */
  readonly nopIntervalMs: number
  /** Time for it to answer before the connection is dropped. */
  readonly nopTimeoutMs: number
  /** Silence after which a discovery session ends: NOP-In is not for those (§7.4.3). */
  readonly discoveryIdleMs: number
  /** Wait for the data of aborted tasks that R2Ts have asked for (§4.2.3.3 a). */
  readonly drainTimeoutMs: number
  /** Connections of one session, 1..65535 (MaxConnections). */
  readonly maxConnections: number
  /** Highest ErrorRecoveryLevel that is agreed to: 0, 1 or 2. */
  readonly errorRecoveryLevel: number
  /** Least wait before a lost connection is recovered, in seconds, 0..3600 (DefaultTime2Wait). */
  readonly time2Wait: number
  /** How long tasks of a lost connection are kept after that, in seconds, 0..3600 (DefaultTime2Retain). */
  readonly time2Retain: number
  /** Responses kept on a connection until the initiator has acknowledged them; at ErrorRecoveryLevel 1 and 2. */
  readonly retainedResponses: number
  /** Bytes that these hold, of text and pings. */
  readonly retainedBytes: number
  /** Data-In kept for a session until the initiator has acknowledged it, besides that of its newest command. */
  readonly retainedDataBytes: number
  /** Silence in the middle of a sequence of Data-Out after which it is asked for again; at ErrorRecoveryLevel 1 and 2. */
  readonly sequenceTimeoutMs: number
}

export const defaultTargetLimits: TargetLimits = {
  commandDepth: 128,
  immediateDepth: 32,
  sessionBufferBytes: 64 * 1024 * 1024,
  maxRecvDataSegmentLength: 256 * 1024,
  maxBurstLength: 1024 * 1024,
  firstBurstLength: 256 * 1024,
  maxOutstandingR2T: 8,
  textBytes: 64 * 1024,
  loginTimeoutMs: 15_000,
  nopIntervalMs: 15_000,
  nopTimeoutMs: 15_000,
  discoveryIdleMs: 60_000,
  drainTimeoutMs: 3_000,
  maxConnections: 32,
  errorRecoveryLevel: 2,
  time2Wait: 2,
  time2Retain: 20,
  retainedResponses: 1024,
  retainedBytes: 1024 * 1024,
  retainedDataBytes: 8 * 1024 * 1024,
  sequenceTimeoutMs: 5_000,
}

/** §11.12: data segments of the login phase are never longer, whatever is declared. */
export const LOGIN_SEGMENT_BYTES = 8192
