import { assert } from '../../base/assert.ts'
import { serialLess } from '../../base/serial32.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { ServiceResponse } from '../../pdu/codes.ts'
import { encodeDataIn, encodeR2T } from '../../pdu/data.ts'
import type { ScsiCommand } from '../../pdu/scsi-command.ts'
import { encodeScsiResponse } from '../../pdu/scsi-response.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import { type Nexus, ScsiTask, type TaskAttribute, type TaskOwner } from '../../scsi/task.ts'
import { DataInCut } from './data-in-cut.ts'
import type { DataOutTransfer, OutstandingR2T } from './data-out.ts'
import type { SessionConnection } from './session-connections.ts'
import { TaskRecovery } from './task-recovery.ts'
import type { Response, Outgoing, TransmitVector } from '../transmit.ts'

/** What a task needs of its session. */
export interface TaskSession extends TaskOwner {
  /** iSCSIProtocolLevel 2 (RFC 7144 §5.2.1). */
  readonly hasStatusQualifiers: boolean
  /** Its turn in the command order has come. */
  deliver(task: IscsiTask): void
  /** Its last PDU is about to leave: its place in the command window becomes free. */
  retire(task: IscsiTask): void
  /** Its last PDU has left. */
  left(task: IscsiTask): void
  /** Its response is acknowledged, or need not be kept. */
  forget(task: IscsiTask): void
}

/** Where a task is in its life. A lost connection leads back from `responding` to `done`, a SNACK from `sent` to `responding`. */
export type TaskState =
  /** Received; commands with lower numbers, or memory, are missing. */
  | 'waiting'
  /** With the logical unit. */
  | 'submitted'
  /** The logical unit is done; the initiator still owes data. */
  | 'owed'
  /** Its result waits for a connection. */
  | 'done'
  /** Its data and status wait for the socket. */
  | 'responding'
  /** The response has left and is not acknowledged; at ErrorRecoveryLevel 1 and 2. */
  | 'sent'
  /** No longer a task of its session. */
  | 'ended'

const RESIDUAL_NONE = 0

/** A SCSI command of a session: the SCSI task and the state of its data transfers. */
export class IscsiTask extends ScsiTask implements Outgoing, Response {
  readonly isOfTask = true
  /** The one that it is allegiant to; where it is suspended, the one that was. */
  connection: SessionConnection
  /** Its connection is gone: nothing is sent before another takes it over (§7.2.2). */
  isSuspended = false
  readonly command: ScsiCommand
  readonly dataOutTransfer: DataOutTransfer | undefined
  state: TaskState = 'waiting'
  /** Of the tasks of its session, which came first. */
  arrival = 0
  /** Bytes that it has reserved of its session's buffer memory. */
  reservedBytes = 0
  /** Ended by task management or with its session: it gets no response. */
  aborting = false
  /** The logical unit waits for its data. */
  wantsData = false
  /** The initiator is told in another way that it is terminated (TaskReporting=FastAbort). */
  isTerminationTold = false
  /** The initiator will not look at anything that is still to be sent for it. */
  isSilenced = false
  /** Aborted at its logical unit because its data is unusable: it ends with sense data (§11.4.7.2). */
  failing = false
  /** Told when its response has left for the first time. */
  onSent: (() => void) | undefined
  /** Told when the task has ended by task management. */
  onAborted: (() => void) | undefined
  /** Delivered in its turn: it takes a place of the command window. */
  holdsPlace = false
  /** Its place, of the command window or among the immediate commands, is not free again. */
  isPlaced = true
  /** From the first PDU of its answer on, where that may have to be sent again. */
  recovery: TaskRecovery | undefined
  readonly #session: TaskSession
  /** The data is no longer here. */
  #isDataGone = false
  #sentBytes = 0
  #dataInPdus = 0

