import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { serialAdd } from '../../base/serial32.ts'
import { BHS_BYTES, initiatorTaskTagOf, RESERVED_TAG } from '../../pdu/bhs.ts'
import { AsyncEvent, RejectReason, TaskManagementFunction } from '../../pdu/codes.ts'
import { decodeLogoutRequest } from '../../pdu/logout.ts'
import { decodeNopOut } from '../../pdu/nop.ts'
import { encodeReject } from '../../pdu/reject.ts'
import { decodeScsiCommand } from '../../pdu/scsi-command.ts'
import { decodeTaskManagementRequest } from '../../pdu/task-management.ts'
import { passingReasons } from './initiator-events.ts'
import { type Executed, RawTarget, type Request } from './raw-target.test-helper.ts'

const codeOf = ({ result }: Executed): string | undefined =>
  result?.kind === 'failed' ? result.code : result?.kind

const only = (requests: readonly Request[], name: string): Request => {
  const found = requests.filter((request) => request.name === name)
  assert.equal(found.length, 1, requests.map((request) => request.name).join())
  return found[0] as Request
}

const tagOf = ({ view }: Request): number => initiatorTaskTagOf(view, 0)

const reject = (target: RawTarget, request: Request, reason: number): Request[] => {
  const header = new Uint8Array(request.view.buffer, request.view.byteOffset, BHS_BYTES).slice()
  const pdu = { reason, dataSN: 0, dataSegmentLength: header.length, ...target.numbers(request.cid) }
  return target.send(request.cid, (view, at) => encodeReject(view, at, pdu), header)
}

describe('§7.3, §11.17 a rejected command', () => {
  for (const [name, reason] of Object.entries(RejectReason).filter(([, value]) => !passingReasons.has(value)))
    test(`${name} at level 0: it fails, its CmdSN is filled, and the session goes on`, () => {
      const target = new RawTarget().open()
      const one = target.execute()
      const command = only(target.poll(), 'SCSI Command')
      const { cmdSN } = decodeScsiCommand(command.view, 0)
      const plug = decodeNopOut(only(reject(target, command, reason), 'NOP-Out').view, 0)
      assert.equal(codeOf(one), 'REQUEST_REJECTED')
      assert.deepEqual([plug.cmdSN, plug.immediate], [cmdSN, false])
      assert.notEqual(plug.initiatorTaskTag, RESERVED_TAG)
      target.expCmdSN = serialAdd(cmdSN, 1)
      const two = target.execute()
      target.respond(1, { initiatorTaskTag: tagOf(only(target.poll(), 'SCSI Command')) })
      assert.equal(codeOf(two), 'status')
      assert.equal(target.session.counters.rejects[reason], 1)
    })

  for (const reason of passingReasons)
    test(`for what says nothing against it (reason ${reason}): it begins anew, and it need not be safe to replay`, () => {
      const target = new RawTarget().open()
      const one = target.execute()
      const command = only(target.poll(), 'SCSI Command')
      const again = reject(target, command, reason)
      assert.equal(one.result, undefined)
      const renewed = decodeScsiCommand(only(again, 'SCSI Command').view, 0)
      assert.equal(renewed.cmdSN, serialAdd(decodeScsiCommand(command.view, 0).cmdSN, 1))
      target.expCmdSN = serialAdd(renewed.cmdSN, 1)
      target.respond(1, { initiatorTaskTag: renewed.initiatorTaskTag })
      assert.equal(codeOf(one), 'status')
    })

  for (const reason of passingReasons)
    test(`that was to be aborted (reason ${reason}): it ends, and does not begin anew`, () => {
      const target = new RawTarget().open()
      const one = target.execute()
      const command = only(target.poll(), 'SCSI Command')
      target.session.abort(one.request)
      only(target.poll(), 'Task Management Function Request')
      const plug = only(reject(target, command, reason), 'NOP-Out')
      assert.equal(decodeNopOut(plug.view, 0).cmdSN, decodeScsiCommand(command.view, 0).cmdSN)
      assert.equal(codeOf(one), 'TASK_ABORTED')
    })

  test('an ABORT TASK that is rejected is followed by a reset of the unit', () => {
    const target = new RawTarget().open()
    const one = target.execute()
    const command = only(target.poll(), 'SCSI Command')
    target.expCmdSN = serialAdd(target.expCmdSN, 1)
    target.session.abort(one.request)
    const abort = only(target.poll(), 'Task Management Function Request')
    const { referencedTaskTag, refCmdSN, immediate } = decodeTaskManagementRequest(abort.view, 0)
    const { cmdSN } = decodeScsiCommand(command.view, 0)
    assert.deepEqual([referencedTaskTag, refCmdSN, immediate], [tagOf(command), cmdSN, true])
    const reset = only(
      reject(target, abort, RejectReason.immediateCommandReject),
      'Task Management Function Request',
    )
    assert.equal(decodeTaskManagementRequest(reset.view, 0).function, TaskManagementFunction.logicalUnitReset)
    target.managed(1, tagOf(reset))
    assert.equal(codeOf(one), 'TASK_ABORTED')
  })
})

