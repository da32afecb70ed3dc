/** RFC 7143 §4.2 and §11: what holds for every PDU of a target in the full feature phase. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { serialLess } from '../../packages/cygnet/src/base/serial32.ts'
import { TaskManagementFunction } from '../../packages/cygnet/src/pdu/codes.ts'
import {
  FakeOpcode,
  fakeCdb,
  pattern,
} from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import type { Pair } from '../../packages/cygnet/src/session/negotiator.ts'
import { namesPairs, TestPeer } from '../../packages/cygnet/src/session/target-role/peer.test-helper.ts'
import {
  type Answer,
  asDataIn,
  asNopIn,
  asR2T,
  asReject,
  asScsi,
  names,
} from '../../packages/cygnet/src/session/wire.test-helper.ts'

const NONE = fakeCdb(FakeOpcode.none)
const RESERVED = 0xffff_ffff

function loggedIn(
  more: readonly Pair[] = [],
  options: ConstructorParameters<typeof TestPeer>[0] = {},
): TestPeer {
  const peer = new TestPeer(options)
  peer.logIn(more)
  return peer
}

const read = (peer: TestPeer, lengthBytes: number, expectedBytes = lengthBytes): Answer[] =>
  peer.command(fakeCdb(FakeOpcode.read, 0, lengthBytes), {
    read: true,
    expectedDataTransferLength: expectedBytes,
  })

const write = (peer: TestPeer, lengthBytes: number): Answer[] =>
  peer.command(fakeCdb(FakeOpcode.write, lengthBytes), {
    write: true,
    expectedDataTransferLength: lengthBytes,
  })

test('§4.2.2.1 a response or Data-In with status acknowledges its command at the latest', () => {
  const peer = loggedIn()
  for (const send of [() => peer.command(NONE), () => read(peer, 512), () => read(peer, 0)]) {
    const { cmdSN } = peer
    const last = send().at(-1)
    assert.ok(last)
    assert.ok(serialLess(cmdSN, last.view.getUint32(28)), last.name)
  }
  peer.finish()
})

test('§4.2.2.1 a retry of a command that is at work is ignored, and of one that is done as well', () => {
  const peer = loggedIn()
  peer.target.hold = true
  const command = { cmdSN: peer.cmdSN, initiatorTaskTag: 5 }
  peer.command(NONE, command)
  assert.deepEqual(peer.command(NONE, command), [])
  peer.target.finishHeld()
  assert.deepEqual(names(peer.poll()), ['SCSI Response'])
  assert.deepEqual(peer.command(NONE, command), [])
  assert.equal(peer.target.submitted.length, 1)
  peer.finish()
})

test('§4.2.4 a Login Request after the login does not begin another', () => {
  const peer = loggedIn()
  const { state } = peer
  const answers = peer.login(namesPairs())
  assert.ok(answers.every(({ name }) => name === 'Reject'))
  assert.ok([state, 'closed'].includes(peer.state))
  peer.finish()
})

test('§4.2.4 any other PDU than a Login Request during the login is told 020b', () => {
  const peer = new TestPeer()
  peer.login(namesPairs(), { transit: false })
  const [answer] = peer.nopOut()
  assert.deepEqual([answer?.view.getUint8(36), answer?.view.getUint8(37)], [2, 0x0b])
  assert.equal(peer.state, 'closed')
  peer.finish()
})

describe('§11 PDUs without data', () => {
  test('task management and logout responses and R2Ts have a DataSegmentLength of 0', () => {
    const peer = loggedIn()
    const r2t = write(peer, 512)
    const abort = { function: TaskManagementFunction.abortTask, referencedTaskTag: 1, refCmdSN: 1 }
    const answers = [...r2t, ...peer.taskManagement(abort), ...peer.logout()]
    assert.deepEqual(names(answers), [
      'Ready To Transfer',
      'Task Management Function Response',
      'Logout Response',
    ])
    // That none has an AHS, every answer is checked for.
    for (const { data, name } of answers) assert.equal(data.length, 0, name)
    peer.finish()
  })
})

describe('§11.3 SCSI Command', () => {
  test('§11.3.1 without W and F it is rejected', () => {
    const peer = loggedIn()
    const [answer] = peer.command(NONE, { final: false, cmdSN: 1 })
    assert.equal(asReject(answer).reason, 0x04)
    peer.finish()
  })
})

describe('§11.4 SCSI Response', () => {
  test('§11.4.8 ExpDataSN is 0 where no Data-In was sent', () => {
    const peer = loggedIn()
    assert.equal(asScsi(peer.command(NONE)[0]).expDataSN, 0)
    const r2t = asR2T(write(peer, 512)[0])
    const data = { initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t.targetTransferTag }
    assert.equal(asScsi(peer.dataOut(data, pattern(512))[0]).expDataSN, 0)
    peer.finish()
  })
})

describe('§11.7 data', () => {
  test('§11.7.2 the A bit is never set at ErrorRecoveryLevel 0', () => {
    const keys: readonly Pair[] = [
      ['MaxRecvDataSegmentLength', '512'],
      ['MaxBurstLength', '1024'],
      ['FirstBurstLength', '512'],
    ]
    const peer = loggedIn(keys)
    const dataIn = read(peer, 10_000).map((answer) => asDataIn(answer))
    assert.equal(dataIn.length, 20)
    for (const { acknowledge, targetTransferTag } of dataIn) {
      assert.deepEqual([acknowledge, targetTransferTag], [false, RESERVED])
    }
    peer.finish()
  })

  test('§11.7.7 a Data-Out without data is taken', () => {
    const peer = loggedIn()
    const r2t = asR2T(write(peer, 512)[0])
    const tags = { initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t.targetTransferTag }
    assert.deepEqual(peer.dataOut({ ...tags, final: false }, new Uint8Array(0)), [])
    assert.equal(asScsi(peer.dataOut({ ...tags, dataSN: 1 }, pattern(512))[0]).status, 0)
    peer.finish()
  })
})

describe('§11.8 R2T', () => {
  test('asks for 1 byte up to MaxBurstLength, with a transfer tag that is not reserved', () => {
    const peer = loggedIn([
      ['MaxBurstLength', '1024'],
      ['FirstBurstLength', '512'],
      ['MaxOutstandingR2T', '4'],
    ])
    const r2ts = write(peer, 3000).map((answer) => asR2T(answer))
    assert.deepEqual(
      r2ts.map(({ desiredDataTransferLength, bufferOffset }) => [bufferOffset, desiredDataTransferLength]),
      [
        [0, 1024],
        [1024, 1024],
        [2048, 952],
      ],
      '§11.8 continuous and not overlapping',
    )
    for (const { targetTransferTag } of r2ts) assert.notEqual(targetTransferTag, RESERVED)
    peer.finish()
  })
})

describe('§11.19 NOP-In', () => {
  test('echoes as much of the ping as the initiator takes', () => {
    const peer = loggedIn([['MaxRecvDataSegmentLength', '512']])
    const [answer] = peer.nopOut({}, pattern(2000))
    assert.deepEqual(answer?.data, pattern(512))
    peer.finish()
  })

  test('of its own has no task tag and no data', () => {
    const peer = loggedIn([], { limits: { nopIntervalMs: 1000, nopTimeoutMs: 300 } })
    const [answer] = peer.advance(1000)
    assert.equal(asNopIn(answer).initiatorTaskTag, RESERVED)
    assert.equal(answer?.data.length, 0)
    peer.finish()
  })
})
