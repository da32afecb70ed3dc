import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TestDisk } from '../device/disk.test-helper.ts'
import { encodeAhs, encodedAhsLength } from '../pdu/ahs.ts'
import { TaskManagementFunction, TaskManagementResponseCode } from '../pdu/codes.ts'
import { blockCdb } from '../scsi/cdb.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import { TaskAttribute } from '../scsi/task.ts'
import { INITIATOR_NAME, TestPeer } from '../session/target-role/peer.test-helper.ts'
import type { Answer } from '../session/wire.test-helper.ts'
import { asLogin, asScsi, asTask, names, senseOf } from '../session/wire.test-helper.ts'
import { IscsiTarget } from './iscsi-target.ts'
import { TargetNode } from './target-node.ts'

/** A session with a disk, from the bytes of its connection to those of its blocks. */

const DISK = 'iqn.2026-11.test:disk'

interface Setup {
  readonly disk: TestDisk
  readonly peer: TestPeer
}

function setUp(): Setup {
  const disk = new TestDisk(64)
  for (let i = 0; i < disk.store.bytes.length; i++) disk.store.bytes[i] = i >>> 3
  const target = new IscsiTarget({ name: DISK, units: new Map([[0, disk.unit]]), access: [{}] })
  const node = new TargetNode({ clock: { now: () => 0 }, targets: [target] })
  const peer = new TestPeer({ host: node.addPortal({ group: 1, endpoint: () => '0.0.0.0:3260' }) })
  const response = asLogin(
    peer.login([
      ['InitiatorName', INITIATOR_NAME],
      ['TargetName', DISK],
    ])[0],
  )
  assert.equal(response.statusClass, 0, peer.lastReason)
  assert.equal(senseOf(peer.command(new Uint8Array(16)).at(-1)).additional, 0x2900)
  return { disk, peer }
}

describe('bidirectional commands', () => {
  const sent = Uint8Array.from({ length: 512 }, (_, i) => i * 5)

  /** Sends 512 bytes and expects up to 1000. */
  function exchange({ peer }: Setup, cdb: Uint8Array): Answer[] {
    const ahs = {
      extendedCdb: cdb.length > 16 ? cdb.subarray(16) : undefined,
      bidirectionalReadExpectedDataTransferLength: 1000,
    }
    const bytes = new Uint8Array(encodedAhsLength(ahs))
    encodeAhs(new DataView(bytes.buffer), 0, ahs)
    const more = { read: true, write: true, expectedDataTransferLength: sent.length }
    return peer.command(cdb.subarray(0, 16), more, sent, { ahs: bytes })
  }

  function check(setup: Setup, cdb: Uint8Array): void {
    const before = Uint8Array.from(setup.disk.store.bytes.subarray(1024, 1536))
    const answers = exchange(setup, cdb)
    assert.deepEqual(names(answers), ['SCSI Data-In', 'SCSI Response'])
    assert.deepEqual(
      answers[0]?.data,
      sent.map((byte, i) => byte ^ (before[i] ?? 0)),
    )
    const response = asScsi(answers[1])
    assert.equal(response.status, ScsiStatus.good)
    assert.deepEqual([response.residualUnderflow, response.residualOverflow], [false, false])
    assert.deepEqual(
      [response.bidirectionalReadUnderflow, response.bidirectionalReadResidualCount],
      [true, 488],
    )
    assert.deepEqual(setup.disk.store.bytes.subarray(1024, 1536), sent)
    assert.equal(setup.disk.pool.inUse, 0)
    setup.peer.finish()
  }

  test('XDWRITEREAD (10) writes, and reads what changed', () => {
    check(setUp(), blockCdb(Opcode.xdWriteRead10, 2, 1))
  })

  test('XDWRITEREAD (32) comes in an extended CDB', () => {
    const cdb = new Uint8Array(32)
    cdb[0] = Opcode.variableLength
    cdb[7] = 0x18
    cdb[9] = ServiceAction.xdWriteRead32
    cdb[19] = 2
    cdb[31] = 1
    check(setUp(), cdb)
  })
})

describe('auto contingent allegiance', () => {
  const ready = new Uint8Array(16)
  const failing = blockCdb(Opcode.read10, 1000, 1)
  failing[9] = 0x04

  test('is established with NACA and ended by CLEAR ACA, which leaves nothing to hear of', () => {
    const { peer } = setUp()
    assert.equal(senseOf(peer.command(failing).at(-1)).additional, 0x2100)
    assert.equal(asScsi(peer.command(ready).at(-1)).status, ScsiStatus.acaActive)
    const answers = peer.taskManagement({ function: TaskManagementFunction.clearAca })
    assert.equal(asTask(answers.at(-1)).response, TaskManagementResponseCode.functionComplete)
    assert.equal(asScsi(peer.command(ready).at(-1)).status, ScsiStatus.good)
    peer.finish()
  })

  test('is established with NACA and ended by a reset', () => {
    const { peer } = setUp()
    assert.equal(senseOf(peer.command(failing).at(-1)).additional, 0x2100)
    assert.equal(asScsi(peer.command(ready).at(-1)).status, ScsiStatus.acaActive)
    assert.equal(asScsi(peer.command(ready, { attribute: TaskAttribute.aca }).at(-1)).status, ScsiStatus.good)
    const answers = peer.taskManagement({ function: TaskManagementFunction.logicalUnitReset })
    assert.equal(asTask(answers.at(-1)).response, TaskManagementResponseCode.functionComplete)
    assert.equal(senseOf(peer.command(ready).at(-1)).additional, 0x2903)
    assert.equal(asScsi(peer.command(ready).at(-1)).status, ScsiStatus.good)
    peer.finish()
  })

  test('does not outlive its session', () => {
    const { disk, peer } = setUp()
    peer.command(failing)
    peer.finish()
    assert.equal(disk.run(ready).status, ScsiStatus.good)
  })
})
