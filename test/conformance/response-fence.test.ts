/** RFC 7143 §4.2.2.3: responses that overtake none and are overtaken by none, in a session of several connections. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BufferPool } from '../../packages/cygnet/src/base/pool.ts'
import { TaskManagementFunction } from '../../packages/cygnet/src/pdu/codes.ts'
import { encodeSense, SenseKey } from '../../packages/cygnet/src/scsi/sense.ts'
import { ScsiStatus } from '../../packages/cygnet/src/scsi/status.ts'
import type { ScsiTask } from '../../packages/cygnet/src/scsi/task.ts'
import {
  FakeOpcode,
  FakeTarget,
  fakeCdb,
} from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import { PeerSession } from '../../packages/cygnet/src/session/target-role/peer-session.test-helper.ts'
import { type Answer, names } from '../../packages/cygnet/src/session/wire.test-helper.ts'

const NONE = fakeCdb(FakeOpcode.none)
const RESERVED = 0xffff_ffff
const TMF_RESPONSE = 'Task Management Function Response'
const { abortTaskSet, logicalUnitReset } = TaskManagementFunction

/** All but what asks for an acknowledgement. */
const others = (answers: readonly Answer[]): string[] => names(answers).filter((name) => name !== 'NOP-In')

/** Tells the target, with a NOP-Out that wants no answer, that everything has arrived. */
const acknowledge = (session: PeerSession, cid: number): string[] => {
  session.at(cid).nopOut({ initiatorTaskTag: RESERVED })
  return others(session.poll())
}

/** Ends every command with a unit attention, or an error. */
class AttentiveTarget extends FakeTarget {
  additional = 0x2900

  override submit(task: ScsiTask): void {
    this.submitted.push(task)
    task.status = ScsiStatus.checkCondition
    task.sense = encodeSense({ key: SenseKey.unitAttention, additional: this.additional }, false)
    task.finish()
  }
}

for (const taskReporting of ['RFC3720', 'ResponseFence', 'FastAbort']) {
  describe(`§11.6.1 the response to ABORT TASK SET, with TaskReporting=${taskReporting}`, () => {
    test('waits until the initiator has acknowledged what was answered before, on every connection', () => {
      const session = new PeerSession({ connections: 3, keys: [['TaskReporting', taskReporting]] })
      session.at(2).command(NONE)
      const asked = [...session.at(1).taskManagement({ function: abortTaskSet }), ...session.poll()]
      assert.deepEqual(others(asked), [])
      assert.ok(asked.length > 0, 'the target asks for acknowledgements')
      assert.deepEqual(acknowledge(session, 1), [])
      assert.deepEqual(acknowledge(session, 3), [])
      assert.deepEqual(acknowledge(session, 2), [TMF_RESPONSE])
      session.finish()
    })
  })
}

describe('§4.2.2.3.3 behind a fenced response', () => {
  test('the responses of its unit wait until it is acknowledged', () => {
    const session = new PeerSession({ connections: 2 })
    session.at(1).taskManagement({ function: logicalUnitReset })
    session.poll()
    assert.deepEqual(acknowledge(session, 1), [])
    assert.deepEqual(acknowledge(session, 2), [TMF_RESPONSE])
    assert.deepEqual(others(session.at(2).command(NONE)), [])
    assert.deepEqual(acknowledge(session, 1), ['SCSI Response'])
    session.finish()
  })

  test('a connection that acknowledges nothing is not waited for longer than a ping', () => {
    const limits = { nopTimeoutMs: 300 }
    const session = new PeerSession({ connections: 2, limits })
    session.at(1).taskManagement({ function: abortTaskSet })
    session.poll()
    assert.deepEqual(acknowledge(session, 1), [])
    session.advance(200)
    assert.deepEqual(acknowledge(session, 1), [])
    const answers = [...session.advance(150), ...session.poll()]
    assert.equal(session.at(2).state, 'closed')
    assert.ok(others(answers).includes(TMF_RESPONSE))
    session.finish()
  })
})

test('§4.2.2.3 on one connection the order of responses is a fence by itself', () => {
  const session = new PeerSession({ connections: 1 })
  session.at(1).command(NONE)
  assert.deepEqual(names(session.at(1).taskManagement({ function: abortTaskSet })), [TMF_RESPONSE])
  assert.deepEqual(names(session.at(1).command(NONE)), ['SCSI Response'])
  session.finish()
})

describe('§4.2.2.3.4 SCSI responses that are fenced', () => {
  const setUp = (taskReporting: string): [PeerSession, AttentiveTarget] => {
    const pool = new BufferPool({ poison: true })
    const host = new AttentiveTarget(pool)
    return [new PeerSession({ connections: 2, host, pool, keys: [['TaskReporting', taskReporting]] }), host]
  }

  for (const additional of [0x2900, 0x2f00]) {
    const code = additional.toString(16)
    test(`the unit attention ${code} after a reset or an abort by another initiator waits, §4.2.3.6`, () => {
      const [session] = setUp('ResponseFence')
      assert.deepEqual(others(session.at(1).command(NONE)), [])
      assert.deepEqual(acknowledge(session, 1), [])
      assert.deepEqual(acknowledge(session, 2), ['SCSI Response'])
      session.finish()
    })
  }

  test('an ACA that is established waits', () => {
    const [session, host] = setUp('ResponseFence')
    host.additional = 0x2a01
    // The NACA bit.
    const cdb = fakeCdb(FakeOpcode.fail)
    cdb[5] = 0x04
    assert.deepEqual(others(session.at(1).command(cdb)), [])
    assert.deepEqual(acknowledge(session, 1), [])
    assert.deepEqual(acknowledge(session, 2), ['SCSI Response'])
    session.finish()
  })

  test('another error does not wait, nor does anything where fences were not agreed on', () => {
    for (const [taskReporting, additional] of [
      ['ResponseFence', 0x2a01],
      ['RFC3720', 0x2900],
    ] as const) {
      const [session, host] = setUp(taskReporting)
      host.additional = additional
      assert.deepEqual(others(session.at(1).command(NONE)), ['SCSI Response'])
      session.finish()
    }
  })
})
