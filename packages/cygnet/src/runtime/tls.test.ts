import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { after, test, type TestContext } from 'node:test'
import { connect as connectRawTls, type TLSSocket } from 'node:tls'
import { CygnetError } from '../base/errors.ts'
import { TestCertificates } from './tls-certificates.test-helper.ts'
import { checkTlsClient, type ConnectTlsOptions, connectTls } from './tls-connect.ts'
import { type TlsEvent, TlsPortal, type TlsPortalOptions } from './tls.ts'

const files = new TestCertificates()
after(() => files.remove())
const ca = files.ca('Test CA')
const otherCa = files.ca('Other CA')
const good = files.issue('san.example.com', ca, { altNames: 'DNS:san.example.com,IP:127.0.0.1' })
const expired = files.issue('expired', ca, { altNames: 'IP:127.0.0.1', days: -1 })
const client = files.issue('client', ca, { altNames: 'DNS:client.example.com' })
const strangeClient = files.issue('strange', otherCa)
const expiredClient = files.issue('late', ca, { days: -1 })
const pskFile = files.path('psk.txt')
const otherPskFile = files.path('other-psk.txt')
writeFileSync(pskFile, `# initiators\nbackup:${'5a'.repeat(32)}\nweb:${'6b'.repeat(32)}\n`)
writeFileSync(otherPskFile, `backup:${'77'.repeat(32)}\n`)
const pskKey = files.path('backup.key.txt')
writeFileSync(pskKey, `${'5a'.repeat(32)}\n`)
const unknownPskFile = files.path('unknown-psk.txt')
writeFileSync(unknownPskFile, `nobody:${'77'.repeat(32)}\n`)

