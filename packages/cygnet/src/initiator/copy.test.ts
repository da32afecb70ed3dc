import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BlockDeviceError } from './block-device-error.ts'
import { readableOf, writableOf } from './block-streams.ts'
import { compareDevices, copyDevice } from './copy.ts'
import { MemoryDevice } from './memory-device.test-helper.ts'

const SIZE = 100_000

async function source(): Promise<MemoryDevice> {
  const device = new MemoryDevice(SIZE - (SIZE % 512))
  await device.write(
    1000,
    Uint8Array.from({ length: 30_000 }, (_, i) => (i % 251) + 1),
  )
  await device.write(60_000, new Uint8Array(2000).fill(3))
  device.log.length = 0
  return device
}
const like = (device: MemoryDevice): MemoryDevice => new MemoryDevice(device.sizeBytes)
const count = (device: MemoryDevice, what: string): number =>
  device.log.filter((line) => line.startsWith(`${what} `)).length

describe('copying', () => {
  test('everything arrives, is flushed last, and progress ends at the end', async () => {
    const from = await source()
    const to = like(from)
    const progress: number[] = []
    const result = await copyDevice(from, to, {
      pieceBytes: 4096,
      onProgress: (bytes) => progress.push(bytes),
    })
    assert.deepEqual(to.bytes, from.bytes)
    assert.deepEqual(result, {
      lengthBytes: from.sizeBytes,
      writtenBytes: from.sizeBytes,
      zeroBytes: 0,
      sameBytes: 0,
    })
    assert.equal(progress.at(-1), from.sizeBytes)
    assert.deepEqual([to.log.at(-1), count(to, 'flush')], ['flush 0+0', 1])
    assert.equal(await compareDevices(from, to, { pieceBytes: 4096 }), undefined)
  })

  test('sparse: holes and zeroes are released, not written, and not read where the source knows them', async () => {
    const from = await source()
    await from.write(80_000, new Uint8Array(1024))
    const to = like(from)
    to.bytes.fill(9)
    const result = await copyDevice(from, to, { pieceBytes: 512, sparse: true })
    assert.deepEqual(to.bytes, from.bytes)
    assert.ok(result.writtenBytes < 34_000 && result.writtenBytes + result.zeroBytes === from.sizeBytes)
    assert.ok(count(from, 'read') < 70, `${count(from, 'read')}`)
  })

  test('sparse to something that is zeroes already: nothing is done for holes', async () => {
    const from = await source()
    const to = like(from)
    await copyDevice(from, to, { pieceBytes: 512, sparse: true, isBlank: true })
    assert.deepEqual([to.bytes, count(to, 'zero-unmap')], [from.bytes, 0])
  })

  test('resuming writes what differs, and nothing else', async () => {
    const from = await source()
    const to = like(from)
    await copyDevice(from, to, { pieceBytes: 4096 })
    to.bytes[70_000] = 1
    to.log.length = 0
    const result = await copyDevice(from, to, { pieceBytes: 4096, resume: true })
    assert.deepEqual([to.bytes, count(to, 'write'), result.writtenBytes], [from.bytes, 1, 4096])
  })

  test('a destination that is too small is refused before anything is written', async () => {
    const from = await source()
    const to = new MemoryDevice(512)
    await assert.rejects(copyDevice(from, to), { code: 'PAST_END' })
    assert.deepEqual(to.log, [])
    await copyDevice(from, to, { lengthBytes: 512 })
  })

  test('an error ends it, when everything under way has ended', async () => {
    const from = await source()
    const to = like(from)
    let active = 0
    to.onRequest = async (what, offset) => {
      active++
      await new Promise((resolve) => setImmediate(resolve))
      active--
      if (what === 'write' && offset === 8192) throw new BlockDeviceError('MEDIUM_ERROR', 'bad', offset)
    }
    await assert.rejects(copyDevice(from, to, { pieceBytes: 4096 }), { code: 'MEDIUM_ERROR', offset: 8192 })
    assert.equal(active, 0)
    assert.ok(to.log.length < 20)
    assert.equal(count(to, 'flush'), 0)
  })

  test('an abort ends it', async () => {
    const from = await source()
    const controller = new AbortController()
    const copy = copyDevice(from, like(from), {
      pieceBytes: 512,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    })
    await assert.rejects(copy, /enough/)
    assert.ok(from.log.length < 20)
  })

  test('the first difference is the first, however the pieces come in', async () => {
    const from = await source()
    const to = like(from)
    await copyDevice(from, to)
    to.bytes[65_000] = 77
    to.bytes[12_345] = 0
    assert.equal(await compareDevices(from, to, { pieceBytes: 1000 }), 12_345)
  })
})

describe('streams', () => {
  test('a device as a stream into another one, in order', async () => {
    const from = await source()
    const to = like(from)
    // Later reads are faster.
    let waitMs = 12
    from.onRequest = () => new Promise((resolve) => setTimeout(resolve, Math.max(0, (waitMs -= 3))))
    await readableOf(from, { pieceBytes: 10_000 }).pipeTo(writableOf(to, { pieceBytes: 4096 }))
    assert.deepEqual(to.bytes, from.bytes)
    assert.equal(to.log.at(-1), 'flush 0+0')
  })

  test('a reader that does not read holds the device back', async () => {
    const from = await source()
    const reader = readableOf(from, { pieceBytes: 512, depth: 3 }).getReader()
    await reader.read()
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.ok(count(from, 'read') <= 4, `${count(from, 'read')}`)
    await reader.cancel()
  })

  test('a device that does not write holds its writer back', async () => {
    const to = new MemoryDevice(SIZE)
    to.onRequest = () => new Promise(() => undefined)
    const writer = writableOf(to, { pieceBytes: 512, depth: 2 }).getWriter()
    let accepted = 0
    const write = async (): Promise<void> => {
      for (; accepted < 20; accepted++) await writer.write(new Uint8Array(512))
    }
    void write()
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(accepted, 2)
  })

  test('part of a device, in chunks of any size; more than fits is an error', async () => {
    const to = new MemoryDevice(4096)
    const writer = writableOf(to, { start: 100, end: 200, pieceBytes: 64 }).getWriter()
    for (const lengthBytes of [1, 30, 69]) await writer.write(new Uint8Array(lengthBytes).fill(lengthBytes))
    await assert.rejects(writer.write(new Uint8Array(1)), { code: 'PAST_END' })
    assert.deepEqual(
      [to.bytes[99], to.bytes[100], to.bytes[101], to.bytes[199], to.bytes[200]],
      [0, 1, 30, 0, 0],
    )
    const parts: Uint8Array[] = []
    for await (const part of readableOf(to, { start: 99, end: 102 })) parts.push(part)
    assert.deepEqual(parts, [Uint8Array.of(0, 1, 30)])
  })

  test('an error of the device is an error of the stream', async () => {
    const from = await source()
    from.onRequest = (_, offset) =>
      offset >= 1024 ? Promise.reject(new BlockDeviceError('MEDIUM_ERROR', 'bad')) : undefined
    const to = like(from)
    await assert.rejects(readableOf(from, { pieceBytes: 512 }).pipeTo(writableOf(to)), {
      code: 'MEDIUM_ERROR',
    })
    const failing = like(from)
    failing.onRequest = from.onRequest
    from.onRequest = undefined
    await assert.rejects(
      readableOf(from, { pieceBytes: 512 }).pipeTo(writableOf(failing, { pieceBytes: 512 })),
      { code: 'MEDIUM_ERROR' },
    )
  })
})
