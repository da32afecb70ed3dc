import { joinSlices } from '../base/bytes.ts'
import { joinCdb, parseAhs } from '../pdu/ahs.ts'
import { BHS_BYTES, opcodeOf, RESERVED_TAG } from '../pdu/bhs.ts'
import { LogoutReason, LogoutResponseCode, RejectReason } from '../pdu/codes.ts'
import { type DataOut, decodeDataOut } from '../pdu/data.ts'
import { decodeLogoutRequest, encodeLogoutResponse } from '../pdu/logout.ts'
import { decodeNopOut, encodeNopIn } from '../pdu/nop.ts'
import { Opcode, opcodeName } from '../pdu/opcodes.ts'
import type { ReceivedPdu } from '../pdu/received-pdu.ts'
import { serialLess } from '../base/serial32.ts'
import { decodeScsiCommand, type ScsiCommand } from '../pdu/scsi-command.ts'
import { decodeTextRequest, encodeTextResponse } from '../pdu/text-pdu.ts'
import { DataOutTransfer } from './data-out.ts'
import { IscsiTask } from './iscsi-task.ts'
import { lunOf } from './lun-number.ts'
import type { Negotiator } from './negotiator.ts'
import type { TargetConnection } from './target-connection.ts'
import type { Deliverable, TargetSession } from './target-session.ts'
import { manageTasks } from './target-task-management.ts'
import { TargetText } from './target-text.ts'

type Handler = (phase: FullFeaturePhase, pdu: ReceivedPdu) => void

/** Requests of the full feature phase. What is not here is rejected (§11.17.1, reason 0x05). */
const handlers: Readonly<Record<number, Handler>> = {
  [Opcode.nopOut]: (phase, pdu) => phase.nopOut(pdu),
  [Opcode.scsiCommand]: (phase, pdu) => phase.scsiCommand(pdu),
  [Opcode.taskManagementRequest]: (phase, pdu) => manageTasks(phase, pdu),
  [Opcode.textRequest]: (phase, pdu) => phase.textRequest(pdu),
  [Opcode.dataOut]: (phase, pdu) => phase.dataOut(pdu),
  [Opcode.logoutRequest]: (phase, pdu) => phase.logoutRequest(pdu),
  [Opcode.snackRequest]: (phase, pdu) =>
    phase.connection.reject(pdu, RejectReason.snackReject, 'SNACK at ErrorRecoveryLevel 0'),
}

/** §13.21: all that a discovery session may ask for. A NOP-Out is harmless, and some initiators send it. */
const discoveryOpcodes: ReadonlySet<number> = new Set([
  Opcode.textRequest,
  Opcode.logoutRequest,
  Opcode.nopOut,
])

/**
 * The requests of one connection in the full feature phase (RFC 7143 §4.2.5), decoded and put in order. The CmdSN of a
 * request that is rejected does not count as received (§7.3): the initiator sends another with it, or aborts the task.
 */
export class FullFeaturePhase {
  readonly connection: TargetConnection
  readonly session: TargetSession
  readonly #text: TargetText
  readonly #keys: Negotiator
  /** Immediate requests that wait for commands with lower CmdSNs. */
  #gapWaiters: { readonly cmdSN: number; readonly run: () => void }[] = []

