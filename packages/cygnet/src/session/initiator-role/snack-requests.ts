import {
  type Serial32,
  serialAdd,
  serialDistance,
  serialLess,
  serialLessOrEqual,
} from '../../base/serial32.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { SnackType } from '../../pdu/codes.ts'
import { encodeSnackRequest } from '../../pdu/snack.ts'
import { RequestPdu } from '../control-pdu.ts'
import type { TransmitVector } from '../transmit.ts'
import type { InitiatorConnection } from './initiator-connection.ts'

/** SNACK Requests (RFC 7143 §11.16). The numbers of a run of 0 are all from the first on. */

function send(
  connection: InitiatorConnection,
  type: number,
  lun: bigint,
  initiatorTaskTag: number,
  targetTransferTag: number,
  begRun: number,
  runLength: number,
): void {
  connection.request((view, at, expStatSN) =>
    encodeSnackRequest(view, at, {
      type,
      lun,
      initiatorTaskTag,
      targetTransferTag,
      expStatSN,
      begRun,
      runLength,
    }),
  )
}

/** Asks for Data-In PDUs or R2Ts of a task. */
export function sendDataSnack(
  connection: InitiatorConnection,
  lun: bigint,
  initiatorTaskTag: number,
  first: number,
  count: number,
): void {
  send(connection, SnackType.dataOrR2T, lun, initiatorTaskTag, RESERVED_TAG, first, count)
}

/** Asks for all data of a task that is not acknowledged, cut for what we receive now; its response carries the tag. */
export function sendRDataSnack(
  connection: InitiatorConnection,
  lun: bigint,
  initiatorTaskTag: number,
  snackTag: number,
): void {
  send(connection, SnackType.rData, lun, initiatorTaskTag, snackTag, 0, 0)
}

/** Asks for `count` responses, 1 or more. */
export function sendStatusSnack(connection: InitiatorConnection, first: number, count: number): void {
  connection.send(new StatusSnack(connection, first, serialAdd(first, count)))
}

/** Leaves out what has come while it waited for the socket: to ask for what is acknowledged breaks the protocol. */
class StatusSnack extends RequestPdu {
  readonly #connection: InitiatorConnection
  readonly #end: Serial32

  constructor(connection: InitiatorConnection, first: Serial32, end: Serial32) {
    super(connection, (view, at, expStatSN) => {
      const begRun = serialLess(first, expStatSN) ? expStatSN : first
      encodeSnackRequest(view, at, {
        type: SnackType.status,
        lun: 0n,
        initiatorTaskTag: RESERVED_TAG,
        targetTransferTag: RESERVED_TAG,
        expStatSN,
        begRun,
        runLength: serialDistance(begRun, end),
      })
    })
    this.#connection = connection
    this.#end = end
  }

  override transmit(out: TransmitVector): boolean {
    return serialLessOrEqual(this.#end, this.#connection.expStatSN) || super.transmit(out)
  }
}

/** Acknowledges Data-In before `expDataSN`, as a Data-In with the A bit asked for with its tag. */
export function sendDataAck(
  connection: InitiatorConnection,
  lun: bigint,
  targetTransferTag: number,
  expDataSN: number,
): void {
  send(connection, SnackType.dataAck, lun, RESERVED_TAG, targetTransferTag, expDataSN, 0)
}
