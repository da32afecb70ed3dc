import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { RejectReason, SnackType } from '../../pdu/codes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { decodeSnackRequest, type SnackRequest } from '../../pdu/snack.ts'
import { serialAdd, serialDistance } from '../../base/serial32.ts'
import { faultTask } from './data-out-fault.ts'
import { DataInRun, type IscsiTask, QueuedR2T } from './iscsi-task.ts'
import type { RetainedResponses } from './retained-responses.ts'
import type { TargetConnection } from './target-connection.ts'
import type { TargetSession } from './target-session.ts'
import type { Outgoing, TransmitVector } from '../transmit.ts'

const SETTLED_TAGS_KEPT = 64

/**
 * SNACK Requests (RFC 7143 §11.16), at ErrorRecoveryLevel 1 and 2. What was never sent, or is acknowledged, is a protocol
 * error; what was not kept is a SNACK reject, and the initiator falls back to the next level.
 */
export class SnackService {
  readonly #connection: TargetConnection
  readonly #session: TargetSession
  readonly #responses: RetainedResponses
  /** Tasks that asked for a DataACK, by its target transfer tag. */
  readonly #dataAckTags = new Map<number, IscsiTask>()
  /** Tags of tasks that have been acknowledged in whole since: their DataACKs may still be on their way. */
  readonly #settledTags: number[] = []

  constructor(connection: TargetConnection, session: TargetSession, responses: RetainedResponses) {
    this.#connection = connection
    this.#session = session
    this.#responses = responses
  }

  addDataAckTag(tag: number, task: IscsiTask): void {
    this.#dataAckTags.set(tag, task)
  }

  forgetDataAckTag(tag: number): void {
    if (!this.#dataAckTags.delete(tag)) return
    this.#settledTags.push(tag)
    if (this.#settledTags.length > SETTLED_TAGS_KEPT) this.#settledTags.shift()
  }

  receive(pdu: ReceivedPdu): void {
    const snack = decodeSnackRequest(pdu.view, pdu.at)
    if (snack.type === SnackType.status) this.#status(pdu, snack)
    else if (snack.type === SnackType.dataAck) this.#dataAck(pdu, snack)
    else if (snack.type === SnackType.dataOrR2T || snack.type === SnackType.rData) this.#data(pdu, snack)
    else this.#reject(pdu, RejectReason.invalidPduField, `SNACK of the unknown type ${snack.type}`)
  }

  #status(pdu: ReceivedPdu, { begRun, runLength }: SnackRequest): void {
    const { statSN } = this.#connection
    const isAll = begRun === 0 && runLength === 0
    const first = isAll ? this.#responses.first : begRun
    const end = runLength === 0 ? statSN : serialAdd(first, runLength)
    const count = serialDistance(first, end)
    if (isAll && count === 0) return
    if (
      count <= 0 ||
      serialDistance(end, statSN) < 0 ||
      this.#connection.hasAcknowledged(serialAdd(first, 1))
    ) {
      const explanation = 'a SNACK for responses that were not sent, or are acknowledged'
      this.#reject(pdu, RejectReason.protocolError, explanation)
      return
    }
    for (let next = first; next !== end; next = serialAdd(next, 1)) {
      if (this.#responses.get(next)?.isRepeatable) continue
      this.#reject(pdu, RejectReason.snackReject, `the response with StatSN ${next} was not kept`)
      return
    }
    this.#session.counters.statusSnack++
    this.#connection.send(new ResponseRun(this.#responses, first, end))
  }

  #dataAck(pdu: ReceivedPdu, snack: SnackRequest): void {
    if (this.#settledTags.includes(snack.targetTransferTag)) return
    const task = this.#dataAckTags.get(snack.targetTransferTag)
    const pdus = snack.begRun - (task?.firstDataSN ?? 0)
    if (
      !task ||
      task.command.lun !== snack.lun ||
      snack.runLength !== 0 ||
      pdus < 0 ||
      pdus > task.dataInPdus
    ) {
      this.#reject(pdu, RejectReason.invalidDataAck, 'a DataACK for data that was not sent')
      return
    }
    this.#session.counters.dataAck++
    task.acknowledgeData(pdus)
  }

  #data(pdu: ReceivedPdu, snack: SnackRequest): void {
    const task = this.#session.task(snack.initiatorTaskTag)
    if (!task || task.connection !== this.#connection) {
      const explanation = 'a SNACK whose initiator task tag names no task of the connection'
      this.#reject(pdu, RejectReason.protocolError, explanation)
    } else if (snack.type === SnackType.rData) this.#rData(pdu, snack, task)
    else if (!this.#r2ts(snack, task)) this.#dataIn(pdu, snack, task)
  }

  /** R2Ts that a Data/R2T SNACK asks for; false where it asks for Data-In, or for what was not sent. */
  #r2ts({ begRun, runLength }: SnackRequest, task: IscsiTask): boolean {
    if (begRun + runLength > task.firstDataSN + task.dataInPdus) return false
    const r2t = task.dataOutTransfer?.firstOutstanding
    if (!r2t?.isSent || r2t.r2tSN < begRun || (runLength > 0 && r2t.r2tSN >= begRun + runLength)) {
      // It has been superseded or answered meanwhile: a recovery R2T follows, or the status.
      const isSuperseded = runLength > 0 && begRun + runLength <= task.firstDataSN && !task.isDone
      if (isSuperseded) this.#session.counters.r2tSnack++
      return isSuperseded
    }
    this.#session.counters.r2tSnack++
    this.#connection.send(new QueuedR2T(task, r2t))
    return true
  }

  #dataIn(pdu: ReceivedPdu, { begRun, runLength }: SnackRequest, task: IscsiTask): void {
    const { firstDataSN, dataInPdus, recovery } = task
    const isAll = begRun === 0 && runLength === 0
    const first = isAll ? (recovery?.ackedPdus ?? 0) : begRun - firstDataSN
    const end = runLength === 0 ? dataInPdus : first + runLength
    if (!recovery || first < recovery.ackedPdus || end > dataInPdus || first >= end) {
      // §11.17.2: with the number that would be sent next.
      const explanation = 'a SNACK for data that was not sent, or is acknowledged'
      this.#connection.reject(pdu, RejectReason.protocolError, explanation, firstDataSN + dataInPdus)
      return
    }
    if (!task.canRepeatData(first)) {
      this.#notKept(pdu, task)
      return
    }
    this.#session.counters.dataSnack++
    this.#connection.send(new DataInRun(task, first, end))
  }

