import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseIscsiName } from './iscsi-name.ts'

const good = [
  'iqn.2001-04.com.example',
  'iqn.2001-04.com.example:',
  'iqn.2001-04.com.example:storage:diskarrays-sn-a8675309',
  'iqn.2026-12.dev.ex-ample:disk.1',
  'iqn.2026-11.dev.example:größe',
  'eui.02004567a425678d',
  'naa.52004567ba64678d',
  'naa.62004567ba64678d0123456789abcdef',
  `iqn.2026-11.dev.example:${'a'.repeat(199)}`,
]
for (const name of good)
  test(`${name.slice(0, 60)} is an iSCSI name`, () => {
    assert.equal(parseIscsiName(name), name)
  })

test('capital letters and compatibility characters are normalised', () => {
  assert.equal(parseIscsiName('eui.02004567A425678D'), 'eui.02004567a425678d')
  assert.equal(parseIscsiName('IQN.2026-11.dev.Example:Disk１'), 'iqn.2026-11.dev.example:disk1')
})

const bad = {
  disk: /begin with iqn\., eui\. or naa\./,
  '': /begin with/,
  'iqn.2001.com.example': /YYYY-MM/,
  'iqn.2001-13.com.example': /YYYY-MM/,
  'iqn.2001-00.com.example': /YYYY-MM/,
  'iqn.2001-04.': /REVERSED-DOMAIN/,
  'iqn.2001-04.com..example': /REVERSED-DOMAIN/,
  'iqn.2001-04.com.-example': /REVERSED-DOMAIN/,
  'iqn.2001-04.com.example:a b': /letters, digits/,
  'iqn.2001-04.com.example:a_b': /letters, digits/,
  'iqn.2001-04.com.example:a/b': /letters, digits/,
  'eui.0200': /16 hexadecimal/,
  'eui.02004567a425678g': /16 hexadecimal/,
  'naa.52004567ba64678d00': /16 or 32/,
  [`iqn.2026-11.dev.example:${'a'.repeat(200)}`]: /224 bytes, and at most 223/,
  [`iqn.2026-11.dev.example:${'ü'.repeat(100)}`]: /224 bytes/,
}
for (const [name, message] of Object.entries(bad))
  test(`"${name.slice(0, 60)}" is refused as an iSCSI name`, () => {
    assert.throws(() => parseIscsiName(name), { code: 'NAME_INVALID', message })
  })
