import { assert } from '../../base/assert.ts'
import { totalLength } from '../../base/bytes.ts'
import { MAX_LUN } from '../../scsi/lun.ts'
import { TaskAttribute } from '../../scsi/task.ts'

/** Longest CDB that the length field of SPC-5 §4.2.3 can describe; beyond 16 bytes it travels in an AHS. */
const MAX_CDB_BYTES = 260
const NO_SLICES: readonly Uint8Array[] = []

export interface ScsiRequestOptions {
  /** 0..16383 */
  readonly lun: number
  /** 1..260 bytes. */
  readonly cdb: Uint8Array
  /** Default: SIMPLE. */
  readonly attribute?: TaskAttribute
  /** Command priority (SAM-5 §8.7), 0 (none) to 15 (the lowest); sent where the target agreed to iSCSIProtocolLevel 2. */
  readonly priority?: number
  /** Data for the target. The bytes must not change before the request is done. */
  readonly dataOut?: readonly Uint8Array[]
  /** Where data from the target goes: its length is how much is expected at most. */
  readonly dataIn?: Uint8Array
  /** Time until the task is aborted, in milliseconds; 0: never. Default: the session's policy. */
  readonly timeoutMs?: number
  /**
   * `safe`: the command may be executed again if the session was lost and nobody knows whether it was executed (reads;
   * writes that nothing else may have overtaken). `never`, the default: the request fails with TASK_LOST then.
   */
  readonly replay?: 'safe' | 'never'
}

/** What became of a request. */
export type ScsiResult = ScsiStatusResult | ScsiFailure

/** The device server answered. */
export interface ScsiStatusResult {
  readonly kind: 'status'
  /** `ScsiStatus`. */
  readonly status: number
  /** SAM-5 §5.3.2; 0 where the target does not send it (iSCSIProtocolLevel below 2). */
  readonly statusQualifier: number
  /** Sense data, empty where there is none. */
  readonly sense: Uint8Array
  /** Bytes from the start of `dataIn` that the target has filled. */
  readonly dataInBytes: number
  /** Bytes that were expected and not sent by the target; negative: so many more were there than `dataIn` takes. */
  readonly dataInResidualBytes: number
  /** Bytes of `dataOut` that the target did not take; negative: so many more it would have taken. */
  readonly dataOutResidualBytes: number
}

/**
 * There is no answer. Codes: TASK_ABORTED (by `abort`, or by a task management function), TASK_TIMEOUT, TASK_LOST (the
 * session was lost when the command was on its way), TARGET_FAILURE (a service response other than "completed"),
 * REQUEST_REJECTED, PROTOCOL_ERROR (the target broke the protocol in this command), SESSION_CLOSED (we logged out, or
 * never were logged in), SESSION_LOST (it could not be opened again), CONNECTION_LOST.
 */
export interface ScsiFailure {
  readonly kind: 'failed'
  /** Stable, for programs. */
  readonly code: string
  /** One sentence. */
  readonly message: string
}

/** One SCSI command of an initiator, as a caller wants it. May be executed once. */
export class ScsiRequest {
  readonly lun: number
  readonly cdb: Uint8Array
  readonly attribute: TaskAttribute
  readonly priority: number
  readonly dataOut: readonly Uint8Array[]
  readonly dataOutBytes: number
  /** Undefined where no data is expected. */
  readonly dataIn: Uint8Array | undefined
  readonly timeoutMs: number | undefined
  readonly replay: 'safe' | 'never'
  /** Called exactly once, and never before `execute` has returned. */
  readonly done: (result: ScsiResult) => void

  constructor(options: ScsiRequestOptions, done: (result: ScsiResult) => void) {
    const { lun, cdb, priority = 0, dataOut = NO_SLICES, dataIn } = options
    assert(Number.isInteger(lun) && lun >= 0 && lun <= MAX_LUN, 'a LUN is 0..16383')
    assert(cdb.length > 0 && cdb.length <= MAX_CDB_BYTES, 'a CDB has 1 to 260 bytes')
    assert(Number.isInteger(priority) && priority >= 0 && priority <= 15, 'a priority is 0..15')
    this.lun = lun
    this.cdb = cdb
    this.attribute = options.attribute ?? TaskAttribute.simple
    this.priority = priority
    this.dataOut = dataOut
    this.dataOutBytes = totalLength(dataOut)
    this.dataIn = dataIn !== undefined && dataIn.length > 0 ? dataIn : undefined
    this.timeoutMs = options.timeoutMs
    this.replay = options.replay ?? 'never'
    this.done = done
  }
}
