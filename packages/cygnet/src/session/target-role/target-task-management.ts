import { RejectReason, TaskManagementFunction, TaskManagementResponseCode } from '../../pdu/codes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import {
  decodeTaskManagementRequest,
  encodeTaskManagementResponse,
  type TaskManagementRequest,
} from '../../pdu/task-management.ts'
import { serialLess } from '../../base/serial32.ts'
import { IscsiTask, isBefore } from './iscsi-task.ts'
import { lunOf } from '../lun-number.ts'
import { reassign } from './reassignment.ts'
import type { TargetConnection } from './target-connection.ts'
import type { TargetSession } from './target-session.ts'

const Response = TaskManagementResponseCode
const Function = TaskManagementFunction

/** `additional`: additional response information, 24 bits (RFC 7144 §6.4.1). */
type Respond = (response: number, additional?: number) => void

/** A request that is being carried out. */
interface Management {
  readonly connection: TargetConnection
  readonly session: TargetSession
  readonly request: TaskManagementRequest
  readonly respond: Respond
}

type Handler = (management: Management) => void

/** Task management functions (RFC 7143 §11.5.1). What is not here is not supported. */
const functions: Readonly<Record<number, Handler>> = {
  [Function.abortTask]: abortTask,
  [Function.abortTaskSet]: manageGroup,
  [Function.clearAca]: manageUnit,
  [Function.clearTaskSet]: manageGroup,
  [Function.logicalUnitReset]: manageGroup,
  [Function.targetWarmReset]: manageGroup,
  [Function.targetColdReset]: manageGroup,
  [Function.taskReassign]: ({ connection, session, request, respond }) =>
    reassign(connection, session, request, respond),
}

/** Those of RFC 7144, at iSCSIProtocolLevel 2 and above. */
const functionsOfLevel2: Readonly<Record<number, Handler>> = {
  [Function.queryTask]: queryTask,
  [Function.queryTaskSet]: manageUnit,
  [Function.itNexusReset]: manageGroup,
  [Function.queryAsynchronousEvent]: manageUnit,
}

/** For all units that the nexus sees: nothing of what comes before it is waited for (§4.2.3.3 b). */
const targetWide: ReadonlySet<number> = new Set([
  Function.targetWarmReset,
  Function.targetColdReset,
  Function.itNexusReset,
])

/** §4.2.2.3.4 b and e: no response of the tasks that it covers may come after its own. */
const fenced: ReadonlySet<number> = new Set([
  Function.abortTaskSet,
  Function.clearAca,
  Function.clearTaskSet,
  Function.logicalUnitReset,
  ...targetWide,
])

/** A Task Management Function Request: the response follows all responses of the tasks that it covers. */
export function manageTasks(connection: TargetConnection, session: TargetSession, pdu: ReceivedPdu): void {
  const request = decodeTaskManagementRequest(pdu.view, pdu.at)
  const { managementTags } = session
  if (managementTags.has(request.initiatorTaskTag) || session.task(request.initiatorTaskTag)) {
    connection.reject(pdu, RejectReason.taskInProgress, 'the initiator task tag is in use')
    return
  }
  // They may have to wait for data or commands, so there is a limit; a target reset, the last resort, has a place left, and
  // each connection always has one (§4.2.2.1).
  const limit = connection.limits.immediateDepth + (targetWide.has(request.function) ? 1 : 0)
  const isFull = (): boolean =>
    managementTags.size >= limit && [...managementTags.values()].includes(connection)
  if (request.immediate && isFull()) {
    connection.reject(pdu, RejectReason.immediateCommandReject, 'too many task management functions')
    return
  }
  session.order.inOrder(connection, request.immediate, request.cmdSN, () => {
    if (isFull()) {
      answer(connection, session, request, Response.functionRejected, 0, undefined)
      return
    }
    managementTags.set(request.initiatorTaskTag, connection)
    const run =
      functions[request.function] ??
      (session.parameters.iSCSIProtocolLevel >= 2 ? functionsOfLevel2[request.function] : undefined)
    const respond: Respond = (response, additional = 0) => {
      const send = (sent?: () => void): void =>
        answer(connection, session, request, response, additional, sent)
      if (!fenced.has(request.function)) send()
      else {
        const lun = targetWide.has(request.function) ? undefined : lunOf(request.lun)
        session.sendFenced(connection, lun, send)
      }
    }
    if (run) run({ connection, session, request, respond })
    else respond(Response.functionNotSupported)
  })
}

function answer(
  connection: TargetConnection,
  session: TargetSession,
  request: TaskManagementRequest,
  response: number,
  additional: number,
  sent: (() => void) | undefined,
): void {
  session.managementTags.delete(request.initiatorTaskTag)
  connection.sendControl(
    (view, at, numbering) => {
      encodeTaskManagementResponse(view, at, {
        ...numbering,
        response,
        initiatorTaskTag: request.initiatorTaskTag,
      })
      if (additional !== 0) view.setUint32(at + 8, additional << 8)
    },
    undefined,
    true,
    sent,
  )
}

/** §11.6.1: done where the task is here, or its command is still to come; else the task does not exist. */
function abortTask({ connection, session, request, respond }: Management): void {
  const task = session.task(request.referencedTaskTag)
  if (task?.isSuspended && task.state === 'sent') {
    // §11.5.1: its status comes again, here, and the response after it.
    task.resendOn(connection, task.firstDataSN + task.dataInPdus)
    session.resume(task)
    respond(Response.functionComplete)
    return
  }
  if (task && session.canAbort(task)) {
    session.abort(task, () => {
      respond(Response.functionComplete)
      // Data that R2Ts have asked for may still come, or never: the first such task starts the wait for all.
      if (session.owedAbortedCount === 1) task.connection.startDrainTimer()
    })
    session.order.deliverReady()
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
    session.order.deliverReady()
    return
  }
  respond(Response.taskDoesNotExist)
}

/** RFC 7144 §6.4.2. */
function queryTask({ session, request, respond }: Management): void {
  if (session.managementTags.has(request.referencedTaskTag)) {
    respond(Response.functionRejected)
    return
  }
  const task = session.task(request.referencedTaskTag)
  const isHere = task !== undefined && !task.aborting && task.state !== 'sent' && task.state !== 'responding'
  respond(isHere ? Response.functionSucceeded : Response.functionComplete)
}

/** Functions about a unit that end no task. */
function manageUnit({ session, request, respond }: Management): void {
  session.home.port.manage(request.function, lunOf(request.lun), respond)
}

/** Functions for many tasks: the units abort theirs, then the initiator's outstanding data is waited for (§4.2.3.3). */
function manageGroup({ connection, session, request, respond }: Management): void {
  const isTargetWide = targetWide.has(request.function)
  const lun = isTargetWide ? undefined : lunOf(request.lun)
  const run = (): void => {
    const tellOthers = session.isFastAbort ? session.fastAbort(connection, lun) : undefined
    session.abortOutside(lun, request.cmdSN)
    const done = (response: number): void => {
      if (tellOthers) {
        tellOthers()
        respond(response)
      } else session.whenNothingOwed(() => respond(response))
    }
    session.home.port.manage(
      request.function,
      lun ?? 0,
      done,
      (task) => task instanceof IscsiTask && isBefore(task, request.cmdSN),
    )
  }
  if (isTargetWide) {
    session.abortOutside(lun, request.cmdSN)
    session.window.plugBelow(request.cmdSN)
    run()
    session.order.deliverReady()
  } else if (!session.order.afterCommands(connection, request.cmdSN, run)) respond(Response.functionRejected)
}
