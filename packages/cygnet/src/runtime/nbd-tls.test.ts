import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { BufferPool } from '../base/pool.ts'
import { MemoryDevice } from '../initiator/memory-device.test-helper.ts'
import type { NbdServerEvent } from '../nbd/server-connection.ts'
import { connectNbd } from './nbd-connect.ts'
import { NbdServer } from './nbd-server.ts'
import type { TlsPortalOptions } from './tls.ts'
import { TestCertificates } from './tls-certificates.test-helper.ts'

const certificates = new TestCertificates()
after(() => certificates.remove())
const ca = certificates.ca('ca')
const other = certificates.ca('other')
const own = certificates.issue('server', ca, { altNames: 'IP:127.0.0.1,DNS:localhost' })
const client = certificates.issue('client', ca)
const pskFile = certificates.path('psk')
writeFileSync(pskFile, `alice:${'5a'.repeat(32)}\n`, { mode: 0o600 })

async function start(tls: TlsPortalOptions, kind: 'tcp' | 'unix') {
  const device = new MemoryDevice(1 << 20)
  const pool = new BufferPool({ poison: true })
  const events: NbdServerEvent[] = []
  const server = new NbdServer({
    listen:
      kind === 'tcp' ? { kind, host: '127.0.0.1', port: 0 } : { kind, path: certificates.path('nbd.sock') },
    exports: [{ name: 'disk', description: '', device }],
    pool,
    tls,
    onEvent: (_, event) => events.push(event),
  })
  await server.listen()
  const { address } = server
  const url = (more: string): string =>
    address.kind === 'tcp'
      ? `nbds://127.0.0.1:${address.port}/disk?${more}`
      : `nbds+unix:///disk?socket=${address.path}&${more}`
  return { server, device, pool, events, url }
}

for (const [what, kind, tls, parameters] of [
  ['a certificate', 'tcp', own, `tls-ca=${ca.certFile}`],
  ['a certificate, on a Unix socket', 'unix', own, `tls-ca=${ca.certFile}`],
  [
    'certificates on both sides',
    'tcp',
    { ...own, clientCaFile: ca.certFile },
    `tls-ca=${ca.certFile}&tls-cert=${client.certFile}&tls-key=${client.keyFile}`,
  ],
  ['a pre-shared key', 'tcp', { pskFile }, `tls-psk-file=${pskFile}`],
] as const) {
  test(`with ${what}, what is written is read`, async () => {
    const { server, device, pool, url } = await start(tls, kind)
    const disks = await Promise.all([connectNbd(url(parameters)), connectNbd(url(parameters))])
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 251)
    await disks[0]?.write(1000, bytes)
    assert.deepEqual(await disks[1]?.read(1000, bytes.length), bytes)
    assert.deepEqual(device.bytes.subarray(1000, 301_000), bytes)
    for (const disk of disks) await disk.close()
    await server.stop()
    assert.equal(server.connections, 0)
    assert.equal(pool.inUse, 0)
  })
}

test('who is not believed, or does not ask for TLS, gets nothing', async () => {
  const { server, pool, events, url } = await start({ ...own, clientCaFile: ca.certFile }, 'tcp')
  const trusting = `tls-ca=${ca.certFile}`
  await assert.rejects(connectNbd(url(`tls-ca=${other.certFile}`)), { code: 'TLS_UNTRUSTED' })
  await assert.rejects(connectNbd(url(trusting)), { code: 'TLS_CLIENT_CERTIFICATE_REQUIRED' })
  await assert.rejects(connectNbd(url(`${trusting}&tls-hostname=elsewhere`)), { code: 'TLS_WRONG_NAME' })
  await assert.rejects(connectNbd(url('').replace('nbds:', 'nbd:').replace('?', '')), {
    code: 'NBD_REFUSED',
    message: /wants TLS: write nbds/,
  })
  assert.ok(!events.some(({ kind }) => kind === 'attached'))
  await server.stop()
  assert.equal(pool.inUse, 0)
})

test('a server without TLS is not used where TLS is wanted', async () => {
  const device = new MemoryDevice(1 << 20)
  const path = certificates.path('plain.sock')
  const exports = [{ name: 'disk', description: '', device }]
  const server = new NbdServer({ listen: { kind: 'unix', path }, exports })
  await server.listen()
  await assert.rejects(connectNbd(`nbds+unix:///disk?socket=${path}`), {
    code: 'NBD_REFUSED',
    message: /has no TLS/,
  })
  await server.stop()
})
