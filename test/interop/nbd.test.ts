/** `cygnet attach` judged by libnbd, QEMU and FUSE; our NBD client against nbdkit and QEMU. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { test } from 'node:test'
import { TestCertificates } from '../../packages/cygnet/src/runtime/tls-certificates.test-helper.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { exitOf, freePort, run, runOk, Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { collect, createImage, mainScript, sleep, startCygnet, startTgt, until } from '../support/subject.ts'

const TIMEOUT_MS = 120_000
const MIB = 1 << 20

interface Attached {
  readonly url: string
  readonly child: ChildProcess
  readonly output: { readonly stdout: string; readonly stderr: string }
}

/** Starts `cygnet attach` and waits until it listens. */
async function attach(scratch: Scratch, lun: string, listen: string, ...more: string[]): Promise<Attached> {
  const child = scratch.spawn(process.execPath, [mainScript, 'attach', lun, '--nbd', listen, ...more])
  const output = collect(child)
  const url = (): string | undefined => /^Ready: (.*)$/m.exec(output.stdout)?.[1]
  await until(() => url() !== undefined || child.exitCode !== null, 20_000)
  assert.ok(url() !== undefined, `attach is not ready\n${output.stdout}\n${output.stderr}`)
  return { url: url() ?? '', child, output }
}

/** An image of `sizeBytes` with random bytes at its beginning and end. */
function randomImage(path: string, sizeBytes: number): void {
  const seeded = new Seeded()
  const bytes = Buffer.alloc(sizeBytes)
  bytes.set(seeded.bytes(3_000_000), 100)
  bytes.set(seeded.bytes(100_000), sizeBytes - 100_000)
  writeFileSync(path, bytes)
}

