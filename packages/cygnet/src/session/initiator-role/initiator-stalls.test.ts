import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LogoutReason, RejectReason, TaskManagementFunction } from '../../pdu/codes.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { encodeNopIn } from '../../pdu/nop.ts'
import { Opcode } from '../../pdu/opcodes.ts'
import { encodeReject } from '../../pdu/reject.ts'
import { FakeOpcode, fakeCdb, pattern } from '../target-role/fake-target.test-helper.ts'
import { RawTarget, type Request } from './raw-target.test-helper.ts'
import { SessionPair } from '../session-pair.test-helper.ts'

const policy = {
  errorRecoveryLevel: 2,
  time2WaitSeconds: 0,
  reopenLimitMs: 60_000,
  taskTimeoutMs: 0,
} as const

const tagOf = ({ view }: Request): number => view.getUint32(16)
const byOpcode = (requests: readonly Request[], opcode: number): Request[] =>
  requests.filter((request) => request.opcode === opcode)
const one = (requests: readonly Request[], opcode: number): Request => {
  const [found] = byOpcode(requests, opcode)
  assert.ok(found, `no request with opcode ${opcode} in ${requests.map(({ name }) => name).join(', ')}`)
  return found
}

function reject(target: RawTarget, cid: number, header: Uint8Array, reason: number): Request[] {
  const data = header.slice(0, 48)
  const pdu = { reason, dataSegmentLength: data.length, dataSN: 0, ...target.numbers(cid) }
  return target.send(cid, (view, at) => encodeReject(view, at, pdu), data)
}

const bytesOf = ({ view }: Request): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength)

describe('a Reject of a Logout Request', () => {
  test('that was never sent changes nothing', () => {
    const target = new RawTarget({ policy }).open()
    const header = new Uint8Array(48)
    header[0] = Opcode.logoutRequest | 0x40
    header[1] = 0x80
    reject(target, 1, header, RejectReason.commandNotSupported)
    assert.deepEqual(target.kinds, ['logged-in'])
    target.finish()
  })

  test('for the recovery of another connection has it sent again', () => {
    const target = new RawTarget({ policy: { ...policy, connections: 2 } }).open()
    const task = target.execute()
    target.poll()
    const logout = one([...target.lose(1), ...target.advance(0)], Opcode.logoutRequest)
    assert.equal(logout.view.getUint8(1) & 0x7f, LogoutReason.removeConnectionForRecovery)
    const requests = reject(target, 2, bytesOf(logout), RejectReason.immediateCommandReject)
    const again = one([...requests, ...target.advance(5000)], Opcode.logoutRequest)
    target.expCmdSN++
    const reassign = one(target.loggedOut(2, tagOf(again)), Opcode.taskManagementRequest)
    target.managed(2, tagOf(reassign))
    target.respond(2, { initiatorTaskTag: reassign.view.getUint32(20) })
    target.advance(0)
    assert.equal(task.result?.kind, 'status')
    assert.equal(target.session.counters.sessionLost, 0)
    target.finish()
  })
})

describe('connections that are lost while they take over tasks', () => {
  test('of several that do, each has its own taken over by those that are left', () => {
    const target = new RawTarget({ policy: { ...policy, connections: 4, spread: 'round-robin' } }).open()
    const tasks = Array.from({ length: 12 }, () => target.execute())
    target.poll()
    target.expCmdSN = target.session.window.cmdSN
    const first = one([...target.lose(1), ...target.advance(0)], Opcode.logoutRequest)
    const reassigns = byOpcode(target.loggedOut(first.cid, tagOf(first)), Opcode.taskManagementRequest)
    const through = new Set(reassigns.map(({ cid }) => cid))
    assert.equal(through.size, 3, 'tasks are spread over the connections that are left')
    // Not the last one that was chosen.
    const lost = [...through][0] as number
    for (const request of reassigns) if (request.cid !== lost) target.managed(request.cid, tagOf(request))
    const second = one([...target.lose(lost), ...target.advance(0)], Opcode.logoutRequest)
    const others = byOpcode(target.loggedOut(second.cid, tagOf(second)), Opcode.taskManagementRequest)
    for (const request of others) target.managed(request.cid, tagOf(request))
    assert.equal(others.length, 4, 'the three of its own, and the one that it was to take over')
    assert.equal(target.session.tasks.all().filter(({ state }) => state === 'active').length, tasks.length)
    target.finish()
  })
})

