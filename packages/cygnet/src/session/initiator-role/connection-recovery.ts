import type { Instant } from '../../base/clock.ts'
import { type Serial32, serialLessOrEqual } from '../../base/serial32.ts'
import { LogoutResponseCode, TaskManagementResponseCode } from '../../pdu/codes.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import { type Closure, type Grace, lostConnection } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import type { LoginRedirection } from './initiator-login.ts'
import type { LoginFailure } from './initiator-login-failure.ts'
import type { InitiatorTask } from './initiator-task.ts'
import type { InitiatorTasks } from './initiator-tasks.ts'
import type { SessionParameters } from '../parameters.ts'
import type { PortalAddress } from '../portal-address.ts'
import type { RecoveryCounters } from '../recovery-counters.ts'
import type { RequestWindow } from './request-window.ts'
import {
  type ConnectionCleanupEvent,
  type ConnectionCleanupState,
  connectionCleanupTransitions,
} from '../states/connection-cleanup-states.ts'
import { StateMachine } from '../states/state-machine.ts'
import type { TaskManagementRequests } from './task-management-requests.ts'

/** What connection recovery needs of its session. */
export interface RecoveringSession {
  readonly now: Instant
  readonly window: RequestWindow
  readonly limits: InitiatorLimits
  readonly counters: RecoveryCounters
  readonly parameters: SessionParameters | undefined
  readonly tasks: InitiatorTasks
  readonly management: TaskManagementRequests
  /** A connection on which requests can be made. */
  requestConnection(): InitiatorConnection | undefined
  /** Where the next command goes. */
  chooseConnection(): InitiatorConnection | undefined
  /** Connects and logs in, in the place of a lost connection; at `portal`, where the target sent us there. */
  reinstate(cid: number, oldExpStatSN: Serial32, portal: PortalAddress | undefined): InitiatorConnection
  /** A task that the target does not know any more. */
  taskForgotten(task: InitiatorTask): void
  recovered(cid: number): void
  giveUpSession(failure: Closure, grace?: Grace): void
  /** Calls `ConnectionRecovery.handleTimeout` then; undefined: not at all. */
  setRecoveryTimer(deadline: Instant | undefined): void
}

type RecoveryPhase =
  /** For Time2Wait, or for the next try. */
  | 'waiting'
  /** For the reinstatement of another connection. */
  | 'blocked'
  | 'logging-out'
  | 'connecting'
  /** Logged out; its tasks may be reassigned from `notBefore` on. */
  | 'freed'
  | 'reassigning'

/** One lost connection. */
interface Recovery {
  readonly cid: number
  /** The target keeps the responses from there on; those before it have arrived (§11.14.4). */
  readonly expStatSN: Serial32
  readonly failure: Closure
  /** Its tasks that are not reassigned yet. */
  readonly tasks: Set<InitiatorTask>
  readonly cleanup: StateMachine<ConnectionCleanupState, ConnectionCleanupEvent>
  phase: RecoveryPhase
  /** What it waits for, from when on. */
  notBefore: Instant
  /** The end of Time2Retain. */
  readonly deadline: Instant
  delayMs: number
  redirections: number
  /** Where it is logged out, or what takes its place. */
  through: InitiatorConnection | undefined
}

const MS_PER_SECOND = 1000

/**
 * Connection recovery (RFC 7143 §7.1.4.3, ErrorRecoveryLevel 2). A lost connection waits for Time2Wait; then another
 * connection logs it out "for recovery", or where there is none a new one takes its CID by reinstatement (§6.3.4). Its
 * tasks are then reassigned to whatever connection there is (§7.2.2); commands that never arrived are sent again with
 * their CmdSN. All of it must be done before Time2Retain is over, else the session is opened again.
 */
export class ConnectionRecovery {
  readonly #session: RecoveringSession
  readonly #recoveries = new Map<number, Recovery>()

  constructor(session: RecoveringSession) {
    this.#session = session
  }

  get isIdle(): boolean {
    return this.#recoveries.size === 0
  }

  cancel(): void {
    this.#recoveries.clear()
    this.#session.setRecoveryTimer(undefined)
  }

