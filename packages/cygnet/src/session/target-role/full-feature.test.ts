import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeSnackRequest } from '../../pdu/snack.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import { FakeOpcode, fakeCdb } from './fake-target.test-helper.ts'
import type { Pair } from '../negotiator.ts'
import { INITIATOR_NAME, TestPeer } from './peer.test-helper.ts'
import { asAsync, asLogout, asNopIn, asReject, asScsi, names } from '../wire.test-helper.ts'

const NONE = 0xffff_ffff

function loggedIn(
  options: ConstructorParameters<typeof TestPeer>[0] = {},
  more: readonly Pair[] = [],
): TestPeer {
  const peer = new TestPeer(options)
  peer.logIn(more)
  return peer
}

function discovery(options: ConstructorParameters<typeof TestPeer>[0] = {}): TestPeer {
  const peer = new TestPeer(options)
  peer.login([
    ['InitiatorName', INITIATOR_NAME],
    ['SessionType', 'Discovery'],
  ])
  assert.equal(peer.state, 'full-feature')
  return peer
}

describe('§4.2.2.1 command numbering', () => {
  test('commands are carried out in CmdSN order', () => {
    const peer = loggedIn()
    const tags = [13, 12, 11]
    const answers = [3, 2, 1].flatMap((cmdSN, i) =>
      peer.command(fakeCdb(FakeOpcode.none), { cmdSN, initiatorTaskTag: tags[i] ?? 0 }),
    )
    assert.deepEqual(
      answers.map((answer) => asScsi(answer).initiatorTaskTag),
      [11, 12, 13],
    )
    peer.finish()
  })

  test('duplicates and commands outside the window are ignored silently', () => {
    const peer = loggedIn({ limits: { commandDepth: 4 } })
    for (const cmdSN of [0, 5, 0x8000_0000]) {
      assert.deepEqual(peer.command(fakeCdb(FakeOpcode.none), { cmdSN }), [])
    }
    assert.equal(peer.command(fakeCdb(FakeOpcode.none)).length, 1)
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 1 }), [])
    assert.equal(peer.target.submitted.length, 1)
    peer.finish()
  })

  test('the window closes when all places are taken and opens with each response', () => {
    const peer = loggedIn({ limits: { commandDepth: 2 } })
    peer.target.hold = true
    peer.command(fakeCdb(FakeOpcode.none))
    peer.command(fakeCdb(FakeOpcode.none))
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 3 }), [])
    const nop = asNopIn(peer.nopOut()[0])
    assert.equal(nop.maxCmdSN, nop.expCmdSN - 1)
    peer.target.finishHeld(1)
    const response = asScsi(peer.poll()[0])
    assert.equal(response.maxCmdSN, response.expCmdSN)
    assert.equal(peer.target.submitted.length, 2)
    peer.command(fakeCdb(FakeOpcode.none))
    assert.equal(peer.target.submitted.length, 3)
    peer.finish()
  })

  test('an immediate command overtakes commands that are held, and takes no place', () => {
    const peer = loggedIn({ limits: { commandDepth: 1 } })
    peer.target.hold = true
    peer.command(fakeCdb(FakeOpcode.none))
    peer.target.hold = false
    const answers = peer.command(fakeCdb(FakeOpcode.none), { immediate: true })
    assert.deepEqual(names(answers), ['SCSI Response'])
    assert.equal(asScsi(answers[0]).maxCmdSN, 1)
    peer.finish()
  })

  test('§11.17.1 too many immediate commands are rejected, and may be sent again', () => {
    const peer = loggedIn({ limits: { immediateDepth: 2 } })
    peer.target.hold = true
    for (let i = 0; i < 2; i++) peer.command(fakeCdb(FakeOpcode.none), { immediate: true })
    const [rejected] = peer.command(fakeCdb(FakeOpcode.none), { immediate: true })
    assert.equal(asReject(rejected).reason, 0x06)
    peer.target.hold = false
    peer.target.finishHeld()
    peer.poll()
    assert.equal(peer.command(fakeCdb(FakeOpcode.none), { immediate: true })[0]?.name, 'SCSI Response')
    peer.finish()
  })

  test('§11.17.1 a tag that is in use is rejected, and its CmdSN is not received (§7.3)', () => {
    const peer = loggedIn()
    peer.target.hold = true
    peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 9 })
    const [rejected] = peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 9, cmdSN: 2 })
    assert.equal(asReject(rejected).reason, 0x07)
    assert.equal(asReject(rejected).expCmdSN, 2)
    peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: 10, cmdSN: 2 })
    assert.equal(peer.target.submitted.length, 2)
    peer.finish()
  })

  test('the reserved tag is no task tag', () => {
    const peer = loggedIn()
    const [answer] = peer.command(fakeCdb(FakeOpcode.none), { initiatorTaskTag: NONE })
    assert.equal(asReject(answer).reason, 0x09)
    peer.finish()
  })
})

