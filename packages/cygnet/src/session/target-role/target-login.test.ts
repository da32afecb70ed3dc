import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeNopOut } from '../../pdu/nop.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import { encodeText } from '../../pdu/text.ts'
import { TARGET_NAME } from './fake-target.test-helper.ts'
import { INITIATOR_NAME, namesPairs, TestPeer } from './peer.test-helper.ts'
import { type Answer, asLogin, pairsOf } from '../wire.test-helper.ts'

const SECURITY = 0
const OPERATIONAL = 1
const FULL_FEATURE = 3

/** The login was refused with this status, the connection closed, and no session left behind. */
function assertRefused(peer: TestPeer, answers: readonly Answer[], status: LoginStatus): void {
  assert.equal(answers.length, 1)
  const response = asLogin(answers[0])
  assert.deepEqual(
    [response.statusClass, response.statusDetail],
    [status.statusClass, status.statusDetail],
    peer.lastReason,
  )
  assert.deepEqual([response.transit, response.continue], [false, false])
  assert.equal(peer.state, 'closed')
  assert.equal(peer.target.sessions.size, 0)
  assert.equal(peer.connection.session, undefined)
  assert.equal(peer.events.at(-1)?.kind, 'login-failed')
  peer.assertAtRest()
}

const refusedFirst = (
  pairs: readonly [string, string][],
  more: Parameters<TestPeer['login']>[1],
  status: LoginStatus,
): void => {
  const peer = new TestPeer()
  assertRefused(peer, peer.login(pairs, more), status)
}

describe('§6.3 stages', () => {
  test('operational to full feature phase in one exchange', () => {
    const peer = new TestPeer()
    const response = asLogin(peer.login(namesPairs())[0])
    assert.deepEqual(
      [response.statusClass, response.transit, response.csg, response.nsg],
      [0, true, OPERATIONAL, FULL_FEATURE],
    )
    assert.notEqual(response.tsih, 0)
    assert.equal(peer.state, 'full-feature')
    assert.equal(peer.events[0]?.kind, 'logged-in')
    peer.finish()
  })

  test('security to full feature phase in one exchange', () => {
    const peer = new TestPeer()
    const [answer] = peer.login(namesPairs([['AuthMethod', 'None']]), { csg: SECURITY })
    const response = asLogin(answer)
    assert.deepEqual([response.transit, response.csg, response.nsg], [true, SECURITY, FULL_FEATURE])
    assert.equal(pairsOf(answer?.data ?? new Uint8Array()).get('AuthMethod'), 'None')
    assert.equal(peer.state, 'full-feature')
    peer.finish()
  })

  test('security, then operational, then full feature phase', () => {
    const peer = new TestPeer()
    const first = asLogin(peer.login(namesPairs(), { csg: SECURITY, nsg: OPERATIONAL })[0])
    assert.deepEqual([first.transit, first.csg, first.nsg, first.tsih], [true, SECURITY, OPERATIONAL, 0])
    assert.equal(peer.state, 'login')
    const second = asLogin(peer.login([])[0])
    assert.deepEqual([second.transit, second.csg, second.nsg], [true, OPERATIONAL, FULL_FEATURE])
    assert.notEqual(second.tsih, 0)
    peer.finish()
  })

  test('§11.13.6 no transition is answered where none was asked for', () => {
    const peer = new TestPeer()
    for (const pairs of [namesPairs(), [], []]) {
      const response = asLogin(peer.login(pairs, { transit: false, nsg: 0 })[0])
      assert.deepEqual([response.transit, response.nsg, response.statusClass], [false, 0, 0])
    }
    assert.ok(asLogin(peer.login([])[0]).transit)
    peer.finish()
  })

  for (const [csg, nsg] of [
    [SECURITY, SECURITY],
    [SECURITY, 2],
    [OPERATIONAL, SECURITY],
    [OPERATIONAL, OPERATIONAL],
    [OPERATIONAL, 2],
    [2, FULL_FEATURE],
    [FULL_FEATURE, FULL_FEATURE],
  ] as const) {
    test(`no login goes from stage ${csg} to ${nsg}`, () => {
      refusedFirst(namesPairs() as [string, string][], { csg, nsg }, LoginStatus.initiatorError)
    })
  }

  test('a request in a stage that the login is not in is refused', () => {
    const peer = new TestPeer()
    peer.login(namesPairs(), { csg: SECURITY, nsg: OPERATIONAL })
    assertRefused(peer, peer.login([], { csg: SECURITY, nsg: OPERATIONAL }), LoginStatus.initiatorError)
    const other = new TestPeer()
    other.login(namesPairs(), { csg: SECURITY, transit: false })
    assertRefused(other, other.login([]), LoginStatus.initiatorError)
  })

  test('§11.12.2 the T and C bits together are refused', () => {
    refusedFirst(namesPairs() as [string, string][], { continue: true }, LoginStatus.initiatorError)
  })

  test('a target that cannot live with a default keeps the initiator in the operational stage until it answers', () => {
    const peer = new TestPeer({ limits: { maxBurstLength: 4096, firstBurstLength: 2048 } })
    const [answer] = peer.login(namesPairs())
    assert.equal(asLogin(answer).transit, false)
    const proposed = pairsOf(answer?.data ?? new Uint8Array())
    assert.equal(proposed.get('MaxBurstLength'), '4096')
    assert.equal(proposed.get('FirstBurstLength'), '2048')
    const last = peer.login([
      ['MaxBurstLength', '4096'],
      ['FirstBurstLength', '1024'],
    ])
    assert.ok(asLogin(last[0]).transit)
    assert.equal(peer.connection.session?.parameters.maxBurstLength, 4096)
    assert.equal(peer.connection.session?.parameters.firstBurstLength, 1024)
    peer.finish()
  })

  test('a target that cannot live with a default takes a security-only login to the operational stage', () => {
    const peer = new TestPeer({ limits: { maxBurstLength: 4096, firstBurstLength: 2048 } })
    const response = asLogin(peer.login(namesPairs(), { csg: SECURITY, nsg: FULL_FEATURE })[0])
    assert.deepEqual([response.transit, response.nsg], [true, OPERATIONAL])
    assert.equal(peer.state, 'login')
    peer.finish()
  })
})

