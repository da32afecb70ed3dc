import { joinSlices, viewOf } from '../base/bytes.ts'
import { decodeAsyncMessage } from '../pdu/async-message.ts'
import { BHS_BYTES, initiatorTaskTagOf, opcodeOf, RESERVED_TAG } from '../pdu/bhs.ts'
import { AsyncEvent, LogoutReason, LogoutResponseCode } from '../pdu/codes.ts'
import { decodeLogoutResponse, encodeLogoutRequest } from '../pdu/logout.ts'
import { decodeNopIn, encodeNopOut } from '../pdu/nop.ts'
import { Opcode, opcodeName } from '../pdu/opcodes.ts'
import type { ReceivedPdu } from '../pdu/received-pdu.ts'
import { decodeReject } from '../pdu/reject.ts'
import { decodeTextResponse, encodeTextRequest } from '../pdu/text-pdu.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import { type Closure, lostConnection, noticeOf, rejection, type RequestId } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import { InitiatorText, type TextRequestStep } from './initiator-text.ts'
import type { Negotiator, Pair } from './negotiator.ts'

/** A request without an answer yet. */
type Request = { readonly id: RequestId; readonly deadline: number } & (
  | { readonly kind: 'ping'; readonly data: Uint8Array }
  | { readonly kind: 'text'; readonly text: InitiatorText; readonly renegotiates: boolean }
)

const NOTHING = new Uint8Array(0)
/** Tags of requests are counted from 1; these are apart from them. */
const LOGOUT_TAG = 0xffff_fff0
const KEEPALIVE_TAG = 0xffff_fff1
const LARGEST_REQUEST_TAG = 0xffff_ff00

/** Responses of the full feature phase. */
const handlers: Readonly<Record<number, (phase: InitiatorFullFeature, pdu: ReceivedPdu) => void>> = {
  [Opcode.nopIn]: (phase, pdu) => phase.nopIn(pdu),
  [Opcode.textResponse]: (phase, pdu) => phase.textResponse(pdu),
  [Opcode.logoutResponse]: (phase, pdu) => phase.logoutResponse(pdu),
  [Opcode.asyncMessage]: (phase, pdu) => phase.asyncMessage(pdu),
  [Opcode.reject]: (phase, pdu) => phase.reject(pdu),
}

/**
 * Requests and responses of the full feature phase at the initiator (RFC 7143 §4.2.5), apart from SCSI.
 *
 * Pings keep the order of CmdSN and wait where the target's command window is closed; everything else is immediate.
 * (tgt closes the window while an answer to a text request goes on: one that is not immediate could not be ended.) A
 * text request waits for the end of the one before it.
 */
export class InitiatorFullFeature {
  readonly #connection: InitiatorConnection
  readonly #limits: InitiatorLimits
  readonly #keys: Negotiator
  readonly #requests = new Map<number, Request>()
  /** What waits for the command window, in order. */
  #waiting: (() => void)[] = []
  #textInWork: RequestId | undefined
  #nextTag = 1
  #isLoggingOut = false
  #keepaliveIsOut = false

  constructor(connection: InitiatorConnection, limits: InitiatorLimits, keys: Negotiator) {
    this.#connection = connection
    this.#limits = limits
    this.#keys = keys
  }

  get canRequest(): boolean {
    return !this.#isLoggingOut && this.#connection.state === 'full-feature'
  }

  /** Sends a text request; its answer is a `text` event. */
  text(pairs: readonly Pair[]): RequestId {
    return this.#requestText(pairs, false)
  }

  /** Asks for an echo of `data`, of which as much is sent as the target takes; a `pong` event answers. */
  ping(data: Uint8Array = NOTHING): RequestId {
    const sent = data.slice(0, this.#connection.sendSegmentBytes)
    const id = this.#takeTag()
    this.#register({ id, kind: 'ping', data: sent, deadline: this.#newDeadline() })
    this.#whenOpen(() => this.#sendNopOut(id, RESERVED_TAG, 0n, false, sent))
    return id
  }

  /** Closes the session (§11.14); a `logged-out` event answers. */
  logOut(): void {
    if (!this.canRequest) return
    this.#isLoggingOut = true
    this.#connection.setTimer('logout', this.#newDeadline())
    const { cmdSN } = this.#connection.window
    this.#connection.request((view, at, expStatSN) =>
      encodeLogoutRequest(view, at, {
        immediate: true,
        reasonCode: LogoutReason.closeSession,
        initiatorTaskTag: LOGOUT_TAG,
        cid: 0,
        cmdSN,
        expStatSN,
      }),
    )
  }

  /** Ends every request that has no answer. */
  failAll(failure: Closure): void {
    for (const { id } of this.#requests.values()) {
      this.#connection.emit({ kind: 'request-failed', request: id, failure })
    }
    this.#requests.clear()
    this.#waiting = []
  }

  /** Sends what waited for the command window, as far as it is open. */
  sendWaiting(): void {
    while (this.canRequest && this.#connection.window.isOpen && this.#waiting.length > 0)
      this.#waiting.shift()?.()
  }

  receive(pdu: ReceivedPdu, opcode: number): void {
    const handler = handlers[opcode]
    if (handler === undefined) this.#connection.broken(`an unexpected ${opcodeName(opcode)}`)
    else handler(this, pdu)
  }

  /** Runs `send` now or when the window opens, in order. */
  #whenOpen(send: () => void): void {
    this.#waiting.push(send)
    this.sendWaiting()
  }