describe('§7.8 digests', () => {
  test('a command with a data digest error is rejected, not received, and carried out when sent again', () => {
    const peer = loggedIn({}, [['DataDigest', 'CRC32C']])
    const cdb = fakeCdb(FakeOpcode.write, 512)
    const more = { write: true, expectedDataTransferLength: 512, initiatorTaskTag: 5, cmdSN: 1 }
    const [rejected] = peer.command(cdb, more, new Uint8Array(512), { spoilData: true })
    assert.equal(asReject(rejected).reason, 0x02)
    assert.equal(asReject(rejected).expCmdSN, 1)
    assert.equal(asScsi(peer.command(cdb, more, new Uint8Array(512))[0]).status, ScsiStatus.good)
    peer.assertAtRest()
    peer.finish()
  })

  test('a header digest error ends the connection', () => {
    const peer = loggedIn({}, [['HeaderDigest', 'CRC32C']])
    const cdb = fakeCdb(FakeOpcode.none)
    assert.deepEqual(peer.command(cdb, {}, undefined, { spoilHeader: true }), [])
    assert.equal(peer.state, 'closed')
    assert.match(peer.lastReason, /header digest error/)
    peer.finish()
  })
})

describe('§11.18 NOP', () => {
  test('a ping comes back with its data, its tag and a StatSN of its own', () => {
    const peer = loggedIn()
    const ping = new Uint8Array([1, 2, 3, 4, 5])
    const [answer] = peer.nopOut({ initiatorTaskTag: 77, lun: 5n }, ping)
    const pdu = asNopIn(answer)
    assert.deepEqual([pdu.initiatorTaskTag, pdu.targetTransferTag], [77, NONE])
    assert.deepEqual(answer?.data, ping)
    peer.finish()
  })

  test('a ping that is not immediate has its turn in the command order', () => {
    const peer = loggedIn()
    assert.deepEqual(peer.nopOut({ immediate: false, cmdSN: 2 }), [])
    const answers = peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 1 })
    assert.deepEqual(names(answers), ['SCSI Response', 'NOP-In'])
    assert.equal(asNopIn(answers[1]).expCmdSN, 3)
    peer.finish()
  })

  test('a NOP-Out without a tag is not answered', () => {
    const peer = loggedIn()
    assert.deepEqual(peer.nopOut({ initiatorTaskTag: NONE }), [])
    peer.finish()
  })

  test('§11.19 a silent initiator is asked whether it is there, and dropped where it does not answer', () => {
    const peer = loggedIn({ limits: { nopIntervalMs: 1000, nopTimeoutMs: 300 } })
    assert.deepEqual(peer.advance(999), [])
    const [asked] = peer.advance(1)
    const ping = asNopIn(asked)
    assert.equal(ping.initiatorTaskTag, NONE)
    assert.notEqual(ping.targetTransferTag, NONE)
    peer.advance(300)
    assert.equal(peer.state, 'closed')
    assert.match(peer.lastReason, /no answer to a NOP-In/)
    assert.deepEqual(peer.target.closures, ['connection-lost'])
    peer.finish()
  })

  test('§11.19 one that answers is left alone, and so is one that is busy', () => {
    const peer = loggedIn({ limits: { nopIntervalMs: 1000, nopTimeoutMs: 300 } })
    const ping = asNopIn(peer.advance(1000)[0])
    peer.now += 100
    peer.nopOut({ initiatorTaskTag: NONE, targetTransferTag: ping.targetTransferTag })
    peer.advance(200)
    assert.equal(peer.state, 'full-feature')
    for (let i = 0; i < 10; i++) {
      assert.deepEqual(peer.advance(500), [])
      peer.command(fakeCdb(FakeOpcode.none))
    }
    peer.finish()
  })
})

describe('§11.14 logout', () => {
  for (const [reasonCode, cid, response] of [
    [0, 99, 0],
    [1, 1, 0],
    [1, 2, 1],
    [2, 1, 2],
  ] as const) {
    test(`reason ${reasonCode} for CID ${cid} is answered with ${response}`, () => {
      const peer = loggedIn()
      const answers = peer.logout({ reasonCode, cid })
      assert.deepEqual(names(answers), ['Logout Response'])
      assert.equal(asLogout(answers[0]).response, response)
      assert.equal(peer.state, response === 0 ? 'closed' : 'full-feature')
      assert.deepEqual(peer.target.closures, response === 0 ? ['logout'] : [])
      peer.finish()
    })
  }

  test('tasks end with the session, without a response', () => {
    const peer = loggedIn()
    peer.target.hold = true
    peer.command(fakeCdb(FakeOpcode.none))
    peer.command(fakeCdb(FakeOpcode.write, 512), { write: true, expectedDataTransferLength: 512 })
    assert.deepEqual(names(peer.logout()), ['Logout Response'])
    peer.target.finishHeld()
    assert.deepEqual(peer.poll(), [])
    peer.assertAtRest()
    peer.finish()
  })

  test('responses that were made before it still go out before it', () => {
    const peer = loggedIn()
    const command = peer.commandBytes(fakeCdb(FakeOpcode.read, 0, 512), {
      read: true,
      expectedDataTransferLength: 512,
    })
    peer.feed(command)
    assert.deepEqual(names(peer.logout()), ['SCSI Data-In', 'Logout Response'])
    peer.finish()
  })

  test('a peer that does not read the answer is not waited for', () => {
    const peer = loggedIn({ limits: { nopTimeoutMs: 300 } })
    peer.feed(
      peer.commandBytes(fakeCdb(FakeOpcode.read, 0, 512), { read: true, expectedDataTransferLength: 512 }),
    )
    peer.connection.session?.endAfterSending('connection-lost')
    assert.equal(peer.state, 'closing')
    peer.now += 300
    peer.connection.handleTimeout(peer.now)
    assert.equal(peer.state, 'closed')
    peer.assertAtRest()
    peer.finish()
  })

  test('what comes after a logout is not looked at', () => {
    const peer = loggedIn()
    peer.logout()
    assert.deepEqual(peer.nopOut(), [])
    peer.finish()
  })
})

