import { assert } from '../base/assert.ts'
import type { Instant } from '../base/clock.ts'
import { serialLess } from '../base/serial32.ts'
import type { ScsiTask } from '../scsi/task.ts'
import { CommandWindow } from './command-window.ts'
import { faultTask } from './data-out-fault.ts'
import { type IscsiTask, QueuedR2T, type TaskSession } from './iscsi-task.ts'
import type { TargetLimits } from './limits.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { SessionParameters } from './parameters.ts'
import type { LoginIdentity, SessionClosure, SessionHome, TargetHost } from './target-host.ts'
import type { Outgoing } from './transmit.ts'

/** The connection, as its session drives it. */
export interface SessionConnection {
  send(item: Outgoing): void
  /** MaxCmdSN changed, and no response is made for it. */
  announceWindow(): void
  /** A tag that no other transfer of the connection has. */
  takeTransferTag(): number
  /** Ends the connection without a word; the session is already over. */
  drop(reason: string): void
  /** Ends the connection; its session goes on with another. */
  replace(reason: string): void
  /** Ends the connection when everything that is queued was sent. */
  closeAfterSending(reason?: string): void
  /** Asks the initiator to log out (§11.9.1, event 1) within `seconds`. */
  requestLogout(seconds: number, now: Instant): void
}

const isOwedAborted = (task: IscsiTask): boolean => task.state === 'owed' && task.aborting

/** A command in the command window. */
export interface Deliverable {
  /** Its turn has come. */
  deliver(): void
}

/**
 * A session at the target (RFC 7143 §4.3): the command window, the tasks and their buffer memory. Its connection feeds
 * it decoded requests in the order of arrival and takes PDUs to send.
 *
 * A task's way: `receive` registers it by its Initiator Task Tag, so that its data finds it; in CmdSN order it is
 * delivered; when there is memory for its whole transfer it is submitted to the logical unit; the unit asks for data,
 * or is done; the response goes out when the initiator has sent all that it owes.
 */
export class TargetSession implements TaskSession {
  readonly identity: LoginIdentity
  readonly window: CommandWindow<Deliverable>
  /** Set when the login ends. */
  parameters!: SessionParameters
  connection!: SessionConnection
  #home: SessionHome | undefined
  readonly #host: TargetHost
  readonly #limits: TargetLimits
  readonly #tasks = new Map<number, IscsiTask>()
  /** Delivered, in order, and waiting for memory. */
  #waiting: IscsiTask[] = []
  #reservedBytes = 0
  readonly #budget: MemoryBudget
  readonly #retry = (): void => this.#submitWaiting()
  #immediateCount = 0
  #endWaiters: (() => void)[] = []
  /** Initiator task tags of the task management functions in work. */
  readonly managementTags = new Set<number>()
  #closed = false

  constructor(
    host: TargetHost,
    identity: LoginIdentity,
    initialCmdSN: number,
    limits: TargetLimits,
    budget: MemoryBudget,
  ) {
    this.#budget = budget
    this.#host = host
    this.identity = identity
    this.#limits = limits
    this.window = new CommandWindow(initialCmdSN, limits.commandDepth)
  }