describe('§7.1.4.3 connection recovery that is refused', () => {
  const lost = (): { target: RawTarget; one: Executed; logout: Request } => {
    const target = new RawTarget({
      policy: { connections: 2, errorRecoveryLevel: 2, time2WaitSeconds: 0, reopenLimitMs: 60_000 },
    }).open()
    const one = target.execute({ replay: 'safe' })
    const command = only(target.poll(), 'SCSI Command')
    target.expCmdSN = serialAdd(decodeScsiCommand(command.view, 0).cmdSN, 1)
    target.nopIn(command.cid)
    const requests = [...target.lose(command.cid), ...target.advance(1)]
    return { target, one, logout: only(requests, 'Logout Request') }
  }

  test('the lost connection is logged out with reason 2 through the other', () => {
    const { logout } = lost()
    const { reasonCode, cid } = decodeLogoutRequest(logout.view, 0)
    assert.equal(reasonCode, 2)
    assert.notEqual(cid, logout.cid)
  })

  for (const response of [2, 3])
    test(`Logout Response ${response}: the session is opened again`, () => {
      const { target, one, logout } = lost()
      target.loggedOut(logout.cid, tagOf(logout), { response })
      assert.ok(target.kinds.includes('session-lost'), target.kinds.join())
      assert.equal(target.session.counters.fallbackToSessionRecovery, 1)
      assert.equal(one.result, undefined)
    })

  const reassigning = (): ReturnType<typeof lost> & { reassign: Request } => {
    const state = lost()
    const { target, logout } = state
    const requests = [...target.loggedOut(logout.cid, tagOf(logout)), ...target.advance(1)]
    const reassign = only(requests, 'Task Management Function Request')
    assert.equal(decodeTaskManagementRequest(reassign.view, 0).function, TaskManagementFunction.taskReassign)
    return { ...state, reassign }
  }

  test('TASK REASSIGN is agreed to: the task goes on', () => {
    const { target, one, reassign } = reassigning()
    target.managed(reassign.cid, tagOf(reassign))
    const { referencedTaskTag } = decodeTaskManagementRequest(reassign.view, 0)
    target.respond(reassign.cid, { initiatorTaskTag: referencedTaskTag })
    assert.equal(codeOf(one), 'status')
    assert.ok(target.kinds.includes('connection-recovered'))
  })

  test('Logout Response 1, the connection is not known any more: its tasks are asked for all the same', () => {
    const { target, one, logout } = lost()
    const requests = [...target.loggedOut(logout.cid, tagOf(logout), { response: 1 }), ...target.advance(1)]
    const reassign = only(requests, 'Task Management Function Request')
    const again = only(target.managed(reassign.cid, tagOf(reassign), 1), 'SCSI Command')
    target.respond(again.cid, { initiatorTaskTag: tagOf(again) })
    assert.equal(codeOf(one), 'status')
  })

  test('the task does not exist any more: what is safe is sent as a new command', () => {
    const { target, one, reassign } = reassigning()
    const requests = target.managed(reassign.cid, tagOf(reassign), 1)
    const again = only(requests, 'SCSI Command')
    target.respond(again.cid, { initiatorTaskTag: tagOf(again) })
    assert.equal(codeOf(one), 'status')
  })

  for (const response of [3, 4, 5])
    test(`TASK REASSIGN response ${response}: the session is opened again`, () => {
      const { target, reassign } = reassigning()
      target.managed(reassign.cid, tagOf(reassign), response)
      assert.ok(target.kinds.includes('session-lost'), target.kinds.join())
    })
})

test('§11.9.1 tasks that another initiator ends under FastAbort are acknowledged with the LUN, then aborted', () => {
  const target = new RawTarget({ policy: { taskReporting: ['FastAbort', 'RFC3720'] } }).open()
  const one = target.execute()
  const command = only(target.poll(), 'SCSI Command')
  target.expCmdSN = serialAdd(decodeScsiCommand(command.view, 0).cmdSN, 1)
  const requests = target.asyncMessage(1, { asyncEvent: AsyncEvent.taskTermination, lun: 0n })
  const nop = decodeNopOut(only(requests, 'NOP-Out').view, 0)
  assert.deepEqual(
    [nop.initiatorTaskTag, nop.targetTransferTag, nop.lun, nop.immediate],
    [RESERVED_TAG, RESERVED_TAG, 0n, true],
  )
  const abort = only(requests, 'Task Management Function Request')
  target.managed(1, tagOf(abort), 1)
  assert.equal(codeOf(one), 'TASK_ABORTED')
})

test('§11.9.1 an announced drop of another connection counts for that one, with its Time2Wait', () => {
  const target = new RawTarget({
    policy: { connections: 2, errorRecoveryLevel: 2, time2WaitSeconds: 0 },
  }).open()
  target.asyncMessage(1, {
    asyncEvent: AsyncEvent.connectionDrop,
    parameter1: 2,
    parameter2: 3,
    parameter3: 20,
  })
  assert.ok(target.kinds.includes('connection-lost'))
  assert.deepEqual(target.advance(2900), [])
  assert.equal(decodeLogoutRequest(only(target.advance(200), 'Logout Request').view, 0).cid, 2)
})
