import assert from 'node:assert/strict'
import { afterEach, describe, test } from 'node:test'
import * as fc from 'fast-check'
import { crc32c, useFastCrc32c } from '../base/crc32c.ts'
import { installNativeCrc32c } from './crc32c-native.ts'

afterEach(() => useFastCrc32c(undefined))

/** The sum of some bytes, by the table code and by the native one. */
function both(bytes: Uint8Array, start: number, end: number, previous: number): [number, number] {
  useFastCrc32c(undefined)
  const byTable = crc32c(bytes, start, end, previous)
  assert.equal(installNativeCrc32c(), undefined)
  return [byTable, crc32c(bytes, start, end, previous)]
}

describe('native CRC32C', () => {
  test('native and table code agree on any bytes after any others, at any alignment', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 200, maxLength: 5000 }),
        fc.nat({ max: 60 }),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        (bytes, start, previous) => {
          const [byTable, byNative] = both(bytes, start, bytes.length, previous)
          assert.equal(byNative, byTable)
        },
      ),
    )
  })

  test('the sum of a whole is the chained sum of its parts', () => {
    assert.equal(installNativeCrc32c(), undefined)
    const bytes = new Uint8Array(4096).map((_, i) => i * 7)
    const whole = crc32c(bytes, 0, 4096)
    for (const cut of [1, 100, 128, 2000, 4095]) {
      assert.equal(crc32c(bytes, cut, 4096, crc32c(bytes, 0, cut)), whole)
    }
  })

  test('a missing package is told, and the table code goes on', () => {
    const reason = installNativeCrc32c(() => {
      throw new Error("Cannot find module '@node-rs/crc32'\nRequire stack:")
    })
    assert.equal(reason, "@node-rs/crc32 is not available: Cannot find module '@node-rs/crc32'")
    assert.equal(crc32c(new Uint8Array(512), 0, 512), tableSumOfZeroes())
  })

  test('a package that computes nonsense is not used', () => {
    assert.match(installNativeCrc32c(() => ({ crc32c: () => 1 })) ?? '', /wrong sums/)
    assert.equal(crc32c(new Uint8Array(512), 0, 512), tableSumOfZeroes())
  })
})

/** The table code's sum of 512 zero bytes, from pieces too short for native code. */
function tableSumOfZeroes(): number {
  let sum = 0
  for (let i = 0; i < 8; i++) sum = crc32c(new Uint8Array(64), 0, 64, sum)
  return sum
}
