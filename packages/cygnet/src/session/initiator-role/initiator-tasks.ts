import type { Instant } from '../../base/clock.ts'
import { initiatorTaskTagOf, opcodeOf } from '../../pdu/bhs.ts'
import { RejectReason, ServiceResponse } from '../../pdu/codes.ts'
import { type DataIn, decodeDataIn, decodeR2T, type R2T } from '../../pdu/data.ts'
import { Opcode, opcodeName } from '../../pdu/opcodes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { decodeScsiResponse, type ScsiResponse } from '../../pdu/scsi-response.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import { CommandGap } from './command-gap.ts'
import type { InputArrival } from './data-in-receiver.ts'
import { DataOutBurst, wrongR2T } from './data-out-burst.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import {
  brokenProtocol,
  type Closure,
  lostConnection,
  rejection,
  passingReasons,
} from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import type { SessionPolicy } from './initiator-policy.ts'
import { InitiatorTask, SOON } from './initiator-task.ts'
import type { SessionParameters } from '../parameters.ts'
import type { RecoveryCounters } from '../recovery-counters.ts'
import type { RequestWindow } from './request-window.ts'
import { TaskTable } from './task-table.ts'
import type { ScsiRequest, ScsiResult } from './scsi-request.ts'
import {
  contradictionIn,
  dataLost,
  failed,
  resultOfDataIn,
  resultOfResponse,
  targetFailure,
  taskAborted,
} from './scsi-result.ts'
import { TaskDataRecovery } from './task-data-recovery.ts'

/** What tasks need of their session. */
export interface TaskSession {
  readonly window: RequestWindow
  readonly counters: RecoveryCounters
  readonly limits: InitiatorLimits
  readonly policy: SessionPolicy
  readonly parameters: SessionParameters | undefined
  takeTag(): number
  /** Where the next command goes; undefined: nowhere, for now. */
  chooseConnection(): InitiatorConnection | undefined
  /** Its task has taken too long: abort it. */
  taskTimedOut(task: InitiatorTask): void
  /** The target would not reassign a task, and did not. */
  taskNotReassigned(task: InitiatorTask): void
  /** Something came over `connection` for a suspended task: if it is being reassigned to that, it has been. */
  taskProven(task: InitiatorTask, connection: InitiatorConnection): void
  /** The connection has one task less. */
  taskLeft(connection: InitiatorConnection): void
  /** A deadline may have to be set. */
  watch(): void
}

/** Most tasks that ended elsewhere and are remembered. */
const LATE_TASKS = 1024

/** §11.16.3: after an R-Data SNACK, the response to go by is the one with its tag. */
const answersSnack = (task: InitiatorTask, { snackTag }: ScsiResponse): boolean =>
  task.snackTag === 0 || snackTag === task.snackTag

/**
 * The SCSI tasks of an initiator's session: sends their commands in the order of CmdSN as far as the command window and
 * the connections allow, and takes what the target sends for them. Every request that is added ends with one result.
 *
 * At ErrorRecoveryLevel 0 the numbers of what comes must be without a gap. From level 1 on, what is missing is asked for
 * by SNACK (RFC 7143 §7.1.4.1), a response whose data is not complete is kept back (§7.9), and a command that the target
 * never took is sent again (§7.2.1). What a target does against the rules ends the request and the connection.
 */
export class InitiatorTasks {
  readonly #session: TaskSession
  readonly #data: TaskDataRecovery
  readonly #byTag = new TaskTable()
  /** Not sent yet, in order; those that are done are passed over. */
  #waiting: InitiatorTask[] = []
  #waitingHead = 0
  #order = 0
  /** Tags of tasks that a function on another connection ended: what was on its way for them may still come. */
  readonly #endedElsewhere = new Set<number>()
  readonly #gap: CommandGap

  constructor(session: TaskSession) {
    this.#session = session
    this.#data = new TaskDataRecovery(session.limits, session.counters)
    this.#gap = new CommandGap(session.window, session.limits.commandRetryMs)
  }

  /** Requests without a result. */
  get size(): number {
    return this.#byTag.size
  }

