import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TaskManagementResponseCode } from '../../pdu/codes.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import { FakeOpcode, fakeCdb, pattern } from '../target-role/fake-target.test-helper.ts'
import { type Passing, type Pending, SessionPair } from '../session-pair.test-helper.ts'

const BYTES = 20_000
const EXP_STAT_SN_AT = 28
const RESPONSE_AT = 2

const open = (connections: number, snackTimeoutMs = 2000): SessionPair =>
  new SessionPair({
    policy: { errorRecoveryLevel: 2, connections, time2WaitSeconds: 0, reopenLimitMs: 60_000 },
    targetLimits: { time2Wait: 0, time2Retain: 20, maxBurstLength: 4096, firstBurstLength: 1024 },
    limits: { maxRecvDataSegmentLength: 1024, snackTimeoutMs },
  }).open()

const read = (pair: SessionPair): Pending =>
  pair.execute({
    cdb: fakeCdb(FakeOpcode.read, 0, BYTES),
    dataIn: new Uint8Array(BYTES),
    replay: 'safe',
  })

const assertRead = ({ request, result }: Pending): void => {
  assert.equal(result?.kind === 'status' && result.status, ScsiStatus.good, JSON.stringify(result))
  assert.deepEqual(request.dataIn, pattern(BYTES))
}

/** Cuts connection 1 at its fourth Data-In from now on; then `after` decides. */
function cutOne(pair: SessionPair, after: (pdu: Passing) => 'pass' | 'drop' = () => 'pass'): void {
  let count = 0
  pair.fate = (pdu) => {
    if (count >= 4) return after(pdu)
    return pdu.name === 'SCSI Data-In' && pdu.cid === 1 && ++count === 4 ? 'cut' : 'pass'
  }
}

describe('§11.14.4, §11.12.8 the ExpStatSN of a lost connection is its last one', () => {
  /** Uses connection 1, so that the StatSNs of connections differ. */
  const use = (pair: SessionPair): void => {
    for (let i = 0; i < 5; i++) {
      const one = read(pair)
      pair.run()
      assertRead(one)
    }
  }

  test('in the Logout Request for recovery', () => {
    const pair = open(2)
    use(pair)
    const lost = pair.joint(1).initiator
    const found: number[] = []
    cutOne(pair, ({ name, view }) => {
      if (name === 'Logout Request') found.push(view.getUint32(EXP_STAT_SN_AT))
      return 'pass'
    })
    const all = Array.from({ length: 4 }, () => read(pair))
    pair.advance(5000)
    for (const one of all) assertRead(one)
    assert.deepEqual(found, [lost.expStatSN])
    assert.notEqual(pair.joint(2).initiator.expStatSN, lost.expStatSN)
    pair.finish()
  })

  test('in the first Login Request of the connection that takes its place', () => {
    const pair = open(1)
    use(pair)
    const lost = pair.joint(1).initiator
    const before = pair.logins.length
    cutOne(pair)
    const one = read(pair)
    pair.advance(5000)
    assertRead(one)
    assert.equal(pair.session.counters.connectionReinstatement, 1)
    assert.equal(pair.logins[before]?.view.getUint32(EXP_STAT_SN_AT), lost.expStatSN)
    pair.finish()
  })
})

describe('a target that answers TASK REASSIGN with "function rejected"', () => {
  const reject = ({ name, view }: Passing): boolean => {
    if (name !== 'Task Management Function Response') return false
    view.setUint8(RESPONSE_AT, TaskManagementResponseCode.functionRejected)
    return true
  }

  test('and goes on with the task, as LIO does, is taken at its deeds', () => {
    const pair = open(2)
    cutOne(pair, (pdu) => {
      reject(pdu)
      return 'pass'
    })
    const all = Array.from({ length: 4 }, () => read(pair))
    pair.advance(60_000)
    for (const one of all) assertRead(one)
    const { taskReassign, taskReassignRefused, sessionLost } = pair.session.counters
    assert.ok(taskReassign > 0)
    assert.deepEqual([taskReassignRefused, sessionLost], [0, 0])
    pair.finish()
  })

  test('and means it, has the task aborted, and its command sent again', () => {
    // Its silence is not asked about.
    const pair = open(2, 60_000)
    let isRefused = false
    let functions = 0
    cutOne(pair, (pdu) => {
      // Only the first one: the next is that of ABORT TASK.
      if (!isRefused) isRefused = reject(pdu)
      if (pdu.name === 'Task Management Function Request') functions++
      const isOfTask = pdu.name === 'SCSI Data-In' || pdu.name === 'SCSI Response'
      return isRefused && isOfTask && functions < 2 ? 'drop' : 'pass'
    })
    const one = read(pair)
    pair.advance(30_000)
    assertRead(one)
    const { taskReassign, taskReassignRefused, sessionLost, taskReplayed } = pair.session.counters
    assert.deepEqual([taskReassign, taskReassignRefused, sessionLost, taskReplayed], [0, 1, 0, 1])
    pair.finish()
  })
})
