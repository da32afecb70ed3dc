import { type Serial32, serialAdd, serialLess } from '../../base/serial32.ts'
import { parseAhs } from '../../pdu/ahs.ts'
import {
  ahsLengthOf,
  BHS_BYTES,
  initiatorTaskTagOf,
  isFinal,
  isImmediate,
  opcodeOf,
  RESERVED_TAG,
} from '../../pdu/bhs.ts'
import { LogoutReason, RejectReason, SnackType, TaskManagementFunction } from '../../pdu/codes.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import { decodeDataIn, decodeDataOut, decodeR2T } from '../../pdu/data.ts'
import { decodeLogoutRequest } from '../../pdu/logout.ts'
import { Opcode, opcodeName } from '../../pdu/opcodes.ts'
import { decodeReject } from '../../pdu/reject.ts'
import { decodeScsiCommand } from '../../pdu/scsi-command.ts'
import { decodeSnackRequest } from '../../pdu/snack.ts'
import { decodeTaskManagementRequest } from '../../pdu/task-management.ts'
import type { Pdu } from '../network.ts'
import { cutPdus, dataOf, type WireDigests, type WirePdu } from './cutter.ts'
import { type LoginOutcome, LoginWatcher } from './login-watcher.ts'
import { SessionRecord, type Solicited, TaskRecord } from './session-record.ts'

export type Direction = 'request' | 'response'

/** Every session that was seen, and what is told about them. */
export interface WireLedger {
  readonly sessions: Map<string, SessionRecord>
  /** A rule was broken. */
  violation(what: string): void
  /** For the trace. */
  readonly onPdu: ((connection: WireObserver, direction: Direction, pdu: WirePdu) => void) | undefined
  /** A login was refused. */
  refused(port: string, tsih: number, status: number): void
}

// Fields at the same place in most PDUs.
const statSNOf = (pdu: WirePdu): Serial32 => pdu.view.getUint32(pdu.start + 24)
const cmdSNOf = statSNOf
const expStatSNOf = (pdu: WirePdu): Serial32 => pdu.view.getUint32(pdu.start + 28)
const expCmdSNOf = expStatSNOf
const maxCmdSNOf = (pdu: WirePdu): Serial32 => pdu.view.getUint32(pdu.start + 32)

const NOTHING: readonly [number, number] = [0, 0]

/** Requests that carry a CmdSN which counts, where they are not immediate. */
const numbered: ReadonlySet<number> = new Set([
  Opcode.nopOut,
  Opcode.scsiCommand,
  Opcode.taskManagementRequest,
  Opcode.textRequest,
  Opcode.logoutRequest,
])

/** Rejects that an initiator which keeps the rules gets nevertheless. */
const fairRejects: ReadonlySet<number> = new Set([
  RejectReason.dataDigestError,
  RejectReason.snackReject,
  RejectReason.immediateCommandReject,
  RejectReason.invalidDataAck,
  RejectReason.waitingForLogout,
  RejectReason.longOperationReject,
])

/**
 * A judge of one TCP connection: decodes what both ends send, as they send it and before anything happens to it, and
 * holds it to the rules of numbering and of data transfers (RFC 7143 §4.2, §7, §11).
 */
