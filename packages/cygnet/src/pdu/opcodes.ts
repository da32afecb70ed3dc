/** iSCSI opcodes (RFC 7143 §11.2.1.2): six bits, bit 5 set for those that a target sends. */
export const Opcode = {
  nopOut: 0x00,
  scsiCommand: 0x01,
  taskManagementRequest: 0x02,
  loginRequest: 0x03,
  textRequest: 0x04,
  dataOut: 0x05,
  logoutRequest: 0x06,
  snackRequest: 0x10,
  nopIn: 0x20,
  scsiResponse: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  r2t: 0x31,
  asyncMessage: 0x32,
  reject: 0x3f,
} as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

const OPCODE_NAMES: { readonly [opcode: number]: string } = {
  [Opcode.nopOut]: 'NOP-Out',
  [Opcode.scsiCommand]: 'SCSI Command',
  [Opcode.taskManagementRequest]: 'Task Management Function Request',
  [Opcode.loginRequest]: 'Login Request',
  [Opcode.textRequest]: 'Text Request',
  [Opcode.dataOut]: 'SCSI Data-Out',
  [Opcode.logoutRequest]: 'Logout Request',
  [Opcode.snackRequest]: 'SNACK Request',
  [Opcode.nopIn]: 'NOP-In',
  [Opcode.scsiResponse]: 'SCSI Response',
  [Opcode.taskManagementResponse]: 'Task Management Function Response',
  [Opcode.loginResponse]: 'Login Response',
  [Opcode.textResponse]: 'Text Response',
  [Opcode.dataIn]: 'SCSI Data-In',
  [Opcode.logoutResponse]: 'Logout Response',
  [Opcode.r2t]: 'Ready To Transfer',
  [Opcode.asyncMessage]: 'Asynchronous Message',
  [Opcode.reject]: 'Reject',
}

/** The RFC's name of an opcode; vendor-specific and unassigned ones are named by their number. */
export function opcodeName(opcode: number): string {
  const name = OPCODE_NAMES[opcode]
  if (name !== undefined) return name
  const low = opcode & 0x1f
  const kind = low >= 0x1c && low <= 0x1e ? 'vendor-specific' : 'unassigned'
  return `${kind} opcode 0x${opcode.toString(16).padStart(2, '0')}`
}

/** True for the opcodes that only an initiator may send, assigned or not. */
export const isInitiatorOpcode = (opcode: number): boolean => (opcode & 0x20) === 0
