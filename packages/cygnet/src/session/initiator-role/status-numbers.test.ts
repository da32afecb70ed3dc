import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StatusNumbers } from './status-numbers.ts'

const numbersFrom = (first: number): StatusNumbers => {
  const numbers = new StatusNumbers(100)
  numbers.restart(first)
  return numbers
}

test('numbers in order advance ExpStatSN, over the end of 32 bits too', () => {
  const numbers = numbersFrom(0xffff_ffff)
  assert.deepEqual([numbers.receive(0xffff_ffff), numbers.receive(0)], ['next', 'next'])
  assert.equal(numbers.expStatSN, 1)
  assert.equal(numbers.receive(0), 'repeated')
})

test('§7.9 what comes ahead of a gap is not acknowledged before the gap is filled', () => {
  const numbers = numbersFrom(10)
  assert.equal(numbers.receive(12), 'ahead')
  assert.equal(numbers.receive(15), 'ahead')
  assert.equal(numbers.expStatSN, 10)
  assert.deepEqual(numbers.gaps(), [
    { first: 10, count: 2 },
    { first: 13, count: 2 },
  ])
  assert.equal(numbers.receive(12), 'repeated')
  assert.equal(numbers.receive(11), 'ahead')
  assert.equal(numbers.receive(10), 'next')
  assert.equal(numbers.expStatSN, 13)
  assert.ok(numbers.hasGap)
  numbers.receive(13)
  numbers.receive(14)
  assert.equal(numbers.expStatSN, 16)
  assert.ok(!numbers.hasGap)
})

test('§7.9 a response that is kept back holds ExpStatSN until it is complete', () => {
  const numbers = numbersFrom(10)
  assert.equal(numbers.receive(10, true), 'next')
  assert.equal(numbers.receive(11), 'next')
  assert.equal(numbers.expStatSN, 10)
  assert.ok(!numbers.hasGap)
  assert.equal(numbers.receive(10), 'repeated')
  numbers.acknowledge(10)
  assert.equal(numbers.expStatSN, 12)
})

test('a PDU without a number of its own shows a gap', () => {
  const numbers = numbersFrom(10)
  assert.ok(numbers.announce(10))
  assert.ok(!numbers.hasGap)
  assert.ok(numbers.announce(12))
  assert.deepEqual(numbers.gaps(), [{ first: 10, count: 2 }])
})

test('§4.2.2.2 a number that is far ahead is absurd', () => {
  const numbers = numbersFrom(10)
  assert.equal(numbers.receive(111), 'absurd')
  assert.ok(!numbers.announce(111))
  assert.equal(numbers.receive(110), 'ahead')
})