describe('a function that ends tasks', () => {
  test('without an answer, since its connection is lost, leaves no task without one', () => {
    const target = new RawTarget({ policy: { ...policy, connections: 2, spread: 'round-robin' } }).open()
    const tasks = [target.execute(), target.execute()]
    target.poll()
    let failure: string | undefined
    target.session.manage(TaskManagementFunction.logicalUnitReset, 0, (_response, why) => {
      failure = why?.code
    })
    const reset = one(target.poll(), Opcode.taskManagementRequest)
    const other = reset.cid === 1 ? 2 : 1
    const requests = target.lose(reset.cid)
    assert.equal(failure, 'CONNECTION_LOST')
    const abort = one(requests, Opcode.taskManagementRequest)
    assert.equal(abort.cid, other)
    assert.equal(abort.view.getUint8(1) & 0x7f, TaskManagementFunction.abortTask)
    target.managed(other, tagOf(abort))
    const ended = tasks.filter(({ result }) => result?.kind === 'failed' && result.code === 'TASK_ABORTED')
    assert.equal(ended.length, 1)
    target.finish()
  })
})

describe('bidirectional commands', () => {
  const BYTES = 9000
  const both = (pair: SessionPair) =>
    pair.execute({
      cdb: fakeCdb(FakeOpcode.both, BYTES, BYTES),
      dataOut: [pattern(BYTES, BYTES)],
      dataIn: new Uint8Array(BYTES),
    })
  const newPair = (): SessionPair =>
    new SessionPair({
      policy,
      limits: { maxRecvDataSegmentLength: 1024 },
      targetLimits: { maxBurstLength: 2048, firstBurstLength: 512, time2Wait: 0 },
    }).open()

  test('outlive a lost R2T when MaxRecvDataSegmentLength has changed', () => {
    const pair = newPair()
    let r2ts = 0
    pair.fate = ({ name }) => (name === 'Ready To Transfer' && ++r2ts === 2 ? 'drop' : 'pass')
    const pending = both(pair)
    pair.session.declareSegment(512)
    pair.advance(60_000)
    assert.equal(pending.result?.kind, 'status', JSON.stringify(pending.result))
    assert.deepEqual(pending.request.dataIn, pattern(BYTES))
    pair.finish()
  })

  test('outlive lost data when MaxRecvDataSegmentLength has changed', () => {
    const pair = newPair()
    let data = 0
    pair.fate = ({ name, fromTarget }) => {
      if (name === 'SCSI Data-In' && ++data === 2) return 'drop'
      if (name === 'SCSI Data-In' && fromTarget && data === 1) pair.session.declareSegment(512)
      return 'pass'
    }
    const pending = both(pair)
    pair.advance(60_000)
    assert.equal(pending.result?.kind, 'status', JSON.stringify(pending.result))
    assert.deepEqual(pending.request.dataIn, pattern(BYTES))
    assert.ok(pair.session.counters.rDataSnack > 0)
    pair.finish()
  })
})

describe('what is lost last', () => {
  const newPair = (): SessionPair =>
    new SessionPair({
      policy: { ...policy, errorRecoveryLevel: 1 },
      limits: { nopIntervalMs: 600_000 },
    }).open()

  test('shows in the answer to a ping, soon', () => {
    const pair = newPair()
    let isFirst = true
    pair.fate = ({ name }) => {
      const isLost = isFirst && name === 'SCSI Response'
      if (isLost) isFirst = false
      return isLost ? 'drop' : 'pass'
    }
    const pending = pair.execute({ cdb: fakeCdb(FakeOpcode.write, 512), dataOut: [pattern(512, 512)] })
    pair.advance(4000)
    assert.equal(pending.result?.kind, 'status')
    pair.finish()
  })

  test('is not a command that takes long', () => {
    const pair = newPair()
    pair.target.hold = true
    const pending = pair.execute({ cdb: fakeCdb(FakeOpcode.read, 0, 512), dataIn: new Uint8Array(512) })
    pair.advance(60_000)
    assert.equal(pair.session.counters.commandRetry, 0)
    assert.equal(pair.session.counters.connectionLost, 0)
    pair.target.finishHeld()
    pair.advance(1000)
    assert.equal(pending.result?.kind, 'status')
    pair.finish()
  })
})

