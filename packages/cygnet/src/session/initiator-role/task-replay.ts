import type { Closure } from './initiator-events.ts'
import type { SessionPolicy } from './initiator-policy.ts'
import type { InitiatorTask } from './initiator-task.ts'
import type { InitiatorTasks } from './initiator-tasks.ts'
import type { RecoveryCounters } from '../recovery-counters.ts'
import type { ScsiResult } from './scsi-request.ts'
import { taskLost } from './scsi-result.ts'
import type { SessionOutbox } from './session-outbox.ts'
import type { TaskManagementRequests } from './task-management-requests.ts'

/** What replaying tasks needs of its session. */
export interface ReplayingSession {
  /** Requests are taken. */
  readonly isOpen: boolean
  readonly policy: SessionPolicy
  readonly counters: RecoveryCounters
  readonly tasks: InitiatorTasks
  readonly management: TaskManagementRequests
}

/**
 * What becomes of tasks that the target does not know any more, although their commands were on their way: those that
 * may be executed twice start anew, the others end. Why that is safe is said in `session-recovery.ts`.
 */
export class TaskReplay {
  readonly #session: ReplayingSession
  readonly #outbox: SessionOutbox

  constructor(session: ReplayingSession, outbox: SessionOutbox) {
    this.#session = session
    this.#outbox = outbox
  }

  /** `cause`: what the session was lost by, where that is why. */
  replay(tasks: readonly InitiatorTask[], cause?: Closure): void {
    this.#session.tasks.replay(tasks, (task) => this.#refusalOf(task, cause))
  }

  /** The target would not reassign it. Whatever has become of it there, it ends, before it may be sent again. */
  notReassigned(task: InitiatorTask): void {
    this.#session.counters.taskReassignRefused++
    // The answer may have come together with the task's own response, which then counts.
    this.#session.management.takeBack(task, () =>
      this.#outbox.afterwards(() => {
        if (task.state !== 'active') return
        this.replay([task])
        this.#session.tasks.dispatch()
      }),
    )
  }

  /** Why a task does not start anew; undefined: it does. */
  #refusalOf(task: InitiatorTask, cause: Closure | undefined): ScsiResult | undefined {
    const { policy, counters, isOpen } = this.#session
    if (task.endCode !== undefined) return task.endResult
    if (task.request.replay === 'safe' && task.replays < policy.replayLimit && isOpen) {
      task.replays++
      counters.taskReplayed++
      return undefined
    }
    counters.taskNotReplayed++
    return taskLost(cause)
  }
}
