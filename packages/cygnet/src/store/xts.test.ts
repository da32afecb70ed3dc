import assert from 'node:assert/strict'
import { createCipheriv, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Xts, XTS_KEY_BYTES } from './xts.ts'

/** OpenSSL's, a block at a time. */
function reference(key: Uint8Array, data: Uint8Array, blockBytes: number, firstBlock: number): Uint8Array {
  const tweak = Buffer.alloc(16)
  const blocks = Array.from({ length: data.length / blockBytes }, (_, i) => {
    tweak.writeBigUInt64LE(BigInt(firstBlock + i))
    const block = data.subarray(i * blockBytes, (i + 1) * blockBytes)
    return createCipheriv('aes-256-xts', key, tweak).update(block)
  })
  return Uint8Array.from(Buffer.concat(blocks))
}

for (const [blockBytes, firstBlock, blocks] of [
  [512, 0, 1],
  [512, 7, 3],
  [512, 2 ** 32 - 2, 5],
  [512, 2 ** 40 + 1, 300],
  [4096, 5, 1],
  [4096, 2 ** 33, 33],
] as const) {
  test(`${blocks} blocks of ${blockBytes} bytes from block ${firstBlock} are encrypted as OpenSSL does, and decrypted`, () => {
    const key = randomBytes(XTS_KEY_BYTES)
    const data = Uint8Array.from(randomBytes(blocks * blockBytes))
    const xts = new Xts(key, blockBytes)
    const bytes = data.slice()
    xts.encrypt(bytes, firstBlock)
    assert.deepEqual(bytes, reference(key, data, blockBytes, firstBlock))
    xts.decrypt(bytes, firstBlock)
    assert.deepEqual(bytes, data)
  })
}

test('bytes may lie anywhere in memory, and those around them stay', () => {
  const key = randomBytes(XTS_KEY_BYTES)
  const memory = Uint8Array.from(randomBytes(1024 + 3))
  const before = memory.slice()
  const inner = memory.subarray(3, 515)
  const xts = new Xts(key, 512)
  xts.encrypt(inner, 9)
  assert.deepEqual(memory.subarray(0, 3), before.subarray(0, 3))
  assert.deepEqual(memory.subarray(515), before.subarray(515))
  assert.deepEqual(inner, reference(key, before.subarray(3, 515), 512, 9))
})

test('a key of another length is refused', () => {
  assert.throws(() => new Xts(new Uint8Array(32), 512), /a key of 32 bytes/)
})
