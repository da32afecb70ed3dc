import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, test, type TestContext } from 'node:test'
import { TestCertificates } from './tls-certificates.test-helper.ts'
import type { TlsEvent } from './tls.ts'
import { connectTls } from './tls-connect.ts'
import { Tunnel, type TunnelEvent, type TunnelLimits, type TunnelSide } from './tunnel.ts'

const files = new TestCertificates()
after(() => files.remove())
const ca = files.ca('Test CA')
const portal = files.issue('san.example.com', ca, { altNames: 'DNS:san.example.com' })
const pskFile = files.path('psk.txt')
writeFileSync(pskFile, `host1:${'3c'.repeat(32)}\n`)
const trust = { caFile: ca.certFile, serverName: 'san.example.com' }

interface Started {
  readonly tunnel: Tunnel
  readonly port: number
  readonly events: (TunnelEvent | TlsEvent)[]
  /** The first event of a kind, waited for. */
  event<Kind extends (TunnelEvent | TlsEvent)['kind']>(
    kind: Kind,
  ): Promise<Extract<TunnelEvent | TlsEvent, { kind: Kind }>>
}

async function start(
  t: TestContext,
  side: TunnelSide,
  toPort: number,
  limits?: Partial<TunnelLimits>,
): Promise<Started> {
  const events: (TunnelEvent | TlsEvent)[] = []
  const tunnel = new Tunnel({
    listen: { host: '127.0.0.1', port: 0 },
    to: { host: '127.0.0.1', port: toPort },
    side,
    ...(limits && { limits }),
    onEvent: (_peer, event) => events.push(event),
    onTlsEvent: (_peer, event) => events.push(event),
  })
  await tunnel.listen()
  t.after(() => tunnel.stop())
  return {
    tunnel,
    port: tunnel.endpoint.port,
    events,
    async event(kind) {
      const end = performance.now() + 5000
      for (;;) {
        const found = events.find((event) => event.kind === kind)
        if (found !== undefined) return found as never
        assert.ok(performance.now() < end, `no ${kind} in ${JSON.stringify(events)}`)
        await new Promise((done) => setTimeout(done, 5))
      }
    },
  }
}

/** A plain server on a free port. */
async function target(t: TestContext, serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => undefined))
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function both(t: TestContext, toPort: number): Promise<{ near: Started; far: Started }> {
  const far = await start(t, { kind: 'tls-in', tls: portal }, toPort)
  const near = await start(t, { kind: 'tls-out', tls: trust }, far.port)
  return { near, far }
}

const client = (t: TestContext, port: number, allowHalfOpen = false): Socket => {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen }).on('error', () => undefined)
  t.after(() => socket.destroy())
  return socket
}

test('bytes go both ways through both tunnels, and each half-close arrives', async (t) => {
  const said: Buffer[] = []
  const port = await target(t, (socket) => {
    socket.on('data', (chunk) => said.push(chunk))
    // It answers only after the client's half has ended.
    socket.on('end', () => socket.end(Buffer.concat(said)))
  })
  const { near, far } = await both(t, port)
  const socket = client(t, near.port, true)
  const bytes = Buffer.alloc(5_000_000, 'cygnet')
  socket.end(bytes)
  const back: Buffer[] = []
  socket.on('data', (chunk) => back.push(chunk))
  await once(socket, 'end', { signal: AbortSignal.timeout(10_000) })
  assert.ok(Buffer.concat(back).equals(bytes))
  const closed = await far.event('closed')
  assert.deepEqual([closed.sentBytes, closed.receivedBytes], [bytes.length, bytes.length])
  await near.event('closed')
  assert.deepEqual([near.tunnel.connections, far.tunnel.connections], [0, 0])
  assert.deepEqual(
    far.events.map(({ kind }) => kind),
    ['secured', 'opened', 'closed'],
  )
})

test('a receiver that does not read stops the sender', async (t) => {
  let received: Socket | undefined
  const port = await target(t, (socket) => {
    socket.pause()
    received = socket
  })
  const { near } = await both(t, port)
  const socket = client(t, near.port)
  const block = Buffer.alloc(1 << 20)
  let sent = 0
  const sendMore = (): void => {
    for (; sent < 200; sent++) if (!socket.write(block)) return
  }
  socket.on('drain', sendMore)
  await once(socket, 'connect')
  sendMore()
  // It is stuck when nothing has moved for a while.
  for (let before = -1; before !== socket.bytesWritten - socket.writableLength; ) {
    before = socket.bytesWritten - socket.writableLength
    await new Promise((done) => setTimeout(done, 300))
  }
  assert.ok(sent < 100, `${sent} MiB went into the tunnel`)
  received?.resume()
  await once(socket, 'drain', { signal: AbortSignal.timeout(5000) })
})

