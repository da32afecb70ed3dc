/** A LUN as a block device: `connect`, `cygnet info` and `cygnet copy` against other people's targets and ours. */
import assert from 'node:assert/strict'
import { openSync, closeSync, writeSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { connect, type DiskOptions, Reservations } from '../../packages/cygnet/src/initiator.ts'
import { exerciseDisk } from '../support/disk-model.ts'
import { startIstgt } from '../support/istgt.ts'
import { peerPath, requirePeers } from '../support/peer.ts'
import { run, runOk, Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { createImage, mainScript, startCygnet, startTgt } from '../support/subject.ts'

const TIMEOUT_MS = 120_000
const REQUESTS = 400
const IMAGE_BYTES = 48 << 20
const withDigests: Partial<DiskOptions> = { headerDigest: ['CRC32C'], dataDigest: ['CRC32C'] }

const cygnet = (...args: string[]) => run(process.execPath, [mainScript, ...args])

/** An image with data here and there, and holes between. */
function makeImage(scratch: Scratch): string {
  const path = scratch.path('source.img')
  createImage(path, String(IMAGE_BYTES))
  const seeded = new Seeded()
  const fd = openSync(path, 'r+')
  for (let at = 0; at < IMAGE_BYTES; at += seeded.between(1, 4) << 20)
    writeSync(fd, seeded.bytes(seeded.between(1, 200_000)), 0, undefined, at)
  closeSync(fd)
  return path
}

/** Everything that a disk must do, wherever it is. */
async function judge(t: TestContext, scratch: Scratch, url: string, blockSize: number): Promise<void> {
  for (const [what, options] of [
    ['without digests', {}],
    ['with digests', withDigests],
  ] as const) {
    await t.test(`random requests, ${what}`, async () => {
      await using disk = await connect(url, options)
      assert.equal(disk.blockSizeBytes, blockSize)
      assert.equal(disk.readOnly, false)
      await exerciseDisk(disk, REQUESTS)
    })
  }

  await t.test('misuse has typed errors', async () => {
    await using disk = await connect(url)
    await assert.rejects(disk.read(disk.sizeBytes - 1, 2), { code: 'PAST_END' })
    await assert.rejects(disk.writeSame(1, blockSize, new Uint8Array(blockSize)), { code: 'UNALIGNED' })
    // A raw command brings back what the device says: this one does not exist.
    const { status, sense } = await disk.execute({
      cdb: Uint8Array.of(0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    })
    assert.deepEqual([status, (sense[2] ?? 0) & 0x0f, sense[12]], [2, 5, 0x20])
    await disk.close()
    await assert.rejects(disk.read(0, 1), { code: 'DEVICE_CLOSED' })
  })

  await t.test('cygnet copy in and out, verified', async () => {
    const image = makeImage(scratch)
    const back = scratch.path('back.img')
    const there = await cygnet('copy', image, url, '--verify', '--sparse', '--json')
    assert.equal(there.code, 0, there.stderr)
    const { verified, lengthBytes, writtenBytes } = JSON.parse(there.stdout) as Record<string, unknown>
    assert.deepEqual([verified, lengthBytes], [true, IMAGE_BYTES])
    assert.ok(Number(writtenBytes) < IMAGE_BYTES)
    const again = await cygnet('copy', image, url, '--resume', '--json')
    assert.equal((JSON.parse(again.stdout) as Record<string, unknown>)['sameBytes'], IMAGE_BYTES)
    const out = await cygnet('copy', url, back, '--verify')
    assert.equal(out.code, 0, out.stderr)
    await runOk(peerPath('cmp'), ['-n', String(IMAGE_BYTES), image, back])
  })

  await t.test('cygnet info', async () => {
    const { code, stdout, stderr } = await cygnet('info', url, '--json')
    assert.equal(code, 0, stderr)
    const facts = JSON.parse(stdout) as { capacity: { blockBytes: number }; identity: { name: string } }
    assert.equal(facts.capacity.blockBytes, blockSize)
    assert.notEqual(facts.identity.name, '')
  })
}

test('tgt', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'tgtd', 'tgtadm', 'cmp')) return
  for (const blockSize of [512, 4096] as const) {
    await t.test(`with blocks of ${blockSize} bytes`, async (inner) => {
      const scratch = new Scratch(inner)
      const image = scratch.path('tgt.img')
      const target = await startTgt(scratch, { images: [image], size: '64M', blockSize })
      await judge(inner, scratch, target.url(), blockSize)
      await assert.rejects(connect(target.url().replace(/1$/, '0')), { code: 'NO_DEVICE' })
      if (blockSize === 512) await inner.test('reservations', () => judgeReservations(target.url()))
    })
  }
})

