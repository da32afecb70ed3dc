/** Our target on a network that cuts, stalls and corrupts, used by libiscsi, which logs in again: QEMU's tools and `iscsi-perf`. */
import assert from 'node:assert/strict'
import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { test } from 'node:test'
import { FaultProxy } from '../support/fault-proxy.ts'
import { type FaultPlan, FaultSchedule } from '../support/fault-schedule.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { runOk, Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { startSubject, until } from '../support/subject.ts'

const IMAGE_BYTES = 32 << 20
const OPTIONS = { timeoutMs: 90_000 }
/**
 * libiscsi has no data digest, so that only headers are corrupted. Once it has logged in again it does not look at the header digests
 * that it gets: data would land in the wrong place. And it takes 20 s to give up a half-open connection.
 */
const plan: FaultPlan = {
  mix: { reset: 3, fin: 2, stall: 2, split: 2, delay: 1, corrupt: 3 },
  everyMs: [150, 600],
  lastsMs: [50, 400],
  corrupts: 'to-target',
  most: 60,
}

test('libiscsi', { timeout: 240_000 }, async (t) => {
  if (!requirePeers(t, 'qemu-img', 'qemu-io', 'iscsi-perf', 'cmp')) return
  const scratch = new Scratch(t)
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const subject = await startSubject(scratch, { images: [scratch.path('disk')], size: '32M' })
  const proxy = await FaultProxy.start(scratch, subject.port, { random })
  const lun = `driver=iscsi,transport=tcp,portal=127.0.0.1:${proxy.port},target=${subject.iqn},lun=${subject.lun()}`
  const raw = `driver=raw,file.${`${lun},header-digest=crc32c`.replaceAll(',', ',file.')}`

  const source = scratch.path('source')
  const file = createWriteStream(source)
  for (let left = IMAGE_BYTES; left > 0; left -= 1 << 20)
    file.write(
      random
        .bytes(1 << 16)
        .toString('latin1')
        .repeat(16),
      'latin1',
    )
  file.end()
  await once(file, 'finish')

  /** Does `work` on the bad network. */
  async function amidFaults(
    least: number,
    work: (schedule: FaultSchedule) => Promise<unknown>,
  ): Promise<void> {
    const before = proxy.accepted
    const schedule = new FaultSchedule(proxy, plan)
    try {
      await work(schedule)
    } finally {
      schedule.stop()
      t.diagnostic(`${schedule.done.length} faults on ${proxy.accepted - before} connections`)
    }
    assert.ok(schedule.done.length >= least, `${schedule.done.length} faults`)
    assert.ok(subject.isRunning)
  }

  await t.test('qemu-img writes an image, which is the same when it is read', async () => {
    const convert = ['convert', '-r', '6M']
    await amidFaults(3, () =>
      runOk(
        peerPath('qemu-img'),
        [...convert, '-f', 'raw', '-n', '--target-image-opts', source, raw],
        OPTIONS,
      ),
    )
    await runOk(peerPath('cmp'), [source, scratch.path('disk')])
    const copy = scratch.path('copy')
    await amidFaults(3, () =>
      runOk(peerPath('qemu-img'), [...convert, '-O', 'raw', '--image-opts', raw, copy], OPTIONS),
    )
    await runOk(peerPath('cmp'), [source, copy])
  })

  await t.test('qemu-io finds what it wrote', async () => {
    const commands: string[] = []
    for (let round = 0; round < 160; round++) {
      const where = `${random.between(0, 15)}M ${random.between(1, 2048)}k`
      const pattern = random.between(1, 255)
      commands.push('-c', `write -P ${pattern} ${where}`, '-c', `read -P ${pattern} ${where}`)
      if (round % 20 === 0) commands.push('-c', 'flush', '-c', 'sleep 100')
    }
    await amidFaults(3, async () => {
      const { stdout, stderr } = await runOk(peerPath('qemu-io'), ['--image-opts', raw, ...commands], OPTIONS)
      assert.doesNotMatch(stdout + stderr, /verification failed|failed:/i)
      assert.equal(stdout.match(/^read \d+\/\d+ bytes/gm)?.length, 160)
    })
  })

  await t.test('iscsi-perf reads on', async () => {
    const url = `iscsi://127.0.0.1:${proxy.port}/${subject.iqn}/${subject.lun()}?header_digest=crc32c`
    let output = ''
    // Its time is not up before it is killed: once it has logged in again it would wait for ever then, with any target.
    const child = scratch.spawn(peerPath('iscsi-perf'), ['-m', '16', '-b', '16', '-t', '600', '-r', url])
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
    const reports = (): number => output.match(/iops current [1-9]/g)?.length ?? 0
    await amidFaults(8, (schedule) => until(() => schedule.done.length >= 8, 20_000))
    assert.equal(child.exitCode, null, output.slice(-2000))
    const before = reports()
    assert.ok(before > 0, output.slice(-2000))
    await until(() => reports() >= before + 2, 10_000)
    assert.ok(reports() >= before + 2, `it reads no more: ${output.slice(-2000)}`)
    assert.doesNotMatch(output, /fail|error/i)
  })

  t.diagnostic(JSON.stringify(proxy.counts))
})