test('libnbd and QEMU use what attach offers', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'nbdinfo', 'nbdcopy', 'qemu-img', 'qemu-io', 'cmp')) return
  const scratch = new Scratch(t)
  const target = await startCygnet(scratch, { images: [scratch.path('lun.img')], size: '64M' })
  const { url, child, output } = await attach(
    scratch,
    target.url(),
    `unix:${scratch.path('nbd.sock')}`,
    '--export-name',
    'disk',
  )
  const image = scratch.path('image')
  const back = scratch.path('back')
  randomImage(image, 64 * MIB)

  await t.test('nbdinfo', async () => {
    const { stdout } = await runOk(peerPath('nbdinfo'), ['--json', url])
    const { protocol, structured, exports } = JSON.parse(stdout) as {
      protocol: string
      structured: boolean
      exports: Record<string, unknown>[]
    }
    assert.deepEqual([protocol, structured], ['newstyle-fixed', true])
    const facts = exports[0] ?? {}
    const wanted = { 'export-size': 64 * MIB, can_flush: true, can_fua: true, can_trim: true, can_zero: true }
    for (const [name, value] of Object.entries({
      ...wanted,
      can_multi_conn: true,
      can_df: true,
      is_read_only: false,
      block_size_minimum: 1,
    }))
      assert.equal(facts[name], value, name)
    assert.deepEqual(facts['contexts'], ['base:allocation'])
    await runOk(peerPath('nbdinfo'), ['--list', url])
    await assert.rejects(runOk(peerPath('nbdinfo'), [url.replace('/disk?', '/other?')]))
  })

  await t.test('nbdcopy, in and out, over several connections', async () => {
    await runOk(peerPath('nbdcopy'), ['--connections=4', '--flush', image, url])
    await runOk(peerPath('nbdcopy'), ['--connections=4', url, back])
    await runOk(peerPath('cmp'), [image, back])
  })

  await t.test('block status', async () => {
    await runOk(peerPath('qemu-io'), ['-f', 'raw', '-c', 'discard 16M 16M', url])
    const { stdout } = await runOk(peerPath('nbdinfo'), ['--map', '--json', url])
    const map = JSON.parse(stdout) as { offset: number; length: number; type: number }[]
    const covering = map.filter(
      ({ offset, length, type }) => type === 3 && offset < 32 * MIB && offset + length > 16 * MIB,
    )
    assert.ok(covering.reduce((sum, { length }) => sum + length, 0) >= 16 * MIB, stdout)
  })

  await t.test('qemu-img convert, compare and bench', async () => {
    const qemu = (...args: string[]) => runOk(peerPath('qemu-img'), args)
    await qemu('convert', '-n', '-f', 'raw', '-O', 'raw', image, url)
    const { stdout } = await qemu('compare', '-f', 'raw', '-F', 'raw', image, url)
    assert.match(stdout, /identical/)
    await qemu('convert', '-f', 'raw', '-O', 'qcow2', url, scratch.path('out.qcow2'))
    await qemu('compare', '-f', 'qcow2', '-F', 'raw', scratch.path('out.qcow2'), url)
    await qemu('bench', '-f', 'raw', '-c', '3000', '-d', '32', '-s', '4096', url)
    await qemu(
      'bench',
      '-w',
      '-f',
      'raw',
      '-c',
      '3000',
      '-d',
      '64',
      '-s',
      '4096',
      '--flush-interval=500',
      url,
    )
  })

  await t.test('qemu-io: partial blocks, zeroes, FUA, discard', async () => {
    const commands = [
      'write -P 7 1000 100',
      'read -P 7 1000 100',
      'write -z 3M 1M',
      'read -P 0 3M 1M',
      'write -z -u 5000 100',
      'read -P 0 5000 100',
      'write -f -P 9 5M 4k',
      'read -P 9 5M 4k',
      'aio_write -P 1 8M 64k',
      'aio_write -P 2 8208k 64k',
      'aio_flush',
      'read -P 2 8208k 64k',
      'flush',
    ]
    const { stdout } = await runOk(peerPath('qemu-io'), [
      '-f',
      'raw',
      ...commands.flatMap((one) => ['-c', one]),
      url,
    ])
    assert.doesNotMatch(stdout, /Pattern verification failed/)
  })

  await t.test('clients that speak no NBD are turned away with one line each', async () => {
    const warnings = (): number => (output.stderr.match(/"msg":"NBD client dropped"/g) ?? []).length
    const before = warnings()
    const magic = Buffer.from('IHAVEOPT')
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      Buffer.concat([Buffer.from([0, 0, 0, 3]), magic, Buffer.alloc(8, 0xff)]),
      Buffer.concat([
        Buffer.from([0, 0, 0, 3]),
        magic,
        Buffer.from([0, 0, 0, 1, 0, 0, 0, 4]),
        Buffer.from('disk'),
        Buffer.alloc(28, 0xee),
      ]),
    ]) {
      const socket = connectSocket(scratch.path('nbd.sock'))
      socket.on('error', () => undefined)
      socket.resume()
      socket.write(bytes)
      await once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
    }
    await until(() => warnings() === before + 3, 5000)
    assert.equal(warnings(), before + 3, output.stderr)
    await runOk(peerPath('nbdinfo'), [url])
  })

  await t.test('SIGTERM ends it, and takes the socket away', async () => {
    child.kill('SIGTERM')
    assert.deepEqual(await exitOf(child), { code: 0, signal: null })
    assert.equal((await run(peerPath('nbdinfo'), [url])).code, 1)
  })
})

