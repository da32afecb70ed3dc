import {
  AsyncEvent,
  LoginStage,
  LogoutReason,
  LogoutResponseCode,
  RejectReason,
  ServiceResponse,
  SnackType,
  TaskManagementFunction,
  TaskManagementResponseCode,
} from './codes.ts'
import { Opcode } from './opcodes.ts'

/** Names of codes, by code. */
type Names = Readonly<Record<number, string>>

/** `abortTaskSet` as "abort task set". */
const words = (name: string): string =>
  name.replaceAll(/[A-Z]+[0-9]*/g, (capitals) => ` ${capitals.toLowerCase()}`)

const namesOf = (codes: Readonly<Record<string, number>>): Names =>
  Object.fromEntries(Object.entries(codes).map(([name, code]) => [code, words(name)]))

/** Those of RFC 7143 §11.4.2, and the other two that status can have in Data-In (§11.7). */
const scsiStatus: Names = {
  0x00: 'GOOD',
  0x02: 'CHECK CONDITION',
  0x04: 'CONDITION MET',
  0x08: 'BUSY',
  0x18: 'RESERVATION CONFLICT',
  0x28: 'TASK SET FULL',
  0x30: 'ACA ACTIVE',
  0x40: 'TASK ABORTED',
}
const taskAttributes: Names = { 0: 'untagged', 1: 'simple', 2: 'ordered', 3: 'head of queue', 4: 'ACA' }
const stages = namesOf(LoginStage)
const snackTypes: Names = {
  ...namesOf(SnackType),
  [SnackType.dataOrR2T]: 'data or R2T',
  [SnackType.rData]: 'R-data',
}

/** For each opcode, the fields that are codes and the names of those. */
const codeNames: Readonly<Record<number, Readonly<Record<string, Names>>>> = {
  [Opcode.scsiCommand]: { attribute: taskAttributes },
  [Opcode.scsiResponse]: { response: namesOf(ServiceResponse), status: scsiStatus },
  [Opcode.dataIn]: { status: scsiStatus },
  [Opcode.taskManagementRequest]: { function: namesOf(TaskManagementFunction) },
  [Opcode.taskManagementResponse]: { response: namesOf(TaskManagementResponseCode) },
  [Opcode.asyncMessage]: { asyncEvent: namesOf(AsyncEvent) },
  [Opcode.loginRequest]: { csg: stages, nsg: stages },
  [Opcode.loginResponse]: { csg: stages, nsg: stages },
  [Opcode.logoutRequest]: { reasonCode: namesOf(LogoutReason) },
  [Opcode.logoutResponse]: { response: namesOf(LogoutResponseCode) },
  [Opcode.snackRequest]: { type: snackTypes },
  [Opcode.reject]: { reason: namesOf(RejectReason) },
}

/** The name of a code in a field, "unassigned" where there is none; undefined where the field is no code. */
export function codeName(opcode: number, field: string, code: number): string | undefined {
  const names = codeNames[opcode]?.[field]
  return names === undefined ? undefined : (names[code] ?? 'unassigned')
}

const ABBREVIATIONS: Readonly<Record<string, string>> = {
  lun: 'LUN',
  cdb: 'CDB',
  isid: 'ISID',
  tsih: 'TSIH',
  cid: 'CID',
  csg: 'CSG',
  nsg: 'NSG',
  totalAhsLength: 'TotalAHSLength',
  dataSegmentLength: 'DataSegmentLength',
  r2tSN: 'R2TSN',
  asyncEvent: 'AsyncEvent',
  asyncVCode: 'AsyncVCode',
  snackTag: 'SNACK Tag',
  begRun: 'BegRun',
  runLength: 'RunLength',
  time2Wait: 'Time2Wait',
  time2Retain: 'Time2Retain',
  parameter1: 'Parameter1',
  parameter2: 'Parameter2',
  parameter3: 'Parameter3',
  versionMax: 'Version-max',
  versionMin: 'Version-min',
  versionActive: 'Version-active',
  statusClass: 'Status-Class',
  statusDetail: 'Status-Detail',
}

/** The RFC's name of a field: "CmdSN", "Initiator Task Tag". */
export function fieldLabel(field: string): string {
  const known = ABBREVIATIONS[field]
  if (known !== undefined) return known
  const capitalized = field.charAt(0).toUpperCase() + field.slice(1)
  return field.endsWith('SN') ? capitalized : capitalized.replaceAll(/(?<=[a-z])[A-Z]/g, ' $&')
}
