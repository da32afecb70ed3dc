import type { CygnetError } from '../base/errors.ts'
import { type Serial32, serialAdd, serialLess } from '../base/serial32.ts'
import { opcodeOf } from '../pdu/bhs.ts'
import { decodeLoginResponse, encodeLoginRequest } from '../pdu/login.ts'
import { isInitiatorOpcode, Opcode, opcodeName } from '../pdu/opcodes.ts'
import type { PduFault, ReceivedPdu } from '../pdu/received-pdu.ts'
import { decodeReject } from '../pdu/reject.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { type EncodeWith, type RequestConnection, RequestPdu } from './control-pdu.ts'
import {
  brokenProtocol,
  type Closure,
  type InitiatorEvent,
  lostConnection,
  type RequestId,
} from './initiator-events.ts'
import { InitiatorFullFeature } from './initiator-full-feature.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import { InitiatorLogin, type InitiatorLoginOptions, type LoginRequestStep } from './initiator-login.ts'
import { protocolFailure } from './initiator-login-failure.ts'
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
 * `logOut`, each ended by one event. At ErrorRecoveryLevel 0 everything that cannot be trusted (a gap in StatSN, a
 * digest error, an answer to nothing) ends the connection (RFC 7143 §7.1.3).
 */

export interface InitiatorConnectionOptions extends ConnectionOptions {
  readonly login: InitiatorLoginOptions
  readonly limits: InitiatorLimits
}

type TimerName = 'login' | 'request' | 'logout' | 'nop' | 'nopAnswer'

/** The numbers that a target puts on its PDUs. */
interface TargetNumbers {
  readonly statSN: Serial32
  readonly expCmdSN: Serial32
  readonly maxCmdSN: Serial32
}

export class InitiatorConnection extends Connection<TimerName, InitiatorEvent> implements RequestConnection {
  readonly window: RequestWindow
  readonly #limits: InitiatorLimits
  readonly #login: InitiatorLogin
  readonly #fullFeature: InitiatorFullFeature
  #expStatSN: Serial32 = 0
  #tsih = 0

  constructor(options: InitiatorConnectionOptions) {
    super(options, ['login', 'request', 'logout', 'nop', 'nopAnswer'])
    this.#limits = options.limits
    this.#login = new InitiatorLogin(options.login, options.limits)
    this.window = new RequestWindow(options.login.cmdSN)
    this.#fullFeature = new InitiatorFullFeature(this, options.limits, this.#login.keys)
    this.timers.set('login', options.now + options.limits.loginTimeoutMs)
    this.#sendLogin(this.#login.begin())
  }

