import type { Instant } from '../../base/clock.ts'
import type { InputRun } from './data-in-receiver.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import { lostConnection } from './initiator-events.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import { type InitiatorTask, SOON } from './initiator-task.ts'
import type { RecoveryCounters } from '../recovery-counters.ts'
import { sendDataAck, sendDataSnack, sendRDataSnack, sendStatusSnack } from './snack-requests.ts'

/** R2Ts are numbered with the Data-In of a bidirectional command, and come before it. */
const missesData = ({ isRead, isWrite, receiver }: InitiatorTask): boolean =>
  isRead && (!isWrite || receiver.hasData)

/**
 * Recovery of a task's data within its command (RFC 7143 §7.1.4.1, ErrorRecoveryLevel 1 and 2): what is missing is asked
 * for by SNACK, again after a while, and in the end the connection is given up.
 */
export class TaskDataRecovery {
  readonly #limits: InitiatorLimits
  readonly #counters: RecoveryCounters

  constructor(limits: InitiatorLimits, counters: RecoveryCounters) {
    this.#limits = limits
    this.#counters = counters
  }

  /** Asks for Data-In or R2Ts. */
  snack(task: InitiatorTask, connection: InitiatorConnection, { first, count }: InputRun): void {
    if (count === 0 || task.isDataLost) return
    this.#counters.sequenceError++
    const isData = missesData(task)
    if (isData) task.snackDeadline = SOON
    if (isData && task.segmentation !== connection.segmentation) {
      this.#snackAll(task, connection)
      return
    }
    if (isData) this.#counters.dataSnack++
    else this.#counters.r2tSnack++
    sendDataSnack(connection, task.lun, task.initiatorTaskTag, first, count)
  }

  /** §11.16.3: since MaxRecvDataSegmentLength has changed, all that is not acknowledged comes again. */
  #snackAll(task: InitiatorTask, connection: InitiatorConnection): void {
    task.segmentation = connection.segmentation
    task.receiver.restart(task.isWrite)
    if (task.heldResponse !== undefined) task.keptStatSN = task.heldResponse.statSN
    task.heldResponse = undefined
    task.snackTag++
    this.#counters.rDataSnack++
    sendRDataSnack(connection, task.lun, task.initiatorTaskTag, task.snackTag)
  }

  /** Something of the task has come: says whether it has all that is known to exist, and acknowledges what is to be. */
  dataCame(task: InitiatorTask, connection: InitiatorConnection): boolean {
    if (task.receiver.hasGap) {
      // §7.1.4.1: a lost R2T is the target's to send again.
      task.snackDeadline = missesData(task) ? SOON : Infinity
      return false
    }
    // The response with the SNACK tag has the StatSN of one that came: nothing else shows that it is lost.
    const awaitsResponse = task.keptStatSN !== undefined && task.heldResponse === undefined
    task.snackDeadline = awaitsResponse ? SOON : Infinity
    task.snacks = 0
    if (task.owedAckTag !== undefined) {
      this.#counters.dataAck++
      sendDataAck(connection, task.lun, task.owedAckTag, task.receiver.expDataSN)
      task.receiver.acknowledge()
      task.owedAckTag = undefined
    }
    return true
  }

  /** The time has come to look whether what was asked for is here. */
  sweep(task: InitiatorTask, connection: InitiatorConnection, now: Instant): void {
    const { snackTimeoutMs, snackTries } = this.#limits
    if (task.snackDeadline === SOON) task.snackDeadline = now + snackTimeoutMs
    else if (now >= task.snackDeadline) {
      this.#counters.sequenceTimeout++
      task.snackDeadline = now + snackTimeoutMs
      if (++task.snacks >= snackTries) {
        this.#counters.fallbackToConnectionRecovery++
        connection.drop(lostConnection('data is missing, and the target does not send it again'))
      } else if (!task.receiver.hasGap && task.keptStatSN !== undefined) {
        this.#counters.statusSnack++
        sendStatusSnack(connection, task.keptStatSN, 1)
      } else if (task.snackTag > 0) this.#snackAll(task, connection)
      else for (const run of task.receiver.gaps()) this.snack(task, connection, run)
    }
  }
}
