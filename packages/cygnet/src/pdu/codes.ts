/** The code tables of RFC 7143 §11, beside those of login (`login-status.ts`) and the opcodes. */

/** Function of a Task Management Function Request (RFC 7143 §11.5.1; 9 to 12: RFC 7144 §7.1). */
export const TaskManagementFunction = {
  abortTask: 1,
  abortTaskSet: 2,
  clearAca: 3,
  clearTaskSet: 4,
  logicalUnitReset: 5,
  targetWarmReset: 6,
  targetColdReset: 7,
  taskReassign: 8,
  queryTask: 9,
  queryTaskSet: 10,
  itNexusReset: 11,
  queryAsynchronousEvent: 12,
} as const
export type TaskManagementFunction = (typeof TaskManagementFunction)[keyof typeof TaskManagementFunction]

/** Response of a Task Management Function Response (RFC 7143 §11.6.1; 7: RFC 7144 §7.2). */
export const TaskManagementResponseCode = {
  functionComplete: 0,
  taskDoesNotExist: 1,
  lunDoesNotExist: 2,
  taskStillAllegiant: 3,
  taskReassignmentNotSupported: 4,
  functionNotSupported: 5,
  functionAuthorizationFailed: 6,
  functionSucceeded: 7,
  functionRejected: 255,
} as const
export type TaskManagementResponseCode =
  (typeof TaskManagementResponseCode)[keyof typeof TaskManagementResponseCode]

/** iSCSI service response of a SCSI Response (RFC 7143 §11.4.3); 0x80..0xff are vendor specific. */
export const ServiceResponse = { commandCompleted: 0x00, targetFailure: 0x01 } as const
export type ServiceResponse = (typeof ServiceResponse)[keyof typeof ServiceResponse]

/** AsyncEvent of an Asynchronous Message (RFC 7143 §11.9.1); 248..255 are vendor specific. */
export const AsyncEvent = {
  scsiEvent: 0,
  logoutRequest: 1,
  connectionDrop: 2,
  sessionDrop: 3,
  negotiationRequest: 4,
  taskTermination: 5,
} as const
export type AsyncEvent = (typeof AsyncEvent)[keyof typeof AsyncEvent]

/** Reason of a Logout Request (RFC 7143 §11.14.1). */
export const LogoutReason = { closeSession: 0, closeConnection: 1, removeConnectionForRecovery: 2 } as const
export type LogoutReason = (typeof LogoutReason)[keyof typeof LogoutReason]

/** Response of a Logout Response (RFC 7143 §11.15.1). */
export const LogoutResponseCode = {
  closed: 0,
  cidNotFound: 1,
  recoveryNotSupported: 2,
  cleanupFailed: 3,
} as const
export type LogoutResponseCode = (typeof LogoutResponseCode)[keyof typeof LogoutResponseCode]

/** Type of a SNACK Request (RFC 7143 §11.16.1). */
export const SnackType = { dataOrR2T: 0, status: 1, dataAck: 2, rData: 3 } as const
export type SnackType = (typeof SnackType)[keyof typeof SnackType]

/** Reason of a Reject (RFC 7143 §11.17.1). 0x0b is deprecated: it is never sent, and on receipt it ends the login. */
export const RejectReason = {
  dataDigestError: 0x02,
  snackReject: 0x03,
  protocolError: 0x04,
  commandNotSupported: 0x05,
  immediateCommandReject: 0x06,
  taskInProgress: 0x07,
  invalidDataAck: 0x08,
  invalidPduField: 0x09,
  longOperationReject: 0x0a,
  negotiationReset: 0x0b,
  waitingForLogout: 0x0c,
} as const
export type RejectReason = (typeof RejectReason)[keyof typeof RejectReason]

/** Login stages, CSG and NSG (RFC 7143 §11.12.3); 2 is reserved. */
export const LoginStage = {
  securityNegotiation: 0,
  loginOperationalNegotiation: 1,
  fullFeaturePhase: 3,
} as const
export type LoginStage = (typeof LoginStage)[keyof typeof LoginStage]

/** AHSType codes (RFC 7143 §11.2.2.1). */
export const AhsType = { extendedCdb: 1, bidirectionalReadLength: 2 } as const
export type AhsType = (typeof AhsType)[keyof typeof AhsType]