  /** The StatSN that comes next. */
  get expStatSN(): Serial32 {
    return this.#expStatSN
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

  // Requests

  /** In the full feature phase, and not logging out: requests may be made. */
  get canRequest(): boolean {
    return this.#fullFeature.canRequest
  }

  /** Sends a text request; a `text` event answers. */
  text(pairs: readonly Pair[]): RequestId {
    return this.#fullFeature.text(pairs)
  }

  /** Asks for an echo of `data`, of which as much is sent as the target takes; a `pong` event answers. */
  ping(data?: Uint8Array): RequestId {
    return this.#fullFeature.ping(data)
  }

  /** Closes the session (§11.14); a `logged-out` event answers. */
  logOut(): void {
    this.#fullFeature.logOut()
  }

  /** Ends the connection at once. */
  drop(failure: Closure): void {
    if (this.state === 'closed') return
    this.#fullFeature.failAll(failure)
    this.emit({ kind: 'dropped', failure })
    this.stop('closed')
  }

  // PduSink

  onPdu(pdu: ReceivedPdu): void {
    const opcode = opcodeOf(pdu.view, pdu.at)
    if (isInitiatorOpcode(opcode)) this.broken(`it sent a ${opcodeName(opcode)}, which only initiators send`)
    else if (this.state === 'login') this.#loginPdu(pdu, opcode)
    else if (pdu.dataDigestOk) this.#fullFeature.receive(pdu, opcode)
    else this.drop(lostConnection(`data digest error in a ${opcodeName(opcode)}`))
  }

  onFault(fault: PduFault): void {
    const name = opcodeName(opcodeOf(fault.view, fault.at))
    if (fault.kind === 'header-digest') {
      this.drop(lostConnection(`header digest error in what looks like a ${name}`))
      return
    }
    const what = fault.kind === 'ahs-too-long' ? 'an AHS' : 'a data segment'
    this.broken(`a ${name} announces ${what} of ${fault.lengthBytes} bytes, the limit is ${fault.limitBytes}`)
  }

  /** What carries the bytes knows why the login cannot succeed. */
  transportRefused({ code, message }: CygnetError): void {
    if (this.state === 'login') this.#failLogin({ kind: 'failed', code, message, status: undefined })
  }

  protected lost(reason: string): void {
    if (this.state === 'login') {
      this.#failLogin({
        kind: 'failed',
        code: 'LOGIN_CONNECTION_LOST',
        message: `The connection ended before the login did (${reason}): look into the log of the target; it may want other credentials, or TLS.`,
        status: undefined,
      })
    } else this.drop(lostConnection(reason))
  }

  protected expired(name: TimerName): void {
    const { loginTimeoutMs, requestTimeoutMs, nopTimeoutMs } = this.#limits
    switch (name) {
      case 'login':
        this.#failLogin({
          kind: 'failed',
          code: 'LOGIN_TIMEOUT',
          message: `The target did not finish the login within ${loginTimeoutMs} ms: look whether it is overloaded, and whether what listens there speaks iSCSI.`,
          status: undefined,
        })
        return
      case 'request':
        this.drop(lostConnection(`no answer to a request within ${requestTimeoutMs} ms`))
        return
      case 'logout':
        this.drop(lostConnection(`no answer to the logout within ${requestTimeoutMs} ms`))
        return
      case 'nop':
        this.#keepAlive()
        return
      case 'nopAnswer':
        if (this.now - this.lastReceived >= nopTimeoutMs) {
          this.drop(lostConnection(`no sign of life within ${nopTimeoutMs} ms`))
        }
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
    this.#fullFeature.keepAlive()
  }

  // Login

  #sendLogin(step: LoginRequestStep): void {
    const { isid, tsih, cid, cmdSN, initiatorTaskTag } = this.#login.options
    this.request(
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
      const reason = opcode === Opcode.reject ? ` with reason ${decodeReject(pdu.view, pdu.at).reason}` : ''
      this.broken(`a ${opcodeName(opcode)}${reason} came before the end of the login`)
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
        this.window.update(header.expCmdSN, header.maxCmdSN)
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

  // For the full feature phase

  /**
   * StatSN, ExpCmdSN and MaxCmdSN of a PDU (§4.2.2). False: the PDU is a repetition, or the connection has ended.
   * `advances`: the PDU is numbered; others carry the StatSN that comes next.
   */
  countIn({ statSN, expCmdSN, maxCmdSN }: TargetNumbers, advances = true): boolean {
    if (serialLess(statSN, this.#expStatSN)) return false
    if (statSN !== this.#expStatSN) {
      this.drop(lostConnection(`a response is missing (StatSN ${statSN} where ${this.#expStatSN} was due)`))
      return false
    }
    if (advances) this.#expStatSN = serialAdd(statSN, 1)
    this.window.update(expCmdSN, maxCmdSN)
    this.#fullFeature.sendWaiting()
    return true
  }

  request(encode: EncodeWith<Serial32>, data?: Uint8Array): void {
    this.send(new RequestPdu(this, encode, data))
  }

  setTimer(name: 'request' | 'logout' | 'nopAnswer', deadline: number | undefined): void {
    if (deadline === undefined) this.timers.clear(name)
    else this.timers.set(name, deadline)
  }

  /** The target broke the protocol: nothing that it says can be trusted any more. */
  broken(what: string): void {
    if (this.state === 'login') this.#failLogin(protocolFailure(what))
    else this.drop(brokenProtocol(what))
  }

  /** The session has ended as it should. */
  end(): void {
    this.stop('closed')
  }
}
