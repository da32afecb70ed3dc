import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LoginStatus } from '../pdu/login-status.ts'
import {
  fakeCdb,
  FakeOpcode,
  FakeTarget,
  pattern,
  TARGET_NAME,
} from '../session/target-role/fake-target.test-helper.ts'
import { redirect } from '../session/target-role/target-host.ts'
import { Initiator } from './initiator.ts'
import { MemoryNetwork } from './memory-network.test-helper.ts'
import type { Transport } from './ports.ts'
import type { SessionOptions } from './options.ts'

const where = (host: string, more: Partial<SessionOptions> = {}): SessionOptions => ({
  host,
  target: TARGET_NAME.toUpperCase(),
  ...more,
})

/** A network with a target at each address; those with a second address send the initiator there. */
function network(addresses: Readonly<Record<string, string | undefined>>): {
  net: MemoryNetwork
  initiator: Initiator
  targets: Map<string, FakeTarget>
} {
  const net = new MemoryNetwork()
  const targets = new Map<string, FakeTarget>()
  for (const [address, elsewhere] of Object.entries(addresses)) {
    const target = new FakeTarget(net.pool)
    const status = address.startsWith('old')
      ? LoginStatus.targetMovedPermanently
      : LoginStatus.targetMovedTemporarily
    if (elsewhere !== undefined) target.admitRefusal = redirect(status, elsewhere)
    targets.set(address, target)
    net.hosts.set(address, target)
  }
  return { net, initiator: new Initiator(net), targets }
}

const codeOf = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
    return 'no error'
  } catch (error) {
    return (error as { code: unknown }).code
  }
}

test('discovery opens a session, asks, and closes it', async () => {
  const { net, initiator, targets } = network({ 'a:3260': undefined })
  assert.deepEqual(await initiator.discover('a'), [
    { name: TARGET_NAME, portalGroups: [{ tag: 1, portals: [{ host: '127.0.0.1', port: 3260 }] }] },
  ])
  assert.deepEqual(targets.get('a:3260')?.closures, ['logout'])
  assert.deepEqual([net.pool.inUse, net.timers], [0, 0])
})

describe('§11.13.5 redirections', () => {
  test('are followed, and told', async () => {
    const { net, initiator } = network({
      'old:3260': 'b:3261',
      'b:3261': '[2001:db8::1]',
      '[2001:db8::1]:3260': undefined,
    })
    await using session = await initiator.openSession(where('old'))
    assert.deepEqual(net.visited, ['old:3260', 'b:3261', '[2001:db8::1]:3260'])
    assert.deepEqual(session.portal, { host: '2001:db8::1', port: 3260 })
    assert.deepEqual(session.redirections, [
      { portal: { host: 'b', port: 3261 }, permanent: true },
      { portal: { host: '2001:db8::1', port: 3260 }, permanent: false },
    ])
  })

  test('in a circle end at once', async () => {
    const { net, initiator } = network({ 'a:3260': 'b', 'b:3260': 'a' })
    assert.equal(await codeOf(initiator.openSession(where('a'))), 'REDIRECTION_LOOP')
    assert.deepEqual(net.visited, ['a:3260', 'b:3260'])
    assert.equal(net.pool.inUse, 0)
  })

  for (const [limit, visits] of [
    [undefined, 5],
    [2, 3],
    [0, 1],
  ] as const) {
    test(`with a limit of ${limit ?? 'four, the default'}, end after ${visits} addresses`, async () => {
      const chain = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`t${i}:3260`, `t${i + 1}`]))
      const { net, initiator } = network(chain)
      const options = limit === undefined ? {} : { maxRedirections: limit }
      assert.equal(await codeOf(initiator.openSession(where('t0', options))), 'REDIRECTION_LIMIT')
      assert.equal(net.visited.length, visits)
    })
  }

  test('the portal group of the first address is not expected at the next', async () => {
    const { initiator } = network({ 'a:3260': 'b', 'b:3260': undefined })
    await using session = await initiator.openSession(where('a', { portalGroupTag: 7 }))
    assert.equal(session.portalGroupTag, 1)
  })
})

