/** Our initiator against Linux's own target (LIO): four connections, error recovery level 2, while connections are cut. */
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connectDisk } from '../../packages/cygnet/src/initiator/connect.ts'
import { Initiator } from '../../packages/cygnet/src/initiator/initiator.ts'
import { nodeInitiatorRuntime } from '../../packages/cygnet/src/runtime/initiator-runtime.ts'
import { DiskLoad } from '../support/disk-load.ts'
import { FaultProxy } from '../support/fault-proxy.ts'
import { FaultSchedule } from '../support/fault-schedule.ts'
import { requireGuest, startGuest } from '../support/guest.ts'
import { freePort, Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { until } from '../support/subject.ts'

const BOOT_TIMEOUT_MS = 60_000
const LOAD_MS = 30_000
const TARGET = 'iqn.2026-11.dev.example:lio'

test('LIO at error recovery level 2: connections are cut, and nobody sees an I/O error', {
  timeout: 240_000,
}, async (t) => {
  if (!(await requireGuest(t))) return
  const scratch = new Scratch(t)
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const port = await freePort()
  const guest = startGuest(scratch, 'kernel-target-recovery.sh', { PORT: String(port), TARGET }, port)
  let ended = false
  const finished = guest.finished.finally(() => {
    ended = true
  })
  const isReady = (): boolean => existsSync(join(guest.folder, 'ready'))
  await until(() => isReady() || ended, BOOT_TIMEOUT_MS)
  assert.ok(isReady(), `LIO is not up:\n${guest.console().slice(-4000)}`)

  const proxy = await FaultProxy.start(scratch, port, { random })
  const events: string[] = []
  const runtime = nodeInitiatorRuntime()
  const { disk, session } = await connectDisk(runtime, new Initiator(runtime), {
    host: '127.0.0.1',
    port: proxy.port,
    target: TARGET,
    lun: 0,
    connections: 4,
    errorRecoveryLevel: 2,
    headerDigest: ['CRC32C'],
    dataDigest: ['CRC32C'],
    limits: { nopIntervalMs: 1000, nopTimeoutMs: 3000, maxBurstLength: 65536, firstBurstLength: 16384 },
    onRecovery: (event) => events.push(event.kind),
  })
  const { counters } = session
  assert.equal(session.parameters.errorRecoveryLevel, 2)
  assert.equal(session.parameters.maxConnections, 4)

  await t.test('writes and reads go on over four connections', async () => {
    const load = new DiskLoad(disk, random, { workers: 12, partBytes: 1 << 20, mostBytes: 256 << 10 })
    assert.ok(await until(() => session.connectionCount === 4, 10_000))
    const schedule = new FaultSchedule(proxy, {
      mix: { reset: 2, fin: 1, stall: 1 },
      everyMs: [800, 3000],
      lastsMs: [200, 800],
      most: 15,
    })
    scratch.defer(() => schedule.stop())
    const end = performance.now() + LOAD_MS
    await load.run(() => performance.now() > end)
    schedule.stop()
    await load.verify()
    const said = Object.entries(counters).filter(([, count]) => typeof count === 'number' && count > 0)
    t.diagnostic(`${schedule.done.join(', ')}; ${load.writes} writes, ${load.reads} reads`)
    t.diagnostic(JSON.stringify(Object.fromEntries(said)))
    t.diagnostic(events.join(' '))
    assert.ok(load.writes > 100 && load.reads > 100)
    assert.ok(counters.connectionLost >= 3, 'connections were lost')
    assert.ok(counters.connectionRecovery >= 3, 'connections were recovered')
    assert.ok(counters.taskReassign >= 1, 'tasks were reassigned')
    assert.equal(counters.sessionLost, 0)
  })

  await t.test('LIO has kept no session, and is well', async () => {
    await disk.close()
    writeFileSync(join(guest.folder, 'stop'), '')
    assert.equal(await finished, 0, guest.console().slice(-6000))
    t.diagnostic(/guest: exit code.*/.exec(guest.console())?.[0] ?? '')
  })
})
