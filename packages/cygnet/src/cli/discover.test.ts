import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'

const bin = resolve(import.meta.dirname, '../../bin/cygnet.cjs')
const folder = mkdtempSync(join(tmpdir(), 'cygnet-discover-'))
const file = (name: string): string => join(folder, name)
const IQN = 'iqn.2026-11.dev.example:disk'
let server: ChildProcess | undefined
let address = ''

/** One target for everybody, and one that wants CHAP in both directions. */
const configuration = {
  portals: [{ listen: '127.0.0.1:0' }],
  targets: {
    [IQN]: { alias: 'red: \u001b[31m', luns: { 0: { memory: '1M' } } },
    [`${IQN}-chap`]: {
      luns: { 0: { memory: '1M' } },
      auth: {
        users: [{ user: 'host1', secretFile: 'secret' }],
        mutual: { user: 'storage', secretFile: 'mutual' },
      },
    },
  },
}

before(async () => {
  writeFileSync(file('secret'), 'one-host-secret\n', { mode: 0o600 })
  writeFileSync(file('mutual'), 'the-target-secret\n', { mode: 0o600 })
  writeFileSync(file('wrong'), 'not-the-secret\n', { mode: 0o600 })
  writeFileSync(file('cygnet.yaml'), JSON.stringify(configuration), { mode: 0o600 })
  const child = spawn(process.execPath, [bin, 'serve', '-c', file('cygnet.yaml')], { cwd: folder })
  server = child
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  for (;;) {
    const port = /"address":"[^"]*:(\d+)","msg":"listening"/.exec(output)?.[1]
    if (port !== undefined) {
      address = `127.0.0.1:${port}`
      return
    }
    assert.equal(child.exitCode, null, output)
    // oxlint-disable-next-line no-await-in-loop -- more output
    await once(child.stderr, 'data', { signal: AbortSignal.timeout(20_000) })
  }
})
after(() => {
  server?.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

function discover(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const options = {
      cwd: folder,
      timeout: 20_000,
      env: { ...process.env, CYGNET_SECRET: 'one-host-secret' },
    }
    const child = execFile(process.execPath, [bin, 'discover', ...args], options, (_, stdout, stderr) =>
      done({ code: child.exitCode, stdout, stderr }),
    )
  })
}

test('targets and their portals are listed', async () => {
  const { code, stdout, stderr } = await discover(address)
  assert.equal(code, 0, stderr)
  assert.equal(stdout, `${IQN}\n  ${address}, portal group 1\n${IQN}-chap\n  ${address}, portal group 1\n`)
})

test('with --login, each login tells what was negotiated, and one that fails is the exit code', async () => {
  const { code, stdout } = await discover(address, '--login')
  assert.equal(code, 1)
  assert.match(stdout, new RegExp(`^${IQN}\n  [^\n]*\n    Login +successful\n`))
  assert.match(stdout, /^ {4}MaxBurstLength +1 MiB$/m)
  assert.match(
    stdout,
    /^ {4}TargetAlias +red: \\u\{1b\}\[31m$/m,
    'what the target says gives the terminal no orders',
  )
  assert.match(
    stdout,
    /-chap\n {2}.*\n {4}Login at .*: The target wants authentication: give a user and a secret\.\n$/,
  )
})

for (const [what, ...source] of [
  ['a file', '--secret-file', 'secret'],
  ['the environment', '--secret-env', 'CYGNET_SECRET'],
] as const) {
  test(`with a secret from ${what}, a target that wants one lets us in`, async () => {
    const { code, stdout, stderr } = await discover(address, '--login', '--user', 'host1', ...source)
    assert.equal(code, 0, stdout + stderr)
    assert.equal(stdout.match(/^ {4}Login +successful$/gm)?.length, 2)
  })
}

test('a target that must prove itself does, or is not used', async () => {
  const mutual = ['--mutual-user', 'storage', '--mutual-secret-file', 'mutual']
  const args = [address, '--login', '--user', 'host1', '--secret-file', 'secret', ...mutual]
  const strict = await discover(...args)
  assert.deepEqual([strict.code, strict.stdout], [1, ''])
  assert.match(strict.stderr, /accepts none of the authentication methods CHAP/)
  const { code, stdout } = await discover(...args, '--anonymous-discovery')
  assert.equal(code, 1, 'the target for everybody proves nothing')
  assert.match(stdout, /-chap\n {2}.*\n {4}Login +successful\n.*\n {4}Target +authenticated as storage\n/)
})

test('a target with another secret than the expected one is not used', async () => {
  const mutual = ['--mutual-secret-file', 'wrong', '--anonymous-discovery']
  const { code, stdout } = await discover(
    address,
    '--login',
    '--user',
    'host1',
    '--secret-file',
    'secret',
    ...mutual,
  )
  assert.equal(code, 1)
  assert.match(stdout, /-chap\n {2}.*\n.*the target, "storage", does not have the right secret/)
})

const refusals: readonly { args: readonly string[]; message: RegExp }[] = [
  { args: [], message: /missing required argument 'HOST/ },
  { args: ['::1'], message: /put an IPv6 address in brackets/ },
  { args: ['127.0.0.1:1'], message: /Nothing listens at 127\.0\.0\.1:1/ },
  { args: ['host', '--user', 'me'], message: /give --secret-file or --secret-env/ },
  { args: ['host', '--secret-file', 'secret'], message: /give --user/ },
  { args: ['host', '--user', 'me', '--secret-file', 'nothing'], message: /there is no file/ },
  {
    args: ['host', '--user', 'me', '--secret-env', 'NO_SUCH_VARIABLE'],
    message: /there is no such variable/,
  },
  { args: ['host', '--user', 'me', '--secret-env', 'A', '--secret-file', 'b'], message: /not both/ },
  {
    args: ['host', '--user', 'me', '--secret-file', 'secret', '--mutual-user', 'x'],
    message: /needs the secret of the target/,
  },
  { args: ['host', '--initiator-name', 'me'], message: /"me" is not an iSCSI name/ },
]
for (const { args, message } of refusals) {
  test(`discover ${args.join(' ')} is refused with what is wrong`, async () => {
    const { code, stdout, stderr } = await discover(...args)
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, message)
    assert.doesNotMatch(stderr, /^ +at /m, 'no stack trace')
  })
}

test('--json is one document, with logins and their errors', async () => {
  const [host, port] = address.split(':')
  const portal = { host, port: Number(port), portalGroup: 1 }
  const plain = await discover(address, '--json')
  assert.equal(plain.code, 0, plain.stderr)
  assert.deepEqual(JSON.parse(plain.stdout), [
    { target: IQN, portals: [portal] },
    { target: `${IQN}-chap`, portals: [portal] },
  ])
  const { code, stdout } = await discover(address, '--login', '--json')
  assert.equal(code, 1)
  const [open, closed] = JSON.parse(stdout) as { portals: { login: Record<string, unknown> }[] }[]
  const login = open?.portals[0]?.login ?? {}
  assert.deepEqual(
    [login['portal'], login['headerDigest'], login['maxBurstLength']],
    [address, false, 1 << 20],
  )
  assert.match(JSON.stringify(closed?.portals[0]?.login), /"error":\{"code":"LOGIN_/)
})
