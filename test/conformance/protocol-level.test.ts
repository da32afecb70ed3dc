/** RFC 7144: what iSCSIProtocolLevel=2 brings, and that none of it is there without. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BufferPool } from '../../packages/cygnet/src/base/pool.ts'
import {
  TaskManagementFunction as Function,
  TaskManagementResponseCode as Response,
} from '../../packages/cygnet/src/pdu/codes.ts'
import { ScsiStatus } from '../../packages/cygnet/src/scsi/status.ts'
import type { ScsiTask } from '../../packages/cygnet/src/scsi/task.ts'
import {
  FakeOpcode,
  FakeTarget,
  fakeCdb,
} from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import { TestPeer } from '../../packages/cygnet/src/session/target-role/peer.test-helper.ts'
import { type Answer, asTask, names, pairsOf } from '../../packages/cygnet/src/session/wire.test-helper.ts'

const NONE = fakeCdb(FakeOpcode.none)
const TAG = 0x100
const { queryTask, queryTaskSet, itNexusReset, queryAsynchronousEvent } = Function

/** Ends every command with BUSY and when to come again. */
class BusyTarget extends FakeTarget {
  override submit(task: ScsiTask): void {
    this.submitted.push(task)
    task.status = ScsiStatus.busy
    task.statusQualifier = 0x1234
    task.finish()
  }
}

function loggedIn(level: 1 | 2, target?: FakeTarget): TestPeer {
  const peer = target ? new TestPeer({ host: target, pool: target.pool }) : new TestPeer()
  const answer = peer.logIn([['iSCSIProtocolLevel', String(level)]])
  assert.equal(pairsOf(answer.data).get('iSCSIProtocolLevel'), String(level))
  return peer
}

function responseOf(answers: readonly Answer[]): number {
  assert.deepEqual(names(answers), ['Task Management Function Response'])
  return asTask(answers[0]).response
}

for (const level of [1, 2] as const) {
  describe(`iSCSIProtocolLevel=${level}`, () => {
    test(`§5.1.1 the priority of a command ${level === 2 ? 'counts' : 'is ignored'}`, () => {
      const peer = loggedIn(level)
      const bytes = peer.commandBytes(NONE)
      bytes[2] = 0x5f
      peer.exchange(bytes)
      assert.equal(peer.target.submitted[0]?.priority, level === 2 ? 5 : 0)
      peer.finish()
    })

    test(`§5.2.1 the status qualifier ${level === 2 ? 'is sent' : 'is 0'}`, () => {
      const peer = loggedIn(level, new BusyTarget(new BufferPool({ poison: true })))
      const [answer] = peer.command(NONE)
      assert.equal(answer?.name, 'SCSI Response')
      assert.equal(answer.view.getUint16(8), level === 2 ? 0x1234 : 0)
      peer.finish()
    })
  })
}

test('the new functions are not supported at level 1', () => {
  const peer = loggedIn(1)
  for (const fn of [queryTask, queryTaskSet, itNexusReset, queryAsynchronousEvent]) {
    assert.equal(responseOf(peer.taskManagement({ function: fn })), Response.functionNotSupported, `${fn}`)
  }
  assert.equal(peer.state, 'full-feature')
  peer.finish()
})

describe('§6.3 the new functions at level 2', () => {
  test('none of them is rejected', () => {
    for (const fn of [queryTask, queryTaskSet, queryAsynchronousEvent]) {
      const peer = loggedIn(2)
      assert.notEqual(responseOf(peer.taskManagement({ function: fn })), Response.functionNotSupported)
      peer.finish()
    }
  })

  test('QUERY TASK finds a task, does not find others, and leaves them alone', () => {
    const peer = loggedIn(2)
    peer.target.hold = true
    const refCmdSN = peer.cmdSN
    peer.command(NONE, { initiatorTaskTag: TAG })
    const query = { function: queryTask, refCmdSN }
    assert.equal(
      responseOf(peer.taskManagement({ ...query, referencedTaskTag: TAG })),
      Response.functionSucceeded,
    )
    assert.equal(
      responseOf(peer.taskManagement({ ...query, referencedTaskTag: TAG + 1 })),
      Response.functionComplete,
    )
    peer.target.finishHeld()
    assert.deepEqual(names(peer.poll()), ['SCSI Response'])
    peer.finish()
  })

  test('QUERY TASK of a task management function is rejected: 255', () => {
    const peer = loggedIn(2)
    peer.target.hold = true
    peer.command(NONE)
    peer.taskManagement({ function: Function.logicalUnitReset, initiatorTaskTag: TAG })
    const query = { function: queryTask, referencedTaskTag: TAG }
    assert.equal(responseOf(peer.taskManagement(query)), Response.functionRejected)
    peer.target.finishHeld()
    peer.poll()
    peer.finish()
  })
})
