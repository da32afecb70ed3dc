/** SIGHUP: the configuration file is read again, and initiators that are logged in hear of what is news to them. */
import assert from 'node:assert/strict'
import { truncateSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { connect, type DeviceEvent } from '../../packages/cygnet/src/initiator.ts'
import { type Configured, startConfigured } from '../support/configured.ts'
import { DiskLoad } from '../support/disk-load.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { type CommandResult, RawInitiator } from '../support/raw-initiator.ts'
import { run, Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { crashShard, logged, shardOf } from '../support/sharded.ts'
import { createImage, until } from '../support/subject.ts'

const A = 'iqn.2026-11.dev.example:a'
const B = 'iqn.2026-11.dev.example:b'
const host = (name: string): string => `iqn.2026-11.dev.example:${name}`
const LOAD = { workers: 4, partBytes: 1 << 20, mostBytes: 64 << 10 } as const
const KEY = 0x1a2bn
const POWER_ON = '6/2900'
const LUNS_CHANGED = '6/3f0e'
const INQUIRY_CHANGED = '6/3f03'
const NO_UNIT = '5/2500'

const url = (server: Configured, lun: number, target = A): string =>
  `iscsi://127.0.0.1:${server.subject.port}/${target}/${lun}`

/** What TEST UNIT READY ends with: `good`, or sense key and additional sense. */
async function ready(initiator: RawInitiator, lun: number): Promise<string> {
  const { status, senseKey, asc } = await initiator.command([0, 0, 0, 0, 0, 0], { lun })
  return status === 0
    ? 'good'
    : senseKey === undefined
      ? `status ${status}`
      : `${senseKey}/${asc?.toString(16)}`
}

/** All that a LUN has to say. */
async function heard(initiator: RawInitiator, lun: number): Promise<string[]> {
  const said: string[] = []
  for (let answer = await ready(initiator, lun); answer !== 'good'; answer = await ready(initiator, lun)) {
    said.push(answer)
    if (!answer.startsWith('6/')) break
  }
  return said
}

async function reportLuns(initiator: RawInitiator): Promise<number[]> {
  const { status, data } = await initiator.command([0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], { read: 256 })
  assert.equal(status, 0)
  return Array.from({ length: data.readUInt32BE(0) / 8 }, (_, index) => data.readUInt16BE(8 + 8 * index))
}

let ports = 0

/** Logs in, and has heard what every LUN says at first. */
async function open(
  t: TestContext,
  server: Configured,
  luns: readonly number[],
  options: { target?: string; initiatorName?: string } = {},
): Promise<RawInitiator> {
  const isid = Buffer.of(0x80, 0, 0, 0, 1, ++ports)
  const initiator = await RawInitiator.open(server.subject.port, { target: A, isid, ...options })
  t.after(() => initiator.close())
  for (const lun of luns) assert.deepEqual(await heard(initiator, lun), [POWER_ON])
  return initiator
}

async function iscsiLs(server: Configured): Promise<string> {
  const { stdout } = await run(peerPath('iscsi-ls'), ['-s', `iscsi://${server.subject.portal}`])
  return stdout
}

for (const shards of [1, 2]) {
  test(`LUNs come and go under load, with ${shards === 1 ? 'one process' : 'shards'}`, {
    timeout: 90_000,
  }, async (t) => {
    if (!requirePeers(t, 'iscsi-ls')) return
    const scratch = new Scratch(t)
    const random = new Seeded()
    t.diagnostic(`CYGNET_SEED=${random.seed}`)
    const image = (name: string) => ({ file: scratch.path(`${name}.img`), size: '16M' })
    const configuration = (luns: object) => ({
      targets: { [A]: { luns: { 0: image('a0'), ...luns } }, [B]: { luns: { 0: image('b0') } } },
      shards,
    })
    await using server = await startConfigured(scratch, configuration({}))
    const first = await open(t, server, [0])
    const second = await open(t, server, [0])
    const stranger = await open(t, server, [0], { target: B })
    const disk = await connect(url(server, 0))
    t.after(() => disk.close())
    const events: DeviceEvent[] = []
    disk.onEvent((event) => events.push(event))
    let isOver = false
    const load = new DiskLoad(disk, random, LOAD)
    const running = load.run(() => isOver)

    await t.test('a LUN appears: every nexus of its target hears it once', async () => {
      await server.reconfigure(configuration({ 1: image('a1'), 7: { memory: '1M' } }))
      assert.equal(logged(server, 'LUN added'), 2)
      // From any LUN; then no other one says it.
      assert.deepEqual(await heard(first, 0), [LUNS_CHANGED])
      assert.deepEqual(await heard(first, 1), [POWER_ON])
      assert.deepEqual(await heard(first, 7), [POWER_ON])
      // REPORT LUNS says it, too.
      assert.deepEqual(await reportLuns(second), [0, 1, 7])
      assert.deepEqual(await heard(second, 0), [])
      for (const lun of [1, 7]) assert.deepEqual(await heard(second, lun), [POWER_ON])
      assert.deepEqual(await heard(stranger, 0), [], 'of another target')
      assert.match(await iscsiLs(server), /Lun:1 +Type:DIRECT_ACCESS[^]*Lun:7 /)
      assert.ok(await until(() => events.some(({ kind }) => kind === 'luns-changed'), 5000))
    })

    await t.test('it is a disk like any other', async () => {
      await using other = await connect(url(server, 1))
      const written = random.bytes(4096)
      await other.write(8192, written)
      assert.deepEqual(Buffer.from(await other.read(8192, 4096)), written)
    })

    await t.test(
      'a LUN goes: commands under way end first; its image is free, and what it holds is there',
      async () => {
        const writes: Promise<CommandResult>[] = []
        for (let n = 0; n < 32; n++) {
          writes.push(
            first.command([0x2a, 0, 0, 0, 0, n * 8, 0, 0, 8, 0], { lun: 1, write: Buffer.alloc(4096, n) }),
          )
        }
        // Registered with APTPL: it is there when the LUN is back.
        const list = Buffer.alloc(24)
        list.writeBigUInt64BE(KEY, 8)
        list[20] = 1
        const out = await first.command([0x5f, 6, 0, 0, 0, 0, 0, 0, 24, 0], { lun: 1, write: list })
        assert.equal(out.status, 0)
        await server.reconfigure(configuration({ 7: { memory: '1M' } }))
        for (const { status } of await Promise.all(writes)) assert.equal(status, 0)
        assert.equal(await ready(first, 1), NO_UNIT)
        assert.deepEqual(await heard(first, 7), [LUNS_CHANGED])
        assert.deepEqual(await heard(first, 0), [])
        assert.deepEqual(await reportLuns(first), [0, 7])
        const { data } = await first.command([0x12, 0, 0, 0, 36, 0], { lun: 1, read: 36 })
        assert.equal(data.readUInt8(0), 0x7f)
        // The same image under another LUN, of another target even: its lock is gone.
        await using elsewhere = await startConfigured(scratch, {
          targets: { [A]: { luns: { 0: image('a1') } } },
        })
        await using copy = await connect(url(elsewhere, 0))
        const found = await copy.read(0, 32 * 4096)
        for (let n = 0; n < 32; n++) assert.equal(found[n * 4096], n)
      },
    )

    await t.test('it comes back, with its registrations', async () => {
      await server.reconfigure(configuration({ 1: image('a1') }))
      assert.deepEqual(await heard(first, 0), [LUNS_CHANGED])
      assert.deepEqual(await reportLuns(first), [0, 1])
      assert.deepEqual(await heard(first, 1), [POWER_ON])
      const keys = await first.command([0x5e, 0, 0, 0, 0, 0, 0, 0, 64, 0], { lun: 1, read: 64 })
      assert.equal(keys.data.readBigUInt64BE(8), KEY)
    })

    isOver = true
    await running
    await load.verify()
    t.diagnostic(`${load.writes} writes, ${load.reads} reads of LUN 0`)
    assert.ok(!events.some(({ kind }) => kind === 'path-lost' || kind === 'failed'), 'the session stayed')
    assert.equal(logged(server, 'LUN removed', { lun: 0 }), 0)
    for (const initiator of [first, second, stranger]) await initiator.logout()
    await disk.close()
    assert.equal((await server.subject.stop()).code, 0)
  })
}

test('a shard that is started again serves what it was to serve last', { timeout: 60_000 }, async (t) => {
  const scratch = new Scratch(t)
  const image = (name: string) => ({ file: scratch.path(`${name}.img`), size: '1M' })
  const configuration = (luns: object, access: object = {}) => ({
    targets: { [A]: { luns, ...access }, [B]: { luns: { 0: image('d9') } } },
    shards: 2,
  })
  await using server = await startConfigured(scratch, configuration({ 0: image('d0'), 1: image('d1') }))
  const access = { access: [{ initiators: [host('mine')] }] }
  await server.reconfigure(configuration({ 1: image('d1'), 2: image('d2'), 3: { file: '/nowhere' } }, access))
  await open(t, server, [1], { initiatorName: host('mine') })
  const shard = Number(shardOf(server, A))
  await crashShard(server, shard)
  const initiator = await open(t, server, [1, 2], { initiatorName: host('mine') })
  assert.deepEqual(await reportLuns(initiator), [1, 2])
  await assert.rejects(open(t, server, [1]), 'nobody else may log in')
})

test('what else a new configuration changes', { timeout: 90_000 }, async (t) => {
  const scratch = new Scratch(t)
  const [mine, other] = [host('mine'), host('other')]
  const image = (name: string, more: object = {}) => ({
    file: scratch.path(`${name}.img`),
    size: '16M',
    ...more,
  })
  const all = [{ initiators: [host('*')] }]
  const luns = { 0: image('c0'), 1: image('c1') }
  await using server = await startConfigured(scratch, { targets: { [A]: { luns, access: all } } })
  const { subject } = server
  const said = (text: string): boolean => subject.log.some(({ msg }) => msg === text)

  await t.test('what INQUIRY shows: INQUIRY DATA HAS CHANGED, in the middle of reads', async (inner) => {
    const initiator = await open(inner, server, [0, 1], { initiatorName: mine })
    const isRemovable = async (): Promise<boolean> => {
      const { data } = await initiator.command([0x12, 0, 0, 0, 36, 0], { lun: 1, read: 36 })
      return (data.readUInt8(1) & 0x80) !== 0
    }
    assert.equal(await isRemovable(), false)
    await using disk = await connect(url(server, 1), { initiatorName: other })
    const written = Buffer.alloc(4096, 7)
    await disk.write(0, written)
    const over = new AbortController()
    const reading = (async () => {
      while (!over.signal.aborted) assert.deepEqual(Buffer.from(await disk.read(0, 4096)), written)
    })()
    await server.reconfigure({
      targets: { [A]: { luns: { ...luns, 1: image('c1', { removable: true }) }, access: all } },
    })
    over.abort()
    await reading
    assert.deepEqual(await heard(initiator, 1), [POWER_ON, INQUIRY_CHANGED])
    assert.deepEqual(await heard(initiator, 0), [])
    assert.equal(await isRemovable(), true)
    assert.deepEqual(await reportLuns(initiator), [0, 1])
  })

  await t.test('who sees what', async (inner) => {
    await server.reconfigure({ targets: { [A]: { luns, access: all } } })
    const [one, two] = [
      await open(inner, server, [0, 1], { initiatorName: mine }),
      await open(inner, server, [0, 1], { initiatorName: other }),
    ]
    const access = [{ initiators: [mine], luns: [0], readOnly: true }]
    await server.reconfigure({ targets: { [A]: { luns, access } } })
    assert.deepEqual(await heard(one, 0), [LUNS_CHANGED])
    assert.deepEqual(await reportLuns(one), [0])
    assert.equal(await ready(one, 1), NO_UNIT)
    const write = await one.command([0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], { lun: 0, write: Buffer.alloc(512) })
    assert.equal(write.senseKey, 7)
    // Nothing lets the other one in any more.
    await assert.rejects(ready(two, 0))
    await assert.rejects(open(inner, server, [0], { initiatorName: other }))
    await server.reconfigure({ targets: { [A]: { luns, access: all } } })
    assert.deepEqual(await heard(one, 0), [LUNS_CHANGED])
    assert.deepEqual(await heard(one, 1), [POWER_ON])
    await open(inner, server, [0, 1], { initiatorName: other })
  })

  await t.test('an image under another LUN', async (inner) => {
    const initiator = await open(inner, server, [0, 1], { initiatorName: mine })
    await server.reconfigure({ targets: { [A]: { luns: { 0: image('c0'), 2: image('c1') }, access: all } } })
    assert.deepEqual(await heard(initiator, 0), [LUNS_CHANGED])
    assert.deepEqual(await reportLuns(initiator), [0, 2])
    await server.reconfigure({ targets: { [A]: { luns, access: all } } })
    // LUN 0 goes, too, and may come back.
    await server.reconfigure({ targets: { [A]: { luns: { 1: image('c1') }, access: all } } })
    assert.equal(await ready(initiator, 0), NO_UNIT)
    await server.reconfigure({ targets: { [A]: { luns, access: all } } })
    assert.deepEqual(await reportLuns(initiator), [0, 1])
    await initiator.logout()
  })

  await t.test('commands that do not end are aborted after 10 seconds', async (inner) => {
    const initiator = await open(inner, server, [0, 1], { initiatorName: mine })
    // It waits for data that does not come.
    const cdb = [0x2a, 0, 0, 0, 0, 0, 0, 0, 8, 0]
    const asked = new Promise<void>((resolve) => {
      const onR2t = (): boolean => (resolve(), false)
      const options = { lun: 1, write: Buffer.alloc(4096), immediate: false, onR2t }
      initiator.command(cdb, options).catch(() => undefined)
    })
    await asked
    await server.reconfigure({ targets: { [A]: { luns: { 0: image('c0') }, access: all } } })
    assert.equal(
      logged(server, 'commands in work have not ended, and are aborted: the LUN is to be removed'),
      1,
    )
    assert.deepEqual(await heard(initiator, 0), [LUNS_CHANGED])
    await server.reconfigure({ targets: { [A]: { luns, access: all } } })
    assert.deepEqual(await reportLuns(initiator), [0, 1])
  })

  await t.test('a LUN that cannot be opened is left out, until it can', async (inner) => {
    const initiator = await open(inner, server, [0, 1], { initiatorName: mine })
    const missing = {
      targets: {
        [A]: { luns: { ...luns, 2: { file: scratch.path('late.img') }, 3: { memory: '1M' } }, access: all },
      },
    }
    await server.reconfigure(missing)
    assert.ok(
      subject.log.some(({ msg, lun }) => /^LUN not added: .*late\.img/.test(String(msg)) && lun === 2),
    )
    assert.deepEqual(await reportLuns(initiator), [0, 1, 3])
    createImage(scratch.path('late.img'), '1M')
    await server.reconfigure(missing)
    assert.deepEqual(await reportLuns(initiator), [0, 1, 2, 3])
    await server.reconfigure({ targets: { [A]: { luns, access: all } } })
  })

  await t.test('a file with errors changes nothing, but images may have grown', async (inner) => {
    const initiator = await open(inner, server, [0, 1], { initiatorName: mine })
    truncateSync(scratch.path('c0.img'), 32 << 20)
    await server.reconfigure(`targets:\n  ${A}:\n    luns:\n      0: { file: c0.img, sise: 1M }\n`)
    const errors = subject.log.filter(({ level }) => level === 'error').map(({ msg }) => String(msg))
    assert.ok(
      errors.some((line) => /\.yaml:4:26: error: .*sise/.test(line)),
      errors.join('\n'),
    )
    assert.deepEqual(await heard(initiator, 0), ['6/2a09'])
    assert.deepEqual(await reportLuns(initiator), [0, 1])
  })

  await t.test('what has to wait for the next start is named', async () => {
    await server.reconfigure({
      portals: [{ listen: '127.0.0.1:0' }, { listen: '127.0.0.1:0', group: 2 }],
      limits: { connections: 7 },
      targets: {
        [A]: { luns: { 0: image('c0'), 1: image('another') }, access: all, alias: 'new', groups: [1] },
        [B]: { luns: { 0: { memory: '1M' } } },
      },
    })
    for (const setting of ['portals', 'limits', `targets["${B}"]`, `targets["${A}"].luns[1]`]) {
      assert.ok(said(`${setting} changed: takes effect at the next start`), subject.stderr.slice(-2000))
    }
    assert.ok(!said(`targets["${A}"].luns[0] changed: takes effect at the next start`))
  })

  assert.equal((await subject.stop()).code, 0)
})
