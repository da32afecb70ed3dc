import { joinSlices, viewOf } from '../../base/bytes.ts'
import type { Serial32 } from '../../base/serial32.ts'
import { decodeAsyncMessage } from '../../pdu/async-message.ts'
import { BHS_BYTES, initiatorTaskTagOf, opcodeOf, RESERVED_TAG } from '../../pdu/bhs.ts'
import { AsyncEvent, LogoutReason, LogoutResponseCode, SnackType } from '../../pdu/codes.ts'
import { decodeLogoutResponse, encodeLogoutRequest } from '../../pdu/logout.ts'
import { decodeNopIn, encodeNopOut } from '../../pdu/nop.ts'
import { Opcode, opcodeName } from '../../pdu/opcodes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { decodeReject } from '../../pdu/reject.ts'
import { decodeSnackRequest } from '../../pdu/snack.ts'
import { decodeTextResponse, encodeTextRequest } from '../../pdu/text-pdu.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import { type Closure, lostConnection, noticeOf, rejection, type RequestId } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import { InitiatorText, type TextRequestStep } from './initiator-text.ts'
import type { Negotiator, Pair } from '../negotiator.ts'

/** A request without an answer yet. */
type Request = { readonly id: RequestId; readonly deadline: number } & (
  | { readonly kind: 'ping'; readonly data: Uint8Array }
  /** Another connection is to be logged out, for recovery. */
  | { readonly kind: 'recovery-logout'; readonly cid: number }
  | {
      readonly kind: 'text'
      readonly text: InitiatorText
      readonly renegotiates: boolean
      /** MaxRecvDataSegmentLength that it declares: it counts when the target has answered. */
      readonly declaredBytes: number | undefined
    }
)

const NOTHING = new Uint8Array(0)
/** Most NOP-Outs whose answers may be late. */
const LATE_ANSWERS = 64
const ANNOUNCED = lostConnection('the target announced that it drops us')

/** Responses of the full feature phase. */
const handlers: Readonly<Record<number, (phase: InitiatorFullFeature, pdu: ReceivedPdu) => void>> = {
  [Opcode.nopIn]: (phase, pdu) => phase.nopIn(pdu),
  [Opcode.textResponse]: (phase, pdu) => phase.textResponse(pdu),
  [Opcode.logoutResponse]: (phase, pdu) => phase.logoutResponse(pdu),
  [Opcode.asyncMessage]: (phase, pdu) => phase.asyncMessage(pdu),
  [Opcode.reject]: (phase, pdu) => phase.reject(pdu),
}

/** What a rejected PDU may be that belongs to a task of the session. */
const taskRequests: ReadonlySet<number> = new Set([
  Opcode.scsiCommand,
  Opcode.dataOut,
  Opcode.taskManagementRequest,
])

/**
 * Requests and responses of the full feature phase at the initiator (RFC 7143 §4.2.5), apart from SCSI tasks.
 *
 * All requests here are immediate: only SCSI commands take part in the order of CmdSN, so none of these leaves a gap in it
 * when it is lost. (tgt closes the command window while an answer to a text request goes on: one that is not immediate
 * could not be ended.) A text request waits for the end of the one before it.
 */
export class InitiatorFullFeature {
  readonly #connection: InitiatorConnection
  readonly #limits: InitiatorLimits
  readonly #keys: Negotiator
  readonly #requests = new Map<number, Request>()
  #textInWork: RequestId | undefined
  #logoutTag: RequestId | undefined
  #keepaliveTag: RequestId | undefined
  /** Tags of NOP-Outs whose answer, if there is one, does not matter. */
  readonly #plugs = new Set<number>()

  constructor(connection: InitiatorConnection, limits: InitiatorLimits, keys: Negotiator) {
    this.#connection = connection
    this.#limits = limits
    this.#keys = keys
  }

  get canRequest(): boolean {
    return this.#logoutTag === undefined && this.#connection.state === 'full-feature'
  }

  /** Sends a text request; its answer is a `text` event. */
  text(pairs: readonly Pair[]): RequestId {
    return this.#requestText(pairs, false)
  }

  /** Declares a MaxRecvDataSegmentLength; the target's answer makes it count. */
  declareSegment(lengthBytes: number): void {
    this.#requestText([['MaxRecvDataSegmentLength', String(lengthBytes)]], true, lengthBytes)
  }

