import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DelayLine } from './delay-line.ts'

const bytes = (length: number): Uint8Array => new Uint8Array(length)

test('chunks arrive in order, each after the delay', () => {
  const line = new DelayLine(25, 1000)
  const [first, second] = [bytes(1), bytes(2)]
  line.put(first, 0)
  line.put(second, 10)
  assert.equal(line.dueMs, 25)
  assert.deepEqual(line.take(24), [])
  assert.deepEqual(line.take(25), [first])
  assert.equal(line.dueMs, 35)
  assert.deepEqual(line.take(40), [second])
  assert.equal(line.dueMs, undefined)
})

test('the window opens again when the acknowledgement is back, a round trip later', () => {
  const line = new DelayLine(25, 100)
  line.put(bytes(60), 0)
  assert.equal(line.isFull, false)
  line.put(bytes(40), 0)
  assert.equal(line.isFull, true)
  line.take(25)
  line.delivered(60, 25)
  line.delivered(40, 30)
  assert.equal(line.isFull, true)
  assert.equal(line.dueMs, 50)
  line.take(50)
  assert.equal(line.isFull, false)
  line.put(bytes(60), 50)
  assert.equal(line.isFull, true, 'the 40 bytes that were taken later are still on their way')
})

test('what the other end does not take keeps the window closed', () => {
  const line = new DelayLine(25, 100)
  line.put(bytes(100), 0)
  line.take(1000)
  assert.equal(line.isFull, true)
  assert.equal(line.dueMs, undefined)
})
