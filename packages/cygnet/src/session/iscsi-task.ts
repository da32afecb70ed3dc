import { RESERVED_TAG } from '../pdu/bhs.ts'
import { ServiceResponse } from '../pdu/codes.ts'
import { encodeDataIn, encodeR2T } from '../pdu/data.ts'
import type { ScsiCommand } from '../pdu/scsi-command.ts'
import { encodeScsiResponse } from '../pdu/scsi-response.ts'
import { ScsiStatus } from '../scsi/status.ts'
import { type Nexus, ScsiTask, type TaskAttribute, type TaskOwner } from '../scsi/task.ts'
import type { DataOutTransfer, OutstandingR2T } from './data-out.ts'
import type { Outgoing, TransmitVector } from './transmit.ts'

/** What a task needs of the connection that it is allegiant to (RFC 7143 §4.2.5.1). */
export interface TaskConnection {
  /** Digests of outgoing PDUs. */
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  /** The initiator's MaxRecvDataSegmentLength. */
  readonly sendSegmentBytes: number
  readonly maxBurstLength: number
  readonly expCmdSN: number
  readonly maxCmdSN: number
  /** The next StatSN, not advanced. */
  readonly statSN: number
  /** The StatSN for a response that is leaving. */
  takeStatSN(): number
}

/** What a task needs of its session. */
export interface TaskSession extends TaskOwner {
  /** Its turn in the command order has come. */
  deliver(task: IscsiTask): void
  /** Its last PDU is about to leave: its place in the command window becomes free. */
  retire(task: IscsiTask): void
}

/** Where a task is in its life; each state is left in the direction of `ended` only. */
export type TaskState =
  /** Received; commands with lower numbers, or memory, are missing. */
  | 'waiting'
  /** With the logical unit. */
  | 'submitted'
  /** The logical unit is done; the initiator still owes data. */
  | 'owed'
  /** Its data and status wait for the socket. */
  | 'responding'
  /** No longer a task of its session. */
  | 'ended'

const RESIDUAL_NONE = 0

/** A SCSI command of a session: the SCSI task and the state of its data transfers. */
export class IscsiTask extends ScsiTask implements Outgoing {
  readonly connection: TaskConnection
  readonly command: ScsiCommand
  readonly dataOutTransfer: DataOutTransfer | undefined
  state: TaskState = 'waiting'
  /** Bytes that it has reserved of its session's buffer memory. */
  reservedBytes = 0
  /** Ended by task management or with its session: it gets no response. */
  aborting = false
  /** Aborted at its logical unit because its data is unusable: it ends with sense data (§11.4.7.2). */
  failing = false
  /** Told when the task has ended by task management. */
  onAborted: (() => void) | undefined
  /** It takes a place of the command window: delivered, and not immediate. */
  holdsPlace = false
  readonly #session: TaskSession
  #sentBytes = 0
  #dataInPdus = 0

  constructor(
    session: TaskSession,
    nexus: Nexus,
    connection: TaskConnection,
    command: ScsiCommand,
    lun: number,
    cdb: Uint8Array,
    dataInLimitBytes: number,
    dataOutTransfer: DataOutTransfer | undefined,
  ) {
    const dataOutLimitBytes = command.write ? command.expectedDataTransferLength : 0
    super(
      session,
      nexus,
      lun,
      command.initiatorTaskTag,
      command.attribute as TaskAttribute,
      cdb,
      dataInLimitBytes,
      dataOutLimitBytes,
    )
    this.#session = session
    this.connection = connection
    this.command = command
    this.dataOutTransfer = dataOutTransfer
  }

  /** Data-Out bytes that this command will take. */
  get wantedBytes(): number {
    return Math.min(this.dataOutLengthBytes, this.dataOutLimitBytes)
  }

  get isOwed(): boolean {
    return this.dataOutTransfer?.isOwed ?? false
  }

  /** Its data is part of what it has reserved of its session's memory. */
  get heldBytes(): number {
    return 0
  }

  deliver(): void {
    this.holdsPlace = !this.command.immediate
    this.#session.deliver(this)
  }

