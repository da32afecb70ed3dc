import { get8 } from '../scsi/fields.ts'
import { assert } from '../base/assert.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import { TaskAttribute } from '../scsi/task.ts'
import type { CommandTable, TableEntry } from './command-table.ts'
import { checkUsage, CommandFlag } from './command-table.ts'
import type { LogicalUnit, NexusLoss } from './logical-unit.ts'
import type { AbortGroup, OperationHost, Step } from './operation.ts'
import { Operation } from './operation.ts'
import { RangeLocks } from './range-locks.ts'
import { TaskSet } from './task-set.ts'
import type { UnitAttention } from './unit-attention.ts'
import { UnitAttentionQueue } from './unit-attention.ts'

/** Tasks that a unit holds unless told otherwise. */
export const DEFAULT_TASK_LIMIT = 1024

/** Initiator ports whose loss is remembered until they come back. */
const LOST_PORTS_LIMIT = 1024

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
 */
export abstract class DeviceServer implements LogicalUnit, OperationHost {
  protected abstract readonly table: CommandTable
  readonly locks: RangeLocks
  readonly #taskLimit: number
  readonly #taskSet = new TaskSet()
  readonly #operations = new Map<ScsiTask, Operation>()
  readonly #free: Operation[] = []
  readonly #runQueue: Operation[] = []
  #running = false
  readonly #nexuses = new Map<Nexus, UnitAttentionQueue>()
  readonly #lostPorts = new Map<string, NexusLoss>()
  /** Unit attentions pending over all nexuses: zero, almost always. */
  #attentions = 0
  readonly #dispatch: Step = (op) => this.#start(op)
  readonly #idle: Step = () => assert(false, 'an idle operation ran')

  constructor(taskLimit: number = DEFAULT_TASK_LIMIT) {
    this.#taskLimit = taskLimit
    this.locks = new RangeLocks(this)
  }

  abstract get descriptorSense(): boolean

  /** The device type's own reasons to refuse a command that is otherwise in order. */
  protected abstract refuse(entry: TableEntry, nexus: Nexus): SenseData | undefined

  /** Back to the state after power on, where the standards ask for it. */
  protected abstract onReset(): void

  abstract close(done: () => void): void

  get taskCount(): number {
    return this.#operations.size
  }

  // Nexuses and unit attentions.

  attachNexus(nexus: Nexus): void {
    const queue = new UnitAttentionQueue()
    this.#nexuses.set(nexus, queue)
    const lost = this.#lostPorts.get(nexus.initiatorPortName)
    this.#lostPorts.delete(nexus.initiatorPortName)
    this.#establish(queue, lost === 'nexus-loss' ? AdditionalSense.nexusLoss : AdditionalSense.powerOnOrReset)
  }

  detachNexus(nexus: Nexus, loss: NexusLoss): void {
    this.#attentions -= this.#nexuses.get(nexus)?.length ?? 0
    this.#nexuses.delete(nexus)
    this.#lostPorts.delete(nexus.initiatorPortName)
    this.#lostPorts.set(nexus.initiatorPortName, loss)
    if (this.#lostPorts.size > LOST_PORTS_LIMIT) {
      for (const oldest of this.#lostPorts.keys()) {
        this.#lostPorts.delete(oldest)
        break
      }
    }
    this.#abortTasks((task) => task.nexus === nexus, nothing)
  }

  /** Establishes a unit attention for every nexus, except the one that caused it. */
  attention(code: UnitAttention, except?: Nexus): void {
    for (const [nexus, queue] of this.#nexuses) if (nexus !== except) this.#establish(queue, code)
  }

  commandsClearedByProtocol(nexus: Nexus): void {
    const queue = this.#nexuses.get(nexus)
    if (queue) this.#establish(queue, AdditionalSense.commandsClearedByProtocolEvent)
  }

  #establish(queue: UnitAttentionQueue, code: UnitAttention): void {
    this.#attentions -= queue.length
    queue.establish(code)
    this.#attentions += queue.length
  }

  /** The nexus's most urgent unit attention as sense data, cleared by taking it. */
  takeAttention(nexus: Nexus): SenseData | undefined {
    if (this.#attentions === 0) return undefined
    const additional = this.#nexuses.get(nexus)?.take()
    if (additional === undefined) return undefined
    this.#attentions--
    return { key: SenseKey.unitAttention, additional }
  }

  // Tasks.

  submit(task: ScsiTask): void {
    if (this.#operations.size >= this.#taskLimit) {
      task.status = ScsiStatus.taskSetFull
      task.finish()
      return
    }
    const op = this.#free.pop() ?? new Operation(this, this.#idle)
    op.begin(task, this.#dispatch)
    this.#operations.set(task, op)
    if (this.#taskSet.admit(op)) this.wake(op)
  }

  resume(task: ScsiTask): void {
    const op = this.#operations.get(task)
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
    const entry = this.table.find(get8(cdb, 0), get8(cdb, 1) & 0x1f)
    if (this.#attentions > 0 && (entry === undefined || !(entry.flags & CommandFlag.quiet))) {
      const attention = this.takeAttention(task.nexus)
      if (attention) return op.check(attention)
    }
    if (task.attribute === TaskAttribute.aca) return op.check(illegalRequest(AdditionalSense.invalidMessage))
    if (entry === undefined) return op.check(this.unknownCommand(get8(cdb, 0)))
    const problem = checkUsage(entry, cdb) ?? this.refuse(entry, task.nexus)
    if (problem) return op.check(problem)
    entry.start(op)
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
    this.#operations.delete(task)
    this.#taskSet.remove(op)
    op.recycle(this.#idle)
    this.#free.push(op)
    task.finish()
    for (const group of groups) leave(group)
    for (let next = this.#taskSet.takeEnabled(); next; next = this.#taskSet.takeEnabled()) this.wake(next)
  }

  // Task management.

  abort(task: ScsiTask): void {
    this.#abortTasks((other) => other === task, nothing)
  }

  abortTaskSet(nexus: Nexus, everyNexus: boolean, done: () => void): void {
    if (everyNexus) {
      const others = new Set<Nexus>()
      for (const task of this.#operations.keys()) if (task.nexus !== nexus) others.add(task.nexus)
      for (const other of others) {
        const queue = this.#nexuses.get(other)
        if (queue) this.#establish(queue, AdditionalSense.commandsCleared)
      }
    }
    this.#abortTasks((task) => everyNexus || task.nexus === nexus, done)
  }

  reset(done: () => void): void {
    this.onReset()
    this.attention(AdditionalSense.busDeviceReset)
    this.#abortTasks(() => true, done)
  }

  #abortTasks(affects: (task: ScsiTask) => boolean, done: () => void): void {
    const group: AbortGroup = { remaining: 1, done }
    const affected: ScsiTask[] = []
    // All are marked before any ends: the end of one may otherwise start another that is to be aborted.
    for (const [task, op] of this.#operations) {
      if (!affects(task)) continue
      affected.push(task)
      group.remaining++
      op.groups = [...op.groups, group]
      op.aborted = true
      if (op.phase === 'io') this.locks.isolate(op)
    }
    for (const task of affected) {
      const op = this.#operations.get(task)
      if (op && (op.phase === 'dormant' || op.phase === 'data' || op.phase === 'locked')) this.end(op)
    }
    leave(group)
  }
}

const nothing = (): void => undefined

function leave(group: AbortGroup): void {
  if (--group.remaining === 0) group.done()
}