test('a target that makes us answer and does not read is dropped', () => {
  const target = new RawTarget({ policy: { ...policy, errorRecoveryLevel: 0, reopenLimitMs: 0 } }).open()
  const { connection } = target.line(1)
  const ping = {
    dataSegmentLength: 0,
    lun: 0n,
    initiatorTaskTag: RESERVED_TAG,
    targetTransferTag: 5,
    ...target.numbers(1, false),
  }
  for (let count = 0; count < 5000 && connection.state === 'full-feature'; count++)
    target.sendUnread(1, (view, at) => encodeNopIn(view, at, ping))
  assert.equal(connection.state, 'closed')
  target.poll()
  target.finish()
})

test('a rejected command that begins anew does not go on where it was', () => {
  const target = new RawTarget({
    policy: { ...policy, connections: 2, spread: 'round-robin' },
    keys: [['InitialR2T', 'No']],
  }).open()
  target.execute({ dataOut: [new Uint8Array(256 * 1024)] })
  const [task] = target.session.tasks.all()
  const { connection } = task ?? {}
  assert.ok(task && connection)
  const out = connection.newTransmitVector()
  assert.ok(connection.pollTransmit(out), 'there is more to send than fits')
  out.release()
  const header = new Uint8Array(48)
  header[0] = Opcode.scsiCommand
  new DataView(header.buffer).setUint32(16, task.initiatorTaskTag)
  const requests = reject(target, connection.cid, header, RejectReason.waitingForLogout)
  assert.notEqual(task.connection, connection, 'it goes to the other connection')
  const places = byOpcode(requests, Opcode.scsiCommand).map(({ cid }) => cid)
  assert.deepEqual(places, [task.connection?.cid])
  target.finish()
})

test('a response that was on its way when a reset on another connection ended its task is no lie', () => {
  const keys = [['ErrorRecoveryLevel', '0']] as const
  const target = new RawTarget({
    policy: { ...policy, errorRecoveryLevel: 0, connections: 2, spread: 'round-robin' },
    keys,
  }).open()
  target.execute()
  target.execute()
  const commands = byOpcode(target.poll(), Opcode.scsiCommand)
  target.session.manage(TaskManagementFunction.logicalUnitReset, 0, () => {})
  const reset = one(target.poll(), Opcode.taskManagementRequest)
  const command = commands.find(({ cid }) => cid !== reset.cid)
  assert.ok(command)
  target.managed(reset.cid, tagOf(reset))
  target.respond(command.cid, { initiatorTaskTag: tagOf(command) })
  assert.deepEqual(target.kinds, ['logged-in', 'connection-added'])
  target.finish()
})

test('a task is aborted again where the reset that was to end it was lost with another connection', () => {
  const target = new RawTarget({ policy: { ...policy, connections: 2, spread: 'round-robin' } }).open()
  const tasks = [target.execute(), target.execute()]
  const commands = byOpcode(target.poll(), Opcode.scsiCommand)
  const at = commands.findIndex(({ cid }) => cid === 2)
  const task = tasks[at]
  assert.ok(task)
  target.session.abort(task.request)
  const abort = one(target.poll(), Opcode.taskManagementRequest)
  assert.equal(abort.cid, 2)
  const reset = one(target.managed(2, tagOf(abort), 255), Opcode.taskManagementRequest)
  assert.equal(reset.cid, 1)
  const again = byOpcode(target.lose(1), Opcode.taskManagementRequest).find(
    ({ view }) => (view.getUint8(1) & 0x7f) === TaskManagementFunction.abortTask,
  )
  assert.ok(again, 'the task is aborted again')
  target.managed(again.cid, tagOf(again))
  target.advance(0)
  assert.deepEqual(task.result?.kind === 'failed' && task.result.code, 'TASK_ABORTED')
  target.finish()
})

test('a task is aborted when it is reassigned, where a function that may have ended it was lost with its connection', () => {
  const target = new RawTarget({ policy }).open()
  const task = target.execute()
  target.poll()
  target.session.manage(TaskManagementFunction.abortTaskSet, 0, () => {})
  target.poll()
  const functionOf = ({ view }: Request): number => view.getUint8(1) & 0x7f
  const reassign = one([...target.lose(1), ...target.advance(100)], Opcode.taskManagementRequest)
  assert.equal(functionOf(reassign), TaskManagementFunction.taskReassign)
  const abort = one(target.managed(1, tagOf(reassign)), Opcode.taskManagementRequest)
  assert.equal(functionOf(abort), TaskManagementFunction.abortTask)
  target.managed(1, tagOf(abort), 1)
  target.advance(0)
  assert.equal(task.result?.kind === 'failed' && task.result.code, 'TASK_ABORTED')
  target.finish()
})
