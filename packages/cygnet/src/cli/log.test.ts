import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { formatLine } from './log.ts'

test('a log line for people has time, level, message and fields', () => {
  const time = new Date(2026, 10, 22, 9, 8, 7).toISOString()
  const line = JSON.stringify({
    level: 'info',
    time,
    msg: 'login',
    peer: '127.0.0.1:5',
    name: 'a b',
    count: 3,
  })
  assert.equal(
    stripVTControlCharacters(formatLine(line)),
    '09:08:07 info  login peer=127.0.0.1:5 name="a b" count=3\n',
  )
})

test('an error in a log line for people is its message', () => {
  const err = { type: 'Error', message: 'disk gone', stack: 'Error: disk gone\n  at x' }
  const line = JSON.stringify({ level: 'error', time: new Date().toISOString(), msg: 'flush failed', err })
  assert.match(stripVTControlCharacters(formatLine(line)), /error flush failed err="disk gone"\n$/)
})
