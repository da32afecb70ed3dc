import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorStore } from '../store/error.ts'
import { MemoryStore } from '../store/memory.ts'
import { StoreDevice } from './store-device.ts'

const SIZE = 1 << 20
const filled = (lengthBytes: number, value: number): Uint8Array => new Uint8Array(lengthBytes).fill(value)

test('reads what was written, in order, and knows its holes', async () => {
  const device = new StoreDevice(new MemoryStore({ sizeBytes: SIZE, chunkBytes: 4096 }), 'memory')
  assert.deepEqual([device.sizeBytes, device.readOnly, device.can.unmap], [SIZE, false, true])
  await Promise.all([
    device.write(4000, filled(200, 1)),
    device.write(4100, filled(50, 2)),
    device.writeSame(8192, 1024, filled(512, 3)),
  ])
  const into = await device.read(4000, 200)
  assert.deepEqual(into, new Uint8Array([...filled(100, 1), ...filled(50, 2), ...filled(50, 1)]))
  assert.deepEqual(await device.extents(0, SIZE), [
    { offset: 0, lengthBytes: 12_288, kind: 'data', isZero: false },
    { offset: 12_288, lengthBytes: SIZE - 12_288, kind: 'hole', isZero: true },
  ])
  await device.writeZeroes(4096, 4096, { fua: true })
  await device.unmap(8192, 4096)
  assert.deepEqual(await device.read(4096, 8192), new Uint8Array(8192))
  await device.flush()
  await assert.rejects(device.read(SIZE, 1), { code: 'PAST_END' })
  await assert.rejects(device.writeSame(0, 700, filled(512, 1)), { code: 'UNALIGNED' })
  await assert.rejects(device.writeSame(0, 1024, filled(1024, 1)), { code: 'ARGUMENT_INVALID' })
  await device.close()
  await device.close()
  await assert.rejects(device.read(0, 1), { code: 'DEVICE_CLOSED' })
})

for (const [failure, code] of [
  ['medium', 'MEDIUM_ERROR'],
  ['no-space', 'NO_SPACE'],
  ['read-only', 'READ_ONLY'],
  ['gone', 'DEVICE_CLOSED'],
] as const) {
  test(`a store that fails with ${failure} is ${code}`, async () => {
    const store = new ErrorStore(new MemoryStore({ sizeBytes: SIZE }), [{ operation: 'write', failure }])
    const device = new StoreDevice(store, 'disk.img')
    await assert.rejects(device.write(512, filled(10, 1)), {
      code,
      message: /^disk\.img: write failed/,
      offset: 512,
    })
    await device.read(0, 10)
  })
}