  /** A connection was lost with its tasks. */
  begin(connection: InitiatorConnection, failure: Closure, grace: Grace | undefined): void {
    const { parameters, tasks, now, limits } = this.#session
    const waitSeconds = grace?.time2WaitSeconds ?? parameters?.defaultTime2Wait ?? 0
    const retainSeconds = grace?.time2RetainSeconds ?? parameters?.defaultTime2Retain ?? 0
    const notBefore = now + waitSeconds * MS_PER_SECOND
    const suspended = new Set(tasks.suspend(connection))
    const earlier = this.#recoveries.get(connection.cid)
    for (const task of earlier?.tasks ?? []) suspended.add(task)
    this.#leaves(connection)
    // What it was to take over is taken over with its own tasks: it may have them at the target.
    for (const other of this.#reassigning()) {
      for (const task of other.tasks) {
        if (task.reassignedTo !== connection) continue
        task.reassignedTo = undefined
        suspended.add(task)
        other.tasks.delete(task)
      }
      if (other.cid !== connection.cid) this.#checkDone(other)
    }
    this.#recoveries.set(connection.cid, {
      cid: connection.cid,
      expStatSN: connection.expStatSN,
      failure,
      tasks: suspended,
      cleanup: new StateMachine<ConnectionCleanupState, ConnectionCleanupEvent>(
        connectionCleanupTransitions,
        'CLEANUP_WAIT',
      ),
      phase: 'waiting',
      notBefore,
      deadline: notBefore + Math.max(retainSeconds * MS_PER_SECOND, 1),
      delayMs: limits.reopenFirstDelayMs,
      redirections: 0,
      through: undefined,
    })
    if (retainSeconds === 0) this.#giveUp(failure)
    else this.#arm()
  }

  #reassigning(): Recovery[] {
    return [...this.#recoveries.values()].filter(({ phase }) => phase === 'reassigning')
  }

  /** A connection logs nothing out any more: lost, or logged out itself. */
  #leaves(connection: InitiatorConnection): void {
    for (const recovery of this.#recoveries.values())
      if (recovery.phase === 'logging-out' && recovery.through === connection)
        this.#retryLater(recovery, 'logoutFailed')
  }

  /** A connection was logged out: what it was to do for others is done by another one. */
  connectionLeft(connection: InitiatorConnection): void {
    this.#leaves(connection)
    for (const recovery of this.#reassigning()) {
      let isAgain = false
      for (const task of recovery.tasks) {
        if (task.reassignedTo !== connection) continue
        task.reassignedTo = undefined
        isAgain = true
      }
      if (isAgain) this.#reassign(recovery)
    }
    this.#arm()
  }

  /** The target rejected the request to log out a lost connection. */
  logoutRejected(cid: number): void {
    const recovery = this.#recoveries.get(cid)
    if (recovery === undefined || recovery.phase !== 'logging-out') return
    this.#retryLater(recovery, 'logoutFailed')
    this.#arm()
  }

  handleTimeout(now: Instant): void {
    for (const recovery of [...this.#recoveries.values()]) {
      if (!this.#recoveries.has(recovery.cid)) return
      if (now >= recovery.deadline) {
        this.#session.counters.time2RetainExpired++
        if (recovery.cleanup.can('timedOut')) recovery.cleanup.on('timedOut')
        else if (recovery.cleanup.can('sessionClosed')) recovery.cleanup.on('sessionClosed')
        this.#giveUp(recovery.failure)
        return
      }
      if (now < recovery.notBefore) continue
      if (recovery.phase === 'waiting') this.#free(recovery)
      else if (recovery.phase === 'freed') this.#reassign(recovery)
    }
    this.#arm()
  }

  /** Takes the allegiance of its tasks from the lost connection. */
  #free(recovery: Recovery): void {
    const other = this.#session.requestConnection()
    if (other !== undefined) {
      recovery.phase = 'logging-out'
      recovery.through = other
      recovery.cleanup.on('logoutBegun')
      other.logOutOther(recovery.cid, recovery.expStatSN)
      return
    }
    // One takes its place first; the rest can then be logged out through it.
    if ([...this.#recoveries.values()].some(({ phase }) => phase === 'connecting')) {
      recovery.phase = 'blocked'
      return
    }
    recovery.phase = 'connecting'
    recovery.cleanup.on('reinstatementBegun')
    recovery.redirections = 0
    recovery.through = this.#session.reinstate(recovery.cid, recovery.expStatSN, undefined)
  }

  /** The target answered the logout of a lost connection. */
  loggedOut(cid: number, response: number, grace: Grace): void {
    const recovery = this.#recoveries.get(cid)
    if (recovery === undefined || recovery.phase !== 'logging-out') return
    // A connection that the target does not know any more: TASK REASSIGN tells which of its tasks it still knows.
    if (response !== LogoutResponseCode.closed && response !== LogoutResponseCode.cidNotFound) {
      recovery.cleanup.on('logoutFailed')
      this.#giveUp(
        lostConnection(`the target answered the logout of a lost connection with response ${response}`),
      )
      return
    }
    recovery.cleanup.on('logoutSucceeded')
    this.#session.counters.connectionRecovery++
    recovery.phase = 'freed'
    recovery.through = undefined
    recovery.notBefore = this.#session.now + grace.time2WaitSeconds * MS_PER_SECOND
    if (this.#session.now >= recovery.notBefore) this.#reassign(recovery)
    this.#arm()
  }

  /** A login ended well; true where it took the place of a lost connection. */
  loggedIn(connection: InitiatorConnection): boolean {
    const recovery = this.#recoveries.get(connection.cid)
    if (recovery === undefined || recovery.through !== connection) return false
    recovery.cleanup.on('reinstated')
    this.#session.counters.connectionReinstatement++
    this.#session.counters.connectionRecovery++
    this.#reassign(recovery)
    this.#unblock()
    this.handleTimeout(this.#session.now)
    return true
  }

  /** A login failed; true where it was to take the place of a lost connection. */
  loginFailed(connection: InitiatorConnection, event: LoginFailure | LoginRedirection): boolean {
    const recovery = this.#recoveries.get(connection.cid)
    if (recovery === undefined || recovery.through !== connection) return false
    const { limits } = this.#session
    if (event.kind === 'redirected' && recovery.redirections++ < limits.reopenRedirections)
      recovery.through = this.#session.reinstate(recovery.cid, recovery.expStatSN, event.portals[0])
    else if (event.kind === 'failed' && event.status === LoginStatus.sessionDoesNotExist)
      this.#giveUp(recovery.failure)
    else {
      this.#retryLater(recovery, 'reinstatementFailed')
      this.#unblock()
      this.#arm()
    }
    return true
  }

  #retryLater(recovery: Recovery, event: 'logoutFailed' | 'reinstatementFailed'): void {
    recovery.cleanup.on(event)
    recovery.phase = 'waiting'
    recovery.through = undefined
    recovery.notBefore = this.#session.now + recovery.delayMs
    recovery.delayMs = Math.min(2 * recovery.delayMs, this.#session.limits.reopenLastDelayMs)
  }

  #unblock(): void {
    for (const recovery of this.#recoveries.values())
      if (recovery.phase === 'blocked') recovery.phase = 'waiting'
  }

  // Reassignment (§7.2.2)

  #reassign(recovery: Recovery): void {
    const { window, tasks } = this.#session
    const own = recovery.through?.canRequest ? recovery.through : undefined
    recovery.phase = 'reassigning'
    for (const task of [...recovery.tasks]) {
      if (task.reassignedTo !== undefined) continue
      const connection = own ?? this.#session.chooseConnection()
      if (connection === undefined) {
        // All are gone in between: their own recovery brings one back.
        recovery.phase = 'freed'
        recovery.notBefore = this.#session.now + recovery.delayMs
        return
      }
      if (task.state !== 'suspended') recovery.tasks.delete(task)
      else if (serialLessOrEqual(window.expCmdSN, task.cmdSN)) {
        recovery.tasks.delete(task)
        if (task.endCode === undefined) tasks.resend(task, connection)
        else tasks.finishEnded(task)
      } else this.#reassignTask(recovery, task, connection)
    }
    this.#checkDone(recovery)
  }

  #reassignTask(recovery: Recovery, task: InitiatorTask, connection: InitiatorConnection): void {
    const { tasks, management, counters } = this.#session
    task.receiver.reassign(task.isRead)
    task.reassignedTo = connection
    management.reassign(task, connection, (response, failure) => {
      // Its connection was lost as well: another recovery has it.
      if (connection.state === 'closed' || !recovery.tasks.delete(task) || task.state !== 'suspended') return
      if (response === TaskManagementResponseCode.functionComplete) {
        counters.taskReassign++
        tasks.resume(task, connection)
        if (task.endCode !== undefined) management.abort(task)
      } else if (response === TaskManagementResponseCode.functionRejected) {
        // LIO answers so when it has reassigned the task.
        tasks.resumeInDoubt(task, connection)
      } else {
        counters.taskReassignRefused++
        if (response !== TaskManagementResponseCode.taskDoesNotExist) {
          this.#giveUp(
            failure ?? lostConnection(`the target answered TASK REASSIGN with response ${response}`),
          )
          return
        }
        this.#session.taskForgotten(task)
      }
      this.#checkDone(recovery)
    })
  }

  #checkDone(recovery: Recovery): void {
    if (recovery.tasks.size > 0 || this.#recoveries.get(recovery.cid) !== recovery) return
    this.#recoveries.delete(recovery.cid)
    this.#session.recovered(recovery.cid)
    this.#arm()
  }

  #giveUp(failure: Closure): void {
    this.#session.counters.fallbackToSessionRecovery++
    this.#session.giveUpSession(failure)
  }

  #arm(): void {
    let next: Instant | undefined
    for (const { phase, notBefore, deadline } of this.#recoveries.values()) {
      const due = phase === 'waiting' || phase === 'freed' ? Math.min(notBefore, deadline) : deadline
      if (next === undefined || due < next) next = due
    }
    this.#session.setRecoveryTimer(next)
  }
}
