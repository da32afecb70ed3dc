/** An initiator's session with a target by hand, and what it has sent. */
import assert from 'node:assert/strict'
import { type DataOut, decodeDataOut } from '../../packages/cygnet/src/pdu/data.ts'
import { Opcode } from '../../packages/cygnet/src/pdu/opcodes.ts'
import { decodeScsiCommand, type ScsiCommand } from '../../packages/cygnet/src/pdu/scsi-command.ts'
import { decodeSnackRequest, type SnackRequest } from '../../packages/cygnet/src/pdu/snack.ts'
import {
  decodeTaskManagementRequest,
  type TaskManagementRequest,
} from '../../packages/cygnet/src/pdu/task-management.ts'
import type { Pair } from '../../packages/cygnet/src/session/negotiator.ts'
import {
  type Executed,
  RawTarget,
  type RawTargetOptions,
  type Request,
} from '../../packages/cygnet/src/session/initiator-role/raw-target.test-helper.ts'

export const RESERVED = 0xffff_ffff

export const open = (options: RawTargetOptions = {}): RawTarget => new RawTarget(options).open()

/** At this ErrorRecoveryLevel, with so many connections. */
export const openAt = (
  errorRecoveryLevel: 0 | 1 | 2,
  connections = 1,
  more: RawTargetOptions = {},
): RawTarget =>
  open({
    ...more,
    policy: { errorRecoveryLevel, connections, taskReporting: ['RFC3720'], ...more.policy },
    keys: [
      ...(errorRecoveryLevel > 0 ? [['MaxOutstandingR2T', '1'] as const] : []),
      ['DefaultTime2Wait', '2'],
      ['DefaultTime2Retain', '20'],
      ...(more.keys ?? []),
    ],
  })

export function only<T>(
  requests: readonly Request[],
  opcode: number,
  decode: (view: DataView, at: number) => T,
): T[] {
  return requests.filter((request) => request.opcode === opcode).map(({ view }) => decode(view, 0))
}

export const commandsOf = (requests: readonly Request[]): ScsiCommand[] =>
  only(requests, Opcode.scsiCommand, decodeScsiCommand)
export const dataOutsOf = (requests: readonly Request[]): DataOut[] =>
  only(requests, Opcode.dataOut, decodeDataOut)
export const snacksOf = (requests: readonly Request[]): SnackRequest[] =>
  only(requests, Opcode.snackRequest, decodeSnackRequest)
export const managementOf = (requests: readonly Request[]): TaskManagementRequest[] =>
  only(requests, Opcode.taskManagementRequest, decodeTaskManagementRequest)

/** The one command that was sent now. */
export function theCommand(requests: readonly Request[]): ScsiCommand & { readonly cid: number } {
  const [command] = commandsOf(requests)
  const cid = requests.find(({ opcode }) => opcode === Opcode.scsiCommand)?.cid
  assert.ok(command && cid !== undefined)
  return { ...command, cid }
}

export const read = (target: RawTarget, lengthBytes: number): [Executed, ScsiCommand & { cid: number }] => {
  const executed = target.execute({ dataIn: new Uint8Array(lengthBytes) })
  return [executed, theCommand(target.poll())]
}

export const codeOf = ({ result }: Executed): string | undefined =>
  result?.kind === 'failed' ? result.code : result?.kind

/** No unsolicited data beyond what is immediate. */
export const R2T_FIRST: readonly Pair[] = [
  ['InitialR2T', 'Yes'],
  ['ImmediateData', 'No'],
]
