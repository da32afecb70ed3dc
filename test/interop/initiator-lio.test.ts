/**
 * Our initiator and its tools against Linux's own target (LIO), in a small virtual machine: discovery, digests, CHAP in every direction,
 * disks with blocks of 512 and 4096 bytes.
 */
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  type ChapCredentials,
  connect,
  discover,
  openSession,
  type SessionOptions,
} from '../../packages/cygnet/src/initiator.ts'
import { chapAlgorithmNames } from '../../packages/cygnet/src/session/auth/chap-algorithms.ts'
import {
  copyRoundTrip,
  DIGESTS_QUERY,
  hostCredentials,
  makeRandomImage,
  mutualChapOptions,
  secretsEnvironment,
  storageCredentials,
} from '../support/copy-round-trip.ts'
import { exerciseDisk } from '../support/disk-model.ts'
import { requireGuest, startGuest } from '../support/guest.ts'
import { requirePeers } from '../support/peer.ts'
import { type CommandResult, freePort, run, Scratch } from '../support/scratch.ts'
import { mainScript, until } from '../support/subject.ts'

const BOOT_TIMEOUT_MS = 60_000
const COPY_MIB = 48
const PREFIX = 'iqn.2026-11.dev.example:lio'
const HOST = hostCredentials
const STORAGE = storageCredentials
const MUTUAL: ChapCredentials = { ...HOST, mutual: STORAGE }

const refused =
  (code: string, message = /./) =>
  (error: unknown): boolean => {
    assert.equal((error as { code?: unknown }).code, code, String(error))
    assert.match((error as Error).message, message)
    return true
  }

