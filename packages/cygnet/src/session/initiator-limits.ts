/**
 * Every bound of an initiator's protocol engine, with its default. The memory of one connection is at most one receive
 * segment and one transmit batch, and `textBytes` for each text that is coming in.
 */
export interface InitiatorLimits {
  /** Largest data segment that we declare to receive (MaxRecvDataSegmentLength), 512..2^24-1 bytes. */
  readonly maxRecvDataSegmentLength: number
  /** 512..2^24-1 bytes; what is agreed on may be less. */
  readonly maxBurstLength: number
  /** At most `maxBurstLength`. */
  readonly firstBurstLength: number
  /** 1..65535. */
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
}
