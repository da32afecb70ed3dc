import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LoginStatus } from '../pdu/login-status.ts'
import { type LoginIdentity, refuse, type TargetHost } from '../session/target-role/target-host.ts'
import { type IsElsewhere, LoginRoute, withoutFirst } from './shard-login.ts'

const identity = (targetName: string): LoginIdentity => ({
  initiatorName: 'iqn.2026-11.dev.example:i',
  initiatorAlias: '',
  user: '',
  type: targetName === '' ? 'Discovery' : 'Normal',
  targetName,
  isid: '800000000001',
  tsih: 0,
  cid: 0,
  peerAddress: '127.0.0.1:1',
  localAddress: '127.0.0.1:2',
})

const refused = refuse(LoginStatus.authorizationFailure, 'no access')
const admitted: ReturnType<TargetHost['admit']> = {
  ok: true,
  portalGroupTag: 1,
  targetAlias: '',
  authMethods: ['None'],
  authenticator: () => {
    throw new Error('nobody authenticates here')
  },
}

/** A route whose host lets in whoever does not ask for `closed`. */
function route(isElsewhere: IsElsewhere): LoginRoute {
  const host = { admit: ({ targetName }: LoginIdentity) => (targetName === 'closed' ? refused : admitted) }
  return new LoginRoute(host as unknown as TargetHost, isElsewhere, 1000)
}

test('a login for elsewhere takes what was received with it', () => {
  const login = route((target) => target === 'there')
  const reused = Uint8Array.of(1, 2, 3)
  login.record(reused)
  reused.fill(9)
  login.record(Uint8Array.of(4))
  assert.equal(login.elsewhere, undefined)
  assert.equal(login.host.admit(identity('there')).ok, false)
  assert.equal(login.elsewhere, 'there')
  assert.deepEqual([...login.received], [1, 2, 3, 4])
})

test('a login for here goes on here, and nothing of it is kept', () => {
  const login = route((target) => target === 'there')
  login.record(Uint8Array.of(1))
  assert.equal(login.host.admit(identity('')), admitted)
  assert.equal(login.elsewhere, undefined)
  for (let i = 0; i < 100; i++) assert.equal(login.record(new Uint8Array(10_000)), true)
  assert.equal(login.received.length, 0)
})

test('whom the host refuses is not handed over', () => {
  const login = route(() => true)
  assert.equal(login.host.admit(identity('closed')), refused)
  assert.equal(login.elsewhere, undefined)
})

test('where nobody can serve the target just now, the login is told so', () => {
  const away = refuse(LoginStatus.serviceUnavailable, 'away')
  const login = route(() => away)
  assert.equal(login.host.admit(identity('there')), away)
  assert.equal(login.elsewhere, undefined)
})

test('a login that never names its target is not kept for ever', () => {
  const login = route(() => true)
  let kept = 0
  while (login.record(new Uint8Array(48))) kept += 48
  assert.ok(kept >= 1000 && kept < 100_000, `${kept} bytes`)
})

test('a login that comes byte by byte is kept in no more memory than another', () => {
  const host = {} as unknown as TargetHost
  const login = new LoginRoute(host, () => true, 65_536)
  const byte = Uint8Array.of(7)
  const before = process.memoryUsage().rss
  let kept = 0
  while (login.record(byte)) kept++
  assert.ok(kept >= 65_536)
  assert.equal(login.received.length, kept)
  assert.ok(process.memoryUsage().rss - before < 20e6)
})

test('what was answered already is skipped, across chunks', () => {
  const chunks = (): Uint8Array[] => [Uint8Array.of(1, 2), Uint8Array.of(3, 4, 5), Uint8Array.of(6)]
  for (const [skipped, left, rest] of [
    [0, 0, [[1, 2], [3, 4, 5], [6]]],
    [1, 0, [[2], [3, 4, 5], [6]]],
    [2, 0, [[3, 4, 5], [6]]],
    [4, 0, [[5], [6]]],
    [6, 0, []],
    [8, 2, []],
  ] as const) {
    const list = chunks()
    assert.equal(withoutFirst(list, skipped), left)
    assert.deepEqual(
      list.map((chunk) => [...chunk]),
      rest,
    )
  }
})
