/** Our initiator against other people's targets, and against our own as users start it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type ChapCredentials,
  discover,
  openSession,
  type SessionOptions,
  tlsTransport,
} from '../../packages/cygnet/src/initiator.ts'
import { chapAlgorithmNames } from '../../packages/cygnet/src/session/auth/chap-algorithms.ts'
import { TestCertificates } from '../../packages/cygnet/src/runtime/tls-certificates.test-helper.ts'
import { startConfigured } from '../support/configured.ts'
import { startIstgt } from '../support/istgt.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { runOk, Scratch } from '../support/scratch.ts'
import { startCygnet, startTgt } from '../support/subject.ts'

const TIMEOUT_MS = 60_000
const CHAP: ChapCredentials = { user: 'host1', secret: 'one-host-secret' }
const OF_TARGET = { user: 'storage', secret: 'the-target-secret' }
const MUTUAL: ChapCredentials = { ...CHAP, mutual: OF_TARGET }

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code
const refused =
  (code: string, message = /./) =>
  (error: unknown): boolean => {
    assert.equal(codeOf(error), code, String(error))
    assert.match((error as Error).message, message)
    return true
  }

/** Logs in, has something echoed, logs out. */
async function visit(options: SessionOptions): Promise<{ targetUser: string; digests: boolean }> {
  await using session = await openSession(options)
  assert.ok((await session.ping(new Uint8Array(5000).fill(7))) >= 0)
  await session.close()
  assert.equal(await session.ended, undefined, 'the logout was confirmed')
  const { headerDigest, dataDigest } = session.connectionParameters
  return { targetUser: session.targetUser, digests: headerDigest && dataDigest }
}

