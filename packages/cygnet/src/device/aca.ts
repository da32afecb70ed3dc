import { hasNaca, isPreemptAndAbort } from '../scsi/cdb.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import { TaskAttribute } from '../scsi/task.ts'

/*
 * Auto contingent allegiance (SAM-5 §5.9). A command with NACA = 1 that ends with CHECK CONDITION establishes it for its
 * nexus, the faulted one. Until it is cleared, every enabled task is blocked: what it has begun goes on, but it takes no
 * further step and does not end; dormant tasks stay dormant. The faulted nexus may send one task at a time with the ACA
 * attribute, to find out what is wrong. There is one task set for all nexuses (TST = 000b), so there is one such
 * condition at most.
 */

/** What a command that arrives during the condition ends with (§5.9.3, §5.9.4); GOOD: it is taken. */
export function statusDuringAca(task: ScsiTask, faulted: Nexus, hasAcaTask: boolean): ScsiStatus {
  if (task.nexus === faulted) {
    const isTaken = task.attribute === TaskAttribute.aca && !hasAcaTask
    return isTaken ? ScsiStatus.good : ScsiStatus.acaActive
  }
  if (isPreemptAndAbort(task.cdb)) return ScsiStatus.good
  // Who does not know of ACA is told something that everybody knows.
  return hasNaca(task.cdb) ? ScsiStatus.acaActive : ScsiStatus.busy
}

/** A task that takes no step while the condition lasts. */
export const isBlockedByAca = (task: ScsiTask): boolean =>
  task.attribute !== TaskAttribute.aca && !isPreemptAndAbort(task.cdb)
