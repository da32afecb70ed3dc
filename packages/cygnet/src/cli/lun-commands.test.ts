import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { linkSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { parseNbdListen } from './attach.ts'

const bin = resolve(import.meta.dirname, '../../bin/cygnet.cjs')
const folder = mkdtempSync(join(tmpdir(), 'cygnet-lun-'))
const file = (name: string): string => join(folder, name)
const IMAGE_BYTES = 3 << 20
let server: ChildProcess | undefined
let url = ''

/** Starts a command that says when it is ready, and where. */
async function start(...args: string[]): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const child = spawn(process.execPath, [bin, ...args], { cwd: folder })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  while (!/^Ready: .*\n/m.test(output)) {
    // oxlint-disable-next-line no-await-in-loop -- more output
    await once(child.stdout, 'data', { signal: AbortSignal.timeout(20_000) })
  }
  return { child, url: /^Ready: (.*)$/m.exec(output)?.[1] ?? '' }
}

const serveMemory = ['serve', '--memory', '4M', '--listen', '127.0.0.1:0'] as const

before(async () => {
  const started = await start(...serveMemory)
  server = started.child
  url = started.url
  writeFileSync(
    file('image'),
    Uint8Array.from({ length: IMAGE_BYTES }, (_, i) => (i >> 12) & 0xff),
  )
})
after(() => {
  server?.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

interface Result {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

async function cygnet(args: readonly string[], input?: Uint8Array): Promise<Result> {
  const child = spawn(process.execPath, [bin, ...args], { cwd: folder, timeout: 30_000 })
  const parts: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (part: Buffer) => parts.push(part))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout: Buffer.concat(parts), stderr }
}

test('copy in, out and through standard input and output', async () => {
  const image = readFileSync(file('image'))
  const there = await cygnet(['copy', 'image', url, '--verify', '--json'])
  assert.equal(there.code, 0, there.stderr)
  const report = JSON.parse(there.stdout.toString()) as Record<string, unknown>
  assert.deepEqual(
    [report['lengthBytes'], report['verified'], report['differsAt']],
    [IMAGE_BYTES, true, null],
  )
  const out = await cygnet(['copy', url, '-'])
  assert.equal(out.code, 0, out.stderr)
  assert.equal(out.stdout.length, 4 << 20)
  assert.ok(out.stdout.subarray(0, IMAGE_BYTES).equals(image))
  const reversed = image.subarray(0, 100_001).toReversed()
  const piped = await cygnet(['copy', '-', url, '--verify'], reversed)
  assert.equal(piped.code, 0, piped.stderr)
  assert.match(piped.stderr, /^100001 bytes in .*; verified\n$/)
  const back = await cygnet(['copy', url, 'back', '--sparse'])
  assert.equal(back.code, 0, back.stderr)
  assert.ok(readFileSync(file('back')).subarray(0, 100_001).equals(reversed))
})

test('a file that is longer than the source is cut; resuming keeps what is the same', async () => {
  writeFileSync(file('long'), new Uint8Array(IMAGE_BYTES + 5000).fill(1))
  assert.equal((await cygnet(['copy', 'image', 'long'])).code, 0)
  assert.equal(statSync(file('long')).size, IMAGE_BYTES)
  const again = await cygnet(['copy', 'image', 'long', '--resume', '--json'])
  assert.equal((JSON.parse(again.stdout.toString()) as Record<string, unknown>)['sameBytes'], IMAGE_BYTES)
})

test('nothing is cut off a file that is the source by another name, or that a server serves', async () => {
  const image = readFileSync(file('image'))
  linkSync(file('image'), file('other-name'))
  for (const name of ['./image', 'other-name']) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { code, stderr } = await cygnet(['copy', 'image', name])
    assert.equal(code, 1)
    assert.match(stderr, /SRC and DST are the same/)
  }
  const { child } = await start('serve', 'image', '--listen', '127.0.0.1:0')
  try {
    writeFileSync(file('short'), new Uint8Array(512))
    const outcomes = [
      await cygnet(['copy', 'short', 'image']),
      await cygnet(['copy', '-', 'image'], image.subarray(0, 9)),
    ]
    for (const { code, stderr } of outcomes) {
      assert.equal(code, 1)
      assert.match(stderr, /image is in use/)
    }
  } finally {
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  assert.ok(readFileSync(file('image')).equals(image))
})

test('info, for people and for programs', async () => {
  const text = await cygnet(['info', url])
  assert.equal(text.code, 0, text.stderr)
  assert.match(
    text.stdout.toString(),
    /^CYGNET .*\n[^]* Capacity +4 MiB: 8192 blocks of 512 bytes\n[^]*Portals\n/,
  )
  const json = await cygnet(['info', url, '--json'])
  const { capacity, session } = JSON.parse(json.stdout.toString()) as {
    capacity: { sizeBytes: number }
    session: { portal: string }
  }
  assert.equal(capacity.sizeBytes, 4 << 20)
  assert.ok(url.includes(session.portal))
})

test('attach serves until it is told to end', async () => {
  const { child, url: nbdUrl } = await start('attach', url, '--nbd', `unix:${file('nbd.sock')}`)
  const copied = await cygnet(['copy', 'image', nbdUrl, '--verify'])
  assert.equal(copied.code, 0, copied.stderr)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

test('attach ends at once when the target is gone, whatever clients wait for', async () => {
  const { child: target, url: lun } = await start(...serveMemory)
  const { child, url: nbdUrl } = await start('attach', lun, '--nbd', `unix:${file('gone.sock')}`)
  const lost = new Promise<void>((done) => {
    child.stderr
      ?.setEncoding('utf8')
      .on('data', (text: string) => void (text.includes('path lost') && done()))
  })
  target.kill('SIGKILL')
  await lost
  const waiting = cygnet(['copy', 'image', nbdUrl])
  const startMs = performance.now()
  await new Promise<void>((done) => {
    child.stderr?.on('data', (text: string) => void (text.includes('client attached') && done()))
  })
  child.kill('SIGINT')
  assert.deepEqual(await once(child, 'exit'), [0, null])
  assert.ok(performance.now() - startMs < 15_000)
  assert.equal((await waiting).code, 1)
})

test('a reader that closes standard output early is told of in one sentence', async () => {
  const child = spawn(process.execPath, [bin, 'copy', url, '-'])
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  await once(child.stdout, 'data')
  child.stdout.destroy()
  assert.deepEqual(await once(child, 'close'), [1, null])
  assert.equal(stderr, 'cygnet: Whoever read standard output has closed it: the copy is not complete.\n')
})

test('bench measures and verify finds nothing wrong', async () => {
  for (const args of [
    ['bench', url, '--time', '1', '--pattern', 'mixed', '--block', '8K', '--depth', '4', '--json'],
    ['verify', url, '--time', '1', '--span', '1M', '--block', '8K', '--depth', '4', '--json'],
  ]) {
    // oxlint-disable-next-line no-await-in-loop -- both use one LUN
    const { code, stdout, stderr } = await cygnet(args)
    assert.equal(code, 0, stderr)
    const report = JSON.parse(stdout.toString()) as {
      requests: number
      latencyMs: { max: number }
      wrong?: null
    }
    assert.ok(report.requests > 10 && report.latencyMs.max > 0)
    assert.equal(report.wrong ?? null, null)
  }
  const text = await cygnet(['bench', url, '--time', '1'])
  assert.match(
    text.stdout.toString(),
    /^randread, 4\.00 KiB, depth 32: [\d,]+ IOPS, .* MB\/s\nlatency: mean /,
  )
})

test('copying from LUN to LUN of one target with an ISID does not set one session against the other', async () => {
  const { child, url: from } = await start(...serveMemory, 'image')
  try {
    const to = from.replace(/0$/, '1')
    const { code, stderr } = await cygnet(['copy', from, to, '--isid', '0x800000000007', '--verify'])
    assert.equal(code, 0, stderr)
  } finally {
    child.kill('SIGKILL')
  }
})

test('reserve: a registration is the same one in the next call, and keeps others out', async () => {
  const reserve = async (...args: string[]): Promise<Result> => cygnet(['reserve', url, ...args])
  const key = ['--reservation-key', 'abc']
  assert.match((await reserve()).stdout.toString(), /^Nobody is registered/)
  assert.equal((await reserve('register', ...key)).code, 0)
  const taken = await reserve('take', ...key, '--type', 'exclusive-access', '--json')
  assert.equal(taken.code, 0, taken.stderr)
  const { registrations } = JSON.parse(taken.stdout.toString()) as {
    registrations: Record<string, unknown>[]
  }
  assert.deepEqual(
    [registrations.length, registrations[0]?.['key'], registrations[0]?.['holds']],
    [1, '0000000000000abc', 3],
  )
  const refused = await cygnet(['copy', 'image', url])
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /somebody else has reserved the device/)
  const other = ['--reservation-key', '77', '--isid', '80aaaaaaaaaa']
  await reserve('register', ...other)
  const preempted = await reserve('preempt', ...other, '--victim', '0xABC')
  assert.match(preempted.stdout.toString(), /0000000000000077 .* holds write-exclusive\n$/)
  const notHis = await reserve('release', ...key)
  assert.equal(notHis.code, 1)
  assert.match(notHis.stderr, /not registered with the key 0000000000000abc/)
  assert.match((await reserve('clear', ...other)).stdout.toString(), /^Nobody is registered/)
})

test('where to listen by NBD', () => {
  assert.deepEqual(parseNbdListen('unix:/run/x'), { kind: 'unix', path: '/run/x' })
  assert.deepEqual(parseNbdListen('[::1]:1'), { kind: 'tcp', host: '::1', port: 1 })
  assert.deepEqual(parseNbdListen(':0'), { kind: 'tcp', host: '127.0.0.1', port: 0 })
  assert.deepEqual(parseNbdListen('host'), { kind: 'tcp', host: 'host', port: 10_809 })
  for (const wrong of ['unix:', `unix:/${'x'.repeat(107)}`, 'a:b', ''])
    assert.throws(() => parseNbdListen(wrong), { code: 'ADDRESS_INVALID' })
})

for (const [what, args, message] of [
  ['a source that does not exist', () => ['copy', 'nothing', url], /nothing does not exist: check the name/],
  ['a destination that is too small', () => ['copy', '/dev/zero', url], /neither a file nor a block device/],
  ['the same twice', () => ['copy', url, url], /SRC and DST are the same/],
  ['standard input to standard output', () => ['copy', '-', '-'], /needs no copy/],
  ['verifying standard output', () => ['copy', url, '-', '--verify'], /cannot be looked at again/],
  ['a LUN that is none', () => ['info', url.replace(/0$/, '9')], /no logical unit at LUN 9/],
  ['RDMA', () => ['copy', url.replace('iscsi:', 'iser:'), 'out'], /only TCP: leave iser away/],
  [
    'a user without a secret',
    () => ['info', url.replace('//', '//me@')],
    /CHAP needs a secret: give --secret-file/,
  ],
  [
    'connections beyond the limit',
    () => ['info', `${url}?connections=33`],
    /connections must be a whole number/,
  ],
  ['no LUN URL', () => ['info', 'disk.img'], /"disk.img" is not a LUN/],
  ['reserving without a key', () => ['reserve', url, 'take'], /needs --reservation-key/],
  ['verifying by halves of a sector', () => ['verify', url, '--block', '700'], /multiple of 512/],
  ['an NBD server that is not there', () => ['copy', 'image', 'nbd+unix:///?socket=/none'], /no such socket/],
  [
    'a folder that is not there',
    () => ['attach', url, '--nbd', 'unix:/none/x'],
    /the folder of .* does not exist/,
  ],
] as const) {
  test(`${what} ends with one sentence`, async () => {
    const { code, stderr } = await cygnet(args())
    assert.equal(code, 1)
    assert.match(stderr, message)
    assert.equal(stderr.trim().split('\n').length, 1, stderr)
  })
}
