import type { RecoveryCounters } from '../recovery-counters.ts'
import type { Serial32 } from '../../base/serial32.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import type { InitiatorEvent } from './initiator-events.ts'
import type { SessionParameters } from '../parameters.ts'
import type { RequestWindow } from './request-window.ts'

/** What a connection of an initiator needs of its session. */
export interface ConnectionOwner {
  readonly window: RequestWindow
  readonly counters: RecoveryCounters
  /** What was negotiated for the session; undefined in its first login. */
  readonly parameters: SessionParameters | undefined
  /** An initiator task tag that no task of the session has. */
  takeTag(): number
  /** ExpCmdSN or MaxCmdSN may have moved. */
  windowMoved(): void
  /** Something happened; called as the last thing that the connection does about it. */
  connectionEvent(connection: InitiatorConnection, event: InitiatorEvent): void
  /** A PDU that belongs to a SCSI task or to task management. */
  taskPdu(connection: InitiatorConnection, pdu: ReceivedPdu, opcode: number): void
  /** A PDU for a task that fell to a data digest error at ErrorRecoveryLevel 1 or higher. */
  taskPduLost(connection: InitiatorConnection, pdu: ReceivedPdu, opcode: number): void
  /** A PDU of ours about a task was rejected; `header` is its BHS. */
  taskPduRejected(connection: InitiatorConnection, header: DataView, reason: number): void
  /** The target terminates the tasks of a LUN on the connection that it has taken, before `expCmdSN` (TaskReporting=FastAbort). */
  tasksTerminated(connection: InitiatorConnection, lun: bigint, expCmdSN: Serial32): void
  /** There is something to poll. */
  wake(): void
}
