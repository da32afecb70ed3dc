import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseNbdUrl } from './nbd-url.ts'

for (const [text, expected] of [
  ['nbd://host', { address: { kind: 'tcp', host: 'host', port: 10_809 }, exportName: '' }],
  ['nbd://host:1/a%20b', { address: { kind: 'tcp', host: 'host', port: 1 }, exportName: 'a b' }],
  ['NBD://[::1]:2/x', { address: { kind: 'tcp', host: '::1', port: 2 }, exportName: 'x' }],
  ['nbd+unix:///?socket=/tmp/s', { address: { kind: 'unix', path: '/tmp/s' }, exportName: '' }],
  ['nbd+unix:///disk?socket=%2Ftmp%2Fs', { address: { kind: 'unix', path: '/tmp/s' }, exportName: 'disk' }],
  ['nbds://host/', { address: { kind: 'tcp', host: 'host', port: 10_809 }, exportName: '', tls: {} }],
  [
    'nbds+unix:///x?socket=/s&tls-ca=ca&tls-cert=c&tls-key=k&tls-psk-file=p&tls-hostname=h',
    {
      address: { kind: 'unix', path: '/s' },
      exportName: 'x',
      tls: { caFile: 'ca', certFile: 'c', keyFile: 'k', pskFile: 'p', serverName: 'h' },
    },
  ],
] as const) {
  test(text, () => assert.deepEqual(parseNbdUrl(text), expected))
}

for (const text of [
  'nbdx://host/x',
  'nbd://host/?tls-ca=x',
  'nbds://host/?socket=x',
  'nbds+unix:///x?socket=/y&socket=/z',
  'nbd://',
  'nbd://host:0/',
  'nbd://host:99999/',
  'nbd://::1/',
  'nbd://host/?socket=/x',
  'nbd+unix:///x',
  'nbd+unix:///x?socket=',
  'nbd+unix://host/x?socket=/y',
  'nbd+unix:///x?socket=/y&z=1',
  'nbd://host/%zz',
]) {
  test(`${text} is refused`, () => assert.throws(() => parseNbdUrl(text), { code: 'URL_INVALID' }))
}
