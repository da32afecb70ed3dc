import { totalLength } from '../base/bytes.ts'
import { type Serial32, serialAdd, serialLess } from '../base/serial32.ts'
import { decodeAsyncMessage } from '../pdu/async-message.ts'
import { initiatorTaskTagOf, opcodeOf, RESERVED_TAG } from '../pdu/bhs.ts'
import { AsyncEvent, LogoutReason, LogoutResponseCode } from '../pdu/codes.ts'
import { decodeLoginResponse, encodeLoginRequest } from '../pdu/login.ts'
import { decodeLogoutResponse, encodeLogoutRequest } from '../pdu/logout.ts'
import { decodeNopIn, encodeNopOut } from '../pdu/nop.ts'
import { isInitiatorOpcode, Opcode, opcodeName } from '../pdu/opcodes.ts'
import type { PduFault, ReceivedPdu } from '../pdu/received-pdu.ts'
import { decodeReject } from '../pdu/reject.ts'
import { decodeTextResponse, encodeTextRequest } from '../pdu/text-pdu.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { type EncodeWith, type RequestConnection, RequestPdu } from './control-pdu.ts'
import { type Closure, type InitiatorEvent, noticeOf, rejection, type RequestId } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import { InitiatorLogin, type InitiatorLoginOptions, type LoginRequestStep } from './initiator-login.ts'
import { protocolFailure } from './initiator-login-failure.ts'
import { InitiatorText, type TextRequestStep } from './initiator-text.ts'
import type { Negotiator, Pair } from './negotiator.ts'
import {
  type ConnectionParameters,
  connectionParameters,
  type SessionParameters,
  sessionParameters,
} from './parameters.ts'
import { RequestWindow } from './request-window.ts'

/**
 * One TCP connection at the initiator, sans-IO. It logs in by itself; then requests are made by `text`, `ping` and
 * `logOut`, each named by what it returns and ended by one event.
 *
 * Requests that are not immediate (text, ping) are sent in CmdSN order and wait where the target's command window is
 * closed. At ErrorRecoveryLevel 0 everything that cannot be trusted (a gap in StatSN, a digest error, an answer to
 * nothing) ends the connection (§7.1.3).
 */

export interface InitiatorConnectionOptions extends ConnectionOptions {
  readonly login: InitiatorLoginOptions
  readonly limits: InitiatorLimits
}

/** A request without an answer yet. */
type Request = { readonly id: RequestId; readonly deadline: number } & (
  | { readonly kind: 'ping'; readonly data: Uint8Array }
  | { readonly kind: 'text'; readonly text: InitiatorText; readonly renegotiates: boolean }
)

type TimerName = 'login' | 'request' | 'nop' | 'nopAnswer' | 'logout'

const NOTHING = new Uint8Array(0)
/** Tags of requests are counted from 1; these are apart from them. */
const LOGOUT_TAG = 0xffff_fff0
const KEEPALIVE_TAG = 0xffff_fff1
const LARGEST_REQUEST_TAG = 0xffff_ff00

const violation = (what: string): Closure => ({
  code: 'PROTOCOL_ERROR',
  message: `The target broke the iSCSI protocol (${what}): update or report its software.`,
})

const lostConnection = (reason: string): Closure => ({
  code: 'CONNECTION_LOST',
  message: `The connection to the target was lost: ${reason}.`,
})

export class InitiatorConnection extends Connection<TimerName, InitiatorEvent> implements RequestConnection {
  readonly #limits: InitiatorLimits
  readonly #login: InitiatorLogin
  readonly #window: RequestWindow
  readonly #requests = new Map<number, Request>()
  /** Requests that are to be sent when the command window and, for text, the text request before them allow. */
  #waiting: (() => boolean)[] = []
  #expStatSN: Serial32 = 0
  #nextTag = 1
  #tsih = 0
  #isLoggingOut = false
  #keepaliveIsOut = false

  constructor(options: InitiatorConnectionOptions) {
    super(options, ['login', 'request', 'nop', 'nopAnswer', 'logout'])
    this.#limits = options.limits
    this.#login = new InitiatorLogin(options.login, options.limits)
    this.#window = new RequestWindow(options.login.cmdSN)
    this.timers.set('login', options.now + options.limits.loginTimeoutMs)
    this.#sendLogin(this.#login.begin())
  }

