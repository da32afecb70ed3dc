import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatPortalAddress, parseTargetAddress } from './portal-address.ts'

for (const [text, host, port, portalGroupTag] of [
  ['10.0.0.1:5003,1', '10.0.0.1', 5003, 1],
  ['[1080:0:0:0:8:800:200C:417A],65', '1080:0:0:0:8:800:200C:417A', 3260, 65],
  ['[1080::8:800:200C:417A]:5003,1', '1080::8:800:200C:417A', 5003, 1],
  ['computingcenter.example.com,23', 'computingcenter.example.com', 3260, 23],
  ['host_1', 'host_1', 3260, undefined],
  ['[::]', '::', 3260, undefined],
  ['[::1]:0xcbc', '::1', 3260, undefined],
  ['[::ffff:192.0.2.1],65535', '::ffff:192.0.2.1', 3260, 65535],
  ['[1:2:3:4:5:6:7::],0', '1:2:3:4:5:6:7::', 3260, 0],
] as const) {
  test(`§13.8 ${text}`, () => {
    assert.deepEqual(parseTargetAddress(text), { host, port, portalGroupTag })
    assert.deepEqual(parseTargetAddress(formatPortalAddress({ host, port }))?.host, host)
  })
}

for (const text of [
  '',
  ':3260',
  'host:',
  'host:0',
  'host:65536',
  'host:-1',
  'host,',
  'host,65536',
  'host,1,2',
  'host:1:2',
  'ho st',
  '-host',
  'host-',
  'a..b',
  `${'a'.repeat(64)}.example`,
  'a.'.repeat(127),
  '1.2.3',
  '1.2.3.256',
  '01.2.3.4',
  '1.2.3.4.',
  '::1',
  '[]',
  '[1.2.3.4]',
  '[1:2:3:4:5:6:7]',
  '[1:2:3:4:5:6:7:8:9]',
  '[1:2:3:4:5:6:7:8::]',
  '[1::2::3]',
  '[12345::]',
  '[:1]',
  '[::1',
  '[::1]x',
  '[::1.2.3]',
]) {
  test(`§13.8 "${text}" is not an address`, () => assert.equal(parseTargetAddress(text), undefined))
}
