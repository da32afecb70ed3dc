/** RFC 7143 §6.3: logins to a session of many connections by those who may not, and by too many. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LoginStage } from '../pdu/codes.ts'
import { RecentChallenges } from '../session/auth/chap-challenges.ts'
import { ChapTarget } from '../session/auth/chap-target.ts'
import { bytes, countingRandom, responseTo } from '../session/auth/chap.test-helper.ts'
import type { Pair } from '../session/negotiator.ts'
import { PeerSession } from '../session/target-role/peer-session.test-helper.ts'
import { namesPairs, TestPeer } from '../session/target-role/peer.test-helper.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import { type Answer, asLogin, asScsi, pairsOf } from '../session/wire.test-helper.ts'
import type { AuthPolicy } from './auth-policy.ts'
import { IscsiTarget } from './iscsi-target.ts'
import { TargetNode } from './target-node.ts'

const CDB = new Uint8Array(16)
const secretOf = (user: string): Uint8Array => bytes(`the secret of ${user}`)

function setUp(auth?: AuthPolicy): { node: TargetNode; host: TargetHost } {
  const name = 'iqn.2026-11.test:disk'
  const node = new TargetNode({
    clock: { now: () => 0 },
    targets: [new IscsiTarget({ name, units: new Map(), access: [{}], ...(auth && { auth }) })],
  })
  return { node, host: node.addPortal({ group: 1, endpoint: () => '127.0.0.1:3260' }) }
}

/** Class and detail, `0000` for success. */
function statusOf(answer: Answer | undefined): string {
  const { statusClass, statusDetail } = asLogin(answer)
  return [statusClass, statusDetail].map((code) => code.toString(16).padStart(2, '0')).join('')
}

/** Every connection answers commands (there is no unit: the target itself does); then nothing is left. */
function assertGoesOn(session: PeerSession, cids: readonly number[]): void {
  for (const cid of cids) {
    assert.equal(asScsi(session.at(cid).command(CDB).at(-1)).response, 0, `connection ${cid}`)
  }
  session.finish()
}

describe('a login that joins a session', () => {
  for (const [what, status, edit] of [
    ['of another ISID', '020a', (peer: TestPeer) => peer.isid.set([9], 5)],
    ['with a TSIH that nobody has', '020a', (peer: TestPeer) => void (peer.tsih += 7)],
  ] as const) {
    test(`${what}: ${status}, and the session goes on`, () => {
      const session = new PeerSession({ host: setUp().host })
      const peer = session.connect(3)
      edit(peer)
      assert.equal(statusOf(peer.login(namesPairs(), { cid: 3 })[0]), status)
      assert.equal(peer.state, 'closed')
      assertGoesOn(session, [1, 2])
    })
  }

  test('of another initiator: 020a, and the session goes on', () => {
    const session = new PeerSession({ host: setUp().host })
    const pairs = namesPairs().map(
      ([key, value]): Pair => [key, key === 'InitiatorName' ? `${value}.other` : value],
    )
    assert.equal(statusOf(session.connect(3).login(pairs, { cid: 3 })[0]), '020a')
    assertGoesOn(session, [1, 2])
  })

  test('through another portal group: 0208, and the session goes on', () => {
    const { node, host } = setUp()
    const session = new PeerSession({ host })
    const other = node.addPortal({ group: 2, endpoint: () => '127.0.0.1:3261' })
    const peer = new TestPeer({ host: other })
    assert.equal(statusOf(peer.login(namesPairs(), { cid: 3, tsih: session.at(1).tsih })[0]), '0208')
    assertGoesOn(session, [1, 2])
  })

  test('beyond MaxConnections: 0206, a storm of them too', () => {
    const session = new PeerSession({ host: setUp().host, connections: 32 })
    for (let round = 0; round < 100; round++) assert.equal(statusOf(session.join(33)[0]), '0206')
    assertGoesOn(session, [1, 32])
  })

  test('of another user: 0202, and the session goes on; of the same, it joins', () => {
    const { host } = setUp({
      methods: ['CHAP'],
      authenticator: () =>
        new ChapTarget({
          algorithms: ['SHA-256'],
          findSecret: (user) => secretOf(user),
          challenges: new RecentChallenges(),
          random: countingRandom(),
        }),
    })
    const logIn = (user: string, cid: number, leading?: TestPeer): { peer: TestPeer; status: string } => {
      const peer = new TestPeer({ host })
      if (leading) Object.assign(peer, { tsih: leading.tsih, cmdSN: leading.cmdSN })
      const csg = LoginStage.securityNegotiation
      peer.login(namesPairs([['AuthMethod', 'CHAP']]), { cid, csg, nsg: 0, transit: false })
      const [asked] = peer.login([['CHAP_A', '7']], { cid, csg, nsg: 0, transit: false })
      const response = responseTo('sha256', [...pairsOf(asked?.data ?? CDB)], secretOf(user))
      const proof: Pair[] = [
        ['CHAP_N', user],
        ['CHAP_R', response],
      ]
      peer.login(proof, { cid, csg, nsg: LoginStage.loginOperationalNegotiation })
      const keys: Pair[] = leading ? [] : [['MaxConnections', '4']]
      const [answer] = peer.login(keys, { cid })
      peer.tsih = asLogin(answer).tsih
      return { peer, status: statusOf(answer) }
    }
    const { peer: leading, status } = logIn('alice', 1)
    assert.equal(status, '0000')
    assert.equal(logIn('bob', 2, leading).status, '0202')
    const same = logIn('alice', 2, leading)
    assert.equal(same.status, '0000', same.peer.lastReason)
    for (const peer of [leading, same.peer]) {
      same.peer.cmdSN = leading.cmdSN
      assert.equal(asScsi(peer.command(CDB).at(-1)).response, 0)
    }
  })
})

test('§6.3.5 a session that is reinstated again and again leaves nothing behind', () => {
  const { node, host } = setUp()
  const keys: readonly Pair[] = [['InitialR2T', 'No']]
  const sessions: PeerSession[] = []
  for (let round = 0; round < 50; round++) {
    const session = new PeerSession({ host, keys, level: 2 })
    // Its data never comes.
    const write = { write: true, final: false, expectedDataTransferLength: 512 }
    for (const cid of [1, 2]) session.at(cid).command(CDB, write)
    sessions.push(session)
  }
  assert.equal([...node.sessions()].length, 1)
  const last = sessions.pop()
  for (const session of sessions) {
    for (const { connection } of session.peers) assert.equal(connection.state, 'closed')
    assert.equal(session.pool.inUse, 0)
  }
  last?.finish()
})