  get expStatSN(): Serial32 {
    return this.#expStatSN
  }

  get window(): RequestWindow {
    return this.#window
  }

  /** 0 before the end of the login. */
  get tsih(): number {
    return this.#tsih
  }

  /** The negotiated keys; in force once logged in. */
  get keys(): Negotiator {
    return this.#login.keys
  }

  get sessionParameters(): SessionParameters {
    return sessionParameters(this.keys)
  }

  get connectionParameters(): ConnectionParameters {
    return connectionParameters(this.keys)
  }

  /** Whom the target proved to be; '' where it did not have to. */
  get targetUser(): string {
    return this.#login.targetUser
  }

  // Requests; only in the full feature phase, and not after a logout

  get canRequest(): boolean {
    return this.connectionState === 'full-feature' && !this.#isLoggingOut
  }

  /** Sends a text request; its answer is a `text` event. */
  text(pairs: readonly Pair[]): RequestId {
    return this.#requestText(pairs, false)
  }

  /** Asks for an echo of `data`, of which as much is sent as the target takes; a `pong` event answers. */
  ping(data: Uint8Array = NOTHING): RequestId {
    const sent = data.slice(0, this.sendSegmentBytes)
    const id = this.#takeTag()
    this.#requests.set(id, { id, kind: 'ping', data: sent, deadline: this.#newDeadline() })
    this.#whenOpen(() => this.#sendNopOut(id, RESERVED_TAG, 0n, false, sent))
    return id
  }