test('tgt', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'tgtd', 'tgtadm')) return
  const scratch = new Scratch(t)
  const { port, iqn } = await startTgt(scratch, { memory: '64M' })
  const admin = (...args: string[]) =>
    runOk(peerPath('tgtadm'), ['-C', String(port >>> 1), '--lld', 'iscsi', ...args])
  const chapTarget = 'iqn.2026-11.dev.example:chap'
  await admin('-m', 'target', '-o', 'new', '-t', '2', '-T', chapTarget)
  await admin('-m', 'account', '-o', 'new', '--user', CHAP.user, '--password', String(CHAP.secret))
  await admin('-m', 'account', '-o', 'new', '--user', OF_TARGET.user, '--password', OF_TARGET.secret)
  await admin('-m', 'account', '-o', 'bind', '-t', '2', '--user', CHAP.user)
  await admin('-m', 'account', '-o', 'bind', '-t', '2', '--user', OF_TARGET.user, '--outgoing')
  await admin('-m', 'target', '-o', 'bind', '-t', '2', '-I', 'ALL')
  const portal = { host: '127.0.0.1', port }
  const at = (target: string, more: Partial<SessionOptions> = {}): SessionOptions => ({
    ...portal,
    target,
    ...more,
  })

  await t.test('discovery', async () => {
    const portalGroups = [{ tag: 1, portals: [portal] }]
    assert.deepEqual(await discover(`127.0.0.1:${port}`), [
      { name: iqn, portalGroups },
      { name: chapTarget, portalGroups },
    ])
  })

  await t.test('a session without authentication, with and without digests', async () => {
    for (const digests of [['None'], ['CRC32C']] as const) {
      const { digests: areOn } = await visit(at(iqn, { headerDigest: digests, dataDigest: digests }))
      assert.equal(areOn, digests[0] === 'CRC32C')
    }
  })

  await t.test('commands: what was written is read, many at a time, with and without digests', async () => {
    for (const digests of [['None'], ['CRC32C']] as const) {
      const options = {
        headerDigest: digests,
        dataDigest: digests,
        errorRecoveryLevel: 2,
        connections: 2,
      } as const
      await using session = await openSession(at(iqn, options))
      assert.deepEqual([session.parameters.errorRecoveryLevel, session.connectionCount], [0, 1])
      const block10 = (opcode: number, lba: number, blocks: number): Uint8Array =>
        Uint8Array.of(opcode, 0, 0, 0, lba >>> 8, lba & 0xff, 0, blocks >>> 8, blocks & 0xff, 0)
      // Its unit attentions after the login.
      for (let i = 0; i < 3; i++) await session.execute({ lun: 1, cdb: new Uint8Array(6) })
      const data = Uint8Array.from({ length: 512 * 1024 }, (_, i) => (i * 7 + (i >>> 9)) & 0xff)
      const slices = [data.subarray(0, 1000), data.subarray(1000)]
      assert.equal(
        (await session.execute({ lun: 1, cdb: block10(0x2a, 8, 1024), dataOut: slices })).status,
        0,
      )
      await Promise.all(
        Array.from({ length: 256 }, async (_, i) => {
          const dataIn = new Uint8Array(4096)
          const lba = (i % 128) * 8
          const result = await session.execute({ lun: 1, cdb: block10(0x28, 8 + lba, 8), dataIn })
          assert.equal(result.status, 0)
          assert.deepEqual(dataIn, data.subarray(lba * 512, lba * 512 + 4096))
        }),
      )
      const unknown = await session.execute({ lun: 1, cdb: Uint8Array.of(0xff, 0, 0, 0, 0, 0) })
      assert.deepEqual([unknown.status, unknown.sense[2]], [2, 5])
      assert.equal(await session.manage(5, 1), 0, 'LOGICAL UNIT RESET')
    }
  })

  await t.test('CHAP: tgt chooses number 7 for SHA-1, and another login with MD5 gets in', async () => {
    await visit(at(chapTarget, { chap: CHAP }))
    await visit(at(chapTarget, { chap: { ...CHAP, algorithms: ['MD5'] } }))
    await assert.rejects(
      visit(at(chapTarget, { chap: { ...CHAP, algorithms: ['SHA-256'] } })),
      refused('LOGIN_INITIATOR_ERROR'),
    )
  })

  await t.test('mutual CHAP', async () => {
    const { targetUser } = await visit(at(chapTarget, { chap: MUTUAL }))
    assert.equal(targetUser, OF_TARGET.user)
  })

  await t.test('wrong secrets, on either side, and none', async () => {
    await assert.rejects(
      visit(at(chapTarget, { chap: { ...CHAP, secret: 'not-the-secret' } })),
      refused('LOGIN_AUTHENTICATION_FAILED', /\(0201\)/),
    )
    const expectsOther = { ...MUTUAL, mutual: { secret: 'another-secret' } }
    await assert.rejects(
      visit(at(chapTarget, { chap: expectsOther })),
      refused('LOGIN_AUTHENTICATION_FAILED', /does not have the right secret/),
    )
    await assert.rejects(
      visit(at(chapTarget)),
      refused('LOGIN_AUTHENTICATION_FAILED', /give a user and a secret/),
    )
  })

  await t.test('an unknown target', async () => {
    await assert.rejects(visit(at(`${iqn}-not`)), refused('LOGIN_TARGET_NOT_FOUND'))
  })

  await t.test('a list of targets that takes many answers', async () => {
    for (let tid = 3; tid < 40; tid++) {
      // oxlint-disable-next-line no-await-in-loop -- tgtadm is one command after the other
      await admin('-m', 'target', '-o', 'new', '-t', String(tid), '-T', `${iqn}-${tid}`)
      // oxlint-disable-next-line no-await-in-loop
      await admin('-m', 'target', '-o', 'bind', '-t', String(tid), '-I', 'ALL')
    }
    const targets = await discover(portal, { limits: { maxRecvDataSegmentLength: 512 } })
    assert.equal(targets.length, 39)
    assert.ok(targets.every(({ portalGroups }) => portalGroups[0]?.portals[0]?.port === port))
  })
})

test('istgt', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'istgt')) return
  const scratch = new Scratch(t)
  const chap = { host: { user: CHAP.user, secret: String(CHAP.secret) }, target: OF_TARGET }
  const { port, base } = await startIstgt(scratch, [
    { name: 'open', size: '16M', blockSize: 512 },
    { name: 'chap', size: '16M', blockSize: 512, chap },
  ])
  const portal = { host: '127.0.0.1', port }

  await t.test('discovery and a session, whose portals it tells', async () => {
    const targets = await discover(portal)
    assert.deepEqual(
      targets.map(({ name }) => name),
      [`${base}:open`, `${base}:chap`],
    )
    await using session = await openSession({ ...portal, target: `${base}:open`, portalGroupTag: 1 })
    await session.ping(new Uint8Array(3000))
    assert.deepEqual(await session.sendTargets(), [targets[0]])
    // istgt takes an immediate text request for one that advances ExpCmdSN: one for each session is all it stands.
    await using other = await openSession({ ...portal, target: `${base}:open` })
    await assert.rejects(other.sendTargets('All'), refused('DISCOVERY_REFUSED'))
  })

  await t.test('mutual CHAP', async () => {
    const { targetUser } = await visit({ ...portal, target: `${base}:chap`, chap: MUTUAL })
    assert.equal(targetUser, OF_TARGET.user)
  })
})

