/** `cygnet copy` and `cygnet discover` through CHAP, one-way and mutual, with other people's targets and ours. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startConfigured } from '../support/configured.ts'
import {
  chapOptions,
  copyRoundTrip,
  DIGESTS_QUERY,
  hostCredentials,
  makeRandomImage,
  mutualChapOptions,
  secretsEnvironment,
  storageCredentials,
} from '../support/copy-round-trip.ts'
import { startIstgt } from '../support/istgt.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { run, runOk, Scratch } from '../support/scratch.ts'
import { mainScript, startTgt } from '../support/subject.ts'

const TIMEOUT_MS = 240_000
const COPY_MIB = 32
const REFUSED = 'wrong secrets, and none, are refused in words'

/** `url` is of a LUN with room for the image, whose target wants CHAP. */
async function judge(t: TestContext, url: string): Promise<void> {
  const scratch = new Scratch(t)
  const image = makeRandomImage(scratch, COPY_MIB)
  await t.test('one-way CHAP, no digests', (inner) => copyRoundTrip(inner, scratch, image, url, chapOptions))
  await t.test('mutual CHAP, both digests', (inner) =>
    copyRoundTrip(inner, scratch, image, `${url}${DIGESTS_QUERY}`, mutualChapOptions),
  )
}

/** What the tool says where credentials are wrong, or missing. */
async function judgeRefusals(url: string): Promise<void> {
  const copy = (env: Readonly<Record<string, string>>, options: readonly string[]) =>
    run(process.execPath, [mainScript, 'copy', url, '/dev/null', ...options], { env })
  const others = { HOST_SECRET: 'not-the-secret', STORAGE_SECRET: 'not-this-either' }
  for (const [env, options] of [
    [others, chapOptions],
    [{ ...secretsEnvironment, STORAGE_SECRET: others.STORAGE_SECRET }, mutualChapOptions],
    [{}, []],
  ] as const) {
    // oxlint-disable-next-line no-await-in-loop -- one failure at a time
    const { code, stderr } = await copy(env, options)
    assert.equal(code, 1, stderr)
    assert.match(stderr, /secret|authentica|credentials/i)
  }
}

for (const blockSize of [512, 4096] as const) {
  test(`tgt, blocks of ${blockSize} bytes`, { timeout: TIMEOUT_MS }, async (t) => {
    if (!requirePeers(t, 'tgtd', 'tgtadm', 'cmp')) return
    const scratch = new Scratch(t)
    const images = [scratch.path('tgt.img')]
    const target = await startTgt(scratch, { images, size: `${COPY_MIB}M`, blockSize })
    const account = (...args: string[]) =>
      runOk(peerPath('tgtadm'), ['-C', String(target.port >>> 1), '--lld', 'iscsi', '-m', 'account', ...args])
    // oxlint-disable-next-line no-await-in-loop -- tgtd takes one request at a time
    for (const { user, secret } of [hostCredentials, storageCredentials])
      await account('-o', 'new', '--user', user, '--password', secret)
    await account('-o', 'bind', '-t', '1', '--user', hostCredentials.user)
    await account('-o', 'bind', '-t', '1', '--user', storageCredentials.user, '--outgoing')
    await judge(t, target.url())
    if (blockSize === 512) await t.test(REFUSED, () => judgeRefusals(target.url()))
  })

  test(`istgt, blocks of ${blockSize} bytes`, { timeout: TIMEOUT_MS }, async (t) => {
    if (!requirePeers(t, 'istgt', 'cmp')) return
    const scratch = new Scratch(t)
    const chap = { host: hostCredentials, target: storageCredentials }
    const target = await startIstgt(scratch, [{ name: 'chap', size: `${COPY_MIB}M`, blockSize, chap }])
    await judge(t, target.url('chap'))
    if (blockSize === 512) await t.test(REFUSED, () => judgeRefusals(target.url('chap')))
  })

  test(`our own target, blocks of ${blockSize} bytes`, { timeout: TIMEOUT_MS }, async (t) => {
    if (!requirePeers(t, 'cmp')) return
    const scratch = new Scratch(t)
    await using server = await startConfigured(scratch, {
      targets: {
        'iqn.2026-11.dev.example:chap': {
          luns: { 0: { file: scratch.path('own.img'), size: `${COPY_MIB}M`, blockSize } },
          auth: { users: [hostCredentials], mutual: storageCredentials },
        },
      },
    })
    await judge(t, server.subject.url())
    if (blockSize === 512) await t.test(REFUSED, () => judgeRefusals(server.subject.url()))
  })
}