/** A TLS portal on a free port that sends back what it gets. */
async function portal(t: TestContext, options: TlsPortalOptions) {
  const events: TlsEvent[] = []
  const tls = new TlsPortal(options, (_peer, event) => events.push(event))
  const sockets = new Set<Socket>()
  const server = createServer({ pauseOnConnect: true }, (raw) => {
    sockets.add(raw)
    tls.accept(raw, (socket) => {
      socket.on('error', () => undefined)
      socket.pipe(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    tls.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const event = async (): Promise<TlsEvent> => {
    const end = performance.now() + 5000
    while (events.length === 0 && performance.now() < end) await new Promise((done) => setTimeout(done, 5))
    const first = events.shift()
    assert.ok(first, 'the portal said nothing')
    return first
  }
  return { tls, port, event }
}

async function failure(options: Omit<ConnectTlsOptions, 'host'>): Promise<CygnetError> {
  try {
    const socket = await connectTls({ host: '127.0.0.1', timeoutMs: 3000, ...options })
    socket.destroy()
  } catch (error) {
    assert.ok(error instanceof CygnetError, String(error))
    assert.match(error.message, /^[^\n]+\.$/, 'one sentence')
    return error
  }
  return assert.fail('it connected')
}

/** Sends something there and back. */
async function echo(socket: TLSSocket): Promise<void> {
  const text = 'x'.repeat(100_000)
  let back = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => (back += chunk))
  socket.resume()
  socket.end(text)
  await once(socket, 'end', { signal: AbortSignal.timeout(5000) })
  assert.equal(back, text)
}

async function connected(options: Omit<ConnectTlsOptions, 'host'>): Promise<void> {
  await echo(await connectTls({ host: '127.0.0.1', ...options, allowHalfOpen: true }))
}

const refusals: readonly {
  readonly name: string
  readonly portal: TlsPortalOptions
  readonly client: Partial<ConnectTlsOptions>
  readonly code: string
  readonly says: RegExp
  readonly log: RegExp
}[] = [
  {
    name: 'a portal certificate of a CA that is not trusted',
    portal: good,
    client: { caFile: otherCa.certFile },
    code: 'TLS_UNTRUSTED',
    says: /^The certificate of 127\.0\.0\.1:\d+ is not signed by a CA that is trusted here/,
    log: /does not accept this portal's certificate$/,
  },
  {
    name: 'a portal certificate that has expired',
    portal: expired,
    client: { caFile: ca.certFile },
    code: 'TLS_EXPIRED',
    says: /has expired/,
    log: /does not accept this portal's certificate, which expired on \d{4}-\d\d-\d\d$/,
  },
  {
    name: 'a portal certificate for another name',
    portal: good,
    client: { caFile: ca.certFile, serverName: 'other.example.com' },
    code: 'TLS_WRONG_NAME',
    says: /is not for other\.example\.com/,
    log: /does not accept this portal's certificate$/,
  },
  {
    name: 'a client without a certificate where one is asked for',
    portal: { ...good, clientCaFile: ca.certFile },
    client: { caFile: ca.certFile },
    code: 'TLS_CLIENT_CERTIFICATE_REQUIRED',
    says: /asks for a client certificate/,
    log: /shows no certificate/,
  },
  {
    name: 'a client certificate of another CA',
    portal: { ...good, clientCaFile: ca.certFile },
    client: { caFile: ca.certFile, ...strangeClient },
    code: 'TLS_CLIENT_CERTIFICATE_REFUSED',
    says: /does not accept the client certificate/,
    log: /not signed by a CA that this portal trusts/,
  },
  {
    name: 'a client certificate that has expired',
    portal: { ...good, clientCaFile: ca.certFile },
    client: { caFile: ca.certFile, ...expiredClient },
    code: 'TLS_CLIENT_CERTIFICATE_REFUSED',
    says: /does not accept the client certificate/,
    log: /^the initiator's certificate has expired$/,
  },
  {
    name: 'an unknown pre-shared key identity',
    portal: { pskFile },
    client: { pskFile: unknownPskFile },
    code: 'TLS_PSK_REFUSED',
    says: /does not take the pre-shared key "nobody"/,
    log: /^the pre-shared key identity "nobody" is not known here$/,
  },
  {
    name: 'a pre-shared key that differs',
    portal: { pskFile },
    client: { pskFile: otherPskFile },
    code: 'TLS_PSK_REFUSED',
    says: /does not take the pre-shared key "backup"/,
    log: /^the initiator has another key for the pre-shared key identity "backup"$/,
  },
  {
    name: 'a client without a pre-shared key where there is no certificate',
    portal: { pskFile },
    client: { caFile: ca.certFile },
    code: 'TLS_REFUSED',
    says: /may ask for a pre-shared key/,
    log: /offers no pre-shared key/,
  },
]
for (const { name, portal: options, client: wanted, code, says, log } of refusals)
  test(`${name} is refused with one sentence on both sides`, async (t) => {
    const { port, event, tls } = await portal(t, options)
    const error = await failure({ port, ...wanted })
    assert.equal(error.code, code)
    assert.match(error.message, says)
    const refused = await event()
    assert.ok(refused.kind === 'refused', refused.kind)
    assert.match(refused.reason, log)
    assert.doesNotMatch(refused.reason, /\n|0x|:error:/)
    assert.equal(tls.handshakes, 0)
  })

test('a client with a pre-shared key does not settle for a certificate', async (t) => {
  const { port } = await portal(t, { ...good, pskFile })
  const error = await failure({ port, pskFile: unknownPskFile, caFile: ca.certFile })
  assert.equal(error.code, 'TLS_PSK_REFUSED')
})

test('bytes go both ways over TLS 1.3, and a client without a certificate has no name', async (t) => {
  const { port, event } = await portal(t, good)
  await connected({ port, caFile: ca.certFile })
  const secured = await event()
  assert.ok(secured.kind === 'secured')
  assert.match(secured.cipher, /^TLS_/)
  assert.deepEqual(secured.peer, { kind: 'anonymous' })
  await connected({ port, caFile: ca.certFile, serverName: 'san.example.com' })
})

test("the client certificate's names are told", async (t) => {
  const { port, event } = await portal(t, { ...good, clientCaFile: ca.certFile })
  await connected({ port, caFile: ca.certFile, ...client })
  const secured = await event()
  assert.ok(secured.kind === 'secured')
  assert.deepEqual(secured.peer, {
    kind: 'certificate',
    subject: 'CN=client',
    altNames: 'DNS:client.example.com',
  })
})

test('a pre-shared key is enough on both sides, and its identity is told', async (t) => {
  const keysOnly = await portal(t, { psk: [{ identity: 'backup', keyFile: pskKey }] })
  await connected({ port: keysOnly.port, pskFile })
  const secured = await keysOnly.event()
  assert.ok(secured.kind === 'secured')
  assert.deepEqual(secured.peer, { kind: 'psk', identity: 'backup' })
})

test('a portal with a certificate takes clients with and without a pre-shared key', async (t) => {
  const { port, event } = await portal(t, { ...good, pskFile })
  await connected({ port, psk: { identity: 'backup', keyFile: pskKey } })
  const first = await event()
  assert.ok(first.kind === 'secured' && first.peer.kind === 'psk')
  await connected({ port, caFile: ca.certFile })
  const second = await event()
  assert.ok(second.kind === 'secured' && second.peer.kind === 'anonymous')
})

test("OpenSSL's own client connects with a pre-shared key in TLS 1.3 and not in TLS 1.2", async (t) => {
  const { port, event } = await portal(t, { pskFile })
  const run = async (version: string): Promise<string> => {
    const key = ['-psk_identity', 'backup', '-psk', '5a'.repeat(32)]
    const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...key, version])
    t.after(() => child.kill('SIGKILL'))
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.stdin.on('error', () => undefined)
    child.stdin.end()
    await once(child, 'close', { signal: AbortSignal.timeout(10_000) })
    return output
  }
  assert.match(await run('-tls1_3'), /TLSv1\.3, Cipher is TLS_/)
  assert.equal((await event()).kind, 'secured')
  await run('-tls1_2')
  const refused = await event()
  assert.ok(refused.kind === 'refused')
  assert.match(refused.reason, /does not offer TLS 1\.3/)
})

test('a TLS 1.2 client and a TLS 1.2 portal are told that it must be TLS 1.3', async (t) => {
  const { port, event } = await portal(t, good)
  const old = connectRawTls({ port, host: '127.0.0.1', maxVersion: 'TLSv1.2', rejectUnauthorized: false })
  await once(old, 'close').catch(() => undefined)
  const refused = await event()
  assert.ok(refused.kind === 'refused')
  assert.match(refused.reason, /does not offer TLS 1\.3/)
})

test('a plain client on a TLS portal gets a TLS alert, and the log says what it was', async (t) => {
  const { port, event } = await portal(t, good)
  const plain = connectTcp(port, '127.0.0.1')
  plain.write(Uint8Array.of(0x43, 0x87, 0, 0))
  const [answer] = (await once(plain, 'data')) as [Buffer]
  assert.equal(answer[0], 0x15)
  await once(plain, 'close')
  const refused = await event()
  assert.ok(refused.kind === 'refused')
  assert.match(refused.reason, /^the initiator does not speak TLS/)
})

const plainPortals: readonly [string, (socket: Socket) => void][] = [
  ['closes the connection', (socket) => socket.end()],
  ['resets the connection', (socket) => socket.resetAndDestroy()],
  ['answers with something else', (socket) => socket.end(Buffer.alloc(48, 0x3f))],
]
for (const [behaviour, answer] of plainPortals)
  test(`a TLS client is told that a plain portal is one that ${behaviour}`, async (t) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => answer(socket))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as AddressInfo
    const error = await failure({ port, caFile: ca.certFile })
    assert.equal(error.code, 'TLS_NOT_SPOKEN')
    assert.match(error.message, /does not answer in TLS: it is a portal without TLS/)
  })

