import { assert } from '../../base/assert.ts'
import type { Instant } from '../../base/clock.ts'
import type { ScsiTask } from '../../scsi/task.ts'
import { AsyncEvent } from '../../pdu/codes.ts'
import { CommandOrder, type Deliverable } from './command-order.ts'
import type { CommandWindow } from './command-window.ts'
import { faultTask } from './data-out-fault.ts'
import { FastAborts } from './fast-abort.ts'
import { IscsiTask, isBefore, QueuedR2T, type TaskSession } from './iscsi-task.ts'
import type { TargetLimits } from '../limits.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { SessionParameters } from '../parameters.ts'
import { RecoveryCounters } from '../recovery-counters.ts'
import { needsFence, ResponseFence } from './response-fence.ts'
import { type ConnectionsOwner, type SessionConnection, SessionConnections } from './session-connections.ts'
import type { LoginIdentity, SessionClosure, SessionHome, TargetHost } from './target-host.ts'
import { TaskAdmission } from './task-admission.ts'
import { TaskTable } from './task-table.ts'

const isOwedAborted = (task: IscsiTask): boolean => task.state === 'owed' && task.aborting

/**
 * A session at the target (RFC 7143 §4.3): its connections, the command window, the tasks and their buffer memory. Its
 * connections feed it decoded requests in the order of arrival and take PDUs to send.
 *
 * A task's way: `register` notes it by its Initiator Task Tag, so that its data finds it; in CmdSN order it is
 * delivered; when there is memory for its whole transfer it is submitted to the logical unit; the unit asks for data,
 * or is done; the response goes out when the initiator has sent all that it owes. At ErrorRecoveryLevel 1 and 2 it stays
 * until the response is acknowledged; at 2 it outlives its connection.
 */
export class TargetSession implements TaskSession, ConnectionsOwner {
  readonly identity: LoginIdentity
  readonly order: CommandOrder
  readonly connections: SessionConnections
  readonly counters: RecoveryCounters
  /** The latest that its connections were told. */
  now: Instant = 0
  /** Set when the login ends. */
  parameters!: SessionParameters
  #home: SessionHome | undefined
  readonly #host: TargetHost
  readonly #limits: TargetLimits
  readonly #tasks = new TaskTable()
  readonly #admission: TaskAdmission
  #immediateCount = 0
  #endWaiters: (() => void)[] = []
  /** Initiator task tags of the task management functions in work, and where they came from. */
  readonly managementTags = new Map<number, SessionConnection>()
  readonly #fence: ResponseFence
  readonly #fastAborts = new FastAborts((connection, lun) => this.abandonOwed(connection, lun))
  #closed = false

