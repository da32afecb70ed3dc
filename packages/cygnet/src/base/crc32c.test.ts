import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import * as fc from 'fast-check'
import { crc32c, useFastCrc32c } from './crc32c.ts'

afterEach(() => useFastCrc32c(undefined))

/** One bit at a time: slow, and obviously the polynomial. */
function bitwise(bytes: Uint8Array, previous = 0): number {
  let crc = ~previous
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

const fromHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))

// RFC 7143 A.4: the digest's four bytes in the order of the wire.
const examples: readonly [string, Uint8Array, string][] = [
  ['32 bytes of zeroes', new Uint8Array(32), 'aa36918a'],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), '43aba862'],
  ['32 bytes of incrementing 00..1f', Uint8Array.from({ length: 32 }, (_, i) => i), '4e79dd46'],
  ['32 bytes of decrementing 1f..00', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), '5cdb3f11'],
  [
    'an iSCSI SCSI Read (10) Command PDU',
    fromHex(
      '01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000',
    ),
    '563a96d9',
  ],
]
for (const [what, bytes, wire] of examples) {
  test(`the RFC's example: ${what}`, () => {
    const digest = new DataView(new ArrayBuffer(4))
    digest.setUint32(0, crc32c(bytes, 0, bytes.length), true)
    assert.equal(Buffer.from(digest.buffer).toString('hex'), wire)
  })
}

test('the check value of "123456789" is e3069283', () => {
  assert.equal(crc32c(new TextEncoder().encode('123456789'), 0, 9), 0xe3069283)
})

test('no bytes leave the previous value as it is', () => {
  assert.equal(crc32c(new Uint8Array(8), 3, 3), 0)
  assert.equal(crc32c(new Uint8Array(8), 3, 3, 0xdeadbeef), 0xdeadbeef)
})

test('agrees with the bitwise definition at every offset and length', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), fc.nat(100), (bytes, a, b) => {
      const start = Math.min(a, b, bytes.length)
      const end = Math.min(Math.max(a, b), bytes.length)
      assert.equal(crc32c(bytes, start, end), bitwise(bytes.subarray(start, end)))
    }),
  )
})

test('a chain over any cut gives the value of the whole', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, where) => {
      const cut = Math.min(where, bytes.length)
      const whole = crc32c(bytes, 0, bytes.length)
      assert.equal(crc32c(bytes, cut, bytes.length, crc32c(bytes, 0, cut)), whole)
    }),
  )
})

test('a native function takes inputs of 128 bytes and more, and only those', () => {
  const calls: [number, number][] = []
  useFastCrc32c((bytes, previous) => {
    calls.push([bytes.length, previous])
    return bitwise(bytes, previous) | 0 // signed, as native code may return it
  })
  const bytes = new Uint8Array(1000).map((_, i) => i * 7)
  assert.equal(crc32c(bytes, 1, 128), bitwise(bytes.subarray(1, 128)))
  assert.deepEqual(calls, [])
  assert.equal(crc32c(bytes, 1, 129, 0x12345678), bitwise(bytes.subarray(1, 129), 0x12345678))
  assert.deepEqual(calls, [[128, 0x12345678]])
  useFastCrc32c(undefined)
  assert.equal(crc32c(bytes, 0, 1000), bitwise(bytes))
  assert.equal(calls.length, 1)
})
