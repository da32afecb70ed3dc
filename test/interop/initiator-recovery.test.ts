/** Our initiator on a network that cuts and stalls: other people's targets, with session recovery, and our own at every level. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Session } from '../../packages/cygnet/src/initiator.ts'
import { connectDisk } from '../../packages/cygnet/src/initiator/connect.ts'
import { Initiator } from '../../packages/cygnet/src/initiator/initiator.ts'
import type { SessionOptions } from '../../packages/cygnet/src/initiator/options.ts'
import { nodeInitiatorRuntime } from '../../packages/cygnet/src/runtime/initiator-runtime.ts'
import { DiskLoad } from '../support/disk-load.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { type FaultMix, FaultSchedule } from '../support/fault-schedule.ts'
import { startIstgt } from '../support/istgt.ts'
import { requirePeers } from '../support/peer.ts'
import { Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { startCygnet, startTgt, until } from '../support/subject.ts'

const TIMEOUT_MS = 90_000
const LOAD_MS = 12_000

interface Place {
  readonly port: number
  readonly target: string
  readonly lun: number
}

/** Keeps a disk busy while faults happen to its connections; what it reads is right, and no request fails. */
async function amidFaults(
  t: TestContext,
  scratch: Scratch,
  { port, target, lun }: Place,
  mix: FaultMix,
  options: Partial<SessionOptions>,
): Promise<Session> {
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const proxy = await FaultProxy.start(scratch, port, { random })
  const runtime = nodeInitiatorRuntime()
  const { disk, session } = await connectDisk(runtime, new Initiator(runtime), {
    host: '127.0.0.1',
    port: proxy.port,
    target,
    lun,
    headerDigest: ['CRC32C', 'None'],
    dataDigest: ['CRC32C', 'None'],
    ...options,
    limits: { nopIntervalMs: 1000, nopTimeoutMs: 2000, ...options.limits },
  })
  const wanted = Math.min(options.connections ?? 1, session.parameters.maxConnections)
  assert.ok(
    await until(() => session.connectionCount === wanted, 10_000),
    `${session.connectionCount} connections`,
  )
  const load = new DiskLoad(disk, random, { workers: 8, partBytes: 1 << 20, mostBytes: 128 << 10 })
  const plan = { everyMs: [300, 1500], lastsMs: [100, 600], most: 15 } as const
  const schedule = new FaultSchedule(proxy, { mix, ...plan })
  scratch.defer(() => schedule.stop())
  const end = performance.now() + LOAD_MS
  await load.run(() => performance.now() > end)
  schedule.stop()
  await load.verify()
  const said = Object.entries(session.counters).filter(([, count]) => typeof count === 'number' && count > 0)
  t.diagnostic(`${load.writes} writes, ${load.reads} reads; ${schedule.done.join(', ')}`)
  t.diagnostic(JSON.stringify(Object.fromEntries(said)))
  assert.ok(load.writes + load.reads > 50)
  await disk.close()
  assert.equal(await session.ended, undefined, 'the logout was confirmed')
  return session
}

test('tgt: the session is opened again', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'tgtd', 'tgtadm')) return
  const scratch = new Scratch(t)
  const subject = await startTgt(scratch, { images: [scratch.path('disk')], size: '64M' })
  const place = { port: subject.port, target: subject.iqn, lun: subject.lun() }
  const { counters } = await amidFaults(t, scratch, place, { reset: 2, fin: 1, stall: 1, corrupt: 2 }, {})
  assert.ok(counters.sessionReinstatement >= 3 && counters.taskReplayed > 0)
})

test('istgt: two connections, and the session is opened again', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'istgt')) return
  const scratch = new Scratch(t)
  const { port, base } = await startIstgt(scratch, [{ name: 'disk', size: '64M', blockSize: 512 }])
  const place = { port, target: `${base}:disk`, lun: 0 }
  const session = await amidFaults(t, scratch, place, { reset: 2, fin: 1 }, { connections: 2 })
  assert.equal(session.parameters.maxConnections, 2)
  assert.ok(session.counters.sessionReinstatement >= 2)
})

test('our own target', { timeout: 3 * TIMEOUT_MS }, async (t) => {
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  for (const errorRecoveryLevel of [0, 1, 2] as const)
    await t.test(`level ${errorRecoveryLevel}, four connections`, async (level) => {
      const scratch = new Scratch(level)
      const subject = await startCygnet(scratch, { images: [scratch.path('disk')], size: '64M' })
      const mix = { reset: 2, fin: 1, stall: 2, corrupt: 4, split: 1 }
      const place = { port: subject.port, target: subject.iqn, lun: 0 }
      const { counters, parameters } = await amidFaults(level, scratch, place, mix, {
        connections: 4,
        errorRecoveryLevel,
        // So that commands take several turns.
        limits: { maxBurstLength: 32 << 10, firstBurstLength: 8 << 10, maxOutstandingR2T: 1 },
      })
      assert.deepEqual([parameters.maxConnections, parameters.errorRecoveryLevel], [4, errorRecoveryLevel])
      assert.ok(counters.connectionLost > 0)
      if (errorRecoveryLevel === 2) {
        assert.ok(counters.connectionRecovery > 0 && counters.taskReassign > 0)
        assert.equal(counters.sessionLost, 0)
      } else assert.ok(counters.sessionReinstatement > 0)
    })
})
