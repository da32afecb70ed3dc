/** A LUN over several portals: paths that are cut, fall silent and come back under `cygnet verify`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, type DeviceEvent } from '../../packages/cygnet/src/initiator.ts'
import { type Configured, startConfigured } from '../support/configured.ts'
import { Relay } from '../support/relay.ts'
import { exitOf, runOk, Scratch } from '../support/scratch.ts'
import { collect, mainScript, sleep, startCygnet, until } from '../support/subject.ts'

const TIMEOUT_MS = 120_000
const TARGET = 'iqn.2026-11.dev.example:paths'
/** Two portals, each a portal group; `paths` says how good they are. */
const twoPortals = (scratch: Scratch, paths: Record<number, string> = {}): Promise<Configured> =>
  startConfigured(scratch, {
    portals: [
      { listen: '127.0.0.1:0', group: 1 },
      { listen: '127.0.0.1:0', group: 2 },
    ],
    targets: { [TARGET]: { paths, luns: { 0: { memory: '64M' } } } },
  })

interface Report {
  readonly wrong: unknown
  readonly pathsLost: number
  readonly requests: number
  readonly latencyMs: { readonly max: number }
}

/** Runs `cygnet verify` while `harm` goes on; what it reports. */
async function verifyUnder(
  scratch: Scratch,
  relays: readonly Relay[],
  seconds: number,
  harm: () => Promise<void>,
): Promise<Report> {
  const url = `iscsi://127.0.0.1:${relays[0]?.port}/${TARGET}/0`
  const paths = relays.slice(1).flatMap(({ port }) => ['--path', `127.0.0.1:${port}`])
  const args = [mainScript, 'verify', url, ...paths, '--time', String(seconds), '--span', '32M', '--json']
  const child = scratch.spawn(process.execPath, args)
  const output = collect(child)
  await until(() => relays.every(({ carriedBytes }) => carriedBytes > 1 << 20), 20_000)
  await harm()
  await exitOf(child)
  await until(() => output.stdout.includes('\n'), 1000)
  assert.equal(child.exitCode, 0, output.stderr)
  return JSON.parse(output.stdout) as Report
}

test('two paths, cut in turn: no error, no wrong byte, no long stall', { timeout: TIMEOUT_MS }, async (t) => {
  const scratch = new Scratch(t)
  await using server = await twoPortals(scratch)
  const relays = await Promise.all(server.ports.map((port) => Relay.start(port)))
  scratch.defer(() => Promise.all(relays.map((relay) => relay.cut())))
  const report = await verifyUnder(scratch, relays, 12, async () => {
    for (const relay of [...relays, ...relays]) {
      await relay.cut()
      await sleep(1000)
      await relay.restore()
      await sleep(1500)
    }
  })
  assert.equal(report.wrong, null)
  assert.ok(report.pathsLost >= 3 && report.requests > 1000, JSON.stringify(report))
  assert.ok(report.latencyMs.max < 5000, JSON.stringify(report))
})

test('one path alone, cut again and again: its session is opened again, and nothing is lost', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const scratch = new Scratch(t)
  await using server = await twoPortals(scratch)
  const relay = await Relay.start(server.ports[0] ?? 0)
  scratch.defer(() => relay.cut())
  const report = await verifyUnder(scratch, [relay], 12, async () => {
    for (let i = 0; i < 3; i++) {
      await relay.cut()
      await sleep(300)
      await relay.restore()
      await sleep(3000)
    }
  })
  assert.equal(report.wrong, null)
  assert.ok(report.pathsLost >= 3 && report.requests > 1000, JSON.stringify(report))
  assert.ok(report.latencyMs.max < 10_000, JSON.stringify(report))
})

test('a path that falls silent is given up within five seconds', { timeout: TIMEOUT_MS }, async (t) => {
  const scratch = new Scratch(t)
  await using server = await twoPortals(scratch)
  const relays = await Promise.all(server.ports.map((port) => Relay.start(port)))
  scratch.defer(() => Promise.all(relays.map((relay) => relay.cut())))
  const report = await verifyUnder(scratch, relays, 8, async () => {
    relays[1]?.silence()
    await sleep(5000)
    await relays[1]?.restore()
  })
  assert.equal(report.wrong, null)
  assert.ok(report.pathsLost === 1, JSON.stringify(report))
  assert.ok(report.latencyMs.max > 1000 && report.latencyMs.max < 5000, JSON.stringify(report))
})

