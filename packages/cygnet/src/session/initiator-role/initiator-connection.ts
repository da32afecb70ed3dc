import type { Instant } from '../../base/clock.ts'
import type { CygnetError } from '../../base/errors.ts'
import { type Serial32, serialAdd, serialLess } from '../../base/serial32.ts'
import { initiatorTaskTagOf, opcodeOf, RESERVED_TAG } from '../../pdu/bhs.ts'
import { LogoutReason } from '../../pdu/codes.ts'
import { decodeLoginResponse, encodeLoginRequest, type LoginResponse } from '../../pdu/login.ts'
import { isInitiatorOpcode, Opcode, opcodeName } from '../../pdu/opcodes.ts'
import type { PduFault, ReceivedPdu } from '../../pdu/received-pdu.ts'
import { decodeReject } from '../../pdu/reject.ts'
import { Connection, type ConnectionOptions } from '../connection.ts'
import type { ConnectionOwner } from './connection-owner.ts'
import { type EncodeWith, type RequestConnection, RequestPdu } from '../control-pdu.ts'
import {
  brokenProtocol,
  type Closure,
  type Grace,
  type InitiatorEvent,
  lostConnection,
  type RequestId,
} from './initiator-events.ts'
import { InitiatorFullFeature } from './initiator-full-feature.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import { InitiatorLogin, type InitiatorLoginOptions, type LoginRequestStep } from './initiator-login.ts'
import { protocolFailure } from './initiator-login-failure.ts'
import type { Negotiator, Pair } from '../negotiator.ts'
import {
  type ConnectionParameters,
  connectionParameters,
  type SessionParameters,
  sessionParameters,
} from '../parameters.ts'
import { sendStatusSnack } from './snack-requests.ts'
import {
  type InitiatorConnectionEvent,
  type InitiatorConnectionState,
  initiatorConnectionTransitions,
} from '../states/initiator-connection-states.ts'
import { StateMachine } from '../states/state-machine.ts'
import { StatusNumbers, type StatusRun } from './status-numbers.ts'

/**
 * One TCP connection at the initiator, sans-IO: what RFC 7143 §8.1.3 is about. It logs in when its transport is open;
 * then requests are made by `text`, `ping` and `logOut`, each ended by one event, and SCSI tasks send through it. What
 * happens goes to the session at once (`ConnectionOwner`).
 *
 * At ErrorRecoveryLevel 0 everything that cannot be trusted (a gap in StatSN, a digest error, an answer to nothing) ends
 * the connection (§7.1.3). From level 1 on, lost responses are asked for by a Status SNACK (§7.1.4.2), and what came after
 * them is not acknowledged before they are here; a header digest error still ends it (§7.8).
 */

export interface InitiatorConnectionOptions extends Omit<ConnectionOptions, 'wake'> {
  readonly login: InitiatorLoginOptions
  readonly limits: InitiatorLimits
  readonly owner: ConnectionOwner
}

type TimerName = 'login' | 'request' | 'logout' | 'nop' | 'nopAnswer' | 'statusSnack'
const timerNames = ['login', 'request', 'logout', 'nop', 'nopAnswer', 'statusSnack'] as const

/** PDUs of SCSI tasks and of task management: the session's. */
const taskOpcodes: ReadonlySet<number> = new Set([
  Opcode.dataIn,
  Opcode.r2t,
  Opcode.scsiResponse,
  Opcode.taskManagementResponse,
])
const STAT_SN_OFFSET = 24

/** The numbers that a target puts on its PDUs. */
interface TargetNumbers {
  readonly statSN: Serial32
  readonly expCmdSN: Serial32
  readonly maxCmdSN: Serial32
}