  #takeTag(): number {
    let tag = this.#nextTag
    while (this.#requests.has(tag)) tag++
    this.#nextTag = tag >= LARGEST_REQUEST_TAG ? 1 : tag + 1
    return tag
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

  #requestText(pairs: readonly Pair[], renegotiates: boolean): RequestId {
    const id = this.#takeTag()
    const text = new InitiatorText(pairs, this.#limits.textBytes)
    this.#register({ id, kind: 'text', text, renegotiates, deadline: this.#newDeadline() })
    if (this.#textInWork === undefined) this.#beginText()
    return id
  }

  /** §11.10: one text request at a time on a connection. */
  #beginText(): void {
    const next = [...this.#requests.values()].find((request) => request.kind === 'text')
    this.#textInWork = next?.id
    if (next?.kind === 'text') this.#sendText(next.id, next.text.next(this.#connection.sendSegmentBytes))
  }

  #sendText(initiatorTaskTag: number, step: TextRequestStep): void {
    const { cmdSN } = this.#connection.window
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
      this.#answered(request.id)
      if (request.renegotiates) this.#takeDeclarations(step.pairs)
      else this.#connection.emit({ kind: 'text', request: request.id, pairs: step.pairs })
    }
  }

  /** What the target declares outside of a login (§6.4) holds from here on. */
  #takeDeclarations(pairs: readonly Pair[]): void {
    const wrong = this.#keys.receive(pairs, 'fullFeature')
    if (wrong) {
      this.#connection.broken(`${wrong.key} ${wrong.reason}`)
      return
    }
    this.#keys.takeOutgoing()
    this.#keys.commit(true)
    this.#connection.sendSegmentBytes = this.#connection.connectionParameters.sendSegmentBytes
  }

  // NOP

  #sendNopOut(
    initiatorTaskTag: number,
    targetTransferTag: number,
    lun: bigint,
    immediate: boolean,
    data = NOTHING,
  ): void {
    const cmdSN = immediate ? this.#connection.window.cmdSN : this.#connection.window.take()
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
      this.#sendNopOut(RESERVED_TAG, header.targetTransferTag, header.lun, true)
      return
    }
    if (header.initiatorTaskTag === KEEPALIVE_TAG && this.#keepaliveIsOut) {
      this.#keepaliveIsOut = false
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
    this.#keepaliveIsOut = true
    this.#sendNopOut(KEEPALIVE_TAG, RESERVED_TAG, 0n, true)
  }

  // The rest of what targets send

  logoutResponse(pdu: ReceivedPdu): void {
    const header = decodeLogoutResponse(pdu.view, pdu.at)
    if (!this.#connection.countIn(header)) return
    if (!this.#isLoggingOut || header.initiatorTaskTag !== LOGOUT_TAG) {
      this.#connection.broken('a Logout Response that answers no request')
    } else if (header.response === LogoutResponseCode.closed) {
      this.failAll(lostConnection('we logged out'))
      this.#connection.emit({ kind: 'logged-out' })
      this.#connection.end()
    } else {
      this.#connection.drop(lostConnection(`the target answered our logout with response ${header.response}`))
    }
  }

  reject(pdu: ReceivedPdu): void {
    const header = decodeReject(pdu.view, pdu.at)
    if (!this.#connection.countIn(header)) return
    const bytes = joinSlices(pdu.data)
    if (bytes.length < BHS_BYTES) {
      this.#connection.broken('a Reject without the header that it is about')
      return
    }
    const view = viewOf(bytes)
    const failure = rejection(opcodeName(opcodeOf(view, 0)), header.reason)
    const request = this.#requests.get(initiatorTaskTagOf(view, 0))
    if (request) {
      this.#answered(request.id)
      this.#connection.emit({ kind: 'request-failed', request: request.id, failure })
    } else if (opcodeOf(view, 0) === Opcode.logoutRequest) this.#connection.drop(failure)
  }

  asyncMessage(pdu: ReceivedPdu): void {
    const message = decodeAsyncMessage(pdu.view, pdu.at)
    if (!this.#connection.countIn(message)) return
    const notice = noticeOf(message, joinSlices(pdu.data))
    if (notice) this.#connection.emit({ kind: 'notice', notice })
    switch (message.asyncEvent) {
      case AsyncEvent.logoutRequest:
        this.logOut()
        return
      case AsyncEvent.connectionDrop:
      case AsyncEvent.sessionDrop:
        this.#connection.drop(lostConnection('the target announced that it drops us'))
        return
      case AsyncEvent.negotiationRequest: {
        const isPending = [...this.#requests.values()].some(({ kind }) => kind === 'text')
        if (this.canRequest && !isPending) this.#requestText([], true)
        return
      }
      case AsyncEvent.taskTermination:
        this.#connection.broken(
          'it terminates tasks as TaskReporting=FastAbort allows, which was not agreed on',
        )
    }
  }
}

function isEcho(sent: Uint8Array, slices: readonly Uint8Array[]): boolean {
  const received = joinSlices(slices)
  return received.length === sent.length && sent.every((byte, index) => byte === received[index])
}
