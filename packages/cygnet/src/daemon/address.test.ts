import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAddress, isLoopback, isWildcard, parseAddress } from './address.ts'

const defaults = { host: '127.0.0.1', port: 3260 }

const good = {
  '10.1.2.3:1234': { host: '10.1.2.3', port: 1234 },
  '10.1.2.3': { host: '10.1.2.3', port: 3260 },
  'disks.example.com:0': { host: 'disks.example.com', port: 0 },
  localhost: { host: 'localhost', port: 3260 },
  ':65535': { host: '127.0.0.1', port: 65_535 },
  '[::1]:3261': { host: '::1', port: 3261 },
  '[2001:db8::7]': { host: '2001:db8::7', port: 3260 },
  '[fe80::1%eth0]:860': { host: 'fe80::1%eth0', port: 860 },
  '0.0.0.0': { host: '0.0.0.0', port: 3260 },
}
for (const [text, address] of Object.entries(good))
  test(`the address ${text} is understood`, () => {
    assert.deepEqual(parseAddress(text, defaults), address)
  })

const bad = {
  '': /HOST:PORT/,
  '::1': /brackets, \[::1\]/,
  '::1:3260': /brackets/,
  '[10.0.0.1]:3260': /IPv6 address/,
  '[]:1': /IPv6 address/,
  'host:': /port must be a number/,
  'host:65536': /0 to 65535, not "65536"/,
  'host:-1': /port/,
  'host:3260x': /port/,
  'a:b:c': /HOST:PORT/,
  '10.0.0': /neither/,
  '256.1.1.1:3260': /neither/,
  'two words': /neither/,
  '-x:1': /neither/,
}
for (const [text, message] of Object.entries(bad))
  test(`"${text}" is refused as an address`, () => {
    assert.throws(() => parseAddress(text, defaults), { code: 'ADDRESS_INVALID', message })
  })

test('an address without a host needs a default host', () => {
  assert.throws(() => parseAddress(':3260', { host: '', port: 0 }), { message: /HOST:PORT/ })
})

test('an IPv6 address is written in brackets', () => {
  assert.equal(formatAddress({ host: '::1', port: 3260 }), '[::1]:3260')
  assert.equal(formatAddress({ host: '127.0.0.1', port: 1 }), '127.0.0.1:1')
})

test('loopback and wildcard addresses are told apart', () => {
  assert.deepEqual(['127.0.0.1', '127.8.8.8', '::1', 'localhost', '10.0.0.1', '0.0.0.0'].map(isLoopback), [
    true,
    true,
    true,
    true,
    false,
    false,
  ])
  assert.deepEqual(['0.0.0.0', '::', '127.0.0.1'].map(isWildcard), [true, true, false])
})
