import { assert } from '../base/assert.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { hasNaca, NACA } from '../scsi/cdb.ts'
import { get8 } from '../scsi/fields.ts'
import type { PendingEvent } from '../scsi/pending-event.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField, SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import { TaskAttribute } from '../scsi/task.ts'
import { isBlockedByAca, statusDuringAca } from './aca.ts'
import type { CommandTable, TableEntry } from './command-table.ts'
import { checkUsage, CommandFlag } from './command-table.ts'
import type { LogicalUnit, NexusLoss, ResetCause } from './logical-unit.ts'
import { NexusAttentions } from './nexus-attentions.ts'
import type { AbortGroup, OperationHost, Phase, Step } from './operation.ts'
import { Operation } from './operation.ts'
import { OperationSet } from './operation-set.ts'
import { RangeLocks } from './range-locks.ts'
import type { ReservationGate } from './reservations.ts'
import { openGate } from './reservations.ts'
import { TaskSet } from './task-set.ts'
import type { UnitAttention } from './unit-attention.ts'
import { isReset } from './unit-attention.ts'

/** Tasks that a unit holds unless told otherwise. */
export const DEFAULT_TASK_LIMIT = 1024

/** QERR of the control mode page: which tasks end with one that ends with CHECK CONDITION (SPC-5 §7.5.10). */
export const QueueError = { none: 0, all: 1, faultedNexus: 3 } as const
export type QueueError = (typeof QueueError)[keyof typeof QueueError]

/** Status qualifier of BUSY and TASK SET FULL: come again after 100 ms (SAM-5 §5.3.2). */
const RETRY_DELAY = 1

/** The run queue forgets what it has run after so many steps, however long the loop goes on. */
const RUN_QUEUE_PAGE = 1024

/**
 * What every device type shares: task set, dispatch, unit attentions, task management.
 *
 * A task becomes an `Operation`, which the task set admits at once or later. Admitted, it enters the run queue;
 * the queue's loop runs one step at a time until the operation waits (for Data-Out, a range of blocks, the store)
 * or ends. Whatever completes, even inside the call that began it, only queues the operation again: depth of the
 * stack never depends on the number of tasks.
 *
 * An aborted operation that waits for the initiator or for others ends at once; one that waits for the store ends
 * when the store is done, because the store still uses its memory.
 *
 * During an ACA condition (see `aca.ts`) an operation whose turn comes is left aside, `blocked`, until that is over.
 */
export abstract class DeviceServer implements LogicalUnit, OperationHost {
  protected abstract readonly table: CommandTable
  protected gate: ReservationGate = openGate
  readonly locks: RangeLocks
  #taskLimit: number
  readonly #taskSet = new TaskSet()
  readonly #operations = new OperationSet()
  readonly #free: Operation[] = []
  readonly #runQueue: Operation[] = []
  #running = false
  #isRetired = false
  readonly #attentions = new NexusAttentions()
  /** The nexus that an ACA condition is in effect for. */
  #faulted: Nexus | undefined
  readonly #dispatch: Step = (op) => this.#start(op)
  readonly #idle: Step = () => assert(false, 'an idle operation ran')

  constructor(taskLimit: number = DEFAULT_TASK_LIMIT) {
    this.#taskLimit = taskLimit
    this.locks = new RangeLocks(this)
  }

  abstract get descriptorSense(): boolean

  abstract get queueError(): QueueError

  /** NORMACA: whether NACA in a CDB of this nexus has its effect, or is refused. */
  protected abstract mayUseAca(nexus: Nexus): boolean

  /** The device type's own reasons to refuse a command that is otherwise in order. */
  protected abstract refuse(entry: TableEntry, nexus: Nexus): SenseData | undefined

  /** Back to the state after power on, where the standards ask for it. */
  protected abstract onReset(cause: ResetCause): void

  /** A deferred error that is yet to be reported, and stays so. */
  protected deferredError(): SenseData | undefined {
    return undefined
  }

  abstract close(done: () => void): void

  get taskCount(): number {
    return this.#operations.size
  }

  // Nexuses and unit attentions.

  attachNexus(nexus: Nexus): void {
    this.#attentions.attach(nexus)
  }

  detachNexus(nexus: Nexus, loss: NexusLoss): void {
    this.#attentions.detach(nexus, loss)
    this.gate.nexusLost(nexus)
    this.#abortNexus(nexus)
  }

