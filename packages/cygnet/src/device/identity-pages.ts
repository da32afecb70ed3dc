import { CygnetError } from '../base/errors.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Designator } from '../scsi/vpd.ts'
import {
  encodeDeviceIdentification,
  encodeExtendedInquiry,
  encodeModePagePolicy,
  encodeScsiPorts,
  encodeSerialNumber,
  portDesignators,
  unitDesignators,
  VpdPage,
} from '../scsi/vpd.ts'
import type { TargetPortGroups } from './target-port-groups.ts'

/** Who a logical unit is, for as long as its data lives. */
export interface UnitIdentity {
  /** Printable ASCII, 1 to 64 characters. */
  readonly serialNumber: string
  /** NAA identifier, 8 bytes, or 16 where it begins with 6. */
  readonly naa: Uint8Array
  /** T10 vendor identification, up to 8 characters. Default `CYGNET`. */
  readonly vendor?: string
  /** Up to 16 characters. */
  readonly product?: string
  /** Up to 4 characters. */
  readonly revision?: string
}

/** @throws {CygnetError} ERR_DISK_IDENTITY where the identity does not fit its fields */
export function checkIdentity({ naa, serialNumber }: UnitIdentity): void {
  const naaBytes = naa[0] !== undefined && naa[0] >>> 4 === 6 ? 16 : 8
  if (naa.length !== naaBytes) {
    throw new CygnetError(
      'ERR_DISK_IDENTITY',
      `The NAA identifier has ${naa.length} bytes; give ${naaBytes}.`,
    )
  }
  if (!/^[\x20-\x7e]{1,64}$/.test(serialNumber)) {
    throw new CygnetError(
      'ERR_DISK_IDENTITY',
      `The serial number ${JSON.stringify(serialNumber)} does not fit: give 1 to 64 printable ASCII characters.`,
    )
  }
}

/** What a target port's name has behind the target's. */
const PORT_TAG = /,t,0x[0-9a-f]+$/i

export type VpdPages = readonly (readonly [page: VpdPage, encode: (nexus: Nexus) => Uint8Array])[]

/** What identifies the unit itself. */
export const designatorsOf = ({ naa, serialNumber, vendor = 'CYGNET' }: UnitIdentity): Designator[] =>
  unitDesignators({ naa, vendor, serialNumber })

/** The vital product data pages that say who a unit is and how it is reached: the same for every device type. */
export function identityPages(
  peripheral: number,
  identity: UnitIdentity,
  portGroups: TargetPortGroups,
  hasVolatileCache: boolean,
): VpdPages {
  /** Every portal group is a target port. */
  const portsOf = ({ targetPortName }: Nexus): ReadonlyMap<number, string> => {
    const tagOf = (group: number): string => `,t,0x${group.toString(16).padStart(4, '0')}`
    return new Map(portGroups.groups.map((group) => [group, targetPortName.replace(PORT_TAG, tagOf(group))]))
  }
  const identification = ({ targetPortName, relativeTargetPortId }: Nexus): Uint8Array =>
    encodeDeviceIdentification(peripheral, [
      ...designatorsOf(identity),
      ...portDesignators({
        targetPortName,
        targetName: targetPortName.replace(PORT_TAG, ''),
        relativeTargetPortId,
      }),
    ])
  return [
    [VpdPage.unitSerialNumber, () => encodeSerialNumber(peripheral, identity.serialNumber)],
    [VpdPage.deviceIdentification, identification],
    [VpdPage.extendedInquiry, () => encodeExtendedInquiry(peripheral, hasVolatileCache)],
    [VpdPage.modePagePolicy, () => encodeModePagePolicy(peripheral)],
    [VpdPage.scsiPorts, (nexus) => encodeScsiPorts(peripheral, portsOf(nexus))],
  ]
}