test('a silent portal is given up, and one that does not exist is named', async (t) => {
  const silent = createServer((socket) => socket.on('error', () => undefined).resume())
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  assert.equal((await failure({ port, timeoutMs: 100 })).code, 'CONNECT_TIMEOUT')
  assert.equal((await failure({ port, signal: AbortSignal.abort() })).code, 'ABORTED')
  silent.close()
  await once(silent, 'close')
  const error = await failure({ port })
  assert.equal(error.code, 'CONNECTION_REFUSED')
  t.diagnostic(error.message)
})

test('a client that does not finish its handshake is ended, and one that leaves is told of', async (t) => {
  const { port, event, tls } = await portal(t, { ...good, handshakeTimeoutMs: 100 })
  const idle = connectTcp(port, '127.0.0.1')
  await once(idle.resume(), 'close')
  const timedOut = await event()
  assert.ok(timedOut.kind === 'refused')
  assert.match(timedOut.reason, /within 100 ms$/)
  const half = connectTcp(port, '127.0.0.1')
  half.write(Uint8Array.of(0x16, 3, 1, 2, 0, 1))
  await once(half.resume(), 'close')
  const halfWay = await event()
  assert.ok(halfWay.kind === 'refused')
  assert.match(halfWay.reason, /within 100 ms$/)
  const gone = connectTcp(port, '127.0.0.1')
  await once(gone, 'connect')
  gone.end()
  const left = await event()
  assert.ok(left.kind === 'refused')
  assert.match(left.reason, /left without a TLS handshake/)
  assert.equal(tls.handshakes, 0)
})

