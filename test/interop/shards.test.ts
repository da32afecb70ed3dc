/** Several processes behind one address: real clients on several targets, the crash of one shard, and everything that holds for all. */
import assert from 'node:assert/strict'
import { truncateSync, writeFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect, Reservations } from '../../packages/cygnet/src/initiator.ts'
import { ReservationType } from '../../packages/cygnet/src/scsi/persistent-reservation.ts'
import { TestCertificates } from '../../packages/cygnet/src/runtime/tls-certificates.test-helper.ts'
import { type Configured, startConfigured } from '../support/configured.ts'
import { DiskLoad } from '../support/disk-load.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { RawInitiator } from '../support/raw-initiator.ts'
import { chapLogin, identity, INITIATOR, RawLogin, Stage, statusOf } from '../support/raw-login.ts'
import { freePort, runOk, run, Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { cpuMs, crashShard, isAlive, logged, shardOf, shardPid } from '../support/sharded.ts'
import { createImage, mainScript, sleep, until } from '../support/subject.ts'

const A = 'iqn.2026-11.dev.example:a'
const B = 'iqn.2026-11.dev.example:b'
const USER = { user: 'host', secret: 'the-only-secret' }
const ISID = Buffer.from('800000000001', 'hex')
const KEY = '1a2b'.padStart(16, '0')
const KILLS = 2
const LOAD = { workers: 4, partBytes: 1 << 20, mostBytes: 64 << 10 } as const

const url = (server: Configured, target: string, port = server.subject.port): string =>
  `iscsi://127.0.0.1:${port}/${target}/0`

/** Two targets, each with an image and in a shard of its own. */
const start = (scratch: Scratch, more: object = {}): Promise<Configured> =>
  startConfigured(scratch, {
    targets: {
      [A]: { luns: { 0: { file: scratch.path('a.img'), size: '64M' } } },
      [B]: { luns: { 0: { file: scratch.path('b.img'), size: '64M' } } },
    },
    shards: 2,
    ...more,
  })

let logins = 0

/** A login by an initiator port of its own: its status, or that the connection was closed. */
async function logIn(server: Configured, target: string, from?: string): Promise<string> {
  const initiator = await RawInitiator.connect(server.subject.port, '127.0.0.1', from)
  const status = await new RawLogin(initiator, Buffer.of(0x80, 0, 0, 0, 0, ++logins))
    .request(identity(target), { next: Stage.fullFeature })
    .then(statusOf, () => 'closed')
  // The process that listens hears of it at about the same time.
  await sleep(50)
  return status
}

test('people’s clients use both targets at once by one address', { timeout: 120_000 }, async (t) => {
  if (!requirePeers(t, 'iscsi-ls', 'iscsi-perf', 'qemu-img')) return
  const scratch = new Scratch(t)
  await using server = await start(scratch)
  const { stdout } = await runOk(peerPath('iscsi-ls'), ['-s', `iscsi://${server.subject.portal}`])
  for (const target of [A, B])
    assert.match(stdout, new RegExp(`Target:${target} Portal:${server.subject.portal},1\\n`))
  assert.equal(stdout.match(/^Lun:0 /gm)?.length, 2, stdout)

  const images = [A, B].map((target, index) => {
    const image = scratch.path(`source-${index}`)
    createImage(image, '64M')
    return { image, target }
  })
  const pids = { main: server.subject.pid, shards: [shardPid(server, 1), shardPid(server, 2)] }
  const before = { main: cpuMs(pids.main), shards: pids.shards.map(cpuMs) }
  await Promise.all(
    images.map(async ({ image, target }, index) => {
      const raw = ['-f', 'raw']
      await runOk(peerPath('qemu-io'), [...raw, '-c', `write -P ${17 + index} 1M 8M`, image])
      await runOk(peerPath('qemu-img'), ['convert', '-n', ...raw, '-O', 'raw', image, url(server, target)])
      await runOk(peerPath('qemu-img'), ['compare', ...raw, '-F', 'raw', image, url(server, target)])
      await runOk(peerPath('iscsi-perf'), ['-m', '32', '-b', '8', '-t', '3', '-r', url(server, target)])
    }),
  )
  const mainMs = cpuMs(pids.main) - before.main
  const shardMs = pids.shards.map((pid, index) => cpuMs(pid) - (before.shards[index] ?? 0))
  t.diagnostic(`CPU: shards ${shardMs.join(' and ')} ms, the process that listens ${mainMs} ms`)
  assert.notEqual(shardOf(server, A), shardOf(server, B))
  // No I/O passes the process that listens.
  assert.ok(mainMs < Math.min(...shardMs) / 4, `${mainMs} ms`)
  assert.equal((await server.subject.stop()).code, 0)
})

test('kill -9 of a shard: the other serves on, and an initiator of the killed one goes on when it is back', {
  timeout: 120_000,
}, async (t) => {
  const scratch = new Scratch(t)
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  await using server = await start(scratch)
  await using killed = await connect(url(server, A), { isid: ISID })
  await using other = await connect(url(server, B))
  const shard = Number(shardOf(server, A))
  const reservations = new Reservations(killed)
  await reservations.register(KEY, true)
  await reservations.take(KEY, ReservationType.exclusiveAccess)
  const loads = [new DiskLoad(killed, random, LOAD), new DiskLoad(other, random, LOAD)] as const
  let isOver = false
  const running = Promise.all(loads.map((load) => load.run(() => isOver)))
  const failed = running.catch(() => undefined)
  for (let round = 0; round < KILLS; round++) {
    await sleep(random.between(50, 500))
    const writes = loads[1].writes
    await Promise.race([crashShard(server, shard), failed])
    assert.ok(loads[1].writes > writes, 'the other shard wrote meanwhile')
  }
  const { writes } = loads[0]
  assert.ok(
    await until(() => loads[0].writes > writes + 5, 20_000),
    'the killed shard’s initiator writes again',
  )
  isOver = true
  await running
  for (const load of loads) await load.verify()
  t.diagnostic(`${loads.map((load) => load.writes).join(' and ')} writes`)
  assert.equal(logged(server, 'login', { target: B }), 1, 'nobody lost the other shard')
  assert.ok(logged(server, 'login', { target: A }) > 1)
  assert.equal(
    logged(server, 'shard ended: its targets are away until it is back', { how: 'SIGKILL' }),
    KILLS,
  )
  const { registrations } = await reservations.status()
  assert.deepEqual(
    registrations.map(({ key, holds }) => [key, holds]),
    [[KEY, ReservationType.exclusiveAccess]],
  )
})

test('a login is handed over whole, however its requests are cut', async (t) => {
  await using server = await start(new Scratch(t))
  /** Logs in with requests of one key each, the target's name last, and uses the disk. */
  async function cut(write: (initiator: RawInitiator, bytes: Buffer) => void): Promise<void> {
    const initiator = await RawInitiator.connect(server.subject.port)
    t.after(() => initiator.close())
    const login = new RawLogin(initiator)
    const send = initiator.socket.write.bind(initiator.socket)
    Object.assign(initiator.socket, { write: (bytes: Buffer) => write(initiator, bytes), send })
    const keys = [...identity(B).filter(([key]) => key !== 'TargetName'), ['InitiatorAlias', 'x'] as const]
    for (const key of keys) {
      const { flags } = await login.request([key], { continued: true }).then(({ bhs }) => ({ flags: bhs[1] }))
      assert.equal((flags ?? 0) & 0x80, 0)
    }
    const last = await login.request([['TargetName', B]], { next: Stage.fullFeature })
    assert.equal(statusOf(last), '0000')
    // Two answers came from elsewhere; the numbering goes on behind them.
    assert.equal(last.bhs.readUInt32BE(24), 1 + keys.length)
  }
  await t.test('whole requests', () => cut((initiator, bytes) => void Object(initiator.socket).send(bytes)))
  await t.test('byte by byte', () =>
    cut((initiator, bytes) => {
      for (const byte of bytes) Object(initiator.socket).send(Buffer.of(byte))
    }),
  )
  await t.test('a second connection joins its session', async () => {
    const first = await RawInitiator.connect(server.subject.port)
    const second = await RawInitiator.connect(server.subject.port)
    const common = { target: A, initiatorName: INITIATOR, isid: ISID }
    const { tsih } = await first.login({ ...common, keys: { MaxConnections: '2' } })
    second.joinSession(first)
    const joined = await second.login({ ...common, tsih, cid: 1 })
    assert.deepEqual([joined.statusClass, joined.tsih], [0, tsih])
    await second.ping(Buffer.from('still there?'))
    first.close()
    second.close()
  })
})

test('connections, and those of one address, are limited over all shards', async (t) => {
  await using server = await start(new Scratch(t), { limits: { connections: 4, connectionsPerAddress: 2 } })
  assert.equal(await logIn(server, A), '0000')
  assert.equal(await logIn(server, B), '0000')
  assert.equal(await logIn(server, A), 'closed')
  assert.equal(await logIn(server, A, '127.0.0.2'), '0000')
  assert.equal(await logIn(server, B, '127.0.0.2'), '0000')
  assert.equal(await logIn(server, B, '127.0.0.3'), 'closed')
  // A shard that dies gives back what it had.
  await crashShard(server, Number(shardOf(server, A)))
  assert.equal(await logIn(server, A, '127.0.0.3'), '0000')
})

test('a shard that hangs does not let more connections in than there may be', async (t) => {
  await using server = await start(new Scratch(t), { limits: { connections: 4 } })
  assert.equal(await logIn(server, A), '0000')
  const pid = shardPid(server, Number(shardOf(server, A)))
  process.kill(pid, 'SIGSTOP')
  t.after(() => isAlive(pid) && process.kill(pid, 'SIGCONT'))
  const initiators: RawInitiator[] = []
  for (let count = 0; count < 12; count++) {
    const initiator = await RawInitiator.connect(server.subject.port)
    t.after(() => initiator.close())
    new RawLogin(initiator).send(identity(A), { next: Stage.fullFeature })
    initiators.push(initiator)
    await sleep(20)
  }
  const open = (): number => initiators.filter(({ isClosed }) => !isClosed).length
  // One may be on its way, where it cannot be closed.
  assert.ok(await until(() => open() <= 4, 3000), `${open()} of 12`)
  assert.equal(await logIn(server, B), '0000')
  process.kill(pid, 'SIGCONT')
  assert.ok(await until(() => open() <= 3, 3000), `${open()} of 12`)
})

test('an address that guesses waits at all shards', async (t) => {
  const auth = { users: [USER] }
  await using server = await start(new Scratch(t), {
    targets: {
      [A]: { luns: { 0: { memory: '1M' } }, auth },
      [B]: { luns: { 0: { memory: '1M' } }, auth },
    },
    limits: { authFailureBackoff: { freeFailures: 1, firstDelaySeconds: 60 } },
  })
  const attempt = async (target: string, secret: string): Promise<string> => {
    const initiator = await RawInitiator.connect(server.subject.port)
    t.after(() => initiator.close())
    return (await chapLogin(initiator, { target, user: USER.user, secret })).status
  }
  assert.equal(await attempt(A, USER.secret), '0000')
  // A login that is under way elsewhere when somebody guesses wrong has its proof refused, too.
  const early = await RawInitiator.connect(server.subject.port)
  t.after(() => early.close())
  const login = new RawLogin(early)
  await login.request([...identity(B), ['AuthMethod', 'CHAP']], { stage: Stage.security })
  assert.equal(await attempt(A, 'a wrong secret'), '0201')
  assert.equal(await attempt(B, USER.secret), '0301')
  assert.equal(statusOf(await login.request([['CHAP_A', '7']], { stage: Stage.security })), '0201')
})

test('TLS connections reach their shard', { timeout: 60_000 }, async (t) => {
  const files = new TestCertificates()
  after(() => files.remove())
  const ca = files.ca('Test CA')
  const certificate = files.issue('portal', ca, { altNames: 'IP:127.0.0.1' })
  const scratch = new Scratch(t)
  await using server = await start(scratch, { portals: [{ listen: '127.0.0.1:0', tls: certificate }] })
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const connections = await Promise.all(
    [A, B].map((target) => connect(url(server, target), { tls: { caFile: ca.certFile } })),
  )
  const end = performance.now() + 2000
  const loads = connections.map((disk) => new DiskLoad(disk, random, LOAD))
  await Promise.all(loads.map((load) => load.run(() => performance.now() > end)))
  for (const load of loads) await load.verify()
  assert.notEqual(shardOf(server, A), shardOf(server, B))
  // The shard knows whence the initiator comes.
  const login = server.subject.log.find((line) => line['msg'] === 'login')
  const secured = server.subject.log.filter((line) => line['msg'] === 'TLS').map((line) => line['peer'])
  assert.ok(secured.includes(login?.['peer']))
  for (const disk of connections) await disk.close()
  assert.equal((await server.subject.stop()).code, 0)
})

test('signals are for all shards', { timeout: 60_000 }, async (t) => {
  const scratch = new Scratch(t)
  await using server = await start(scratch)
  await using disk = await connect(url(server, B))

  await t.test('SIGHUP: an image has grown', async () => {
    truncateSync(scratch.path('b.img'), 128 << 20)
    process.kill(server.subject.pid, 'SIGHUP')
    assert.ok(await until(() => logged(server, 'the disk has grown', { target: B }) === 1, 5000))
    assert.equal(logged(server, 'the disk has grown'), 1)
  })

  await t.test('SIGTERM: initiators of all shards are asked to log out, and nothing is left', async () => {
    const initiators = await Promise.all(
      [A, B].map((target) => RawInitiator.open(server.subject.port, { target })),
    )
    const pids = [shardPid(server, 1), shardPid(server, 2)]
    await disk.close()
    const stopped = server.subject.stop()
    for (const initiator of initiators) {
      assert.ok(await until(() => initiator.asyncMessages.length === 1, 5000), 'asked to log out')
      await initiator.logout()
    }
    assert.equal((await stopped).code, 0)
    assert.equal(logged(server, 'stopped'), 1)
    assert.ok(await until(() => !pids.some(isAlive), 2000))
  })
})

test('the end of the process that listens is the end of its shards', async (t) => {
  await using server = await start(new Scratch(t))
  const pids = [shardPid(server, 1), shardPid(server, 2)]
  const initiators = await Promise.all(
    [A, B].map((target) => RawInitiator.open(server.subject.port, { target })),
  )
  await server.subject.crash()
  for (const initiator of initiators) assert.ok(await initiator.closesWithin(5000))
  assert.ok(await until(() => !pids.some(isAlive), 5000))
})

test('a server that cannot start says why, and leaves nothing behind', async (t) => {
  const scratch = new Scratch(t)
  await using server = await start(scratch)
  const serve = (targets: object, listen: string) => {
    const file = scratch.path(`bad-${process.hrtime.bigint()}.yaml`)
    writeFileSync(file, JSON.stringify({ portals: [{ listen }], targets, shards: 2 }))
    return run(process.execPath, [mainScript, 'serve', '-c', file])
  }
  const memory = { luns: { 0: { memory: '1M' } } }
  const free = `127.0.0.1:${await freePort()}`
  const missing = await serve({ [A]: memory, [B]: { luns: { 0: { file: '/nowhere/b.img' } } } }, free)
  assert.match(missing.stderr, /^cygnet: .*\/nowhere\/b\.img/m)
  assert.equal(missing.code, 1)
  const inUse = await serve({ [A]: memory, [B]: memory }, server.subject.portal)
  assert.match(inUse.stderr, /^cygnet: .* is in use/m)
  assert.equal(inUse.code, 1)
})

test('the front door is the same with shards', { timeout: 300_000 }, async () => {
  const files = ['access', 'chap', 'discovery', 'hostile-login', 'login-limits', 'login-sessions']
  const paths = files.map((name) => fileURLToPath(new URL(`${name}.test.ts`, import.meta.url)))
  // Without the mark of this test's own run, or it would be a part of that.
  const env = { CYGNET_SHARDS: '2', NODE_TEST_CONTEXT: undefined }
  const { code, stdout } = await run(process.execPath, ['--test', ...paths], { env, timeoutMs: 290_000 })
  assert.equal(code, 0, stdout.slice(stdout.indexOf('failing tests:')))
  assert.ok(Number(/^ℹ pass (\d+)$/m.exec(stdout)?.[1]) > 100, stdout.slice(-500))
})
