import assert from 'node:assert/strict'
import { test } from 'node:test'
import { offsetsOf } from './offsets.ts'

const range = { beginBytes: 1000, endBytes: 1035 }

test('sequential offsets go through whole blocks of the range, and begin anew', () => {
  const next = offsetsOf({ pattern: 'read', blockBytes: 10, depth: 1 }, range)
  assert.deepEqual([next(), next(), next(), next()], [1000, 1010, 1020, 1000])
})

test('a cold load ends after one pass', () => {
  const next = offsetsOf({ pattern: 'read', blockBytes: 10, depth: 1, isCold: true }, range)
  assert.deepEqual([next(), next(), next(), next()], [1000, 1010, 1020, undefined])
})

test('random offsets are all blocks of the range and nothing else', () => {
  const next = offsetsOf({ pattern: 'randwrite', blockBytes: 10, depth: 1 }, range)
  const seen = new Set(Array.from({ length: 200 }, next))
  assert.deepEqual(seen, new Set([1000, 1010, 1020]))
})
