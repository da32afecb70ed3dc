import { joinSlices } from '../../base/bytes.ts'
import type { Instant } from '../../base/clock.ts'
import type { Serial32 } from '../../base/serial32.ts'
import { type Ahs, encodeAhs, encodedAhsLength } from '../../pdu/ahs.ts'
import { BHS_BYTES, RESERVED_TAG } from '../../pdu/bhs.ts'
import { encodeDataOut } from '../../pdu/data.ts'
import { encodeScsiCommand } from '../../pdu/scsi-command.ts'
import { encodeLun } from '../../scsi/lun.ts'
import { DataInReceiver } from './data-in-receiver.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import type { SessionParameters } from '../parameters.ts'
import type { ScsiFailure, ScsiRequest } from './scsi-request.ts'
import { type OpenResult, taskAborted, taskTimedOut } from './scsi-result.ts'
import type { Outgoing, TransmitVector } from '../transmit.ts'

/** Where a task is in its life. */
export type InitiatorTaskState =
  /** Not on the wire yet, or not any more: for the command window, or for the session to be opened again. */
  | 'waiting'
  /** Its command was sent, and it is allegiant to a connection. */
  | 'active'
  /** Its connection is gone: it may be reassigned (ErrorRecoveryLevel 2). */
  | 'suspended'
  /** Its request has its result. */
  | 'done'

/** A SCSI Response that waits for the rest of its data. */
export interface HeldResponse {
  readonly statSN: Serial32
  readonly result: OpenResult
}

/** A deadline that is set when deadlines are looked at next. */
export const SOON: Instant = 0

const CDB_BYTES = 16
const NOTHING = new Uint8Array(0)

/**
 * A SCSI request on its way: the command PDU with its immediate data and the unsolicited Data-Out behind it (which are
 * one thing to send), and what is known of its data. The session's `ScsiTasks` decides about it.
 */
export class InitiatorTask implements Outgoing {
  readonly heldBytes = 0
  readonly request: ScsiRequest
  readonly lun: bigint
  /** Order of the requests, over all times that the session is opened. */
  readonly order: number
  initiatorTaskTag: number
  state: InitiatorTaskState = 'waiting'
  /** Valid once it was sent. */
  cmdSN: Serial32 = 0
  connection: InitiatorConnection | undefined
  /** Where TASK REASSIGN asks for it, while it is suspended. */
  reassignedTo: InitiatorConnection | undefined
  receiver: DataInReceiver
  /** What an R2T may have asked for, and how many of them are not answered in full. */
  outstandingR2Ts = 0
  /** The highest offset that a Data-Out was or will be sent up to; asked for again below it. */
  sentBytes = 0
  /** Data-Out is not sent any more: the target ends the task. */
  isStopped = false
  heldResponse: HeldResponse | undefined
  /** Some of its data is not to be had any more. */
  isDataLost = false
  /** Of the last R-Data SNACK; its response must carry it. 0: none. */
  snackTag = 0
  /** StatSN of a response that came before the one with that tag, and that stands for it until it comes. */
  keptStatSN: Serial32 | undefined
  /** `connection.segmentation` when it was sent. */
  segmentation = 0
  /** How often the same was asked for by SNACK without an answer. */
  snacks = 0
  /** How often the command was sent again in its session, and the request in a new one. */
  retries = 0
  replays = 0
  /** Somebody asked for its end, and why. */
  endCode: 'TASK_ABORTED' | 'TASK_TIMEOUT' | undefined
  // Deadlines; 0: none yet, Infinity: never. Set by the first look after what they are about.
  deadline: Instant = 0
  snackDeadline: Instant = Infinity
  retryDeadline: Instant = 0
  /** The target said that it did not reassign the task, and shows until then whether it did. */
  proofDeadline: Instant = Infinity
  /** A DataACK is owed when the gaps are filled (§11.16.2): the target transfer tag to answer with. */
  owedAckTag: number | undefined
  #parameters: SessionParameters | undefined
  #isQueued = false
  #isCommandSent = false
  #immediateBytes = 0
  #unsolicitedEnd = 0
  #dataSN = 0

  constructor(request: ScsiRequest, order: number, initiatorTaskTag: number, aheadPdus: number) {
    this.request = request
    this.order = order
    this.initiatorTaskTag = initiatorTaskTag
    this.lun = encodeLun(request.lun)
    this.receiver = new DataInReceiver(request.dataIn, aheadPdus)
  }

  /** Bytes that it moves, for spreading tasks over connections; a command counts too. */
  get weightBytes(): number {
    return this.request.dataOutBytes + (this.request.dataIn?.length ?? 0) + BHS_BYTES
  }

  /** The result of a request whose end was asked for. */
  get endResult(): ScsiFailure {
    return this.endCode === 'TASK_TIMEOUT' ? taskTimedOut : taskAborted
  }

  get isRead(): boolean {
    return this.request.dataIn !== undefined
  }

  get isWrite(): boolean {
    return this.request.dataOutBytes > 0
  }

