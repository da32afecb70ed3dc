import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { RawInitiator } from '../../../../test/support/raw-initiator.ts'

const bin = resolve(import.meta.dirname, '../../bin/cygnet.cjs')
const folder = mkdtempSync(join(tmpdir(), 'cygnet-cli-'))
const children: ChildProcess[] = []
after(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

function cygnet(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 30_000,
  })
  return { status, stdout, stderr }
}

/** Starts a server on a free port of 127.0.0.1 and waits until it is ready. */
async function serve(...args: string[]) {
  const child = spawn(process.execPath, [bin, 'serve', '--listen', '127.0.0.1:0', ...args], { cwd: folder })
  children.push(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  while (!output.stdout.includes('Ready:')) {
    assert.equal(child.exitCode, null, output.stderr)
    await once(child.stdout, 'data', { signal: AbortSignal.timeout(20_000) })
  }
  return { child, output, exit: once(child, 'exit') }
}

test('an older Node gets one clear sentence', () => {
  const old = join(folder, 'old-node.cjs')
  writeFileSync(old, "Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })\n")
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--require', old, bin, 'serve'], {
    encoding: 'utf8',
  })
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /^cygnet needs Node\.js 24 or newer, and this is 20\.20\.2: .*\.\n$/)
})

test('the version is the one of the package', () => {
  assert.match(cygnet('--version').stdout, /^\d+\.\d+\.\d+\n$/)
})

const refusals: readonly { args: string[]; message: RegExp }[] = [
  { args: ['--block-size', '1024'], message: /Allowed choices are 512, 4096/ },
  { args: ['--kind', 'tape'], message: /Allowed choices are disk, cdrom/ },
  { args: ['missing.iso', '--size', '1M'], message: /^cygnet: missing\.iso does not exist/ },
  { args: ['--size', 'big'], message: /"big" is not a size/ },
  { args: ['--target', 'disk'], message: /"disk" is not an iSCSI name/ },
  { args: ['--listen', '::1'], message: /put an IPv6 address in brackets, \[::1\]/ },
  { args: ['--advertise', ':3260'], message: /not an address/ },
  { args: ['--log-level', 'loud'], message: /Allowed choices/ },
  { args: ['--nonsense'], message: /unknown option '--nonsense'/ },
  { args: ['--memory=1M', '--listen=:0', '--advertise=10.0.2.2'], message: /^cygnet: Which port should/ },
  { args: ['missing.img'], message: /^cygnet: missing\.img does not exist.* --size 1G/ },
  { args: ['--memory', '1000'], message: /^cygnet: .*not a whole number of 512-byte blocks/ },
  { args: ['--read-only'], message: /^cygnet: data\/disk0\.img does not exist/ },
]
for (const { args, message } of refusals)
  test(`serve ${args.join(' ')} is refused with what is wrong`, () => {
    const { status, stdout, stderr } = cygnet('serve', ...args)
    assert.equal(status, 1)
    assert.equal(stdout, '')
    assert.match(stderr, message)
    assert.doesNotMatch(stderr, /^ +at /m, 'no stack trace')
    assert.equal(existsSync(join(folder, 'data')), false, 'nothing was created')
  })

test('a port in use is refused with what to do', async () => {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const address = holder.address()
  assert.ok(typeof address === 'object' && address !== null)
  const { status, stderr } = cygnet('serve', '--memory', '1M', '--listen', `127.0.0.1:${address.port}`)
  holder.close()
  assert.equal(status, 1)
  assert.match(
    stderr,
    /^cygnet: 127\.0\.0\.1:\d+ is in use: .* \(--listen, or "listen" in the configuration file\)\n$/,
  )
})

test('without an image, a sparse disk of 1 GiB is created and served again the next time', async () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const { child, output, exit } = await serve()
    assert.match(output.stdout, /LUN 0 +1 GiB, 512-byte blocks +data\/disk0\.img/)
    const stats = statSync(join(folder, 'data/disk0.img'))
    assert.equal(stats.size, 2 ** 30)
    assert.ok(stats.blocks * 512 < 2 ** 20, 'sparse')
    child.kill(signal)
    assert.deepEqual(await exit, [0, null])
    rmSync(join(folder, 'data'), { recursive: true })
  }
})

