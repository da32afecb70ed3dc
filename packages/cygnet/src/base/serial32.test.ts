import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { serialAdd, serialDistance, serialLess, serialLessOrEqual } from './serial32.ts'

const HALF = 2 ** 31
const serial = fc.nat({ max: 2 ** 32 - 1 })

test('numbers wrap after 2^32 - 1', () => {
  assert.equal(serialAdd(0xffffffff, 1), 0)
  assert.equal(serialAdd(0, -1), 0xffffffff)
  assert.equal(serialAdd(0xfffffff0, 0x20), 0x10)
})

test('a number after the wrap is greater than one before it', () => {
  assert.ok(serialLess(0xffffffff, 0))
  assert.ok(!serialLess(0, 0xffffffff))
  assert.equal(serialDistance(0xfffffffe, 3), 5)
  assert.equal(serialDistance(3, 0xfffffffe), -5)
})

test('whatever is added, up to 2^31 - 1, makes a number greater by that much', () => {
  fc.assert(
    fc.property(serial, fc.integer({ min: 1, max: HALF - 1 }), (from, increment) => {
      const to = serialAdd(from, increment)
      assert.ok(to >= 0 && to < 2 ** 32)
      assert.ok(serialLess(from, to))
      assert.ok(!serialLess(to, from))
      assert.ok(serialLessOrEqual(from, to))
      assert.ok(!serialLessOrEqual(to, from))
      assert.equal(serialDistance(from, to), increment)
      assert.equal(serialDistance(to, from), -increment)
    }),
  )
})

test('a number equals itself and is not less', () => {
  fc.assert(
    fc.property(serial, (number) => {
      assert.ok(!serialLess(number, number))
      assert.ok(serialLessOrEqual(number, number))
      assert.equal(serialDistance(number, number), 0)
    }),
  )
})

test('numbers 2^31 apart are not ordered', () => {
  fc.assert(
    fc.property(serial, (number) => {
      const opposite = serialAdd(number, HALF)
      assert.ok(!serialLess(number, opposite) && !serialLess(opposite, number))
      assert.ok(!serialLessOrEqual(number, opposite) && !serialLessOrEqual(opposite, number))
    }),
  )
})
