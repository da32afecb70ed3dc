import { RejectReason, TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import type { ReceivedPdu } from '../pdu/received-pdu.ts'
import {
  decodeTaskManagementRequest,
  encodeTaskManagementResponse,
  type TaskManagementRequest,
} from '../pdu/task-management.ts'
import { serialLess } from '../base/serial32.ts'
import { lunOf } from './lun-number.ts'
import type { TargetConnection } from './target-connection.ts'
import type { TargetSession } from './target-session.ts'

const Response = TaskManagementResponseCode

/** What task management needs of the full feature phase. */
export interface TaskManagementPhase {
  readonly connection: TargetConnection
  readonly session: TargetSession
  inOrder(immediate: boolean, cmdSN: number, run: () => void): void
  deliverReady(): void
  afterCommands(cmdSN: number, run: () => void): boolean
}

type Respond = (response: number) => void
type Handler = (phase: TaskManagementPhase, request: TaskManagementRequest, respond: Respond) => void

const answer =
  (response: number): Handler =>
  (_phase, _request, respond) =>
    respond(response)

/** Task management functions (RFC 7143 §11.5.1). What is not here is not supported. */
const functions: Readonly<Record<number, Handler>> = {
  [TaskManagementFunction.abortTask]: abortTask,
  [TaskManagementFunction.abortTaskSet]: manageGroup,
  [TaskManagementFunction.clearTaskSet]: manageGroup,
  [TaskManagementFunction.logicalUnitReset]: manageGroup,
  [TaskManagementFunction.targetWarmReset]: manageGroup,
  [TaskManagementFunction.targetColdReset]: manageGroup,
  // ErrorRecoveryLevel 2 only (§7.2.2).
  [TaskManagementFunction.taskReassign]: answer(Response.taskReassignmentNotSupported),
}

const isTargetReset = (request: TaskManagementRequest): boolean =>
  request.function === TaskManagementFunction.targetWarmReset ||
  request.function === TaskManagementFunction.targetColdReset

/** A Task Management Function Request: the response follows all responses of the tasks that it covers. */
export function manageTasks(phase: TaskManagementPhase, pdu: ReceivedPdu): void {
  const request = decodeTaskManagementRequest(pdu.view, pdu.at)
  const { connection, session } = phase
  const { managementTags } = session
  if (managementTags.has(request.initiatorTaskTag) || session.task(request.initiatorTaskTag)) {
    connection.reject(pdu, RejectReason.taskInProgress, 'the initiator task tag is in use')
    return
  }
  // They may have to wait for data or commands, so there is a limit; a target reset, the last resort, has a place left.
  const limit = connection.limits.immediateDepth + (isTargetReset(request) ? 1 : 0)
  if (request.immediate && managementTags.size >= limit) {
    connection.reject(pdu, RejectReason.immediateCommandReject, 'too many task management functions')
    return
  }
  phase.inOrder(request.immediate, request.cmdSN, () => {
    const run = functions[request.function] ?? answer(Response.functionNotSupported)
    managementTags.add(request.initiatorTaskTag)
    run(phase, request, (response) => {
      managementTags.delete(request.initiatorTaskTag)
      connection.sendControl((view, at, numbering) =>
        encodeTaskManagementResponse(view, at, {
          ...numbering,
          response,
          initiatorTaskTag: request.initiatorTaskTag,
        }),
      )
    })
  })
}

/** §11.6.1: done where the task is here, or its command is still to come; else the task does not exist. */
function abortTask(phase: TaskManagementPhase, request: TaskManagementRequest, respond: Respond): void {
  const { session, connection } = phase
  const task = session.task(request.referencedTaskTag)
  if (task && session.canAbort(task)) {
    session.abort(task, () => {
      respond(Response.functionComplete)
      // Data that R2Ts have asked for may still come, or never: the first such task starts the wait for all.
      if (session.owedAbortedCount === 1) connection.startDrainTimer()
    })
    phase.deliverReady()
    return
  }
  if (session.managementTags.has(request.referencedTaskTag)) {
    respond(Response.functionRejected)
    return
  }
  // The RefCmdSN of an immediate task is the CmdSN of the request: that of a command yet to be sent, never to be plugged.
  const isEarlier = serialLess(request.refCmdSN, request.cmdSN)
  if (!task && isEarlier && session.window.plug(request.refCmdSN)) {
    respond(Response.functionComplete)
    phase.deliverReady()
    return
  }
  respond(Response.taskDoesNotExist)
}

/** Functions for many tasks: the units abort theirs, then the initiator's outstanding data is waited for (§4.2.3.3). */
function manageGroup(phase: TaskManagementPhase, request: TaskManagementRequest, respond: Respond): void {
  const { session, connection } = phase
  const isTargetWide = isTargetReset(request)
  const lun = isTargetWide ? undefined : lunOf(request.lun)
  const run = (): void => {
    session.abortOutside(lun, request.cmdSN)
    session.home.port.manage(request.function, lun ?? 0, (response) => {
      session.whenNothingOwed(() => respond(response))
      if (session.isWaitingForOwed) connection.startDrainTimer()
    })
  }
  if (isTargetWide) {
    session.abortOutside(lun, request.cmdSN)
    session.window.plugBelow(request.cmdSN)
    run()
    phase.deliverReady()
  } else if (!phase.afterCommands(request.cmdSN, run)) respond(Response.functionRejected)
}