describe('§11.17 Reject', () => {
  test('it carries the header of the PDU, and the next StatSN', () => {
    const peer = loggedIn()
    const snack = peer.wire((view, at) =>
      encodeSnackRequest(view, at, {
        type: 1,
        lun: 0n,
        initiatorTaskTag: NONE,
        targetTransferTag: NONE,
        expStatSN: 2,
        begRun: 1,
        runLength: 1,
      }),
    )
    const [answer] = peer.exchange(snack)
    assert.equal(asReject(answer).reason, 0x03)
    assert.deepEqual(answer?.data, snack)
    assert.equal(answer?.view.getUint32(16), NONE)
    peer.finish()
  })

  for (const opcode of [0x07, 0x0f, 0x1c, 0x20, 0x21, 0x25, 0x31, 0x3f]) {
    test(`opcode 0x${opcode.toString(16)} is not supported`, () => {
      const peer = loggedIn()
      const bytes = peer.wire((view, at) => view.setUint8(at, opcode))
      const [answer] = peer.exchange(bytes)
      assert.equal(asReject(answer).reason, 0x05)
      assert.equal(peer.state, 'full-feature')
      peer.finish()
    })
  }
})

describe('§13.21 discovery sessions', () => {
  test('a SCSI command, task management or Data-Out is a protocol error', () => {
    const peer = discovery()
    const answers = [
      ...peer.command(fakeCdb(FakeOpcode.none)),
      ...peer.taskManagement({ function: 6 }),
      ...peer.dataOut({ initiatorTaskTag: 1 }, new Uint8Array(4)),
    ]
    assert.deepEqual(
      answers.map((answer) => asReject(answer).reason),
      [4, 4, 4],
    )
    assert.deepEqual(names(peer.logout()), ['Logout Response'])
    peer.finish()
  })

  test('§7.4.3 it is sent no NOP-In', () => {
    const peer = discovery()
    assert.deepEqual(peer.advance(60_000), [])
    peer.finish()
  })
})

describe('§11.9.1 a target that shuts down', () => {
  test('asks for a logout, and drops the connection where none comes', () => {
    const peer = loggedIn()
    peer.connection.requestLogout(5, peer.now)
    const message = asAsync(peer.poll()[0])
    assert.deepEqual([message.asyncEvent, message.parameter3], [1, 5])
    peer.advance(4999)
    assert.equal(peer.state, 'full-feature')
    peer.advance(1)
    assert.equal(peer.state, 'closed')
    peer.finish()
  })

  test('is content with the logout', () => {
    const peer = loggedIn()
    peer.connection.requestLogout(5, peer.now)
    peer.poll()
    assert.equal(asLogout(peer.logout()[0]).response, 0)
    assert.deepEqual(
      peer.events.filter((event) => event.kind === 'dropped'),
      [],
    )
    peer.finish()
  })

  test('end when they were silent for too long', () => {
    const peer = discovery({ limits: { discoveryIdleMs: 1000 } })
    peer.advance(999)
    assert.equal(peer.state, 'full-feature')
    peer.advance(2)
    assert.equal(peer.state, 'closed')
    peer.finish()
  })

  test('lets a connection that is closing send its last responses', () => {
    const peer = loggedIn()
    peer.feed(peer.commandBytes(fakeCdb(FakeOpcode.none)))
    peer.connection.session?.endAfterSending('connection-lost')
    peer.connection.requestLogout(5, peer.now)
    assert.deepEqual(names(peer.poll()), ['SCSI Response'])
    peer.finish()
  })

  test('§7.4.3 drops a discovery session without a word', () => {
    const peer = discovery()
    peer.connection.requestLogout(5, peer.now)
    assert.deepEqual(peer.poll(), [])
    assert.equal(peer.state, 'closed')
    peer.finish()
  })
})
