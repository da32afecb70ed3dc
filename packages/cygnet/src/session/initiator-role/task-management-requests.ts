import type { Instant } from '../../base/clock.ts'
import { type Serial32, serialLess } from '../../base/serial32.ts'
import { initiatorTaskTagOf, RESERVED_TAG } from '../../pdu/bhs.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../../pdu/codes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import {
  decodeTaskManagementResponse,
  encodeTaskManagementRequest,
  type TaskManagementResponse,
} from '../../pdu/task-management.ts'
import { encodeLun } from '../../scsi/lun.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import { type Closure, lostConnection, rejection } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import type { InitiatorTask } from './initiator-task.ts'
import type { InitiatorTasks } from './initiator-tasks.ts'
import type { SessionParameters } from '../parameters.ts'
import type { RequestWindow } from './request-window.ts'

/**
 * How a task management function ended. `response`: a `TaskManagementResponseCode`; undefined where there was none.
 * `additional`: the Additional Response Information of RFC 7144 §6.4.1, 24 bits.
 */
export type ManageDone = (
  response: number | undefined,
  failure: Closure | undefined,
  additional?: number,
) => void

/** What task management needs of its session. */
export interface ManagingSession {
  readonly window: RequestWindow
  readonly limits: InitiatorLimits
  readonly parameters: SessionParameters | undefined
  readonly tasks: InitiatorTasks
  takeTag(): number
  /** A connection on which requests can be made. */
  requestConnection(): InitiatorConnection | undefined
  /** Nothing but a new session helps. */
  giveUpSession(failure: Closure): void
  watch(): void
}

interface ManagementRequest {
  readonly tag: number
  readonly taskManagementFunction: number
  readonly lun: bigint
  readonly connection: InitiatorConnection
  readonly cmdSN: Serial32
  /** The one that it is about. */
  readonly task: InitiatorTask | undefined
  /** Set at the first look. */
  deadline: Instant
  readonly done: ManageDone
}

/** Functions that end tasks of a logical unit, and those that end tasks of all. */
const endsTasksOfUnit: ReadonlySet<number> = new Set([
  TaskManagementFunction.abortTaskSet,
  TaskManagementFunction.clearTaskSet,
  TaskManagementFunction.logicalUnitReset,
])
const endsAllTasks: ReadonlySet<number> = new Set([
  TaskManagementFunction.targetWarmReset,
  TaskManagementFunction.targetColdReset,
  TaskManagementFunction.itNexusReset,
])
/** §11.5.3: the LUN field of the others is reserved. */
const concernsUnit: ReadonlySet<number> = new Set([
  TaskManagementFunction.abortTask,
  TaskManagementFunction.abortTaskSet,
  TaskManagementFunction.clearAca,
  TaskManagementFunction.clearTaskSet,
  TaskManagementFunction.logicalUnitReset,
  TaskManagementFunction.queryTask,
  TaskManagementFunction.queryTaskSet,
  TaskManagementFunction.queryAsynchronousEvent,
])

const ADDITIONAL_RESPONSE_OFFSET = 8
/** RFC 7144 §6.3: from this function on, iSCSIProtocolLevel 2 is needed. */
const FIRST_OF_LEVEL_2 = TaskManagementFunction.queryTask

const notAgreed: Closure = {
  code: 'NOT_NEGOTIATED',
  message: 'The target did not agree to iSCSIProtocolLevel 2, which this task management function needs.',
}

const unanswered: Closure = {
  code: 'TASK_MANAGEMENT_TIMEOUT',
  message: 'The target did not answer a task management function in time: look whether it is overloaded.',
}

/**
 * Task management functions of an initiator (RFC 7143 §11.5), all sent as immediate commands. What ends tasks ends them
 * here too, when the response is here and everything that was sent before it (§4.2.3.3).
 *
 * A task that is to end is aborted; where that does not help its logical unit is reset, and where that does not help the
 * session is given up.
 */
export class TaskManagementRequests {
  readonly #session: ManagingSession
  readonly #requests = new Map<number, ManagementRequest>()
  /** Tags of requests that were given up, whose answers may still come. */
  readonly #late = new Map<number, ManagementRequest>()

  constructor(session: ManagingSession) {
    this.#session = session
  }

  get size(): number {
    return this.#requests.size
  }

  has(tag: number): boolean {
    return this.#requests.has(tag)
  }

