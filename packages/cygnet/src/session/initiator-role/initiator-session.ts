import { type Instant, TimerTable } from '../../base/clock.ts'
import type { Serial32 } from '../../base/serial32.ts'
import { viewOf } from '../../base/bytes.ts'
import { opcodeOf } from '../../pdu/bhs.ts'
import { LogoutReason, TaskManagementResponseCode } from '../../pdu/codes.ts'
import { Opcode } from '../../pdu/opcodes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { AdditionalConnections } from './additional-connections.ts'
import { ControlRequests } from './control-requests.ts'
import { ConnectionRecovery } from './connection-recovery.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import { FIRST_CID, InitiatorConnections } from './initiator-connections.ts'
import {
  type Closure,
  type Grace,
  type InitiatorEvent,
  lostConnection,
  noConnection,
  sessionIsClosed,
} from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import type { LoginRedirection } from './initiator-login.ts'
import type { LoginFailure } from './initiator-login-failure.ts'
import type { SessionPolicy } from './initiator-policy.ts'
import type { SessionEvent } from './initiator-session-events.ts'
import type {
  InitiatorSessionOptions,
  PingDone,
  SessionPhase,
  TextDone,
} from './initiator-session-options.ts'
import type { InitiatorTask } from './initiator-task.ts'
import { InitiatorTasks } from './initiator-tasks.ts'
import type { Pair } from '../negotiator.ts'
import type { SessionParameters } from '../parameters.ts'
import type { PortalAddress } from '../portal-address.ts'
import { RecoveryCounters } from '../recovery-counters.ts'
import { RequestWindow } from './request-window.ts'
import type { ScsiRequest } from './scsi-request.ts'
import { sessionClosed } from './scsi-result.ts'
import { SessionOutbox } from './session-outbox.ts'
import type { SessionParts } from './session-parts.ts'
import { reopenWaitSeconds, SessionRecovery } from './session-recovery.ts'
import {
  type InitiatorSessionEvent,
  type InitiatorSessionState,
  initiatorSessionTransitions,
} from '../states/initiator-session-states.ts'
import { StateMachine } from '../states/state-machine.ts'
import { type ManageDone, TaskManagementRequests } from './task-management-requests.ts'
import { TaskReplay } from './task-replay.ts'
import { tagAfter } from './task-table.ts'

type TimerName = 'sweep' | 'recovery' | 'reopen' | 'connections' | 'drain'
const timerNames = ['sweep', 'recovery', 'reopen', 'connections', 'drain'] as const

const MS_PER_SECOND = 1000

const dropAnnounced = lostConnection('the target announced that it drops it')
const logoutWanted = lostConnection('the target asked us to log out')

/**
 * An initiator's session, sans-IO. The host (a runtime or a simulator)
 * - opens a byte stream for each connection that a `connect` event brings, then calls `connection.transportOpened(now)`,
 *   or `connection.transportClosed(reason, now)` where that failed or when the stream ends;
 * - feeds each connection with `receive`, sends what `hasOutput` and `pollTransmit` have, calls `handleTimeout` at
 *   `pollTimeout`, and ends the stream of one whose `state` is `closed`;
 * - calls the session's own `handleTimeout` at its `pollTimeout`, and drains `pollEvent` after each of these.
 *
 * It owns the numbering of commands, the requests and the connections. What is lost is recovered in the smallest scope
 * that the negotiated ErrorRecoveryLevel allows (RFC 7143 §7.1.4): within a command and a connection (`InitiatorTasks`,
 * `InitiatorConnection`; level 1), by connection (`ConnectionRecovery`; level 2), else by opening the session again
 * (`SessionRecovery`).
 */