describe('§6.3.1 who logs in to what', () => {
  test('InitiatorName is required in the first request', () => {
    refusedFirst([['TargetName', TARGET_NAME]], {}, LoginStatus.missingParameter)
  })

  test('TargetName is required in the first request of a normal session', () => {
    refusedFirst([['InitiatorName', INITIATOR_NAME]], {}, LoginStatus.missingParameter)
  })

  test('a discovery session may name no target', () => {
    const peer = new TestPeer()
    const pairs: [string, string][] = [
      ['InitiatorName', INITIATOR_NAME],
      ['SessionType', 'Discovery'],
    ]
    assert.ok(asLogin(peer.login(pairs)[0]).transit)
    assert.equal(peer.connection.session?.identity.type, 'Discovery')
    peer.finish()
  })

  test('a target that does not exist is not found', () => {
    const pairs: [string, string][] = [
      ['InitiatorName', INITIATOR_NAME],
      ['TargetName', 'iqn.2026-11.test:other'],
    ]
    refusedFirst(pairs, {}, LoginStatus.notFound)
  })

  test('a session that does not exist cannot be joined', () => {
    refusedFirst(namesPairs() as [string, string][], { tsih: 77 }, LoginStatus.sessionDoesNotExist)
  })

  test('an initiator that must authenticate itself cannot go without', () => {
    const peer = new TestPeer()
    peer.target.authMethods = ['CHAP']
    assertRefused(peer, peer.login(namesPairs()), LoginStatus.authenticationFailure)
  })

  test('none of the offered authentication methods is allowed', () => {
    const pairs = namesPairs([['AuthMethod', 'CHAP,KRB5']]) as [string, string][]
    refusedFirst(pairs, { csg: SECURITY, nsg: OPERATIONAL }, LoginStatus.authenticationFailure)
  })

  test('TargetPortalGroupTag comes with the first response to complete text, and once', () => {
    const peer = new TestPeer()
    const text = encodeText(namesPairs())
    const partial = peer.login(text.subarray(0, 10), { transit: false, continue: true, csg: SECURITY })
    assert.equal(partial[0]?.data.length, 0)
    const first = peer.login(text.subarray(10), { csg: SECURITY, nsg: OPERATIONAL })
    assert.equal(pairsOf(first[0]?.data ?? new Uint8Array()).get('TargetPortalGroupTag'), '1')
    const second = peer.login([])
    assert.equal(pairsOf(second[0]?.data ?? new Uint8Array()).has('TargetPortalGroupTag'), false)
    peer.finish()
  })

  test('§13.6 the alias of a target is told, but not in a discovery session', () => {
    for (const type of ['Normal', 'Discovery']) {
      const peer = new TestPeer()
      peer.target.alias = 'A disk'
      const answer = peer.logIn([['SessionType', type]])
      assert.equal(pairsOf(answer.data).get('TargetAlias'), type === 'Normal' ? 'A disk' : undefined)
      peer.finish()
    }
  })

  test('the names may not change after the first request', () => {
    for (const [key, value] of [
      ['SessionType', 'Discovery'],
      ['InitiatorName', 'iqn.2026-11.test:another'],
      ['TargetName', 'iqn.2026-11.test:another'],
    ] as const) {
      const peer = new TestPeer()
      peer.login(namesPairs(), { transit: false })
      assertRefused(peer, peer.login([[key, value]]), LoginStatus.initiatorError)
    }
  })
})

