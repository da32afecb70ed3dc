import { AdditionalSense } from '../scsi/additional-sense.ts'
import { decodeSense, describeSense, type SenseData, SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { ScsiStatusResult } from '../session/initiator-role/scsi-request.ts'
import { BlockDeviceError, type BlockDeviceErrorCode } from './block-device-error.ts'

/** The device server refused a command or failed to carry it out. */
export class ScsiError extends BlockDeviceError {
  override readonly name = 'ScsiError'
  /** `ScsiStatus`. */
  readonly status: number
  /** Why, where the status is CHECK CONDITION. */
  readonly sense: SenseData | undefined

  constructor(
    code: BlockDeviceErrorCode,
    message: string,
    status: number,
    sense: SenseData | undefined,
    offset?: number,
  ) {
    super(code, message, offset)
    this.status = status
    this.sense = sense
  }
}

/** Additional sense that says more than its key. */
const byAdditional: Readonly<Record<number, BlockDeviceErrorCode>> = {
  [AdditionalSense.invalidOperationCode]: 'NOT_SUPPORTED',
  [AdditionalSense.lbaOutOfRange]: 'PAST_END',
  [AdditionalSense.logicalUnitNotSupported]: 'NO_DEVICE',
  [AdditionalSense.writeProtected]: 'READ_ONLY',
  [AdditionalSense.softwareWriteProtected]: 'READ_ONLY',
  [AdditionalSense.spaceAllocationFailed]: 'NO_SPACE',
}

const byKey: Readonly<Record<number, BlockDeviceErrorCode>> = {
  [SenseKey.notReady]: 'NOT_READY',
  [SenseKey.mediumError]: 'MEDIUM_ERROR',
  [SenseKey.dataProtect]: 'READ_ONLY',
  [SenseKey.abortedCommand]: 'TASK_ABORTED',
  [SenseKey.miscompare]: 'MISCOMPARE',
}

const byStatus: Readonly<Record<number, readonly [code: BlockDeviceErrorCode, what: string]>> = {
  [ScsiStatus.busy]: ['DEVICE_BUSY', 'the device is busy'],
  [ScsiStatus.taskSetFull]: ['DEVICE_BUSY', 'the device has too many commands'],
  [ScsiStatus.reservationConflict]: [
    'RESERVATION_CONFLICT',
    'somebody else has reserved the device: let them release it, or pre-empt the reservation',
  ],
  [ScsiStatus.acaActive]: ['DEVICE_BUSY', 'another error of the device is not cleared yet'],
  [ScsiStatus.taskAborted]: ['TASK_ABORTED', 'another initiator ended the command'],
}

/** `what`: the command, for the message. `offset`: the byte where its range begins. */
export function scsiError(what: string, result: ScsiStatusResult, offset?: number): ScsiError {
  const { status } = result
  const sense = status === ScsiStatus.checkCondition ? decodeSense(result.sense) : undefined
  if (sense) {
    const code = byAdditional[sense.additional] ?? byKey[sense.key] ?? 'DEVICE_ERROR'
    return new ScsiError(code, `${what}: ${describeSense(sense)}.`, status, sense, offset)
  }
  const [code, text] = byStatus[status] ?? ['DEVICE_ERROR', `SCSI status ${status.toString(16)}h`]
  return new ScsiError(code, `${what}: ${text}.`, status, undefined, offset)
}