  /** The tag cannot be given to another task. */
  isTaken(tag: number): boolean {
    return this.#byTag.isTaken(tag)
  }

  /** All without a result, in the order in which they were asked for. */
  all(): InitiatorTask[] {
    return this.#byTag.values().toSorted((a, b) => a.order - b.order)
  }

  /** Those that are allegiant to a connection, or were. */
  of(connection: InitiatorConnection): InitiatorTask[] {
    return this.all().filter((task) => task.connection === connection && task.state !== 'waiting')
  }

  find(request: ScsiRequest): InitiatorTask | undefined {
    for (const task of this.#byTag.values()) if (task.request === request) return task
    return undefined
  }

  add(request: ScsiRequest): void {
    const task = new InitiatorTask(
      request,
      this.#order++,
      this.#session.takeTag(),
      this.#session.limits.aheadPdus,
    )
    this.#byTag.add(task)
    if (this.#waiting.length > 0 || !this.#begin(task)) this.#waiting.push(task)
    this.#session.watch()
  }

  /** Sends what waits, as far as the command window is open. */
  dispatch(): void {
    if (this.#waiting.length === 0) return
    while (this.#waitingHead < this.#waiting.length) {
      const task = this.#waiting[this.#waitingHead] as InitiatorTask
      if (task.state === 'waiting' && !this.#begin(task)) return
      this.#waitingHead++
    }
    this.#waiting = []
    this.#waitingHead = 0
  }

  /** Sends the command of a task that waits; false where that cannot be now. */
  #begin(task: InitiatorTask): boolean {
    const { window, parameters } = this.#session
    if (parameters === undefined || !window.isOpen) return false
    const connection = this.#session.chooseConnection()
    if (connection === undefined) return false
    task.state = 'active'
    task.cmdSN = window.take()
    this.#settle(task, connection)
    task.send(connection, parameters)
    return true
  }

  /** The task becomes allegiant to the connection. */
  #settle(task: InitiatorTask, connection: InitiatorConnection): void {
    task.connection = connection
    task.segmentation = connection.segmentation
    connection.outstandingBytes += task.weightBytes
    connection.taskCount++
  }

  #unsettle(task: InitiatorTask): void {
    const { connection } = task
    if (connection === undefined || task.state !== 'active') return
    // Nothing more of it is wanted: its response need not be kept back any longer.
    if (task.heldResponse !== undefined) connection.acknowledge(task.heldResponse.statSN)
    if (task.keptStatSN !== undefined) connection.acknowledge(task.keptStatSN)
    connection.outstandingBytes -= task.weightBytes
    connection.taskCount--
    this.#session.taskLeft(connection)
  }

  /** Ends a request. */
  finish(task: InitiatorTask, result: ScsiResult): void {
    if (task.state === 'done') return
    this.#unsettle(task)
    task.state = 'done'
    this.#byTag.delete(task)
    task.request.done(result)
  }

  /** A function of ours has ended it; its answer came over `connection`. */
  finishManaged(task: InitiatorTask, connection: InitiatorConnection): void {
    if (task.connection !== connection) {
      this.#endedElsewhere.add(task.initiatorTaskTag)
      const [oldest] = this.#endedElsewhere
      if (this.#endedElsewhere.size > LATE_TASKS && oldest !== undefined) this.#endedElsewhere.delete(oldest)
    }
    this.finish(task, task.endCode === undefined ? taskAborted : task.endResult)
  }

  // What connections and recovery do with tasks

  /** The connection is gone: its tasks may be reassigned. */
  suspend(connection: InitiatorConnection): InitiatorTask[] {
    const tasks = this.of(connection)
    for (const task of tasks) {
      this.#unsettle(task)
      if (task.state === 'active') task.state = 'suspended'
    }
    return tasks
  }

  /** The target goes on with a suspended task at another connection (§7.2.2). */
  resume(task: InitiatorTask, connection: InitiatorConnection): void {
    if (task.state !== 'suspended') return
    task.state = 'active'
    task.reassignedTo = undefined
    // What was to end it did not.
    task.isStopped = false
    task.heldResponse = undefined
    task.snackTag = 0
    task.keptStatSN = undefined
    task.snacks = 0
    task.snackDeadline = Infinity
    task.proofDeadline = Infinity
    task.owedAckTag = undefined
    task.outstandingR2Ts = 0
    this.#settle(task, connection)
  }

  /** As `resume`, where the target says that it does not; it may, and sends something for the task then. */
  resumeInDoubt(task: InitiatorTask, connection: InitiatorConnection): void {
    this.resume(task, connection)
    task.proofDeadline = SOON
  }

  /** A suspended command that never arrived is sent again, with its CmdSN (§7.2.1). */
  resend(task: InitiatorTask, connection: InitiatorConnection): void {
    const { parameters } = this.#session
    if (task.state !== 'suspended' || parameters === undefined) return
    this.resume(task, connection)
    this.#session.counters.commandRetry++
    task.send(connection, parameters)
  }

  /** Lets tasks start anew, before all that wait and in their order; the rest fails with what `refusal` says. */
  replay(tasks: readonly InitiatorTask[], refusal: (task: InitiatorTask) => ScsiResult | undefined): void {
    const again: InitiatorTask[] = []
    const over: [InitiatorTask, ScsiResult][] = []
    for (const task of tasks) {
      const result = refusal(task)
      if (result === undefined) again.push(task)
      else over.push([task, result])
    }
    for (const task of again) this.#renew(task)
    this.#waiting = [
      ...again,
      ...this.#waiting.slice(this.#waitingHead).filter((task) => !again.includes(task)),
    ]
    this.#waitingHead = 0
    for (const [task, result] of over) this.finish(task, result)
  }

  #renew(task: InitiatorTask): void {
    this.#unsettle(task)
    this.#byTag.delete(task)
    task.renew(this.#session.takeTag(), this.#session.limits.aheadPdus)
    this.#byTag.add(task)
  }

  // What the target sends

  receive(connection: InitiatorConnection, pdu: ReceivedPdu, opcode: number): void {
    if (opcode === Opcode.dataIn) this.#dataIn(connection, pdu, decodeDataIn(pdu.view, pdu.at))
    else if (opcode === Opcode.r2t) this.#r2t(connection, decodeR2T(pdu.view, pdu.at))
    else this.#scsiResponse(connection, pdu, decodeScsiResponse(pdu.view, pdu.at))
  }

  #taskOf(connection: InitiatorConnection, tag: number): InitiatorTask | undefined {
    const task = this.#byTag.get(tag)
    // The response to its TASK REASSIGN may be lost.
    if (task?.state === 'suspended') this.#session.taskProven(task, connection)
    if (task === undefined || task.state !== 'active' || task.connection !== connection) return undefined
    if (task.proofDeadline !== Infinity) {
      task.proofDeadline = Infinity
      this.#session.counters.taskReassign++
    }
    return task
  }

