import type { Instant } from '../base/clock.ts'
import { serialAdd } from '../base/serial32.ts'
import { BHS_BYTES, opcodeOf, RESERVED_TAG } from '../pdu/bhs.ts'
import { encodeAsyncMessage } from '../pdu/async-message.ts'
import { AsyncEvent, LoginStage, type RejectReason } from '../pdu/codes.ts'
import { decodeLoginRequest, encodeLoginResponse, type LoginRequest } from '../pdu/login.ts'
import { LoginStatus } from '../pdu/login-status.ts'
import { encodeNopIn } from '../pdu/nop.ts'
import { Opcode, opcodeName } from '../pdu/opcodes.ts'
import type { PduFault, ReceivedPdu } from '../pdu/received-pdu.ts'
import { encodeReject } from '../pdu/reject.ts'
import { encodeText } from '../pdu/text.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { ControlPdu, type EncodeHeader } from './control-pdu.ts'
import { FullFeaturePhase } from './full-feature.ts'
import type { TaskConnection } from './iscsi-task.ts'
import type { TargetLimits } from './limits.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { Negotiator } from './negotiator.ts'
import { connectionParameters, sessionParameters } from './parameters.ts'
import {
  type LoginIdentity,
  type LoginRefusal,
  refuse,
  type SessionClosure,
  type TargetHost,
} from './target-host.ts'
import { type LoginComplete, type LoginRespond, TargetLogin } from './target-login.ts'
import { type SessionConnection, TargetSession } from './target-session.ts'
import type { TransmitVector } from './transmit.ts'

/** For the log and the metrics; never one for each command. */
export type ConnectionEvent =
  | { readonly kind: 'logged-in'; readonly session: TargetSession }
  | {
      readonly kind: 'login-failed'
      readonly status: LoginStatus
      readonly reason: string
      readonly identity: LoginIdentity | undefined
    }
  | { readonly kind: 'logged-out' }
  /** The peer broke the protocol; the connection goes on. */
  | { readonly kind: 'rejected'; readonly reason: RejectReason; readonly explanation: string }
  | { readonly kind: 'dropped'; readonly reason: string }

export interface TargetConnectionOptions extends ConnectionOptions {
  readonly host: TargetHost
  readonly limits: TargetLimits
  /** Shared by all connections of the server. */
  readonly budget: MemoryBudget
  /** `address:port` of the peer. */
  readonly peerAddress: string
  /** `address:port` of our end. */
  readonly localAddress: string
}

type TimerName = 'login' | 'nop' | 'nopAnswer' | 'logout' | 'drain' | 'closing'