  constructor(
    host: TargetHost,
    identity: LoginIdentity,
    initialCmdSN: number,
    limits: TargetLimits,
    budget: MemoryBudget,
    counters = new RecoveryCounters(),
  ) {
    this.#host = host
    this.identity = identity
    this.#limits = limits
    this.counters = counters
    this.order = new CommandOrder(initialCmdSN, limits.commandDepth, limits.immediateDepth)
    this.connections = new SessionConnections(this, limits.nopTimeoutMs)
    this.#fence = new ResponseFence(
      () => this.connections.live.values(),
      (task) => this.resume(task),
    )
    this.#admission = new TaskAdmission(limits, budget, (task) => this.#submit(task))
  }

  get home(): SessionHome {
    assert(this.#home !== undefined, 'the session is not established')
    return this.#home
  }

  get tsih(): number {
    return this.#home?.tsih ?? 0
  }

  get window(): CommandWindow<Deliverable> {
    return this.order.window
  }

  get taskCount(): number {
    return this.#tasks.size
  }

  /** ErrorRecoveryLevel 1 or 2. */
  get isRecoverable(): boolean {
    return this.parameters.errorRecoveryLevel > 0
  }

  get hasStatusQualifiers(): boolean {
    return this.parameters.iSCSIProtocolLevel >= 2
  }

  establish(home: SessionHome, parameters: SessionParameters): void {
    this.#home = home
    this.parameters = parameters
  }

  task(initiatorTaskTag: number): IscsiTask | undefined {
    return this.#tasks.get(initiatorTaskTag)
  }

  get tasks(): Iterable<IscsiTask> {
    return this.#tasks.values()
  }

  /** All immediate places are taken; but each connection always has one (§4.2.2.1). */
  isImmediateFull(connection: SessionConnection): boolean {
    if (this.#immediateCount < this.#limits.immediateDepth) return false
    for (const task of this.#tasks.values()) {
      if (task.connection === connection && task.command.immediate && task.isPlaced) return true
    }
    return false
  }

  /**
   * Registers a task. False where its tag is in use. An aborted task that only waits for data, and one whose response
   * the initiator must have seen, as it has used the tag again, give their tag up.
   */
  register(task: IscsiTask): boolean {
    const other = this.#tasks.get(task.tag)
    if (other) {
      if (isOwedAborted(other)) this.#end(other)
      else if (other.state === 'sent' && !other.isSuspended) this.forget(other)
      else return false
    }
    this.#tasks.add(task)
    if (task.command.immediate) this.#immediateCount++
    return true
  }

  /** The command's turn has come. */
  deliver(task: IscsiTask): void {
    if (task.aborting) {
      // Aborted before its turn: it is here only to move the window on.
      if (task.state === 'ended') {
        this.#freePlace(task)
        this.announceWindow(task.connection)
      }
      return
    }
    this.#admission.enter(task)
  }

  /** A place of the command window became free without a response: a connection that lives says so. */
  announceWindow(preferred: SessionConnection): void {
    const { live, any } = this.connections
    const connection = live.get(preferred.cid) === preferred ? preferred : any
    connection?.announceWindow()
  }

  /** Data-Out arrived for a task, or will not arrive any more. */
  dataArrived(task: IscsiTask): void {
    if (task.state === 'owed') {
      if (!task.isOwed) this.#answer(task)
    } else if (task.state === 'submitted' && !task.isDone) {
      this.#continueTransfer(task)
    }
  }

  // TaskOwner

  taskWantsData(scsiTask: ScsiTask): void {
    const task = scsiTask as IscsiTask
    task.wantsData = true
    this.#continueTransfer(task)
  }

  taskDone(scsiTask: ScsiTask): void {
    const task = scsiTask as IscsiTask
    if (task.aborted) {
      const fault = task.dataOutTransfer?.fault
      if (fault !== undefined && task.failing && !task.aborting) {
        task.aborted = false
        faultTask(task, fault)
      } else {
        // Ended by somebody else, with its unit (§4.2.3.4 d 1).
        if (!task.aborting && !task.isTerminationTold && this.isFastAbort) this.#tellTermination(task)
        task.aborting = true
      }
    }
    task.state = 'owed'
    if (task.isOwed) task.dataOutTransfer?.discard()
    else this.#answer(task)
    task.onAborted?.()
    this.#checkEndWaiters()
  }

  /** The initiator of one connection has acknowledged more. */
  acknowledged(): void {
    this.#fence.check()
    this.#fastAborts.check()
  }

  /** The last PDU of the task is leaving. */
  retire(task: IscsiTask): void {
    if (!this.isRecoverable || task.state === 'ended') {
      this.#end(task)
      this.#admission.submitWaiting()
      return
    }
    task.state = 'sent'
    this.#freePlace(task)
    this.#admission.release(task, task.dataInBuffer ? task.dataIn.length : 0)
  }

  /** The last PDU of the task has left: its data may be dropped where others need the memory. */
  left(task: IscsiTask): void {
    if (task.state === 'sent') this.#admission.retain(task)
  }

  /** Its response is acknowledged, or there is no room to keep it. */
  forget(task: IscsiTask): void {
    task.isSilenced = true
    task.dropData()
    this.#end(task)
    this.#admission.submitWaiting()
  }

  /** Its response has not been made yet: task management can still end it. */
  canAbort(task: IscsiTask): boolean {
    return !task.aborting && (!task.isDone || task.state === 'owed' || task.state === 'done')
  }

  /** Ends one task by task management: no response will be sent for it. `done` when it has ended. */
  abort(task: IscsiTask, done?: () => void): void {
    if (!this.canAbort(task)) return
    task.aborting = true
    if (task.state === 'done') this.#answer(task)
    if (task.isDone) {
      done?.()
      return
    }
    task.onAborted = done
    if (task.state === 'submitted') {
      this.home.port.abort(task)
      return
    }
    this.#admission.withdraw(task)
    task.aborted = true
    task.finish()
  }

  /** Ends the tasks before `cmdSN` that are not with their logical unit, not yet or no longer: what a group function covers besides the unit's own. */
  abortOutside(lun: number | undefined, cmdSN: number): void {
    for (const task of this.#tasks.values()) {
      if (task.state === 'submitted' || !isBefore(task, cmdSN)) continue
      if (lun === undefined || task.lun === lun) this.abort(task)
    }
  }

  /** Calls back when none of the affected tasks owes data (§4.2.3.3 a), or when `abandonOwed` gives up on it. */
  whenNothingOwed(done: () => void): void {
    if (this.owedAbortedCount > 0) this.#endWaiters.push(done)
    else done()
    if (this.#endWaiters.length === 0) return
    const owing = new Set<SessionConnection>()
    for (const task of this.#tasks.values()) if (isOwedAborted(task)) owing.add(task.connection)
    for (const connection of owing) connection.startDrainTimer()
  }

  /** TaskReporting=FastAbort (§4.2.3.4). */
  get isFastAbort(): boolean {
    return this.parameters.taskReporting === 'FastAbort'
  }

  #tellTermination(task: IscsiTask): void {
    task.isTerminationTold = true
    if (this.connections.live.get(task.connection.cid) !== task.connection) return
    this.#fastAborts.notify(task.connection, task.command.lun)
    task.connection.startDrainTimer()
  }

  /**
   * Tasks are about to be ended by a function that came over `issuing`: the initiator sends nothing more for them there,
   * and is told so on the other connections (§4.2.3.4 d 2). Returns what ends the wait for their data.
   */
  fastAbort(issuing: SessionConnection, lun: number | undefined): () => void {
    const affected = this.#tasks
      .values()
      .filter((task) => !task.isDone && (lun === undefined || task.lun === lun))
    for (const task of affected) task.isTerminationTold = true
    return () => {
      for (const task of affected)
        if (task.connection !== issuing && !task.isSuspended) this.#tellTermination(task)
      this.abandonOwed(issuing)
    }
  }

  /** The data of aborted tasks will not come, or takes too long: stop waiting for it. */
  abandonOwed(connection: SessionConnection, lun?: bigint): void {
    for (const task of this.#tasks.values()) {
      if (task.connection !== connection || !isOwedAborted(task)) continue
      if (lun === undefined || task.command.lun === lun) this.#end(task)
    }
    this.announceWindow(connection)
    this.#admission.submitWaiting()
  }

  /**
   * Looks for Data-Out that has not moved since the last look: it will be asked for again (§7.1.4.1). Whether some is still
   * owed to the connection.
   */
  sequencesTimedOut(connection: SessionConnection): boolean {
    let isOwed = false
    for (const task of this.#tasks.values()) {
      const transfer = task.dataOutTransfer
      if (task.connection !== connection || task.aborting || !transfer?.isOwed) continue
      if (transfer.isSilent()) {
        this.counters.sequenceTimeout++
        transfer.burstTimedOut()
        this.dataArrived(task)
      }
      isOwed ||= transfer.isOwed
    }
    return isOwed
  }

  get hasGap(): boolean {
    return this.window.heldCount > 0
  }

  get expCmdSN(): number {
    return this.window.expCmdSN
  }

  gapTimedOut(): void {
    this.counters.fallbackToSessionRecovery++
    this.drop('commands of a lost connection were not sent again')
  }

  // ConnectionsOwner

  connectionGone(connection: SessionConnection, keepsTasks: boolean): void {
    for (const [tag, from] of [...this.managementTags])
      if (from === connection) this.managementTags.delete(tag)
    for (const request of this.order.discard(connection)) {
      if (!(request instanceof IscsiTask)) continue
      // An ABORT TASK has counted it as received (§7.11).
      if (request.state === 'ended') this.window.plug(request.command.cmdSN)
      else this.#end(request)
    }
    // Before anything else is delivered or released: that must not be sent here.
    if (keepsTasks) {
      connection.withdrawTasks()
      for (const task of this.#tasks.values()) if (task.connection === connection) this.#suspend(task)
    }
    this.#fastAborts.connectionGone(connection)
    this.order.deliverReady()
    this.#fence.check()
    if (!keepsTasks) this.terminateTasksOf(connection)
  }

  terminateTasksOf(connection: SessionConnection): number {
    const tasks = this.#tasks.values().filter((task) => task.connection === connection)
    const active = tasks.filter((task) => task.state !== 'sent')
    if (active.length > 0) this.home.port.tasksCleared()
    for (const task of tasks) this.#terminate(task)
    this.#admission.submitWaiting()
    return active.length
  }

  /** Ends a task without notice to the initiator. */
  #terminate(task: IscsiTask): void {
    const isSubmitted = task.state === 'submitted' && !task.isDone
    task.aborting = true
    task.dataOutTransfer?.abandonOwed()
    this.#admission.withdraw(task)
    if (isSubmitted) {
      this.home.port.abort(task)
      return
    }
    if (task.state !== 'responding') task.releaseDataIn()
    this.#end(task)
  }

  /** Its connection is gone: it goes on as far as it can without one (§7.2.2). Immediate commands are not recoverable (§7.14). */
  #suspend(task: IscsiTask): void {
    // It is in no queue any more.
    const wasQueued = task.state === 'responding'
    if (wasQueued) task.state = 'done'
    if (task.command.immediate || task.aborting) {
      this.#terminate(task)
      return
    }
    task.isSuspended = true
    task.dataOutTransfer?.abandonOwed()
    if (!wasQueued) this.dataArrived(task)
  }

  /** It has a connection again: goes on with what has to be sent. */
  resume(task: IscsiTask): void {
    if (task.state === 'done' || task.state === 'sent') this.#respond(task)
    else this.dataArrived(task)
  }

  /** Ends the session, its tasks and its connections, at once. */
  end(closure: SessionClosure, reason: string): void {
    const live = [...this.connections.live.values()]
    this.close(closure)
    const how = closure === 'reinstated' ? closure : 'sessionClosed'
    for (const connection of live) connection.depart(how, reason)
  }

  /** A Logout closes the session: the connection that it came over is still to send the response. */
  closeFrom(connection: SessionConnection): void {
    const others = [...this.connections.live.values()].filter((other) => other !== connection)
    this.close('logout')
    for (const other of others) other.depart('sessionClosed', 'the session was logged out')
  }

  /** Reports an event of a unit, with its sense data (§11.9.1, event 0). */
  reportEvent(lun: bigint, sense: Uint8Array): void {
    const data = new Uint8Array(2 + sense.length)
    data.set([sense.length >>> 8, sense.length])
    data.set(sense, 2)
    this.connections.any?.sendAsync({ asyncEvent: AsyncEvent.scsiEvent, lun, data })
  }

  /** Ends the session, and says so (§11.9.1, event 3). */
  drop(reason: string): void {
    for (const connection of this.connections.live.values()) {
      connection.sendAsync({ asyncEvent: AsyncEvent.sessionDrop })
    }
    this.endAfterSending('connection-lost', reason)
  }

  /** Ends the session; what has been answered already still goes out. */
  endAfterSending(closure: SessionClosure, reason?: string): void {
    const live = [...this.connections.live.values()]
    this.close(closure)
    for (const connection of live) connection.closeAfterSending(reason)
  }

  /** Ends the session and all its tasks; the caller deals with the connections. */
  close(closure: SessionClosure): void {
    if (this.#closed) return
    this.#closed = true
    this.connections.end(closure)
    this.#admission.close()
    this.#endWaiters = []
    this.order.discardAll()
    for (const task of this.#tasks.values()) {
      task.aborting = true
      task.dataOutTransfer?.abandonOwed()
      // The logical unit ends those that are with it: it hears of the loss of the nexus.
      if (task.state === 'submitted') continue
      if (task.state !== 'responding') task.releaseDataIn()
      this.#end(task)
    }
    if (closure === 'connection-lost') this.counters.sessionLost++
    else if (closure === 'reinstated') this.counters.sessionReinstatement++
    this.#host.sessionClosed(this, closure)
  }

  #continueTransfer(task: IscsiTask): void {
    const transfer = task.dataOutTransfer
    if (!transfer) return
    if (transfer.fault !== undefined) {
      if (transfer.isOwed || task.failing) return
      task.failing = true
      this.counters.fallbackWithinCommand++
      this.home.port.abort(task)
      return
    }
    if (transfer.isUnsolicitedOpen || !task.wantsData) return
    const wantedBytes = task.wantedBytes
    if (transfer.receivedBytes >= wantedBytes) {
      if (transfer.isOwed) return
      task.wantsData = false
      task.dataOut = transfer.slicesUpTo(wantedBytes)
      this.home.port.resume(task)
      return
    }
    if (task.isSuspended) return
    for (;;) {
      const { isRecovering } = transfer
      const r2t = transfer.nextR2T(wantedBytes, () => task.connection.takeTransferTag())
      if (!r2t) return
      if (isRecovering) this.counters.recoveryR2T++
      task.connection.send(new QueuedR2T(task, r2t))
      if (this.isRecoverable) task.connection.watchSequences()
    }
  }

  /** There is memory for the whole transfer. */
  #submit(task: IscsiTask): void {
    const transfer = task.dataOutTransfer
    if (transfer?.fault === undefined) {
      task.state = 'submitted'
      this.home.port.submit(task)
    } else {
      faultTask(task, transfer.fault)
      task.finish()
    }
  }

  /** Sends the response of a task that is done and owed nothing, or ends it silently. */
  #answer(task: IscsiTask): void {
    task.dataOutTransfer?.release()
    if (task.aborting || this.#closed) {
      task.discard()
      this.#end(task)
      this.announceWindow(task.connection)
      this.#admission.submitWaiting()
      return
    }
    this.#respond(task)
  }

  /** Sends the result of a task, or keeps it where it has no connection or is behind a fence. */
  #respond(task: IscsiTask): void {
    task.state = 'done'
    // Its data is to be sent: it is not kept for a SNACK only.
    this.#admission.unretain(task)
    if (task.isSuspended || (!this.#fence.isClear && this.#fence.holds(task))) return
    const { connection } = task
    if (!this.isFenced || !needsFence(task)) this.#sendResponse(task)
    else {
      const send = (sent: () => void): void => {
        // It may have been aborted, or have lost its connection, while it waited.
        if (task.state !== 'done' || task.isSuspended || task.connection !== connection) {
          sent()
          return
        }
        task.onSent = sent
        this.#sendResponse(task)
      }
      this.#fence.raise({ connection, lun: task.lun, send })
    }
  }

  #sendResponse(task: IscsiTask): void {
    task.state = 'responding'
    task.connection.send(task)
  }

  /** Fences matter: there are several connections, and it was agreed on (§13.23). */
  get isFenced(): boolean {
    return this.connections.live.size > 1 && this.parameters.taskReporting !== 'RFC3720'
  }

  /** The response to a task management function for many tasks follows all responses of those (§11.6.1). */
  sendFenced(
    connection: SessionConnection,
    lun: number | undefined,
    send: (sent?: () => void) => void,
  ): void {
    if (this.connections.live.size <= 1) send()
    else this.#fence.raise({ connection, lun, send })
  }

  #end(task: IscsiTask): void {
    if (task.state === 'ended') return
    if (task.state === 'owed') task.discard()
    task.state = 'ended'
    task.dataOutTransfer?.release()
    if (task.recovery) task.connection.forgetDataAckTag(task.recovery.targetTransferTag)
    this.#tasks.delete(task)
    this.#freePlace(task)
    this.#checkEndWaiters()
    this.#admission.release(task, 0)
  }

  #freePlace(task: IscsiTask): void {
    if (!task.isPlaced) return
    if (task.command.immediate) this.#immediateCount--
    else if (!task.holdsPlace) return
    else this.window.complete()
    task.isPlaced = false
  }

  /** Aborted tasks whose data is still to come. */
  get owedAbortedCount(): number {
    let count = 0
    for (const task of this.#tasks.values()) if (isOwedAborted(task)) count++
    return count
  }

  #checkEndWaiters(): void {
    if (this.#endWaiters.length === 0 || this.owedAbortedCount > 0) return
    const waiters = this.#endWaiters
    this.#endWaiters = []
    for (const done of waiters) done()
  }

  /** Asks every connection's initiator to log out. */
  requestLogout(seconds: number, now: Instant): void {
    for (const connection of this.connections.live.values()) connection.requestLogout(seconds, now)
  }
}