export class InitiatorSession implements SessionParts {
  readonly counters = new RecoveryCounters()
  readonly window: RequestWindow
  readonly limits: InitiatorLimits
  readonly policy: SessionPolicy
  readonly tasks: InitiatorTasks
  readonly management: TaskManagementRequests
  readonly #options: InitiatorSessionOptions
  readonly #machine = new StateMachine<InitiatorSessionState, InitiatorSessionEvent>(
    initiatorSessionTransitions,
    'FREE',
  )
  readonly #timers = new TimerTable<TimerName>(timerNames)
  readonly #connections: InitiatorConnections
  readonly #more: AdditionalConnections
  readonly #recovery: ConnectionRecovery
  readonly #reopening: SessionRecovery
  readonly #replay: TaskReplay
  readonly #controls = new ControlRequests()
  readonly #outbox: SessionOutbox
  #phase: SessionPhase = 'idle'
  #leading: InitiatorConnection | undefined
  #parameters: SessionParameters | undefined
  #tsih = 0
  #nextTag = 1
  #now: Instant

  constructor(options: InitiatorSessionOptions) {
    this.#options = options
    this.#outbox = new SessionOutbox(options.wake)
    this.limits = options.limits
    this.policy = options.policy
    this.#now = options.now
    this.window = new RequestWindow(this.#newCmdSN())
    this.tasks = new InitiatorTasks(this)
    this.management = new TaskManagementRequests(this)
    this.#connections = new InitiatorConnections(this, options)
    this.#more = new AdditionalConnections(this, this.#connections)
    this.#recovery = new ConnectionRecovery(this)
    this.#reopening = new SessionRecovery(this)
    this.#replay = new TaskReplay(this, this.#outbox)
  }

  // For callers

  /** 0 before the first login. */
  get tsih(): number {
    return this.#tsih
  }

  /** RFC 7143 §8.3.1. */
  get machineState(): InitiatorSessionState {
    return this.#machine.state
  }

  /** What was agreed on for the session, the last time that it was opened. */
  get parameters(): SessionParameters | undefined {
    return this.#parameters
  }

  /** The connection that the session was opened with, the last time; its keys are the session's. */
  get leading(): InitiatorConnection | undefined {
    return this.#leading
  }

  /** The connections that are not closed. */
  get connections(): readonly InitiatorConnection[] {
    return this.#connections.list
  }

  /** Requests are taken: logged in, or being opened again; not closing. */
  get isOpen(): boolean {
    return this.#phase === 'open' || this.#phase === 'reopening'
  }

  /** Opens the leading connection. */
  start(now: Instant): void {
    this.#now = now
    this.#phase = 'opening'
    this.connect(FIRST_CID, undefined)
  }

  /** Takes a request; it waits where the command window is closed or the session is being opened again. */
  execute(request: ScsiRequest): void {
    if (this.isOpen || this.#phase === 'opening') this.tasks.add(request)
    else this.#outbox.afterwards(() => request.done(sessionClosed))
  }

  /** Ends a request with TASK_ABORTED, once the target has aborted its task; no effect where it is done. */
  abort(request: ScsiRequest): void {
    const task = this.tasks.find(request)
    if (task === undefined || task.endCode !== undefined) return
    task.endCode = 'TASK_ABORTED'
    this.management.abort(task)
  }

  /** Asks whether the target has the task of a request (QUERY TASK): function succeeded, or function complete where not. */
  queryTask(request: ScsiRequest, done: ManageDone): void {
    const task = this.tasks.find(request)
    if (task === undefined)
      this.#outbox.afterwards(() => done(TaskManagementResponseCode.taskDoesNotExist, undefined))
    else this.management.query(task, done)
  }

  /** A task management function for a LUN or the target (`TaskManagementFunction` 2..7, 10..12). */
  manage(taskManagementFunction: number, lun: number, done: ManageDone): void {
    if (!this.management.manage(taskManagementFunction, lun, done))
      this.#outbox.afterwards(() => done(undefined, this.#unavailable))
  }

  /** Has the target echo `data`. */
  ping(done: PingDone, data?: Uint8Array): void {
    const connection = this.requestConnection()
    if (connection === undefined) this.#outbox.afterwards(() => done(this.#unavailable))
    else this.#controls.ping(connection, data, done)
  }

  /** Sends a text request. */
  text(pairs: readonly Pair[], done: TextDone): void {
    const connection = this.requestConnection()
    if (connection === undefined) this.#outbox.afterwards(() => done(undefined, this.#unavailable))
    else this.#controls.text(connection, pairs, done)
  }

  /** Declares a new MaxRecvDataSegmentLength on all connections, 512..2^24-1 bytes. */
  declareSegment(lengthBytes: number): void {
    for (const connection of this.#connections.list)
      if (connection.canRequest) connection.declareSegment(lengthBytes)
  }

  /** One more connection, up to what the target agreed to; false where that is reached. */
  addConnection(): boolean {
    if (this.#phase !== 'open' || !this.#connections.want()) return false
    this.#openMore()
    return true
  }

  /** Logs a connection out when its tasks are done; the others go on. Not the last one. */
  removeConnection(cid: number): void {
    this.#connections.remove(cid)
  }

  /** Ends the session: `ended` follows. Requests without a result fail with SESSION_CLOSED. */
  logOut(): void {
    if (this.#phase === 'ended' || this.#phase === 'closing') return
    const connection = this.requestConnection()
    this.#phase = 'closing'
    this.#recovery.cancel()
    this.#reopening.cancel()
    if (connection === undefined) {
      this.#connections.abandon()
      this.#end(undefined, undefined)
    } else connection.logOut(LogoutReason.closeSession)
  }

  // For the host

  pollEvent(): SessionEvent | undefined {
    return this.#outbox.poll()
  }

  get hasEvents(): boolean {
    return !this.#outbox.isEmpty
  }

  pollTimeout(): Instant | undefined {
    return this.#timers.next()
  }

  handleTimeout(now: Instant): void {
    this.#now = Math.max(this.#now, now)
    this.#outbox.runLater()
    for (let name = this.#timers.expired(now); name !== undefined; name = this.#timers.expired(now))
      this.#expired(name)
  }

  #expired(name: TimerName): void {
    switch (name) {
      case 'sweep':
        this.tasks.sweep(this.#now)
        this.management.sweep(this.#now)
        this.#connections.probe(this.management, this.#now)
        this.watch()
        return
      case 'recovery':
        this.#recovery.handleTimeout(this.#now)
        return
      case 'reopen':
        this.#reopening.handleTimeout(this.#now)
        return
      case 'connections':
        this.#openMore()
        return
      case 'drain':
        this.#connections.logOutDraining()
    }
  }

  get #unavailable(): Closure {
    return this.isOpen || this.#phase === 'opening' ? noConnection : sessionIsClosed
  }

  // For its parts

  get now(): Instant {
    return this.#now
  }

  takeTag(): number {
    let tag = this.#nextTag
    while (this.tasks.isTaken(tag) || this.management.has(tag) || this.#controls.has(tag)) tag = tagAfter(tag)
    this.#nextTag = tagAfter(tag)
    return tag
  }

  wake(): void {
    this.#outbox.wake()
  }

  /** A deadline may have to be looked at. */
  watch(): void {
    const isNeeded = this.tasks.size > 0 || this.management.size > 0
    if (!isNeeded || this.#timers.deadline('sweep') !== undefined) return
    this.#timers.set('sweep', this.#now + this.limits.sweepMs)
    this.wake()
  }

  setRecoveryTimer(deadline: Instant | undefined): void {
    this.#setTimer('recovery', deadline)
  }

  setReopenTimer(deadline: Instant | undefined): void {
    this.#setTimer('reopen', deadline)
  }

  #setTimer(name: TimerName, deadline: Instant | undefined): void {
    if (deadline === undefined) this.#timers.clear(name)
    else this.#timers.set(name, deadline)
    this.wake()
  }

  windowMoved(): void {
    this.tasks.dispatch()
  }

  chooseConnection(): InitiatorConnection | undefined {
    return this.#phase === 'open' ? this.#connections.choose() : undefined
  }

  requestConnection(): InitiatorConnection | undefined {
    return this.#connections.anyForRequests()
  }

  taskTimedOut(task: InitiatorTask): void {
    this.management.abort(task)
  }

  taskProven(task: InitiatorTask, connection: InitiatorConnection): void {
    this.management.taskProven(task, connection)
  }

  taskNotReassigned(task: InitiatorTask): void {
    this.#replay.notReassigned(task)
  }

  taskLeft(connection: InitiatorConnection): void {
    this.#connections.taskLeft(connection)
  }

  /** §7.2.2: the target has no such task any more, though it took the command. */
  taskForgotten(task: InitiatorTask): void {
    this.#replay.replay([task])
    this.tasks.dispatch()
  }

  recovered(cid: number): void {
    this.#outbox.emit({ kind: 'connection-recovered', cid })
    this.#openMore()
    this.tasks.dispatch()
  }

  // ConnectionOwner

  taskPdu(connection: InitiatorConnection, pdu: ReceivedPdu, opcode: number): void {
    this.#now = Math.max(this.#now, connection.now)
    if (opcode === Opcode.taskManagementResponse) this.management.response(connection, pdu)
    else this.tasks.receive(connection, pdu, opcode)
  }

  taskPduLost(connection: InitiatorConnection, pdu: ReceivedPdu): void {
    this.#now = Math.max(this.#now, connection.now)
    this.tasks.spoiled(connection, pdu)
  }

  taskPduRejected(connection: InitiatorConnection, header: DataView, reason: number): void {
    if (opcodeOf(header, 0) === Opcode.taskManagementRequest) this.management.rejected(header, reason)
    else this.tasks.rejected(connection, header, reason)
  }

  tasksTerminated(connection: InitiatorConnection, lun: bigint, expCmdSN: Serial32): void {
    this.management.terminated(connection, lun, expCmdSN)
  }

  connectionEvent(connection: InitiatorConnection, event: InitiatorEvent): void {
    this.#now = Math.max(this.#now, connection.now)
    switch (event.kind) {
      case 'logged-in':
        this.#loggedIn(connection)
        return
      case 'failed':
      case 'redirected':
        this.#loginFailed(connection, event)
        return
      case 'text':
        this.#controls.ended(event.request, event.pairs, undefined)
        return
      case 'pong':
        this.#controls.ended(event.request, undefined, undefined)
        return
      case 'request-failed':
        this.#controls.ended(event.request, undefined, event.failure)
        return
      case 'notice':
        this.#outbox.emit(event)
        return
      case 'logout-wanted':
        this.#connections.drain(connection)
        this.#setTimer('drain', this.#now + (event.withinSeconds * MS_PER_SECOND) / 2)
        return
      case 'drop-announced':
        // One that is being opened in its place is not meant.
        if (this.#connections.get(event.cid)?.state === 'full-feature')
          this.#connections.get(event.cid)?.drop(dropAnnounced, 'connection', event.grace, 'dropAnnounced')
        return
      case 'recovery-logout':
        this.#recovery.loggedOut(event.cid, event.response, event.grace)
        return
      case 'recovery-logout-rejected':
        this.#recovery.logoutRejected(event.cid)
        return
      case 'logged-out':
        this.#loggedOut(connection)
        return
      case 'dropped':
        this.#lost(connection, event.failure, event.scope, event.grace)
    }
  }

  // Connections

  connect(cid: number, portal: PortalAddress | undefined, oldExpStatSN: Serial32 = 0): InitiatorConnection {
    const connection = this.#connections.open(cid, portal, oldExpStatSN)
    this.#outbox.emit({ kind: 'connect', connection, portal })
    return connection
  }

  openMoreLater(delayMs: number): void {
    this.#setTimer('connections', this.#now + delayMs)
  }

  #openMore(): void {
    if (this.#phase !== 'open' || !this.#recovery.isIdle) return
    this.#more.open()
  }

  #loggedIn(connection: InitiatorConnection): void {
    if (this.#tsih === 0) this.#sessionOpened(connection)
    else {
      if (this.#machine.can('continued')) {
        this.#machine.on('continued')
        this.counters.sessionContinuation++
      }
      this.#more.loggedIn()
      if (!this.#recovery.loggedIn(connection))
        this.#outbox.emit({ kind: 'connection-added', cid: connection.cid })
    }
    this.tasks.dispatch()
    this.#openMore()
  }

  #sessionOpened(connection: InitiatorConnection): void {
    this.#tsih = connection.tsih
    this.#leading = connection
    this.#parameters = connection.sessionParameters
    this.#machine.on('loginSucceeded')
    const isFirst = this.#phase === 'opening'
    this.#phase = 'open'
    if (isFirst) this.#outbox.emit({ kind: 'logged-in' })
    else {
      this.counters.sessionReinstatement++
      this.#reopening.succeeded()
      this.#outbox.emit({ kind: 'session-reinstated' })
    }
    this.watch()
  }

  #loginFailed(connection: InitiatorConnection, event: LoginFailure | LoginRedirection): void {
    this.#connections.forget(connection)
    if (this.#phase === 'opening')
      this.#end(
        event.kind === 'failed' ? { code: event.code, message: event.message } : lostConnection('redirected'),
        event,
      )
    else if (this.#phase === 'reopening') this.#reopening.failed(event)
    else if (this.#phase === 'open' && !this.#recovery.loginFailed(connection, event))
      this.#more.failed(connection, event, this.#recovery.isIdle && !this.#connections.isAnyLoggedIn)
  }

  #loggedOut(connection: InitiatorConnection): void {
    const isAlone = this.#connections.list.length === 1
    const wasWanted = !this.#connections.isDraining(connection)
    this.#connections.forget(connection)
    if (this.#phase === 'closing') {
      this.#connections.abandon()
      this.#end(undefined, undefined)
    } else if (isAlone || wasWanted) this.#loggedOutByTarget()
    else {
      this.management.connectionLost(connection)
      this.#replay.replay(this.tasks.suspend(connection))
      this.#recovery.connectionLeft(connection)
      this.#outbox.emit({ kind: 'connection-removed', cid: connection.cid })
      this.tasks.dispatch()
      this.#openMore()
    }
  }

  /** The last connection was logged out because the target wanted so. */
  #loggedOutByTarget(): void {
    if (this.#mayReopen) this.#loseSession(logoutWanted, undefined)
    else {
      this.#connections.abandon()
      this.#end(undefined, undefined)
    }
  }

  // What is lost

  #lost(
    connection: InitiatorConnection,
    failure: Closure,
    scope: 'connection' | 'session',
    grace: Grace | undefined,
  ): void {
    if (!this.#connections.list.includes(connection)) return
    this.#connections.forget(connection)
    this.counters.connectionLost++
    this.#outbox.emit({ kind: 'connection-lost', cid: connection.cid, failure })
    if (this.#phase === 'closing') {
      this.#connections.abandon()
      this.#end(failure, undefined)
      return
    }
    if (this.#phase !== 'open') return
    this.management.connectionLost(connection)
    if (scope === 'connection' && this.#parameters?.errorRecoveryLevel === 2) {
      if (!this.#connections.isAnyLoggedIn && this.#machine.can('failed')) this.#machine.on('failed')
      this.#recovery.begin(connection, failure, grace)
    } else this.#loseSession(failure, grace)
  }

  /** Nothing but a new session helps. */
  giveUpSession(failure: Closure, grace?: Grace): void {
    if (this.#phase === 'open') this.#loseSession(failure, grace)
  }

  get #mayReopen(): boolean {
    return this.policy.reopenLimitMs > 0 && this.#options.login.type === 'Normal'
  }

  #loseSession(failure: Closure, grace: Grace | undefined): void {
    this.counters.sessionLost++
    if (this.#machine.can('failed')) this.#machine.on('failed')
    this.#recovery.cancel()
    const waitSeconds = reopenWaitSeconds(grace, this.#parameters?.defaultTime2Wait ?? 0)
    this.#phase = this.#mayReopen ? 'reopening' : 'closing'
    this.#connections.abandon()
    this.management.failAll(failure)
    this.#replay.replay(
      this.tasks.all().filter((task) => task.state !== 'waiting'),
      failure,
    )
    if (this.#phase === 'reopening') {
      this.#outbox.emit({ kind: 'session-lost', failure })
      this.#reopening.begin(failure, waitSeconds)
    } else this.#end(failure, undefined)
  }

  // ConnectionRecovery and SessionRecovery

  reinstate(cid: number, oldExpStatSN: Serial32, portal = this.#more.portal): InitiatorConnection {
    return this.connect(cid, portal, oldExpStatSN)
  }

  reopen(portal: PortalAddress | undefined): void {
    this.#connections.abandon()
    if (this.#machine.state === 'FAILED') this.#machine.on('reinstated')
    this.#more.portal = portal
    this.#tsih = 0
    this.#parameters = undefined
    this.window.restart(this.#newCmdSN())
    this.connect(FIRST_CID, portal)
  }

  notReopened(failure: Closure): void {
    this.#connections.abandon()
    this.#end(failure, undefined)
  }

  #newCmdSN(): number {
    return viewOf(this.#options.random(4)).getUint32(0)
  }

  #end(failure: Closure | undefined, login: LoginFailure | LoginRedirection | undefined): void {
    if (this.#phase === 'ended') return
    this.#phase = 'ended'
    this.#recovery.cancel()
    this.#reopening.cancel()
    this.#timers.clearAll()
    if (this.#machine.state === 'LOGGED_IN') this.#machine.on('closed')
    else if (this.#machine.state === 'FAILED') this.#machine.on('timedOut')
    this.management.failAll(failure ?? sessionIsClosed)
    this.tasks.failAll(failure ?? sessionIsClosed)
    this.#controls.failAll(failure ?? sessionIsClosed)
    this.#outbox.emit({ kind: 'ended', failure, login })
  }
}