export class WireObserver {
  readonly name: string
  readonly #ledger: WireLedger
  readonly #login = new LoginWatcher()
  readonly #digests: Record<Direction, WireDigests> = {
    request: { header: false, data: false },
    response: { header: false, data: false },
  }
  #session: SessionRecord | undefined
  #outcome: LoginOutcome | undefined
  #statSN: Serial32 = 0
  #expStatSN: Serial32 = 0
  /** What each StatSN was used for. */
  readonly #statuses = new Map<Serial32, string>()
  readonly #solicited = new Map<number, Solicited>()
  #sendLimits: Record<Direction, number> = { request: 8192, response: 8192 }
  #declared: { readonly tag: number; readonly bytes: number } | undefined
  #hasLoggedOut = false

  constructor(name: string, ledger: WireLedger) {
    this.name = name
    this.#ledger = ledger
  }

  get label(): string {
    return this.#outcome === undefined ? this.name : `${this.name} cid ${this.#outcome.cid}`
  }

  get session(): SessionRecord | undefined {
    return this.#session
  }

  /** Looks at a batch that one end sends; tells where its PDUs are. */
  observe(direction: Direction, bytes: Uint8Array): Pdu[] {
    const pdus: Pdu[] = []
    const digests = this.#digests[direction]
    cutPdus(bytes, digests, (pdu) => {
      const isFullFeature = this.#session !== undefined
      pdus.push({
        start: pdu.start,
        end: pdu.end,
        header: digests.header ? [pdu.start, pdu.headerEnd] : NOTHING,
        data: digests.data && pdu.dataLengthBytes > 0 ? [pdu.headerEnd, pdu.end] : NOTHING,
        mayBeLost: isFullFeature && (this.#session?.errorRecoveryLevel ?? 0) > 0,
      })
      this.#ledger.onPdu?.(this, direction, pdu)
      if (direction === 'request') this.#request(pdu)
      else this.#response(pdu)
    })
    return pdus
  }

  /** The connection is gone. */
  closed(): void {
    if (this.#session) this.#session.connections--
    this.#solicited.clear()
  }

  #violation(pdu: WirePdu, what: string): void {
    this.#ledger.violation(`${this.label}: ${opcodeName(opcodeOf(pdu.view, pdu.start))}: ${what}`)
  }

  #checkLength(direction: Direction, pdu: WirePdu): void {
    const limit = this.#sendLimits[direction]
    if (pdu.dataLengthBytes > limit) {
      this.#violation(pdu, `a data segment of ${pdu.dataLengthBytes} bytes, the peer declared ${limit}`)
    }
  }

  // What the initiator sends

  #request(pdu: WirePdu): void {
    const opcode = opcodeOf(pdu.view, pdu.start)
    const session = this.#session
    if (opcode === Opcode.loginRequest) {
      this.#login.request(pdu)
      return
    }
    if (session === undefined) {
      this.#violation(pdu, 'before the end of the login')
      return
    }
    this.#checkLength('request', pdu)
    // A Logout carries the ExpStatSN of the connection that it removes (§11.14.5).
    if (opcode !== Opcode.logoutRequest) this.#checkExpStatSN(pdu)
    if (numbered.has(opcode) && !this.#checkCmdSN(session, pdu, opcode)) return
    switch (opcode) {
      case Opcode.scsiCommand:
        this.#scsiCommand(session, pdu)
        return
      case Opcode.dataOut:
        this.#dataOut(session, pdu)
        return
      case Opcode.taskManagementRequest: {
        const header = decodeTaskManagementRequest(pdu.view, pdu.start)
        this.#newTask(session, pdu, opcode)
        if (header.function === TaskManagementFunction.taskReassign) {
          const task = session.tasks.get(header.referencedTaskTag)
          if (task) task.isMoved = true
        }
        return
      }
      case Opcode.snackRequest: {
        const header = decodeSnackRequest(pdu.view, pdu.start)
        const task = session.tasks.get(header.initiatorTaskTag)
        if (task && header.type === SnackType.rData) task.isResegmented = true
        if (session.errorRecoveryLevel === 0) this.#violation(pdu, 'at ErrorRecoveryLevel 0')
        return
      }
      case Opcode.logoutRequest: {
        const header = decodeLogoutRequest(pdu.view, pdu.start)
        this.#hasLoggedOut = header.reasonCode !== LogoutReason.removeConnectionForRecovery
        this.#newTask(session, pdu, opcode)
        return
      }
      case Opcode.textRequest:
        this.#newTask(session, pdu, opcode)
        this.#declare(pdu)
        return
      case Opcode.nopOut:
        if (initiatorTaskTagOf(pdu.view, pdu.start) !== RESERVED_TAG) this.#newTask(session, pdu, opcode)
    }
  }

  /** A new MaxRecvDataSegmentLength counts from the answer on; what is longer may come before that. */
  #declare(pdu: WirePdu): void {
    const match = /MaxRecvDataSegmentLength=(\d+)/.exec(new TextDecoder().decode(dataOf(pdu)))
    if (match === null) return
    const bytes = Number(match[1])
    this.#declared = { tag: initiatorTaskTagOf(pdu.view, pdu.start), bytes }
    this.#sendLimits.response = Math.max(this.#sendLimits.response, bytes)
  }

  #checkExpStatSN(pdu: WirePdu): void {
    const expStatSN = expStatSNOf(pdu)
    if (serialLess(expStatSN, this.#expStatSN))
      this.#violation(pdu, `ExpStatSN went back from ${this.#expStatSN} to ${expStatSN}`)
    else if (serialLess(this.#statSN, expStatSN))
      this.#violation(pdu, `ExpStatSN ${expStatSN} acknowledges what was not sent: ${this.#statSN} is next`)
    else this.#expStatSN = expStatSN
  }

  /** False where it is a copy of an earlier command (§7.2.1). */
  #checkCmdSN(session: SessionRecord, pdu: WirePdu, opcode: number): boolean {
    if (isImmediate(pdu.view, pdu.start)) return true
    const cmdSN = cmdSNOf(pdu)
    const tag = initiatorTaskTagOf(pdu.view, pdu.start)
    const who = `${opcodeName(opcode)} ${tag}`
    const before = session.used.get(cmdSN)
    if (before !== undefined && before !== who && session.rejected.delete(cmdSN)) {
      session.used.set(cmdSN, who)
      return true
    }
    if (before !== undefined) {
      // Where a command was lost with its connection and is wanted no more, a NOP-Out fills the gap.
      if (before !== who && opcode === Opcode.nopOut) return true
      if (before !== who) this.#violation(pdu, `CmdSN ${cmdSN} was that of ${before}, now it is of ${who}`)
      else if (session.errorRecoveryLevel === 0 && !session.rejected.has(cmdSN))
        this.#violation(pdu, `CmdSN ${cmdSN} again at ErrorRecoveryLevel 0`)
      return false
    }
    session.used.set(cmdSN, who)
    if (serialLess(session.maxCmdSN, cmdSN))
      this.#violation(pdu, `CmdSN ${cmdSN} is past MaxCmdSN ${session.maxCmdSN}`)
    return true
  }

  #newTask(session: SessionRecord, pdu: WirePdu, opcode: number): void {
    const tag = initiatorTaskTagOf(pdu.view, pdu.start)
    session.tasks.set(
      tag,
      new TaskRecord({
        opcode,
        tag,
        cmdSN: cmdSNOf(pdu),
        isRead: false,
        isWrite: false,
        dataOutBytes: 0,
        dataInBytes: 0,
        immediateBytes: 0,
        isUnsolicitedOpen: false,
      }),
    )
  }

  #scsiCommand(session: SessionRecord, pdu: WirePdu): void {
    const header = decodeScsiCommand(pdu.view, pdu.start)
    const ahs = parseAhs(pdu.view, pdu.start + BHS_BYTES, ahsLengthOf(pdu.view, pdu.start))
    const readBytes = ahs.ok ? ahs.ahs.bidirectionalReadExpectedDataTransferLength : undefined
    if (pdu.dataLengthBytes > 0 && !session.immediateData)
      this.#violation(pdu, 'immediate data, which was not agreed on')
    if (pdu.dataLengthBytes > Math.min(session.firstBurstLength, header.expectedDataTransferLength))
      this.#violation(pdu, `immediate data of ${pdu.dataLengthBytes} bytes`)
    if (!header.final && session.initialR2T)
      this.#violation(pdu, 'announces unsolicited data, which InitialR2T=Yes forbids')
    session.tasks.set(
      header.initiatorTaskTag,
      new TaskRecord({
        opcode: Opcode.scsiCommand,
        tag: header.initiatorTaskTag,
        cmdSN: header.cmdSN,
        isRead: header.read,
        isWrite: header.write,
        dataOutBytes: header.write ? header.expectedDataTransferLength : 0,
        dataInBytes: header.read ? (readBytes ?? (header.write ? 0 : header.expectedDataTransferLength)) : 0,
        immediateBytes: pdu.dataLengthBytes,
        isUnsolicitedOpen: !header.final,
      }),
    )
  }

  #dataOut(session: SessionRecord, pdu: WirePdu): void {
    const header = decodeDataOut(pdu.view, pdu.start)
    const end = header.bufferOffset + header.dataSegmentLength
    if (header.targetTransferTag === RESERVED_TAG) {
      const task = session.tasks.get(header.initiatorTaskTag)
      if (task === undefined || !task.isUnsolicitedOpen) {
        // A command that is sent again brings its unsolicited data again.
        if (session.errorRecoveryLevel === 0 || task === undefined)
          this.#violation(pdu, 'unsolicited data that no command announced')
        return
      }
      // A command that is sent again brings its unsolicited data again.
      if (header.dataSN === 0 && session.errorRecoveryLevel > 0) {
        task.nextUnsolicitedSN = 0
        task.nextOutOffset = header.bufferOffset
      }
      if (header.dataSN !== task.nextUnsolicitedSN || header.bufferOffset !== task.nextOutOffset)
        this.#violation(
          pdu,
          `unsolicited data out of order (DataSN ${header.dataSN}, offset ${header.bufferOffset})`,
        )
      if (end > session.firstBurstLength)
        this.#violation(pdu, `unsolicited data up to ${end}, past the first burst`)
      task.nextUnsolicitedSN++
      task.nextOutOffset = end
      if (header.final) task.isUnsolicitedOpen = false
      return
    }
    const transfer = this.#solicited.get(header.targetTransferTag)
    if (transfer === undefined || transfer.task.tag !== header.initiatorTaskTag) {
      this.#violation(pdu, `target transfer tag ${header.targetTransferTag} is not that of an R2T`)
      return
    }
    if (header.dataSN !== transfer.nextDataSN || header.bufferOffset !== transfer.nextOffset)
      this.#violation(
        pdu,
        `DataSN ${header.dataSN} at ${header.bufferOffset}, due is ${transfer.nextDataSN} at ${transfer.nextOffset}`,
      )
    if (end > transfer.to) this.#violation(pdu, `data up to ${end}, the R2T asked for ${transfer.to}`)
    if (header.final !== (end === transfer.to))
      this.#violation(pdu, `the F bit is ${header.final} at ${end} of ${transfer.to}`)
    transfer.nextDataSN++
    transfer.nextOffset = end
    if (header.final) this.#solicited.delete(header.targetTransferTag)
  }

  // What the target sends

  #response(pdu: WirePdu): void {
    const opcode = opcodeOf(pdu.view, pdu.start)
    if (opcode === Opcode.loginResponse) {
      this.#loginResponse(pdu)
      return
    }
    const session = this.#session
    if (session === undefined) {
      // A Reject may end a login; nothing else comes before its end.
      if (opcode !== Opcode.reject) this.#violation(pdu, 'before the end of the login')
      return
    }
    this.#checkLength('response', pdu)
    const wrong = session.advance(expCmdSNOf(pdu), maxCmdSNOf(pdu))
    if (wrong !== undefined) this.#violation(pdu, wrong)
    const tag = initiatorTaskTagOf(pdu.view, pdu.start)
    switch (opcode) {
      case Opcode.r2t:
        this.#unnumbered(pdu)
        this.#r2t(session, pdu)
        return
      case Opcode.dataIn:
        this.#dataIn(session, pdu)
        return
      case Opcode.nopIn:
        if (tag === RESERVED_TAG) this.#unnumbered(pdu)
        else this.#status(session, pdu, tag)
        return
      case Opcode.textResponse:
        this.#status(session, pdu, tag)
        if (isFinal(pdu.view, pdu.start) && this.#declared?.tag === tag) {
          this.#sendLimits.response = this.#declared.bytes
          this.#declared = undefined
        }
        return
      case Opcode.asyncMessage:
        this.#numberedOnce(pdu, 'message')
        return
      case Opcode.reject:
        this.#reject(session, pdu)
        return
      default:
        this.#status(session, pdu, tag)
    }
  }

  #reject(session: SessionRecord, pdu: WirePdu): void {
    const header = decodeReject(pdu.view, pdu.start)
    this.#numberedOnce(pdu, 'reject')
    const rejected = opcodeOf(pdu.view, pdu.headerEnd)
    // Data-Out is judged where it is sent; it may come late for a task that the target has ended or rejected. So may a
    // SNACK for an R2T that timed out at the target and has been replaced.
    const mayBeLate = rejected === Opcode.dataOut || rejected === Opcode.snackRequest
    if (!fairRejects.has(header.reason) && !mayBeLate)
      this.#violation(pdu, `reason 0x${header.reason.toString(16)} for a ${opcodeName(rejected)}`)
    // §7.3: its CmdSN does not count as received; the command comes again, or another takes its number.
    if (numbered.has(rejected) && !isImmediate(pdu.view, pdu.headerEnd))
      session.rejected.add(pdu.view.getUint32(pdu.headerEnd + 24))
  }

  #loginResponse(pdu: WirePdu): void {
    const outcome = this.#login.response(pdu)
    if (outcome === undefined) return
    if ('status' in outcome) {
      const { isid, tsih } = outcome.request
      this.#ledger.refused(String(isid), tsih, outcome.status)
      if (tsih === 0 && outcome.status === statusOf(LoginStatus.sessionDoesNotExist))
        this.#violation(pdu, 'a login with TSIH 0 cannot name a session that does not exist')
      return
    }
    const { sessions } = this.#ledger
    const key = `${outcome.port},${outcome.tsih}`
    if (outcome.isNewSession) sessions.set(key, new SessionRecord(outcome))
    const session = sessions.get(key)
    if (session === undefined) {
      this.#violation(pdu, `joins session ${key}, which never began`)
      return
    }
    this.#outcome = outcome
    this.#session = session
    session.connections++
    this.#statSN = serialAdd(outcome.statSN, 1)
    this.#expStatSN = outcome.statSN
    const header = outcome.keys.get('HeaderDigest') === 'CRC32C'
    const data = outcome.keys.get('DataDigest') === 'CRC32C'
    for (const digests of Object.values(this.#digests)) Object.assign(digests, { header, data })
    const limit = (keys: ReadonlyMap<string, string>): number =>
      Number(keys.get('MaxRecvDataSegmentLength') ?? 8192)
    this.#sendLimits = { request: limit(outcome.keys), response: limit(outcome.declared) }
    const wrong = session.advance(expCmdSNOf(pdu), maxCmdSNOf(pdu))
    if (wrong !== undefined) this.#violation(pdu, wrong)
  }

  /** Carries the StatSN that comes next, and leaves it (§11.8.3, §11.19.3). */
  #unnumbered(pdu: WirePdu): void {
    const statSN = statSNOf(pdu)
    if (statSN !== this.#statSN)
      this.#violation(pdu, `carries StatSN ${statSN}, the next one is ${this.#statSN}`)
  }

  /** A PDU with a StatSN of its own. True where it is new, false where it is sent again after a SNACK. */
  #numberedOnce(pdu: WirePdu, what: string): boolean {
    const statSN = statSNOf(pdu)
    if (statSN === this.#statSN) {
      this.#statSN = serialAdd(statSN, 1)
      this.#statuses.set(statSN, what)
      return true
    }
    if (this.#session?.errorRecoveryLevel === 0)
      this.#violation(pdu, `StatSN ${statSN}, due is ${this.#statSN}`)
    else if (!serialLess(statSN, this.#statSN))
      this.#violation(pdu, `StatSN ${statSN} leaves a gap, due is ${this.#statSN}`)
    else if (this.#statuses.get(statSN) !== what)
      this.#violation(pdu, `StatSN ${statSN} was ${this.#statuses.get(statSN)}, now it is ${what}`)
    return false
  }

  /** The response of a task: one for each. */
  #status(session: SessionRecord, pdu: WirePdu, tag: number): void {
    const statSN = statSNOf(pdu)
    const opcode = opcodeOf(pdu.view, pdu.start)
    // After an R-Data SNACK, a status that came with the data comes by itself (§11.16.3).
    const kind = opcode === Opcode.dataIn ? Opcode.scsiResponse : opcode
    const isNew = this.#numberedOnce(pdu, `${opcodeName(kind)} ${tag}`)
    const task = session.tasks.get(tag)
    if (task === undefined) {
      this.#violation(pdu, `answers task ${tag}, which never was`)
      return
    }
    // A text or login exchange has an answer for each request: those renew the record.
    if (isNew && task.response !== undefined && !task.isMoved)
      this.#violation(pdu, `answers task ${tag} a second time (StatSN ${task.response.statSN} was the first)`)
    task.isMoved = false
    task.response = { connection: this, statSN }
  }

  #r2t(session: SessionRecord, pdu: WirePdu): void {
    const header = decodeR2T(pdu.view, pdu.start)
    const task = session.tasks.get(header.initiatorTaskTag)
    if (task === undefined || task.response !== undefined) {
      this.#violation(pdu, `for task ${header.initiatorTaskTag}, which ${task ? 'has ended' : 'never was'}`)
      return
    }
    if (header.r2tSN > task.nextDataSN)
      this.#violation(pdu, `R2TSN ${header.r2tSN} leaves a gap, due is ${task.nextDataSN}`)
    else if (header.r2tSN < task.nextDataSN && session.errorRecoveryLevel === 0)
      this.#violation(pdu, `R2TSN ${header.r2tSN} again, due is ${task.nextDataSN}`)
    task.nextDataSN = Math.max(task.nextDataSN, header.r2tSN + 1)
    const to = header.bufferOffset + header.desiredDataTransferLength
    if (to > task.dataOutBytes)
      this.#violation(pdu, `asks for data up to ${to}, the command has ${task.dataOutBytes} bytes`)
    if (header.desiredDataTransferLength > session.maxBurstLength || header.desiredDataTransferLength === 0)
      this.#violation(
        pdu,
        `asks for ${header.desiredDataTransferLength} bytes, MaxBurstLength is ${session.maxBurstLength}`,
      )
    const other = this.#solicited.get(header.targetTransferTag)
    if (other && (other.task !== task || other.r2tSN !== header.r2tSN))
      this.#violation(
        pdu,
        `target transfer tag ${header.targetTransferTag} is that of task ${other.task.tag}'s R2T ${other.r2tSN}`,
      )
    if (session.errorRecoveryLevel === 0) {
      let outstanding = 1
      for (const transfer of this.#solicited.values()) if (transfer.task === task) outstanding++
      if (outstanding > session.maxOutstandingR2T)
        this.#violation(
          pdu,
          `${outstanding} are outstanding, MaxOutstandingR2T is ${session.maxOutstandingR2T}`,
        )
    }
    this.#solicited.set(header.targetTransferTag, {
      task,
      r2tSN: header.r2tSN,
      from: header.bufferOffset,
      to,
      nextDataSN: 0,
      nextOffset: header.bufferOffset,
    })
  }

  #dataIn(session: SessionRecord, pdu: WirePdu): void {
    const header = decodeDataIn(pdu.view, pdu.start)
    const task = session.tasks.get(header.initiatorTaskTag)
    if (task === undefined) {
      this.#violation(pdu, `for task ${header.initiatorTaskTag}, which never was`)
      return
    }
    const end = header.bufferOffset + header.dataSegmentLength
    if (!task.isRead || end > task.dataInBytes)
      this.#violation(pdu, `data up to ${end}, the initiator takes ${task.dataInBytes}`)
    if (header.hasStatus && !header.final) this.#violation(pdu, 'the S bit without the F bit')
    if (task.isMoved || task.isResegmented) {
      task.nextDataSN = Math.max(task.nextDataSN, header.dataSN + 1)
      task.nextInOffset = Math.max(task.nextInOffset, end)
      task.sequenceBytes = 0
    } else this.#dataInOrder(session, pdu, task, header, end)
    if (header.hasStatus) this.#status(session, pdu, header.initiatorTaskTag)
  }

  #dataInOrder(
    session: SessionRecord,
    pdu: WirePdu,
    task: TaskRecord,
    header: { dataSN: number; bufferOffset: number; dataSegmentLength: number; final: boolean },
    end: number,
  ): void {
    if (header.dataSN < task.nextDataSN && session.errorRecoveryLevel > 0) return
    if (header.dataSN !== task.nextDataSN)
      this.#violation(pdu, `DataSN ${header.dataSN}, due is ${task.nextDataSN}`)
    if (header.bufferOffset !== task.nextInOffset)
      this.#violation(pdu, `offset ${header.bufferOffset}, due is ${task.nextInOffset}`)
    task.nextDataSN = header.dataSN + 1
    task.nextInOffset = end
    task.sequenceBytes += header.dataSegmentLength
    if (task.sequenceBytes > session.maxBurstLength)
      this.#violation(
        pdu,
        `a sequence of ${task.sequenceBytes} bytes, MaxBurstLength is ${session.maxBurstLength}`,
      )
    if (header.final) task.sequenceBytes = 0
  }

  /** The initiator has said that it leaves. */
  get hasLoggedOut(): boolean {
    return this.#hasLoggedOut
  }
}

const statusOf = ({ statusClass, statusDetail }: LoginStatus): number => statusClass * 256 + statusDetail