  /** Closes the session (§11.14); a `logged-out` event answers. */
  logOut(): void {
    if (!this.canRequest) return
    this.#isLoggingOut = true
    this.timers.set('logout', this.now + this.#limits.requestTimeoutMs)
    const { cmdSN } = this.#window
    this.#request((view, at, expStatSN) =>
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

  /** Ends the connection at once. */
  drop(failure: Closure): void {
    if (this.connectionState === 'closed') return
    for (const request of this.#requests.values()) {
      this.emit({ kind: 'request-failed', request: request.id, failure })
    }
    this.#requests.clear()
    this.#waiting = []
    this.emit({ kind: 'dropped', failure })
    this.stop('closed')
  }

  // PduSink

  onPdu(pdu: ReceivedPdu): void {
    const opcode = opcodeOf(pdu.view, pdu.at)
    const name = opcodeName(opcode)
    if (isInitiatorOpcode(opcode)) {
      this.#broken(`it sent a ${name}, which only initiators send`)
    } else if (this.connectionState === 'login') {
      this.#loginPdu(pdu, opcode)
    } else if (!pdu.dataDigestOk) {
      this.drop(lostConnection(`data digest error in a ${name}`))
    } else {
      const handler = handlers[opcode]
      if (handler === undefined) this.#broken(`an unexpected ${name}`)
      else handler(this, pdu)
    }
  }

  onFault(fault: PduFault): void {
    const name = opcodeName(opcodeOf(fault.view, fault.at))
    if (fault.kind === 'header-digest') {
      this.drop(lostConnection(`header digest error in what looks like a ${name}`))
      return
    }
    const what = fault.kind === 'ahs-too-long' ? 'an AHS' : 'a data segment'
    this.#broken(
      `a ${name} announces ${what} of ${fault.lengthBytes} bytes, the limit is ${fault.limitBytes}`,
    )
  }

  protected lost(reason: string): void {
    this.drop(lostConnection(reason))
  }

  protected expired(name: TimerName): void {
    switch (name) {
      case 'login':
        this.#failLogin({
          kind: 'failed',
          code: 'LOGIN_TIMEOUT',
          message: `The target did not finish the login within ${this.#limits.loginTimeoutMs} ms: look whether it is overloaded, and whether iSCSI is what it speaks.`,
          status: undefined,
        })
        return
      case 'request':
        this.drop(lostConnection(`no answer to a request within ${this.#limits.requestTimeoutMs} ms`))
        return
      case 'logout':
        this.drop(lostConnection(`no answer to the logout within ${this.#limits.requestTimeoutMs} ms`))
        return
      case 'nop':
        this.#keepAlive()
        return
      case 'nopAnswer':
        if (this.now - this.lastReceived >= this.#limits.nopTimeoutMs) {
          this.drop(lostConnection(`no sign of life within ${this.#limits.nopTimeoutMs} ms`))
        }
    }
  }

  // Login

  #sendLogin(step: LoginRequestStep): void {
    const { isid, tsih, cid, cmdSN, initiatorTaskTag } = this.#login.options
    this.#request(
      (view, at) =>
        encodeLoginRequest(view, at, {
          ...step,
          versionMax: 0,
          versionMin: 0,
          dataSegmentLength: step.data.length,
          isid,
          tsih,
          initiatorTaskTag,
          cid,
          cmdSN,
        }),
      step.data,
    )
  }

  #loginPdu(pdu: ReceivedPdu, opcode: number): void {
    if (opcode !== Opcode.loginResponse) {
      const reason =
        opcode === Opcode.reject ? ` (reason 0x${decodeReject(pdu.view, pdu.at).reason.toString(16)})` : ''
      this.#failLogin(protocolFailure(`a ${opcodeName(opcode)}${reason} came before the end of the login`))
      return
    }
    const header = decodeLoginResponse(pdu.view, pdu.at)
    const step = this.#login.response(header, pdu)
    switch (step.kind) {
      case 'request':
        this.#sendLogin(step)
        return
      case 'complete':
        this.#tsih = step.tsih
        this.#window.update(header.expCmdSN, header.maxCmdSN)
        this.#enterFullFeaturePhase()
        return
      case 'redirected':
      case 'failed':
        this.#failLogin(step)
    }
  }

  #failLogin(event: InitiatorEvent): void {
    this.emit(event)
    this.stop('closed')
  }

  #enterFullFeaturePhase(): void {
    const { headerDigest, dataDigest, sendSegmentBytes } = this.connectionParameters
    this.headerDigest = headerDigest
    this.dataDigest = dataDigest
    this.sendSegmentBytes = sendSegmentBytes
    this.assembler.headerDigest = headerDigest
    this.assembler.dataDigest = dataDigest
    this.assembler.maxDataSegmentLength = this.#limits.maxRecvDataSegmentLength
    this.#expStatSN = this.#login.expStatSN
    this.connectionState = 'full-feature'
    this.timers.clear('login')
    // §13.21: a discovery session is for text requests and logouts.
    if (this.#login.options.type === 'Normal') this.timers.set('nop', this.now + this.#limits.nopIntervalMs)
    this.emit({ kind: 'logged-in' })
  }

  // Numbers

  /**
   * StatSN, ExpCmdSN and MaxCmdSN of a PDU in the full feature phase. False: the PDU is a repetition, or the connection
   * has ended. `advances`: the PDU is numbered; others carry the StatSN that comes next.
   */
  #countIn(numbers: { statSN: Serial32; expCmdSN: Serial32; maxCmdSN: Serial32 }, advances = true): boolean {
    if (serialLess(numbers.statSN, this.#expStatSN)) return false
    if (numbers.statSN !== this.#expStatSN) {
      this.drop(
        lostConnection(`a response is missing (StatSN ${numbers.statSN} where ${this.#expStatSN} was due)`),
      )
      return false
    }
    if (advances) this.#expStatSN = serialAdd(numbers.statSN, 1)
    this.#window.update(numbers.expCmdSN, numbers.maxCmdSN)
    this.#sendWaiting()
    return true
  }

  /** Runs `send` now or when the window opens, in order. */
  #whenOpen(send: () => void): void {
    this.#waiting.push(() => {
      if (!this.#window.isOpen) return false
      send()
      return true
    })
    this.#sendWaiting()
  }

  #sendWaiting(): void {
    while (this.canRequest && this.#waiting[0]?.()) this.#waiting.shift()
  }

  #takeTag(): number {
    let tag = this.#nextTag
    while (this.#requests.has(tag)) tag++
    this.#nextTag = tag >= LARGEST_REQUEST_TAG ? 1 : tag + 1
    return tag
  }

  #newDeadline(): number {
    const deadline = this.now + this.#limits.requestTimeoutMs
    if (this.#requests.size === 0) this.timers.set('request', deadline)
    return deadline
  }

  /** A request has its answer. All wait equally long, so the oldest has the earliest deadline. */
  #answered(tag: number): void {
    this.#requests.delete(tag)
    const [oldest] = this.#requests.values()
    if (oldest) this.timers.set('request', oldest.deadline)
    else this.timers.clear('request')
  }

  #request(encode: EncodeWith<Serial32>, data?: Uint8Array): void {
    this.send(new RequestPdu(this, encode, data))
  }

  #broken(what: string): void {
    if (this.connectionState === 'login') this.#failLogin(protocolFailure(what))
    else this.drop(violation(what))
  }

  // Text

  #requestText(pairs: readonly Pair[], renegotiates: boolean): RequestId {
    const id = this.#takeTag()
    const text = new InitiatorText(pairs, this.#limits.textBytes)
    const request: Request = {
      id,
      kind: 'text',
      text,
      renegotiates,
      deadline: this.#newDeadline(),
    }
    this.#requests.set(id, request)
    // §11.10: one text request at a time on a connection.
    this.#waiting.push(() => {
      const [first] = [...this.#requests.values()].filter(({ kind }) => kind === 'text')
      if (!this.#window.isOpen || first?.id !== id) return false
      this.#sendText(id, text.next(this.sendSegmentBytes))
      return true
    })
    this.#sendWaiting()
    return id
  }

  #sendText(initiatorTaskTag: number, step: TextRequestStep): void {
    const cmdSN = this.#window.take()
    this.#request(
      (view, at, expStatSN) =>
        encodeTextRequest(view, at, {
          immediate: false,
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
    if (!this.#countIn(header)) return
    const request = this.#requests.get(header.initiatorTaskTag)
    if (request?.kind !== 'text') {
      this.#broken('a Text Response that answers no request')
      return
    }
    const step = request.text.response(header, pdu, this.sendSegmentBytes)
    if (step.kind === 'error') this.#broken(step.reason)
    else if (step.kind === 'request') this.#continueText(request.id, step)
    else {
      this.#answered(request.id)
      if (request.renegotiates) this.#takeDeclarations(step.pairs)
      else this.emit({ kind: 'text', request: request.id, pairs: step.pairs })
      this.#sendWaiting()
    }
  }

  /** What the target declares outside of a login (§6.4) holds from here on. */
  #takeDeclarations(pairs: readonly Pair[]): void {
    const wrong = this.keys.receive(pairs, 'fullFeature')
    if (wrong) {
      this.#broken(`${wrong.key} ${wrong.reason}`)
      return
    }
    this.keys.takeOutgoing()
    this.keys.commit(true)
    this.sendSegmentBytes = this.connectionParameters.sendSegmentBytes
  }

  /** The rest of a sequence goes before everything that waits. */
  #continueText(id: RequestId, step: TextRequestStep): void {
    this.#waiting.unshift(() => {
      if (!this.#window.isOpen) return false
      this.#sendText(id, step)
      return true
    })
    this.#sendWaiting()
  }

  // NOP

  #sendNopOut(
    initiatorTaskTag: number,
    targetTransferTag: number,
    lun: bigint,
    immediate: boolean,
    data = NOTHING,
  ): void {
    const cmdSN = immediate ? this.#window.cmdSN : this.#window.take()
    this.#request(
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
    if (!this.#countIn(header, isAnswer)) return
    if (!isAnswer) {
      if (header.targetTransferTag === RESERVED_TAG) return
      this.#sendNopOut(RESERVED_TAG, header.targetTransferTag, header.lun, true)
      return
    }
    if (header.initiatorTaskTag === KEEPALIVE_TAG && this.#keepaliveIsOut) {
      this.#keepaliveIsOut = false
      return
    }
    const request = this.#requests.get(header.initiatorTaskTag)
    if (request?.kind !== 'ping') this.#broken('a NOP-In that answers no NOP-Out')
    else if (!isEcho(request.data.subarray(0, this.#limits.maxRecvDataSegmentLength), pdu.data))
      this.#broken('a NOP-In that does not echo the ping data')
    else {
      this.#answered(request.id)
      this.emit({ kind: 'pong', request: request.id })
    }
  }

  /** Asks for a sign of life only where there was none for a whole interval. */
  #keepAlive(): void {
    const { nopIntervalMs, nopTimeoutMs } = this.#limits
    const due = this.lastReceived + nopIntervalMs
    if (this.now < due) {
      this.timers.set('nop', due)
      return
    }
    this.timers.set('nop', this.now + nopIntervalMs + nopTimeoutMs)
    this.timers.set('nopAnswer', this.now + nopTimeoutMs)
    this.#keepaliveIsOut = true
    this.#sendNopOut(KEEPALIVE_TAG, RESERVED_TAG, 0n, true)
  }

  // The rest of what targets send

  logoutResponse(pdu: ReceivedPdu): void {
    const header = decodeLogoutResponse(pdu.view, pdu.at)
    if (!this.#countIn(header)) return
    if (!this.#isLoggingOut || header.initiatorTaskTag !== LOGOUT_TAG) {
      this.#broken('a Logout Response that answers no request')
    } else if (header.response === LogoutResponseCode.closed) {
      for (const request of this.#requests.values()) {
        this.emit({ kind: 'request-failed', request: request.id, failure: lostConnection('we logged out') })
      }
      this.#requests.clear()
      this.emit({ kind: 'logged-out' })
      this.stop('closed')
    } else {
      this.drop(lostConnection(`the target answered our logout with response ${header.response}`))
    }
  }

  reject(pdu: ReceivedPdu): void {
    const header = decodeReject(pdu.view, pdu.at)
    if (!this.#countIn(header)) return
    const bytes = joined(pdu.data)
    if (bytes.length < 48) {
      this.#broken('a Reject without the header that it is about')
      return
    }
    const view = new DataView(bytes.buffer)
    const failure = rejection(opcodeName(opcodeOf(view, 0)), header.reason)
    const request = this.#requests.get(initiatorTaskTagOf(view, 0))
    if (request) {
      this.#answered(request.id)
      this.emit({ kind: 'request-failed', request: request.id, failure })
      this.#sendWaiting()
    } else if (opcodeOf(view, 0) === Opcode.logoutRequest) this.drop(failure)
  }

  asyncMessage(pdu: ReceivedPdu): void {
    const message = decodeAsyncMessage(pdu.view, pdu.at)
    if (!this.#countIn(message)) return
    const notice = noticeOf(message, joined(pdu.data))
    if (notice) this.emit({ kind: 'notice', notice })
    switch (message.asyncEvent) {
      case AsyncEvent.logoutRequest:
        this.logOut()
        return
      case AsyncEvent.connectionDrop:
      case AsyncEvent.sessionDrop:
        this.drop(lostConnection('the target announced that it drops us'))
        return
      case AsyncEvent.negotiationRequest: {
        const isPending = [...this.#requests.values()].some(({ kind }) => kind === 'text')
        if (this.canRequest && !isPending) this.#requestText([], true)
        return
      }
      case AsyncEvent.taskTermination:
        this.#broken('it terminates tasks as TaskReporting=FastAbort allows, which was not agreed on')
    }
  }
}

/** Responses of the full feature phase. */
const handlers: Readonly<Record<number, (connection: InitiatorConnection, pdu: ReceivedPdu) => void>> = {
  [Opcode.nopIn]: (connection, pdu) => connection.nopIn(pdu),
  [Opcode.textResponse]: (connection, pdu) => connection.textResponse(pdu),
  [Opcode.logoutResponse]: (connection, pdu) => connection.logoutResponse(pdu),
  [Opcode.asyncMessage]: (connection, pdu) => connection.asyncMessage(pdu),
  [Opcode.reject]: (connection, pdu) => connection.reject(pdu),
}

function joined(slices: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(totalLength(slices))
  let at = 0
  for (const slice of slices) {
    bytes.set(slice, at)
    at += slice.length
  }
  return bytes
}

function isEcho(sent: Uint8Array, slices: readonly Uint8Array[]): boolean {
  const received = joined(slices)
  return received.length === sent.length && sent.every((byte, index) => byte === received[index])
}