  constructor(
    session: TaskSession,
    nexus: Nexus,
    connection: SessionConnection,
    command: ScsiCommand,
    lun: number,
    cdb: Uint8Array,
    dataInLimitBytes: number,
    dataOutTransfer: DataOutTransfer | undefined,
    priority: number,
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
      priority,
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

  /** Data-In bytes in all. */
  get totalBytes(): number {
    return Math.min(this.dataInLengthBytes, this.dataInLimitBytes, this.dataIn.length)
  }

  /** R2Ts and Data-In of a bidirectional command share one numbering (§4.2.2.4); Data-In begins after the last R2T. */
  get firstDataSN(): number {
    return this.dataOutTransfer?.r2tCount ?? 0
  }

  /** Data-In PDUs that have been sent. */
  get dataInPdus(): number {
    return this.#dataInPdus
  }

  deliver(): void {
    this.holdsPlace = !this.command.immediate
    this.#session.deliver(this)
  }

  /** One Data-In PDU, or the SCSI Response; GOOD status rides on the last Data-In (§11.7.3). */
  transmit(out: TransmitVector): boolean {
    // It may have been acknowledged since it was queued to be sent again.
    if (this.isSilenced) return true
    if (this.connection.isRecoverable) this.#keepCut()
    const totalBytes = this.totalBytes
    const offset = this.#sentBytes
    if (offset >= totalBytes) {
      this.#transmitResponse(out)
      return true
    }
    const { connection, recovery } = this
    const burstLeftBytes = connection.maxBurstLength - (offset % connection.maxBurstLength)
    const segmentBytes = recovery?.cut.segmentBytes ?? connection.sendSegmentBytes
    const lengthBytes = Math.min(totalBytes - offset, segmentBytes, burstLeftBytes)
    const isLast = offset + lengthBytes === totalBytes
    const hasStatus = isLast && this.#mayRideOnData()
    if (hasStatus) this.#session.retire(this)
    const statSN = hasStatus ? this.#takeStatSN() : 0
    if (recovery && hasStatus) recovery.isStatusOnData = true
    this.#encodeDataIn(out, this.#dataInPdus, offset, lengthBytes, hasStatus, statSN)
    this.#dataInPdus++
    this.#sentBytes = offset + lengthBytes
    if (hasStatus) this.#statusLeft()
    return hasStatus
  }

  #mayRideOnData(): boolean {
    return (
      this.status === ScsiStatus.good &&
      !this.command.write &&
      this.statusQualifier === 0 &&
      (this.recovery?.snackTag ?? 0) === 0 &&
      this.recovery?.statSN === undefined
    )
  }

