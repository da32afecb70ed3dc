import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LoginThrottle } from './login-throttle.ts'

const limits = { freeFailures: 3, firstDelayMs: 100, maxDelayMs: 500, forgetAfterMs: 1000, addresses: 2 }

function newThrottle(): { throttle: LoginThrottle; clock: { ms: number; now(): number } } {
  const clock = { ms: 1000, now: () => clock.ms }
  return { throttle: new LoginThrottle(clock, limits), clock }
}

const fail = (throttle: LoginThrottle, times: number, address = 'a'): void => {
  for (let i = 0; i < times; i++) throttle.failed(address)
}

describe('login throttle', () => {
  test('some failures are free', () => {
    const { throttle } = newThrottle()
    fail(throttle, 2)
    assert.equal(throttle.waitMs('a'), 0)
  })

  test('then the wait doubles with each failure, up to its limit', () => {
    const { throttle } = newThrottle()
    fail(throttle, 3)
    assert.equal(throttle.waitMs('a'), 100)
    fail(throttle, 1)
    assert.equal(throttle.waitMs('a'), 200)
    fail(throttle, 40)
    assert.equal(throttle.waitMs('a'), 500)
  })

  test('the wait passes with time', () => {
    const { throttle, clock } = newThrottle()
    fail(throttle, 3)
    clock.ms += 60
    assert.equal(throttle.waitMs('a'), 40)
    clock.ms += 60
    assert.equal(throttle.waitMs('a'), 0)
  })

  test('failures are forgotten when there was none for long enough', () => {
    const { throttle, clock } = newThrottle()
    fail(throttle, 10)
    clock.ms += 500 + 999
    fail(throttle, 1)
    assert.equal(throttle.waitMs('a'), 500)
    clock.ms += 500 + 1000
    fail(throttle, 2)
    assert.equal(throttle.waitMs('a'), 0)
  })

  test('one address does not slow another', () => {
    const { throttle } = newThrottle()
    fail(throttle, 10)
    assert.equal(throttle.waitMs('b'), 0)
  })

  test('no more addresses are remembered than the limit: the oldest is forgotten', () => {
    const { throttle } = newThrottle()
    fail(throttle, 10, 'a')
    fail(throttle, 10, 'b')
    fail(throttle, 10, 'c')
    assert.equal(throttle.waitMs('a'), 0)
    assert.ok(throttle.waitMs('b') > 0)
    assert.ok(throttle.waitMs('c') > 0)
  })
})
