import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { DataInCut } from './data-in-cut.ts'

/** What a task keeps at ErrorRecoveryLevel 1 and 2, so that its PDUs can be sent again. */
export class TaskRecovery {
  /** How its Data-In is cut at present. */
  cut: DataInCut
  /** Data-In PDUs that a DataACK has acknowledged, and where the data goes on after them. */
  ackedPdus = 0
  ackedBytes = 0
  /** StatSN of its response, once that has left. */
  statSN: number | undefined
  /** That was the last Data-In, not a SCSI Response. */
  isStatusOnData = false
  /** Of the last R-Data SNACK: the status comes in a SCSI Response that carries it (§11.4.4). */
  snackTag = 0
  /** Asks for DataACKs. */
  targetTransferTag = RESERVED_TAG

  constructor(segmentBytes: number, maxBurstLength: number, totalBytes: number) {
    this.cut = new DataInCut(0, 0, segmentBytes, maxBurstLength, totalBytes)
  }
}