  /** Sends the command on `connection`; again, where its CmdSN was never received (§7.2.1). */
  send(connection: InitiatorConnection, parameters: SessionParameters): void {
    this.#parameters = parameters
    if (this.#isQueued && this.connection === connection) return
    const { dataOutBytes } = this.request
    const firstBurstBytes = Math.min(dataOutBytes, parameters.firstBurstLength)
    this.connection = connection
    this.segmentation = connection.segmentation
    this.#immediateBytes = parameters.immediateData
      ? Math.min(firstBurstBytes, connection.sendSegmentBytes)
      : 0
    this.#unsolicitedEnd = parameters.initialR2T ? this.#immediateBytes : firstBurstBytes
    this.sentBytes = Math.max(this.sentBytes, this.#unsolicitedEnd)
    this.#isCommandSent = false
    this.#dataSN = 0
    this.#isQueued = true
    connection.send(this)
  }

  /** It starts from the beginning, in a new session or as a new command. */
  renew(initiatorTaskTag: number, aheadPdus: number): void {
    // What of it still waits for the socket of its connection must not go out there in its new life.
    if (this.#isQueued) this.connection?.withdraw(this)
    this.initiatorTaskTag = initiatorTaskTag
    this.state = 'waiting'
    this.connection = undefined
    this.reassignedTo = undefined
    this.receiver = new DataInReceiver(this.request.dataIn, aheadPdus)
    this.outstandingR2Ts = 0
    this.sentBytes = 0
    this.isStopped = false
    this.heldResponse = undefined
    this.isDataLost = false
    this.snackTag = 0
    this.keptStatSN = undefined
    this.snacks = 0
    this.retries = 0
    this.deadline = 0
    this.snackDeadline = Infinity
    this.retryDeadline = 0
    this.proofDeadline = Infinity
    this.owedAckTag = undefined
    this.#isQueued = false
  }

  /** Bytes [start, end) of its Data-Out. Where they lie in one slice, they are not copied. */
  dataOut(start: number, end: number): Uint8Array {
    let at = 0
    const parts: Uint8Array[] = []
    for (const slice of this.request.dataOut) {
      const from = Math.max(start - at, 0)
      const to = Math.min(end - at, slice.length)
      if (from < to) {
        if (to - from === end - start) return slice.subarray(from, to)
        parts.push(slice.subarray(from, to))
      }
      at += slice.length
      if (at >= end) break
    }
    return joinSlices(parts)
  }

  // Outgoing

  transmit(out: TransmitVector): boolean {
    const connection = this.connection
    const parameters = this.#parameters
    // Ended, or taken elsewhere, while it waited for the socket.
    if (this.state !== 'active' || connection === undefined || parameters === undefined) return this.#sent()
    if (!this.#isCommandSent) {
      this.#isCommandSent = true
      this.#sendCommand(out, connection, parameters)
      this.#offset = this.#immediateBytes
    } else if (!this.isStopped) {
      const end = Math.min(this.#unsolicitedEnd, this.#offset + connection.sendSegmentBytes)
      const isFinal = end === this.#unsolicitedEnd
      sendDataOut(out, connection, this, RESERVED_TAG, this.#dataSN++, this.#offset, end, isFinal)
      this.#offset = end
    }
    return this.#offset >= this.#unsolicitedEnd || this.isStopped ? this.#sent() : false
  }

  discard(): void {
    this.#isQueued = false
  }

  #offset = 0

  #sent(): true {
    this.#isQueued = false
    return true
  }

  #sendCommand(out: TransmitVector, connection: InitiatorConnection, parameters: SessionParameters): void {
    const { request } = this
    const { view } = out
    const at = out.beginPdu()
    const ahs = ahsOf(request)
    const ahsBytes = ahs === undefined ? 0 : encodedAhsLength(ahs)
    encodeScsiCommand(view, at, {
      immediate: false,
      final: this.#unsolicitedEnd === this.#immediateBytes,
      read: this.isRead,
      write: this.isWrite,
      attribute: request.attribute,
      totalAhsLength: ahsBytes / 4,
      dataSegmentLength: this.#immediateBytes,
      lun: this.lun,
      initiatorTaskTag: this.initiatorTaskTag,
      expectedDataTransferLength: this.isWrite ? request.dataOutBytes : (request.dataIn?.length ?? 0),
      cmdSN: this.cmdSN,
      expStatSN: connection.expStatSN,
      cdb: request.cdb,
    })
    // RFC 7144 §5.1.1
    if (parameters.iSCSIProtocolLevel >= 2) view.setUint8(at + 2, request.priority << 4)
    if (ahs !== undefined) encodeAhs(view, at + BHS_BYTES, ahs)
    const data = this.#immediateBytes > 0 ? this.dataOut(0, this.#immediateBytes) : NOTHING
    out.endPdu(at, data, undefined, connection.headerDigest, connection.dataDigest, ahsBytes)
  }
}

/** §11.2.2: what does not fit into the BHS of a command. */
function ahsOf({ cdb, dataOutBytes, dataIn }: ScsiRequest): Ahs | undefined {
  const extendedCdb = cdb.length > CDB_BYTES ? cdb.subarray(CDB_BYTES) : undefined
  const isBidirectional = dataOutBytes > 0 && dataIn !== undefined
  if (extendedCdb === undefined && !isBidirectional) return undefined
  return {
    extendedCdb,
    bidirectionalReadExpectedDataTransferLength: isBidirectional ? dataIn.length : undefined,
  }
}

/** One Data-Out PDU of a task, with bytes [start, end) of its data. */
export function sendDataOut(
  out: TransmitVector,
  connection: InitiatorConnection,
  task: InitiatorTask,
  targetTransferTag: number,
  dataSN: number,
  start: number,
  end: number,
  final: boolean,
): void {
  const at = out.beginPdu()
  encodeDataOut(out.view, at, {
    final,
    dataSegmentLength: end - start,
    lun: targetTransferTag === RESERVED_TAG ? 0n : task.lun,
    initiatorTaskTag: task.initiatorTaskTag,
    targetTransferTag,
    expStatSN: connection.expStatSN,
    dataSN,
    bufferOffset: start,
  })
  out.endPdu(at, task.dataOut(start, end), undefined, connection.headerDigest, connection.dataDigest)
}