  /** One Data-In PDU, or the SCSI Response; GOOD status rides on the last Data-In (§11.7.3). */
  transmit(out: TransmitVector): boolean {
    const connection = this.connection
    const totalBytes = Math.min(this.dataInLengthBytes, this.dataInLimitBytes, this.dataIn.length)
    if (this.#sentBytes >= totalBytes) {
      this.#transmitResponse(out)
      return true
    }
    const offset = this.#sentBytes
    const burstLeftBytes = connection.maxBurstLength - (offset % connection.maxBurstLength)
    const lengthBytes = Math.min(totalBytes - offset, connection.sendSegmentBytes, burstLeftBytes)
    const isLast = offset + lengthBytes === totalBytes
    const hasStatus = isLast && this.status === ScsiStatus.good && !this.command.write
    if (hasStatus) this.#session.retire(this)
    const residual = hasStatus ? this.#residual(this.dataInLimitBytes, this.dataInLengthBytes) : RESIDUAL_NONE
    const at = out.beginPdu()
    encodeDataIn(out.view, at, {
      final: isLast || lengthBytes === burstLeftBytes,
      acknowledge: false,
      residualOverflow: residual > 0,
      residualUnderflow: residual < 0,
      hasStatus,
      status: ScsiStatus.good,
      dataSegmentLength: lengthBytes,
      lun: 0n,
      initiatorTaskTag: this.tag,
      targetTransferTag: RESERVED_TAG,
      statSN: hasStatus ? connection.takeStatSN() : 0,
      expCmdSN: connection.expCmdSN,
      maxCmdSN: connection.maxCmdSN,
      // R2Ts and Data-In of a bidirectional command share one numbering (§4.2.2.4); by now all R2Ts have been sent.
      dataSN: (this.dataOutTransfer?.r2tCount ?? 0) + this.#dataInPdus++,
      bufferOffset: offset,
      residualCount: Math.abs(residual),
    })
    const whole = offset === 0 && lengthBytes === this.dataIn.length
    const data = whole ? this.dataIn : this.dataIn.subarray(offset, offset + lengthBytes)
    out.endPdu(at, data, this.dataInBuffer, connection.headerDigest, connection.dataDigest)
    this.#sentBytes = offset + lengthBytes
    if (hasStatus) this.#releaseDataIn()
    return hasStatus
  }

  discard(): void {
    this.#releaseDataIn()
  }

  #transmitResponse(out: TransmitVector): void {
    const connection = this.connection
    this.#session.retire(this)
    const isBidirectional = this.command.read && this.command.write
    const readResidual = this.#residual(this.dataInLimitBytes, this.dataInLengthBytes)
    const writeResidual = this.#residual(this.dataOutLimitBytes, this.dataOutLengthBytes)
    const residual =
      isBidirectional || this.command.write
        ? writeResidual || (isBidirectional ? 0 : readResidual)
        : readResidual
    const senseSegment = this.#senseSegment()
    const at = out.beginPdu()
    encodeScsiResponse(out.view, at, {
      bidirectionalReadOverflow: isBidirectional && readResidual > 0,
      bidirectionalReadUnderflow: isBidirectional && readResidual < 0,
      residualOverflow: residual > 0,
      residualUnderflow: residual < 0,
      response: ServiceResponse.commandCompleted,
      status: this.status,
      dataSegmentLength: senseSegment?.length ?? 0,
      initiatorTaskTag: this.tag,
      snackTag: 0,
      statSN: connection.takeStatSN(),
      expCmdSN: connection.expCmdSN,
      maxCmdSN: connection.maxCmdSN,
      expDataSN: this.#dataInPdus,
      bidirectionalReadResidualCount: isBidirectional ? Math.abs(readResidual) : 0,
      residualCount: Math.abs(residual),
    })
    out.endPdu(at, senseSegment, undefined, connection.headerDigest, connection.dataDigest)
    this.#releaseDataIn()
  }

  /** Positive: the device wanted to transfer more than the initiator allowed; negative: less (§11.4.5). */
  #residual(limitBytes: number, lengthBytes: number): number {
    return lengthBytes - limitBytes
  }

  /** SenseLength and sense data (§11.4.7), for a CHECK CONDITION. */
  #senseSegment(): Uint8Array | undefined {
    if (this.sense.length === 0) return undefined
    const segment = new Uint8Array(2 + this.sense.length)
    segment[0] = this.sense.length >>> 8
    segment[1] = this.sense.length
    segment.set(this.sense, 2)
    return segment
  }

  #releaseDataIn(): void {
    this.dataInBuffer?.release()
    this.dataInBuffer = undefined
  }
}

/** An R2T that waits for the socket. It carries the next StatSN without advancing it (§11.8.3). */
export class QueuedR2T implements Outgoing {
  readonly heldBytes = 0
  readonly #task: IscsiTask
  readonly #r2t: OutstandingR2T

  constructor(task: IscsiTask, r2t: OutstandingR2T) {
    this.#task = task
    this.#r2t = r2t
  }

  transmit(out: TransmitVector): boolean {
    const { connection, command } = this.#task
    const at = out.beginPdu()
    encodeR2T(out.view, at, {
      lun: command.lun,
      initiatorTaskTag: command.initiatorTaskTag,
      targetTransferTag: this.#r2t.targetTransferTag,
      statSN: connection.statSN,
      expCmdSN: connection.expCmdSN,
      maxCmdSN: connection.maxCmdSN,
      r2tSN: this.#r2t.r2tSN,
      bufferOffset: this.#r2t.bufferOffset,
      desiredDataTransferLength: this.#r2t.lengthBytes,
    })
    out.endPdu(at, undefined, undefined, connection.headerDigest, connection.dataDigest)
    return true
  }

  discard(): void {}
}
