import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TaskManagementFunction, TaskManagementResponseCode } from '../../pdu/codes.ts'
import { FakeOpcode, fakeCdb, pattern } from '../target-role/fake-target.test-helper.ts'
import { type Pending, SessionPair } from '../session-pair.test-helper.ts'

const read = (pair: SessionPair, lengthBytes: number, more = {}): Pending =>
  pair.execute({
    cdb: fakeCdb(FakeOpcode.read, 0, lengthBytes),
    dataIn: new Uint8Array(lengthBytes),
    ...more,
  })

const codeOf = ({ result }: Pending): string | undefined =>
  result?.kind === 'failed' ? result.code : undefined

const isGood = ({ result }: Pending): boolean => result?.kind === 'status' && result.status === 0

describe('RFC 7144 iSCSIProtocolLevel 2', () => {
  test('a priority is sent, a status qualifier is taken', () => {
    const pair = new SessionPair().open()
    const priorities: number[] = []
    pair.fate = ({ name, view }) => {
      if (name === 'SCSI Command') priorities.push(view.getUint8(2))
      if (name === 'SCSI Response') view.setUint16(8, 0x1234)
      return 'pass'
    }
    const level = pair.session.parameters?.iSCSIProtocolLevel
    assert.equal(level, 2)
    const one = pair.execute({ cdb: fakeCdb(FakeOpcode.none), priority: 5 })
    pair.run()
    assert.deepEqual(priorities, [0x50])
    assert.equal(one.result?.kind === 'status' && one.result.statusQualifier, 0x1234)
    pair.finish()
  })

  test('QUERY TASK says whether the target has the task', () => {
    const pair = new SessionPair().open()
    pair.target.hold = true
    const one = read(pair, 500)
    pair.run()
    const responses: (number | undefined)[] = []
    pair.session.queryTask(one.request, (response) => responses.push(response))
    pair.run()
    pair.target.finishHeld()
    pair.run()
    pair.session.queryTask(one.request, (response) => responses.push(response))
    pair.run()
    assert.deepEqual(responses, [
      TaskManagementResponseCode.functionSucceeded,
      TaskManagementResponseCode.taskDoesNotExist,
    ])
    pair.finish()
  })
})

describe('task management', () => {
  for (const [name, taskManagementFunction] of [
    ['ABORT TASK SET', TaskManagementFunction.abortTaskSet],
    ['CLEAR TASK SET', TaskManagementFunction.clearTaskSet],
    ['LOGICAL UNIT RESET', TaskManagementFunction.logicalUnitReset],
    ['TARGET WARM RESET', TaskManagementFunction.targetWarmReset],
  ] as const)
    for (const taskReporting of [['RFC3720'], ['ResponseFence'], ['FastAbort', 'RFC3720']] as const)
      test(`${name} ends tasks on all connections (${taskReporting[0]})`, () => {
        const pair = new SessionPair({ policy: { connections: 3, taskReporting } }).open()
        pair.target.hold = true
        const all = Array.from({ length: 6 }, () => read(pair, 500))
        const write = pair.execute({ cdb: fakeCdb(FakeOpcode.write, 9000), dataOut: [pattern(9000)] })
        pair.run()
        let response: number | undefined
        pair.session.manage(taskManagementFunction, 0, (code) => (response = code))
        pair.run()
        pair.target.hold = false
        const later = read(pair, 500)
        pair.target.finishHeld()
        pair.advance(1000)
        assert.equal(response, TaskManagementResponseCode.functionComplete)
        for (const one of [...all, write]) assert.equal(codeOf(one), 'TASK_ABORTED')
        assert.ok(isGood(later), 'what came after it is done')
        pair.finish()
      })

  test('a function for a LUN that is not there is answered so', () => {
    const pair = new SessionPair().open()
    let response: number | undefined
    pair.session.manage(TaskManagementFunction.logicalUnitReset, 7, (code) => (response = code))
    pair.run()
    assert.equal(response, TaskManagementResponseCode.lunDoesNotExist)
    pair.finish()
  })
})