/** One TCP connection at the target: the completions of tasks go in, too. */
export class TargetConnection
  extends Connection<TimerName, ConnectionEvent>
  implements TaskConnection, SessionConnection
{
  readonly peerAddress: string
  readonly limits: TargetLimits
  readonly host: TargetHost
  readonly #login: TargetLogin
  readonly #budget: MemoryBudget
  #session: TargetSession | undefined
  #fullFeature: FullFeaturePhase | undefined
  #statSN = 1
  #transferTag = 0
  /** MaxCmdSN changed without a PDU that says so. */
  #windowMoved = false

  constructor(options: TargetConnectionOptions) {
    super(options, ['login', 'nop', 'nopAnswer', 'logout', 'drain', 'closing'])
    this.host = options.host
    this.limits = options.limits
    this.#budget = options.budget
    this.peerAddress = options.peerAddress
    this.#login = new TargetLogin(options.host, options.limits, options.peerAddress, options.localAddress)
    this.timers.set('login', options.now + options.limits.loginTimeoutMs)
  }

  get session(): TargetSession | undefined {
    return this.#session
  }

  get statSN(): number {
    return this.#statSN
  }

  get expCmdSN(): number {
    return this.#session?.window.expCmdSN ?? 0
  }

  get maxCmdSN(): number {
    return this.#session?.window.maxCmdSN ?? 0
  }

  get maxBurstLength(): number {
    return this.#session?.parameters.maxBurstLength ?? 0
  }

  // The runtime's side

  override pollTransmit(out: TransmitVector): boolean {
    if (this.#owesNopIn) this.enqueue(this.#nopIn(RESERVED_TAG))
    this.#windowMoved = false
    return super.pollTransmit(out)
  }

  override get hasOutput(): boolean {
    return super.hasOutput || this.#owesNopIn
  }

  protected lost(reason: string): void {
    if (this.state === 'login') this.emit({ kind: 'dropped', reason: `no end of the login: ${reason}` })
    else if (this.state === 'full-feature') {
      // Many initiators end a discovery session by hanging up.
      if (this.#session?.identity.type === 'Discovery') this.loggedOut()
      else this.emit({ kind: 'dropped', reason })
    }
    this.#cleanUp('connection-lost')
  }

  // SessionConnection and what the full feature phase uses

  sendControl(encode: EncodeHeader, data?: Uint8Array, advances = true, sent?: () => void): void {
    this.send(new ControlPdu(this, encode, data, advances, sent))
  }

  takeStatSN(): number {
    const statSN = this.#statSN
    this.#statSN = serialAdd(statSN, 1)
    return statSN
  }

  takeTransferTag(): number {
    this.#transferTag = this.#transferTag >= RESERVED_TAG - 1 ? 1 : this.#transferTag + 1
    return this.#transferTag
  }

  /** Answers a PDU with a Reject that carries its header (§11.17). */
  reject(pdu: ReceivedPdu, reason: RejectReason, explanation: string): void {
    const header = new Uint8Array(
      pdu.view.buffer,
      pdu.view.byteOffset + pdu.at,
      Math.min(BHS_BYTES + pdu.ahsLengthBytes, this.sendSegmentBytes),
    ).slice()
    this.sendControl(
      (view, at, numbering) =>
        encodeReject(view, at, { ...numbering, reason, dataSN: 0, dataSegmentLength: header.length }),
      header,
    )
    this.emit({ kind: 'rejected', reason, explanation })
  }

  /** Ends the connection at once: nothing that is queued is sent. */
  drop(reason: string): void {
    if (this.state === 'closed') return
    this.emit({ kind: 'dropped', reason })
    this.#cleanUp('connection-lost')
  }

  /** Another connection takes its place in the session. */
  replace(reason: string): void {
    this.#session = undefined
    this.drop(reason)
  }

  /** Sends what is queued, then closes. */
  closeAfterSending(reason?: string): void {
    if (this.state === 'closing' || this.state === 'closed') return
    if (reason !== undefined) this.emit({ kind: 'dropped', reason })
    this.#session?.close('connection-lost')
    this.stop('closing')
    // A peer that does not read must not keep its connection for ever.
    this.timers.set('closing', this.now + this.limits.nopTimeoutMs)
    this.wake()
  }

  loggedOut(): void {
    this.emit({ kind: 'logged-out' })
  }

  requestLogout(seconds: number, now: Instant): void {
    // It ends by itself, when its last responses have been sent.
    if (this.state === 'closing') return
    if (this.state !== 'full-feature' || this.#session?.identity.type === 'Discovery') {
      this.drop('the target is shutting down')
      return
    }
    this.timers.set('logout', now + seconds * 1000)
    this.sendControl((view, at, numbering) =>
      encodeAsyncMessage(view, at, {
        ...numbering,
        dataSegmentLength: 0,
        lun: 0n,
        asyncEvent: AsyncEvent.logoutRequest,
        asyncVCode: 0,
        parameter1: 0,
        parameter2: 0,
        parameter3: seconds,
      }),
    )
  }

  /** Bounds the wait for the data of aborted tasks. */
  startDrainTimer(): void {
    this.timers.set('drain', this.now + this.limits.drainTimeoutMs)
    this.wake()
  }

  /** A place of the command window became free without a response: a NOP-In says so if nothing else does (§11.4.11). */
  announceWindow(): void {
    this.#windowMoved = true
    this.wake()
  }

  get #owesNopIn(): boolean {
    return this.#windowMoved && !super.hasOutput && this.state === 'full-feature'
  }

  // PduSink

  onPdu(pdu: ReceivedPdu): void {
    if (this.state === 'login') this.#loginPdu(pdu)
    else if (this.state === 'full-feature') this.#fullFeature?.receive(pdu)
  }

  onFault(fault: PduFault): void {
    const opcode = opcodeName(opcodeOf(fault.view, fault.at))
    switch (fault.kind) {
      case 'header-digest':
        this.drop(`header digest error in what looks like a ${opcode}`)
        return
      case 'data-segment-too-long':
      case 'ahs-too-long': {
        const what = fault.kind === 'ahs-too-long' ? 'an AHS' : 'a data segment'
        const reason = `${opcode} announces ${what} of ${fault.lengthBytes} bytes, the limit is ${fault.limitBytes}`
        if (this.state === 'login') this.#failLogin(refuse(LoginStatus.initiatorError, reason), undefined)
        else this.drop(reason)
      }
    }
  }

  // Login

  #loginPdu(pdu: ReceivedPdu): void {
    const opcode = opcodeOf(pdu.view, pdu.at)
    if (opcode !== Opcode.loginRequest) {
      const reason = `${opcodeName(opcode)} before the end of the login`
      this.#failLogin(refuse(LoginStatus.invalidDuringLogin, reason), undefined)
      return
    }
    const header = decodeLoginRequest(pdu.view, pdu.at)
    const step = this.#login.request(header, pdu)
    if (step.kind === 'refusal') this.#failLogin(step, header)
    else if (step.kind === 'respond') this.#sendLoginResponse(header, step, 0)
    else this.#enterFullFeaturePhase(header, step)
  }

  #enterFullFeaturePhase(header: LoginRequest, step: LoginComplete): void {
    const { identity, keys } = this.#login
    if (!identity || !keys) throw new Error('a login ended without an identity')
    const session = identity.tsih === 0 ? this.#newSession(identity, keys, header) : this.#reinstate(identity)
    if (!(session instanceof TargetSession)) {
      this.#failLogin(session, header)
      return
    }
    session.connection = this
    this.#session = session
    keys.commit(true)
    const { headerDigest, dataDigest, sendSegmentBytes } = connectionParameters(keys)
    this.assembler.headerDigest = headerDigest
    this.assembler.dataDigest = dataDigest
    this.assembler.maxDataSegmentLength = this.#login.receiveSegmentBytes
    this.#fullFeature = new FullFeaturePhase(this, session, keys)
    this.connectionState = 'full-feature'
    this.timers.clear('login')
    this.timers.set('nop', this.now + this.#silenceLimitMs(identity))
    this.#sendLoginResponse(
      header,
      {
        kind: 'respond',
        transit: true,
        continue: false,
        csg: step.csg,
        nsg: LoginStage.fullFeaturePhase,
        data: step.data,
      },
      session.tsih,
      () => {
        this.headerDigest = headerDigest
        this.dataDigest = dataDigest
        this.sendSegmentBytes = sendSegmentBytes
      },
    )
    this.emit({ kind: 'logged-in', session })
  }

  #newSession(identity: LoginIdentity, keys: Negotiator, header: LoginRequest): TargetSession | LoginRefusal {
    const session = new TargetSession(this.host, identity, header.cmdSN, this.limits, this.#budget)
    const home = this.host.establish(identity, session)
    if (!home.ok) return home
    session.establish(home, sessionParameters(keys))
    return session
  }

  /** Connection reinstatement (§6.3.4) at ErrorRecoveryLevel 0: the tasks of the old connection end without notice. */
  #reinstate(identity: LoginIdentity): TargetSession | LoginRefusal {
    const session = this.host.reinstate(identity)
    if (!(session instanceof TargetSession)) return session
    if (session.identity.user !== identity.user) {
      return refuse(LoginStatus.authorizationFailure, 'the session belongs to another user')
    }
    session.connection.replace('the initiator logged in again: connection reinstatement')
    session.terminateTasks()
    return session
  }

  #sendLoginResponse(header: LoginRequest, step: LoginRespond, newTsih: number, sent?: () => void): void {
    // Before there is a session, the numbers are those that it will begin with (§11.12.8).
    const depth = this.limits.commandDepth
    this.sendControl(
      (view, at, numbering) =>
        encodeLoginResponse(view, at, {
          transit: step.transit,
          continue: step.continue,
          csg: step.csg,
          nsg: step.nsg,
          versionMax: 0,
          versionActive: 0,
          dataSegmentLength: step.data.length,
          isid: header.isid,
          tsih: newTsih || header.tsih,
          initiatorTaskTag: header.initiatorTaskTag,
          statSN: numbering.statSN,
          expCmdSN: this.#session ? numbering.expCmdSN : header.cmdSN,
          maxCmdSN: this.#session ? numbering.maxCmdSN : serialAdd(header.cmdSN, depth - 1),
          statusClass: 0,
          statusDetail: 0,
        }),
      step.data,
      true,
      sent,
    )
  }

  #failLogin(refusal: LoginRefusal, header: LoginRequest | undefined): void {
    const { status, reason, targetAddress } = refusal
    const request = header ?? this.#login.first
    const data = encodeText(targetAddress === undefined ? [] : [['TargetAddress', targetAddress]])
    this.sendControl(
      (view, at) =>
        encodeLoginResponse(view, at, {
          transit: false,
          continue: false,
          csg: 0,
          nsg: 0,
          versionMax: 0,
          versionActive: 0,
          dataSegmentLength: data.length,
          isid: request?.isid ?? new Uint8Array(6),
          tsih: request?.tsih ?? 0,
          initiatorTaskTag: request?.initiatorTaskTag ?? RESERVED_TAG,
          statSN: 0,
          expCmdSN: 0,
          maxCmdSN: 0,
          statusClass: status.statusClass,
          statusDetail: status.statusDetail,
        }),
      data,
    )
    if (refusal.isFailedProof) this.host.authenticationFailed(this.peerAddress)
    this.emit({ kind: 'login-failed', status, reason, identity: this.#login.identity })
    this.closeAfterSending()
  }

  // Timers

  protected expired(name: TimerName): void {
    switch (name) {
      case 'login':
        this.emit({
          kind: 'login-failed',
          status: LoginStatus.initiatorError,
          reason: `no login within ${this.limits.loginTimeoutMs} ms`,
          identity: this.#login.identity,
        })
        this.#cleanUp('connection-lost')
        return
      case 'nop':
        this.#nopDue()
        return
      case 'nopAnswer':
        if (this.now - this.lastReceived >= this.limits.nopTimeoutMs) {
          this.drop(`no answer to a NOP-In for ${this.limits.nopTimeoutMs} ms`)
        }
        return
      case 'logout':
        this.drop('the initiator did not log out when asked to')
        return
      case 'drain':
        this.#session?.abandonOwed()
        return
      case 'closing':
        this.#cleanUp('connection-lost')
    }
  }

  /** How long the initiator may be silent before it is asked, or a discovery session ends. */
  #silenceLimitMs({ type }: LoginIdentity): number {
    return type === 'Normal' ? this.limits.nopIntervalMs : this.limits.discoveryIdleMs
  }

  /** Asks for a sign of life only where there was none for a whole interval. */
  #nopDue(): void {
    const identity = this.#session?.identity
    if (!identity) return
    const limitMs = this.#silenceLimitMs(identity)
    if (this.now - this.lastReceived < limitMs) {
      this.timers.set('nop', this.lastReceived + limitMs)
    } else if (identity.type === 'Discovery') {
      this.drop(`a discovery session was silent for ${limitMs} ms`)
    } else {
      this.timers.set('nop', this.now + limitMs + this.limits.nopTimeoutMs)
      this.timers.set('nopAnswer', this.now + this.limits.nopTimeoutMs)
      this.send(this.#nopIn(this.takeTransferTag()))
    }
  }

  /** A NOP-In of our own; with a tag, one that wants an answer. It carries the next StatSN without advancing it. */
  #nopIn(targetTransferTag: number): ControlPdu {
    return new ControlPdu(
      this,
      (view, at, numbering) =>
        encodeNopIn(view, at, {
          ...numbering,
          dataSegmentLength: 0,
          lun: 0n,
          initiatorTaskTag: RESERVED_TAG,
          targetTransferTag,
        }),
      undefined,
      false,
    )
  }

  #cleanUp(closure: SessionClosure): void {
    this.connectionState = 'closed'
    this.#session?.close(closure)
    this.stop('closed')
  }
}
