import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatEndpoint, plainAddress } from './tcp-connection.ts'

test('an IPv4 address is the same through a dual-stack socket', () => {
  assert.equal(plainAddress('::ffff:192.0.2.7'), '192.0.2.7')
  assert.equal(plainAddress('192.0.2.7'), '192.0.2.7')
  assert.equal(plainAddress('2001:db8::7'), '2001:db8::7')
  assert.equal(plainAddress('::ffff:0:1'), '::ffff:0:1')
})

test('an endpoint has its IPv6 address in brackets', () => {
  assert.equal(formatEndpoint('::ffff:192.0.2.7', 3260), '192.0.2.7:3260')
  assert.equal(formatEndpoint('2001:db8::7', 3260), '[2001:db8::7]:3260')
  assert.equal(formatEndpoint(undefined, undefined), 'unknown:undefined')
})
