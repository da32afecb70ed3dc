import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeStoreContract, pattern, readBytes, trim, writeBytes, zero } from './contract.test-helper.ts'
import { MemoryStore } from './memory.ts'

describeStoreContract('memory', (sizeBytes) => ({ store: new MemoryStore({ sizeBytes }) }))
describeStoreContract('memory in 512-byte chunks', (sizeBytes) => ({
  store: new MemoryStore({ sizeBytes, chunkBytes: 512 }),
}))

test('a memory store holds only the chunks that were written', async () => {
  const store = new MemoryStore({ sizeBytes: 2 ** 50, chunkBytes: 4096 })
  assert.equal(store.allocatedBytes, 0)
  await writeBytes(store, 2 ** 50 - 8192 - 1, [pattern(2, 1)])
  assert.equal(store.allocatedBytes, 8192)
  assert.deepEqual(await readBytes(store, 2 ** 50 - 8192 - 1, 2), pattern(2, 1))
})

test('trim gives back whole chunks, the short last one included', async () => {
  const store = new MemoryStore({ sizeBytes: 10_000, chunkBytes: 4096 })
  await writeBytes(store, 0, [pattern(10_000, 1)])
  assert.equal(store.allocatedBytes, 3 * 4096)
  await trim(store, 100, 8000)
  assert.equal(store.allocatedBytes, 3 * 4096, 'no whole chunk was inside')
  await trim(store, 8192, 10_000 - 8192)
  assert.equal(store.allocatedBytes, 2 * 4096)
  await zero(store, 0, 4096, false)
  assert.equal(store.allocatedBytes, 2 * 4096, 'zeroing without leave to trim keeps the space')
  await zero(store, 0, 4096, true)
  assert.equal(store.allocatedBytes, 4096)
})

test('every operation of a memory store completes before its call returns', () => {
  const store = new MemoryStore({ sizeBytes: 4096 })
  let completed = 0
  const count = (): number => completed++
  store.write([pattern(10, 1)], 0, 0, count)
  store.read(new Uint8Array(10), 0, count)
  store.flush(count)
  store.trim(0, 5, count)
  store.zero(0, 5, false, count)
  store.extents(0, 4096, count)
  store.close(count)
  assert.equal(completed, 7)
})

test('a memory store that has copied a lot completes the next reads and writes in a later turn, in order', () => {
  const later: (() => void)[] = []
  const store = new MemoryStore({ sizeBytes: 2 ** 30, defer: (run) => void later.push(run) })
  const into = new Uint8Array(2 ** 24)
  const completed: number[] = []
  for (let i = 0; i < 6; i++) store.read(into, 0, () => completed.push(i))
  store.write([pattern(512, 1)], 0, 0, () => completed.push(6))
  assert.deepEqual(completed, [0, 1, 2], 'the fourth makes 64 MiB')
  assert.equal(later.length, 1)
  later[0]?.()
  assert.deepEqual(completed, [0, 1, 2, 3, 4, 5, 6])
  store.read(into, 0, () => completed.push(7))
  assert.equal(completed.at(-1), 7, 'a new turn')
})