describe('a session', () => {
  test('answers requests that are made at once, each with its own', async () => {
    const { initiator } = network({ 'a:3260': undefined })
    await using session = await initiator.openSession(where('a'))
    assert.equal(session.target, TARGET_NAME)
    const [, targets] = await Promise.all([
      session.ping(new Uint8Array(50)),
      session.sendTargets('All'),
      session.ping(),
    ])
    assert.equal(targets.length, 1)
  })

  test('passes on what the target says, and logs out where it is asked to', async () => {
    const { initiator, targets } = network({ 'a:3260': undefined })
    const notices: string[] = []
    const session = await initiator.openSession(where('a', { onNotice: ({ kind }) => notices.push(kind) }))
    for (const one of targets.get('a:3260')?.sessions ?? []) one.connections.any?.requestLogout(5, 0)
    assert.equal(await session.ended, undefined)
    assert.deepEqual(notices, ['logout-requested'])
    assert.equal(await codeOf(session.ping()), 'SESSION_CLOSED')
  })

  test('ends with an error where the target goes away, and so does what was asked', async () => {
    const { net, initiator, targets } = network({ 'a:3260': undefined })
    const session = await initiator.openSession(where('a'))
    const asked = codeOf(session.ping())
    for (const one of [...(targets.get('a:3260')?.sessions ?? [])]) one.connections.any?.drop('gone')
    net.advance(60_000)
    assert.equal(await asked, 'CONNECTION_LOST')
    assert.equal((await session.ended)?.code, 'CONNECTION_LOST')
    await session.close()
    assert.deepEqual([net.pool.inUse, net.timers], [0, 0])
  })
})

describe('commands of a session', () => {
  const read = (lengthBytes: number) => ({
    lun: 0,
    cdb: fakeCdb(FakeOpcode.read, 0, lengthBytes),
    dataIn: new Uint8Array(lengthBytes),
  })

  test('go over several connections, and their data is where it was wanted', async () => {
    const { initiator } = network({ 'a:3260': undefined })
    await using session = await initiator.openSession(where('a', { connections: 3 }))
    const commands = Array.from({ length: 20 }, (_, index) => read(1000 + index))
    const results = await Promise.all(commands.map((command) => session.execute(command)))
    for (const [index, { status, dataInBytes }] of results.entries()) {
      assert.deepEqual([status, dataInBytes], [0, 1000 + index])
      assert.deepEqual(commands[index]?.dataIn, pattern(1000 + index))
    }
    assert.equal(session.connectionCount, 3)
  })

  test('a status that is not GOOD is a result', async () => {
    const { initiator } = network({ 'a:3260': undefined })
    await using session = await initiator.openSession(where('a'))
    const { status, sense } = await session.execute({ lun: 0, cdb: fakeCdb(FakeOpcode.fail) })
    assert.deepEqual([status, sense[0]], [2, 0x70])
  })

  test('a signal aborts one, at the target too', async () => {
    const { initiator, targets } = network({ 'a:3260': undefined })
    const target = targets.get('a:3260') as FakeTarget
    await using session = await initiator.openSession(where('a'))
    target.hold = true
    const controller = new AbortController()
    const reason = new Error('no longer wanted')
    const one = session.execute({ ...read(100), signal: controller.signal })
    await session.ping()
    controller.abort(reason)
    await session.ping()
    target.finishHeld()
    await assert.rejects(one, reason)
    await assert.rejects(session.execute({ ...read(100), signal: controller.signal }), reason)
    assert.equal(target.submitted.length, 1)
  })

  test('after the end there are none', async () => {
    const { initiator } = network({ 'a:3260': undefined })
    const session = await initiator.openSession(where('a'))
    await session.close()
    assert.equal(await codeOf(session.execute(read(100))), 'SESSION_CLOSED')
  })
})

