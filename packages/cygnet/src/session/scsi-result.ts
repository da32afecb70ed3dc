import { joinSlices, viewOf } from '../base/bytes.ts'
import type { ScsiFailure } from './scsi-request.ts'
import type { Closure } from './initiator-events.ts'

const NO_SENSE: Uint8Array = new Uint8Array(0)
const SENSE_LENGTH_BYTES = 2

/**
 * Sense data out of the data segment of a SCSI Response (RFC 7143 §11.4.7): SenseLength (2), then so many bytes. Copied.
 * Undefined where SenseLength is more than there is.
 */
export function readSense(slices: readonly Uint8Array[]): Uint8Array | undefined {
  if (slices.length === 0) return NO_SENSE
  const bytes = joinSlices(slices)
  if (bytes.length < SENSE_LENGTH_BYTES) return undefined
  const end = SENSE_LENGTH_BYTES + viewOf(bytes).getUint16(0)
  return end > bytes.length ? undefined : bytes.subarray(SENSE_LENGTH_BYTES, end)
}

/** A residual count as bytes that are missing, or negative as bytes that are too many (§11.4.5). */
export const residualOf = (overflow: boolean, underflow: boolean, count: number): number =>
  underflow ? count : overflow ? -count : 0

export const failed = ({ code, message }: Closure): ScsiFailure => ({ kind: 'failed', code, message })

const failure = (code: string, message: string): ScsiFailure => ({ kind: 'failed', code, message })

export const taskAborted = failure('TASK_ABORTED', 'The task was aborted.')
export const taskTimedOut = failure(
  'TASK_TIMEOUT',
  'The target did not answer in time, and the task was aborted: look whether it is overloaded, or allow more time.',
)
export const taskLost = failure(
  'TASK_LOST',
  'The session was lost while the command was on its way: whether it was executed is not known.',
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
