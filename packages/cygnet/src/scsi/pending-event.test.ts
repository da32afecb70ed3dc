import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodePendingEvent, encodePendingEvent } from './pending-event.ts'

test('additional response information has depth, sense key and additional sense code in 24 bits', () => {
  const sense = { key: 6, additional: 0x2903 }
  assert.equal(encodePendingEvent({ sense, hasMore: false }), 0x16_2903)
  assert.equal(encodePendingEvent({ sense, hasMore: true }), 0x26_2903)
  assert.equal(encodePendingEvent({ sense, hasMore: undefined }), 0x06_2903)
})

test('what was encoded is read back', () => {
  for (const hasMore of [false, true, undefined]) {
    const event = { sense: { key: 3, additional: 0x0c00 }, hasMore }
    assert.deepEqual(decodePendingEvent(encodePendingEvent(event)), event)
  }
})
