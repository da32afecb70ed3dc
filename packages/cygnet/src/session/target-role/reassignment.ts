import { TaskManagementResponseCode } from '../../pdu/codes.ts'
import type { TaskManagementRequest } from '../../pdu/task-management.ts'
import { faultTask } from './data-out-fault.ts'
import type { SessionConnection } from './session-connections.ts'
import type { TargetSession } from './target-session.ts'

const Response = TaskManagementResponseCode

/**
 * TASK REASSIGN (RFC 7143 §7.2.2, §11.5.1): a task of a connection that was logged out for recovery goes on with this
 * one. `respond` comes first: the reassignment becomes effective after its response.
 */
export function reassign(
  connection: SessionConnection,
  session: TargetSession,
  request: TaskManagementRequest,
  respond: (response: number) => void,
): void {
  const refuse = (response: number): void => {
    session.counters.taskReassignRefused++
    respond(response)
  }
  if (session.parameters.errorRecoveryLevel < 2) {
    refuse(Response.taskReassignmentNotSupported)
    return
  }
  if (session.managementTags.has(request.referencedTaskTag) || !request.immediate) {
    refuse(Response.functionRejected)
    return
  }
  const task = session.task(request.referencedTaskTag)
  if (!task || task.aborting) {
    refuse(Response.taskDoesNotExist)
    return
  }
  if (!task.isSuspended || task.connection.isWaitingForCleanup) {
    refuse(Response.taskStillAllegiant)
    return
  }
  session.counters.taskReassign++
  if (task.state === 'sent') session.counters.statusResent++
  respond(Response.functionComplete)
  task.dataOutTransfer?.resume(request.expDataSN)
  task.resendOn(connection, request.expDataSN)
  if (task.isDataLost) {
    session.counters.fallbackWithinCommand++
    faultTask(task, 'snack-rejected')
  }
  session.resume(task)
}
