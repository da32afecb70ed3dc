import { BlockDeviceError } from './block-device-error.ts'
import { checkBytes } from './device-requests.ts'
import type { ScsiCommand } from './scsi-executor.ts'

/** Longest CDB: 16 bytes in the header, and what an additional header segment takes (RFC 7143 §11.2.2.3). */
const CDB_BYTES_MAX = 260

const LUN_MAX = 16_383

/** A command as a caller of the library made it. @throws {BlockDeviceError} ARGUMENT_INVALID */
export function checkCommand({
  lun = 0,
  cdb,
  dataOut = [],
  dataIn,
  priority = 0,
}: Omit<ScsiCommand, 'lun'> & Partial<Pick<ScsiCommand, 'lun'>>): void {
  if (!Number.isInteger(lun) || lun < 0 || lun > LUN_MAX)
    throw new BlockDeviceError(
      'ARGUMENT_INVALID',
      `A LUN is a whole number from 0 to ${LUN_MAX}, not ${lun}.`,
    )
  checkBytes(cdb, 'A CDB')
  if (dataIn !== undefined) checkBytes(dataIn, 'dataIn')
  if (!Array.isArray(dataOut))
    throw new BlockDeviceError('ARGUMENT_INVALID', 'dataOut must be a list of Uint8Arrays.')
  for (const slice of dataOut) checkBytes(slice, 'Each part of dataOut')
  if (cdb.length === 0 || cdb.length > CDB_BYTES_MAX) {
    const message = `A CDB has 1 to ${CDB_BYTES_MAX} bytes, not ${cdb.length}.`
    throw new BlockDeviceError('ARGUMENT_INVALID', message)
  }
  if (!Number.isInteger(priority) || priority < 0 || priority > 15)
    throw new BlockDeviceError(
      'ARGUMENT_INVALID',
      `A priority is a whole number from 0 to 15, not ${priority}.`,
    )
}
