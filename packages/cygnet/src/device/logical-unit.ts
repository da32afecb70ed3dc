import type { Nexus, ScsiTask } from '../scsi/task.ts'

/** Why a nexus went away; says which unit attention the next one gets (SPC-5 §5.14, SAM-5 §6.3). */
export type NexusLoss = 'logout' | 'nexus-loss'

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
  /** ABORT TASK SET, or CLEAR TASK SET with `everyNexus`: `done` when the last affected task has finished. */
  abortTaskSet(nexus: Nexus, everyNexus: boolean, done: () => void): void
  /** LOGICAL UNIT RESET (also a target reset's effect on each unit): aborts every task, establishes unit attentions. */
  reset(done: () => void): void
  /** Flushes and closes the store; only when no task is left. */
  close(done: () => void): void
}
