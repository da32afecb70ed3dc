/** RFC 7143 §7.1.4.3, §7.2.2, §11.5.6, §11.14: connection recovery at the target. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LogoutReason, TaskManagementFunction, TaskManagementResponseCode } from '../../pdu/codes.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import { PeerSession } from './peer-session.test-helper.ts'
import {
  type Answer,
  asDataIn,
  asLogin,
  asLogout,
  asR2T,
  asScsi,
  asTask,
  names,
  senseOf,
} from '../wire.test-helper.ts'

const Response = TaskManagementResponseCode
const NONE = fakeCdb(FakeOpcode.none)
const SMALL = [
  ['MaxRecvDataSegmentLength', '512'],
  ['MaxBurstLength', '1024'],
  ['FirstBurstLength', '1024'],
] as const

const recoverable = (connections = 2, options = {}): PeerSession =>
  new PeerSession({ level: 2, connections, keys: SMALL, ...options })

/** CID 2 is lost, and logged out for recovery over CID 1. */
function recover(session: PeerSession, expStatSN?: number): void {
  session.lose(2)
  const more = expStatSN === undefined ? {} : { expStatSN }
  const [answer] = session
    .at(1)
    .logout({ reasonCode: LogoutReason.removeConnectionForRecovery, cid: 2, ...more })
  const response = asLogout(answer)
  assert.deepEqual([response.response, response.time2Retain], [0, 20])
}

const reassign = (session: PeerSession, referencedTaskTag: number, expDataSN = 0, cid = 1): Answer[] =>
  session.at(cid).taskManagement({
    function: TaskManagementFunction.taskReassign,
    referencedTaskTag,
    expDataSN,
    initiatorTaskTag: 0x9999,
  })

const responseOf = (answers: readonly Answer[]): number => asTask(answers[0]).response

describe('§7.2.2 a task that is reassigned', () => {
  test('while it is with its unit is answered on its new connection', () => {
    const session = recoverable()
    session.target.hold = true
    session.at(2).command(NONE, { initiatorTaskTag: 5 })
    recover(session)
    assert.deepEqual(names(reassign(session, 5)), ['Task Management Function Response'])
    session.target.finishHeld()
    assert.equal(asScsi(session.at(1).poll()[0]).initiatorTaskTag, 5)
    assert.equal(session.at(1).connection.counters.taskReassign, 1)
    session.finish()
  })

  test('that was finished meanwhile is answered after the response to the request', () => {
    const session = recoverable()
    session.target.hold = true
    session.at(2).command(NONE, { initiatorTaskTag: 5 })
    recover(session)
    session.target.finishHeld()
    assert.deepEqual(names(session.poll()), [])
    assert.deepEqual(names(reassign(session, 5)), ['Task Management Function Response', 'SCSI Response'])
    session.finish()
  })

  test('§11.5.6 goes on with the Data-In that was not acknowledged, cut for its new connection', () => {
    const session = recoverable()
    const more = { read: true, expectedDataTransferLength: 2048, initiatorTaskTag: 5 }
    const before = session.at(2).expStatSN ?? 0
    const sent = session.at(2).command(fakeCdb(FakeOpcode.read, 0, 2048), more)
    assert.equal(sent.length, 2)
    recover(session, before)
    const answers = reassign(session, 5, 1)
    assert.deepEqual(names(answers), ['Task Management Function Response', 'SCSI Data-In', 'SCSI Data-In'])
    assert.deepEqual(
      answers.slice(1).map((answer) => [asDataIn(answer).dataSN, asDataIn(answer).bufferOffset]),
      [
        [1, 1024],
        [2, 1536],
      ],
    )
    assert.ok(asDataIn(answers[2]).hasStatus)
    session.finish()
  })

  test('has its unacknowledged status sent again, and an acknowledged one not', () => {
    const session = recoverable()
    const before = session.at(2).expStatSN ?? 0
    session.at(2).command(NONE, { initiatorTaskTag: 5 })
    session.at(2).command(NONE, { initiatorTaskTag: 6, expStatSN: before })
    recover(session, before + 1)
    assert.equal(responseOf(reassign(session, 5)), Response.taskDoesNotExist)
    assert.deepEqual(names(reassign(session, 6)), ['Task Management Function Response', 'SCSI Response'])
    assert.equal(session.at(1).connection.counters.statusResent, 1)
    session.finish()
  })

  test('has its R2T sent again, for what has not come', () => {
    const session = recoverable()
    const more = { write: true, expectedDataTransferLength: 2048, initiatorTaskTag: 5 }
    const [first] = session.at(2).command(fakeCdb(FakeOpcode.write, 2048), more)
    const { targetTransferTag } = asR2T(first)
    const part = { initiatorTaskTag: 5, targetTransferTag, final: false }
    session.at(2).dataOut(part, pattern(512))
    recover(session)
    const answers = reassign(session, 5, 1)
    assert.deepEqual(names(answers), ['Task Management Function Response', 'Ready To Transfer'])
    const r2t = asR2T(answers[1])
    assert.deepEqual([r2t.r2tSN, r2t.bufferOffset, r2t.desiredDataTransferLength], [1, 512, 1024])
    const next = session
      .at(1)
      .dataOut(
        { ...part, targetTransferTag: r2t.targetTransferTag, bufferOffset: 512, final: true },
        pattern(1024, 512),
      )
    const last = asR2T(next[0])
    const end = { initiatorTaskTag: 5, targetTransferTag: last.targetTransferTag, bufferOffset: 1536 }
    assert.equal(asScsi(session.at(1).dataOut(end, pattern(512, 1536))[0]).status, 0)
    assert.deepEqual(session.target.written.get(5), pattern(2048))
    session.finish()
  })

  test('whose data was not kept ends with CHECK CONDITION', () => {
    const session = recoverable(2, { limits: { retainedDataBytes: 100 } })
    const before = session.at(2).expStatSN ?? 0
    for (const initiatorTaskTag of [5, 6]) {
      const more = { read: true, expectedDataTransferLength: 1024, initiatorTaskTag, expStatSN: before }
      session.at(2).command(fakeCdb(FakeOpcode.read, 0, 1024), more)
    }
    recover(session, before)
    const answers = reassign(session, 5)
    assert.deepEqual(names(answers), ['Task Management Function Response', 'SCSI Response'])
    assert.equal(senseOf(answers[1]).additional, 0x1113)
    assert.deepEqual(names(reassign(session, 6)).slice(1), ['SCSI Data-In', 'SCSI Data-In'])
    session.finish()
  })

  test('§6.3.4 after a login that took the place of its connection', () => {
    const session = recoverable(1)
    session.target.hold = true
    session.at(1).command(NONE, { initiatorTaskTag: 5 })
    assert.equal(asLogin(session.join(1)[0]).statusClass, 0)
    assert.equal(responseOf(reassign(session, 5)), Response.functionComplete)
    session.target.finishHeld()
    assert.equal(asScsi(session.at(1).poll()[0]).initiatorTaskTag, 5)
    session.finish()
  })

  test('from its own logout for recovery to a connection that lives', () => {
    const session = recoverable()
    session.target.hold = true
    session.at(2).command(NONE, { initiatorTaskTag: 5 })
    assert.equal(asLogout(session.at(2).logout({ reasonCode: 2, cid: 2 })[0]).response, 0)
    assert.equal(session.at(2).state, 'closed')
    assert.equal(responseOf(reassign(session, 5)), Response.functionComplete)
    session.target.finishHeld()
    assert.equal(asScsi(session.at(1).poll()[0]).initiatorTaskTag, 5)
    session.finish()
  })
})

