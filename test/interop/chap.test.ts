/** CHAP as libiscsi's tools, QEMU and a plain initiator of the tests' own do it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { type Configured, startConfigured } from '../support/configured.ts'
import { listSuiteTests, runSuite } from '../support/libiscsi-suite.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { RawInitiator } from '../support/raw-initiator.ts'
import {
  CHAP_IDENTIFIER,
  chapHash,
  type ChapOptions,
  type ChapResult,
  chapLogin,
} from '../support/raw-login.ts'
import { rw10 } from '../support/recording-writer.ts'
import { type CommandResult, run, runOk, Scratch } from '../support/scratch.ts'
import { until } from '../support/subject.ts'

const TARGET = 'iqn.2026-11.dev.example:chap'
const USER = { user: 'host1', secret: 'one-host-secret' }
const MUTUAL = { user: 'cygnet', secret: 'the-target-secret' }
const DISCOVERY = { user: 'finder', secret: 'discovery-secret' }

const start = (scratch: Scratch, auth: object = {}): Promise<Configured> =>
  startConfigured(scratch, {
    targets: {
      [TARGET]: { luns: { 0: { memory: '64M' } }, auth: { users: [USER], mutual: MUTUAL, ...auth } },
    },
    discovery: { auth: { users: [DISCOVERY], mutual: MUTUAL } },
    // Wrong secrets are what this file is about.
    limits: { authFailureBackoff: { freeFailures: 1000 } },
  })

const url = ({ subject }: Configured, credentials: string, query = ''): string =>
  `iscsi://${credentials}@${subject.portal}/${TARGET}/0${query}`

const mutualQuery = (user: string, secret: string): string => `?target_user=${user}&target_password=${secret}`

function assertRefused(result: CommandResult): void {
  assert.notEqual(result.code, 0, result.stdout)
  assert.notEqual(result.code, null, 'it is told at once')
}

test('libiscsi tools and QEMU authenticate themselves', async (t) => {
  if (!requirePeers(t, 'iscsi-ls', 'iscsi-inq', 'qemu-img', 'qemu-io', 'iscsi-test-cu')) return
  const server = await start(new Scratch(t))
  const { subject } = server
  const inquiry = (credentials: string, query = '') =>
    run(peerPath('iscsi-inq'), [url(server, credentials, query)])
  /** Waits for a line of the log, which comes after what the initiator hears. */
  const logs = async (reason: RegExp): Promise<void> => {
    const said = () => subject.log.some((line) => reason.test(String(line['reason'])))
    assert.ok(await until(said, 2000), `${reason} is not in the log:\n${subject.stderr.slice(-2000)}`)
  }

  await t.test('iscsi-inq with user%secret', async () => {
    const { code, stdout, stderr } = await inquiry('host1%one-host-secret')
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^Peripheral Qualifier:CONNECTED/m)
  })

  await t.test('iscsi-inq with user%secret asks the target for its proof', async () => {
    const { code, stderr } = await inquiry('host1%one-host-secret', mutualQuery(MUTUAL.user, MUTUAL.secret))
    assert.equal(code, 0, stderr)
  })

  await t.test('without credentials, nobody gets in', async () => {
    assertRefused(await run(peerPath('iscsi-inq'), [`iscsi://${subject.portal}/${TARGET}/0`]))
  })

  await t.test('a wrong user is refused', async () => {
    assertRefused(await inquiry('host2%one-host-secret'))
    await logs(/there is no CHAP user "host2"/)
  })

  await t.test('a wrong secret is refused', async () => {
    assertRefused(await inquiry('host1%one-host-secre7'))
    await logs(/CHAP user "host1" does not have the right secret/)
  })

  await t.test('an initiator that expects another secret of the target ends the login', async () => {
    assertRefused(await inquiry('host1%one-host-secret', mutualQuery(MUTUAL.user, 'another-secret')))
  })

  await t.test("the target's own credentials open nothing", async () => {
    assertRefused(await inquiry(`${MUTUAL.user}%${MUTUAL.secret}`))
  })

  await t.test('qemu-io reads and writes with user%secret', async () => {
    const commands = ['-c', 'write -P 0x5a 1M 1M', '-c', 'read -P 0x5a 1M 1M']
    await runOk(peerPath('qemu-io'), ['-f', 'raw', ...commands, url(server, 'host1%one-host-secret')])
  })

  await t.test('qemu-img reads with a secret object', async () => {
    const image = `${subject.imageOptions()},user=host1,password-secret=chap`
    const secret = (data: string) => [
      'info',
      '--object',
      `secret,id=chap,data=${data}`,
      '--image-opts',
      image,
    ]
    const { stdout } = await runOk(peerPath('qemu-img'), secret(USER.secret))
    assert.match(stdout, /virtual size: 64 MiB/)
    assertRefused(await run(peerPath('qemu-img'), secret('not-the-secret')))
  })

  await t.test('discovery has credentials of its own', async () => {
    const discover = (credentials: string) =>
      run(peerPath('iscsi-ls'), [`iscsi://${credentials}@${subject.portal}`])
    const found = await discover('finder%discovery-secret')
    assert.equal(found.code, 0, found.stderr)
    assert.match(found.stdout, new RegExp(`^Target:${TARGET} Portal:${subject.portal},1$`, 'm'))
    assertRefused(await discover('finder%one-host-secret'))
    assertRefused(await discover('host1%one-host-secret'))
    assertRefused(await inquiry('finder%discovery-secret'))
  })

  await t.test(
    'iscsi-test-cu runs through CHAP; its families iSCSICHAP, iSCSISendTargets and iSCSINop',
    async () => {
      const listed = await listSuiteTests()
      const suites = new Set(listed.map((name) => name.split('.')[0] ?? ''))
      // libiscsi 1.19, Debian 12's, has none of the three: their tests are run as soon as it has.
      const front = ['iSCSICHAP', 'iSCSISendTargets', 'iSCSINop'].filter((suite) => suites.has(suite))
      t.diagnostic(`front-door families of this iscsi-test-cu: ${front.join(', ') || 'none'}`)
      for (const suite of ['TestUnitReady', ...front]) {
        const results = await runSuite(suite, url(server, 'host1%one-host-secret'), listed)
        assert.ok(results.length > 0)
        assert.deepEqual(
          results.filter(({ outcome }) => outcome !== 'passed'),
          [],
        )
      }
    },
  )
})

