import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LoginStage } from '../pdu/codes.ts'
import { RecentChallenges } from '../session/auth/chap-challenges.ts'
import { ChapTarget } from '../session/auth/chap-target.ts'
import { bytes, countingRandom, responseTo } from '../session/auth/chap.test-helper.ts'
import type { Pair } from '../session/negotiator.ts'
import { INITIATOR_NAME, TestPeer } from '../session/target-role/peer.test-helper.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import { type Answer, asLogin, pairsOf } from '../session/wire.test-helper.ts'
import { parseAddressRange } from './address-range.ts'
import type { AuthPolicy } from './auth-policy.ts'
import { IscsiTarget, type TargetOptions } from './iscsi-target.ts'
import { TargetNode, type TargetNodeOptions } from './target-node.ts'
import type { PortalOptions } from './target-portal.ts'

const DISK = 'iqn.2026-11.test:disk'
const SECRETS: Readonly<Record<string, string>> = { alice: 'the secret of alice', bob: 'the secret of bob' }
const MOVED = { address: '10.0.0.9:3260', permanent: false }

const chap = (users: readonly string[] = Object.keys(SECRETS)): AuthPolicy => ({
  methods: ['CHAP'],
  authenticator: () =>
    new ChapTarget({
      algorithms: ['SHA-256'],
      findSecret: (user) => (users.includes(user) ? bytes(SECRETS[user] ?? '') : undefined),
      challenges: new RecentChallenges(),
      random: countingRandom(),
    }),
})

interface Setting {
  readonly target?: Partial<TargetOptions>
  readonly portal?: Partial<PortalOptions>
  readonly node?: Partial<TargetNodeOptions>
}

/** A node with one target and one portal; `clock.nowMs` is its time. */
function setUp({ target, portal, node }: Setting = {}) {
  const clock = { nowMs: 0, now: () => clock.nowMs }
  const targetNode = new TargetNode({
    clock,
    targets: [new IscsiTarget({ name: DISK, units: new Map(), access: [{}], ...target })],
    ...node,
  })
  const host = targetNode.addPortal({ group: 1, endpoint: () => '127.0.0.1:3260', ...portal })
  return { clock, node: targetNode, host }
}

const normal: readonly Pair[] = [
  ['InitiatorName', INITIATOR_NAME],
  ['TargetName', DISK],
]
const discovery: readonly Pair[] = [
  ['InitiatorName', INITIATOR_NAME],
  ['SessionType', 'Discovery'],
]

/** Class and detail, `0000` for success. */
function statusOf(answer: Answer | undefined): string {
  const { statusClass, statusDetail } = asLogin(answer)
  return [statusClass, statusDetail].map((code) => code.toString(16).padStart(2, '0')).join('')
}

const logIn = (host: TargetHost, pairs: readonly Pair[] = normal): string =>
  statusOf(new TestPeer({ host }).login(pairs)[0])

/** All answers of a login with CHAP. */
function chapLogin(
  host: TargetHost,
  user: string,
  secret = SECRETS[user] ?? '',
  pairs: readonly Pair[] = normal,
): { peer: TestPeer; answers: Answer[]; status: string } {
  const peer = new TestPeer({ host })
  const security = { csg: LoginStage.securityNegotiation, nsg: 0, transit: false }
  const answers = peer.login([...pairs, ['AuthMethod', 'CHAP']], security)
  if (statusOf(answers[0]) === '0000') {
    const [asked] = peer.login([['CHAP_A', '7']], security)
    assert.ok(asked)
    answers.push(asked)
    const challenge = [...pairsOf(asked.data)]
    const proof: readonly Pair[] = [
      ['CHAP_N', user],
      ['CHAP_R', responseTo('sha256', challenge, bytes(secret))],
    ]
    answers.push(...peer.login(proof, { ...security, transit: true, nsg: LoginStage.fullFeaturePhase }))
  }
  return { peer, answers, status: statusOf(answers.at(-1)) }
}