describe('what the target asks for', () => {
  test('a logout of one of two connections: its tasks end first, and it is opened again', () => {
    const pair = new SessionPair({ policy: { connections: 2 } }).open()
    pair.target.hold = true
    const all = Array.from({ length: 4 }, () => read(pair, 500))
    pair.run()
    pair.joint(1).target.requestLogout(10, pair.now)
    pair.run()
    assert.equal(pair.joint(1).initiator.machineState, 'LOGOUT_REQUESTED')
    const late = read(pair, 500)
    pair.run()
    pair.target.hold = false
    pair.target.finishHeld()
    pair.run()
    for (const one of [...all, late]) assert.ok(isGood(one))
    assert.ok(pair.kinds.includes('connection-removed'))
    assert.equal(pair.session.connections.length, 2)
    assert.equal(pair.session.counters.connectionLost, 0)
    pair.finish()
  })

  test('a logout of the only connection: the session is closed and opened again', () => {
    const pair = new SessionPair({ policy: { reopenLimitMs: 10_000 }, targetLimits: { time2Wait: 0 } }).open()
    pair.joint(1).target.requestLogout(10, pair.now)
    pair.advance(3000)
    assert.ok(pair.kinds.includes('session-reinstated'), pair.kinds.join())
    assert.deepEqual(pair.target.closures, ['logout'])
    const one = read(pair, 500)
    pair.run()
    assert.ok(isGood(one))
    pair.finish()
  })

  test('pings go both ways while I/O runs', () => {
    const pair = new SessionPair({
      policy: { connections: 2 },
      targetLimits: { nopIntervalMs: 12_000, nopTimeoutMs: 5000 },
    }).open()
    const failures: unknown[] = []
    pair.session.ping((failure) => failures.push(failure), pattern(100))
    pair.run()
    assert.deepEqual(failures, [undefined])
    pair.advance(100_000)
    assert.ok(pair.log.includes('> NOP-Out') && pair.log.includes('< NOP-In'))
    assert.equal(pair.session.counters.connectionLost, 0)
    pair.finish()
  })
})

describe('connection recovery', () => {
  const open = (connections: number, more = {}): SessionPair =>
    new SessionPair({
      policy: { errorRecoveryLevel: 2, connections, time2WaitSeconds: 0, reopenLimitMs: 60_000, ...more },
      targetLimits: { time2Wait: 1, time2Retain: 5 },
    }).open()

  test('waits for Time2Wait, and for what an announced drop says instead', () => {
    const pair = open(2)
    pair.target.hold = true
    const all = Array.from({ length: 4 }, () => read(pair, 500))
    pair.run()
    pair.cut(pair.joint(1))
    pair.advance(900)
    assert.ok(!pair.log.includes('> Logout Request'))
    pair.advance(200)
    assert.ok(pair.log.includes('> Logout Request'))
    pair.target.finishHeld()
    // The Logout Response has a Time2Wait as well.
    pair.advance(1100)
    for (const one of all) assert.ok(isGood(one))
    pair.finish()
  })

  test('all connections lost at once: one is reinstated, the others are logged out through it', () => {
    const pair = open(3)
    pair.target.hold = true
    const all = Array.from({ length: 6 }, () => read(pair, 500))
    pair.run()
    for (const cid of [1, 2, 3]) pair.cut(pair.joint(cid))
    assert.equal(pair.session.machineState, 'FAILED')
    pair.advance(3000)
    assert.equal(pair.session.machineState, 'LOGGED_IN')
    pair.target.finishHeld()
    pair.advance(1000)
    for (const one of all) assert.ok(isGood(one))
    const { counters } = pair.session
    assert.deepEqual(
      [
        counters.sessionLost,
        counters.connectionReinstatement,
        counters.connectionRecovery,
        counters.sessionContinuation,
      ],
      [0, 1, 3, 1],
    )
    assert.equal(pair.session.connections.length, 3)
    pair.finish()
  })

  test('what takes its place is lost as well: its tasks are reassigned again', () => {
    const pair = open(1)
    pair.target.hold = true
    const all = Array.from({ length: 3 }, () => read(pair, 500))
    pair.run()
    pair.cut(pair.joint(1))
    pair.fate = ({ name }) => (name === 'Task Management Function Response' ? 'cut' : 'pass')
    pair.advance(1100)
    pair.fate = () => 'pass'
    pair.advance(2000)
    pair.target.finishHeld()
    pair.run()
    for (const one of all) assert.ok(isGood(one), JSON.stringify(one.result))
    assert.equal(pair.session.counters.sessionLost, 0)
    pair.finish()
  })

  test('after Time2Retain the session is opened again, and what is safe is done again', () => {
    const pair = open(1)
    pair.target.hold = true
    const safe = read(pair, 500, { replay: 'safe' })
    const unsafe = read(pair, 500)
    pair.run()
    pair.isUnreachable = true
    pair.cut(pair.joint(1))
    pair.advance(7000)
    assert.equal(pair.session.counters.time2RetainExpired, 1)
    assert.equal(codeOf(unsafe), 'TASK_LOST')
    pair.isUnreachable = false
    pair.target.hold = false
    pair.target.finishHeld()
    pair.advance(10_000)
    assert.ok(isGood(safe))
    pair.finish()
  })
})
