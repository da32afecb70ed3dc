import assert from 'node:assert/strict'
import { createCipheriv, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { StoreError } from './backing-store.ts'
import { ENCRYPTION_KEY_BYTES, EncryptedStore } from './encrypted.ts'
import { MemoryStore } from './memory.ts'

const BLOCK = 512
const ok = (error: StoreError | undefined): void => assert.equal(error, undefined)

function encrypted(failsToSave = false): { inner: MemoryStore; store: EncryptedStore; key: Uint8Array } {
  const inner = new MemoryStore({ sizeBytes: 64 * BLOCK, chunkBytes: 4096 })
  const key = randomBytes(ENCRYPTION_KEY_BYTES)
  const store = new EncryptedStore(inner, {
    blockBytes: BLOCK,
    key,
    randomBytes,
    saveKey: (_key, done) => done(failsToSave ? { failure: 'no-space' } : undefined),
  })
  return { inner, store, key }
}

function bytesOf(store: Pick<MemoryStore, 'read'>, offset: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  store.read(bytes, offset, ok)
  return bytes
}

test('what is written is read back, and is encrypted below, each block by its number', () => {
  const { inner, store, key } = encrypted()
  const data = Uint8Array.from({ length: 2 * BLOCK }, (_, i) => i & 0xff)
  store.write([data.subarray(0, 700), data.subarray(700)], 3 * BLOCK, 0, ok)
  assert.deepEqual(bytesOf(store, 3 * BLOCK, 2 * BLOCK), data)
  const tweak = new Uint8Array(16)
  tweak[0] = 4
  const second = createCipheriv('aes-256-xts', key, tweak).update(data.subarray(BLOCK))
  assert.deepEqual(bytesOf(inner, 4 * BLOCK, BLOCK), Uint8Array.from(second))
  assert.deepEqual(data.subarray(0, 4), Uint8Array.of(0, 1, 2, 3), 'the caller keeps its bytes')
})

test('zeroes that were written are encrypted too; what was never written, or was released, reads as zeroes', () => {
  const { inner, store } = encrypted()
  const zeroes = new Uint8Array(8 * BLOCK)
  assert.deepEqual(bytesOf(store, 0, 8 * BLOCK), zeroes)
  store.write([zeroes], 0, 0, ok)
  assert.notDeepEqual(bytesOf(inner, 0, 8 * BLOCK), zeroes)
  assert.deepEqual(bytesOf(store, 0, 8 * BLOCK), zeroes)
  store.trim(0, 8 * BLOCK, ok)
  assert.deepEqual(bytesOf(store, 0, 8 * BLOCK), zeroes)
  assert.equal(inner.allocatedBytes, 0)
})

test('one read finds blocks that were written among those that were not', () => {
  const { store } = encrypted()
  const expected = new Uint8Array(16 * BLOCK)
  for (const [block, count] of [
    [0, 1],
    [3, 2],
    [6, 1],
    [15, 1],
  ] as const) {
    const data = new Uint8Array(count * BLOCK).fill(block + 1)
    store.write([data], block * BLOCK, 0, ok)
    expected.set(data, block * BLOCK)
  }
  assert.deepEqual(bytesOf(store, 0, 16 * BLOCK), expected)
  assert.deepEqual(bytesOf(store, 4 * BLOCK, 2 * BLOCK), expected.slice(4 * BLOCK, 6 * BLOCK))
})

test('with a new key, nothing that was written can be read, and new blocks can', () => {
  const { store } = encrypted()
  const data = new Uint8Array(BLOCK).fill(7)
  store.write([data], 0, 0, ok)
  store.renewKey(ok)
  assert.notDeepEqual(bytesOf(store, 0, BLOCK), data)
  assert.deepEqual(
    bytesOf(store, BLOCK, BLOCK),
    new Uint8Array(BLOCK),
    'what was not written is still zeroes',
  )
  store.write([data], 0, 0, ok)
  assert.deepEqual(bytesOf(store, 0, BLOCK), data)
})

test('a key that cannot be saved is not used', () => {
  const { store } = encrypted(true)
  const data = new Uint8Array(BLOCK).fill(7)
  store.write([data], 0, 0, ok)
  let failure: StoreError | undefined
  store.renewKey((error) => (failure = error))
  assert.equal(failure?.failure, 'no-space')
  assert.deepEqual(bytesOf(store, 0, BLOCK), data)
})

test('part of a block is refused', () => {
  const { store } = encrypted()
  assert.throws(() => store.write([new Uint8Array(100)], 0, 0, ok), /part of an encrypted block/)
})