  #encodeDataIn(
    out: TransmitVector,
    pdu: number,
    offset: number,
    lengthBytes: number,
    hasStatus: boolean,
    statSN: number,
  ): void {
    const { connection } = this
    const endBytes = offset + lengthBytes
    const isBurstEnd = endBytes % connection.maxBurstLength === 0
    const isFinal = isBurstEnd || endBytes === this.totalBytes
    const residual = hasStatus ? this.#residual(this.dataInLimitBytes, this.dataInLengthBytes) : RESIDUAL_NONE
    // §11.7.2: at most once in MaxBurstLength bytes, and not where the status will be acknowledged anyway.
    const ackTag =
      isFinal && !hasStatus && connection.isRecoverable && this.totalBytes > connection.maxBurstLength
        ? this.#dataAckTag()
        : RESERVED_TAG
    const at = out.beginPdu()
    encodeDataIn(out.view, at, {
      final: isFinal,
      acknowledge: ackTag !== RESERVED_TAG,
      residualOverflow: residual > 0,
      residualUnderflow: residual < 0,
      hasStatus,
      status: ScsiStatus.good,
      dataSegmentLength: lengthBytes,
      lun: ackTag === RESERVED_TAG ? 0n : this.command.lun,
      initiatorTaskTag: this.tag,
      targetTransferTag: ackTag,
      statSN,
      expCmdSN: connection.expCmdSN,
      maxCmdSN: connection.maxCmdSN,
      dataSN: this.firstDataSN + pdu,
      bufferOffset: offset,
      residualCount: Math.abs(residual),
    })
    const whole = offset === 0 && lengthBytes === this.dataIn.length
    const data = whole ? this.dataIn : this.dataIn.subarray(offset, endBytes)
    out.endPdu(at, data, this.dataInBuffer, connection.headerDigest, connection.dataDigest)
  }

  /** What is cut stays so, in order that it can be cut again, except where the initiator takes less than that now. */
  #keepCut(): void {
    const { connection } = this
    const { sendSegmentBytes, maxBurstLength } = connection
    if (!this.recovery) {
      this.recovery = new TaskRecovery(sendSegmentBytes, maxBurstLength, this.totalBytes)
    } else if (sendSegmentBytes < this.recovery.cut.segmentBytes) this.#cutAgain(this.recovery)
  }

  #cutAgain(recovery: TaskRecovery): void {
    const { sendSegmentBytes, maxBurstLength } = this.connection
    recovery.cut = new DataInCut(
      this.#dataInPdus,
      this.#sentBytes,
      sendSegmentBytes,
      maxBurstLength,
      this.totalBytes,
    )
  }

  #dataAckTag(): number {
    const recovery = this.recovery as TaskRecovery
    if (recovery.targetTransferTag === RESERVED_TAG) {
      recovery.targetTransferTag = this.connection.takeDataAckTag(this)
    }
    return recovery.targetTransferTag
  }

  #takeStatSN(): number {
    const { recovery } = this
    if (!recovery) return this.connection.takeStatSN(this)
    recovery.statSN ??= this.connection.takeStatSN(this)
    return recovery.statSN
  }

  // Sending again, at ErrorRecoveryLevel 1 and 2

  /** Whether Data-In PDU `pdu` was sent and is still here as it was, and the initiator still takes PDUs of its size. */
  canRepeatData(pdu: number): boolean {
    const { recovery } = this
    if (recovery === undefined || this.#isDataGone) return false
    if (pdu < recovery.cut.firstPdu || pdu >= this.#dataInPdus) return false
    return recovery.cut.segmentBytes <= this.connection.sendSegmentBytes
  }

  repeatData(out: TransmitVector, pdu: number): void {
    const recovery = this.recovery as TaskRecovery
    const offset = recovery.cut.offsetOf(pdu)
    const hasStatus = recovery.isStatusOnData && pdu === this.#dataInPdus - 1
    const statSN = hasStatus ? (recovery.statSN as number) : 0
    this.#encodeDataIn(out, pdu, offset, recovery.cut.offsetOf(pdu + 1) - offset, hasStatus, statSN)
  }

  /** A DataACK: the first `pdus` Data-In PDUs have arrived. */
  acknowledgeData(pdus: number): void {
    const recovery = this.recovery as TaskRecovery
    if (pdus <= recovery.ackedPdus || pdus < recovery.cut.firstPdu) return
    recovery.ackedPdus = pdus
    recovery.ackedBytes = recovery.cut.offsetOf(pdus)
  }

  /** Whether the data that is not acknowledged can be cut anew and sent. */
  get canResend(): boolean {
    return !this.#isDataGone || this.totalBytes === 0
  }

  /** R-Data SNACK (§11.16.3): sends the unacknowledged data again, cut anew. True where it has to be queued. */
  resend(snackTag: number): boolean {
    const recovery = this.recovery as TaskRecovery
    recovery.snackTag = snackTag
    recovery.isStatusOnData = false
    this.#rewind(recovery, recovery.ackedPdus, recovery.ackedBytes)
    return this.state === 'sent'
  }

  /** TASK REASSIGN (§7.2.2): its data goes on from `expDataSN`, 0 for what was acknowledged last, and its status follows. */
  resendOn(connection: SessionConnection, expDataSN: number): void {
    this.connection = connection
    this.isSuspended = false
    const { recovery } = this
    if (!recovery) return
    recovery.snackTag = 0
    recovery.statSN = undefined
    recovery.isStatusOnData = false
    recovery.targetTransferTag = RESERVED_TAG
    const pdus = expDataSN - this.firstDataSN
    if (pdus >= recovery.cut.firstPdu && pdus <= this.#dataInPdus) this.acknowledgeData(pdus)
    if (this.#isDataGone && recovery.ackedBytes < this.totalBytes) {
      // All that is left is the status.
      this.#sentBytes = this.totalBytes
    } else this.#rewind(recovery, recovery.ackedPdus, recovery.ackedBytes)
  }

  /** Nothing of it is left but its status: what became of the data that was not acknowledged is said there. */
  get isDataLost(): boolean {
    return this.#isDataGone && (this.recovery?.ackedBytes ?? 0) < this.totalBytes
  }

  #rewind(recovery: TaskRecovery, pdus: number, offset: number): void {
    this.#dataInPdus = pdus
    this.#sentBytes = offset
    this.#cutAgain(recovery)
  }

  get isRepeatable(): boolean {
    return !this.recovery?.isStatusOnData || this.canRepeatData(this.#dataInPdus - 1)
  }

  repeat(out: TransmitVector, statSN: number): void {
    if (this.recovery?.isStatusOnData) this.repeatData(out, this.#dataInPdus - 1)
    else this.#encodeResponse(out, statSN)
  }

  forget(): void {
    this.#session.forget(this)
  }

  /** Gives up all that is not acknowledged of its data. */
  dropData(): void {
    this.#isDataGone = true
    this.#sentBytes = this.totalBytes
    this.releaseDataIn()
  }

  discard(): void {
    this.#isDataGone = true
    this.releaseDataIn()
  }

  #transmitResponse(out: TransmitVector): void {
    this.#session.retire(this)
    this.#encodeResponse(out, this.#takeStatSN())
    this.#statusLeft()
  }

  #encodeResponse(out: TransmitVector, statSN: number): void {
    const { connection } = this
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
      snackTag: this.recovery?.snackTag ?? 0,
      statSN,
      expCmdSN: connection.expCmdSN,
      maxCmdSN: connection.maxCmdSN,
      expDataSN: this.#dataInPdus,
      bidirectionalReadResidualCount: isBidirectional ? Math.abs(readResidual) : 0,
      residualCount: Math.abs(residual),
    })
    if (this.#session.hasStatusQualifiers) out.view.setUint16(at + 8, this.statusQualifier)
    out.endPdu(at, senseSegment, undefined, connection.headerDigest, connection.dataDigest)
  }

  #statusLeft(): void {
    if (this.state === 'ended') this.releaseDataIn()
    else this.#session.left(this)
    const { onSent } = this
    this.onSent = undefined
    onSent?.()
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

  releaseDataIn(): void {
    if (this.dataInBuffer) this.#isDataGone = true
    this.dataInBuffer?.release()
    this.dataInBuffer = undefined
  }
}

