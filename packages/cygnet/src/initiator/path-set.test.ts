import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Opcode } from '../scsi/opcodes.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { encodeReportLuns } from '../scsi/lun.ts'
import { SenseKey } from '../scsi/sense.ts'
import { ScsiStatus } from '../scsi/status.ts'
import { attention, check, FakeDisk, status as answer } from './fake-disk.test-helper.ts'
import { diskOn, Network, turn, two, untilEvent } from './fake-paths.test-helper.ts'

test('commands go round robin over all paths', async () => {
  const network = two()
  await using disk = await diskOn(await network.open(), network)
  const before = network.counts()
  for (let i = 0; i < 10; i++) await disk.read(0, 512)
  assert.deepEqual(
    network.counts().map((count, index) => count - (before[index] ?? 0)),
    [5, 5],
  )
})

test('what is under way on a lost path goes on another one, and the path comes back', async () => {
  const network = two()
  await using disk = await diskOn(await network.open(), network)
  for (const session of network.sessions) if (session) session.isStuck = session === network.sessions[0]
  const writes = Promise.all(
    Array.from({ length: 6 }, (_, i) => disk.write(i * 512, new Uint8Array(512).fill(i + 1))),
  )
  await turn()
  network.cut(0)
  await writes
  for (let i = 0; i < 6; i++) assert.equal(network.disks[0]?.bytes[i * 512], i + 1)
  assert.deepEqual(network.events, [{ kind: 'path-lost', path: 'path 0', reason: 'it was cut.' }])
  const failed = network.sessions[0]
  network.isDown[0] = false
  // Only timers are left: the path's next try.
  await network.timing.runUntil(
    (async () => {
      while (network.events.length < 2) await turn()
    })(),
  )
  assert.equal(network.events[1]?.kind, 'path-restored')
  assert.notEqual(network.sessions[0], failed)
})

