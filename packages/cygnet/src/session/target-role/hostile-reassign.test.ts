/** RFC 7143 §7.2.2, §11.5.1: TASK REASSIGN where there is nothing to reassign. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  LogoutReason,
  SnackType,
  TaskManagementFunction,
  TaskManagementResponseCode as Response,
} from '../../pdu/codes.ts'
import { encodeSnackRequest } from '../../pdu/snack.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import { PeerSession } from './peer-session.test-helper.ts'
import {
  type Answer,
  asDataIn,
  asLogout,
  asR2T,
  asReject,
  asScsi,
  asTask,
  names,
} from '../wire.test-helper.ts'

const NONE = fakeCdb(FakeOpcode.none)
const TAG = 0x100
const OTHER_TAG = 0x101
const write = { write: true, expectedDataTransferLength: 512, initiatorTaskTag: TAG }

const reassign = (session: PeerSession, cid: number, tag: number, immediate = true): Answer[] =>
  session.at(cid).taskManagement({
    function: TaskManagementFunction.taskReassign,
    referencedTaskTag: tag,
    immediate,
  })

function responseOf(answers: readonly Answer[]): number {
  assert.deepEqual(names(answers), ['Task Management Function Response'])
  return asTask(answers[0]).response
}

/** What is left of the session carries out commands; nothing stays behind. */
function assertGoesOn(session: PeerSession, cids: readonly number[]): void {
  for (const cid of cids) {
    const answers = session.at(cid).command(NONE)
    assert.equal(asScsi(answers.at(-1)).status, 0, `connection ${cid}`)
  }
  session.finish()
}

for (const level of [0, 1] as const) {
  test(`at ErrorRecoveryLevel ${level} it is not supported, whatever it is about`, () => {
    const session = new PeerSession({ level })
    const r2t = asR2T(session.at(1).command(fakeCdb(FakeOpcode.write, 512), write)[0])
    for (const cid of [1, 2]) {
      for (const tag of [TAG, OTHER_TAG, 0xffff_ffff]) {
        assert.equal(responseOf(reassign(session, cid, tag)), Response.taskReassignmentNotSupported)
      }
    }
    const data = { initiatorTaskTag: TAG, targetTransferTag: r2t.targetTransferTag }
    assert.equal(asScsi(session.at(1).dataOut(data, pattern(512))[0]).status, 0)
    assertGoesOn(session, [1, 2])
  })
}

