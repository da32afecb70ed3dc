/** RFC 7143 §4.2.2, §6.3, §11.14: what the connections of one session may do to each other. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { serialAdd } from '../../base/serial32.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import {
  LogoutReason,
  LogoutResponseCode,
  RejectReason,
  TaskManagementFunction,
  TaskManagementResponseCode,
} from '../../pdu/codes.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import { PeerSession } from './peer-session.test-helper.ts'
import { namesPairs } from './peer.test-helper.ts'
import {
  type Answer,
  asLogin,
  asLogout,
  asR2T,
  asReject,
  asScsi,
  asTask,
  names,
} from '../wire.test-helper.ts'

const NONE = fakeCdb(FakeOpcode.none)

/** The logged-in connections carry out commands; nothing is left. */
function assertGoesOn(session: PeerSession, cids: readonly number[]): void {
  session.target.hold = false
  session.target.finishHeld()
  session.poll()
  // Acknowledges what was answered, and then what a response fence has held back (§4.2.2.3.3).
  for (const cid of [...cids, ...cids]) session.at(cid).nopOut({ initiatorTaskTag: RESERVED_TAG })
  session.poll()
  for (const cid of cids) {
    const answers = session.at(cid).command(NONE)
    assert.equal(asScsi(answers.at(-1)).status, 0, `connection ${cid}`)
  }
  session.finish()
}

const statusOf = (answers: readonly Answer[]): string => {
  const { statusClass, statusDetail } = asLogin(answers[0])
  return `0${statusClass}0${statusDetail.toString(16)}`
}

describe('a login that joins a session', () => {
  test('is one too many after MaxConnections: 0206', () => {
    const session = new PeerSession({ connections: 32 })
    for (let round = 0; round < 50; round++) assert.equal(statusOf(session.join(33)), '0206')
    assertGoesOn(session, [1, 2, 31, 32])
  })

  test('of a storm gets in while there is a place, and no further', () => {
    const session = new PeerSession({ connections: 30 })
    const storm = Array.from({ length: 100 }, (_, index) => 31 + index)
    const begun = storm.filter((cid) => {
      const peer = session.connect(cid)
      return statusOf(peer.login(namesPairs(), { cid, transit: false })) === '0000'
    })
    const logged = begun.filter((cid) => {
      const peer = session.peers[cid - 1]
      assert.ok(peer)
      return statusOf(peer.login([], { cid })) === '0000'
    })
    assert.deepEqual(logged, [31, 32])
    assertGoesOn(session, [1, 30, 31, 32])
  })
})

describe('§4.2.2.1 on other connections', () => {
  test('a duplicate of a command is ignored silently, at work or done', () => {
    const session = new PeerSession()
    session.target.hold = true
    const more = { cmdSN: session.cmdSN, initiatorTaskTag: 77 }
    assert.deepEqual(session.at(1).command(NONE, more), [])
    assert.deepEqual(session.at(2).command(NONE, more), [])
    session.target.finishHeld()
    assert.deepEqual(names(session.at(1).poll()), ['SCSI Response'])
    assert.deepEqual(session.at(2).command(NONE, more), [])
    assert.deepEqual(session.at(2).command(NONE, { ...more, initiatorTaskTag: 78 }), [])
    assert.equal(session.target.submitted.length, 1)
    for (const peer of session.peers) peer.cmdSN = serialAdd(more.cmdSN, 1)
    assertGoesOn(session, [1, 2])
  })

  test('a duplicate of a command that is held behind a gap is ignored silently', () => {
    const session = new PeerSession()
    const { cmdSN } = session
    const held = { cmdSN: serialAdd(cmdSN, 1), initiatorTaskTag: 77 }
    assert.deepEqual(session.at(2).command(NONE, held), [])
    assert.deepEqual(session.at(1).command(NONE, held), [])
    assert.deepEqual(session.at(1).command(NONE, { ...held, initiatorTaskTag: 78 }), [])
    assert.deepEqual(names(session.at(1).command(NONE, { cmdSN, initiatorTaskTag: 76 })), ['SCSI Response'])
    assert.deepEqual(names(session.at(2).poll()), ['SCSI Response'])
    assert.deepEqual(
      session.target.submitted.map(({ tag }) => tag),
      [76, 77],
    )
    for (const peer of session.peers) peer.cmdSN = serialAdd(cmdSN, 2)
    assertGoesOn(session, [1, 2])
  })

  test('a command outside the window is ignored silently', () => {
    const session = new PeerSession({ limits: { commandDepth: 4 } })
    const { cmdSN } = session
    for (const distance of [-1, 4, 5, 0x7fff_ffff, 0x8000_0000]) {
      assert.deepEqual(session.at(2).command(NONE, { cmdSN: serialAdd(cmdSN, distance) }), [])
    }
    assert.equal(session.target.submitted.length, 0)
    for (const peer of session.peers) peer.cmdSN = cmdSN
    assertGoesOn(session, [1, 2])
  })

  test('a tag that is in use is rejected: task in progress', () => {
    const session = new PeerSession()
    session.target.hold = true
    session.at(1).command(NONE, { initiatorTaskTag: 77 })
    const { cmdSN } = session
    const [answer] = session.at(2).command(NONE, { initiatorTaskTag: 77, cmdSN })
    assert.equal(asReject(answer).reason, RejectReason.taskInProgress)
    assertGoesOn(session, [1, 2])
  })
})

