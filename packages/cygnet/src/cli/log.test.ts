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

test('what a peer has sent cannot give orders to the terminal', () => {
  const initiator = 'iqn.a:\u001b[2J\u009b31m\u202e'
  const client = { identity: initiator }
  const line = JSON.stringify({ level: 'warn', time: new Date().toISOString(), msg: 'x', initiator, client })
  const [, fields = ''] = stripVTControlCharacters(formatLine(line)).trimEnd().split(' x ')
  assert.equal(
    fields,
    'initiator="iqn.a:\\u001b[2J\\u{9b}31m\\u{202e}" client={"identity":"iqn.a:\\u001b[2J\\u{9b}31m\\u{202e}"}',
  )
})