/** Whether it was sent before the request with that CmdSN. */
export const isBefore = ({ command }: IscsiTask, cmdSN: number): boolean =>
  command.immediate || serialLess(command.cmdSN, cmdSN)

/** An R2T that waits for the socket. It carries the next StatSN without advancing it (§11.8.3). */
export class QueuedR2T implements Outgoing {
  readonly heldBytes = 0
  readonly isOfTask = true
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
    this.#r2t.isSent = true
    return true
  }

  discard(): void {}
}

/** A run of Data-In PDUs that a SNACK asked for. */
export class DataInRun implements Outgoing {
  readonly heldBytes = 0
  readonly isOfTask = true
  readonly #task: IscsiTask
  readonly #cut: DataInCut | undefined
  #next: number
  readonly #end: number

  /** PDUs `first` to `end`, without the latter. */
  constructor(task: IscsiTask, first: number, end: number) {
    assert(first < end, 'an empty run of Data-In')
    this.#task = task
    this.#cut = task.recovery?.cut
    this.#next = first
    this.#end = end
  }

  transmit(out: TransmitVector): boolean {
    const task = this.#task
    // Since it was queued the task may have been acknowledged, or cut anew.
    if (task.recovery?.cut !== this.#cut || !task.canRepeatData(this.#next)) return true
    task.repeatData(out, this.#next++)
    return this.#next >= this.#end
  }

  discard(): void {}
}