test('§4.2.5.1 Data-Out on another connection than its command is rejected, and the transfer goes on', () => {
  const session = new PeerSession()
  const write = { write: true, expectedDataTransferLength: 512, initiatorTaskTag: 77 }
  const r2t = asR2T(session.at(1).command(fakeCdb(FakeOpcode.write, 512), write)[0])
  const data = { initiatorTaskTag: 77, targetTransferTag: r2t.targetTransferTag }
  const [answer] = session.at(2).dataOut(data, pattern(512).fill(0xff))
  assert.equal(asReject(answer).reason, RejectReason.invalidPduField)
  assert.equal(asScsi(session.at(1).dataOut(data, pattern(512))[0]).status, 0)
  assert.deepEqual(session.target.written.get(77), pattern(512))
  assertGoesOn(session, [1, 2])
})

describe('§11.14 a logout', () => {
  const { closeConnection, removeConnectionForRecovery } = LogoutReason
  const { closed, cidNotFound, recoveryNotSupported } = LogoutResponseCode

  test('of another connection closes that one, with its tasks; the others go on', () => {
    const session = new PeerSession({ connections: 3 })
    session.target.hold = true
    session.at(2).command(NONE)
    session.at(3).command(NONE, { initiatorTaskTag: 88 })
    const answers = session.at(1).logout({ reasonCode: closeConnection, cid: 2 })
    session.target.finishHeld()
    const all = [...answers, ...session.at(1).poll()]
    assert.equal(asLogout(all[0]).response, closed)
    assert.equal(session.at(2).state, 'closed')
    assert.deepEqual(session.at(2).poll(), [])
    assert.equal(asScsi(session.at(3).poll()[0]).initiatorTaskTag, 88)
    assertGoesOn(session, [1, 3])
  })

  test('of connections that are not there says so, again and again', () => {
    const session = new PeerSession()
    for (let cid = 3; cid < 100; cid++) {
      for (const reasonCode of [closeConnection, removeConnectionForRecovery]) {
        const { response } = asLogout(session.at(1).logout({ reasonCode, cid })[0])
        assert.ok([cidNotFound, recoveryNotSupported].includes(response as 1 | 2))
      }
    }
    assertGoesOn(session, [1, 2])
  })

  test('for recovery, of a live connection, is not supported below ErrorRecoveryLevel 2', () => {
    for (const level of [0, 1] as const) {
      const session = new PeerSession({ level })
      const answers = session.at(1).logout({ reasonCode: removeConnectionForRecovery, cid: 2 })
      assert.equal(asLogout(answers[0]).response, recoveryNotSupported)
      assertGoesOn(session, [1, 2])
    }
  })

  test('with a reason that nobody knows does nothing', () => {
    const session = new PeerSession()
    for (const reasonCode of [3, 4, 64, 127]) {
      const [answer] = session.at(1).logout({ reasonCode, cid: 2 })
      assert.equal(asReject(answer).reason, RejectReason.invalidPduField, `reason ${reasonCode}`)
    }
    assertGoesOn(session, [1, 2])
  })

  test('of the session ends every connection of it', () => {
    const session = new PeerSession({ connections: 4 })
    assert.equal(asLogout(session.at(3).logout({ reasonCode: 0, cid: 3 })[0]).response, closed)
    for (const cid of [1, 2, 3, 4]) {
      session.at(cid).poll()
      assert.equal(session.at(cid).state, 'closed', `connection ${cid}`)
    }
    session.finish()
  })
})

test('§7.7 a format error ends every connection of the session, whatever the ErrorRecoveryLevel', () => {
  for (const level of [0, 1, 2] as const) {
    const session = new PeerSession({ level, connections: 3 })
    const peer = session.at(2)
    const tooLong = new Uint8Array(512 * 1024)
    assert.deepEqual(peer.nopOut({}, tooLong), [])
    assert.match(peer.lastReason, /data segment of 524288 bytes/)
    for (const { connection } of session.peers) assert.equal(connection.state, 'closed')
    assert.equal(session.target.sessions.size, 0)
    session.finish()
  }
})