test('an initiator of the tests authenticates itself', async (t) => {
  const server = await start(new Scratch(t))
  const { port } = server.subject
  const chap = async (more: Partial<ChapOptions> = {}): Promise<ChapResult> => {
    const initiator = await RawInitiator.connect(port)
    const result = await chapLogin(initiator, { target: TARGET, ...USER, ...more })
    initiator.close()
    return result
  }

  for (const algorithms of ['8', '7', '6', '5']) {
    await t.test(`with algorithm ${algorithms}, which the target proves itself with, too`, async () => {
      const challenge = randomBytes(40)
      const { status, pdus, last } = await chap({ algorithms, challenge })
      assert.equal(status, '0000')
      assert.equal(pdus[1]?.text.get('CHAP_A'), algorithms)
      assert.equal(last.text.get('CHAP_N'), MUTUAL.user)
      assert.equal(last.text.get('CHAP_R'), chapHash(algorithms, CHAP_IDENTIFIER, MUTUAL.secret, challenge))
    })
  }

  await t.test('SHA3-256 is chosen where everything is offered', async () => {
    assert.equal((await chap({ algorithms: '5,6,7,8' })).pdus[1]?.text.get('CHAP_A'), '8')
  })

  await t.test('a session that is logged in with CHAP reads and writes', async () => {
    const initiator = await RawInitiator.connect(port)
    assert.equal((await chapLogin(initiator, { target: TARGET, ...USER })).status, '0000')
    const data = randomBytes(512)
    // The first command is told of the power on.
    assert.equal((await initiator.command([0, 0, 0, 0, 0, 0])).senseKey, 6)
    assert.equal((await initiator.command(rw10(0x2a, 100, 1), { write: data })).status, 0)
    assert.deepEqual((await initiator.command(rw10(0x28, 100, 1), { read: 512 })).data, data)
    await initiator.logout()
  })

  await t.test('a failed login looks the same for a wrong user and a wrong secret', async () => {
    const times: Record<'user' | 'secret', number[]> = { user: [], secret: [] }
    const answers = new Set<string>()
    for (let i = 0; i < 60; i++) {
      for (const which of ['user', 'secret'] as const) {
        // Of equal length, so that the requests are.
        const wrong = which === 'user' ? { user: 'hostX' } : { secret: 'one-host-secreX' }
        const isid = Buffer.from([0x80, 0, 0, 0, 0, 1])
        const { status, pdus, last, verdictMs } = await chap({ ...wrong, isid, algorithms: '8' })
        assert.equal(status, '0201')
        assert.equal(last.data.length, 0)
        // What is random of the second response: CHAP_I and CHAP_C.
        const lines = pdus.map(({ bhs, data }) => {
          const text = data
            .toString()
            .replace(/CHAP_I=\d+/, 'CHAP_I=')
            .replace(/[\da-f]{64}/, '')
          return `${Buffer.concat([bhs.subarray(0, 5), bhs.subarray(8)]).toString('hex')} ${text}`
        })
        answers.add(lines.join('\n'))
        times[which].push(verdictMs)
      }
    }
    assert.equal(answers.size, 1, 'every failure has the same bytes')
    const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
    const difference = Math.abs(median(times.user) - median(times.secret))
    t.diagnostic(
      `wrong user ${median(times.user).toFixed(3)} ms, wrong secret ${median(times.secret).toFixed(3)} ms`,
    )
    assert.ok(difference < 1, `the medians differ by ${difference} ms`)
  })

  await t.test("a challenge of the target's, sent back on another connection, is not answered", async () => {
    const [first, second] = [await RawInitiator.connect(port), await RawInitiator.connect(port)]
    const { pdus } = await chapLogin(first, { target: TARGET, user: 'host1', secret: 'not yet known' })
    const reflected = Buffer.from((pdus[1]?.text.get('CHAP_C') ?? '').slice(2), 'hex')
    assert.equal(reflected.length, 32)
    const { status, last } = await chapLogin(second, { target: TARGET, ...USER, challenge: reflected })
    assert.equal(status, '0201')
    assert.equal(last.text.size, 0, 'no proof is given')
    first.close()
    second.close()
  })

  await t.test(
    'without CHAP in the offer, or past the security stage, the login ends with 0201',
    async () => {
      for (const stages of [['security', 'operational'], ['operational']] as const) {
        const initiator = await RawInitiator.connect(port)
        const { statusClass, statusDetail } = await initiator.login({ target: TARGET, stages })
        assert.deepEqual([statusClass, statusDetail], [2, 1])
        assert.ok(await initiator.closesWithin(2000))
      }
    },
  )

  await t.test('no secret is in the log', () => {
    const text = server.subject.stderr + server.subject.stdout
    for (const { secret } of [USER, MUTUAL, DISCOVERY]) assert.ok(!text.includes(secret))
  })
})

test('settings of CHAP decide', async (t) => {
  const scratch = new Scratch(t)
  const chapAt = async (server: Configured, more: Partial<ChapOptions> = {}): Promise<ChapResult> => {
    const initiator = await RawInitiator.connect(server.subject.port)
    const result = await chapLogin(initiator, { target: TARGET, ...USER, ...more })
    initiator.close()
    return result
  }

  await t.test('algorithms and whose order counts', async () => {
    await using server = await start(scratch, { algorithms: ['SHA1', 'SHA-256'], preference: 'initiator' })
    assert.equal((await chapAt(server, { algorithms: '8,7,6' })).pdus[1]?.text.get('CHAP_A'), '7')
    assert.equal((await chapAt(server, { algorithms: '5,6,7' })).pdus[1]?.text.get('CHAP_A'), '6')
    assert.equal((await chapAt(server, { algorithms: '5,8' })).status, '0201')
  })

  await t.test('the target has to be asked for its proof', async () => {
    await using server = await start(scratch, { requireMutual: true })
    assert.equal((await chapAt(server)).status, '0201')
    assert.equal((await chapAt(server, { challenge: randomBytes(16) })).status, '0000')
  })
})
