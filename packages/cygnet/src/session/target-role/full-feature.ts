import { joinSlices } from '../../base/bytes.ts'
import { joinCdb, parseAhs } from '../../pdu/ahs.ts'
import { BHS_BYTES, opcodeOf, RESERVED_TAG } from '../../pdu/bhs.ts'
import { RejectReason, SnackType } from '../../pdu/codes.ts'
import { type DataOut, decodeDataOut } from '../../pdu/data.ts'
import { decodeNopOut, encodeNopIn } from '../../pdu/nop.ts'
import { Opcode, opcodeName } from '../../pdu/opcodes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { serialLess } from '../../base/serial32.ts'
import { decodeScsiCommand, type ScsiCommand } from '../../pdu/scsi-command.ts'
import { decodeTextRequest, encodeTextResponse } from '../../pdu/text-pdu.ts'
import { logOut } from './connection-logout.ts'
import { DataOutTransfer } from './data-out.ts'
import { IscsiTask } from './iscsi-task.ts'
import { lunOf } from '../lun-number.ts'
import type { Negotiator } from '../negotiator.ts'
import type { TargetConnection } from './target-connection.ts'
import type { TargetSession } from './target-session.ts'
import { manageTasks } from './target-task-management.ts'
import { TargetText } from './target-text.ts'

/** Where every request of the full feature phase has its ExpStatSN (§11). */
const EXP_STAT_SN_AT = 28

/** Of a SCSI Command (RFC 7144 §5.1.1), 0..15. */
const commandPriorityOf = (view: DataView, at: number): number => view.getUint8(at + 2) >>> 4

const isDataAck = (view: DataView, at: number): boolean =>
  (view.getUint8(at + 1) & 0x0f) === SnackType.dataAck

type Handler = (phase: FullFeaturePhase, pdu: ReceivedPdu) => void

