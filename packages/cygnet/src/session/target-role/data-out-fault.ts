import { encodeSense, SenseKey } from '../../scsi/sense.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import type { ScsiTask } from '../../scsi/task.ts'
import type { DataOutFault } from './data-out.ts'

/** Why the data of a command did not reach its other end. */
export type DataFault = DataOutFault | 'snack-rejected'

/** Additional sense (`ASC << 8 | ASCQ`) for the faults of a data transfer, all with ABORTED COMMAND (RFC 7143 §11.4.7.2). */
const additionalSense = {
  'unexpected-unsolicited-data': 0x0c0c,
  'incorrect-amount-of-data': 0x0c0d,
  'digest-error': 0x4705,
  'snack-rejected': 0x1113,
} as const satisfies Record<DataFault, number>

/** Gives a task the status that a fault of its data transfer ends it with. */
export function faultTask(task: ScsiTask, fault: DataFault): void {
  task.status = ScsiStatus.checkCondition
  task.sense = encodeSense({ key: SenseKey.abortedCommand, additional: additionalSense[fault] }, false)
  task.dataInLengthBytes = 0
}