  get home(): SessionHome {
    assert(this.#home !== undefined, 'the session is not established')
    return this.#home
  }

  get tsih(): number {
    return this.#home?.tsih ?? 0
  }

  get taskCount(): number {
    return this.#tasks.size
  }

  establish(home: SessionHome, parameters: SessionParameters): void {
    this.#home = home
    this.parameters = parameters
  }

  task(initiatorTaskTag: number): IscsiTask | undefined {
    return this.#tasks.get(initiatorTaskTag)
  }

  /** All immediate places are taken. */
  get isImmediateFull(): boolean {
    return this.#immediateCount >= this.#limits.immediateDepth
  }

  /** Registers a task. False where its tag is in use. An aborted task that only waits for data gives its tag up. */
  register(task: IscsiTask): boolean {
    const other = this.#tasks.get(task.tag)
    if (other && !(other.state === 'owed' && other.aborting)) return false
    if (other) this.#end(other)
    this.#tasks.set(task.tag, task)
    if (task.command.immediate) this.#immediateCount++
    return true
  }

  /** The command's turn has come. */
  deliver(task: IscsiTask): void {
    if (task.aborting) {
      // Aborted before its turn: it is here only to move the window on.
      if (task.holdsPlace && task.state === 'ended') {
        this.window.complete()
        this.connection.announceWindow()
      }
      return
    }
    this.#waiting.push(task)
    this.#submitWaiting()
  }

  /** Data-Out arrived for a task. */
  dataArrived(task: IscsiTask): void {
    if (task.state === 'owed') {
      if (!task.isOwed) this.#answer(task)
    } else if (task.state === 'submitted' && !task.isDone) {
      this.#continueTransfer(task)
    }
  }

  // TaskOwner

  taskWantsData(scsiTask: ScsiTask): void {
    this.#continueTransfer(scsiTask as IscsiTask)
  }

  taskDone(scsiTask: ScsiTask): void {
    const task = scsiTask as IscsiTask
    if (task.aborted) {
      const fault = task.dataOutTransfer?.fault
      if (fault !== undefined && task.failing && !task.aborting) {
        task.aborted = false
        faultTask(task, fault)
      } else task.aborting = true
    }
    task.state = 'owed'
    if (task.isOwed) task.dataOutTransfer?.discard()
    else this.#answer(task)
    task.onAborted?.()
    this.#checkEndWaiters()
  }

  /** The last PDU of the task is leaving. */
  retire(task: IscsiTask): void {
    this.#end(task)
    this.#submitWaiting()
  }

  /** Its response has not been made yet: task management can still end it. */
  canAbort(task: IscsiTask): boolean {
    return !task.aborting && (!task.isDone || task.state === 'owed')
  }

  /** Ends one task by task management: no response will be sent for it. `done` when it has ended. */
  abort(task: IscsiTask, done?: () => void): void {
    if (!this.canAbort(task)) return
    task.aborting = true
    if (task.state === 'owed') {
      done?.()
      return
    }
    task.onAborted = done
    if (task.state === 'submitted') {
      this.home.port.abort(task)
      return
    }
    this.#waiting = this.#waiting.filter((waiting) => waiting !== task)
    task.aborted = true
    task.finish()
  }

  /** Ends the tasks before `cmdSN` that are not with their logical unit, not yet or no longer: what a group function covers besides the unit's own. */
  abortOutside(lun: number | undefined, cmdSN: number): void {
    for (const task of [...this.#tasks.values()]) {
      const isOlder = task.command.immediate || serialLess(task.command.cmdSN, cmdSN)
      if (task.state === 'submitted' || !isOlder) continue
      if (lun === undefined || task.lun === lun) this.abort(task)
    }
  }

  /** Calls back when none of the affected tasks owes data (§4.2.3.3 a), or when `abandonOwed` gives up on it. */
  whenNothingOwed(done: () => void): void {
    if (this.owedAbortedCount > 0) this.#endWaiters.push(done)
    else done()
  }

  /** The initiator takes too long over the data of aborted tasks: stop waiting for it. */
  abandonOwed(): void {
    for (const task of [...this.#tasks.values()]) if (isOwedAborted(task)) this.#end(task)
    this.connection.announceWindow()
    this.#submitWaiting()
  }

  get isWaitingForOwed(): boolean {
    return this.#endWaiters.length > 0
  }

  /** Ends all tasks without notice to the initiator (§6.3.4); the session goes on. */
  terminateTasks(): void {
    if (this.#tasks.size > 0) this.home.port.tasksCleared()
    this.#waiting = []
    this.managementTags.clear()
    this.window.takeHeld()
    for (const task of [...this.#tasks.values()]) {
      const isSubmitted = task.state === 'submitted' && !task.isDone
      task.aborting = true
      if (isSubmitted) this.home.port.abort(task)
      else this.#end(task)
    }
  }

  /** Ends the session and all its tasks; the caller deals with the connection. */
  close(closure: SessionClosure): void {
    if (this.#closed) return
    this.#closed = true
    this.#budget.forget(this.#retry)
    this.#waiting = []
    this.#endWaiters = []
    this.window.takeHeld()
    for (const task of [...this.#tasks.values()]) {
      task.aborting = true
      // The logical unit ends those that are with it: it hears of the loss of the nexus.
      if (task.state !== 'submitted') this.#end(task)
    }
    this.#host.sessionClosed(this, closure)
  }

  #continueTransfer(task: IscsiTask): void {
    const transfer = task.dataOutTransfer
    if (!transfer) return
    if (transfer.fault !== undefined) {
      if (transfer.isOwed) return
      task.failing = true
      this.home.port.abort(task)
      return
    }
    if (transfer.isUnsolicitedOpen) return
    const wantedBytes = task.wantedBytes
    if (transfer.receivedBytes >= wantedBytes) {
      if (transfer.isOwed) return
      task.dataOut = transfer.slicesUpTo(wantedBytes)
      this.home.port.resume(task)
      return
    }
    for (;;) {
      const r2t = transfer.nextR2T(wantedBytes, () => this.connection.takeTransferTag())
      if (!r2t) return
      this.connection.send(new QueuedR2T(task, r2t))
    }
  }

  #submitWaiting(): void {
    while (!this.#closed) {
      const task = this.#waiting[0]
      if (!task) return
      const limit = this.#limits.sessionBufferBytes
      const reserve = Math.min(task.dataInLimitBytes + task.dataOutLimitBytes, limit)
      if (this.#reservedBytes + reserve > limit) return
      if (this.#reservedBytes === 0) this.#budget.reserve(reserve)
      else if (!this.#budget.tryReserve(reserve, this.#retry)) return
      this.#waiting.shift()
      this.#reservedBytes += reserve
      task.reservedBytes = reserve
      const transfer = task.dataOutTransfer
      if (transfer?.fault !== undefined) {
        faultTask(task, transfer.fault)
        task.finish()
        continue
      }
      task.state = 'submitted'
      this.home.port.submit(task)
    }
  }

  /** Sends the response of a task that is done and owed nothing, or ends it silently. */
  #answer(task: IscsiTask): void {
    task.dataOutTransfer?.release()
    if (task.aborting || this.#closed) {
      task.discard()
      this.#end(task)
      this.connection.announceWindow()
      this.#submitWaiting()
      return
    }
    task.state = 'responding'
    this.connection.send(task)
  }

  #end(task: IscsiTask): void {
    if (task.state === 'ended') return
    if (task.state === 'owed') task.discard()
    task.state = 'ended'
    task.dataOutTransfer?.release()
    if (this.#tasks.get(task.tag) === task) this.#tasks.delete(task.tag)
    const { reservedBytes } = task
    this.#reservedBytes -= reservedBytes
    task.reservedBytes = 0
    if (task.command.immediate) this.#immediateCount--
    else if (task.holdsPlace) this.window.complete()
    this.#checkEndWaiters()
    this.#budget.release(reservedBytes)
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
}