test('no more handshakes than allowed are under way: silent connections make room and keep nobody out', async (t) => {
  const { port, event, tls } = await portal(t, { ...good, maxHandshakes: 2 })
  const silent: Socket[] = []
  for (let i = 0; i < 2; i++) {
    const socket = connectTcp(port, '127.0.0.1').on('error', () => undefined)
    await once(socket, 'connect')
    silent.push(socket)
  }
  const [first, second] = silent as [Socket, Socket]
  const firstCloses = once(first, 'close')
  await connected({ port, caFile: ca.certFile })
  const refused = await event()
  assert.ok(refused.kind === 'refused')
  assert.match(refused.reason, /too many TLS handshakes at once/)
  await firstCloses
  assert.equal(second.destroyed, false)
  assert.equal((await event()).kind, 'secured')
  assert.equal(tls.handshakes, 1)
})

test('changed files are used for the next connection, and unusable ones are not', async (t) => {
  const certFile = files.path('changing.crt')
  const keyFile = files.path('changing.key')
  copyFileSync(expired.certFile, certFile)
  copyFileSync(expired.keyFile, keyFile)
  const { port, event } = await portal(t, { certFile, keyFile })
  assert.equal((await failure({ port, caFile: ca.certFile })).code, 'TLS_EXPIRED')
  await event()
  copyFileSync(good.certFile, certFile)
  copyFileSync(good.keyFile, keyFile)
  await connected({ port, caFile: ca.certFile })
  await event()
  writeFileSync(certFile, 'nonsense')
  await connected({ port, caFile: ca.certFile })
  const complaint = await event()
  assert.ok(complaint.kind === 'not-reloaded')
  assert.match(complaint.reason, /is not in PEM form/)
  await event()
  await connected({ port, caFile: ca.certFile })
  assert.equal((await event()).kind, 'secured', 'one complaint for one change')
})

const badKeys = files.path('bad-keys.txt')
const unusable: readonly [TlsPortalOptions, string, RegExp, string?][] = [
  [{}, 'TLS_OPTIONS', /needs a certificate with its key, or a pre-shared key/],
  [{ certFile: good.certFile }, 'TLS_OPTIONS', /belong together/],
  [{ clientCaFile: ca.certFile, pskFile }, 'TLS_OPTIONS', /need a certificate at the portal/],
  [{ ...good, clientCaFile: ca.certFile, pskFile }, 'TLS_OPTIONS', /not both: use two portals/],
  [
    { ...good, keyFile: files.path('none.key') },
    'TLS_FILE',
    /none\.key cannot be read: there is no such file/,
  ],
  [{ ...good, keyFile: client.keyFile }, 'TLS_FILE', /client\.key does not belong to the certificate/],
  [{ ...good, certFile: pskFile }, 'TLS_FILE', /is not in PEM form/],
  [{ pskFile: badKeys }, 'TLS_PSK', /line 2: the key must be hexadecimal/, '# x\nme:secret\n'],
  [{ pskFile: badKeys }, 'TLS_PSK', /the key has 8 bytes, and it must have 16/, `me:${'0a'.repeat(8)}\n`],
  [
    { pskFile: badKeys },
    'TLS_PSK',
    /line 2: the identity "me" is there twice/,
    `me:${'0a'.repeat(16)}\n`.repeat(2),
  ],
  [{ pskFile: badKeys }, 'TLS_PSK', /line 1: a line must be identity:key/, 'nothing\n'],
  [{ pskFile: badKeys }, 'TLS_PSK', /there is no line/, '\n'],
  [{ pskFile: badKeys }, 'TLS_PSK', /an identity has 1 to 128 bytes/, `:${'0a'.repeat(16)}\n`],
]
for (const [options, code, message, content] of unusable)
  test(`a portal is refused: ${message.source}`, () => {
    if (content !== undefined) writeFileSync(badKeys, content)
    assert.throws(() => new TlsPortal(options, () => undefined), { code, message })
  })

const unusableClients: readonly [Partial<ConnectTlsOptions>, string, RegExp][] = [
  [{ certFile: client.certFile }, 'TLS_OPTIONS', /belong together/],
  [{ ...client, keyFile: good.keyFile }, 'TLS_FILE', /san\.example\.com\.key does not belong/],
  [{ caFile: files.path('none.crt') }, 'TLS_FILE', /there is no such file/],
  [{ serverName: '127.0.0.1' }, 'TLS_OPTIONS', /must be a host name/],
]
for (const [options, code, message] of unusableClients)
  test(`an initiator's options are refused: ${message.source}`, async () => {
    assert.throws(() => checkTlsClient(options), { code, message })
    assert.equal((await failure({ port: 1, ...options })).code, code)
  })
