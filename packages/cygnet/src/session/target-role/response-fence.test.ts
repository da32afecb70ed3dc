/** RFC 7143 §4.2.2.3, §4.2.3.4, §11.6.1: the order of responses over several connections, and FastAbort. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { AsyncEvent, TaskManagementFunction } from '../../pdu/codes.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import { FakeOpcode, FakeTarget, fakeCdb, pattern } from './fake-target.test-helper.ts'
import { PeerSession } from './peer-session.test-helper.ts'
import { BufferPool } from '../../base/pool.ts'
import { type Answer, asAsync, asR2T, names } from '../wire.test-helper.ts'
import type { ScsiTask } from '../../scsi/task.ts'

const NONE = fakeCdb(FakeOpcode.none)
const { abortTaskSet } = TaskManagementFunction
const RESPONSE = 'Task Management Function Response'

/** Everything of a connection is acknowledged. */
const acknowledge = (session: PeerSession, cid: number): Answer[] =>
  session.at(cid).nopOut({ initiatorTaskTag: RESERVED_TAG })

const withoutNops = (answers: readonly Answer[]): string[] =>
  names(answers).filter((name) => name !== 'NOP-In')

describe('§11.6.1 the response to a function for many tasks', () => {
  test('waits for the acknowledgment of what was answered before it, on every connection', () => {
    const session = new PeerSession({ connections: 3 })
    session.at(2).command(NONE)
    const first = session.at(1).taskManagement({ function: abortTaskSet })
    assert.deepEqual(withoutNops(first), [])
    assert.deepEqual(names(session.at(2).poll()), ['NOP-In'], 'it is asked for')
    session.at(3).poll()
    assert.deepEqual(withoutNops([...acknowledge(session, 1), ...acknowledge(session, 3)]), [])
    acknowledge(session, 2)
    assert.deepEqual(withoutNops(session.at(1).poll()), [RESPONSE])
    acknowledge(session, 1)
    session.finish()
  })

  test('does not wait for a connection that is lost meanwhile', () => {
    const session = new PeerSession({ connections: 2 })
    session.at(1).taskManagement({ function: abortTaskSet })
    acknowledge(session, 1)
    session.at(2).connection.transportClosed('reset', session.at(2).now)
    assert.deepEqual(withoutNops(session.at(1).poll()).toSorted(), ['Asynchronous Message', RESPONSE])
    session.finish()
  })

  test('is followed by what came after it only when it is acknowledged itself', () => {
    const session = new PeerSession({ connections: 2 })
    session.at(1).taskManagement({ function: abortTaskSet })
    session.at(2).poll()
    assert.deepEqual(withoutNops(session.at(2).command(NONE)), [])
    acknowledge(session, 2)
    assert.deepEqual(withoutNops(acknowledge(session, 1)), [RESPONSE])
    assert.deepEqual(withoutNops(session.at(2).poll()), [])
    acknowledge(session, 1)
    assert.deepEqual(withoutNops(session.at(2).poll()), ['SCSI Response'])
    session.finish()
  })
})

/** Ends every command with ACA ACTIVE. */
class AcaTarget extends FakeTarget {
  override submit(task: ScsiTask): void {
    task.status = ScsiStatus.acaActive
    task.finish()
  }
}

describe('§4.2.2.3.4 a SCSI response that needs a fence', () => {
  for (const [reporting, isFenced] of [
    ['RFC3720', false],
    ['ResponseFence', true],
    ['FastAbort', true],
  ] as const) {
    test(`${isFenced ? 'has one' : 'has none'} with TaskReporting=${reporting}`, () => {
      const host = new AcaTarget(new BufferPool({ poison: true }))
      const session = new PeerSession({ host, pool: host.pool, keys: [['TaskReporting', reporting]] })
      const answers = session.at(1).command(NONE)
      assert.deepEqual(withoutNops(answers), isFenced ? [] : ['SCSI Response'])
      session.at(2).poll()
      acknowledge(session, 2)
      const later = acknowledge(session, 1)
      assert.deepEqual(withoutNops(later), isFenced ? ['SCSI Response'] : [])
      acknowledge(session, 1)
      session.finish()
    })
  }
})

describe('§4.2.3.4 TaskReporting=FastAbort', () => {
  const write = { write: true, expectedDataTransferLength: 512 }

  test('the data of aborted tasks is not waited for: the other connections are told, and tags end with that', () => {
    const session = new PeerSession({ keys: [['TaskReporting', 'FastAbort']] })
    session.at(1).command(fakeCdb(FakeOpcode.write, 512), { ...write, initiatorTaskTag: 5 })
    const [r2t] = session.at(2).command(fakeCdb(FakeOpcode.write, 512), { ...write, initiatorTaskTag: 6 })
    session.at(1).taskManagement({ function: abortTaskSet })
    const expStatSN = session.at(2).expStatSN ?? 0
    const told = session
      .at(2)
      .poll()
      .find(({ name }) => name === 'Asynchronous Message')
    assert.equal(asAsync(told).asyncEvent, AsyncEvent.taskTermination)
    // What was on its way has a tag that is still valid.
    const { targetTransferTag } = asR2T(r2t)
    const late = session.at(2).dataOut({ initiatorTaskTag: 6, targetTransferTag, expStatSN }, pattern(512))
    assert.equal(names(late).includes('Reject'), false)
    acknowledge(session, 2)
    assert.deepEqual(withoutNops(acknowledge(session, 1)), [RESPONSE])
    acknowledge(session, 1)
    assert.equal(session.at(1).connection.session?.taskCount, 0)
    session.finish()
  })

  test('without an acknowledgment the tags end with the drain timeout', () => {
    const session = new PeerSession({
      keys: [['TaskReporting', 'FastAbort']],
      limits: { drainTimeoutMs: 500 },
    })
    session.at(2).command(fakeCdb(FakeOpcode.write, 512), { ...write, initiatorTaskTag: 6 })
    session.at(1).taskManagement({ function: abortTaskSet })
    assert.equal(session.at(1).connection.session?.taskCount, 1)
    session.advance(500)
    assert.equal(session.at(1).connection.session?.taskCount, 0)
    session.finish()
  })
})
