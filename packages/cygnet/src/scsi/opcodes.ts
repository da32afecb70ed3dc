/** Operation codes (SPC-5, SBC-4). */
export const Opcode = {
  testUnitReady: 0x00,
  requestSense: 0x03,
  formatUnit: 0x04,
  read6: 0x08,
  write6: 0x0a,
  inquiry: 0x12,
  modeSelect6: 0x15,
  reserve6: 0x16,
  release6: 0x17,
  modeSense6: 0x1a,
  startStopUnit: 0x1b,
  receiveDiagnosticResults: 0x1c,
  sendDiagnostic: 0x1d,
  preventAllowMediumRemoval: 0x1e,
  readCapacity10: 0x25,
  read10: 0x28,
  write10: 0x2a,
  writeAndVerify10: 0x2e,
  verify10: 0x2f,
  preFetch10: 0x34,
  synchronizeCache10: 0x35,
  readDefectData10: 0x37,
  writeBuffer10: 0x3b,
  readBuffer10: 0x3c,
  writeSame10: 0x41,
  unmap: 0x42,
  sanitize: 0x48,
  logSelect: 0x4c,
  logSense: 0x4d,
  xdWriteRead10: 0x53,
  modeSelect10: 0x55,
  reserve10: 0x56,
  release10: 0x57,
  modeSense10: 0x5a,
  persistentReserveIn: 0x5e,
  persistentReserveOut: 0x5f,
  variableLength: 0x7f,
  thirdPartyCopyOut: 0x83,
  thirdPartyCopyIn: 0x84,
  read16: 0x88,
  compareAndWrite: 0x89,
  write16: 0x8a,
  orWrite16: 0x8b,
  writeAndVerify16: 0x8e,
  verify16: 0x8f,
  preFetch16: 0x90,
  synchronizeCache16: 0x91,
  writeSame16: 0x93,
  writeAtomic16: 0x9c,
  serviceActionIn16: 0x9e,
  reportLuns: 0xa0,
  maintenanceIn: 0xa3,
  maintenanceOut: 0xa4,
  read12: 0xa8,
  write12: 0xaa,
  writeAndVerify12: 0xae,
  verify12: 0xaf,
  readDefectData12: 0xb7,
} as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

/** Service actions, in bits 4..0 of CDB byte 1, or in bytes 8 and 9 of a variable length CDB. */
export const ServiceAction = {
  xdWriteRead32: 0x07,
  readCapacity16: 0x10,
  getLbaStatus: 0x12,
  reportReferrals: 0x13,
  reportIdentifyingInformation: 0x05,
  setIdentifyingInformation: 0x06,
  reportTargetPortGroups: 0x0a,
  setTargetPortGroups: 0x0a,
  reportSupportedOperationCodes: 0x0c,
  reportSupportedTaskManagementFunctions: 0x0d,
  reportTimestamp: 0x0f,
  setTimestamp: 0x0f,
} as const
export type ServiceAction = (typeof ServiceAction)[keyof typeof ServiceAction]

/** Service actions of SANITIZE (SBC-4 §5.30). */
export const SanitizeAction = {
  overwrite: 0x01,
  blockErase: 0x02,
  cryptographicErase: 0x03,
  exitFailureMode: 0x1f,
} as const

/** Bytes of a CDB, by the group code in the top three bits (SPC-5 §4.2.5.1); 0 where the group has no fixed length. */
export function cdbLength(opcode: number): number {
  return CDB_LENGTH_BY_GROUP[opcode >>> 5] ?? 0
}

const CDB_LENGTH_BY_GROUP = [6, 10, 10, 0, 16, 12, 0, 0] as const
