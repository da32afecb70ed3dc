/**
 * Additional sense codes, `ASC << 8 | ASCQ` (SPC-5 annex F): those that Cygnet's logical units report, and those that
 * an initiator meets often. `additionalSenseName` prints them.
 */
export const AdditionalSense = {
  none: 0x0000,
  notReadyCauseNotReportable: 0x0400,
  notReadyInitializingCommandRequired: 0x0402,
  writeError: 0x0c00,
  unrecoveredReadError: 0x1100,
  parameterListLengthError: 0x1a00,
  miscompareDuringVerify: 0x1d00,
  invalidOperationCode: 0x2000,
  lbaOutOfRange: 0x2100,
  invalidFieldInCdb: 0x2400,
  logicalUnitNotSupported: 0x2500,
  invalidFieldInParameterList: 0x2600,
  writeProtected: 0x2700,
  softwareWriteProtected: 0x2702,
  spaceAllocationFailed: 0x2707,
  mediumMayHaveChanged: 0x2800,
  powerOnOrReset: 0x2900,
  powerOn: 0x2901,
  busReset: 0x2902,
  busDeviceReset: 0x2903,
  deviceInternalReset: 0x2904,
  nexusLoss: 0x2907,
  modeParametersChanged: 0x2a01,
  capacityDataChanged: 0x2a09,
  commandsCleared: 0x2f00,
  commandsClearedByPowerLoss: 0x2f01,
  savingNotSupported: 0x3900,
  mediumNotPresent: 0x3a00,
  inquiryDataChanged: 0x3f03,
  reportedLunsDataChanged: 0x3f0e,
  internalTargetFailure: 0x4400,
  commandsClearedByProtocolEvent: 0x477f,
  invalidMessage: 0x4900,
} as const
export type AdditionalSense = (typeof AdditionalSense)[keyof typeof AdditionalSense]

const NAMES: Readonly<Record<AdditionalSense, string>> = {
  0x0000: 'no additional sense information',
  0x0400: 'logical unit not ready, cause not reportable',
  0x0402: 'logical unit not ready, initializing command required',
  0x0c00: 'write error',
  0x1100: 'unrecovered read error',
  0x1a00: 'parameter list length error',
  0x1d00: 'miscompare during verify operation',
  0x2000: 'invalid command operation code',
  0x2100: 'logical block address out of range',
  0x2400: 'invalid field in CDB',
  0x2500: 'logical unit not supported',
  0x2600: 'invalid field in parameter list',
  0x2700: 'write protected',
  0x2702: 'logical unit software write protected',
  0x2707: 'space allocation failed write protect',
  0x2800: 'not ready to ready change, medium may have changed',
  0x2900: 'power on, reset, or bus device reset occurred',
  0x2901: 'power on occurred',
  0x2902: 'SCSI bus reset occurred',
  0x2903: 'bus device reset function occurred',
  0x2904: 'device internal reset',
  0x2907: 'I_T nexus loss occurred',
  0x2a01: 'mode parameters changed',
  0x2a09: 'capacity data has changed',
  0x2f00: 'commands cleared by another initiator',
  0x2f01: 'commands cleared by power loss notification',
  0x3900: 'saving parameters not supported',
  0x3a00: 'medium not present',
  0x3f03: 'INQUIRY data has changed',
  0x3f0e: 'reported LUNs data has changed',
  0x4400: 'internal target failure',
  0x477f: 'some commands cleared by iSCSI protocol event',
  0x4900: 'invalid message error',
}

/** The standard's words for a code, or its two numbers where it is not in the table. */
export function additionalSenseName(code: number): string {
  const name = (NAMES as Readonly<Record<number, string>>)[code]
  if (name !== undefined) return name
  const digits = code.toString(16).padStart(4, '0')
  return `additional sense ${digits.slice(0, 2)}/${digits.slice(2)}`
}
