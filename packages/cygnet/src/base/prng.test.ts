import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from './prng.ts'

const take = (prng: Prng, count: number): number[] => Array.from({ length: count }, () => prng.next32())

test('the same seed and stream give the same numbers, others do not', () => {
  assert.deepEqual(take(new Prng(7, 1), 20), take(new Prng(7, 1), 20))
  assert.notDeepEqual(take(new Prng(7, 1), 20), take(new Prng(8, 1), 20))
  assert.notDeepEqual(take(new Prng(7, 1), 20), take(new Prng(7, 2), 20))
  assert.notDeepEqual(take(new Prng(7), 20), take(new Prng(7 + 2 ** 32), 20))
})

test('the numbers are pinned: a seed that was written down stays what it was', () => {
  assert.deepEqual(take(new Prng(1), 3), [441792574, 614447336, 1644328534])
})

test('a fork goes its own way', () => {
  const one = new Prng(3)
  const fork = one.fork()
  const after = take(one, 5)
  const other = new Prng(3)
  take(other.fork(), 100)
  assert.deepEqual(take(other, 5), after)
  assert.notDeepEqual(take(fork, 5), after)
})

test('below, between, chance and pick stay in range and reach every value', () => {
  const prng = new Prng(11)
  const seen = new Set<number>()
  for (let i = 0; i < 500; i++) {
    const value = prng.between(3, 6)
    assert.ok(value >= 3 && value <= 6)
    seen.add(value)
    assert.ok(prng.below(5) < 5)
    assert.ok(!prng.chance(0))
    assert.ok(prng.chance(1))
    assert.ok(['a', 'b'].includes(prng.pick(['a', 'b'])))
  }
  assert.equal(seen.size, 4)
})

test('bits are about even', () => {
  const prng = new Prng(99)
  let ones = 0
  for (let i = 0; i < 10_000; i++) ones += prng.next32() & 1
  assert.ok(Math.abs(ones - 5000) < 300, `${ones} of 10000`)
})