describe('authentication', () => {
  test('the right secret leads to a session of that user, a wrong one to 0201', () => {
    const { host, node } = setUp({ target: { auth: chap() } })
    assert.equal(chapLogin(host, 'alice').status, '0000')
    assert.deepEqual(
      [...node.sessions()].map(({ identity }) => identity.user),
      ['alice'],
    )
    assert.equal(chapLogin(host, 'alice', 'a wrong secret').status, '0201')
  })

  test('§9.2.1 a wrong user and a wrong secret have the same answers, byte by byte', () => {
    const answers = [
      ['nobody', SECRETS['alice']],
      ['alice', SECRETS['bob']],
    ].map(([user = '', secret]) => {
      const { host } = setUp({ target: { auth: chap() } })
      return chapLogin(host, user, secret).answers.map(({ view, data }) => [Buffer.from(view.buffer), data])
    })
    assert.equal(answers[0]?.length, 3)
    assert.deepEqual(answers[0], answers[1])
  })

  test('discovery has users of its own, whether it names a target or not', () => {
    const { host } = setUp({ target: { auth: chap(['alice']) }, node: { discoveryAuth: chap(['bob']) } })
    for (const pairs of [discovery, [...discovery, ['TargetName', DISK]] satisfies Pair[]]) {
      assert.equal(chapLogin(host, 'bob', undefined, pairs).status, '0000')
      assert.equal(chapLogin(host, 'alice', undefined, pairs).status, '0201')
    }
    assert.equal(chapLogin(host, 'alice').status, '0000')
    assert.equal(chapLogin(host, 'bob').status, '0201')
  })

  test('rules about users decide after the proof: 0202', () => {
    const { host, node } = setUp({ target: { auth: chap(), access: [{ users: ['alice'] }] } })
    assert.equal(chapLogin(host, 'bob').status, '0202')
    assert.equal([...node.sessions()].length, 0)
    assert.equal(chapLogin(host, 'alice').status, '0000')
  })

  test('an initiator that no rule fits is not even asked: 0202', () => {
    const access = [{ addresses: [parseAddressRange('10.0.0.0/8')] }]
    const { host } = setUp({ target: { auth: chap(), access } })
    assert.equal(chapLogin(host, 'alice').answers.length, 1)
    assert.equal(chapLogin(host, 'alice').status, '0202')
  })
})

describe('back-off', () => {
  const throttle = {
    freeFailures: 2,
    firstDelayMs: 1000,
    maxDelayMs: 4000,
    forgetAfterMs: 60_000,
    addresses: 10,
  }
  const setting: Setting = { target: { auth: chap() }, node: { throttle } }

  test('after failed proofs, every login from the address is answered with 0301 until it has waited', () => {
    const { host, clock } = setUp(setting)
    for (let i = 0; i < 2; i++) assert.equal(chapLogin(host, 'alice', 'guess').status, '0201')
    assert.equal(chapLogin(host, 'alice').status, '0301')
    assert.equal(logIn(host, discovery), '0301')
    clock.nowMs = 999
    assert.equal(chapLogin(host, 'alice').status, '0301')
    clock.nowMs = 1000
    assert.equal(chapLogin(host, 'alice', 'guess').status, '0201')
    clock.nowMs = 2999
    assert.equal(chapLogin(host, 'alice').status, '0301')
    clock.nowMs = 3000
    assert.equal(chapLogin(host, 'alice').status, '0000')
    assert.equal(chapLogin(host, 'alice', 'guess').status, '0201')
    assert.equal(chapLogin(host, 'alice').status, '0301', 'one good login does not buy more guesses')
  })

  test('logins that began together do not each have a guess', () => {
    const { host } = setUp(setting)
    const security = { csg: LoginStage.securityNegotiation, nsg: 0, transit: false }
    const proofs = Array.from({ length: 4 }, () => {
      const peer = new TestPeer({ host })
      peer.login([...normal, ['AuthMethod', 'CHAP']], security)
      const [asked] = peer.login([['CHAP_A', '7']], security)
      assert.ok(asked)
      const right = responseTo('sha256', [...pairsOf(asked.data)], bytes(SECRETS['alice'] ?? ''))
      return (secret: string): string =>
        statusOf(
          peer.login(
            [
              ['CHAP_N', 'alice'],
              ['CHAP_R', secret === 'right' ? right : '0x00'],
            ],
            { ...security, transit: true, nsg: LoginStage.fullFeaturePhase },
          )[0],
        )
    })
    assert.deepEqual(
      proofs.map((prove, i) => prove(i < 2 ? 'wrong' : 'right')),
      ['0201', '0201', '0201', '0201'],
    )
  })

  test('what is no proof does not count: refused offers, targets that are not there, broken keys', () => {
    const { host } = setUp(setting)
    for (let i = 0; i < 5; i++) {
      assert.equal(logIn(host), '0201', 'no authentication at all')
      assert.equal(logIn(host, [...normal, ['AuthMethod', 'CHAP']]), '0200', 'in the wrong stage')
      assert.equal(logIn(host, [['InitiatorName', INITIATOR_NAME]]), '0207')
    }
    assert.equal(chapLogin(host, 'alice').status, '0000')
  })

  test('a login to a target that asks for no proof does not clear the account', () => {
    const open = new IscsiTarget({ name: 'iqn.2026-11.test:open', units: new Map(), access: [{}] })
    const secured = new IscsiTarget({ name: DISK, units: new Map(), access: [{}], auth: chap() })
    const { host } = setUp({ node: { throttle, targets: [open, secured] } })
    assert.equal(chapLogin(host, 'alice', 'guess').status, '0201')
    assert.equal(
      logIn(host, [
        ['InitiatorName', INITIATOR_NAME],
        ['TargetName', open.name],
      ]),
      '0000',
    )
    assert.equal(chapLogin(host, 'alice', 'guess').status, '0201')
    assert.equal(chapLogin(host, 'alice').status, '0301')
  })
})

