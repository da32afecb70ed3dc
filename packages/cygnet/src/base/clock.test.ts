import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { TimerTable } from './clock.ts'

const NAMES = ['login', 'ping', 'logout'] as const
const table = () => new TimerTable(NAMES)

test('where no timer runs there is no deadline and nothing expires', () => {
  const timers = table()
  assert.equal(timers.next(), undefined)
  assert.equal(timers.expired(Number.MAX_VALUE), undefined)
})

test('the earliest timer is the deadline', () => {
  const timers = table()
  timers.set('ping', 30)
  timers.set('login', 20)
  assert.equal(timers.next(), 20)
  timers.clear('login')
  assert.equal(timers.next(), 30)
})

test('a timer expires at its deadline, not before, and once', () => {
  const timers = table()
  timers.set('ping', 30)
  assert.equal(timers.expired(29), undefined)
  assert.equal(timers.expired(30), 'ping')
  assert.equal(timers.expired(30), undefined)
  assert.equal(timers.next(), undefined)
})

test('setting a timer again moves it', () => {
  const timers = table()
  timers.set('ping', 10)
  timers.set('ping', 50)
  assert.equal(timers.expired(20), undefined)
  assert.equal(timers.next(), 50)
})

test('all timers can be cleared at once', () => {
  const timers = table()
  for (const name of NAMES) timers.set(name, 1)
  timers.clearAll()
  assert.equal(timers.next(), undefined)
  assert.equal(timers.expired(2), undefined)
})

test('after any settings, exactly those due expire and the deadline is the earliest of the rest', () => {
  const settings = fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.nat(100)))
  fc.assert(
    fc.property(settings, fc.nat(100), (sets, now) => {
      const timers = table()
      const model = new Map<string, number>()
      for (const [name, deadline] of sets) {
        timers.set(name, deadline)
        model.set(name, deadline)
      }
      const expired = new Set<string>()
      for (let name = timers.expired(now); name !== undefined; name = timers.expired(now)) expired.add(name)
      const due = [...model].filter(([, deadline]) => deadline <= now).map(([name]) => name)
      const rest = [...model.values()].filter((deadline) => deadline > now)
      assert.deepEqual(expired, new Set(due))
      assert.equal(timers.next(), rest.length === 0 ? undefined : Math.min(...rest))
    }),
  )
})