  /** Establishes a unit attention for every nexus, except the one that caused it. */
  attention(code: UnitAttention, except?: Nexus): void {
    this.#attentions.establishForAll(code, except)
  }

  attentionFor(nexus: Nexus, code: UnitAttention): void {
    this.#attentions.establish(nexus, code)
  }

  /** The nexus that the same initiator port has here. */
  nexusLike(nexus: Nexus): Nexus | undefined {
    let like: Nexus | undefined
    for (const own of this.#attentions.nexuses) {
      if (own === nexus) return own
      if (own.initiatorPortName === nexus.initiatorPortName) like = own
    }
    return like
  }

  nexuses(): Iterable<Nexus> {
    return this.#attentions.nexuses
  }

  commandsClearedByProtocol(nexus: Nexus): void {
    this.#attentions.establish(nexus, AdditionalSense.commandsClearedByProtocolEvent)
  }

  clearAttention(nexus: Nexus, code: UnitAttention): void {
    this.#attentions.clear(nexus, code)
  }

  /** The nexus's most urgent unit attention as sense data, cleared by taking it. */
  takeAttention(nexus: Nexus): SenseData | undefined {
    const additional = this.#attentions.take(nexus)
    if (additional === undefined) return undefined
    if (additional === AdditionalSense.reportedLunsDataChanged) nexus.lunsChangeHeard?.()
    return { key: SenseKey.unitAttention, additional }
  }

  pendingEvent(nexus: Nexus): PendingEvent | undefined {
    const deferred = this.deferredError()
    const additional = this.#attentions.first(nexus)
    const count = this.#attentions.count(nexus) + (deferred ? 1 : 0)
    const attention = additional === undefined ? undefined : { key: SenseKey.unitAttention, additional }
    const sense = attention ?? deferred
    return sense && { sense, hasMore: count > 1 }
  }

  /** What REPORT LUNS makes known (SPC-5 §6.33). */
  protected readonly lunsReported = (nexus: Nexus): void => {
    this.#attentions.clear(nexus, AdditionalSense.reportedLunsDataChanged)
    nexus.lunsChangeHeard?.()
  }

  // Tasks.

