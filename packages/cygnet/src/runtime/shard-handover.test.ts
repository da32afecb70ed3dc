import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { after, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildBhs, encodeText, frame, Op } from '../../../../test/support/raw-pdu.ts'
import { BufferPool } from '../base/pool.ts'
import { defaultTargetLimits } from '../session/limits.ts'
import { RecoveryCounters } from '../session/recovery-counters.ts'
import { MemoryBudget } from '../session/target-role/memory-budget.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import { TargetNode } from '../target/target-node.ts'
import { systemClock } from './clock.ts'
import { ConnectionLimits } from './connection-limits.ts'
import { type HandedConnection, LoginRoute } from './shard-login.ts'
import { TcpServer } from './tcp-server.ts'
import { TestCertificates } from './tls-certificates.test-helper.ts'
import { TlsPortal } from './tls.ts'
import { connectTls } from './tls-connect.ts'

const files = new TestCertificates()
after(() => files.remove())
const ca = files.ca('Test CA')
const certificate = files.issue('portal', ca, { altNames: 'IP:127.0.0.1' })

const NO_DIGESTS = { header: false, data: false }
const NOTHING = new Uint8Array()

/** A TLS portal whose targets are all served elsewhere, a connection to it, and what it hands over. */
async function portal(t: TestContext): Promise<{ initiator: Socket; handed: HandedConnection[] }> {
  const handed: HandedConnection[] = []
  const pool = new BufferPool({ poison: true })
  const node = new TargetNode({ targets: [], clock: systemClock })
  const letsIn: Partial<TargetHost> = {
    admit: () => ({
      ok: true,
      portalGroupTag: 1,
      targetAlias: '',
      authMethods: ['None'],
      authenticator: () => {
        throw new Error('nobody authenticates here')
      },
    }),
    establish: () => {
      throw new Error('nobody logs in here')
    },
  }
  const server: TcpServer = new TcpServer({
    address: '127.0.0.1',
    port: 0,
    host: node.addPortal({ group: 1, endpoint: () => server.endpoint }),
    pool,
    limits: defaultTargetLimits,
    budget: new MemoryBudget(0),
    counters: new RecoveryCounters(),
    connectionLimits: new ConnectionLimits(),
    clock: systemClock,
    onEvent: () => undefined,
    handover: {
      newRoute: (host) => new LoginRoute(Object.assign(host, letsIn), () => true, 65_536),
      take: (connection) => handed.push(connection),
    },
    tls: new TlsPortal(certificate, () => undefined),
  })
  await server.listen()
  const port = Number(server.endpoint.split(':')[1])
  const initiator = await connectTls({ host: '127.0.0.1', port, caFile: ca.certFile })
  t.after(() => {
    initiator.destroy()
    for (const { socket } of handed) socket.destroy()
    server.stopListening()
    server.destroyConnections()
  })
  return { initiator, handed }
}

const login = frame(
  buildBhs(Op.login, { immediate: true, flags: 0x87, itt: 1 }),
  encodeText({ InitiatorName: 'iqn.2026-11.dev.example:i', TargetName: 'iqn.2026-11.dev.example:t' }),
  NO_DIGESTS,
)

test('what follows a login closely goes with it, once and whole', { timeout: 5000 }, async (t) => {
  const { initiator, handed } = await portal(t)
  // More than a receive segment, in one TLS record.
  const sent = Buffer.concat([login, randomBytes(12_000)])
  initiator.write(sent)
  while (handed.length === 0) await sleep(1)
  const parts: Uint8Array[] = [handed[0]?.received ?? NOTHING]
  const received = (): Buffer => Buffer.concat(parts)
  const end = performance.now() + 1000
  while (received().length < sent.length && performance.now() < end) {
    const rest = handed[0]?.socket.read() as Buffer | null
    if (rest) parts.push(rest)
    await sleep(1)
  }
  assert.equal(handed.length, 1)
  assert.ok(sent.equals(received()), `${received().length} of ${sent.length} bytes`)
})