/** Requests of the full feature phase. What is not here is rejected (§11.17.1, reason 0x05). */
const handlers: Readonly<Record<number, Handler>> = {
  [Opcode.nopOut]: (phase, pdu) => phase.nopOut(pdu),
  [Opcode.scsiCommand]: (phase, pdu) => phase.scsiCommand(pdu),
  [Opcode.taskManagementRequest]: (phase, pdu) => manageTasks(phase.connection, phase.session, pdu),
  [Opcode.textRequest]: (phase, pdu) => phase.textRequest(pdu),
  [Opcode.dataOut]: (phase, pdu) => phase.dataOut(pdu),
  [Opcode.logoutRequest]: (phase, pdu) => logOut(phase.connection, phase.session, pdu),
  [Opcode.snackRequest]: (phase, pdu) => phase.snack(pdu),
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
  /** The highest CmdSN of a command that came over this connection. */
  #lastCmdSN: number | undefined

  constructor(connection: TargetConnection, session: TargetSession, keys: Negotiator) {
    this.connection = connection
    this.session = session
    this.#keys = keys
    this.#text = new TargetText(
      keys,
      connection.limits.textBytes,
      // Who does not read what is sent has to do so first (§11.17.1, reason 0x0a).
      () => (connection.queuedBytes > connection.limits.textBytes ? undefined : connection.takeTransferTag()),
      (value) => connection.host.sendTargets(session, value),
    )
  }

  receive(pdu: ReceivedPdu): void {
    const opcode = opcodeOf(pdu.view, pdu.at)
    const { connection } = this
    const expStatSN = connection.watchesStatus ? pdu.view.getUint32(pdu.at + EXP_STAT_SN_AT) : undefined
    // A DataACK may acknowledge a status as well (§11.7.2); the ExpStatSN of a Logout may be another connection's.
    if (expStatSN === undefined || opcode === Opcode.logoutRequest) this.#handle(pdu, opcode)
    else if (opcode === Opcode.snackRequest && isDataAck(pdu.view, pdu.at)) {
      this.#handle(pdu, opcode)
      connection.acknowledge(expStatSN)
    } else {
      connection.acknowledge(expStatSN)
      this.#handle(pdu, opcode)
    }
  }

  #handle(pdu: ReceivedPdu, opcode: number): void {
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
      this.session.counters.digestErrorData++
      this.connection.reject(pdu, RejectReason.dataDigestError, `data digest error in ${opcodeName(opcode)}`)
    } else handler(this, pdu)
  }

  scsiCommand(pdu: ReceivedPdu): void {
    const command = decodeScsiCommand(pdu.view, pdu.at)
    const { session, connection } = this
    if (connection.isLoggedOutBefore(command.cmdSN)) {
      connection.reject(pdu, RejectReason.waitingForLogout, 'a command after a logout')
      return
    }
    // §4.2.2.1: silently.
    if (!command.immediate && !session.window.accepts(command.cmdSN)) {
      session.counters.commandDuplicate++
      return
    }
    if (!command.immediate && session.isRecoverable) this.#countRetry(command.cmdSN)
    if (command.immediate && session.isImmediateFull(connection)) {
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
    session.order.deliverReady()
  }

  /** Only what is sent again has a lower number than what came before it over its connection (§4.2.2.1). */
  #countRetry(cmdSN: number): void {
    if (this.#lastCmdSN !== undefined && serialLess(cmdSN, this.#lastCmdSN))
      this.session.counters.commandRetry++
    else this.#lastCmdSN = cmdSN
  }

  dataOut(pdu: ReceivedPdu): void {
    const header = decodeDataOut(pdu.view, pdu.at)
    if (!pdu.dataDigestOk) {
      this.session.counters.digestErrorData++
      this.connection.reject(pdu, RejectReason.dataDigestError, 'data digest error in Data-Out')
    }
    const found = this.session.task(header.initiatorTaskTag)
    // §4.2.5.1: the data of a command comes over the connection of the command.
    const task = found?.connection === this.connection && !found.isSuspended ? found : undefined
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
    if (!transfer) return false
    const { sequenceErrors } = transfer
    const isTaken = transfer.receive(header, pdu.data, pdu.dataLengthBytes, pdu.buffers, pdu.dataDigestOk)
    this.session.counters.sequenceError += transfer.sequenceErrors - sequenceErrors
    return isTaken
  }

  nopOut(pdu: ReceivedPdu): void {
    const header = decodeNopOut(pdu.view, pdu.at)
    const ping = joinSlices(pdu.data, Math.min(pdu.dataLengthBytes, this.connection.sendSegmentBytes))
    this.session.order.inOrder(
      this.connection,
      header.immediate || header.initiatorTaskTag === RESERVED_TAG,
      header.cmdSN,
      () => {
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
      },
    )
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
    // §6.4: values take effect when the negotiation has ended, for the initiator with our last response. At
    // ErrorRecoveryLevel 1 and 2, tasks that are being answered are cut anew where it takes less than before.
    const sent = (): void => {
      if (step.final) connection.sendSegmentBytes = this.#keys.number('MaxRecvDataSegmentLength')
    }
    this.session.order.inOrder(this.connection, header.immediate, header.cmdSN, () => {
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

  snack(pdu: ReceivedPdu): void {
    const { snacks } = this.connection
    if (snacks) snacks.receive(pdu)
    else this.connection.reject(pdu, RejectReason.snackReject, 'SNACK at ErrorRecoveryLevel 0')
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
    if (!command.final && session.isRecoverable) connection.watchSequences()
    return new IscsiTask(
      session,
      session.home.nexus,
      connection,
      command,
      lunOf(command.lun),
      cdb,
      command.read ? readBytes : 0,
      transfer,
      // RFC 7144 §5.1.1
      session.parameters.iSCSIProtocolLevel >= 2 ? commandPriorityOf(pdu.view, pdu.at) : 0,
    )
  }
}
