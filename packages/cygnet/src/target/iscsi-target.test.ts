import { MemoryBudget } from '../session/target-role/memory-budget.ts'
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LoginStatus } from '../pdu/login-status.ts'
import { defaultTargetLimits } from '../session/limits.ts'
import type {
  LoginIdentity,
  LoginRefusal,
  SessionHome,
  TargetHost,
} from '../session/target-role/target-host.ts'
import type { SessionConnection } from '../session/target-role/session-connections.ts'
import { TargetSession } from '../session/target-role/target-session.ts'
import type { AccessRule } from './access.ts'
import { parseAddressRange } from './address-range.ts'
import { IscsiTarget } from './iscsi-target.ts'

const GROUP = 1

const identity: LoginIdentity = {
  initiatorName: 'iqn.2026-11.test:host',
  initiatorAlias: '',
  user: 'alice',
  type: 'Normal',
  targetName: 'iqn.2026-11.test:disk',
  isid: '800102030405',
  tsih: 0,
  cid: 1,
  peerAddress: '10.0.0.1:50000',
  localAddress: '10.0.0.9:3260',
}

const newTarget = (access: readonly AccessRule[] = [{}], maxSessions = 2): IscsiTarget =>
  new IscsiTarget({ name: identity.targetName, units: new Map(), access, maxSessions })

interface Login {
  readonly session: TargetSession
  readonly home: SessionHome | LoginRefusal
  /** Why its connection was ended. */
  readonly drops: readonly string[]
  lose(): void
}

function logIn(target: IscsiTarget, changes: Partial<LoginIdentity> = {}, errorRecoveryLevel = 0): Login {
  const drops: string[] = []
  const host: Partial<TargetHost> = {
    sessionClosed: (closed, closure) => target.closed(closed, closure),
  }
  const connection: Partial<SessionConnection> = {
    cid: 1,
    now: 0,
    wake() {},
    cleanedUp() {},
    depart(_how, reason) {
      drops.push(reason)
    },
  }
  const session = new TargetSession(
    host as TargetHost,
    { ...identity, ...changes },
    1,
    defaultTargetLimits,
    new MemoryBudget(2 ** 30),
  )
  const home = target.establish(session.identity, session, GROUP)
  if (home.ok) {
    const times = { defaultTime2Wait: 2, defaultTime2Retain: 20 }
    session.establish(home, { ...times, errorRecoveryLevel } as TargetSession['parameters'])
    session.connections.add(connection as SessionConnection, 0)
  }
  const lose = (): void => session.connections.lost(connection as SessionConnection)
  return { session, home, drops, lose }
}

function assertRefused(answer: SessionHome | LoginRefusal | TargetSession, status: LoginStatus): void {
  assert.ok('status' in answer, 'it was not refused')
  assert.equal(answer.status, status, answer.reason)
}

describe('whose session a login may end', () => {
  test('the same user ends the session of the same initiator port', () => {
    const target = newTarget()
    const old = logIn(target)
    assert.equal(logIn(target).home.ok, true)
    assert.equal(old.drops.length, 1)
    assert.equal([...target.sessions].length, 1)
  })

  test('another user does not, whatever name and ISID it gives', () => {
    const target = newTarget()
    const alice = logIn(target)
    assertRefused(logIn(target, { user: 'bob' }).home, LoginStatus.authorizationFailure)
    assert.deepEqual(alice.drops, [])
    assert.deepEqual([...target.sessions], [alice.session])
  })

  test('a discovery session, which may go without a proof, ends no normal one', () => {
    const target = newTarget()
    const alice = logIn(target)
    for (const user of ['', 'alice']) {
      const discovery = logIn(target, { type: 'Discovery', user })
      assertRefused(discovery.home, LoginStatus.authorizationFailure)
    }
    assert.deepEqual(alice.drops, [])
  })

  test('§7.4.2.2 any new session ends a named discovery session of its initiator port', () => {
    for (const type of ['Discovery', 'Normal'] as const) {
      const target = newTarget()
      const discovery = logIn(target, { type: 'Discovery', user: '' })
      assert.equal(logIn(target, { type }).home.ok, true)
      assert.equal(discovery.drops.length, 1)
    }
  })
})

describe('places', () => {
  test('with as many sessions as there may be, there is no room for another', () => {
    const target = newTarget()
    logIn(target, { isid: '800000000001' })
    logIn(target, { isid: '800000000002' })
    assertRefused(logIn(target).home, LoginStatus.outOfResources)
  })

  test('§6.3.6 sessions that have lost their connections keep nobody out: beyond 64, the oldest ends', () => {
    const target = newTarget([{}], 1000)
    const logInAs = (index: number): Login =>
      logIn(target, { isid: `8000000000${index.toString(16).padStart(2, '0')}` }, 1)
    const lost = Array.from({ length: 65 }, (_, index) => {
      const login = logInAs(index)
      login.lose()
      return login
    })
    const isLeft = (login: Login | undefined): boolean =>
      [...target.sessions].some((session) => session === login?.session)
    assert.ok(isLeft(lost[0]))
    const [next, afterNext] = [logInAs(100), logInAs(101)]
    assert.deepEqual(
      [0, 1, 64].map((index) => isLeft(lost[index])),
      [false, true, true],
    )
    assert.ok(isLeft(next) && isLeft(afterNext))
  })

  test('discovery sessions keep nobody out: the oldest ends', () => {
    const target = newTarget()
    const oldest = logIn(target, { type: 'Discovery', user: '', isid: '800000000001' })
    const other = logIn(target, { type: 'Discovery', user: '', isid: '800000000002' })
    assert.equal(logIn(target).home.ok, true)
    assert.deepEqual([oldest.drops.length, other.drops.length], [1, 0])
  })
})

describe('connection reinstatement and access rules', () => {
  const access: readonly AccessRule[] = [
    { addresses: [parseAddressRange('10.0.0.1')], users: ['alice'] },
    { addresses: [parseAddressRange('10.0.0.2')], users: ['alice'], readOnly: true },
    { addresses: [parseAddressRange('10.0.0.3')], users: ['bob'] },
  ]

  test('a connection that the same rule lets in takes the place of the old one', () => {
    const target = newTarget(access)
    const { session } = logIn(target)
    const again = { ...identity, tsih: session.tsih, peerAddress: '10.0.0.1:50001' }
    assert.equal(target.findJoined(again, GROUP), session)
  })

  test('from an address with other rights, or with none for this user, it does not', () => {
    const target = newTarget(access)
    const { session } = logIn(target)
    for (const address of ['10.0.0.2', '10.0.0.3', '10.0.0.4']) {
      const elsewhere = { ...identity, tsih: session.tsih, peerAddress: `${address}:50001` }
      assertRefused(target.findJoined(elsewhere, GROUP), LoginStatus.authorizationFailure)
    }
  })
})
