import { totalLength } from '../base/bytes.ts'
import type { ScsiTask } from '../scsi/task.ts'

/**
 * A parameter list in one piece. Undefined where the initiator's buffer ended before the length that its CDB gives:
 * PARAMETER LIST LENGTH ERROR.
 */
export function gather(task: ScsiTask): Uint8Array | undefined {
  const { dataOut, dataOutLengthBytes } = task
  if (totalLength(dataOut) < dataOutLengthBytes) return undefined
  const bytes = new Uint8Array(dataOutLengthBytes)
  let at = 0
  for (const slice of dataOut) {
    const part = slice.length > dataOutLengthBytes - at ? slice.subarray(0, dataOutLengthBytes - at) : slice
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