describe('§11.12 what stays the same during a login', () => {
  for (const [field, more] of [
    ['ISID', { isid: new Uint8Array([0x80, 9, 9, 9, 9, 9]) }],
    ['TSIH', { tsih: 1 }],
    ['CID', { cid: 2 }],
    ['initiator task tag', { initiatorTaskTag: 1 }],
    ['version range', { versionMax: 1 }],
    ['CmdSN', { cmdSN: 2 }],
  ] as const) {
    test(`a change of the ${field} is refused`, () => {
      const peer = new TestPeer()
      peer.login(namesPairs(), { transit: false })
      const answers = peer.login([], more)
      assert.equal(asLogin(answers[0]).statusClass, 2)
      assert.match(peer.lastReason, new RegExp(`${field} changed`))
      assert.equal(peer.target.sessions.size, 0)
      assert.equal(peer.state, 'closed')
    })
  }

  test('§11.12.8 the first command has the CmdSN of the login', () => {
    const peer = new TestPeer()
    peer.cmdSN = 0xffff_ffff
    const response = asLogin(peer.login(namesPairs())[0])
    assert.equal(response.expCmdSN, 0xffff_ffff)
    assert.equal(response.maxCmdSN, 126)
    assert.equal(peer.connection.session?.window.expCmdSN, 0xffff_ffff)
    peer.finish()
  })
})

describe('§11.13.5 refusals', () => {
  test('a version that we do not have is not supported', () => {
    refusedFirst(
      namesPairs() as [string, string][],
      { versionMin: 1, versionMax: 2 },
      LoginStatus.unsupportedVersion,
    )
  })

  test('another request before the end of the login is invalid', () => {
    const peer = new TestPeer()
    assertRefused(peer, peer.nopOut(), LoginStatus.invalidDuringLogin)
    const later = new TestPeer()
    later.login(namesPairs(), { transit: false })
    assertRefused(later, later.nopOut(), LoginStatus.invalidDuringLogin)
  })

  test('§6.1 text that is not in the format is an initiator error', () => {
    for (const text of ['InitiatorName', 'InitiatorName=a', '=b\0', 'lower=b\0', 'A=\u0000\u0000B=1\0']) {
      const peer = new TestPeer()
      assertRefused(peer, peer.login(new Uint8Array(Buffer.from(text))), LoginStatus.initiatorError)
    }
    const peer = new TestPeer()
    const notUtf8 = new Uint8Array([0x41, 0x3d, 0xff, 0xfe, 0])
    assertRefused(peer, peer.login(notUtf8), LoginStatus.initiatorError)
  })

  test('§6.3 a key that is negotiated twice is an initiator error', () => {
    const peer = new TestPeer()
    peer.login(namesPairs([['InitialR2T', 'No']]), { transit: false })
    assertRefused(peer, peer.login([['InitialR2T', 'No']]), LoginStatus.initiatorError)
  })

  test('a login data segment of more than 8192 bytes is refused', () => {
    const peer = new TestPeer()
    const bytes = peer.loginRequest(new Uint8Array(8193))
    assertRefused(peer, peer.exchange(bytes), LoginStatus.initiatorError)
  })

  test('what follows a refusal is not looked at', () => {
    const peer = new TestPeer()
    const refused = peer.loginRequest([['TargetName', TARGET_NAME]])
    const good = peer.loginRequest(namesPairs())
    const answers = peer.exchange(new Uint8Array(Buffer.concat([refused, good])))
    assertRefused(peer, answers, LoginStatus.missingParameter)
  })

  test('a login request in the full feature phase is rejected', () => {
    const peer = new TestPeer()
    peer.logIn()
    const answers = peer.login(namesPairs())
    assert.equal(answers[0]?.name, 'Reject')
    assert.equal(peer.state, 'full-feature')
    peer.finish()
  })
})

describe('time limits', () => {
  test('a connection that does not log in is closed', () => {
    const peer = new TestPeer()
    peer.login(namesPairs(), { transit: false })
    peer.advance(14_999)
    assert.equal(peer.state, 'login')
    assert.deepEqual(peer.advance(1), [])
    assert.equal(peer.state, 'closed')
    assert.equal(peer.events.at(-1)?.kind, 'login-failed')
    peer.assertAtRest()
  })

  test('a login that was in time has no deadline any more', () => {
    const peer = new TestPeer()
    peer.logIn([['SessionType', 'Normal']])
    peer.advance(14_999)
    peer.exchange(peer.wire((view, at) => encodeNopOut(view, at, reservedNop)))
    peer.advance(10_000)
    assert.equal(peer.state, 'full-feature')
    peer.finish()
  })
})

const reservedNop = {
  immediate: true,
  dataSegmentLength: 0,
  lun: 0n,
  initiatorTaskTag: 0xffff_ffff,
  targetTransferTag: 0xffff_ffff,
  cmdSN: 1,
  expStatSN: 1,
}
