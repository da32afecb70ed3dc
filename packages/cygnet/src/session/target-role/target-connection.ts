import type { Instant } from '../../base/clock.ts'
import type { PooledBuffer } from '../../base/pool.ts'
import { serialAdd, serialDistance } from '../../base/serial32.ts'
import { BHS_BYTES, opcodeOf, RESERVED_TAG } from '../../pdu/bhs.ts'
import { encodeAsyncMessage } from '../../pdu/async-message.ts'
import { AsyncEvent, type RejectReason } from '../../pdu/codes.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import { encodeNopIn } from '../../pdu/nop.ts'
import { opcodeName } from '../../pdu/opcodes.ts'
import type { PduFault, ReceivedPdu } from '../../pdu/received-pdu.ts'
import { encodeReject } from '../../pdu/reject.ts'
import { Connection, type ConnectionOptions } from '../connection.ts'
import { ControlPdu, type EncodeHeader } from '../control-pdu.ts'
import { FullFeaturePhase } from './full-feature.ts'
import type { IscsiTask } from './iscsi-task.ts'
import type { TargetLimits } from '../limits.ts'
import type { MemoryBudget } from './memory-budget.ts'
import { connectionParameters } from '../parameters.ts'
import { RecoveryCounters } from '../recovery-counters.ts'
import { RetainedResponses } from './retained-responses.ts'
import type { AsyncNotice, Departure, SessionConnection } from './session-connections.ts'
import { SnackService } from './snack-service.ts'
import { TargetConnectionStates } from './target-connection-life.ts'
import { type LoginIdentity, refuse, type TargetHost } from './target-host.ts'
import { type LoggedIn, LoginPhase } from './target-login-phase.ts'
import type { TargetSession } from './target-session.ts'
import type { Response, TransmitVector } from '../transmit.ts'

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
  /** Shared by all connections of the server. */
  readonly counters?: RecoveryCounters
  /** `address:port` of the peer. */
  readonly peerAddress: string
  /** `address:port` of our end. */
  readonly localAddress: string
}

const timerNames = ['login', 'nop', 'nopAnswer', 'logout', 'drain', 'closing', 'sequence'] as const
type TimerName = (typeof timerNames)[number]

/**
 * One TCP connection at the target: the completions of tasks go in, too.
 *
 * After its TCP connection has ended its `state` is `closed`, but it may still have a deadline: its tasks, or its place
 * in the session, are kept for Time2Wait and Time2Retain (RFC 7143 §8.2). Until `pollTimeout()` gives none, `handleTimeout` is
 * to be called when that has come; `wake` says that it may have changed.
 */
export class TargetConnection extends Connection<TimerName, ConnectionEvent> implements SessionConnection {
  readonly peerAddress: string
  readonly limits: TargetLimits
  readonly host: TargetHost
  readonly counters: RecoveryCounters
  readonly #life = new TargetConnectionStates()
  readonly #login: LoginPhase
  #session: TargetSession | undefined
  #fullFeature: FullFeaturePhase | undefined
  #cid = 0
  #statSN = 1
  /** The initiator has acknowledged all before it. */
  #ackedStatSN = 1
  #retained: RetainedResponses | undefined
  #snacks: SnackService | undefined
  #transferTag = 0
  /** MaxCmdSN changed without a PDU that says so. */
  #windowMoved = false
  #isWatchingSequences = false
  /** CmdSN of a Logout Request that waits for its turn. */
  #logoutCmdSN: number | undefined
  /** Batches that left, and how many had when it was last looked. */
  #batches = 0
  #seenBatches = -1

  constructor(options: TargetConnectionOptions) {
    super(options, timerNames)
    this.host = options.host
    this.limits = options.limits
    this.counters = options.counters ?? new RecoveryCounters()
    this.peerAddress = options.peerAddress
    this.#login = new LoginPhase(this, options.budget, options.localAddress)
    this.timers.set('login', options.now + options.limits.loginTimeoutMs)
  }

  get session(): TargetSession | undefined {
    return this.#session
  }