describe('§11.13.5 sessions that cannot be', () => {
  test('of a type that nobody knows: 0209', () => {
    const { host } = setUp()
    for (const type of ['Abnormal', 'discovery', '']) {
      assert.equal(logIn(host, [...normal, ['SessionType', type]]), '0209', type)
    }
    assert.equal(logIn(host, [...normal, ['SessionType', 'Normal'], ['SessionType', 'Normal']]), '0200')
  })

  test('joined through another portal group: 0208, by its own initiator port; by others 020a', () => {
    const { host, node } = setUp()
    const other = node.addPortal({ group: 2, endpoint: () => '127.0.0.1:3261' })
    const { tsih } = asLogin(new TestPeer({ host }).login(normal)[0])
    const join = (through: TargetHost, lastOfIsid = 5): string => {
      const peer = new TestPeer({ host: through })
      peer.isid = new Uint8Array([0x80, 1, 2, 3, 4, lastOfIsid])
      return statusOf(peer.login(normal, { tsih })[0])
    }
    assert.equal(join(other), '0208')
    assert.equal(join(other, 6), '020a')
    assert.equal(join(host, 6), '020a')
    assert.equal(join(host), '0000')
  })
})

const describeDisk = (setting: Setting, localAddress: string, value = 'All'): readonly string[] => {
  const peer = new TestPeer({ host: setUp(setting).host, localAddress })
  peer.login(discovery)
  const [answer] = peer.text([['SendTargets', value]])
  return Buffer.from(answer?.data ?? [])
    .toString()
    .split('\0')
    .slice(0, -1)
}

describe('§11.13.5 redirection', () => {
  const redirected = (setting: Setting): [string, Map<string, string>] => {
    const [answer] = new TestPeer({ host: setUp(setting).host }).login(normal)
    return [statusOf(answer), pairsOf(answer?.data ?? new Uint8Array())]
  }

  test('a target that has moved says where to, for a time or for ever', () => {
    const there = new Map([['TargetAddress', MOVED.address]])
    assert.deepEqual(redirected({ target: { moved: MOVED } }), ['0101', there])
    assert.deepEqual(redirected({ target: { moved: { ...MOVED, permanent: true } } }), ['0102', there])
  })

  test('a portal that has moved does so for all that it serves, unless the target says otherwise', () => {
    const portal = { moved: { address: '[fd00::1]:3261', permanent: true } }
    assert.deepEqual(redirected({ portal }), ['0102', new Map([['TargetAddress', '[fd00::1]:3261']])])
    assert.equal(redirected({ portal, target: { moved: MOVED } })[0], '0101')
    assert.equal(redirected({ portal, target: { groups: new Set([2]) } })[0], '0203')
  })

  test('a target that is removed says so, wherever the portal has moved, and is not discovered', () => {
    const setting: Setting = { target: { removed: true }, portal: { moved: MOVED } }
    assert.deepEqual(redirected(setting), ['0204', new Map()])
    assert.deepEqual(describeDisk({ target: { removed: true } }, '127.0.0.1:3260'), [])
  })

  test('discovery goes on at a portal that has moved', () => {
    const { host } = setUp({ portal: { moved: MOVED } })
    assert.equal(logIn(host, discovery), '0000')
  })
})

describe('Appendix C SendTargets', () => {
  const record = (address: string): string[] => [`TargetName=${DISK}`, `TargetAddress=${address}`]

  test('an address is the advertised one, the one that is listened on, or the one that was reached', () => {
    const at = (portal: Partial<PortalOptions>): readonly string[] =>
      describeDisk({ portal }, '10.1.2.3:3260')
    assert.deepEqual(at({ advertise: 'san.example.com:3261' }), record('san.example.com:3261,1'))
    assert.deepEqual(at({ endpoint: () => '10.9.9.9:3260' }), record('10.9.9.9:3260,1'))
    assert.deepEqual(at({ endpoint: () => '0.0.0.0:3270' }), record('10.1.2.3:3270,1'))
    assert.deepEqual(
      describeDisk({ portal: { endpoint: () => '[::]:3270' } }, '[fd00::7]:3270'),
      record('[fd00::7]:3270,1'),
    )
  })

  test('a name is compared as names are', () => {
    assert.equal(describeDisk({}, '127.0.0.1:3260', DISK.toUpperCase()).length, 2)
    assert.deepEqual(describeDisk({}, '127.0.0.1:3260', `${DISK}2`), [])
  })

  test('what no portal serves, or nobody like this may use, is not there', () => {
    assert.deepEqual(describeDisk({ target: { groups: new Set([2]) } }, '127.0.0.1:3260'), [])
    assert.deepEqual(describeDisk({ target: { access: [] } }, '127.0.0.1:3260', DISK), [])
  })
})

test('sessions beyond the limit of the target are refused, 0302, and reinstatement is not', () => {
  const { host } = setUp({ target: { maxSessions: 2 } })
  const attempt = (last: number): string => {
    const peer = new TestPeer({ host })
    peer.isid = new Uint8Array([0x80, 0, 0, 0, 0, last])
    return statusOf(peer.login(normal)[0])
  }
  assert.deepEqual([1, 2, 3, 2, 3, 1].map(attempt), ['0000', '0000', '0302', '0000', '0302', '0000'])
})