  /** An answer is to come there. */
  isUsing(connection: InitiatorConnection): boolean {
    for (const request of this.#requests.values()) if (request.connection === connection) return true
    return false
  }

  /** The tasks of a LUN that a function of ours is ending; undefined where none is. */
  #endingTasks(lun: bigint): InitiatorTask[] | undefined {
    for (const request of this.#requests.values()) {
      const { taskManagementFunction } = request
      const isUnit = endsTasksOfUnit.has(taskManagementFunction) && request.lun === lun
      if (isUnit || endsAllTasks.has(taskManagementFunction))
        return this.#affected(taskManagementFunction, request.lun, request.cmdSN).filter(
          (task) => task.lun === lun,
        )
    }
    return undefined
  }

  /** A function that is not about one task. */
  manage(taskManagementFunction: number, lun: number, done: ManageDone): boolean {
    const connection = this.#session.requestConnection()
    if (connection === undefined) return false
    if (taskManagementFunction >= FIRST_OF_LEVEL_2 && !this.#isLevel2) {
      done(undefined, notAgreed)
      return true
    }
    const field = concernsUnit.has(taskManagementFunction) ? encodeLun(lun) : 0n
    this.#send(connection, taskManagementFunction, field, done)
    return true
  }

  get #isLevel2(): boolean {
    return (this.#session.parameters?.iSCSIProtocolLevel ?? 1) >= 2
  }

  /** Asks whether the target has the task (RFC 7144 §6.3, QUERY TASK). */
  query(task: InitiatorTask, done: ManageDone): void {
    const { connection } = task
    if (!this.#isLevel2) done(undefined, notAgreed)
    else if (task.state !== 'active' || connection === undefined)
      done(TaskManagementResponseCode.taskDoesNotExist, undefined)
    else this.#send(connection, TaskManagementFunction.queryTask, task.lun, done, task)
  }

  /** Ends a task: `task.endCode` says why. */
  abort(task: InitiatorTask): void {
    this.#abort(task, () => this.#session.tasks.finishEnded(task))
  }

  /** Ends a task at the target alone; then `ended` decides what becomes of its request. */
  takeBack(task: InitiatorTask, ended: () => void): void {
    this.#abort(task, ended)
  }

  #abort(task: InitiatorTask, ended: () => void): void {
    const { tasks } = this.#session
    const { connection } = task
    if (task.state === 'waiting') tasks.finishEnded(task)
    // Where it is suspended, it is aborted when it is reassigned.
    if (task.state !== 'active' || connection === undefined) return
    this.#send(
      connection,
      TaskManagementFunction.abortTask,
      task.lun,
      (response, failure) => {
        if (task.state === 'done') return
        const isEnded =
          response === TaskManagementResponseCode.functionComplete ||
          response === TaskManagementResponseCode.taskDoesNotExist
        if (isEnded) ended()
        else if (failure?.code !== LOST) this.#resetUnit(task, ended)
      },
      task,
    )
  }

  /** The task goes on at `connection` if the target agrees (§7.2.2). */
  reassign(task: InitiatorTask, connection: InitiatorConnection, done: ManageDone): void {
    this.#send(connection, TaskManagementFunction.taskReassign, 0n, done, task, task.receiver.expDataSN)
  }

  /** Something came for `task` over `connection`: where it is being reassigned to that, it has been. */
  taskProven(task: InitiatorTask, connection: InitiatorConnection): void {
    for (const request of [...this.#requests.values()]) {
      if (request.task !== task || request.connection !== connection) continue
      if (request.taskManagementFunction !== TaskManagementFunction.taskReassign) continue
      this.#requests.delete(request.tag)
      this.#late.set(request.tag, request)
      request.done(TaskManagementResponseCode.functionComplete, undefined)
    }
  }

  #resetUnit(task: InitiatorTask, ended: () => void): void {
    const isSent = this.manage(
      TaskManagementFunction.logicalUnitReset,
      task.request.lun,
      (response, failure) => {
        if (task.state === 'done') return
        if (response === TaskManagementResponseCode.functionComplete) ended()
        // Lost with a connection that need not be the task's: from the beginning, where that one lives.
        else if (failure?.code === LOST) {
          if (task.connection?.state === 'full-feature') this.#abort(task, ended)
        } else
          this.#session.giveUpSession(
            lostConnection('a task does not end, and a reset of its unit did not help'),
          )
      },
    )
    if (!isSent) this.#session.giveUpSession(lostConnection('a task does not end'))
  }

  #send(
    connection: InitiatorConnection,
    taskManagementFunction: number,
    lun: bigint,
    done: ManageDone,
    task?: InitiatorTask,
    expDataSN = 0,
  ): void {
    const { window } = this.#session
    const tag = this.#session.takeTag()
    const { cmdSN } = window
    this.#requests.set(tag, { tag, taskManagementFunction, lun, connection, cmdSN, task, deadline: 0, done })
    if (this.#session.parameters?.taskReporting === 'FastAbort')
      for (const one of this.#affected(taskManagementFunction, lun, cmdSN))
        if (one.connection === connection) one.isStopped = true
    const isOfTask =
      taskManagementFunction === TaskManagementFunction.abortTask ||
      taskManagementFunction === TaskManagementFunction.queryTask
    connection.request((view, at, expStatSN) =>
      encodeTaskManagementRequest(view, at, {
        immediate: true,
        function: taskManagementFunction,
        lun,
        initiatorTaskTag: tag,
        referencedTaskTag: task?.initiatorTaskTag ?? RESERVED_TAG,
        cmdSN,
        expStatSN,
        refCmdSN: isOfTask && task ? task.cmdSN : 0,
        expDataSN,
      }),
    )
    this.#session.watch()
  }

  /** Tasks that a function ends: those that were sent before it. */
  #affected(taskManagementFunction: number, lun: bigint, cmdSN: Serial32): InitiatorTask[] {
    const isAll = endsAllTasks.has(taskManagementFunction)
    if (!isAll && !endsTasksOfUnit.has(taskManagementFunction)) return []
    return this.#session.tasks
      .all()
      .filter((task) => task.state === 'active' || task.state === 'suspended')
      .filter((task) => (isAll || task.lun === lun) && serialLess(task.cmdSN, cmdSN))
  }

  // What the target sends

  response(connection: InitiatorConnection, pdu: ReceivedPdu): void {
    const header = decodeTaskManagementResponse(pdu.view, pdu.at)
    if (!connection.countIn(header)) return
    const request = this.#requests.get(header.initiatorTaskTag)
    if (request === undefined || request.connection !== connection) {
      this.#lateResponse(connection, header)
      return
    }
    // It stays in the table until then: its tag is in use.
    const additional = pdu.view.getUint32(pdu.at + ADDITIONAL_RESPONSE_OFFSET) >>> 8
    connection.inOrder(header.statSN, () => this.#answered(request, header.response, additional))
  }

  /** What it ends has ended, whether we still waited for that or not. */
  #lateResponse(connection: InitiatorConnection, header: TaskManagementResponse): void {
    const request = this.#late.get(header.initiatorTaskTag)
    if (request === undefined) {
      if (connection.errorRecoveryLevel === 0)
        connection.broken('a Task Management Function Response that answers no request')
      return
    }
    this.#late.delete(request.tag)
    if (header.response === TaskManagementResponseCode.functionComplete)
      connection.inOrder(header.statSN, () => this.#endAffected(request))
  }

  #endAffected({ taskManagementFunction, lun, cmdSN, connection }: ManagementRequest): void {
    for (const task of this.#affected(taskManagementFunction, lun, cmdSN))
      this.#session.tasks.finishManaged(task, connection)
  }

  #answered(request: ManagementRequest, response: number, additional: number): void {
    if (!this.#requests.delete(request.tag)) return
    if (response === TaskManagementResponseCode.functionComplete) this.#endAffected(request)
    else this.#settle(request, ({ isStopped }) => isStopped)
    request.done(response, undefined, additional)
  }

  rejected(header: DataView, reason: number): void {
    const request = this.#requests.get(initiatorTaskTagOf(header, 0))
    if (request === undefined) return
    this.#requests.delete(request.tag)
    this.#settle(request, ({ isStopped }) => isStopped)
    request.done(undefined, rejection('Task Management Function Request', reason))
  }

  /**
   * Nobody knows whether a function has ended tasks, or it has not and their Data-Out has stopped for it (FastAbort):
   * each of them is aborted, which has an answer. Those of a lost connection are aborted when they are reassigned: the
   * target may take them over and end them silently.
   */
  #settle(
    { taskManagementFunction, lun, cmdSN }: ManagementRequest,
    isWanted = (_task: InitiatorTask): boolean => true,
  ): void {
    for (const task of this.#affected(taskManagementFunction, lun, cmdSN)) {
      if (task.endCode !== undefined || !isWanted(task)) continue
      task.endCode = 'TASK_ABORTED'
      if (task.connection?.state === 'full-feature') this.abort(task)
    }
  }

  /** Immediate commands do not outlive their connection (§7.14). */
  connectionLost(connection: InitiatorConnection): void {
    for (const request of [...this.#requests.values()]) {
      if (request.connection !== connection || !this.#requests.delete(request.tag)) continue
      this.#settle(request)
      request.done(undefined, { code: LOST, message: 'The connection was lost before the answer came.' })
    }
  }

  /**
   * The target terminates tasks of a LUN (§11.9.1, event 5). Where a function of ours ends them, its response concludes
   * them; else we abort them, so that the target's answer tells which of them are gone.
   */
  terminated(connection: InitiatorConnection, lun: bigint, expCmdSN: Serial32): void {
    const { tasks } = this.#session
    const ours = this.#endingTasks(lun)
    const ending = ours ?? tasks.all().filter((task) => task.lun === lun && serialLess(task.cmdSN, expCmdSN))
    const here = ending.filter((task) => task.state === 'active' && task.connection === connection)
    for (const task of here) task.isStopped = true
    connection.acknowledgeTermination(lun)
    if (ours !== undefined) return
    for (const task of here) {
      if (task.endCode !== undefined) continue
      task.endCode = 'TASK_ABORTED'
      this.abort(task)
    }
  }

  failAll(failure: Closure): void {
    const requests = [...this.#requests.values()]
    this.#requests.clear()
    this.#late.clear()
    for (const request of requests) request.done(undefined, { ...failure, code: LOST })
  }

  sweep(now: Instant): void {
    for (const request of [...this.#requests.values()]) {
      if (request.deadline === 0) request.deadline = now + this.#session.limits.taskManagementTimeoutMs
      else if (now >= request.deadline && this.#requests.delete(request.tag)) {
        this.#late.set(request.tag, request)
        this.#settle(request)
        request.done(undefined, unanswered)
      }
    }
  }
}

const LOST = 'CONNECTION_LOST'
