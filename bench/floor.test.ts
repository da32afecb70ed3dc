import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeGreeting, encodeGreeting, exchangeOf, MessageCounter, MessageWriter } from './floor.ts'

test('requests and answers are as long as headers and the data that goes with them', () => {
  assert.deepEqual(exchangeOf({ pattern: 'randread', blockBytes: 4096 }), {
    requestBytes: 48,
    answerBytes: 4144,
  })
  assert.deepEqual(exchangeOf({ pattern: 'write', blockBytes: 4096 }), {
    requestBytes: 4144,
    answerBytes: 48,
  })
  const exchange = { requestBytes: 48, answerBytes: 262_192 }
  assert.deepEqual(decodeGreeting(encodeGreeting(exchange)), exchange)
})

test('messages are counted however they are cut', () => {
  const counter = new MessageCounter(10)
  assert.deepEqual(
    [9, 1, 25, 4, 1, 30].map((length) => counter.add(length)),
    [0, 1, 2, 0, 1, 3],
  )
})

test('so many bytes are written as the messages have', () => {
  const writer = new MessageWriter(300_000)
  const chunks: number[] = []
  writer.write({ write: (chunk) => chunks.push(chunk.length) }, 7)
  assert.deepEqual(chunks, [900_000, 900_000, 300_000])
})
