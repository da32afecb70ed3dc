import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import {
  getU24,
  getU48,
  hex,
  pad4,
  padding4,
  setU24,
  setU48,
  totalLength,
  viewOf,
  firstSlices,
  joinSlices,
} from './bytes.ts'

test('lengths are rounded up to a multiple of four', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 0xffffff].map(pad4), [0, 4, 4, 4, 4, 8, 0x1000000])
  assert.deepEqual([0, 1, 2, 3, 4, 5, 0xffffff].map(padding4), [0, 3, 2, 1, 0, 3, 1])
})

test('padded length is length plus padding', () => {
  fc.assert(fc.property(fc.nat(0x2000000), (length) => assert.equal(length + padding4(length), pad4(length))))
})

test('24-bit numbers are big-endian and touch three bytes only', () => {
  const bytes = new Uint8Array(5).fill(0xee)
  setU24(viewOf(bytes), 1, 0x123456)
  assert.equal(hex(bytes), 'ee123456ee')
  assert.equal(getU24(viewOf(bytes), 1), 0x123456)
})

test('48-bit numbers are big-endian and touch six bytes only', () => {
  const bytes = new Uint8Array(8).fill(0xee)
  setU48(viewOf(bytes), 1, 0x123456789abc)
  assert.equal(hex(bytes), 'ee123456789abcee')
  assert.equal(getU48(viewOf(bytes), 1), 0x123456789abc)
})

test('every 24-bit and 48-bit number is read back as written', () => {
  const view = new DataView(new ArrayBuffer(6))
  fc.assert(
    fc.property(fc.nat(0xffffff), fc.nat({ max: 2 ** 48 - 1 }), (u24, u48) => {
      setU24(view, 2, u24)
      assert.equal(getU24(view, 2), u24)
      setU48(view, 0, u48)
      assert.equal(getU48(view, 0), u48)
    }),
  )
})

test('a view covers exactly the bytes it was made of', () => {
  const bytes = Uint8Array.of(1, 2, 3, 4).subarray(1, 3)
  const view = viewOf(bytes)
  assert.equal(view.byteLength, 2)
  assert.equal(view.getUint16(0), 0x0203)
})

test('the total length of slices is their sum', () => {
  assert.equal(totalLength([]), 0)
  assert.equal(totalLength([new Uint8Array(3), new Uint8Array(0), new Uint8Array(5)]), 8)
})

test('hexadecimal is two lower-case digits a byte', () => {
  assert.equal(hex(Uint8Array.of(0, 0x0f, 0xa0, 0xff)), '000fa0ff')
  assert.equal(hex(new Uint8Array(0)), '')
})

describe('slices', () => {
  const slices = [Uint8Array.of(1, 2, 3), Uint8Array.of(), Uint8Array.of(4, 5)]

  test('are joined whole or up to a length', () => {
    assert.deepEqual(joinSlices(slices), Uint8Array.of(1, 2, 3, 4, 5))
    assert.deepEqual(joinSlices(slices, 4), Uint8Array.of(1, 2, 3, 4))
    assert.deepEqual(joinSlices(slices, 3), Uint8Array.of(1, 2, 3))
    assert.deepEqual(joinSlices([]), Uint8Array.of())
  })

  test('are cut to a length without copying, and left alone where that is all of them', () => {
    assert.equal(firstSlices(slices, 5), slices)
    const cut = firstSlices(slices, 4)
    assert.deepEqual(joinSlices(cut), Uint8Array.of(1, 2, 3, 4))
    assert.equal(cut[0], slices[0])
    assert.deepEqual(firstSlices(slices, 0), [])
  })
})