test('our own target', { timeout: TIMEOUT_MS }, async (t) => {
  const scratch = new Scratch(t)
  const { port, iqn } = await startCygnet(scratch, { memory: '16M' })
  const portal = { host: '127.0.0.1', port }

  await t.test('discovery, and a session by URL', async () => {
    assert.deepEqual(await discover(portal), [{ name: iqn, portalGroups: [{ tag: 1, portals: [portal] }] }])
    await using session = await openSession(
      `iscsi://127.0.0.1:${port}/${iqn}/0?header_digest=crc32c&data_digest=crc32c`,
    )
    await Promise.all([session.ping(new Uint8Array(100_000).fill(1)), session.ping(), session.sendTargets()])
    assert.ok(session.connectionParameters.headerDigest && session.connectionParameters.dataDigest)
    assert.equal(session.parameters.taskReporting, 'ResponseFence')
    assert.deepEqual([session.target, session.portal, session.portalGroupTag], [iqn, portal, 1])
  })

  await t.test('many sessions at once do not end each other', async () => {
    const sessions = await Promise.all(
      Array.from({ length: 8 }, () => openSession({ ...portal, target: iqn })),
    )
    await Promise.all(sessions.map((session) => session.ping()))
    assert.equal(new Set(sessions.map(({ tsih }) => tsih)).size, 8)
    await Promise.all(sessions.map((session) => session.close()))
    await assert.rejects(async () => sessions[0]?.ping(), refused('SESSION_CLOSED'))
  })

  await t.test('another portal group than discovery said, and an unknown target', async () => {
    await assert.rejects(
      openSession({ ...portal, target: iqn, portalGroupTag: 9 }),
      refused('LOGIN_PORTAL_GROUP_CHANGED'),
    )
    await assert.rejects(openSession({ ...portal, target: `${iqn}-not` }), refused('LOGIN_TARGET_NOT_FOUND'))
  })

  await t.test('CHAP and mutual CHAP with every algorithm', async () => {
    const target = 'iqn.2026-11.dev.example:chap'
    await using server = await startConfigured(new Scratch(t), {
      targets: { [target]: { luns: { 0: { memory: '16M' } }, auth: { users: [CHAP], mutual: OF_TARGET } } },
    })
    const where = { host: '127.0.0.1', port: server.subject.port, target }
    for (const algorithm of chapAlgorithmNames) {
      // oxlint-disable-next-line no-await-in-loop -- one login after the other
      await visit({ ...where, chap: { ...CHAP, algorithms: [algorithm] } })
      // oxlint-disable-next-line no-await-in-loop
      const { targetUser } = await visit({ ...where, chap: { ...MUTUAL, algorithms: [algorithm] } })
      assert.equal(targetUser, OF_TARGET.user)
    }
    await assert.rejects(
      visit({ ...where, chap: { ...CHAP, secret: 'not-the-secret' } }),
      refused('LOGIN_AUTHENTICATION_FAILED'),
    )
  })

  await t.test('a portal over TLS, and what a plain login there is told', async () => {
    const files = new TestCertificates()
    t.after(() => files.remove())
    const ca = files.ca('Test CA')
    const target = 'iqn.2026-11.dev.example:tls'
    await using server = await startConfigured(new Scratch(t), {
      portals: [{ listen: '127.0.0.1:0', tls: files.issue('portal', ca, { altNames: 'IP:127.0.0.1' }) }],
      targets: { [target]: { luns: { 0: { memory: '16M' } } } },
    })
    const where = { host: '127.0.0.1', port: server.subject.port, target }
    await visit({ ...where, transport: tlsTransport({ caFile: ca.certFile }) })
    await assert.rejects(visit({ ...where, transport: tlsTransport({}) }), refused('TLS_UNTRUSTED'))
    await assert.rejects(visit(where), refused('TLS_REQUIRED', /connect with TLS\.$/))
  })

  await t.test('a port where nothing listens', async () => {
    await assert.rejects(
      discover({ host: '127.0.0.1', port: 1 }),
      refused('CONNECT_FAILED', /Nothing listens/),
    )
  })
})
