import { joinSlices, viewOf } from '../../base/bytes.ts'
import type { DataIn } from '../../pdu/data.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import type { ScsiResponse } from '../../pdu/scsi-response.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import type { Closure } from './initiator-events.ts'
import type { ScsiFailure, ScsiRequest, ScsiStatusResult } from './scsi-request.ts'

const NO_SENSE: Uint8Array = new Uint8Array(0)
const SENSE_LENGTH_BYTES = 2
const STATUS_QUALIFIER_OFFSET = 8

/**
 * Sense data out of the data segment of a SCSI Response (RFC 7143 §11.4.7): SenseLength (2), then so many bytes. Copied.
 * Undefined where SenseLength is more than there is.
 */
function readSense(slices: readonly Uint8Array[]): Uint8Array | undefined {
  if (slices.length === 0) return NO_SENSE
  const bytes = joinSlices(slices)
  if (bytes.length < SENSE_LENGTH_BYTES) return undefined
  const end = SENSE_LENGTH_BYTES + viewOf(bytes).getUint16(0)
  return end > bytes.length ? undefined : bytes.subarray(SENSE_LENGTH_BYTES, end)
}

/** A residual count as bytes that are missing, or negative as bytes that are too many (§11.4.5). */
const residualOf = (overflow: boolean, underflow: boolean, count: number): number =>
  underflow ? count : overflow ? -count : 0

/** A result of which it is not known yet how many bytes came. */
export type OpenResult = Omit<ScsiStatusResult, 'dataInBytes'> & { dataInBytes: number }

/** What a status on the last Data-In says (§11.7.3). */
export const resultOfDataIn = (header: DataIn): OpenResult => ({
  kind: 'status',
  status: header.status,
  statusQualifier: 0,
  sense: NO_SENSE,
  dataInBytes: 0,
  dataInResidualBytes: residualOf(header.residualOverflow, header.residualUnderflow, header.residualCount),
  dataOutResidualBytes: 0,
})

/**
 * What a SCSI Response says; undefined where its sense data does not fit. `isLevel2`: iSCSIProtocolLevel 2 was agreed on,
 * which has the status qualifier (RFC 7144 §5.2.1).
 */
export function resultOfResponse(
  header: ScsiResponse,
  pdu: ReceivedPdu,
  isWrite: boolean,
  isLevel2: boolean,
): OpenResult | undefined {
  const sense = readSense(pdu.data)
  if (sense === undefined) return undefined
  const residual = residualOf(header.residualOverflow, header.residualUnderflow, header.residualCount)
  const readResidual = residualOf(
    header.bidirectionalReadOverflow,
    header.bidirectionalReadUnderflow,
    header.bidirectionalReadResidualCount,
  )
  return {
    kind: 'status',
    status: header.status,
    statusQualifier: isLevel2 ? pdu.view.getUint16(pdu.at + STATUS_QUALIFIER_OFFSET) : 0,
    sense,
    dataInBytes: 0,
    dataInResidualBytes: isWrite ? readResidual : residual,
    dataOutResidualBytes: isWrite ? residual : 0,
  }
}

/**
 * What in a result contradicts the data that was transferred. `dataOutBytes`: up to where the target asked for ours, or
 * got it unasked.
 */
export function contradictionIn(
  result: ScsiStatusResult,
  request: ScsiRequest,
  dataOutBytes: number,
): string | undefined {
  const { dataInBytes } = result
  const readBytes = request.dataIn?.length ?? 0
  const missingBytes = Math.max(0, result.dataInResidualBytes)
  const leftBytes = Math.max(0, result.dataOutResidualBytes)
  if (missingBytes > readBytes || leftBytes > request.dataOutBytes)
    return 'a residual count is more than was to be transferred'
  if (result.status !== ScsiStatus.good && result.status !== ScsiStatus.conditionMet) return undefined
  if (dataInBytes !== readBytes - missingBytes)
    return `it sent ${dataInBytes} bytes, and says that ${missingBytes} of ${readBytes} are missing`
  if (dataOutBytes < request.dataOutBytes - leftBytes)
    return `it asked for ${dataOutBytes} bytes, and says that it took all but ${leftBytes} of ${request.dataOutBytes}`
  return undefined
}

export const failed = ({ code, message }: Closure): ScsiFailure => ({ kind: 'failed', code, message })

const failure = (code: string, message: string): ScsiFailure => ({ kind: 'failed', code, message })

export const taskAborted = failure('TASK_ABORTED', 'The task was aborted.')
export const taskTimedOut = failure(
  'TASK_TIMEOUT',
  'The target did not answer in time, and the task was aborted: look whether it is overloaded, or allow more time.',
)
/** `cause`: what the session was lost by, where it was. */
export const taskLost = (cause: Closure | undefined): ScsiFailure =>
  failure(
    'TASK_LOST',
    `The session was lost while the command was on its way: whether it was executed is not known.${cause ? ` ${cause.message}` : ''}`,
  )
export const dataLost = failure(
  'DATA_LOST',
  'A part of the data was spoiled on its way, and the target does not send it again: repeat the command.',
)
export const sessionClosed = failure('SESSION_CLOSED', 'The session is closed: open another one.')
export const targetFailure = (response: number): ScsiFailure =>
  failure(
    'TARGET_FAILURE',
    `The target could not carry out the command (service response 0x${response.toString(16).padStart(2, '0')}): look into its log.`,
  )
