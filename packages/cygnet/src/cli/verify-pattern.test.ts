import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MemoryDevice } from '../initiator/memory-device.test-helper.ts'
import { formatMs, LoadMeter } from './load.ts'
import { sparkline } from './sparkline.ts'
import { SECTOR_BYTES, VerifyPattern } from './verify-pattern.ts'
import { VerifyRun } from './verify-run.ts'

const RUN = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
const pattern = new VerifyPattern(RUN)
const filled = (by: VerifyPattern, first: number, generation: number, sectors = 2): Uint8Array => {
  const bytes = new Uint8Array(sectors * SECTOR_BYTES)
  by.fillSectors(bytes, first, generation)
  return bytes
}

test('a sector differs from every other one, and is known again', () => {
  const bytes = filled(pattern, 7, 3)
  assert.equal(pattern.firstWrong(bytes, 7, 3, new Uint8Array(bytes.length)), undefined)
  for (const other of [
    filled(pattern, 8, 3),
    filled(pattern, 7, 4),
    filled(new VerifyPattern(RUN.toReversed()), 7, 3),
  ])
    assert.notEqual(pattern.firstWrong(other, 7, 3, new Uint8Array(bytes.length)), undefined)
  bytes[700] = (bytes[700] ?? 0) ^ 0x10
  assert.equal(pattern.firstWrong(bytes, 7, 3, new Uint8Array(bytes.length)), 700)
})

describe('whose a wrong sector is', () => {
  const damaged = filled(pattern, 7, 3, 1)
  damaged[100] = (damaged[100] ?? 0) ^ 1
  const foreign = new VerifyPattern(new Uint8Array(8).fill(0xab))
  for (const [bytes, expected] of [
    [new Uint8Array(SECTOR_BYTES), 'zeroes'],
    [new Uint8Array(SECTOR_BYTES).fill(1), 'no block of any verification'],
    [filled(pattern, 9, 21, 1), 'sector 9 of this verification, as written for the 21st time'],
    [filled(pattern, 7, 2, 1), 'the same sector as written for the 2nd time, not the 3rd'],
    [filled(pattern, 7, 11, 1), 'the same sector as written for the 11th time, not the 3rd'],
    [filled(foreign, 7, 3, 1), 'sector 7 of another verification (abababababababab)'],
    [damaged, 'the right sector, damaged'],
  ] as const) {
    test(expected, () => assert.equal(pattern.describe(bytes, 7, 3), expected))
  }
})

describe('a run', () => {
  const options = (device: MemoryDevice, requests: number) => {
    let state = 1
    let made = 0
    device.onRequest = () => void made++
    return {
      spanBytes: device.sizeBytes,
      blockBytes: 1024,
      depth: 8,
      pattern,
      random: () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647,
      isOver: () => made >= requests,
    }
  }

  test('finds nothing wrong with a device that is right, and reads all that it wrote', async () => {
    const device = new MemoryDevice(64 * 1024)
    const run = new VerifyRun(device, options(device, 500))
    assert.equal(await run.run(), undefined)
    assert.ok(run.checkedBytes >= 64 * 1024 && run.meter.requests > 500)
    assert.ok(device.log.includes('flush 0+0'))
  })

  test('names the first wrong byte of one that loses writes', async () => {
    const device = new MemoryDevice(64 * 1024)
    const settings = options(device, 300)
    let writes = 0
    const losing = {
      write: async (offset: number, bytes: Uint8Array): Promise<void> => {
        if (++writes < 100) await device.write(offset, bytes)
        else await device.flush()
      },
      read: (offset: number, into: Uint8Array) => device.read(offset, into),
      flush: () => device.flush(),
    }
    const wrong = await new VerifyRun(losing, settings).run()
    assert.match(wrong?.found ?? '', /^the same sector as written for the \d+.. time, not|^zeroes/)
    assert.match(wrong?.expected ?? '', /^sector \d+, written \d+ times?$/)
  })

  test('ends with the error of the device', async () => {
    const device = new MemoryDevice(64 * 1024)
    const settings = options(device, 1000)
    const run = new VerifyRun(device, settings)
    device.onRequest = (_, offset) => (offset > 32_768 ? Promise.reject(new Error('gone')) : undefined)
    await assert.rejects(run.run(), /gone/)
  })
})

test('a load in figures', async () => {
  const meter = new LoadMeter()
  assert.equal(meter.result().latencyMs.max, 0)
  const start = performance.now()
  await new Promise((resolve) => setTimeout(resolve, 20))
  for (let i = 0; i < 10; i++) meter.ended(start, 512)
  const { requests, bytes, latencyMs, seconds, requestsPerSecond } = meter.result()
  assert.deepEqual([requests, bytes], [10, 5120])
  assert.ok(latencyMs.p50 >= 19 && latencyMs.max >= latencyMs.p50 && seconds >= 0.019)
  assert.ok(Math.abs(requestsPerSecond * seconds - 10) < 0.001)
  assert.deepEqual([0.1234, 1.234, 123.4, 4321].map(formatMs), ['123 µs', '1.23 ms', '123 ms', '4.32 s'])
})

test('a sparkline shows the last values, the highest as high as it goes', () => {
  assert.equal(sparkline([1, 0, 4, 8], 3), '▁▅█')
  assert.equal(sparkline([0, 0], 5), '▁▁')
  assert.equal(sparkline([], 5), '')
})
