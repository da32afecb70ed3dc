import assert from 'node:assert/strict'
import { test } from 'node:test'
import { listenError } from './listen-error.ts'

const address = { host: '::1', port: 3260 }

test('a port in use is answered with another one', () => {
  const inUse = Object.assign(new Error('listen EADDRINUSE'), { code: 'EADDRINUSE' })
  const { code, message, cause } = listenError(address, inUse)
  assert.equal(code, 'LISTEN_FAILED')
  assert.match(message, /^Cannot listen on \[::1\]:3260: .*sport = :3260.*such as \[::1\]:3261\.$/)
  assert.equal(cause, inUse)
})

test('an error that is not known keeps its own words', () => {
  assert.match(listenError(address, new Error('odd')).message, /^Cannot listen on \[::1\]:3260: odd$/)
})