  submit(task: ScsiTask): void {
    if (this.#faulted !== undefined || this.#operations.size >= this.#taskLimit) {
      const status = this.#admission(task)
      if (status !== ScsiStatus.good) {
        task.status = status
        if (status !== ScsiStatus.acaActive) task.statusQualifier = RETRY_DELAY
        task.finish()
        return
      }
    }
    const op = this.#free.pop() ?? new Operation(this, this.#idle)
    op.begin(task, this.#dispatch)
    task.heldAs = op
    this.#operations.add(op)
    if (this.#taskSet.admit(op)) this.wake(op)
  }

  /** What a task that may not be welcome ends with at once, or GOOD. */
  #admission(task: ScsiTask): ScsiStatus {
    if (this.#isRetired) return ScsiStatus.busy
    if (this.#faulted !== undefined) {
      const status = statusDuringAca(task, this.#faulted, this.#taskSet.hasAca)
      if (status !== ScsiStatus.good) return status
      if (this.#operations.size < this.#taskLimit) return status
    }
    return this.hasTasks(task.nexus) ? ScsiStatus.taskSetFull : ScsiStatus.busy
  }

  /** An operation of the unit's own, of no task. */
  protected newOperation(): Operation {
    return new Operation(this, this.#idle)
  }

  hasTasks(nexus: Nexus): boolean {
    for (const op of this.#operations) if (op.task.nexus === nexus && !op.aborted) return true
    return false
  }

  holds(task: ScsiTask): boolean {
    for (const op of this.#operations) if (op.task === task) return true
    return false
  }

  whenTasksEnd(done: () => void, nexus?: Nexus): void {
    const group: AbortGroup = { remaining: 1, done }
    for (const op of this.#operations) if (nexus === undefined || op.task.nexus === nexus) join(op, group)
    leave(group)
  }

  /** It is about to be closed: it takes no more tasks (BUSY). `done` when those that it has have ended. */
  retire(done: () => void): void {
    this.#isRetired = true
    this.#taskLimit = 0
    this.whenTasksEnd(done)
  }

  resume(task: ScsiTask): void {
    const op = operationOf(task)
    // The transport may have queued the data just before the task was aborted.
    if (op?.phase === 'data') this.wake(op)
  }

  wake(op: Operation): void {
    op.phase = 'ready'
    this.#runQueue.push(op)
    if (!this.#running) this.#run()
  }

  #run(): void {
    this.#running = true
    const queue = this.#runQueue
    let ran = 0
    for (let op = queue[ran]; op !== undefined; op = queue[ran]) {
      if (op.aborted) this.end(op)
      else if (this.#faulted !== undefined && op.hasTask && isBlockedByAca(op.task)) op.phase = 'blocked'
      else op.next(op)
      if (++ran === RUN_QUEUE_PAGE) {
        queue.splice(0, RUN_QUEUE_PAGE)
        ran = 0
      }
    }
    queue.length = 0
    this.#running = false
  }

  /** The first step of every task: the checks that the table knows, then the command. */
  #start(op: Operation): void {
    const { task } = op
    const cdb = task.cdb
    const entry = this.table.entryFor(cdb)
    const isReserved = this.gate.isClosed && entry !== undefined && this.gate.conflicts(entry, task)
    if (
      this.#attentions.hasAny &&
      !task.isOfCopy &&
      (entry === undefined || !(entry.flags & CommandFlag.quiet))
    ) {
      const attention = this.#attentionBefore(task.nexus, isReserved)
      if (attention) return op.check(attention)
    }
    if (task.attribute === TaskAttribute.aca && task.nexus !== this.#faulted) {
      return op.check(illegalRequest(AdditionalSense.invalidMessage))
    }
    if (isReserved) return op.conflict()
    if (entry === undefined) return op.check(this.unknownCommand(get8(cdb, 0)))
    if (get8(cdb, entry.controlAt) & NACA && !this.mayUseAca(task.nexus)) {
      return op.check(invalidCdbField(entry.controlAt, 2))
    }
    const problem = checkUsage(entry, cdb) ?? this.refuse(entry, task.nexus)
    if (problem) return op.check(problem)
    entry.start(op)
  }

  /** Of what a nexus has not heard of, only a reset outranks a reservation conflict (SAM-5 §5.3.3). */
  #attentionBefore(nexus: Nexus, isReserved: boolean): SenseData | undefined {
    if (isReserved && !isReset(this.#attentions.first(nexus) ?? AdditionalSense.none)) return undefined
    return this.takeAttention(nexus)
  }

  protected unknownCommand(opcode: number): SenseData {
    return this.table.unknown(opcode)
  }

  end(op: Operation): void {
    const { task, groups } = op
    this.locks.release(op)
    op.buffer?.release()
    op.buffer = undefined
    if (op.aborted) {
      op.dropDataIn()
      task.aborted = true
    }
    task.heldAs = undefined
    this.#operations.delete(op)
    this.#taskSet.remove(op)
    op.recycle(this.#idle)
    this.#free.push(op)
    if (task.status === ScsiStatus.checkCondition && !task.aborted && !task.isOfCopy) this.#failed(task)
    task.finish()
    for (const group of groups) leave(group)
    this.#startEnabled()
  }

  #startEnabled(): void {
    while (this.#faulted === undefined) {
      const op = this.#taskSet.takeEnabled()
      if (op === undefined) return
      this.wake(op)
    }
  }

  // Errors.

  /** A task ends with CHECK CONDITION: what that does to others (SAM-5 §5.9.2, QERR), before its transport hears of it. */
  #failed(task: ScsiTask): void {
    const { nexus } = task
    const wasFaulted = this.#faulted
    const establishes = hasNaca(task.cdb) && this.mayUseAca(nexus)
    // A second one of another nexus, whose PREEMPT AND ABORT failed, there cannot be.
    if (establishes && wasFaulted === undefined) this.#faulted = nexus
    if (this.queueError === QueueError.all) this.#clearTasks(nexus, nothing, everyTask)
    else if (this.queueError === QueueError.faultedNexus)
      this.#abortTasks((other) => other.nexus === nexus, nothing)
    // §5.9.5: the failure of a task with the ACA attribute ends the condition, or is a new one.
    if (wasFaulted === nexus && !establishes) this.#endAca()
  }

  #endAca(): void {
    this.#faulted = undefined
    this.#unblock()
  }

  #unblock(): void {
    const blocked = this.#operations.inOrder().filter((op) => op.phase === 'blocked')
    // One that runs may end others.
    for (const op of blocked) if (op.phase === 'blocked') this.wake(op)
    this.#startEnabled()
  }

  clearAca(nexus: Nexus, done: () => void): void {
    if (this.#faulted !== nexus) return done()
    this.#faulted = undefined
    this.#abortTasks((task) => task.attribute === TaskAttribute.aca, done)
    this.#unblock()
  }

  // Task management.

  abort(task: ScsiTask): void {
    this.#abortTasks((other) => other === task, nothing)
  }

  abortTaskSet(nexus: Nexus, everyNexus: boolean, done: () => void, covers = everyTask): void {
    if (everyNexus) this.#clearTasks(nexus, done, covers)
    else this.#abortTasks((task) => task.nexus === nexus && covers(task), done)
  }

  /** Ends the tasks of every nexus, and tells those whose doing it is not (TAS = 0). */
  #clearTasks(cause: Nexus, done: () => void, covers: (task: ScsiTask) => boolean): void {
    const others = new Set<Nexus>()
    for (const { task, aborted } of this.#operations)
      if (task.nexus !== cause && !aborted) others.add(task.nexus)
    for (const other of others) this.#attentions.establish(other, AdditionalSense.commandsCleared)
    this.#abortTasks((task) => task.nexus !== cause || covers(task), done)
  }

  /** Ends all tasks of a nexus, and its ACA condition. */
  #abortNexus(nexus: Nexus): void {
    const wasFaulted = this.#faulted === nexus
    if (wasFaulted) this.#faulted = undefined
    this.#abortTasks((task) => task.nexus === nexus, nothing)
    if (wasFaulted) this.#unblock()
  }

  /** PREEMPT AND ABORT (SPC-5 §5.13.11.2.6): ends the tasks of nexuses, and tells those whose doing it is not (TAS = 0). */
  preemptTasks(nexuses: ReadonlySet<Nexus>, except: ScsiTask, done: () => void): void {
    const isPreempted = (task: ScsiTask): boolean => task !== except && nexuses.has(task.nexus)
    const others = new Set<Nexus>()
    for (const { task } of this.#operations) {
      if (isPreempted(task) && task.nexus !== except.nexus) others.add(task.nexus)
    }
    for (const other of others) this.#attentions.establish(other, AdditionalSense.commandsCleared)
    const endsAca = this.#faulted !== undefined && nexuses.has(this.#faulted)
    if (endsAca) this.#faulted = undefined
    this.#abortTasks(isPreempted, done)
    if (endsAca) this.#unblock()
  }

  reset(done: () => void, cause: ResetCause = 'reset'): void {
    this.onReset(cause)
    this.gate.reset()
    this.#faulted = undefined
    this.#attentions.forgetLostPorts()
    this.attention(cause === 'reset' ? AdditionalSense.busDeviceReset : AdditionalSense.powerOnOrReset)
    this.#abortTasks(() => true, done)
  }

  #abortTasks(affects: (task: ScsiTask) => boolean, done: () => void): void {
    const group: AbortGroup = { remaining: 1, done }
    const affected: ScsiTask[] = []
    // All are marked before any ends: the end of one may otherwise start another that is to be aborted.
    for (const op of this.#operations.inOrder()) {
      const { task } = op
      if (!affects(task)) continue
      affected.push(task)
      join(op, group)
      op.aborted = true
      if (op.phase === 'io') this.locks.isolate(op)
    }
    for (const task of affected) {
      const op = operationOf(task)
      if (op && ENDS_AT_ONCE.has(op.phase)) this.end(op)
    }
    leave(group)
  }
}

/** Nobody else has to do with an operation in one of these. */
const ENDS_AT_ONCE: ReadonlySet<Phase> = new Set<Phase>(['dormant', 'data', 'locked', 'blocked'])

const operationOf = (task: ScsiTask): Operation | undefined => task.heldAs as Operation | undefined

const nothing = (): void => undefined
const everyTask = (_task: ScsiTask): boolean => true

function join(op: Operation, group: AbortGroup): void {
  group.remaining++
  op.groups = [...op.groups, group]
}

function leave(group: AbortGroup): void {
  if (--group.remaining === 0) group.done()
}
