/** RFC 7143 §4.2.2, §6.3.4 to §6.3.6, §7.14, §11.14: several connections of one session at the target. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AsyncEvent, LogoutReason, LogoutResponseCode } from '../../pdu/codes.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { encodeNopOut, type NopOut } from '../../pdu/nop.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import { PeerSession } from './peer-session.test-helper.ts'
import { namesPairs } from './peer.test-helper.ts'
import {
  type Answer,
  asAsync,
  asLogin,
  asLogout,
  asNopIn,
  asR2T,
  asReject,
  asScsi,
  names,
} from '../wire.test-helper.ts'

const NONE = fakeCdb(FakeOpcode.none)
const LEVELS = [0, 1, 2] as const

const logsOut = (answer: Answer | undefined): number => asLogout(answer).response

describe('§4.2.2.1 the commands of a session', () => {
  test('are delivered in CmdSN order, whatever connection they come over, and answered on their own', () => {
    const session = new PeerSession({ connections: 3 })
    const [a, b, c] = [session.at(1), session.at(2), session.at(3)]
    assert.deepEqual(c.command(NONE, { cmdSN: 3, initiatorTaskTag: 33 }), [])
    assert.deepEqual(b.command(NONE, { cmdSN: 2, initiatorTaskTag: 22 }), [])
    const answers = [a.command(NONE, { cmdSN: 1, initiatorTaskTag: 11 }), b.poll(), c.poll()]
    assert.deepEqual(
      answers.map((list) => list.map((answer) => asScsi(answer).initiatorTaskTag)),
      [[11], [22], [33]],
    )
    assert.deepEqual(
      session.target.submitted.map(({ tag }) => tag),
      [11, 22, 33],
    )
    session.finish()
  })

  test('have one window: a place that is taken over one connection is not free over another', () => {
    const session = new PeerSession({ limits: { commandDepth: 2 } })
    session.target.hold = true
    session.at(1).command(NONE)
    session.at(2).command(NONE)
    const nop = asNopIn(session.at(2).nopOut()[0])
    assert.equal(nop.maxCmdSN, nop.expCmdSN - 1)
    session.finish()
  })

  test('§4.2.5.1 the data of a command comes over its connection, or is rejected', () => {
    const session = new PeerSession()
    const write = { write: true, expectedDataTransferLength: 512, initiatorTaskTag: 7 }
    const [r2t] = session.at(1).command(fakeCdb(FakeOpcode.write, 512), write)
    const { targetTransferTag } = asR2T(r2t)
    const [rejected] = session.at(2).dataOut({ initiatorTaskTag: 7, targetTransferTag }, pattern(512))
    assert.equal(asReject(rejected).reason, 0x09)
    const [answer] = session.at(1).dataOut({ initiatorTaskTag: 7, targetTransferTag }, pattern(512))
    assert.equal(asScsi(answer).status, 0)
    session.finish()
  })
})

describe('§7.14 a connection that is lost', () => {
  for (const level of LEVELS) {
    test(`takes no other with it at ErrorRecoveryLevel ${level}, and the others hear of it`, () => {
      const session = new PeerSession({ level, connections: 3 })
      session.target.hold = true
      session.at(2).command(NONE)
      session.at(2).connection.transportClosed('reset', session.at(2).now)
      const told = session.poll().filter(({ name }) => name === 'Asynchronous Message')
      assert.equal(told.length, 1)
      const message = asAsync(told[0])
      assert.equal(message.asyncEvent, AsyncEvent.connectionDrop)
      assert.deepEqual(
        [message.parameter1, message.parameter2, message.parameter3],
        [2, 2, level === 2 ? 20 : 0],
      )
      session.target.hold = false
      session.target.finishHeld()
      for (const cid of [1, 3]) assert.equal(asScsi(session.at(cid).command(NONE).at(-1)).status, 0)
      session.finish()
    })
  }

  test('takes along what had not had its turn: it is accepted over another', () => {
    for (const level of LEVELS) {
      const session = new PeerSession({ level })
      assert.deepEqual(session.at(2).command(NONE, { cmdSN: 2, initiatorTaskTag: 22 }), [])
      session.lose(2)
      assert.deepEqual(names(session.at(1).command(NONE, { cmdSN: 1 })).at(-1), 'SCSI Response')
      assert.equal(session.target.submitted.length, 1)
      const [answer] = session.at(1).command(NONE, { cmdSN: 2, initiatorTaskTag: 22 })
      assert.equal(asScsi(answer).initiatorTaskTag, 22)
      session.finish()
    }
  })

  test('leaves a gap that may not stay: the session is dropped, and says so', () => {
    const session = new PeerSession({ connections: 3, limits: { nopIntervalMs: 1e6 } })
    session.lose(2)
    session.at(1).command(NONE, { cmdSN: 5 })
    const last = session.advance(22_000).filter(({ name }) => name === 'Asynchronous Message')
    assert.deepEqual(
      last.map((answer) => asAsync(answer).asyncEvent),
      [AsyncEvent.sessionDrop, AsyncEvent.sessionDrop],
    )
    assert.deepEqual(session.target.closures, ['connection-lost'])
    session.finish()
  })

  test('has its place in the command window freed, and a connection that lives says so', () => {
    const session = new PeerSession({ limits: { commandDepth: 1 } })
    session.target.hold = true
    session.at(2).command(NONE)
    session.lose(2)
    session.target.finishHeld()
    assert.ok(
      session
        .at(1)
        .poll()
        .some(({ name }) => name === 'NOP-In'),
    )
    assert.equal(session.at(1).maxCmdSN, 2)
    session.finish()
  })
})

describe('§6.3.6 the last connection', () => {
  test('takes its session with it at ErrorRecoveryLevel 0', () => {
    const session = new PeerSession({ connections: 1 })
    session.lose(1)
    assert.deepEqual(session.target.closures, ['connection-lost'])
    session.finish()
  })

  for (const level of [1, 2] as const) {
    test(`leaves a session that can be continued, at ErrorRecoveryLevel ${level}`, () => {
      for (const cid of [1, 2]) {
        const session = new PeerSession({ level, connections: 1 })
        session.lose(1)
        session.advance(21_000)
        assert.deepEqual(session.target.closures, [])
        assert.equal(asLogin(session.join(cid)[0]).statusClass, 0)
        assert.equal(asScsi(session.at(cid).command(NONE)[0]).status, 0)
        session.finish()
      }
    })

    test(`§13.16 leaves nothing where Time2Retain is 0, at ErrorRecoveryLevel ${level}`, () => {
      const session = new PeerSession({ level, keys: [['DefaultTime2Retain', '0']] })
      session.lose(1)
      session.lose(2)
      assert.deepEqual(session.target.closures, [])
      session.advance(0)
      assert.deepEqual(session.target.closures, ['connection-lost'])
      session.finish()
    })

    test(`leaves nothing after Time2Wait and Time2Retain, at ErrorRecoveryLevel ${level}`, () => {
      const session = new PeerSession({ level, connections: 1 })
      session.lose(1)
      session.advance(22_000)
      assert.deepEqual(session.target.closures, ['connection-lost'])
      session.finish()
    })
  }
})

describe('§11.14 a logout', () => {
  const { closed, cidNotFound } = LogoutResponseCode

  test('of one connection over another ends it and its tasks, without a word', () => {
    for (const level of LEVELS) {
      const session = new PeerSession({ level })
      session.target.hold = true
      session.at(2).command(NONE)
      const [answer] = session.at(1).logout({ reasonCode: LogoutReason.closeConnection, cid: 2 })
      assert.equal(logsOut(answer), closed)
      session.target.finishHeld()
      assert.deepEqual(session.at(2).poll(), [])
      assert.equal(session.at(2).state, 'closed')
      assert.equal(logsOut(session.at(1).logout({ reasonCode: 1, cid: 2 })[0]), cidNotFound)
      session.finish()
    }
  })

  test('§8.2 cleans up after a connection that was lost', () => {
    for (const level of LEVELS) {
      const session = new PeerSession({ level })
      session.lose(2)
      assert.equal(logsOut(session.at(1).logout({ reasonCode: 1, cid: 2 })[0]), closed)
      assert.equal(logsOut(session.at(1).logout({ reasonCode: 1, cid: 2 })[0]), cidNotFound)
      session.finish()
    }
  })

  test('of the last connection ends the session, unless another can still be recovered', () => {
    const session = new PeerSession({ level: 2 })
    session.lose(2)
    assert.equal(logsOut(session.at(1).logout({ reasonCode: 1, cid: 1 }).at(-1)), closed)
    assert.deepEqual(session.target.closures, [])
    session.advance(22_000)
    assert.deepEqual(session.target.closures, ['connection-lost'])
    const other = new PeerSession({ level: 2 })
    other.at(2).logout({ reasonCode: 1, cid: 2 })
    other.at(1).logout({ reasonCode: 1, cid: 1 })
    assert.deepEqual(other.target.closures, ['logout'])
  })
})

describe('§6.3.4 connection reinstatement', () => {
  test('ends the tasks of the old connection below ErrorRecoveryLevel 2', () => {
    for (const level of [0, 1] as const) {
      const session = new PeerSession({ level })
      session.target.hold = true
      session.at(2).command(NONE, { initiatorTaskTag: 5 })
      const old = session.at(2)
      assert.equal(asLogin(session.join(2)[0]).statusClass, 0)
      old.poll()
      assert.equal(old.state, 'closed')
      session.target.finishHeld()
      assert.deepEqual(names(session.poll()).includes('SCSI Response'), false)
      session.target.hold = false
      assert.equal(asScsi(session.at(2).command(NONE, { initiatorTaskTag: 5 }).at(-1)).status, 0)
      session.finish()
    }
  })
})

test('a connection whose peer does not read is dropped, and the others go on', () => {
  const session = new PeerSession({ connections: 4, limits: { nopIntervalMs: 1000, nopTimeoutMs: 1000 } })
  const stuck = session.at(4)
  for (let i = 0; i < 20; i++) stuck.feed(stuck.commandBytes(NONE))
  const others = [1, 2, 3].map((cid) => session.at(cid))
  for (let second = 0; second < 4; second++) {
    for (const peer of [...others, stuck]) peer.now += 1000
    stuck.feed(stuck.wire(() => {}))
    stuck.connection.handleTimeout(stuck.now)
    for (const peer of others)
      assert.equal(
        asScsi(
          session
            .at(others.indexOf(peer) + 1)
            .command(NONE)
            .at(-1),
        ).status,
        0,
      )
  }
  assert.equal(stuck.state, 'closed')
  session.finish()
})

test('§11.9.1 an event of a unit is reported with its sense data', () => {
  const session = new PeerSession({ connections: 1 })
  session.at(1).connection.session?.reportEvent(3n << 48n, new Uint8Array([0x70, 0, 6]))
  const [answer] = session.at(1).poll()
  assert.deepEqual([asAsync(answer).asyncEvent, asAsync(answer).lun], [AsyncEvent.scsiEvent, 3n << 48n])
  assert.deepEqual(answer?.data, new Uint8Array([0, 3, 0x70, 0, 6]))
  session.finish()
})

test('§11.14, §11.17.1 a command after a logout that waits for its turn is rejected, one before it is not', () => {
  const session = new PeerSession({ connections: 1 })
  const peer = session.at(1)
  assert.deepEqual(peer.logout({ immediate: false, cmdSN: 3 }), [])
  assert.equal(asReject(peer.command(NONE, { cmdSN: 4 })[0]).reason, 0x0c)
  assert.equal(peer.command(NONE, { cmdSN: 1 }).length, 1)
  assert.deepEqual(names(peer.command(NONE, { cmdSN: 2 })), ['SCSI Response', 'Logout Response'])
  session.finish()
})

test('§11.17.1 a peer that does not read has no room for a longer negotiation', () => {
  const session = new PeerSession({ connections: 1, limits: { textBytes: 8192 } })
  const peer = session.at(1)
  for (const initiatorTaskTag of [20, 21]) {
    const ping: NopOut = {
      immediate: true,
      dataSegmentLength: 8192,
      lun: 0n,
      initiatorTaskTag,
      targetTransferTag: RESERVED_TAG,
      cmdSN: peer.cmdSN,
      expStatSN: 0,
    }
    peer.feed(peer.wire((view, at) => encodeNopOut(view, at, ping), new Uint8Array(8192)))
  }
  const answers = peer.text([], { final: false })
  assert.equal(asReject(answers.find(({ name }) => name === 'Reject')).reason, 0x0a)
  session.finish()
})

test('§11.9.1 a session is asked to negotiate', () => {
  const session = new PeerSession({ connections: 1 })
  session.at(1).connection.requestNegotiation(7)
  const message = asAsync(session.at(1).poll()[0])
  assert.deepEqual([message.asyncEvent, message.parameter3], [AsyncEvent.negotiationRequest, 7])
  assert.equal(session.at(1).text(namesPairs().slice(0, 0)).length, 1)
  session.finish()
})