  /** Asks for an echo of `data`, of which as much is sent as the target takes; a `pong` event answers. */
  ping(data: Uint8Array = NOTHING): RequestId {
    const sent = data.slice(0, this.#connection.sendSegmentBytes)
    const id = this.#connection.owner.takeTag()
    this.#register({ id, kind: 'ping', data: sent, deadline: this.#newDeadline() })
    this.#sendNopOut(id, RESERVED_TAG, 0n, sent)
    return id
  }

  /** Closes the session or the connection (§11.14); a `logged-out` event answers. */
  logOut(reason: LogoutReason): void {
    if (!this.canRequest) return
    this.#logoutTag = this.#connection.owner.takeTag()
    this.#connection.setTimer('logout', this.#newDeadline())
    this.#sendLogout(this.#logoutTag, reason, this.#connection.cid)
  }

  /** Removes another connection for recovery; a `recovery-logout` event answers. */
  logOutOther(cid: number, expStatSN: Serial32): void {
    const id = this.#connection.owner.takeTag()
    this.#register({ id, kind: 'recovery-logout', cid, deadline: this.#newDeadline() })
    this.#sendLogout(id, LogoutReason.removeConnectionForRecovery, cid, expStatSN)
  }

  /** `lastExpStatSN`: of the connection to be closed (§11.14.4), where that is another one. */
  #sendLogout(
    initiatorTaskTag: number,
    reasonCode: LogoutReason,
    cid: number,
    lastExpStatSN?: Serial32,
  ): void {
    const { cmdSN } = this.#connection.owner.window
    this.#connection.request((view, at, expStatSN) =>
      encodeLogoutRequest(view, at, {
        immediate: true,
        reasonCode,
        initiatorTaskTag,
        cid: reasonCode === LogoutReason.closeSession ? 0 : cid,
        cmdSN,
        expStatSN: lastExpStatSN ?? expStatSN,
      }),
    )
  }

  /** Ends every request that has no answer. */
  failAll(failure: Closure): void {
    const ids = [...this.#requests.keys()]
    this.#requests.clear()
    for (const id of ids) this.#connection.emit({ kind: 'request-failed', request: id, failure })
  }

  receive(pdu: ReceivedPdu, opcode: number): void {
    const handler = handlers[opcode]
    if (handler === undefined) this.#connection.broken(`an unexpected ${opcodeName(opcode)}`)
    else handler(this, pdu)
  }

  #newDeadline(): number {
    return this.#connection.now + this.#limits.requestTimeoutMs
  }

  #register(request: Request): void {
    this.#requests.set(request.id, request)
    this.#setTimer()
  }

  #answered(tag: number): void {
    this.#requests.delete(tag)
    this.#setTimer()
    if (tag === this.#textInWork && this.canRequest) this.#beginText()
  }

  /** All wait equally long, so the oldest has the earliest deadline. */
  #setTimer(): void {
    const [oldest] = this.#requests.values()
    this.#connection.setTimer('request', oldest?.deadline)
  }

  // Text

  #requestText(pairs: readonly Pair[], renegotiates: boolean, declaredBytes?: number): RequestId {
    const id = this.#connection.owner.takeTag()
    const text = new InitiatorText(pairs, this.#limits.textBytes)
    this.#register({ id, kind: 'text', text, renegotiates, declaredBytes, deadline: this.#newDeadline() })
    if (this.#textInWork === undefined) this.#beginText()
    return id
  }

  /** §11.10: one text request at a time on a connection. */
  #beginText(): void {
    const next = [...this.#requests.values()].find((request) => request.kind === 'text')
    this.#textInWork = next?.id
    if (next?.kind !== 'text') return
    if (next.declaredBytes !== undefined) this.#connection.segmentOffered(next.declaredBytes)
    this.#sendText(next.id, next.text.next(this.#connection.sendSegmentBytes))
  }

  #sendText(initiatorTaskTag: number, step: TextRequestStep): void {
    const { cmdSN } = this.#connection.owner.window
    this.#connection.request(
      (view, at, expStatSN) =>
        encodeTextRequest(view, at, {
          immediate: true,
          final: step.final,
          continue: step.continue,
          dataSegmentLength: step.data.length,
          lun: 0n,
          initiatorTaskTag,
          targetTransferTag: step.targetTransferTag,
          cmdSN,
          expStatSN,
        }),
      step.data,
    )
  }

  textResponse(pdu: ReceivedPdu): void {
    const header = decodeTextResponse(pdu.view, pdu.at)
    if (!this.#connection.countIn(header)) return
    const request = this.#requests.get(header.initiatorTaskTag)
    if (request?.kind !== 'text' || request.id !== this.#textInWork) {
      this.#connection.broken('a Text Response that answers no request')
      return
    }
    const step = request.text.response(header, pdu, this.#connection.sendSegmentBytes)
    if (step.kind === 'error') this.#connection.broken(step.reason)
    else if (step.kind === 'request') this.#sendText(request.id, step)
    else {
      // What it declared counts before the next one begins.
      if (request.renegotiates) this.#takeDeclarations(step.pairs, request.declaredBytes)
      this.#answered(request.id)
      if (!request.renegotiates)
        this.#connection.emit({ kind: 'text', request: request.id, pairs: step.pairs })
    }
  }

  /** What the target declares outside of a login (§6.4) holds from here on. */
  #takeDeclarations(pairs: readonly Pair[], declaredBytes: number | undefined): void {
    const wrong = this.#keys.receive(pairs, 'fullFeature')
    if (wrong) {
      this.#connection.broken(`${wrong.key} ${wrong.reason}`)
      return
    }
    this.#keys.takeOutgoing()
    this.#keys.commit(true)
    this.#connection.sendSegmentBytes = this.#connection.connectionParameters.sendSegmentBytes
    if (declaredBytes !== undefined) this.#connection.segmentDeclared(declaredBytes)
  }

  // NOP

  #sendNopOut(
    initiatorTaskTag: number,
    targetTransferTag: number,
    lun: bigint,
    data = NOTHING,
    inPlaceOf?: Serial32,
  ): void {
    const immediate = inPlaceOf === undefined
    const cmdSN = inPlaceOf ?? this.#connection.owner.window.cmdSN
    this.#connection.request(
      (view, at, expStatSN) =>
        encodeNopOut(view, at, {
          immediate,
          dataSegmentLength: data.length,
          lun,
          initiatorTaskTag,
          targetTransferTag,
          cmdSN,
          expStatSN,
        }),
      data,
    )
  }

  nopIn(pdu: ReceivedPdu): void {
    const header = decodeNopIn(pdu.view, pdu.at)
    const isAnswer = header.initiatorTaskTag !== RESERVED_TAG
    if (!this.#connection.countIn(header, isAnswer)) return
    if (!isAnswer) {
      if (header.targetTransferTag === RESERVED_TAG) return
      this.#sendNopOut(RESERVED_TAG, header.targetTransferTag, header.lun)
      return
    }
    if (this.#plugs.delete(header.initiatorTaskTag)) return
    if (header.initiatorTaskTag === this.#keepaliveTag) {
      this.#keepaliveTag = undefined
      this.#connection.setTimer('nopAnswer', undefined)
      return
    }
    const request = this.#requests.get(header.initiatorTaskTag)
    if (request?.kind !== 'ping') this.#connection.broken('a NOP-In that answers no NOP-Out')
    else if (!isEcho(request.data.subarray(0, this.#limits.maxRecvDataSegmentLength), pdu.data))
      this.#connection.broken('a NOP-In that does not echo the ping data')
    else {
      this.#answered(request.id)
      this.#connection.emit({ kind: 'pong', request: request.id })
    }
  }

  /** Asks for a sign of life; whatever comes is one. */
  keepAlive(): void {
    // The answer to the last one may still come.
    if (this.#keepaliveTag !== undefined) this.#expectLate(this.#keepaliveTag)
    this.#keepaliveTag = this.#connection.owner.takeTag()
    this.#sendNopOut(this.#keepaliveTag, RESERVED_TAG, 0n)
  }

  /** A NOP-Out that asks for nothing: it carries ExpStatSN, and the LUN that the target wants to see. */
  acknowledge(lun: bigint): void {
    this.#sendNopOut(RESERVED_TAG, RESERVED_TAG, lun)
  }

  /** A NOP-Out with a CmdSN that is missing at the target. */
  plugGap(cmdSN: Serial32): void {
    const tag = this.#connection.owner.takeTag()
    this.#expectLate(tag)
    this.#sendNopOut(tag, RESERVED_TAG, 0n, NOTHING, cmdSN)
  }

  #expectLate(tag: number): void {
    this.#plugs.add(tag)
    const [oldest] = this.#plugs
    if (this.#plugs.size > LATE_ANSWERS && oldest !== undefined) this.#plugs.delete(oldest)
  }

  // The rest of what targets send

  logoutResponse(pdu: ReceivedPdu): void {
    const header = decodeLogoutResponse(pdu.view, pdu.at)
    if (!this.#connection.countIn(header)) return
    const { response, time2Wait, time2Retain } = header
    const grace = { time2WaitSeconds: time2Wait, time2RetainSeconds: time2Retain }
    const request = this.#requests.get(header.initiatorTaskTag)
    if (request?.kind === 'recovery-logout') {
      this.#answered(request.id)
      this.#connection.emit({ kind: 'recovery-logout', cid: request.cid, response, grace })
    } else if (this.#logoutTag === undefined || header.initiatorTaskTag !== this.#logoutTag) {
      this.#connection.broken('a Logout Response that answers no request')
    } else if (response === LogoutResponseCode.closed) {
      this.failAll(lostConnection('we logged out'))
      this.#connection.end()
    } else {
      const failure = lostConnection(`the target answered our logout with response ${response}`)
      this.#connection.drop(failure, 'connection', grace, 'logoutFailed')
    }
  }

  reject(pdu: ReceivedPdu): void {
    const header = decodeReject(pdu.view, pdu.at)
    if (!this.#connection.countIn(header)) return
    this.#connection.owner.counters.countReject(header.reason)
    const bytes = joinSlices(pdu.data)
    if (bytes.length < BHS_BYTES) {
      this.#connection.broken('a Reject without the header that it is about')
      return
    }
    const view = viewOf(bytes)
    const opcode = opcodeOf(view, 0)
    const tag = initiatorTaskTagOf(view, 0)
    if (taskRequests.has(opcode) || (opcode === Opcode.snackRequest && tag !== RESERVED_TAG))
      this.#connection.owner.taskPduRejected(this.#connection, view, header.reason)
    else if (opcode === Opcode.snackRequest) this.#snackRejected(view)
    else this.#requestRejected(view, opcode, header.reason)
  }

  /** A DataACK that comes too late does no harm; responses that are not to be had are lost. */
  #snackRejected(view: DataView): void {
    if (decodeSnackRequest(view, 0).type === SnackType.status)
      this.#connection.statusLost('and the target rejected our SNACK')
  }

  #requestRejected(view: DataView, opcode: number, reason: number): void {
    const failure = rejection(opcodeName(opcode), reason)
    const request = this.#requests.get(initiatorTaskTagOf(view, 0))
    if (request?.kind === 'recovery-logout') {
      this.#answered(request.id)
      this.#connection.emit({ kind: 'recovery-logout-rejected', cid: request.cid })
    } else if (request !== undefined) {
      this.#answered(request.id)
      this.#connection.emit({ kind: 'request-failed', request: request.id, failure })
    } else if (opcode === Opcode.logoutRequest && initiatorTaskTagOf(view, 0) === this.#logoutTag)
      this.#connection.drop(failure, 'connection', undefined, 'logoutFailed')
  }

  asyncMessage(pdu: ReceivedPdu): void {
    const message = decodeAsyncMessage(pdu.view, pdu.at)
    if (!this.#connection.countIn(message)) return
    const connection = this.#connection
    const notice = noticeOf(message, joinSlices(pdu.data))
    if (notice) connection.emit({ kind: 'notice', notice })
    const { asyncEvent, parameter1, parameter2, parameter3 } = message
    const grace = { time2WaitSeconds: parameter2, time2RetainSeconds: parameter3 }
    switch (asyncEvent) {
      case AsyncEvent.logoutRequest:
        connection.logoutRequested()
        connection.emit({ kind: 'logout-wanted', withinSeconds: parameter3 })
        return
      case AsyncEvent.connectionDrop:
        if (parameter1 === connection.cid) connection.drop(ANNOUNCED, 'connection', grace, 'dropAnnounced')
        else connection.emit({ kind: 'drop-announced', cid: parameter1, grace })
        return
      case AsyncEvent.sessionDrop:
        connection.drop(ANNOUNCED, 'session', grace, 'dropAnnounced')
        return
      case AsyncEvent.negotiationRequest: {
        const isPending = [...this.#requests.values()].some(({ kind }) => kind === 'text')
        if (this.canRequest && !isPending) this.#requestText([], true)
        return
      }
      case AsyncEvent.taskTermination:
        if (connection.owner.parameters?.taskReporting === 'FastAbort')
          connection.inOrder(message.statSN, () =>
            connection.owner.tasksTerminated(connection, message.lun, message.expCmdSN),
          )
        else
          connection.broken('it terminates tasks as TaskReporting=FastAbort allows, which was not agreed on')
    }
  }
}

function isEcho(sent: Uint8Array, slices: readonly Uint8Array[]): boolean {
  const received = joinSlices(slices)
  return received.length === sent.length && sent.every((byte, index) => byte === received[index])
}
