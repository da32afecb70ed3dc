import { createHash } from 'node:crypto'
import type { UnitIdentity } from '../device/identity-pages.ts'

/**
 * What a logical unit is recognised by, from the target's name and the LUN alone, so that it survives restarts, moves
 * and new addresses: a serial number of 16 hexadecimal digits, and a locally assigned NAA designator (SPC-5
 * §7.7.6.6.4: 8 bytes, the first half-byte 3).
 */
export function unitIdentity(targetName: string, lun: number): UnitIdentity {
  const digest = createHash('sha256').update(`${targetName}\n${lun}`).digest()
  const naa = new Uint8Array(digest.subarray(0, 8))
  naa[0] = 0x30 | (digest.readUInt8(0) & 0x0f)
  return { serialNumber: digest.toString('hex', 8, 16).toUpperCase(), naa }
}
