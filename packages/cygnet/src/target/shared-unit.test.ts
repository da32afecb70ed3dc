/** RFC 7143 §4.2.3.4 to §4.2.3.6, §11.14.5: what one session does to the tasks of another at a disk that both use. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TestDisk } from '../device/disk.test-helper.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import { blockCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { PeerSession } from '../session/target-role/peer-session.test-helper.ts'
import { namesPairs, TestPeer } from '../session/target-role/peer.test-helper.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import { asAsync, asLogin, asR2T, asScsi, asTask, names, senseOf } from '../session/wire.test-helper.ts'
import { IscsiTarget } from './iscsi-target.ts'
import { TargetNode } from './target-node.ts'

const READY = new Uint8Array(16)
const RESERVED = 0xffff_ffff
const { logicalUnitReset } = TaskManagementFunction
const CLEARED_BY_PROTOCOL = 0x477f

function setUp(): TargetHost {
  const disk = new TestDisk(64)
  const name = 'iqn.2026-11.test:disk'
  const target = new IscsiTarget({ name, units: new Map([[0, disk.unit]]), access: [{}] })
  const node = new TargetNode({ clock: { now: () => 0 }, targets: [target] })
  return node.addPortal({ group: 1, endpoint: () => '0.0.0.0:3260' })
}

/** Past the unit attentions of a new nexus. */
function ready(peer: TestPeer): void {
  for (let tries = 0; tries < 9; tries++) {
    const answer = peer.command(READY).at(-1)
    if (answer?.name === 'SCSI Response' && asScsi(answer).status === 0) return
    // A unit attention may be fenced: it has arrived.
    peer.nopOut({ initiatorTaskTag: RESERVED })
  }
  assert.fail('the unit does not get ready')
}

/** A session of another initiator port. */
function otherSession(host: TargetHost, taskReporting: string): TestPeer {
  const peer = new TestPeer({ host })
  peer.isid = new Uint8Array([0x80, 0, 0, 0, 0, 9])
  const pairs = namesPairs([['TaskReporting', taskReporting]])
  assert.equal(asLogin(peer.login(pairs)[0]).statusClass, 0, peer.lastReason)
  ready(peer)
  return peer
}

/** A write that waits for its data. */
const write = (peer: TestPeer) =>
  asR2T(peer.command(blockCdb(Opcode.write10, 0, 1), { write: true, expectedDataTransferLength: 512 }).at(-1))

for (const taskReporting of ['FastAbort', 'ResponseFence', 'RFC3720']) {
  const isTold = taskReporting === 'FastAbort'
  test(`§4.2.3.5 a session with TaskReporting=${taskReporting} ${isTold ? 'is told' : 'is not told'} of its tasks that a reset has ended`, () => {
    const host = setUp()
    const issuing = otherSession(host, 'FastAbort')
    const third = new TestPeer({ host })
    third.login(namesPairs([['TaskReporting', taskReporting]]))
    ready(third)
    const r2t = write(third)
    const expStatSN = third.expStatSN ?? 0
    const [answer] = issuing.taskManagement({ function: logicalUnitReset })
    assert.equal(asTask(answer).response, TaskManagementResponseCode.functionComplete)
    const answers = third.poll()
    assert.deepEqual(names(answers), isTold ? ['Asynchronous Message'] : [])
    if (isTold) {
      const { asyncEvent, lun } = asAsync(answers[0])
      assert.deepEqual([asyncEvent, lun], [5, 0n])
    }
    // Its transfer tag stays valid: what is on its way is taken quietly.
    const { initiatorTaskTag, targetTransferTag } = r2t
    const late = third.dataOut({ initiatorTaskTag, targetTransferTag, expStatSN }, new Uint8Array(512))
    assert.ok(!names(late).includes('Reject'))
    const response = third.command(READY).at(-1)
    assert.equal(senseOf(response).additional >>> 8, 0x29, 'it hears of the reset')
    issuing.finish()
    third.finish()
  })
}

describe('§11.14.5 tasks that end implicitly leave the unit attention 47h/7Fh', () => {
  for (const [what, end] of [
    [
      'a logout of their connection',
      (session: PeerSession) => session.at(1).logout({ reasonCode: 1, cid: 2 }),
    ],
    ['the loss of their connection at ErrorRecoveryLevel 0', (session: PeerSession) => session.lose(2)],
    ['its reinstatement at ErrorRecoveryLevel 0', (session: PeerSession) => session.join(2)],
  ] as const) {
    test(`after ${what}`, () => {
      const session = new PeerSession({ host: setUp(), connections: 2 })
      ready(session.at(1))
      session.poll()
      write(session.at(2))
      end(session)
      session.poll()
      const answer = session.at(1).command(READY).at(-1)
      assert.equal(senseOf(answer).additional, CLEARED_BY_PROTOCOL)
      assert.equal(asScsi(session.at(1).command(READY).at(-1)).status, 0)
      session.finish()
    })
  }
})