test('data goes by the optimized path, by another one when that is lost, and back', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const scratch = new Scratch(t)
  await using server = await twoPortals(scratch, { 1: 'non-optimized', 2: 'optimized' })
  const relays = await Promise.all(server.ports.map((port) => Relay.start(port)))
  scratch.defer(() => Promise.all(relays.map((relay) => relay.cut())))
  await using disk = await connect(`iscsi://127.0.0.1:${relays[0]?.port}/${TARGET}/0`, {
    paths: [`127.0.0.1:${relays[1]?.port}`],
  })
  const events: DeviceEvent[] = []
  disk.onEvent((event) => events.push(event))
  // The path that is not the best carries nothing: its loss shows, and disturbs nobody.
  relays[0]?.silence()
  const start = performance.now()
  for (let i = 0; i < 50; i++) await disk.write(i * 512, new Uint8Array(512).fill(i))
  assert.ok(performance.now() - start < 900)
  await relays[0]?.restore()
  await relays[1]?.cut()
  assert.deepEqual(await disk.read(49 * 512, 512), new Uint8Array(512).fill(49))
  await relays[1]?.restore()
  await until(() => events.filter(({ kind }) => kind === 'path-restored').length >= 2, 20_000)
  assert.ok(events.some(({ kind }) => kind === 'path-lost'))
  assert.deepEqual(await disk.read(0, 512), new Uint8Array(512))
})

test('a lost session is reinstated by another portal of its group, so that a newer write need not wait', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const scratch = new Scratch(t)
  await using server = await startConfigured(scratch, {
    portals: [
      { listen: '127.0.0.1:0', group: 1 },
      { listen: '127.0.0.1:0', group: 1 },
    ],
    targets: { [TARGET]: { luns: { 0: { memory: '64M' } } } },
  })
  const relay = await Relay.start(server.ports[1] ?? 0)
  scratch.defer(() => relay.cut())
  await using disk = await connect(`iscsi://127.0.0.1:${server.ports[0]}/${TARGET}/0`, {
    paths: [`127.0.0.1:${relay.port}`],
  })
  const lost = Promise.withResolvers<number>()
  disk.onEvent(({ kind }) => kind === 'path-lost' && lost.resolve(performance.now()))
  // The target's side of the path stays, and new connections by it are not answered.
  relay.silence()
  const writes = [0, 4096].map((offset) => disk.write(offset, new Uint8Array(4096).fill(1)))
  const newer = disk.write(0, new Uint8Array(8192).fill(2))
  await Promise.all(writes)
  await newer
  const waitedMs = performance.now() - (await lost.promise)
  assert.ok(waitedMs < 1500, `${waitedMs} ms`)
  assert.deepEqual(await disk.read(0, 8192), new Uint8Array(8192).fill(2))
  assert.match(server.subject.stderr, /reinstate/)
})

test('portals that the target tells are paths; other units are refused as such', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  const scratch = new Scratch(t)
  await using server = await twoPortals(scratch)
  const url = `iscsi://127.0.0.1:${server.ports[0]}/${TARGET}/0`
  await using disk = await connect(url, { paths: 'discover' })
  await disk.write(0, new Uint8Array(512).fill(9))
  const { stdout } = await runOk(process.execPath, [mainScript, 'info', url, '--all-paths', '--json'])
  const { usedPaths } = JSON.parse(stdout) as { usedPaths: unknown }
  assert.deepEqual(
    usedPaths,
    server.ports.map((port) => ({ path: `127.0.0.1:${port}`, lun: 0, isUp: true, state: 'optimized' })),
  )
  const other = await startCygnet(scratch, { memory: '16M' })
  await assert.rejects(connect(url, { paths: [other.url()] }), { code: 'PATHS_DIFFER' })
})

test('one path alone: a target that is killed and comes back', { timeout: TIMEOUT_MS }, async (t) => {
  const scratch = new Scratch(t)
  const image = scratch.path('disk.img')
  const first = await startCygnet(scratch, { images: [image], size: '64M' })
  const { port } = first
  await using disk = await connect(first.url())
  const events: string[] = []
  disk.onEvent(({ kind }) => events.push(kind))
  await disk.write(0, new Uint8Array(4096).fill(1))
  await first.crash()
  const write = disk.write(2048, new Uint8Array(4096).fill(2))
  await startCygnet(scratch, { images: [image], port })
  await write
  const bytes = await disk.read(0, 8192)
  assert.deepEqual([bytes[2047], bytes[2048], bytes[6143], bytes[6144]], [1, 2, 2, 0])
  const ofPaths = events.filter((kind) => kind.startsWith('path-'))
  assert.deepEqual(ofPaths, ['path-lost', 'path-restored'], events.join())
})
