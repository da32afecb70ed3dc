import { type Serial32, serialAdd, serialLess } from '../../base/serial32.ts'
import type { LoginOutcome } from './login-watcher.ts'

/** What a session's numbers and tasks are, as an observer of all its connections knows. */
export class SessionRecord {
  readonly port: string
  readonly tsih: number
  readonly errorRecoveryLevel: number
  readonly maxBurstLength: number
  readonly firstBurstLength: number
  readonly maxOutstandingR2T: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  readonly tasks = new Map<number, TaskRecord>()
  /** Initiator task tag and opcode of each CmdSN that was used. */
  readonly used = new Map<Serial32, string>()
  /** CmdSNs of rejected commands: another command may take them. */
  readonly rejected = new Set<Serial32>()
  expCmdSN: Serial32
  maxCmdSN: Serial32
  /** Connections that are logged in. */
  connections = 0

  constructor(login: LoginOutcome) {
    const { keys } = login
    const number = (key: string, otherwise: number): number => Number(keys.get(key) ?? otherwise)
    this.port = login.port
    this.tsih = login.tsih
    this.errorRecoveryLevel = number('ErrorRecoveryLevel', 0)
    this.maxBurstLength = number('MaxBurstLength', 262_144)
    this.firstBurstLength = number('FirstBurstLength', 65_536)
    this.maxOutstandingR2T = number('MaxOutstandingR2T', 1)
    this.initialR2T = keys.get('InitialR2T') !== 'No'
    this.immediateData = keys.get('ImmediateData') !== 'No'
    this.expCmdSN = login.cmdSN
    this.maxCmdSN = serialAdd(login.cmdSN, -1)
  }

  /** ExpCmdSN and MaxCmdSN of a PDU that the target sends: neither ever goes back (RFC 7143 §4.2.2.1). */
  advance(expCmdSN: Serial32, maxCmdSN: Serial32): string | undefined {
    if (serialLess(expCmdSN, this.expCmdSN)) return `ExpCmdSN went back from ${this.expCmdSN} to ${expCmdSN}`
    if (serialLess(maxCmdSN, this.maxCmdSN)) return `MaxCmdSN went back from ${this.maxCmdSN} to ${maxCmdSN}`
    if (serialLess(maxCmdSN, serialAdd(expCmdSN, -1)))
      return `MaxCmdSN ${maxCmdSN} contradicts ExpCmdSN ${expCmdSN}`
    this.expCmdSN = expCmdSN
    this.maxCmdSN = maxCmdSN
    return undefined
  }
}

/** A transfer that an R2T has asked for. */
export interface Solicited {
  readonly task: TaskRecord
  readonly r2tSN: number
  readonly from: number
  readonly to: number
  nextDataSN: number
  nextOffset: number
}

/** A task, by its initiator task tag. */
export class TaskRecord {
  readonly opcode: number
  readonly tag: number
  readonly cmdSN: Serial32
  readonly isRead: boolean
  readonly isWrite: boolean
  readonly dataOutBytes: number
  readonly dataInBytes: number
  /** Where the next new Data-In or R2T begins. */
  nextDataSN = 0
  nextInOffset = 0
  sequenceBytes = 0
  /** Unsolicited data. */
  nextOutOffset: number
  nextUnsolicitedSN = 0
  isUnsolicitedOpen: boolean
  /** Where its response was sent, and with which StatSN. */
  response: { readonly connection: object; readonly statSN: Serial32 } | undefined
  /** It has moved to another connection, or its data is cut anew: numbers begin where they like. */
  isMoved = false
  isResegmented = false

  constructor(options: {
    opcode: number
    tag: number
    cmdSN: Serial32
    isRead: boolean
    isWrite: boolean
    dataOutBytes: number
    dataInBytes: number
    immediateBytes: number
    isUnsolicitedOpen: boolean
  }) {
    this.opcode = options.opcode
    this.tag = options.tag
    this.cmdSN = options.cmdSN
    this.isRead = options.isRead
    this.isWrite = options.isWrite
    this.dataOutBytes = options.dataOutBytes
    this.dataInBytes = options.dataInBytes
    this.nextOutOffset = options.immediateBytes
    this.isUnsolicitedOpen = options.isUnsolicitedOpen
  }
}