test('§7.5 before Time2Wait is over, which is for the initiator to wait, a logout and a reassignment are served', () => {
  const session = recoverable(2, { keys: [...SMALL, ['DefaultTime2Wait', '3600']] })
  session.target.hold = true
  session.at(2).command(NONE, { initiatorTaskTag: 5 })
  recover(session)
  assert.equal(responseOf(reassign(session, 5)), Response.functionComplete)
  session.target.finishHeld()
  assert.equal(asScsi(session.at(1).poll()[0]).initiatorTaskTag, 5)
  session.finish()
})

describe('§11.6.1 a request that is refused', () => {
  test('for a task that is still allegiant, to a connection that lives or was not logged out', () => {
    const session = recoverable()
    session.target.hold = true
    session.at(2).command(NONE, { initiatorTaskTag: 5 })
    assert.equal(responseOf(reassign(session, 5)), Response.taskStillAllegiant)
    session.lose(2)
    assert.equal(responseOf(reassign(session, 5)), Response.taskStillAllegiant)
    session.finish()
  })

  test('for a task that is not there, or is no SCSI command', () => {
    const session = recoverable()
    assert.equal(responseOf(reassign(session, 5)), Response.taskDoesNotExist)
    session.target.hold = true
    session.at(1).command(NONE, { initiatorTaskTag: 6 })
    session.at(1).taskManagement({ function: 5, initiatorTaskTag: 7 })
    assert.equal(responseOf(reassign(session, 7)), Response.functionRejected)
    session.finish()
  })

  test('for a command that was immediate, as those end with their connection', () => {
    const session = recoverable()
    session.target.hold = true
    session.at(2).command(NONE, { initiatorTaskTag: 5, immediate: true })
    recover(session)
    session.target.finishHeld()
    assert.equal(responseOf(reassign(session, 5)), Response.taskDoesNotExist)
    session.finish()
  })

  test('after Time2Wait and Time2Retain: the task has ended', () => {
    const session = recoverable()
    session.target.hold = true
    session.at(2).command(NONE, { initiatorTaskTag: 5 })
    recover(session)
    session.advance(21_999)
    session.target.finishHeld()
    session.advance(1)
    session.poll()
    assert.equal(responseOf(reassign(session, 5)), Response.taskDoesNotExist)
    assert.equal(session.at(1).connection.counters.time2RetainExpired, 1)
    session.finish()
  })
})

test('§11.5.1 ABORT TASK over another connection sends the status again, and then its response', () => {
  const session = recoverable()
  const before = session.at(2).expStatSN ?? 0
  session.at(2).command(NONE, { initiatorTaskTag: 5 })
  recover(session, before)
  const answers = session.at(1).taskManagement({ function: 1, referencedTaskTag: 5, refCmdSN: 1 })
  assert.deepEqual(names(answers), ['SCSI Response', 'Task Management Function Response'])
  session.finish()
})
