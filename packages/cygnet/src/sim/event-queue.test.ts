import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../base/prng.ts'
import { Alarm, EventQueue } from './event-queue.ts'

test('events run in the order of their time, those of one instant as they were scheduled', () => {
  const queue = new EventQueue()
  const prng = new Prng(5)
  const expected: [number, number][] = []
  const ran: [number, number][] = []
  for (let i = 0; i < 300; i++) {
    const at = prng.below(40)
    expected.push([at, i])
    queue.at(at, () => {
      assert.equal(queue.now(), at)
      ran.push([at, i])
    })
  }
  while (queue.step());
  expected.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  assert.deepEqual(ran, expected)
  assert.ok(queue.isEmpty)
})

test('an event may schedule others, now or later, never in the past', () => {
  const queue = new EventQueue(100)
  const ran: string[] = []
  queue.after(5, () => {
    queue.after(0, () => ran.push(`now ${queue.now()}`))
    queue.after(2.5, () => ran.push(`later ${queue.now()}`))
    assert.throws(() => queue.at(104, () => {}), /in the past/)
  })
  while (queue.step());
  assert.deepEqual(ran, ['now 105', 'later 107.5'])
})

test('an alarm rings once, at the last time it was set to', () => {
  const queue = new EventQueue()
  let rung: number[] = []
  const alarm = new Alarm(queue, () => rung.push(queue.now()))
  alarm.set(10)
  alarm.set(30)
  alarm.set(20)
  while (queue.step());
  assert.deepEqual(rung, [20])
  rung = []
  alarm.set(45)
  alarm.set(undefined)
  alarm.set(50)
  while (queue.step());
  assert.deepEqual(rung, [50], 'cleared and set again')
  alarm.set(60)
  alarm.set(undefined)
  while (queue.step());
  assert.deepEqual(rung, [50])
})