test('a reset at one end is passed on as the end of the other', async (t) => {
  const port = await target(t, (socket) => socket.once('data', () => socket.resetAndDestroy()))
  const { near, far } = await both(t, port)
  const socket = client(t, near.port)
  socket.write('x')
  await once(socket.resume(), 'close', { signal: AbortSignal.timeout(5000) })
  assert.match((await far.event('failed')).reason, /^127\.0\.0\.1:\d+: .*ECONNRESET/)
  await near.event('closed')
})

test('pre-shared keys alone secure a tunnel', async (t) => {
  const port = await target(t, (socket) => socket.pipe(socket))
  const far = await start(t, { kind: 'tls-in', tls: { pskFile } }, port)
  const near = await start(t, { kind: 'tls-out', tls: { pskFile } }, far.port)
  const socket = client(t, near.port)
  socket.write('hello')
  assert.equal(String((await once(socket, 'data'))[0]), 'hello')
  assert.deepEqual((await far.event('secured')).peer, { kind: 'psk', identity: 'host1' })
})

test('an initiator whose tunnel finds nothing is cut off, and the log says why', async (t) => {
  const gone = await target(t, () => undefined)
  const far = await start(t, { kind: 'tls-in', tls: portal }, 1)
  const cases: readonly [TunnelSide, number, RegExp][] = [
    [{ kind: 'tls-out', tls: trust }, 1, /^Nothing listens on 127\.0\.0\.1:1: /],
    [{ kind: 'tls-out', tls: { caFile: ca.certFile } }, far.port, /is not for 127\.0\.0\.1/],
    [{ kind: 'tls-out', tls: {} }, far.port, /not signed by a CA that is trusted here/],
    [{ kind: 'tls-out', tls: trust }, gone, /does not answer in TLS within 200 ms/],
  ]
  for (const [side, port, reason] of cases) {
    const near = await start(t, side, port, { connectTimeoutMs: 200 })
    await once(client(t, near.port).resume(), 'close', { signal: AbortSignal.timeout(5000) })
    assert.match((await near.event('failed')).reason, reason)
  }
})

test('a target that cannot be reached is named by the tunnel beside it', async (t) => {
  const far = await start(t, { kind: 'tls-in', tls: portal }, 1)
  // It may be ended before or after it is handed out.
  await connectTls({ host: '127.0.0.1', port: far.port, ...trust }).then(
    (socket) => socket.on('error', () => undefined).destroy(),
    () => undefined,
  )
  assert.match((await far.event('failed')).reason, /^The target at 127\.0\.0\.1:1 cannot be reached: /)
})

test('connections have a limit, and idle and half-closed ones a time', async (t) => {
  const port = await target(t, (socket) => socket.resume())
  const side: TunnelSide = { kind: 'tls-in', tls: { ...portal } }
  const far = await start(t, side, port, { maxConnections: 1, idleTimeoutMs: 100 })
  const first = await connectTls({ host: '127.0.0.1', port: far.port, ...trust })
  first.on('error', () => undefined)
  await once(client(t, far.port).resume(), 'close')
  assert.match((await far.event('failed')).reason, /there are 1 connections already/)
  await once(first.resume(), 'close', { signal: AbortSignal.timeout(5000) })
  await far.event('closed')
  assert.ok(far.events.some((event) => event.kind === 'failed' && event.reason === 'no bytes for 100 ms'))

  const half = await start(t, side, port, { halfCloseTimeoutMs: 100 })
  const socket = await connectTls({ host: '127.0.0.1', port: half.port, ...trust, allowHalfOpen: true })
  socket.on('error', () => undefined)
  socket.resume().end()
  await once(socket, 'close', { signal: AbortSignal.timeout(5000) })
  assert.match((await half.event('failed')).reason, /one side ended, and the other did not/)
})

test('stopping ends what is open, after what is in flight', async (t) => {
  const port = await target(t, (socket) => socket.pipe(socket))
  const { near, far } = await both(t, port)
  const socket = client(t, near.port)
  socket.write('hello')
  await once(socket, 'data')
  const waiting = connect(far.port, '127.0.0.1').on('error', () => undefined)
  await once(waiting, 'connect')
  const ended = once(socket.resume(), 'end')
  socket.end()
  await Promise.all([near.tunnel.stop(), ended])
  await Promise.all([far.tunnel.stop(), once(waiting.resume(), 'close')])
  assert.deepEqual([near.tunnel.connections, far.tunnel.connections], [0, 0])
})

test('an address that is taken is refused with the reason', async (t) => {
  const port = await target(t, () => undefined)
  const tunnel = new Tunnel({
    listen: { host: '127.0.0.1', port },
    to: { host: '127.0.0.1', port: 1 },
    side: { kind: 'tls-out', tls: {} },
    onEvent: () => undefined,
    onTlsEvent: () => undefined,
  })
  await assert.rejects(tunnel.listen(), { code: 'LISTEN_FAILED', message: /EADDRINUSE/ })
})