test('a command that must not run twice fails with its path', async () => {
  const network = two()
  const paths = await network.open()
  const [first] = network.sessions
  if (first) first.isStuck = true
  const command = { lun: 0, cdb: new Uint8Array(16) }
  const outcomes = Promise.allSettled([
    paths.execute({ ...command, replay: 'never' }),
    paths.execute({ ...command, replay: 'never' }),
  ])
  await turn()
  network.cut(0)
  assert.deepEqual((await outcomes).map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  await paths.close()
})

test('with no path left commands wait, and go on when one is back', async () => {
  const network = two()
  await using disk = await diskOn(await network.open(), network)
  network.cut(0)
  network.cut(1)
  await turn()
  const read = disk.read(0, 512)
  await turn()
  network.isDown[1] = false
  assert.ok((await network.timing.runUntil(read)) < 5000)
  await read
})

test('and fail when that takes too long, or who waits gives up', async () => {
  const network = two()
  const disk = await diskOn(await network.open(3000), network)
  network.cut(0)
  network.cut(1)
  await turn()
  const controller = new AbortController()
  const given = disk.read(0, 512, { signal: controller.signal })
  const read = disk.read(512, 512)
  await turn()
  controller.abort(new Error('enough'))
  await assert.rejects(given, /enough/)
  assert.equal(await network.timing.runUntil(read), 3000)
  await assert.rejects(read, { code: 'PATHS_LOST', message: /path 0 is down, path 1 is down/ })
  await assert.rejects(disk.read(0, 512), { code: 'PATHS_LOST' }, 'at once')
  network.isDown.fill(false)
  await untilEvent(network, 'path-restored')
  await disk.read(0, 512)
  network.cut(0)
  network.cut(1)
  await turn()
  await disk.close()
  // What a lost path does later finds that it is not wanted any more.
  await network.timing.runUntil(turn().then(turn).then(turn))
  assert.equal(network.timing.timers, 0)
})

describe('a disk that is closed while no path is up', () => {
  for (const [what, isLostBefore] of [
    ['lost before', true],
    ['lost while it waits', false],
  ] as const) {
    test(`${what}: it ends at once, and what waited fails`, async () => {
      const network = two()
      const disk = await diskOn(await network.open(), network)
      for (const session of network.sessions) if (session && !isLostBefore) session.isStuck = true
      const cut = (): void => [0, 1].forEach((index) => network.cut(index))
      if (isLostBefore) {
        cut()
        await turn()
      }
      const write = disk.write(0, new Uint8Array(512))
      write.catch(() => undefined)
      await turn()
      const start = network.timing.now()
      const closing = disk.close()
      if (!isLostBefore) cut()
      await closing
      assert.equal(network.timing.now() - start, 0)
      await assert.rejects(write, { code: 'SESSION_CLOSED' })
    })
  }
})

test('some paths may be missing at the start; with none the first error is told', async () => {
  const network = two()
  network.isDown[0] = true
  const paths = await network.open()
  assert.equal(paths.sessions.length, 1)
  assert.deepEqual(
    paths.reports.map(({ path, isUp, state }) => [path, isUp, state]),
    [
      ['path 0', false, 'optimized'],
      ['path 1', true, 'optimized'],
    ],
  )
  await paths.close()
  network.isDown[1] = true
  await assert.rejects(network.open(), { code: 'CONNECT_FAILED', message: /path 0/ })
})

test('paths to different units are refused', async () => {
  const other = new FakeDisk()
  other.serialNumber = 'OTHER'
  const network = new Network([new FakeDisk(), other])
  await assert.rejects(network.open(), { code: 'PATHS_DIFFER' })
  assert.ok(network.sessions.every((session) => session?.isClosed))
})

test('a unit that has another LUN on a path is found by its identifier', async () => {
  const network = two()
  const [disk] = network.disks
  const other = new FakeDisk()
  other.serialNumber = 'OTHER'
  const absent = new FakeDisk()
  absent.deviceType = 0x1f
  /** A target with other disks before the one that is wanted. */
  const target = new FakeDisk()
  const units = [other, absent, disk]
  target.execute = (command) => {
    if (command.cdb[0] !== Opcode.reportLuns) return (units[command.lun] ?? absent).execute(command)
    const list = encodeReportLuns([0, 1, 2], false)
    command.dataIn?.set(list)
    return Promise.resolve(answer(ScsiStatus.good, { dataInBytes: list.length }))
  }
  network.disks[1] = target
  await using opened = await diskOn(await network.open(), network)
  const before = network.counts()
  await opened.write(0, new Uint8Array(512).fill(1))
  await opened.write(0, new Uint8Array(512).fill(2))
  assert.deepEqual(network.counts(), [(before[0] ?? 0) + 1, (before[1] ?? 0) + 1])
  assert.deepEqual([disk?.bytes[0], other.bytes[0]], [2, 0])
})

test('units that say nothing of who they are make no paths', async () => {
  const network = two()
  const [disk] = network.disks
  assert.ok(disk)
  disk.serialNumber = ''
  await assert.rejects(network.open(), { code: 'PATHS_DIFFER', message: /no identifier/ })
})

test('a path in standby is not used, and asked again', async () => {
  const [near, far] = [new FakeDisk(), new FakeDisk()]
  far.bytes = near.bytes
  const network = new Network([near, far])
  await using disk = await diskOn(await network.open(), network)
  const standby = check({ key: SenseKey.notReady, additional: 0x040b })
  far.answers.push({ opcode: Opcode.read10, answer: standby })
  await disk.read(0, 512)
  await disk.read(0, 512)
  far.log.length = 0
  for (let i = 0; i < 4; i++) await disk.read(0, 512)
  assert.equal(far.log.length, 0)
  const wait = (async () => {
    while (far.log.length === 0) await turn()
    await turn()
  })()
  await network.timing.runUntil(wait)
  far.log.length = 0
  await disk.read(0, 512)
  await disk.read(0, 512)
  assert.equal(far.log.length, 1)
})

test('a target that asks for a logout loses the path, and gets it back', async () => {
  const network = two()
  await using disk = await diskOn(await network.open(), network)
  await network.sessions[0]?.close()
  await untilEvent(network, 'path-restored')
  assert.deepEqual(
    network.events.map(({ kind }) => kind),
    ['path-lost', 'path-restored'],
  )
  await disk.read(0, 512)
})

test('what every path reports is heard once; the next time it is news again', async () => {
  const [near, far] = [new FakeDisk(), new FakeDisk()]
  far.bytes = near.bytes
  const network = new Network([near, far])
  await using disk = await diskOn(await network.open(), network)
  const heard: string[] = []
  disk.onEvent(({ kind }) => heard.push(kind))
  for (const one of [near, far])
    one.answers.push({ opcode: Opcode.read10, answer: attention(AdditionalSense.reservationsPreempted) })
  for (let i = 0; i < 4; i++) await disk.read(0, 512)
  assert.deepEqual(heard, ['reservation-lost'])
  near.answers.push({ opcode: Opcode.read10, answer: attention(AdditionalSense.reservationsPreempted) })
  for (let i = 0; i < 2; i++) await disk.read(0, 512)
  assert.equal(heard.length, 2)
})

test('a capacity that changed while no path was up is noticed', async () => {
  const network = two()
  await using disk = await diskOn(await network.open(), network)
  const sizes: number[] = []
  disk.onEvent((event) => event.kind === 'capacity-changed' && sizes.push(event.sizeBytes))
  network.cut(0)
  network.cut(1)
  await turn()
  const [unit] = network.disks
  assert.ok(unit)
  unit.capacity = { ...unit.capacity, blocks: 2048 }
  network.isDown.fill(false)
  await untilEvent(network, 'path-restored')
  await disk.read(0, 512)
  assert.deepEqual(sizes, [2048 * 512])
})

test('a path may have another LUN', async () => {
  const network = two()
  network.luns = [0, 5]
  await using disk = await diskOn(await network.open(), network)
  const [unit] = network.disks
  unit?.log.splice(0)
  await disk.read(0, 512)
  await disk.read(0, 512)
  assert.deepEqual(unit?.log.map(({ lun }) => lun).toSorted(), [0, 5])
})
