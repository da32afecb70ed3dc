import type { AdditionalSense } from '../scsi/additional-sense.ts'
import type { PendingEvent } from '../scsi/pending-event.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'

/** Why a nexus went away; says which unit attention the next one gets (SPC-5 §5.14, SAM-5 §6.3). */
export type NexusLoss = 'logout' | 'nexus-loss'

/** What resets a unit: a function of task management, or a target that acts as after power on (RFC 7143 §11.5.1). */
export type ResetCause = 'reset' | 'power-on'

/** What `target/` needs of a logical unit of any device type. */
export interface LogicalUnit {
  /** A new I_T nexus: establishes its POWER ON or NEXUS LOSS unit attention. */
  attachNexus(nexus: Nexus): void
  /** The nexus is gone: its tasks are aborted (each still ends with `finish()`) and its unit attentions forgotten. */
  detachNexus(nexus: Nexus, loss: NexusLoss): void
  /** Tasks of the nexus were ended by its transport: establishes the unit attention that says so (RFC 7143 §11.14.5). */
  commandsClearedByProtocol(nexus: Nexus): void
  /** Takes a task: checks it, then finishes it, or asks for its data by `owner.taskWantsData`, perhaps before returning. */
  submit(task: ScsiTask): void
  /** All wanted Data-Out bytes are in `task.dataOut`. */
  resume(task: ScsiTask): void
  /** Ends one task: at once where it waits for data, after its I/O where that is under way. `finish()` comes with `aborted` set. */
  abort(task: ScsiTask): void
  /** CLEAR ACA: no effect unless the nexus is the faulted one. `done` when a task with the ACA attribute has finished. */
  clearAca(nexus: Nexus, done: () => void): void
  /** QUERY TASK SET: whether a task of the nexus is here. */
  hasTasks(nexus: Nexus): boolean
  /** Whether it has this task. */
  holds(task: ScsiTask): boolean
  /** `done` when every task that is here now has ended: all of them, or those of one nexus. */
  whenTasksEnd(done: () => void, nexus?: Nexus): void
  /** QUERY ASYNCHRONOUS EVENT: what the nexus has still to hear of, which it has not with this (SAM-5 §7.10). */
  pendingEvent(nexus: Nexus): PendingEvent | undefined
  /** The nexus is to hear of this. */
  attentionFor(nexus: Nexus, code: AdditionalSense): void
  /** The nexus has heard of this elsewhere. */
  clearAttention(nexus: Nexus, code: AdditionalSense): void
  /**
   * ABORT TASK SET, or CLEAR TASK SET with `everyNexus`: `done` when the last affected task has finished. `covers`: which
   * tasks of `nexus` are affected; all where not given.
   */
  abortTaskSet(
    nexus: Nexus,
    everyNexus: boolean,
    done: () => void,
    covers?: (task: ScsiTask) => boolean,
  ): void
  /**
   * LOGICAL UNIT RESET (also a target reset's effect on each unit): aborts every task, clears ACA, establishes unit
   * attentions. `cause` is 'reset' where not given.
   */
  reset(done: () => void, cause?: ResetCause): void
  /** Flushes and closes the store; only when no task is left. */
  close(done: () => void): void
}