describe('floods', () => {
  test('§6.3.4 a connection that is reinstated again and again leaves nothing behind', () => {
    for (const level of [0, 1, 2] as const) {
      const session = new PeerSession({ level, limits: { time2Wait: 0 } })
      session.target.hold = true
      for (let round = 0; round < 100; round++) {
        session.at(2).command(NONE)
        assert.equal(statusOf(session.join(2)), '0000', session.at(2).lastReason)
        session.target.finishHeld()
      }
      assertGoesOn(session, [1, 2])
    }
  })

  test('§11.17.1 immediate commands are taken up to their limit, and each connection always has a place for one', () => {
    const session = new PeerSession({ limits: { immediateDepth: 8 } })
    session.target.hold = true
    let rejected = 0
    for (let round = 0; round < 500; round++) {
      const [answer] = session.at(1).command(NONE, { immediate: true })
      if (answer) {
        assert.equal(asReject(answer).reason, RejectReason.immediateCommandReject)
        rejected++
      }
    }
    assert.ok(rejected >= 490, `${rejected} rejected`)
    assert.deepEqual(session.at(2).command(NONE, { immediate: true }), [], '§4.2.2.1')
    const ping = session.at(2).nopOut({ immediate: true })
    assert.deepEqual(names(ping), ['NOP-In'])
    const abort = session.at(2).taskManagement({ function: TaskManagementFunction.abortTask })
    assert.deepEqual(names(abort), ['Task Management Function Response'])
    assertGoesOn(session, [1, 2])
  })

  test('§4.2.2.1 so are task management functions, whatever another connection does', () => {
    const session = new PeerSession({ limits: { immediateDepth: 4 } })
    const { logicalUnitReset, abortTaskSet } = TaskManagementFunction
    const write = { write: true, expectedDataTransferLength: 512 }
    // The functions wait for its data.
    session.at(1).command(fakeCdb(FakeOpcode.write, 512), write)
    for (let round = 0; round < 100; round++) {
      const answers = session.at(1).taskManagement({ function: abortTaskSet })
      if (round >= 4) assert.equal(asReject(answers[0]).reason, RejectReason.immediateCommandReject)
    }
    const reset = session.at(2).taskManagement({ function: logicalUnitReset })
    assert.ok(!names(reset).includes('Reject'))
    const more = session.at(2).taskManagement({ function: logicalUnitReset })
    assert.equal(asReject(more[0]).reason, RejectReason.immediateCommandReject)
    session.finish()
  })
})

test('task management functions that are not immediate have the same limit', () => {
  const session = new PeerSession({ connections: 1, limits: { immediateDepth: 4, drainTimeoutMs: 1000 } })
  const write = { write: true, expectedDataTransferLength: 512 }
  session.at(1).command(fakeCdb(FakeOpcode.write, 512), write)
  const { abortTaskSet } = TaskManagementFunction
  const flood = Array.from({ length: 100 }, () =>
    session.at(1).taskManagement({ function: abortTaskSet, immediate: false }),
  )
  assert.equal(session.peers[0]?.connection.session?.managementTags.size, 4)
  for (const answers of flood.slice(4)) {
    assert.equal(asTask(answers[0]).response, TaskManagementResponseCode.functionRejected)
  }
  const late = session.at(1).advance(1000)
  assert.equal(late.filter(({ name }) => name === 'Task Management Function Response').length, 4)
  assertGoesOn(session, [1])
})

describe('§7.14 connections that are lost again and again', () => {
  test('leave no more than 64 with tasks: those of the oldest end', () => {
    const session = new PeerSession({ level: 2, limits: { commandDepth: 1024 } })
    session.target.hold = true
    for (let round = 0; round < 100; round++) {
      session.at(2).command(NONE)
      assert.equal(statusOf(session.join(2)), '0000', session.at(2).lastReason)
    }
    assert.equal(session.peers[0]?.connection.session?.taskCount, 100)
    session.target.finishHeld()
    assert.equal(session.peers[0]?.connection.session?.taskCount, 64)
    assertGoesOn(session, [1, 2])
  })

  test('do no harm where the end of their tasks ends the session', () => {
    for (const level of [0, 1] as const) {
      const session = new PeerSession({ level })
      session.target.hold = true
      session.at(2).command(NONE)
      const served = session.at(1).connection.session
      session.target.tasksCleared = () => served?.drop('as after TARGET COLD RESET')
      session.lose(2)
      assert.equal(session.target.sessions.size, 0)
      session.finish()
    }
  })
})

describe('§4.2.2.2 an ExpStatSN of the future', () => {
  for (const level of [0, 1, 2] as const) {
    for (const ahead of [1, 1000, 0x7fff_ffff, 0x8000_0000]) {
      test(`by ${ahead} at ErrorRecoveryLevel ${level} changes nothing for the others`, () => {
        const session = new PeerSession({ level })
        const liar = session.at(2)
        const expStatSN = serialAdd(liar.expStatSN ?? 0, ahead)
        liar.command(NONE, { expStatSN })
        liar.nopOut({ expStatSN })
        assertGoesOn(session, liar.state === 'closed' ? [1] : [1, 2])
      })
    }
  }
})