test('over TCP, read-only, in front of tgt', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'tgtd', 'tgtadm', 'nbdinfo', 'nbdcopy', 'cmp')) return
  const scratch = new Scratch(t)
  const image = scratch.path('tgt.img')
  randomImage(image, 16 * MIB)
  const target = await startTgt(scratch, { images: [image], blockSize: 4096 })
  const port = await freePort()
  const { url, output } = await attach(scratch, target.url(), `127.0.0.1:${port}`, '--read-only')
  assert.equal(url, `nbd://127.0.0.1:${port}/`)
  const { stdout } = await runOk(peerPath('nbdinfo'), ['--json', url])
  const [facts] = (JSON.parse(stdout) as { exports: Record<string, unknown>[] }).exports
  assert.deepEqual([facts?.['is_read_only'], facts?.['export-size']], [true, 16 * MIB])
  await runOk(peerPath('nbdcopy'), [url, scratch.path('back')])
  await runOk(peerPath('cmp'), [image, scratch.path('back')])
  const written = await run(peerPath('nbdcopy'), [image, url])
  assert.notEqual(written.code, 0)
  assert.doesNotMatch(output.stderr, /"level":"error"/)
})

test('libnbd by TLS, with certificates and with a pre-shared key', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'nbdinfo', 'nbdcopy', 'cmp')) return
  const scratch = new Scratch(t)
  const image = scratch.path('image')
  randomImage(image, 16 * MIB)
  const target = await startCygnet(scratch, { images: [scratch.path('lun.img')], size: '16M' })
  const certificates = new TestCertificates()
  t.after(() => certificates.remove())
  // Under the names that libnbd and QEMU look for.
  const ca = certificates.ca('ca-cert')
  renameSync(ca.certFile, certificates.path('ca-cert.pem'))
  const signer = { ...ca, certFile: certificates.path('ca-cert.pem') }
  const own = certificates.issue('server', signer, { altNames: 'IP:127.0.0.1' })
  const client = certificates.issue('client', signer)
  renameSync(client.certFile, certificates.path('client-cert.pem'))
  renameSync(client.keyFile, certificates.path('client-key.pem'))
  const psk = certificates.path('psk')
  writeFileSync(psk, `alice:${'5a'.repeat(32)}\n`, { mode: 0o600 })

  for (const [what, options, login, parameters] of [
    [
      'certificates',
      ['--nbd-cert', own.certFile, '--nbd-key', own.keyFile, '--nbd-client-ca', signer.certFile],
      '',
      `tls-certificates=${certificates.folder}`,
    ],
    ['a pre-shared key', ['--nbd-psk-file', psk], 'alice@', `tls-psk-file=${psk}`],
  ] as const) {
    await t.test(what, async () => {
      const port = await freePort()
      const { url, child } = await attach(scratch, target.url(), `127.0.0.1:${port}`, ...options)
      assert.equal(url, `nbds://127.0.0.1:${port}/`)
      const secure = `nbds://${login}127.0.0.1:${port}/?${parameters}`
      const { stdout } = await runOk(peerPath('nbdinfo'), ['--json', secure])
      assert.equal((JSON.parse(stdout) as { TLS: boolean }).TLS, true)
      await runOk(peerPath('nbdcopy'), ['--connections=4', '--flush', image, secure])
      await runOk(peerPath('nbdcopy'), [secure, scratch.path('back')])
      await runOk(peerPath('cmp'), [image, scratch.path('back')])
      assert.notEqual((await run(peerPath('nbdinfo'), [`nbd://127.0.0.1:${port}/`])).code, 0)
      child.kill('SIGTERM')
      await exitOf(child)
    })
  }
})

test('a file system on a LUN, through nbdfuse', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'nbdfuse', 'mke2fs', 'e2fsck', 'cmp')) return
  const scratch = new Scratch(t)
  const target = await startCygnet(scratch, { images: [scratch.path('lun.img')], size: '64M' })
  const { url } = await attach(scratch, target.url(), `unix:${scratch.path('nbd.sock')}`)
  const folder = scratch.path('mnt')
  mkdirSync(folder)
  const fuse = scratch.spawn(peerPath('nbdfuse'), [`${folder}/disk`, url])
  const said = collect(fuse)
  scratch.defer(() => run('umount', ['-l', folder]))
  const isMounted = (): boolean => readFileSync('/proc/mounts', 'utf8').includes(` ${folder} fuse`)
  await until(() => isMounted() || fuse.exitCode !== null, 10_000)
  assert.ok(isMounted(), said.stderr)
  const disk = `${folder}/disk`
  await runOk(peerPath('mke2fs'), [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-d',
    new URL('../support', import.meta.url).pathname,
    disk,
  ])
  await runOk(peerPath('e2fsck'), ['-f', '-n', disk])
  await runOk('umount', [folder])
  await exitOf(fuse)
  // What is on the LUN is what was made through all of that.
  await runOk(process.execPath, [mainScript, 'copy', target.url(), scratch.path('copy'), '--verify'])
  await runOk(peerPath('e2fsck'), ['-f', '-n', scratch.path('copy')])
})

