import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ratioSpread, spread } from './statistics.ts'

test('the median of an even count is the middle of the two in the middle', () => {
  assert.deepEqual(spread([300, 100, 200, 400]), { median: 250, min: 100, max: 400 })
  assert.deepEqual(spread([7, 1, 3]), { median: 3, min: 1, max: 7 })
  assert.equal(spread([]), undefined)
})

test('a ratio is that of single rounds', () => {
  assert.deepEqual(ratioSpread([300, 100, 200], [100, 100, 50]), { median: 3, min: 1, max: 4 })
  assert.equal(ratioSpread([300], []), undefined)
})