/** Two initiators and a reservation. */
async function judgeReservations(url: string): Promise<void> {
  await using first = await connect(url)
  await using second = await connect(url)
  const [ours, theirs] = [new Reservations(first), new Reservations(second)]
  await ours.register('00000000000000a1')
  await ours.take('00000000000000a1', 3)
  const { registrations } = await theirs.status()
  assert.deepEqual(
    registrations.map(({ key, holds }) => [key, holds]),
    [['00000000000000a1', 3]],
  )
  await first.write(0, new Uint8Array(512).fill(1))
  await assert.rejects(second.write(0, new Uint8Array(512)), { code: 'RESERVATION_CONFLICT' })
  await theirs.register('00000000000000b2')
  await theirs.preempt('00000000000000b2', '00000000000000a1', 3)
  const events: string[] = []
  first.onEvent(({ kind }) => events.push(kind))
  await assert.rejects(first.write(0, new Uint8Array(512)), { code: 'RESERVATION_CONFLICT' })
  await second.write(0, new Uint8Array(512).fill(2))
  await theirs.clear('00000000000000b2')
  assert.deepEqual((await ours.status()).registrations, [])
  assert.deepEqual(await first.read(0, 1), Uint8Array.of(2))
  // Told at the latest with the first command that had no conflict (SAM-5 §5.3.3).
  assert.ok(events.includes('reservation-lost'), events.join())
}

test('istgt', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'istgt', 'cmp')) return
  const scratch = new Scratch(t)
  const target = await startIstgt(scratch, [
    { name: 'small', size: '64M', blockSize: 512 },
    { name: 'large', size: '64M', blockSize: 4096 },
  ])
  await t.test('with blocks of 512 bytes', (inner) => judge(inner, scratch, target.url('small'), 512))
  await t.test('with blocks of 4096 bytes', (inner) => judge(inner, scratch, target.url('large'), 4096))
})

test('our own target', { timeout: TIMEOUT_MS }, async (t) => {
  if (!requirePeers(t, 'cmp')) return
  for (const blockSize of [512, 4096] as const) {
    await t.test(`with blocks of ${blockSize} bytes`, async (inner) => {
      const scratch = new Scratch(inner)
      const target = await startCygnet(scratch, { images: [scratch.path('own.img')], size: '64M', blockSize })
      await judge(inner, scratch, target.url(), blockSize)
    })
  }

  await t.test('reservations', async (inner) => {
    const target = await startCygnet(new Scratch(inner), { memory: '16M' })
    await judgeReservations(target.url())
  })

  await t.test('COMPARE AND WRITE, by two at once: one wins', async (inner) => {
    const target = await startCygnet(new Scratch(inner), { memory: '16M' })
    await using first = await connect(target.url())
    await using second = await connect(target.url())
    const old = await first.read(0, 512)
    const outcomes = await Promise.allSettled([
      first.compareAndWrite(0, old, new Uint8Array(512).fill(1)),
      second.compareAndWrite(0, old, new Uint8Array(512).fill(2)),
    ])
    const lost = outcomes.filter(({ status }) => status === 'rejected')
    assert.equal(lost.length, 1)
    assert.equal((lost[0] as PromiseRejectedResult).reason.code, 'MISCOMPARE')
  })

  await t.test('a LUN that does not exist, a target that does not, and no LUN at all', async (inner) => {
    const target = await startCygnet(new Scratch(inner), { memory: '16M' })
    await assert.rejects(connect(target.url().replace(/0$/, '7')), { code: 'NO_DEVICE' })
    await assert.rejects(connect(target.url().replace(/\/0$/, '-not/0')), { code: 'LOGIN_TARGET_NOT_FOUND' })
    await assert.rejects(connect(target.url().replace(/\/0$/, '')), { code: 'URL_INVALID' })
  })

  await t.test('a read-only LUN', async (inner) => {
    const scratch = new Scratch(inner)
    const image = scratch.path('own.img')
    createImage(image, '16M')
    const target = await startCygnet(scratch, { images: [image], readOnly: true })
    await using disk = await connect(target.url())
    assert.equal(disk.readOnly, true)
    await assert.rejects(disk.write(0, new Uint8Array(1)), { code: 'READ_ONLY' })
  })

  await t.test('streams, there and back', async (inner) => {
    const { readableOf, writableOf } = await import('../../packages/cygnet/src/initiator.ts')
    const target = await startCygnet(new Scratch(inner), { memory: '16M' })
    await using disk = await connect(target.url())
    const bytes = new Seeded().bytes(3_000_001)
    await new Blob([bytes]).stream().pipeTo(writableOf(disk, { start: 777 }))
    const parts: Uint8Array[] = []
    for await (const part of readableOf(disk, { start: 777, end: 777 + bytes.length })) parts.push(part)
    assert.equal(Buffer.compare(Buffer.concat(parts), bytes), 0)
  })
})