  #dataIn(connection: InitiatorConnection, pdu: ReceivedPdu, header: DataIn): void {
    const task = this.#taskOf(connection, header.initiatorTaskTag)
    if (task === undefined) {
      this.#answersNothing(connection, header, header.hasStatus, 'SCSI Data-In')
      return
    }
    const { receiver } = task
    const arrival = receiver.data(header.dataSN, header.bufferOffset, pdu.dataLengthBytes, pdu.data)
    if (!this.#isAcceptable(task, connection, arrival)) return
    if (arrival === 'ahead') this.#data.snack(task, connection, receiver.newGap)
    if (header.acknowledge && connection.errorRecoveryLevel > 0) task.owedAckTag = header.targetTransferTag
    if (header.hasStatus) this.#dataInStatus(task, connection, header)
    else {
      connection.countCommands(header.expCmdSN, header.maxCmdSN)
      this.#dataCame(task, connection)
    }
  }

  /** A status that rides on the last Data-In (§11.7.3). */
  #dataInStatus(task: InitiatorTask, connection: InitiatorConnection, header: DataIn): void {
    // After an R-Data SNACK the status comes in a SCSI Response.
    const isFinal = task.snackTag === 0
    const isNew = connection.countIn(header, true, !isFinal || task.receiver.hasGap)
    if (isNew && !isFinal) task.keptStatSN = header.statSN
    if (isNew && isFinal && task.state === 'active') {
      task.heldResponse = { statSN: header.statSN, result: resultOfDataIn(header) }
    }
    if (connection.state === 'full-feature') this.#dataCame(task, connection)
  }

  #r2t(connection: InitiatorConnection, header: R2T): void {
    if (connection.errorRecoveryLevel === 0) connection.countCommands(header.expCmdSN, header.maxCmdSN)
    else if (!connection.countIn(header, false)) return
    const task = this.#taskOf(connection, header.initiatorTaskTag)
    if (task === undefined) {
      if (this.#isLie(connection, header)) connection.broken('an R2T that belongs to no task')
      return
    }
    const { receiver, request } = task
    const { bufferOffset, desiredDataTransferLength: lengthBytes } = header
    const wrong = wrongR2T(task, header, this.#session.parameters?.maxBurstLength ?? 0)
    if (wrong !== undefined) {
      this.#violated(task, connection, wrong)
      return
    }
    const arrival = receiver.r2t(header.r2tSN)
    if (!this.#isAcceptable(task, connection, arrival) || arrival === 'repeated') return
    if (arrival === 'ahead') this.#data.snack(task, connection, receiver.newGap)
    // A target that waited too long asks again, perhaps before what it asked for could be sent.
    const asksAgain = bufferOffset < task.sentBytes && connection.errorRecoveryLevel > 0
    if (!asksAgain && task.outstandingR2Ts >= (this.#session.parameters?.maxOutstandingR2T ?? 1)) {
      this.#violated(task, connection, 'it has more R2Ts outstanding than were agreed on')
      return
    }
    const end = Math.min(bufferOffset + lengthBytes, request.dataOutBytes)
    if (asksAgain) this.#session.counters.recoveryR2T++
    task.sentBytes = Math.max(task.sentBytes, end)
    if (!task.isStopped) {
      task.outstandingR2Ts++
      connection.send(new DataOutBurst(task, connection, header.targetTransferTag, bufferOffset, end))
    }
    this.#dataCame(task, connection)
  }

  #scsiResponse(connection: InitiatorConnection, pdu: ReceivedPdu, header: ScsiResponse): void {
    const task = this.#taskOf(connection, header.initiatorTaskTag)
    if (task === undefined) {
      this.#answersNothing(connection, header, true, 'SCSI Response')
      return
    }
    const isComplete = header.response === ServiceResponse.commandCompleted
    if (isComplete && answersSnack(task, header)) {
      const tail = task.receiver.expectPdus(header.expDataSN)
      if ('violation' in tail) {
        this.#violated(task, connection, tail.violation)
        return
      }
      if (tail.count > 0) {
        if (connection.errorRecoveryLevel === 0) {
          this.#violated(task, connection, 'it sent fewer Data-In PDUs than its SCSI Response says')
          return
        }
        this.#data.snack(task, connection, tail)
      }
    }
    const isFinal = answersSnack(task, header)
    const isNew = connection.countIn(header, true, !isFinal || task.receiver.hasGap)
    if (isNew && !isFinal) task.keptStatSN = header.statSN
    if (connection.state !== 'full-feature' || !isFinal || task.state !== 'active') return
    // The answer to an R-Data SNACK may have the StatSN of a response that came before (§11.16.3).
    if (!isNew && task.snackTag === 0) return
    if (!isComplete) {
      connection.acknowledge(header.statSN)
      this.finish(task, targetFailure(header.response))
      return
    }
    const result = resultOfResponse(
      header,
      pdu,
      task.isWrite,
      (this.#session.parameters?.iSCSIProtocolLevel ?? 1) >= 2,
    )
    if (result === undefined) {
      this.#violated(task, connection, 'the sense data of a SCSI Response is longer than its data segment')
      return
    }
    task.heldResponse = { statSN: header.statSN, result }
    this.#dataCame(task, connection)
  }

  /** A PDU for a task that is not ours, or not any more: it may be a repetition (level 1), else it is a lie. */
  #answersNothing(
    connection: InitiatorConnection,
    header: DataIn | ScsiResponse,
    isNumbered: boolean,
    name: string,
  ): void {
    if (isNumbered) {
      if (!connection.countIn(header)) return
    } else connection.countCommands(header.expCmdSN, header.maxCmdSN)
    if (this.#isLie(connection, header)) connection.broken(`a ${name} that belongs to no task`)
  }

  /** Without recovery nothing comes twice, and what a connection carries for a task comes before its end there. */
  #isLie(connection: InitiatorConnection, { initiatorTaskTag }: DataIn | ScsiResponse | R2T): boolean {
    return connection.errorRecoveryLevel === 0 && !this.#endedElsewhere.has(initiatorTaskTag)
  }

  /** Numbers as they should be at this level. */
  #isAcceptable(
    task: InitiatorTask,
    connection: InitiatorConnection,
    arrival: ReturnType<InitiatorTask['receiver']['data']>,
  ): arrival is InputArrival {
    if (typeof arrival === 'object') {
      this.#violated(task, connection, arrival.violation)
      return false
    }
    if (arrival === 'taken' || connection.errorRecoveryLevel > 0) return true
    this.#violated(
      task,
      connection,
      `a gap or a repetition in its DataSNs (${task.receiver.expDataSN} was due)`,
    )
    return false
  }

  /** The target broke the rules in this task: nothing that it says about it counts. */
  #violated(task: InitiatorTask, connection: InitiatorConnection, what: string): void {
    this.finish(task, failed(brokenProtocol(what)))
    connection.broken(what)
  }

  /** Something of the task has come: what waited for it goes on. */
  #dataCame(task: InitiatorTask, connection: InitiatorConnection): void {
    // §7.8: what is lost is not waited for, only the status.
    if (!task.isDataLost && !this.#data.dataCame(task, connection)) return
    if (task.heldResponse !== undefined) this.#complete(task, connection)
  }

  /** Response and data are here. */
  #complete(task: InitiatorTask, connection: InitiatorConnection): void {
    const { heldResponse, request } = task
    if (heldResponse === undefined) return
    const { result, statSN } = heldResponse
    connection.acknowledge(statSN)
    if (task.isDataLost) {
      this.#giveUpData(task)
      return
    }
    result.dataInBytes = task.receiver.contiguousBytes
    const wrong = contradictionIn(result, request, task.sentBytes)
    if (wrong !== undefined) this.#violated(task, connection, wrong)
    else this.finish(task, result)
  }

  // Recovery within a command (§7.1.4.1)

  /** A PDU of the task was spoiled. */
  spoiled(connection: InitiatorConnection, pdu: ReceivedPdu): void {
    const header = decodeDataIn(pdu.view, pdu.at)
    const task = this.#taskOf(connection, header.initiatorTaskTag)
    if (task !== undefined && header.dataSN - task.receiver.expDataSN <= this.#session.limits.aheadPdus)
      this.#data.snack(task, connection, task.receiver.missing(header.dataSN))
  }

  /** §7.8: the target does not send the data again; where it has no status yet, it ends the task with one. */
  #snackRejected(task: InitiatorTask): void {
    if (task.isDataLost || !task.isRead || !task.receiver.hasGap) return
    task.isDataLost = true
    task.snackDeadline = Infinity
    this.#session.counters.fallbackWithinCommand++
    // After an R-Data SNACK the response is here no more, but it has come.
    const statSN = task.heldResponse?.statSN ?? task.keptStatSN
    if (statSN === undefined) return
    task.connection?.acknowledge(statSN)
    this.#giveUpData(task)
  }

  #giveUpData(task: InitiatorTask): void {
    const { result } = task.heldResponse ?? {}
    const { request } = task
    if (
      request.replay === 'safe' &&
      task.endCode === undefined &&
      task.replays < this.#session.policy.replayLimit
    ) {
      task.replays++
      this.replay([task], () => undefined)
      this.dispatch()
    } else if (result !== undefined && result.status !== ScsiStatus.good) this.finish(task, result)
    else this.finish(task, dataLost)
  }

  /** One of our PDUs about a task was rejected. */
  rejected(connection: InitiatorConnection, header: DataView, reason: number): void {
    const task = this.#taskOf(connection, initiatorTaskTagOf(header, 0))
    const opcode = opcodeOf(header, 0)
    if (task === undefined) return
    if (opcode === Opcode.snackRequest) this.#snackRejected(task)
    else if (opcode === Opcode.scsiCommand) this.#commandRejected(task, connection, reason)
    // §7.3: for rejected data the target asks again, or ends the task with a response.
  }

  /** §7.3: the target did not take the command, and misses its CmdSN. */
  #commandRejected(task: InitiatorTask, connection: InitiatorConnection, reason: number): void {
    if (reason === RejectReason.dataDigestError && connection.errorRecoveryLevel > 0) {
      this.#retry(task, connection)
      return
    }
    connection.plugGap(task.cmdSN)
    if (task.endCode !== undefined) {
      this.finishEnded(task)
      return
    }
    // It was not carried out, so that it may begin anew whatever it is.
    if (passingReasons.has(reason) && task.replays < this.#session.policy.replayLimit) {
      task.replays++
      this.replay([task], () => undefined)
      this.dispatch()
    } else this.finish(task, failed(rejection(opcodeName(Opcode.scsiCommand), reason)))
  }

  #retry(task: InitiatorTask, connection: InitiatorConnection): void {
    const { parameters, limits, counters } = this.#session
    if (parameters === undefined) return
    if (++task.retries > limits.commandRetries) {
      counters.fallbackToConnectionRecovery++
      connection.drop(lostConnection('a command does not arrive at the target'))
      return
    }
    counters.commandRetry++
    task.send(connection, parameters)
  }

  // Time

  /** Looks at every deadline. */
  sweep(now: Instant): void {
    for (const task of this.all()) {
      const { connection } = task
      if (task.state === 'active' && connection !== undefined) this.#data.sweep(task, connection, now)
      if (task.state === 'active') this.#sweepProof(task, now)
      if (task.state === 'active' || task.state === 'waiting') this.#sweepDeadline(task, now)
    }
    this.#sweepWindow(now)
  }

  #sweepDeadline(task: InitiatorTask, now: Instant): void {
    const { policy } = this.#session
    if (task.deadline === SOON) {
      const timeoutMs = task.request.timeoutMs ?? policy.taskTimeoutMs
      task.deadline = timeoutMs === 0 ? Infinity : now + timeoutMs
    } else if (now >= task.deadline) {
      task.deadline = Infinity
      task.endCode ??= 'TASK_TIMEOUT'
      this.#session.taskTimedOut(task)
    }
  }

  #sweepProof(task: InitiatorTask, now: Instant): void {
    if (task.proofDeadline === SOON) task.proofDeadline = now + this.#session.limits.taskManagementTimeoutMs
    else if (now >= task.proofDeadline) {
      task.proofDeadline = Infinity
      this.#session.taskNotReassigned(task)
    }
  }

  /** §7.2.1: sends the command that the target misses again, or something else in its place. */
  #sweepWindow(now: Instant): void {
    const cmdSN = this.#gap.overdue(now)
    if (cmdSN === undefined) return
    const task = this.all().find((one) => one.state !== 'waiting' && one.cmdSN === cmdSN)
    const active = task?.state === 'active' ? task.connection : undefined
    // A target that says nothing while it works may have it; its answer to a ping tells.
    if (active && active.lastHeard <= this.#gap.since) return
    this.#gap.wait(now)
    if (task === undefined) this.#session.chooseConnection()?.plugGap(cmdSN)
    else if (active && active.errorRecoveryLevel > 0) this.#retry(task, active)
  }

  /** What ends a task whose end was asked for. */
  finishEnded(task: InitiatorTask): void {
    this.finish(task, task.endResult)
  }

  /** Everything ends. */
  failAll(failure: Closure): void {
    for (const task of this.all()) this.finish(task, failed(failure))
  }
}
