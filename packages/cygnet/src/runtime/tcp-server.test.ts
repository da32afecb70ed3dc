import { MemoryBudget } from '../session/target-role/memory-budget.ts'
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect, type Server } from 'node:net'
import { after, test, type TestContext } from 'node:test'
import { RawInitiator } from '../../../../test/support/raw-initiator.ts'
import { BufferPool } from '../base/pool.ts'
import { defaultTargetLimits } from '../session/limits.ts'
import { RecoveryCounters } from '../session/recovery-counters.ts'
import { TargetNode } from '../target/target-node.ts'
import { systemClock } from './clock.ts'
import { ConnectionLimits } from './connection-limits.ts'
import { TcpServer } from './tcp-server.ts'
import { TestCertificates } from './tls-certificates.test-helper.ts'
import { TlsPortal } from './tls.ts'
import { connectTls } from './tls-connect.ts'
import { Tunnel } from './tunnel.ts'

const files = new TestCertificates()
after(() => files.remove())
const ca = files.ca('Test CA')
const certificate = files.issue('portal', ca, { altNames: 'IP:127.0.0.1' })
const trust = { host: '127.0.0.1', caFile: ca.certFile }

/** A portal without targets, with or without TLS. */
async function portal(t: TestContext, withTls: boolean, connectionLimits = new ConnectionLimits()) {
  const log: string[] = []
  const pool = new BufferPool({ poison: true })
  const node = new TargetNode({ targets: [], clock: systemClock })
  const server: TcpServer = new TcpServer({
    address: '127.0.0.1',
    port: 0,
    host: node.addPortal({ group: 1, endpoint: () => server.endpoint }),
    pool,
    limits: defaultTargetLimits,
    budget: new MemoryBudget(2 ** 30),
    counters: new RecoveryCounters(),
    connectionLimits,
    clock: systemClock,
    onEvent: (_peer, event) => log.push('reason' in event ? String(event.reason) : event.kind),
    ...(withTls && {
      tls: new TlsPortal(certificate, (_peer, event) =>
        log.push(event.kind === 'secured' ? event.kind : event.reason),
      ),
    }),
  })
  await server.listen()
  t.after(() => {
    server.stopListening()
    server.destroyConnections()
  })
  return { server, pool, log, port: Number(server.endpoint.split(':')[1]) }
}

/** Waits for what comes about by itself. */
async function until(condition: () => boolean, what: () => string): Promise<void> {
  const end = performance.now() + 5000
  while (!condition()) {
    assert.ok(performance.now() < end, what())
    await new Promise((done) => setTimeout(done, 5))
  }
}

test('an initiator logs in over TLS, pings and logs out, and nothing is left', async (t) => {
  const { server, pool, log, port } = await portal(t, true)
  const tunnel = new Tunnel({
    listen: { host: '127.0.0.1', port: 0 },
    to: { host: '127.0.0.1', port },
    side: { kind: 'tls-out', tls: trust },
    onEvent: () => undefined,
    onTlsEvent: () => undefined,
  })
  await tunnel.listen()
  t.after(() => tunnel.stop())
  const initiator = await RawInitiator.open(tunnel.endpoint.port, {})
  await initiator.ping(Buffer.alloc(8000, 'x'))
  await initiator.logout()
  await until(
    () => server.connections.size === 0 && pool.inUse === 0,
    () => `${server.connections.size} connections, ${pool.inUse} buffers`,
  )
  assert.deepEqual(log, ['secured', 'logged-in', 'logged-out'])
})

test('a TLS initiator on a plain portal is told so, and so is the log', async (t) => {
  const { log, port } = await portal(t, false)
  await assert.rejects(connectTls({ ...trust, port }), {
    code: 'TLS_NOT_SPOKEN',
    message: `127.0.0.1:${port} does not answer in TLS: it is a portal without TLS, or the wrong port.`,
  })
  await until(
    () => log.length > 0,
    () => 'nothing was logged',
  )
  assert.deepEqual(log, ['no end of the login: the initiator speaks TLS, and this portal does not'])
})

test('a plain initiator on a TLS portal never reaches the login', async (t) => {
  const { log, port, server } = await portal(t, true)
  const plain = connect(port, '127.0.0.1')
  plain.write(Buffer.concat([Uint8Array.of(0x43, 0x87), Buffer.alloc(46)]))
  const [answer] = (await once(plain, 'data')) as [Buffer]
  assert.equal(answer[0], 0x15)
  await once(plain, 'close')
  assert.deepEqual(log, ['the initiator does not speak TLS, and this portal takes nothing else'])
  assert.equal(server.connections.size, 0)
})

test('who breaks off after the TLS handshake is dropped', async (t) => {
  const { log, port, server } = await portal(t, true)
  const socket = await connectTls({ ...trust, port })
  socket.destroy()
  await until(
    () => log.length === 2 && server.connections.size === 0,
    () => log.join(),
  )
  assert.match(log[1] ?? '', /^no end of the login: /)
})

test('stopping ends handshakes that are under way', async (t) => {
  const { port, server } = await portal(t, true)
  const idle = connect(port, '127.0.0.1').on('error', () => undefined)
  await once(idle, 'connect')
  server.stopListening()
  // The connection may not have been accepted yet.
  await new Promise((done) => setTimeout(done, 50))
  server.destroyConnections()
  await once(idle.resume(), 'close', { signal: AbortSignal.timeout(5000) })
})

test('a connection that the system could not accept is logged, and the next one comes in', async (t) => {
  let listening: Server | undefined
  const seen = (message: unknown): void => void (listening = (message as { server: Server }).server)
  subscribe('tracing:net.server.listen:asyncEnd', seen)
  t.after(() => unsubscribe('tracing:net.server.listen:asyncEnd', seen))
  const { log, port, server } = await portal(t, false)
  // As Node does where accept(2) fails for want of memory.
  listening?.emit('error', new Error('accept ENOBUFS'))
  assert.deepEqual(log, ['not accepted: accept ENOBUFS'])
  const socket = connect(port, '127.0.0.1')
  await until(
    () => server.connections.size === 1,
    () => 'not accepted',
  )
  socket.destroy()
})

test('connections that shake hands at the same time do not pass the limit of their address together', async (t) => {
  const limits = new ConnectionLimits({ connections: 100, connectionsPerAddress: 2, loginsAtOnce: 64 })
  const { server, log, port } = await portal(t, true, limits)
  const attempts = await Promise.allSettled([1, 2, 3, 4].map(() => connectTls({ ...trust, port })))
  for (const attempt of attempts) {
    if (attempt.status === 'fulfilled') t.after(() => attempt.value.destroy())
  }
  await until(
    () => log.filter((line) => /2 connections from 127\.0\.0\.1 already/.test(line)).length === 2,
    () => log.join(', '),
  )
  assert.equal(server.connections.size, 2)
})