  constructor(connection: TargetConnection, session: TargetSession, keys: Negotiator) {
    this.connection = connection
    this.session = session
    this.#keys = keys
    this.#text = new TargetText(
      keys,
      connection.limits.textBytes,
      () => connection.takeTransferTag(),
      (value) => connection.host.sendTargets(session, value),
    )
  }

  receive(pdu: ReceivedPdu): void {
    const opcode = opcodeOf(pdu.view, pdu.at)
    const handler = handlers[opcode]
    if (!handler) {
      this.connection.reject(
        pdu,
        RejectReason.commandNotSupported,
        `${opcodeName(opcode)} in the full feature phase`,
      )
    } else if (this.session.identity.type === 'Discovery' && !discoveryOpcodes.has(opcode)) {
      this.connection.reject(pdu, RejectReason.protocolError, `${opcodeName(opcode)} in a discovery session`)
    } else if (!pdu.dataDigestOk && opcode !== Opcode.dataOut) {
      // §7.8: what is not a data PDU is discarded; the initiator may send it again.
      this.connection.reject(pdu, RejectReason.dataDigestError, `data digest error in ${opcodeName(opcode)}`)
    } else handler(this, pdu)
  }

  /** Puts a request other than a SCSI command in its place of the command order. */
  inOrder(immediate: boolean, cmdSN: number, run: () => void): void {
    const { window } = this.session
    if (immediate) {
      run()
      return
    }
    const request: Deliverable = {
      deliver: () => {
        window.complete()
        run()
      },
    }
    if (window.accept(cmdSN, request)) this.deliverReady()
  }

  deliverReady(): void {
    const { window } = this.session
    for (;;) {
      if (this.#gapWaiters.length > 0) this.#runGapWaiters()
      const next = window.next()
      if (next === undefined) return
      next.deliver()
    }
  }

  #runGapWaiters(): void {
    const { expCmdSN } = this.session.window
    const ready = this.#gapWaiters.filter(({ cmdSN }) => !serialLess(expCmdSN, cmdSN))
    this.#gapWaiters = this.#gapWaiters.filter((waiter) => !ready.includes(waiter))
    for (const { run } of ready) run()
  }

  /**
   * Runs when every command before `cmdSN` has been received (§4.2.3.3 b). False where too many requests wait for that
   * already.
   */
  afterCommands(cmdSN: number, run: () => void): boolean {
    if (!serialLess(this.session.window.expCmdSN, cmdSN)) run()
    else if (this.#gapWaiters.length < this.connection.limits.immediateDepth)
      this.#gapWaiters.push({ cmdSN, run })
    else return false
    return true
  }

  scsiCommand(pdu: ReceivedPdu): void {
    const command = decodeScsiCommand(pdu.view, pdu.at)
    const { session, connection } = this
    // §4.2.2.1: silently.
    if (!command.immediate && !session.window.accepts(command.cmdSN)) return
    if (command.immediate && session.isImmediateFull) {
      connection.reject(pdu, RejectReason.immediateCommandReject, 'too many immediate commands')
      return
    }
    const task = this.#newTask(command, pdu)
    if (!task) return
    if (!session.register(task)) {
      task.dataOutTransfer?.release()
      connection.reject(pdu, RejectReason.taskInProgress, 'the initiator task tag is in use')
      return
    }
    if (command.immediate) {
      task.deliver()
      return
    }
    session.window.accept(command.cmdSN, task)
    this.deliverReady()
  }

  dataOut(pdu: ReceivedPdu): void {
    const header = decodeDataOut(pdu.view, pdu.at)
    if (!pdu.dataDigestOk)
      this.connection.reject(pdu, RejectReason.dataDigestError, 'data digest error in Data-Out')
    const task = this.session.task(header.initiatorTaskTag)
    if (!task || !this.#takesData(task, header, pdu)) {
      const tag = task ? 'target transfer tag or LUN' : 'initiator task tag'
      this.connection.reject(
        pdu,
        RejectReason.invalidPduField,
        `Data-Out with a ${tag} that names no transfer`,
      )
      return
    }
    this.session.dataArrived(task)
  }

  /** Hands Data-Out to its task; false where it belongs to no transfer of it (§4.2.5.3: a solicited one has its LUN). */
  #takesData(task: IscsiTask, header: DataOut, pdu: ReceivedPdu): boolean {
    if (header.targetTransferTag !== RESERVED_TAG && header.lun !== task.command.lun) return false
    const transfer = task.dataOutTransfer
    return transfer?.receive(header, pdu.data, pdu.dataLengthBytes, pdu.buffers, pdu.dataDigestOk) ?? false
  }

  nopOut(pdu: ReceivedPdu): void {
    const header = decodeNopOut(pdu.view, pdu.at)
    const ping = joinSlices(pdu.data, Math.min(pdu.dataLengthBytes, this.connection.sendSegmentBytes))
    this.inOrder(header.immediate || header.initiatorTaskTag === RESERVED_TAG, header.cmdSN, () => {
      // Without a task tag it answers our NOP-In, or only confirms ExpStatSN.
      if (header.initiatorTaskTag === RESERVED_TAG) return
      this.connection.sendControl(
        (view, at, numbering) =>
          encodeNopIn(view, at, {
            ...numbering,
            dataSegmentLength: ping.length,
            lun: header.lun,
            initiatorTaskTag: header.initiatorTaskTag,
            targetTransferTag: RESERVED_TAG,
          }),
        ping,
      )
    })
  }

  textRequest(pdu: ReceivedPdu): void {
    const header = decodeTextRequest(pdu.view, pdu.at)
    // A text negotiation is one request at a time (§11.10): its data is looked at now, the answer keeps the order.
    const { connection } = this
    const accepted = header.immediate || this.session.window.accepts(header.cmdSN)
    if (!accepted) return
    const step = this.#text.request(header, pdu, connection.sendSegmentBytes)
    if (step.kind === 'reject') {
      connection.reject(pdu, step.reason, step.explanation)
      return
    }
    // §6.4: values take effect when the negotiation has ended, for the initiator with our last response.
    const sent = (): void => {
      if (step.final) connection.sendSegmentBytes = this.#keys.number('MaxRecvDataSegmentLength')
    }
    this.inOrder(header.immediate, header.cmdSN, () => {
      connection.sendControl(
        (view, at, numbering) =>
          encodeTextResponse(view, at, {
            ...numbering,
            final: step.final,
            continue: step.continue,
            dataSegmentLength: step.data.length,
            lun: 0n,
            initiatorTaskTag: header.initiatorTaskTag,
            targetTransferTag: step.targetTransferTag,
          }),
        step.data,
        true,
        sent,
      )
    })
  }

  logoutRequest(pdu: ReceivedPdu): void {
    const header = decodeLogoutRequest(pdu.view, pdu.at)
    this.inOrder(header.immediate, header.cmdSN, () => {
      const response = this.#logoutResponse(header.reasonCode, header.cid)
      const closes = response === LogoutResponseCode.closed
      // Terminated before the response; what has been answered already still goes out before it.
      if (closes) this.session.close('logout')
      this.connection.sendControl((view, at, numbering) =>
        encodeLogoutResponse(view, at, {
          ...numbering,
          response,
          initiatorTaskTag: header.initiatorTaskTag,
          time2Wait: this.session.parameters.defaultTime2Wait,
          time2Retain: closes ? 0 : this.session.parameters.defaultTime2Retain,
        }),
      )
      if (!closes) return
      this.connection.loggedOut()
      this.connection.closeAfterSending()
    })
  }

  #logoutResponse(reasonCode: number, cid: number): number {
    if (reasonCode === LogoutReason.closeSession) return LogoutResponseCode.closed
    if (reasonCode === LogoutReason.removeConnectionForRecovery)
      return LogoutResponseCode.recoveryNotSupported
    return cid === this.session.identity.cid ? LogoutResponseCode.closed : LogoutResponseCode.cidNotFound
  }

  #newTask(command: ScsiCommand, pdu: ReceivedPdu): IscsiTask | undefined {
    const { session, connection } = this
    let cdb = command.cdb
    let bidirectionalReadBytes = 0
    if (pdu.ahsLengthBytes > 0) {
      const parsed = parseAhs(pdu.view, pdu.at + BHS_BYTES, pdu.ahsLengthBytes)
      if (!parsed.ok || parsed.unknownTypes.length > 0) {
        const explanation = parsed.ok ? `unknown AHS type ${parsed.unknownTypes[0]}` : parsed.error
        this.connection.reject(pdu, RejectReason.invalidPduField, explanation)
        return undefined
      }
      cdb = joinCdb(cdb, parsed.ahs.extendedCdb)
      bidirectionalReadBytes = parsed.ahs.bidirectionalReadExpectedDataTransferLength ?? 0
    }
    if (command.initiatorTaskTag === RESERVED_TAG) {
      this.connection.reject(pdu, RejectReason.invalidPduField, 'the initiator task tag is 0xffffffff')
      return undefined
    }
    if (!command.write && (!command.final || pdu.dataLengthBytes > 0)) {
      this.connection.reject(pdu, RejectReason.protocolError, 'data with a command that does not write')
      return undefined
    }
    const readBytes = command.write ? bidirectionalReadBytes : command.expectedDataTransferLength
    const transfer = command.write
      ? new DataOutTransfer(session.parameters, command.expectedDataTransferLength)
      : undefined
    transfer?.begin(pdu.data, pdu.dataLengthBytes, pdu.buffers, command.final)
    return new IscsiTask(
      session,
      session.home.nexus,
      connection,
      command,
      lunOf(command.lun),
      cdb,
      command.read ? readBytes : 0,
      transfer,
    )
  }
}