test('an .iso is a disc, unless --kind says otherwise', async () => {
  writeFileSync(join(folder, 'disc.iso'), Buffer.alloc(1 << 20))
  writeFileSync(join(folder, 'other.raw'), Buffer.alloc(1 << 20))
  for (const { args, shown } of [
    {
      args: ['disc.iso', 'other.raw'],
      shown: [/1 MiB CD\/DVD, 2048-byte blocks, read-only/, /1 MiB, 512-byte/],
    },
    { args: ['disc.iso', '--kind=disk'], shown: [/1 MiB, 512-byte blocks +disc\.iso/] },
    {
      args: ['other.raw', '--kind=cdrom'],
      shown: [/1 MiB CD\/DVD, 2048-byte blocks, read-only +other\.raw/],
    },
  ]) {
    const { child, output, exit } = await serve(...args)
    for (const line of shown) assert.match(output.stdout, line)
    child.kill('SIGTERM')
    assert.deepEqual(await exit, [0, null])
  }
})

test('SIGHUP looks whether images have grown, and the service goes on', async () => {
  const { child, output, exit } = await serve('grows.img', 'stays.img', '--size=1M')
  truncateSync(join(folder, 'grows.img'), 2 ** 21)
  child.kill('SIGHUP')
  while (!output.stderr.includes('the disk has grown')) {
    await once(child.stderr, 'data', { signal: AbortSignal.timeout(10_000) })
  }
  const grown = output.stderr.split('\n').filter((line) => line.includes('the disk has grown'))
  assert.equal(grown.length, 1)
  const { lun, sizeBytes } = JSON.parse(grown[0] ?? '') as Record<string, unknown>
  assert.deepEqual([lun, sizeBytes], [0, 2 ** 21])
  child.kill('SIGTERM')
  assert.deepEqual(await exit, [0, null])
})

test('what to type names the advertised address and every LUN', async () => {
  const { child, output, exit } = await serve(
    'a.img',
    'b.img',
    '--size=1M',
    '--memory=2M',
    '--advertise=10.0.2.2:4000',
    '--target=iqn.2026-11.dev.example:tour',
  )
  const port = /^Ready: iscsi:\/\/127\.0\.0\.1:(\d+)\/iqn\.2026-11\.dev\.example:tour\/0$/m.exec(
    output.stdout,
  )?.[1]
  assert.ok(Number(port) > 0, output.stdout)
  assert.ok(output.stdout.includes(`iscsiadm -m discovery -t sendtargets -p 10.0.2.2:4000\n`))
  assert.ok(
    output.stdout.includes(
      `New-IscsiTargetPortal -TargetPortalAddress 10.0.2.2 -TargetPortalPortNumber 4000\n`,
    ),
  )
  for (const lun of [0, 1, 2])
    assert.ok(
      output.stdout.includes(`qemu-img info iscsi://10.0.2.2:4000/iqn.2026-11.dev.example:tour/${lun}\n`),
    )
  child.kill('SIGTERM')
  assert.deepEqual(await exit, [0, null])
})

test('a first signal waits for initiators, the same key press counts once, and a second signal ends at once', async () => {
  const { child, output, exit } = await serve('--memory', '1M')
  const port = /^Ready: .*:(\d+)\/iqn/m.exec(output.stdout)?.[1]
  // It stays logged in, and does not listen to the request to log out.
  const initiator = await RawInitiator.open(Number(port), { target: 'iqn.2026-11.dev.cygnet:disk' })
  child.kill('SIGINT')
  child.kill('SIGINT')
  await setTimeout(700)
  assert.equal(child.exitCode, null, 'it waits')
  child.kill('SIGINT')
  assert.deepEqual(await exit, [130, null])
  initiator.close()
})

test('a closed log does not end the service', async () => {
  const { child, exit } = await serve('--memory', '1M')
  child.stderr.destroy()
  child.stdout.destroy()
  child.kill('SIGTERM')
  assert.deepEqual(await exit, [0, null])
})

test('where stderr is no terminal, the log is JSON lines', async () => {
  const { child, output, exit } = await serve('--memory', '1M')
  child.kill('SIGTERM')
  await exit
  const lines = output.stderr.trimEnd().split('\n')
  assert.ok(lines.length > 0)
  for (const line of lines) {
    const { level, time, msg } = JSON.parse(line) as Record<string, unknown>
    assert.equal(level, 'info')
    assert.ok(typeof time === 'string' && typeof msg === 'string')
  }
})