  #rData(pdu: ReceivedPdu, snack: SnackRequest, task: IscsiTask): void {
    const { targetTransferTag: tag, begRun, runLength } = snack
    if (tag === 0 || tag === RESERVED_TAG || begRun !== 0 || runLength !== 0) {
      this.#reject(pdu, RejectReason.invalidPduField, 'an R-Data SNACK with a bad SNACK tag or run')
    } else if (!task.recovery) {
      this.#reject(pdu, RejectReason.protocolError, 'an R-Data SNACK for data that was not sent')
    } else if (!task.canResend) this.#notKept(pdu, task)
    else {
      this.#session.counters.rDataSnack++
      if (task.resend(tag)) this.#session.resume(task)
    }
  }

  /** §7.8 a: where the status has not been sent, it is that of a rejected SNACK. */
  #notKept(pdu: ReceivedPdu, task: IscsiTask): void {
    this.#reject(pdu, RejectReason.snackReject, 'the data was not kept')
    this.#session.counters.fallbackWithinCommand++
    if (task.state !== 'responding' || task.recovery?.statSN !== undefined) return
    task.dropData()
    faultTask(task, 'snack-rejected')
  }

  #reject(pdu: ReceivedPdu, reason: RejectReason, explanation: string): void {
    this.#connection.reject(pdu, reason, explanation)
  }
}

/** Responses that are sent again. */
class ResponseRun implements Outgoing {
  readonly heldBytes = 0
  readonly #responses: RetainedResponses
  #next: number
  readonly #end: number

  constructor(responses: RetainedResponses, first: number, end: number) {
    this.#responses = responses
    this.#next = first
    this.#end = end
  }

  transmit(out: TransmitVector): boolean {
    // Since it was queued, some may have been acknowledged.
    const response = this.#responses.get(this.#next)
    if (response?.isRepeatable) response.repeat(out, this.#next)
    this.#next = serialAdd(this.#next, 1)
    return this.#next === this.#end
  }

  discard(): void {}
}