test('LIO', { timeout: 480_000 }, async (t) => {
  if (!requirePeers(t, 'cmp') || !(await requireGuest(t))) return
  const scratch = new Scratch(t)
  const port = await freePort()
  const portal = { host: '127.0.0.1', port }
  const portalGroups = [{ tag: 1, portals: [portal] }]
  const names = ['open', 'chap', 'mutual'].map((name) => `${PREFIX}:${name}`)
  const variables = {
    PORT: String(port),
    TARGET: PREFIX,
    USER: HOST.user,
    SECRET: HOST.secret,
    TARGET_USER: STORAGE.user,
    TARGET_SECRET: STORAGE.secret,
    COPY_MIB: String(COPY_MIB),
  }
  const guest = startGuest(scratch, 'kernel-target.sh', variables, port)
  let ended = false
  const finished = guest.finished.finally(() => {
    ended = true
  })
  const isReady = (): boolean => existsSync(join(guest.folder, 'ready'))
  await until(() => isReady() || ended, BOOT_TIMEOUT_MS)
  assert.ok(isReady(), `LIO is not up:\n${guest.console().slice(-4000)}`)

  const at = (name: string, chap?: ChapCredentials): SessionOptions => ({
    ...portal,
    target: `${PREFIX}:${name}`,
    ...(chap && { chap }),
  })
  /** Logs in, has something echoed, logs out. Whom the target proved to be. */
  const visit = async (options: SessionOptions): Promise<string> => {
    await using session = await openSession(options)
    assert.ok((await session.ping(new Uint8Array(5000).fill(7))) >= 0)
    await session.close()
    assert.equal(await session.ended, undefined, 'the logout was confirmed')
    return session.targetUser
  }
  const discoverCommand = (...args: string[]): Promise<CommandResult> =>
    run(process.execPath, [mainScript, 'discover', `127.0.0.1:${port}`, ...args], {
      env: secretsEnvironment,
    })

  await t.test('discovery', async () => {
    assert.deepEqual(
      await discover(portal),
      names.map((name) => ({ name, portalGroups })),
    )
  })

  await t.test('sessions without authentication, with each choice of digests', async () => {
    for (const header of ['None', 'CRC32C'] as const) {
      for (const data of ['None', 'CRC32C'] as const) {
        const options = { ...at('open'), portalGroupTag: 1, headerDigest: [header], dataDigest: [data] }
        // oxlint-disable-next-line no-await-in-loop -- one login after the other
        await using session = await openSession(options)
        const { headerDigest, dataDigest } = session.connectionParameters
        assert.deepEqual([headerDigest, dataDigest], [header === 'CRC32C', data === 'CRC32C'])
        // oxlint-disable-next-line no-await-in-loop
        await session.ping(new Uint8Array(8001).fill(3))
        assert.equal(session.targetAlias, 'LIO Target')
      }
    }
  })

  await t.test('a normal session is told of its own target, and asks by name', async () => {
    await using session = await openSession(at('open'))
    assert.deepEqual(await session.sendTargets(), [{ name: names[0], portalGroups }])
    await assert.rejects(session.sendTargets(''), refused('CONNECTION_LOST'))
  })

  await t.test('many sessions at once', async () => {
    const sessions = await Promise.all(Array.from({ length: 6 }, () => openSession(at('open'))))
    await Promise.all(sessions.map((session) => session.ping()))
    assert.equal(new Set(sessions.map(({ tsih }) => tsih)).size, 6)
    await Promise.all(sessions.map((session) => session.close()))
  })

  await t.test('CHAP, all algorithms offered', async () => {
    assert.equal(await visit(at('chap', HOST)), '')
    assert.equal(await visit(at('mutual', MUTUAL)), STORAGE.user)
  })

  for (const algorithm of chapAlgorithmNames) {
    // oxlint-disable-next-line no-await-in-loop
    await t.test(`CHAP with ${algorithm}, one-way and mutual`, async () => {
      const algorithms = [algorithm]
      assert.equal(await visit(at('chap', { ...HOST, algorithms })), '')
      assert.equal(await visit(at('mutual', { ...MUTUAL, algorithms })), STORAGE.user)
      const wrong = { ...HOST, secret: 'not-the-secret', algorithms }
      await assert.rejects(visit(at('chap', wrong)), refused('LOGIN_AUTHENTICATION_FAILED', /\(0201\)/))
      const other = { ...MUTUAL, mutual: { secret: 'another-secret' }, algorithms }
      await assert.rejects(
        visit(at('mutual', other)),
        refused('LOGIN_AUTHENTICATION_FAILED', /does not have the right secret/),
      )
    })
  }

  await t.test(
    'a wrong user, another name of the target, and a target that does not prove itself',
    async () => {
      const failed = refused('LOGIN_AUTHENTICATION_FAILED')
      await assert.rejects(visit(at('chap', { ...HOST, user: 'host2' })), failed)
      await assert.rejects(visit(at('mutual', { ...HOST, mutual: { ...STORAGE, user: 'other' } })), failed)
      await assert.rejects(visit(at('chap', MUTUAL)), failed)
    },
  )

  await t.test('without credentials LIO hangs up, and an unknown target has a status', async () => {
    await assert.rejects(visit(at('chap')), refused('LOGIN_CONNECTION_LOST', /other credentials/))
    await assert.rejects(visit(at('not')), refused('LOGIN_SERVICE_UNAVAILABLE', /\(0301\)/))
  })

  await t.test('a disk: random requests held to a model, with and without digests', async () => {
    for (const digest of ['None', 'CRC32C'] as const) {
      // oxlint-disable-next-line no-await-in-loop -- both use one disk
      await using disk = await connect({
        ...at('open'),
        lun: 0,
        headerDigest: [digest],
        dataDigest: [digest],
      })
      assert.deepEqual([disk.sizeBytes, disk.blockSizeBytes, disk.readOnly], [16 << 20, 512, false])
      // oxlint-disable-next-line no-await-in-loop
      await exerciseDisk(disk, 300)
    }
    await using disk = await connect(`iscsi://127.0.0.1:${port}/${PREFIX}:mutual/0`, { chap: MUTUAL })
    await disk.read(disk.sizeBytes - 700, 700)
  })

  await t.test('a disk with blocks of 4096 bytes', async () => {
    await using disk = await connect({ ...at('open'), lun: 2, dataDigest: ['CRC32C'] })
    assert.deepEqual([disk.sizeBytes, disk.blockSizeBytes], [COPY_MIB << 20, 4096])
    await exerciseDisk(disk, 100)
  })

  const image = makeRandomImage(scratch, COPY_MIB)
  for (const [what, place, options] of [
    ['blocks of 512 bytes, no digests', `${PREFIX}:open/1`, []],
    [
      'blocks of 4096 bytes, both digests, mutual CHAP',
      `${PREFIX}:mutual/2${DIGESTS_QUERY}`,
      mutualChapOptions,
    ],
  ] as const) {
    // oxlint-disable-next-line no-await-in-loop -- one copy after the other
    await t.test(`cygnet copy in and out with --verify: ${what}`, (inner) =>
      copyRoundTrip(inner, scratch, image, `iscsi://127.0.0.1:${port}/${place}`, options),
    )
  }

  await t.test('cygnet discover --login', async () => {
    const open = await discoverCommand('--login')
    assert.equal(open.code, 1, 'CHAP is missing')
    assert.match(open.stdout, /:lio:open\n.*portal group 1\n +Login +successful\n/)
    assert.equal(open.stdout.match(/other credentials/g)?.length, 2)

    const options = ['--login', '--anonymous-discovery', ...mutualChapOptions]
    const mutual = await discoverCommand(...options)
    assert.match(mutual.stdout, /:lio:mutual\n(?: .*\n)+ +Target +authenticated as storage\n/)
    assert.equal(mutual.stdout.match(/Login +successful/g)?.length, 1, 'the others prove nothing')
  })

  await t.test('LIO has kept no session, and is well', async () => {
    writeFileSync(join(guest.folder, 'stop'), '')
    assert.equal(await finished, 0, guest.console().slice(-6000))
    t.diagnostic(/guest: exit code.*/.exec(guest.console())?.[0] ?? '')
  })
})