  get cid(): number {
    return this.#cid
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

  get isRecoverable(): boolean {
    return this.#retained !== undefined
  }

  /** What serves SNACKs, at ErrorRecoveryLevel 1 and 2. */
  get snacks(): SnackService | undefined {
    return this.#snacks
  }

  get isWaitingForCleanup(): boolean {
    return this.#life.isWaitingForCleanup
  }

  // The runtime's side

  /** As late as any connection of its session knows it to be. */
  override get now(): Instant {
    return Math.max(super.now, this.#session?.now ?? 0)
  }

  override receive(segment: PooledBuffer, start: number, end: number, now: Instant): void {
    if (this.#session) this.#session.now = now
    super.receive(segment, start, end, now)
  }

  override pollTransmit(out: TransmitVector): boolean {
    if (this.#owesNopIn) this.enqueue(this.#nopIn(RESERVED_TAG))
    this.#windowMoved = false
    this.#batches++
    const more = super.pollTransmit(out)
    if (this.state === 'closed') this.timers.clear('closing')
    return more
  }

  /** Its own deadline, or that of what is kept of its session's lost connections. */
  override pollTimeout(): Instant | undefined {
    const own = super.pollTimeout()
    const shared = this.#session?.connections.deadlineFor(this)
    return shared === undefined || (own !== undefined && own < shared) ? own : shared
  }

  override handleTimeout(now: Instant): void {
    if (this.#session) this.#session.now = now
    super.handleTimeout(now)
    this.#session?.connections.expire(now)
  }

  override get hasOutput(): boolean {
    return super.hasOutput || this.#owesNopIn
  }

  protected lost(reason: string): void {
    if (this.state === 'login') {
      this.emit({ kind: 'dropped', reason: `no end of the login: ${reason}` })
      this.#life.machine.on('transportLost')
    } else if (this.state === 'full-feature') {
      // Many initiators end a discovery session by hanging up.
      if (this.#session?.identity.type === 'Discovery') this.emit({ kind: 'logged-out' })
      else this.emit({ kind: 'dropped', reason })
      this.#lose('transportLost')
      return
    }
    this.stop('closed')
  }

  // SessionConnection and what the full feature phase uses

  sendControl(encode: EncodeHeader, data?: Uint8Array, advances = true, sent?: () => void): void {
    this.send(new ControlPdu(this, encode, data, advances, sent))
  }

  takeStatSN(response: Response): number {
    const statSN = this.#statSN
    this.#statSN = serialAdd(statSN, 1)
    this.#retained?.add(response)
    return statSN
  }

  takeTransferTag(): number {
    this.#transferTag = this.#transferTag >= RESERVED_TAG - 1 ? 1 : this.#transferTag + 1
    return this.#transferTag
  }

  takeDataAckTag(task: IscsiTask): number {
    const tag = this.takeTransferTag()
    this.#snacks?.addDataAckTag(tag, task)
    return tag
  }

  forgetDataAckTag(targetTransferTag: number): void {
    this.#snacks?.forgetDataAckTag(targetTransferTag)
  }

  /** Whether anybody looks at what the initiator acknowledges. */
  get watchesStatus(): boolean {
    if (this.#retained !== undefined) return true
    const parameters = this.#session?.parameters
    return (
      parameters !== undefined && (parameters.maxConnections > 1 || parameters.taskReporting === 'FastAbort')
    )
  }

  acknowledge(expStatSN: number): void {
    if (serialDistance(this.#ackedStatSN, expStatSN) <= 0) return
    if (serialDistance(expStatSN, this.#statSN) < 0) return
    this.#ackedStatSN = expStatSN
    this.#retained?.acknowledge(expStatSN)
    this.#session?.acknowledged()
  }

  hasAcknowledged(statSN: number): boolean {
    return serialDistance(statSN, this.#ackedStatSN) >= 0
  }

  solicitAcknowledgment(sent: () => void): void {
    if (this.timers.deadline('nopAnswer') === undefined) {
      this.timers.set('nopAnswer', this.now + this.limits.nopTimeoutMs)
    }
    this.send(this.#nopIn(this.takeTransferTag(), sent))
  }

  sendAsync(notice: AsyncNotice, sent?: () => void): void {
    const { asyncEvent, lun = 0n, parameter1 = 0, parameter2 = 0, parameter3 = 0, data } = notice
    this.sendControl(
      (view, at, numbering) =>
        encodeAsyncMessage(view, at, {
          ...numbering,
          dataSegmentLength: data?.length ?? 0,
          lun,
          asyncEvent,
          asyncVCode: 0,
          parameter1,
          parameter2,
          parameter3,
        }),
      data,
      true,
      sent,
    )
  }

  /** Answers a PDU with a Reject that carries its header (§11.17). `dataSN`: see §11.17.2. */
  reject(pdu: ReceivedPdu, reason: RejectReason, explanation: string, dataSN = 0): void {
    const header = new Uint8Array(
      pdu.view.buffer,
      pdu.view.byteOffset + pdu.at,
      Math.min(BHS_BYTES + pdu.ahsLengthBytes, this.sendSegmentBytes),
    ).slice()
    this.sendControl(
      (view, at, numbering) =>
        encodeReject(view, at, { ...numbering, reason, dataSN, dataSegmentLength: header.length }),
      header,
    )
    this.counters.countReject(reason)
    this.emit({ kind: 'rejected', reason, explanation })
  }

  drop(reason: string): void {
    if (this.state === 'closed') return
    this.emit({ kind: 'dropped', reason })
    if (this.state === 'full-feature') this.#lose('dropped')
    else {
      if (this.state === 'login') this.#life.machine.on('transportLost')
      this.stop('closed')
    }
  }

  depart(how: Departure, reason: string): void {
    if (this.state !== 'full-feature') return
    if (how === 'logoutSucceeded') this.#life.machine.on('logoutReceived')
    this.#life.machine.on(how)
    this.emit({ kind: 'dropped', reason })
    this.stop('closed')
  }

  closeAfterSending(reason?: string): void {
    if (this.state === 'closing' || this.state === 'closed') return
    if (reason !== undefined) this.emit({ kind: 'dropped', reason })
    if (this.state === 'full-feature') this.#life.machine.on('sessionClosed')
    this.#close()
  }

  /** Sends what is queued, then closes. */
  #close(): void {
    this.stop('closing')
    // A peer that does not read must not keep its connection for ever.
    this.timers.set('closing', this.now + this.limits.nopTimeoutMs)
    this.wake()
  }

  /** A Logout has come, with its turn at `cmdSN`: nothing new may follow it (§11.14). */
  logoutAnnounced(cmdSN: number): void {
    this.#logoutCmdSN = cmdSN
  }

  /** Whether a command comes after the Logout of its connection; one before it may still be sent again. */
  isLoggedOutBefore(cmdSN: number): boolean {
    return this.#logoutCmdSN !== undefined && serialDistance(this.#logoutCmdSN, cmdSN) >= 0
  }

  /** Its Logout has been answered: it is no longer in its session. */
  loggedOut(): void {
    this.#life.machine.on('logoutReceived')
    this.#life.machine.on('logoutSucceeded')
    this.emit({ kind: 'logged-out' })
    this.#close()
  }

  /** For the login phase: the last response has been queued. */
  loginFailed(status: LoginStatus, reason: string): void {
    this.#life.machine.on('loginFailed')
    this.emit({ kind: 'login-failed', status, reason, identity: this.#login.identity })
    this.#close()
  }

  requestLogout(seconds: number, now: Instant): void {
    // It ends by itself, when its last responses have been sent.
    if (this.state === 'closing' || this.state === 'closed') return
    if (this.state !== 'full-feature' || this.#session?.identity.type === 'Discovery') {
      this.drop('the target is shutting down')
      return
    }
    this.#life.machine.on('logoutRequested')
    this.timers.set('logout', now + seconds * 1000)
    this.sendAsync({ asyncEvent: AsyncEvent.logoutRequest, parameter3: seconds })
  }

  /** Asks for parameter negotiation within `seconds` (§11.9.1, event 4). */
  requestNegotiation(seconds: number): void {
    this.sendAsync({ asyncEvent: AsyncEvent.negotiationRequest, parameter3: seconds })
  }

  startDrainTimer(): void {
    this.timers.set('drain', this.now + this.limits.drainTimeoutMs)
    this.wake()
  }

  watchSequences(): void {
    if (this.#isWatchingSequences) return
    this.#isWatchingSequences = true
    this.timers.set('sequence', this.now + this.limits.sequenceTimeoutMs)
  }

  cleanedUp(how: Departure | 'timedOut'): void {
    this.#life.cleanedUp(how)
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
    if (this.state === 'login') {
      this.#life.loginReceived()
      const loggedIn = this.#login.receive(pdu)
      if (loggedIn) this.#enterFullFeaturePhase(loggedIn)
    } else if (this.state === 'full-feature') this.#fullFeature?.receive(pdu)
  }

  onFault(fault: PduFault): void {
    const opcode = opcodeName(opcodeOf(fault.view, fault.at))
    switch (fault.kind) {
      case 'header-digest':
        this.counters.digestErrorHeader++
        this.drop(`header digest error in what looks like a ${opcode}`)
        return
      case 'data-segment-too-long':
      case 'ahs-too-long': {
        const what = fault.kind === 'ahs-too-long' ? 'an AHS' : 'a data segment'
        const reason = `${opcode} announces ${what} of ${fault.lengthBytes} bytes, the limit is ${fault.limitBytes}`
        if (this.state === 'login') {
          this.#life.loginReceived()
          this.#login.fail(refuse(LoginStatus.initiatorError, reason), undefined)
          // §7.7: a format error ends every connection of the session.
        } else this.#session?.end('connection-lost', reason)
      }
    }
  }

  #enterFullFeaturePhase(loggedIn: LoggedIn): void {
    const { session, identity, keys } = loggedIn
    this.#cid = identity.cid
    this.#session = session
    const { headerDigest, dataDigest, sendSegmentBytes } = connectionParameters(keys)
    this.assembler.headerDigest = headerDigest
    this.assembler.dataDigest = dataDigest
    this.assembler.maxDataSegmentLength = loggedIn.receiveSegmentBytes
    this.#fullFeature = new FullFeaturePhase(this, session, keys)
    this.connectionState = 'full-feature'
    this.#life.machine.on('loginSucceeded')
    this.timers.clear('login')
    this.timers.set('nop', this.now + this.#silenceLimitMs(identity))
    session.connections.add(this, loggedIn.oldExpStatSN)
    loggedIn.respond(() => {
      this.headerDigest = headerDigest
      this.dataDigest = dataDigest
      this.sendSegmentBytes = sendSegmentBytes
      if (session.isRecoverable) this.#retainResponses(session)
    })
    this.emit({ kind: 'logged-in', session })
  }

  /** From the StatSN after the last login response on. */
  #retainResponses(session: TargetSession): void {
    const { retainedResponses, retainedBytes } = this.limits
    this.#retained = new RetainedResponses(this.#statSN, retainedResponses, retainedBytes)
    this.#snacks = new SnackService(this, session, this.#retained)
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
        this.#life.machine.on('loginTimedOut')
        this.stop('closed')
        return
      case 'nop':
        this.#nopDue()
        return
      case 'nopAnswer':
        if (this.now - this.lastReceived > this.limits.nopTimeoutMs) {
          this.drop(`no answer to a NOP-In for ${this.limits.nopTimeoutMs} ms`)
        }
        return
      case 'logout':
        this.drop('the initiator did not log out when asked to')
        return
      case 'drain':
        this.#session?.abandonOwed(this)
        return
      case 'sequence':
        this.#sequencesDue()
        return
      case 'closing':
        this.stop('closed')
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
    if (super.hasOutput && this.#batches === this.#seenBatches) {
      this.drop('the initiator does not read what it is sent')
      return
    }
    this.#seenBatches = super.hasOutput ? this.#batches : -1
    const limitMs = this.#silenceLimitMs(identity)
    // The same sum as the deadline: a difference may be rounded to the other side, and the timer would never be over.
    const due = this.lastReceived + limitMs
    if (this.now < due) {
      this.timers.set('nop', due)
    } else if (identity.type === 'Discovery') {
      this.drop(`a discovery session was silent for ${limitMs} ms`)
    } else {
      this.timers.set('nop', this.now + limitMs + this.limits.nopTimeoutMs)
      this.timers.set('nopAnswer', this.now + this.limits.nopTimeoutMs)
      this.send(this.#nopIn(this.takeTransferTag()))
    }
  }

  /** Sequences of Data-Out that have not moved since it was looked the last time are timed out (§7.1.4.1). */
  #sequencesDue(): void {
    this.#isWatchingSequences = false
    if (this.#session?.sequencesTimedOut(this)) this.watchSequences()
  }

  /** A NOP-In of our own; with a tag, one that wants an answer. It carries the next StatSN without advancing it. */
  #nopIn(targetTransferTag: number, sent?: () => void): ControlPdu {
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
      sent,
    )
  }

  /** Without a logout: its session decides what becomes of its tasks. */
  #lose(event: 'transportLost' | 'dropped'): void {
    this.#life.lose(event)
    this.connectionState = 'closed'
    this.#session?.connections.lost(this)
    this.stop('closed')
  }
}