test('cygnet copy from and to other NBD servers', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'nbdkit', 'nbdinfo', 'qemu-nbd', 'qemu-img', 'cmp')) return
  const scratch = new Scratch(t)
  const image = scratch.path('image')
  randomImage(image, 16 * MIB)
  const copy = (...args: string[]) => runOk(process.execPath, [mainScript, 'copy', ...args])
  await t.test('nbdkit, whole and with blocks of 4096 bytes only', async () => {
    for (const [name, policy] of [
      ['any', []],
      ['blocks', ['--filter=blocksize-policy']],
    ] as const) {
      const socket = scratch.path(`${name}.sock`)
      const args = ['-f', '-U', socket, ...policy, 'memory', '16M']
      if (policy.length > 0)
        args.push(
          'blocksize-minimum=4096',
          'blocksize-preferred=4096',
          'blocksize-maximum=1M',
          'blocksize-error-policy=error',
        )
      const server = scratch.spawn(peerPath('nbdkit'), args)
      const said = collect(server)
      await until(() => existsSync(socket) || server.exitCode !== null, 5000)
      assert.ok(existsSync(socket), said.stderr)
      const url = `nbd+unix:///?socket=${socket}`
      await copy(image, url, '--verify', '--sparse')
      await copy(url, scratch.path(`${name}.back`), '--sparse')
      await runOk(peerPath('cmp'), [image, scratch.path(`${name}.back`)])
    }
  })

  await t.test('qemu-nbd, over TCP, of a qcow2 image', async () => {
    const port = await freePort()
    const qcow = scratch.path('disk.qcow2')
    await runOk(peerPath('qemu-img'), ['create', '-q', '-f', 'qcow2', qcow, '16M'])
    const server = scratch.spawn(peerPath('qemu-nbd'), [
      '-f',
      'qcow2',
      '-t',
      '-b',
      '127.0.0.1',
      '-p',
      String(port),
      '-x',
      'disk',
      '--discard=unmap',
      qcow,
    ])
    const said = collect(server)
    const url = `nbd://127.0.0.1:${port}/disk`
    let tries = 0
    while ((await run(peerPath('nbdinfo'), [url])).code !== 0) {
      assert.ok(server.exitCode === null && tries++ < 100, said.stderr)
      await sleep(50)
    }
    await copy(image, url, '--verify', '--sparse')
    await copy(url, scratch.path('q.back'), '--sparse', '--verify')
    await runOk(peerPath('cmp'), [image, scratch.path('q.back')])
    const unknown = await run(process.execPath, [
      mainScript,
      'copy',
      `nbd://127.0.0.1:${port}/other`,
      scratch.path('x'),
    ])
    assert.equal(unknown.code, 1)
    assert.match(unknown.stderr, /has no export "other"/)
  })

  await t.test('from LUN to LUN and to standard output', async () => {
    const lun = scratch.path('lun.img')
    createImage(lun, '16M')
    const target = await startCygnet(scratch, { images: [lun, scratch.path('second.img')], size: '16M' })
    await copy(image, target.url())
    await copy(target.url(), target.url(1), '--verify')
    const script = `"${process.execPath}" "${mainScript}" copy "${target.url(1)}" - | cmp - "${image}"`
    await runOk('sh', ['-c', script])
  })
})
