import { RESERVED_TAG } from '../pdu/bhs.ts'
import { SnackType } from '../pdu/codes.ts'
import { encodeSnackRequest } from '../pdu/snack.ts'
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

/** Asks for responses. */
export function sendStatusSnack(connection: InitiatorConnection, first: number, count: number): void {
  send(connection, SnackType.status, 0n, RESERVED_TAG, RESERVED_TAG, first, count)
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