describe('what cannot work is said before anything is sent', () => {
  const cases: readonly { what: string; options: SessionOptions; code: string }[] = [
    { what: 'a name that is none', options: { host: 'a', target: 'disk' }, code: 'NAME_INVALID' },
    {
      what: 'an initiator name that is none',
      options: where('a', { initiatorName: 'me' }),
      code: 'NAME_INVALID',
    },
    { what: 'port 0', options: where('a', { port: 0 }), code: 'ADDRESS_INVALID' },
    {
      what: 'a short secret',
      options: where('a', { chap: { user: 'u', secret: 'short' } }),
      code: 'CREDENTIALS_INVALID',
    },
    {
      what: 'no user',
      options: where('a', { chap: { user: '', secret: 'long-enough-secret' } }),
      code: 'CREDENTIALS_INVALID',
    },
    {
      what: 'one secret for both directions',
      options: where('a', {
        chap: { user: 'u', secret: 'the-same-secret', mutual: { secret: 'the-same-secret' } },
      }),
      code: 'CREDENTIALS_INVALID',
    },
  ]
  for (const { what, options, code } of cases) {
    test(what, async () => {
      const { net, initiator } = network({ 'a:3260': undefined })
      assert.equal(await codeOf(initiator.openSession(options)), code)
      assert.deepEqual(net.visited, [])
    })
  }

  for (const address of ['', 'a b', '::1', 'a:0', 'a:70000', 'a:3260,1', '256.1.1.1']) {
    test(`the address "${address}"`, async () => {
      const { net, initiator } = network({})
      assert.equal(await codeOf(initiator.discover(address)), 'ADDRESS_INVALID')
      assert.deepEqual(net.visited, [])
    })
  }
})

test('a login that is refused says where, and why', async () => {
  const { initiator } = network({ 'a:3260': undefined })
  await assert.rejects(initiator.openSession({ host: 'a', target: `${TARGET_NAME}-not` }), {
    code: 'LOGIN_TARGET_NOT_FOUND',
    message: /^Login at a:3260: There is no such target/,
  })
})

test('a portal that closes the connection as soon as it is made ends the login at once', async () => {
  const { net } = network({ 'a:3260': undefined })
  const hangsUp: Transport = {
    connect: async (portal, timeoutMs, handler) => {
      const stream = await net.connect(portal, timeoutMs, handler)
      handler.closed('the target closed it')
      return stream
    },
  }
  const initiator = new Initiator(net)
  const timers = net.timers
  assert.equal(
    await codeOf(initiator.openSession(where('a', { transport: hangsUp }))),
    'LOGIN_CONNECTION_LOST',
  )
  assert.equal(net.timers, timers)
})

test('TLS, where it is asked for, also by a URL', async () => {
  const { net, initiator } = network({ 'a:3260': undefined })
  await using one = await initiator.openSession(`iscsi://a/${TARGET_NAME}?tls_ca=ca.crt`)
  await using other = await initiator.openSession(where('a', { tls: { pskFile: 'psk' } }))
  await using plain = await initiator.openSession(where('a'))
  assert.ok(one.isOpen && other.isOpen && plain.isOpen)
  assert.deepEqual(net.tls, [{ caFile: 'ca.crt' }, { pskFile: 'psk' }])
})

test('commands that cannot be sent are refused with a code, and nothing is sent', async () => {
  const { initiator } = network({ 'a:3260': undefined })
  await using session = await initiator.openSession(where('a'))
  const cdb = fakeCdb(FakeOpcode.read, 0)
  for (const wrong of [
    { lun: 16_384, cdb },
    { lun: 0.5, cdb },
    { lun: 0, cdb: new Uint8Array(0) },
    { lun: 0, cdb, priority: -1 },
  ])
    assert.equal(await codeOf(session.execute(wrong)), 'ARGUMENT_INVALID')
})
