/** A standard initiator's I/O over TLS: through `cygnet tunnel` on its own side and, for a target without TLS, on both. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { TestCertificates } from '../../packages/cygnet/src/runtime/tls-certificates.test-helper.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { exitOf, freePort, runOk, Scratch } from '../support/scratch.ts'
import { mainScript, startCygnet, startTgt, type Subject, until } from '../support/subject.ts'

/** A running `cygnet tunnel`. */
class TunnelProcess {
  readonly port: number
  readonly #log: () => string
  readonly #stop: () => Promise<number | null>

  constructor(port: number, log: () => string, stop: () => Promise<number | null>) {
    this.port = port
    this.#log = log
    this.#stop = stop
  }

  get log(): string {
    return this.#log()
  }

  /** Its exit code after a SIGTERM. */
  stop(): Promise<number | null> {
    return this.#stop()
  }

  static async start(
    scratch: Scratch,
    listenPort: number,
    to: string,
    ...options: string[]
  ): Promise<TunnelProcess> {
    const args = [mainScript, 'tunnel', '--listen', `127.0.0.1:${listenPort}`, '--to', to, ...options]
    const child = scratch.spawn(process.execPath, args)
    let stdout = ''
    let stderr = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const port = (): string | undefined => /^Ready: 127\.0\.0\.1:(\d+)$/m.exec(stdout)?.[1]
    await until(() => port() !== undefined || child.exitCode !== null, 10_000)
    assert.ok(port() !== undefined, `cygnet tunnel is not ready\n${stdout}\n${stderr}`)
    return new TunnelProcess(
      Number(port()),
      () => stderr,
      async () => {
        child.kill('SIGTERM')
        return (await exitOf(child)).code
      },
    )
  }
}

/** The ports of the three hops, known before any of them runs: the target advertises the initiator's end. */
async function chain(
  scratch: Scratch,
  initiatorOptions: string[],
  targetOptions: string[],
  startTarget: (advertise: string) => Promise<Subject>,
) {
  const entry = await freePort()
  const subject = await startTarget(`127.0.0.1:${entry}`)
  const beside = await TunnelProcess.start(scratch, 0, subject.portal, '--accept-tls', ...targetOptions)
  const near = await TunnelProcess.start(scratch, entry, `127.0.0.1:${beside.port}`, ...initiatorOptions)
  return {
    subject,
    beside,
    near,
    url: (disk = 0) => `iscsi://127.0.0.1:${entry}/${subject.iqn}/${subject.lun(disk)}`,
  }
}

function qemuIo(url: string, ...commands: string[]) {
  return runOk(peerPath('qemu-io'), ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), url])
}

test('a standard initiator works over TLS through tunnels', async (t) => {
  if (!requirePeers(t, 'qemu-img', 'qemu-io', 'iscsi-ls', 'tgtd', 'tgtadm')) return
  const scratch = new Scratch(t)
  const files = new TestCertificates()
  t.after(() => files.remove())
  const ca = files.ca('Storage CA')
  const portal = files.issue('portal', ca, { altNames: 'DNS:san.example.com,IP:127.0.0.1' })
  const host = files.issue('host1', ca)
  const withCertificates = {
    near: ['--ca', ca.certFile, '--cert', host.certFile, '--key', host.keyFile],
    beside: ['--cert', portal.certFile, '--key', portal.keyFile, '--client-ca', ca.certFile],
  }
  const pskFile = files.path('psk')
  writeFileSync(pskFile, `host1:${'7e'.repeat(32)}\n`)
  const withKeys = { near: ['--psk-file', pskFile], beside: ['--psk-file', pskFile] }

  for (const [what, { near: nearOptions, beside: besideOptions }, identity] of [
    ['certificates', withCertificates, 'CN=host1'],
    ['pre-shared keys', withKeys, 'host1'],
  ] as const)
    await t.test(`to cygnet serve, with ${what}: discovery, patterns, a load`, async () => {
      const { url, subject, near, beside } = await chain(scratch, nearOptions, besideOptions, (advertise) =>
        startCygnet(scratch, { memory: '64M', advertise }),
      )
      const { stdout } = await runOk(peerPath('iscsi-ls'), ['-s', `iscsi://127.0.0.1:${near.port}`])
      assert.match(stdout, new RegExp(`^Target:${subject.iqn} Portal:127\\.0\\.0\\.1:${near.port},1$`, 'm'))
      assert.match(stdout, /DIRECT_ACCESS/)
      await qemuIo(url(), 'write -P 0xab 1M 8M', 'flush', 'read -P 0xab 1M 8M', 'read -P 0 9M 1M')
      await runOk(peerPath('qemu-img'), [
        'bench',
        '-f',
        'raw',
        '-t',
        'none',
        '-c',
        '500',
        '-d',
        '32',
        '-s',
        '64k',
        url(),
      ])
      // What went through the tunnel is on the disk.
      await qemuIo(subject.url(), 'read -P 0xab 1M 8M')
      assert.equal(await near.stop(), 0)
      assert.equal(await beside.stop(), 0)
      assert.ok(beside.log.includes(`:"${identity}"`), beside.log)
      await subject.stop()
    })

  await t.test('to tgt, which has no TLS', async () => {
    const { url, near, beside, subject } = await chain(
      scratch,
      withCertificates.near,
      withCertificates.beside,
      () => startTgt(scratch, { images: [scratch.path('tgt.img')], size: '64M' }),
    )
    await qemuIo(url(), 'write -P 0x5c 1M 4M', 'read -P 0x5c 1M 4M')
    assert.equal(await near.stop(), 0)
    assert.equal(await beside.stop(), 0)
    await subject.stop()
  })

  await t.test('a tunnel without a client certificate carries nothing, and both logs say why', async () => {
    const { near, beside, subject } = await chain(
      scratch,
      ['--ca', ca.certFile],
      withCertificates.beside,
      (advertise) => startCygnet(scratch, { memory: '1M', advertise }),
    )
    await assert.rejects(
      runOk(peerPath('iscsi-ls'), [`iscsi://127.0.0.1:${near.port}`], { timeoutMs: 20_000 }),
    )
    await until(() => near.log !== '' && beside.log !== '', 5000)
    assert.match(near.log, /asks for a client certificate/)
    assert.match(beside.log, /the initiator shows no certificate/)
    await near.stop()
    await beside.stop()
    await subject.stop()
  })
})