export class InitiatorConnection extends Connection<TimerName, InitiatorEvent> implements RequestConnection {
  readonly owner: ConnectionOwner
  /** Bytes of SCSI tasks that are on their way here, for spreading them. */
  outstandingBytes = 0
  /** SCSI tasks that are allegiant to the connection. */
  taskCount = 0
  /** Changes when MaxRecvDataSegmentLength does: data that was cut before is asked for by R-Data SNACK. */
  segmentation = 0
  readonly #limits: InitiatorLimits
  readonly #login: InitiatorLogin
  readonly #fullFeature: InitiatorFullFeature
  readonly #machine = new StateMachine<InitiatorConnectionState, InitiatorConnectionEvent>(
    initiatorConnectionTransitions,
    'FREE',
  )
  readonly #status: StatusNumbers
  #statusSnacks = 0
  #lastProbe: Instant = -Infinity
  #wasDropped = false
  /** What waits for all responses before a StatSN. */
  #inOrder: { readonly statSN: Serial32; readonly run: () => void }[] = []
  #tsih = 0

  constructor(options: InitiatorConnectionOptions) {
    super({ ...options, wake: () => options.owner.wake() }, timerNames)
    this.owner = options.owner
    this.#limits = options.limits
    this.#login = new InitiatorLogin(options.login, options.limits)
    this.#status = new StatusNumbers(options.limits.aheadPdus)
    this.#fullFeature = new InitiatorFullFeature(this, options.limits, this.#login.keys)
    this.#machine.on('connectRequested')
  }

  // The host's side; the rest of it is in `Connection`

  /** The byte stream is open: the login begins. */
  transportOpened(now: Instant): void {
    if (this.#machine.state !== 'XPT_WAIT') return
    this.handleTimeout(now)
    this.#machine.on('transportOpened')
    this.timers.set('login', now + this.#limits.loginTimeoutMs)
    this.#sendLogin(this.#login.begin())
  }

  // What it is

  /** RFC 7143 §8.1.3. */
  get machineState(): InitiatorConnectionState {
    return this.#machine.state
  }

  get cid(): number {
    return this.#login.options.cid
  }

  /** All responses before it have arrived, and are complete. */
  get expStatSN(): Serial32 {
    return this.#status.expStatSN
  }

  /** Level of error recovery that was agreed on; 0 before the end of the login. */
  get errorRecoveryLevel(): number {
    return this.owner.parameters?.errorRecoveryLevel ?? 0
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

  /** And the target does not want it logged out: new SCSI tasks may begin here. */
  get canBegin(): boolean {
    return this.#machine.state === 'LOGGED_IN'
  }

  /** Sends a text request; a `text` event answers. */
  text(pairs: readonly Pair[]): RequestId {
    return this.#fullFeature.text(pairs)
  }

  /** Asks for an echo of `data`, of which as much is sent as the target takes; a `pong` event answers. */
  ping(data?: Uint8Array): RequestId {
    return this.#fullFeature.ping(data)
  }

  /** Logs out the connection or, by default, its session (§11.14); a `logged-out` event answers. */
  logOut(reason: LogoutReason = LogoutReason.closeSession): void {
    if (!this.canRequest) return
    this.#machine.on('logoutSent')
    this.#fullFeature.logOut(reason)
  }

  /** Logs out another connection of the session, for recovery; a `recovery-logout` event answers. */
  logOutOther(cid: number, expStatSN: Serial32): void {
    this.#fullFeature.logOutOther(cid, expStatSN)
  }

  /** Declares a new MaxRecvDataSegmentLength, 512..2^24-1 bytes; it counts when the target has answered. */
  declareSegment(lengthBytes: number): void {
    this.assembler.maxDataSegmentLength = Math.max(this.assembler.maxDataSegmentLength, lengthBytes)
    this.#fullFeature.declareSegment(lengthBytes)
  }

  /** Answers the end of tasks that the target announced: acknowledges its StatSN with a NOP-Out (§11.9.1, event 5). */
  acknowledgeTermination(lun: bigint): void {
    this.#fullFeature.acknowledge(lun)
  }

  /** Sends a NOP-Out in the place of a command that the target never took (§7.3). */
  plugGap(cmdSN: Serial32): void {
    this.#fullFeature.plugGap(cmdSN)
  }

  /** When something came last. */
  get lastHeard(): Instant {
    return this.lastReceived
  }

  /**
   * Asks with a NOP-Out what the target has received and sent, where nothing came for a while (§7.1.4.2): the StatSN and
   * ExpCmdSN of the answer show what was lost.
   */
  probe(now: Instant): void {
    if (now - Math.max(this.lastReceived, this.#lastProbe) < this.#limits.snackTimeoutMs) return
    this.#lastProbe = now
    this.#fullFeature.keepAlive()
  }

  /** It was lost: what it has not sent is void. */
  get wasDropped(): boolean {
    return this.#wasDropped
  }

  /** Ends the connection at once. */
  drop(
    failure: Closure,
    scope: 'connection' | 'session' = 'connection',
    grace?: Grace,
    cause: 'dropAnnounced' | 'transportLost' | 'logoutFailed' = 'transportLost',
  ): void {
    if (this.state === 'closed') return
    this.#wasDropped = true
    this.#machine.on(cause)
    this.stop('closed')
    this.#fullFeature.failAll(failure)
    this.emit({ kind: 'dropped', failure, scope, grace })
  }

  /** Ends it because its session ends or begins anew. */
  abandon(): void {
    if (this.state === 'closed') return
    if (this.#machine.can('sessionClosed')) this.#machine.on('sessionClosed')
    this.stop('closed')
    this.#fullFeature.failAll(lostConnection('its session ended'))
  }

  // PduSink

  onPdu(pdu: ReceivedPdu): void {
    const opcode = opcodeOf(pdu.view, pdu.at)
    if (isInitiatorOpcode(opcode)) this.broken(`it sent a ${opcodeName(opcode)}, which only initiators send`)
    else if (this.state === 'login') this.#loginPdu(pdu, opcode)
    else if (this.queuedPdus > this.#limits.queuedPdus + 2 * this.taskCount)
      this.drop(lostConnection('the target makes us answer, and does not read the answers'))
    else if (!pdu.dataDigestOk) this.#spoiled(pdu, opcode)
    else if (taskOpcodes.has(opcode)) this.owner.taskPdu(this, pdu, opcode)
    else this.#fullFeature.receive(pdu, opcode)
  }

  /** §7.8: the data of the PDU is not what was sent. */
  #spoiled(pdu: ReceivedPdu, opcode: number): void {
    this.owner.counters.digestErrorData++
    if (this.errorRecoveryLevel === 0) {
      this.drop(lostConnection(`data digest error in a ${opcodeName(opcode)}`))
      return
    }
    if (opcode === Opcode.dataIn) {
      this.owner.taskPduLost(this, pdu, opcode)
      return
    }
    // Like any other response that was lost; one without a number of its own is not missed.
    const isNumbered = opcode !== Opcode.nopIn || initiatorTaskTagOf(pdu.view, pdu.at) !== RESERVED_TAG
    if (isNumbered) this.#announce(serialAdd(pdu.view.getUint32(pdu.at + STAT_SN_OFFSET), 1))
  }

  onFault(fault: PduFault): void {
    const name = opcodeName(opcodeOf(fault.view, fault.at))
    if (fault.kind === 'header-digest') {
      this.owner.counters.digestErrorHeader++
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
        this.drop(
          lostConnection(`no answer to the logout within ${requestTimeoutMs} ms`),
          'connection',
          undefined,
          'logoutFailed',
        )
        return
      case 'nop':
        this.#keepAlive()
        return
      case 'nopAnswer':
        if (this.now - this.lastReceived > nopTimeoutMs) {
          this.drop(lostConnection(`no sign of life within ${nopTimeoutMs} ms`))
        }
        return
      case 'statusSnack':
        this.#snackAgain()
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
    const { isid, tsih, cid, initiatorTaskTag } = this.#login.options
    const { cmdSN } = this.owner.window
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
        this.#enterFullFeaturePhase(header)
        return
      case 'redirected':
      case 'failed':
        this.#failLogin(step)
    }
  }

  #failLogin(event: InitiatorEvent): void {
    this.#machine.on(this.#machine.can('loginFailed') ? 'loginFailed' : 'transportLost')
    this.stop('closed')
    this.emit(event)
  }

  #enterFullFeaturePhase({ expCmdSN, maxCmdSN }: LoginResponse): void {
    this.#machine.on('loginSucceeded')
    const { headerDigest, dataDigest, sendSegmentBytes } = this.connectionParameters
    this.headerDigest = headerDigest
    this.dataDigest = dataDigest
    this.sendSegmentBytes = sendSegmentBytes
    this.assembler.headerDigest = headerDigest
    this.assembler.dataDigest = dataDigest
    this.assembler.maxDataSegmentLength = this.#limits.maxRecvDataSegmentLength
    this.#status.restart(this.#login.expStatSN)
    this.connectionState = 'full-feature'
    this.timers.clear('login')
    // §13.21: a discovery session is for text requests and logouts.
    if (this.#login.options.type === 'Normal') this.timers.set('nop', this.now + this.#limits.nopIntervalMs)
    this.owner.window.update(expCmdSN, maxCmdSN)
    this.emit({ kind: 'logged-in' })
  }

  // For the full feature phase

  /**
   * StatSN, ExpCmdSN and MaxCmdSN of a PDU (§4.2.2). False: the PDU is a repetition, or the connection has ended.
   * `advances`: the PDU is numbered; others carry the StatSN that comes next. `keepBack`: it is not complete, and is
   * acknowledged later (`acknowledge`).
   */
  countIn({ statSN, expCmdSN, maxCmdSN }: TargetNumbers, advances = true, keepBack = false): boolean {
    const isFine =
      this.errorRecoveryLevel === 0
        ? this.#countStrictly(statSN, advances)
        : advances
          ? this.#countAhead(statSN, keepBack)
          : this.#announce(statSN)
    if (!isFine) return false
    this.countCommands(expCmdSN, maxCmdSN)
    return this.state === 'full-feature'
  }

  /** ExpCmdSN and MaxCmdSN of a PDU without a StatSN. */
  countCommands(expCmdSN: Serial32, maxCmdSN: Serial32): void {
    if (this.owner.window.update(expCmdSN, maxCmdSN)) this.owner.windowMoved()
  }

  /** A response that was kept back is complete. */
  acknowledge(statSN: Serial32): void {
    this.#status.acknowledge(statSN)
  }

  /** Runs when every response before `statSN` is here: now, where nothing is missing. */
  inOrder(statSN: Serial32, run: () => void): void {
    if (this.#status.isComplete(statSN)) run()
    else this.#inOrder.push({ statSN, run })
  }

  /** Level 0: whatever is not the next one has no remedy. */
  #countStrictly(statSN: Serial32, advances: boolean): boolean {
    const { expStatSN } = this.#status
    if (serialLess(statSN, expStatSN)) return false
    if (statSN !== expStatSN) {
      this.owner.counters.sequenceError++
      this.drop(lostConnection(`a response is missing (StatSN ${statSN} where ${expStatSN} was due)`))
      return false
    }
    if (advances) this.#status.receive(statSN)
    return true
  }

  #countAhead(statSN: Serial32, keepBack: boolean): boolean {
    const arrival = this.#status.receive(statSN, keepBack)
    switch (arrival) {
      case 'repeated':
        return false
      case 'absurd':
        this.drop(lostConnection(`StatSN ${statSN} is far from ${this.#status.expStatSN}, which was due`))
        return false
      case 'ahead':
        this.#snackNewGaps()
        return true
      case 'next':
        if (this.#inOrder.length > 0) this.#runInOrder()
        return this.state === 'full-feature'
    }
  }

  /** A StatSN that comes next: all before it should be here. */
  #announce(statSN: Serial32): boolean {
    if (!this.#status.announce(statSN)) return true
    if (this.#status.hasGap) this.#snackNewGaps()
    return true
  }

  #runInOrder(): void {
    const ready = this.#inOrder.filter(({ statSN }) => this.#status.isComplete(statSN))
    this.#inOrder = this.#inOrder.filter((one) => !ready.includes(one))
    for (const { run } of ready) run()
  }

  // Lost responses (§7.1.4.2)

  #snackNewGaps(): void {
    const gaps = this.#status.newGaps()
    if (gaps.length === 0) return
    this.owner.counters.sequenceError++
    this.#statusSnacks = 0
    this.#snack(gaps)
  }

  #snackAgain(): void {
    if (!this.#status.hasGap) return
    this.owner.counters.sequenceTimeout++
    if (++this.#statusSnacks < this.#limits.snackTries) this.#snack(this.#status.gaps())
    else this.statusLost('and the target does not send it again')
  }

  #snack(gaps: readonly StatusRun[]): void {
    for (const { first, count } of gaps) {
      this.owner.counters.statusSnack++
      sendStatusSnack(this, first, count)
    }
    this.timers.set('statusSnack', this.now + this.#limits.snackTimeoutMs)
  }

  /** A response is lost for good here. */
  statusLost(why: string): void {
    this.owner.counters.fallbackToConnectionRecovery++
    this.drop(lostConnection(`a response is missing, ${why}`))
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
    else this.drop(brokenProtocol(what), 'session')
  }

  /** A MaxRecvDataSegmentLength is being declared: longer segments may come before the answer to it, which may be lost. */
  segmentOffered(lengthBytes: number): void {
    const { assembler } = this
    assembler.maxDataSegmentLength = Math.max(assembler.maxDataSegmentLength, lengthBytes)
  }

  /** The target has answered: the MaxRecvDataSegmentLength that we declared counts from here on. */
  segmentDeclared(lengthBytes: number): void {
    this.assembler.maxDataSegmentLength = lengthBytes
    this.segmentation++
  }

  /** The target wants it logged out: no new tasks begin here. */
  logoutRequested(): void {
    this.#machine.on('logoutRequested')
  }

  /** The logout succeeded. */
  end(): void {
    this.#machine.on('logoutSucceeded')
    this.stop('closed')
    this.emit({ kind: 'logged-out' })
  }

  override emit(event: InitiatorEvent): void {
    this.owner.connectionEvent(this, event)
  }

  override wake(): void {
    this.owner.wake()
  }
}