describe('at ErrorRecoveryLevel 2', () => {
  test('a task of a live connection is still allegiant, and goes on where it is', () => {
    const session = new PeerSession({ level: 2 })
    const r2t = asR2T(session.at(1).command(fakeCdb(FakeOpcode.write, 512), write)[0])
    for (const cid of [1, 2])
      assert.equal(responseOf(reassign(session, cid, TAG)), Response.taskStillAllegiant)
    const data = { initiatorTaskTag: TAG, targetTransferTag: r2t.targetTransferTag }
    assert.deepEqual(names(session.at(2).dataOut(data, pattern(512))), ['Reject'])
    assert.equal(asScsi(session.at(1).dataOut(data, pattern(512))[0]).status, 0)
    assertGoesOn(session, [1, 2])
  })

  test('a task that is not there does not exist', () => {
    const session = new PeerSession({ level: 2 })
    for (const tag of [OTHER_TAG, 0, 0xffff_ffff]) {
      assert.equal(responseOf(reassign(session, 2, tag)), Response.taskDoesNotExist)
    }
    assertGoesOn(session, [1, 2])
  })

  test('§7.2.2 a task of a lost connection is still allegiant until that is logged out', () => {
    const session = new PeerSession({ level: 2, limits: { time2Wait: 0 } })
    session.at(2).command(fakeCdb(FakeOpcode.write, 512), write)
    session.lose(2)
    assert.equal(responseOf(reassign(session, 1, TAG)), Response.taskStillAllegiant)
    const reasonCode = LogoutReason.removeConnectionForRecovery
    assert.equal(asLogout(session.at(1).logout({ reasonCode, cid: 2 })[0]).response, 0)
    const [answer, asked] = reassign(session, 1, TAG)
    assert.equal(asTask(answer).response, Response.functionComplete)
    const r2t = asR2T(asked)
    const data = { initiatorTaskTag: TAG, targetTransferTag: r2t.targetTransferTag }
    assert.equal(asScsi(session.at(1).dataOut(data, pattern(512))[0]).status, 0)
    assertGoesOn(session, [1])
  })

  test('twice: the second time the task is allegiant to its new connection', () => {
    const session = new PeerSession({ level: 2, connections: 3, limits: { time2Wait: 0 } })
    session.at(2).command(fakeCdb(FakeOpcode.write, 512), write)
    session.lose(2)
    const reasonCode = LogoutReason.removeConnectionForRecovery
    session.at(1).logout({ reasonCode, cid: 2 })
    assert.equal(asTask(reassign(session, 1, TAG)[0]).response, Response.functionComplete)
    for (const cid of [1, 3])
      assert.equal(responseOf(reassign(session, cid, TAG)), Response.taskStillAllegiant)
    assertGoesOn(session, [1, 3])
  })

  test('§11.5.6 an ExpDataSN beyond what was sent is ignored: all of the data comes', () => {
    const session = new PeerSession({
      level: 2,
      keys: [['MaxRecvDataSegmentLength', '512']],
      limits: { time2Wait: 0 },
    })
    session.target.hold = true
    const read = { read: true, expectedDataTransferLength: 2048, initiatorTaskTag: TAG }
    session.at(2).command(fakeCdb(FakeOpcode.read, 0, 2048), read)
    session.lose(2)
    session.at(1).logout({ reasonCode: LogoutReason.removeConnectionForRecovery, cid: 2 })
    const answers = session.at(1).taskManagement({
      function: TaskManagementFunction.taskReassign,
      referencedTaskTag: TAG,
      expDataSN: 3,
    })
    assert.equal(responseOf(answers), Response.functionComplete)
    session.target.hold = false
    session.target.finishHeld()
    const dataIn = session
      .at(1)
      .poll()
      .filter(({ name }) => name === 'SCSI Data-In')
    assert.deepEqual(
      dataIn.map((answer) => asDataIn(answer).bufferOffset),
      [0, 512, 1024, 1536],
    )
    assertGoesOn(session, [1])
  })

  test('§7.2.2 a SNACK tag does not survive the reassignment', () => {
    const session = new PeerSession({ level: 2, limits: { time2Wait: 0 } })
    const expStatSN = session.at(2).expStatSN ?? 0
    const read = { read: true, expectedDataTransferLength: 512, initiatorTaskTag: TAG }
    session.at(2).command(fakeCdb(FakeOpcode.read, 0, 512), read)
    const snack = { type: SnackType.rData, lun: 0n, initiatorTaskTag: TAG, targetTransferTag: 7, expStatSN }
    const peer = session.at(2)
    const again = peer.exchange(
      peer.wire((view, at) => encodeSnackRequest(view, at, { ...snack, begRun: 0, runLength: 0 })),
    )
    assert.equal(asScsi(again.at(-1)).snackTag, 7)
    session.lose(2)
    session.at(1).logout({ reasonCode: LogoutReason.removeConnectionForRecovery, cid: 2, expStatSN })
    const [response, ...answers] = reassign(session, 1, TAG)
    assert.equal(asTask(response).response, Response.functionComplete)
    const last = answers.at(-1)
    if (last?.name === 'SCSI Response') assert.equal(asScsi(last).snackTag, 0)
    else assert.ok(asDataIn(last).hasStatus)
    session.finish()
  })

  test('§11.5.1 a task management function, and a request that is not immediate, are not reassigned', () => {
    const session = new PeerSession({ level: 2, limits: { time2Wait: 0 } })
    session.target.hold = true
    session.at(1).command(NONE, { initiatorTaskTag: TAG })
    const reset = { function: TaskManagementFunction.logicalUnitReset, initiatorTaskTag: OTHER_TAG }
    assert.deepEqual(session.at(1).taskManagement(reset), [])
    assert.equal(responseOf(reassign(session, 2, OTHER_TAG)), Response.functionRejected)
    const [answer] = reassign(session, 2, TAG, false)
    assert.ok(answer?.name === 'Reject' ? asReject(answer).reason > 0 : asTask(answer).response !== 0)
    session.target.hold = false
    session.target.finishHeld()
    session.poll()
    session.finish()
  })

  test('a flood of it changes nothing', () => {
    const session = new PeerSession({ level: 2 })
    session.at(1).command(fakeCdb(FakeOpcode.write, 512), write)
    for (let tag = 0; tag < 500; tag++) {
      const expected = tag === TAG ? Response.taskStillAllegiant : Response.taskDoesNotExist
      assert.equal(responseOf(reassign(session, 2, tag)), expected)
    }
    assertGoesOn(session, [1, 2])
  })
})
