import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { after, test, type TestContext } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { CygnetError } from '../base/errors.ts'
import { BufferPool } from '../base/pool.ts'
import type { StreamHandler } from '../initiator/ports.ts'
import { defaultInitiatorName } from './initiator-runtime.ts'
import { SocketTransport, tlsTransport } from './initiator-socket.ts'
import { TestCertificates } from './tls-certificates.test-helper.ts'
import { TlsPortal } from './tls.ts'
import { parseIscsiName } from '../session/iscsi-name.ts'

const files = new TestCertificates()
after(() => files.remove())
const ca = files.ca('Test CA')
const certificate = files.issue('portal', ca, { altNames: 'IP:127.0.0.1' })

async function listen(
  t: TestContext,
  accept: (socket: Socket) => void,
  options = {},
): Promise<{ host: string; port: number }> {
  const sockets = new Set<Socket>()
  const server: Server = createServer(options, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    accept(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

/** Remembers what came. */
class Recorder implements StreamHandler {
  readonly closures: string[] = []
  error: CygnetError | undefined
  readonly #parts: Buffer[] = []

  received(segment: { readonly bytes: Uint8Array }, start: number, end: number): void {
    this.#parts.push(Buffer.from(segment.bytes.subarray(start, end)))
  }
  drained(): void {}
  closed(reason: string, error?: CygnetError): void {
    this.closures.push(reason)
    this.error = error
  }
  get bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !condition(); tries++) {
    // oxlint-disable-next-line no-await-in-loop -- waiting is what it does
    await setTimeout(10)
  }
  assert.ok(condition(), 'it did not come about in time')
}

/** More than a segment, so that several are filled. */
const large = Uint8Array.from({ length: 1_000_000 }, (_, index) => (index * 7 + (index >>> 9)) & 0xff)

for (const way of ['TCP', 'TLS'] as const) {
  test(`bytes go both ways over ${way}, and every buffer comes back`, async (t) => {
    const pool = new BufferPool({ poison: true })
    const echo = (socket: Socket): void => void socket.pipe(socket)
    const tls = new TlsPortal(certificate, () => undefined)
    t.after(() => tls.close())
    const portal =
      way === 'TCP'
        ? await listen(t, echo)
        : await listen(t, (raw) => tls.accept(raw, echo), { pauseOnConnect: true })
    const transport =
      way === 'TCP' ? new SocketTransport({ pool }) : tlsTransport({ caFile: ca.certFile }, pool)
    const recorder = new Recorder()
    const stream = await transport.connect(portal, 5000, recorder)
    assert.deepEqual(stream.peer, portal)
    let sent = 0
    stream.write([large.subarray(0, 10), large.subarray(10, 500_000), large.subarray(500_000)], () => sent++)
    await until(() => recorder.bytes.length === large.length)
    assert.ok(recorder.bytes.equals(large))
    assert.equal(sent, 1)
    stream.end()
    await until(() => recorder.closures.length === 1 && pool.inUse === 0)
    stream.write([large], () => sent++)
    assert.equal(sent, 2, 'what cannot be sent is let go of')
  })
}

test('after a reset nothing of what was written goes out any more', async (t) => {
  const pool = new BufferPool({ poison: true })
  let peer: Socket | undefined
  const portal = await listen(t, (socket) => void (peer = socket.pause().on('error', () => undefined)))
  const recorder = new Recorder()
  const stream = await new SocketTransport({ pool }).connect(portal, 5000, recorder)
  await until(() => peer !== undefined)
  let sent = 0
  // More than the system's buffers of both sides take.
  const bytes = new Uint8Array(32 * 1024 * 1024)
  stream.write([bytes], () => sent++)
  await setTimeout(50)
  stream.reset()
  await until(() => sent === 1 && recorder.closures.length === 1 && pool.inUse === 0)
  let received = 0
  const ended = Promise.withResolvers<string>()
  peer?.on('error', (error: NodeJS.ErrnoException) => ended.resolve(error.code ?? ''))
  peer?.on('end', () => ended.resolve('end'))
  peer?.on('data', (chunk: Buffer) => (received += chunk.length))
  peer?.resume()
  assert.equal(await ended.promise, 'ECONNRESET')
  assert.ok(received < bytes.length)
})

for (const [what, serve] of [
  ['with nothing to send', (socket: Socket) => void socket.on('error', () => undefined)],
  ['that the target has closed', (socket: Socket) => void socket.end()],
] as const) {
  test(`a reset closes a connection ${what}`, async (t) => {
    const pool = new BufferPool({ poison: true })
    const portal = await listen(t, serve)
    const recorder = new Recorder()
    const stream = await new SocketTransport({ pool }).connect(portal, 5000, recorder)
    await setTimeout(50)
    stream.reset()
    await until(() => recorder.closures.length === 1 && pool.inUse === 0)
  })
}

test('the end of the connection is told once', async (t) => {
  const pool = new BufferPool()
  const portal = await listen(t, (socket) => socket.end('bye'))
  const recorder = new Recorder()
  await new SocketTransport({ pool }).connect(portal, 5000, recorder)
  await until(() => pool.inUse === 0)
  assert.deepEqual(recorder.closures, ['the target closed it'])
  assert.equal(recorder.bytes.toString(), 'bye')
})

test('what connecting fails with has a code and says what to do', async (t) => {
  const pool = new BufferPool()
  const tcp = new SocketTransport({ pool })
  await assert.rejects(tcp.connect({ host: '127.0.0.1', port: 1 }, 5000, new Recorder()), {
    code: 'CONNECT_FAILED',
    message: 'Nothing listens at 127.0.0.1:1: look whether the target runs, and at which port.',
  })
  const silent = await listen(t, () => undefined)
  await assert.rejects(tlsTransport({}, pool).connect(silent, 200, new Recorder()), {
    code: 'CONNECT_TIMEOUT',
  })
  const plain = new SocketTransport({
    pool,
    openStream: (_portal, timeoutMs) =>
      setTimeout(timeoutMs + 1).then(() => Promise.reject(new DOMException('', 'TimeoutError'))),
  })
  await assert.rejects(plain.connect(silent, 10, new Recorder()), {
    code: 'CONNECT_TIMEOUT',
    message: /does not answer within 10 ms/,
  })
  assert.equal(pool.inUse, 0)
})

for (const host of ['vm', 'My_Host.local', '', 'ünï', '-', 'x'.repeat(300)]) {
  test(`the default name on the host "${host.slice(0, 20)}" is an iSCSI name`, () => {
    const name = defaultInitiatorName(host)
    assert.equal(parseIscsiName(name), name)
  })
}

test('a plain connection to a portal that speaks TLS fails with what to do about it', async (t) => {
  const portal = new TlsPortal(
    { certFile: certificate.certFile, keyFile: certificate.keyFile },
    () => undefined,
  )
  const address = await listen(t, (socket) => portal.accept(socket, () => undefined), {
    pauseOnConnect: true,
  })
  const handler = new Recorder()
  const stream = await new SocketTransport({ pool: new BufferPool() }).connect(address, 5000, handler)
  stream.write([Buffer.alloc(48)], () => undefined)
  await until(() => handler.closures.length > 0)
  assert.equal(handler.error?.code, 'TLS_REQUIRED')
  assert.match(handler.error?.message ?? '', /takes TLS connections only: connect with TLS/)
  assert.equal(handler.bytes.length, 0)
})
