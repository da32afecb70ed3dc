import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { normalizeIscsiName, parseIscsiName, peerName } from './iscsi-name.ts'

// The examples of RFC 7143 §4.2.7 and RFC 3721 §1 and Appendix B among them.
const good = [
  'iqn.2001-04.com.example',
  'iqn.2001-04.com.example:',
  'iqn.2001-04.com.example:storage:diskarrays-sn-a8675309',
  'iqn.2001-04.com.example:storage.tape1.sys1.xyz',
  'iqn.2001-04.com.example:diskarrays-sn-a8675309',
  'iqn.2001-04.com.example.storage:tape.sys1.xyz',
  'iqn.2001-04.com.example.storage.tape:sys1.xyz',
  'iqn.2000-02.edu.example.cs:users.oaks:proto.target4',
  'iqn.1995-11.com.example.ssp:customers.4567.disks.107',
  'iqn.1995-04.com.example:sn.5551212.target.450',
  'iqn.2001-04.com.example.myssp:users.mbakke05657',
  'iqn.2026-12.dev.ex-ample:disk.1',
  'iqn.2026-11.dev.example:grösse',
  'iqn.2026-11.dev.example:保存装置',
  'iqn.2026-11.dev.example::-.',
  'eui.02004567a425678d',
  'naa.52004567ba64678d',
  'naa.62004567ba64678d0123456789abcdef',
  `iqn.2026-11.dev.example:${'a'.repeat(199)}`,
  `iqn.2026-11.${'d'.repeat(63)}.example`,
]
for (const name of good)
  test(`${name.slice(0, 60)} is an iSCSI name as it is`, () => {
    assert.equal(parseIscsiName(name), name)
    assert.equal(normalizeIscsiName(name), name)
  })

const normalised = {
  'eui.02004567A425678D': 'eui.02004567a425678d',
  'naa.52004567BA64678D': 'naa.52004567ba64678d',
  'naa.62004567BA64678D0123456789ABCDEF': 'naa.62004567ba64678d0123456789abcdef',
  'IQN.2001-04.COM.Example:DiskArrays': 'iqn.2001-04.com.example:diskarrays',
  'iqn.1995-04.com.example.os:hostid.A598B45C': 'iqn.1995-04.com.example.os:hostid.a598b45c',
  'iqn.2001-04.com.example.os:newos5.12345-OEM-0067890-23456':
    'iqn.2001-04.com.example.os:newos5.12345-oem-0067890-23456',
  'ｉｑｎ．2026-11.dev.example：Disk１': 'iqn.2026-11.dev.example:disk1',
  'iqn.2026-11.dev.example:Größe': 'iqn.2026-11.dev.example:grösse',
  'iqn.2026-11.dev.example:gro\u0308\u00adsse': 'iqn.2026-11.dev.example:grösse',
}
for (const [text, name] of Object.entries(normalised))
  test(`${text} becomes ${name}`, () => {
    assert.equal(parseIscsiName(text), name)
    assert.equal(normalizeIscsiName(text), name)
  })

const bad = {
  disk: /it must begin with iqn\., eui\. or naa\./,
  '': /begin with/,
  'urn:iqn.2001-04.com.example': /begin with/,
  iqn: /begin with/,
  'iqn.2001.com.example': /YYYY-MM/,
  'iqn.201-04.com.example': /YYYY-MM/,
  'iqn.2001-13.com.example': /YYYY-MM/,
  'iqn.2001-00.com.example': /YYYY-MM/,
  'iqn.2001-4.com.example': /YYYY-MM/,
  'iqn.2001-04': /REVERSED-DOMAIN/,
  'iqn.2001-04.': /REVERSED-DOMAIN/,
  'iqn.2001-04.:disk': /REVERSED-DOMAIN/,
  'iqn.2001-04.com..example': /REVERSED-DOMAIN/,
  'iqn.2001-04.com.-example': /REVERSED-DOMAIN/,
  'iqn.2001-04.com.example-': /REVERSED-DOMAIN/,
  'iqn.2001-04.com.größe:a': /REVERSED-DOMAIN/,
  [`iqn.2026-11.${'d'.repeat(64)}.example`]: /REVERSED-DOMAIN/,
  'iqn.2001-04.com.example:a b': /may not hold U\+0020; use letters, digits/,
  'iqn.2001-04.com.example:a_b': /may not hold "_" \(U\+005F\)/,
  'iqn.2001-04.com.example:a/b': /"\/" \(U\+002F\)/,
  'iqn.2001-04.com.example,t,0x0001': /"," \(U\+002C\)/,
  'iqn.2001-04.com.example:a\0': /U\+0000/,
  'iqn.2001-04.com.example:a\n': /U\+000A/,
  'iqn。2001-04.com.example': /U\+3002/,
  'iqn.2001-04.com.example:\u{e000}': /U\+E000/,
  'iqn.2001-04.com.example:\ud800': /U\+D800/,
  'iqn.2001-04.com.example:שלום': /right to left/,
  'iqn.2001-04.com.example:😀': /Unicode 3\.2/,
  'eui.0200': /16 hexadecimal/,
  'eui.02004567a425678g': /16 hexadecimal/,
  'eui.02004567a425678d0': /16 hexadecimal/,
  'naa.52004567ba64678d00': /16 hexadecimal digits, or 32/,
  'naa.62004567ba64678d': /32 that begin with a 6/,
  'naa.52004567ba64678d0123456789abcdef': /32 that begin with a 6/,
  [`iqn.2026-11.dev.example:${'a'.repeat(200)}`]: /224 bytes, and at most 223/,
  [`iqn.2026-11.dev.example:${'ü'.repeat(100)}`]: /224 bytes/,
  [`iqn.2026-11.dev.example:${'a'.repeat(65536)}`]: /65560 characters/,
}
for (const [name, message] of Object.entries(bad))
  test(`${JSON.stringify(name.slice(0, 60))} is refused as an iSCSI name`, () => {
    assert.throws(() => parseIscsiName(name), { code: 'NAME_INVALID', message })
    assert.equal(normalizeIscsiName(name), undefined)
  })

test('the length of a name counts after normalisation', () => {
  const start = 'iqn.2026-11.dev.example:'
  // Decomposed, two code points and three bytes each; composed, two bytes.
  assert.equal(parseIscsiName(start + 'u\u0308'.repeat(99)), start + 'ü'.repeat(99))
  assert.throws(() => parseIscsiName(start + '㎏'.repeat(100)), { message: /224 bytes/ })
})

test('a long refused name is cut short in the message', () => {
  assert.throws(() => parseIscsiName('x'.repeat(500)), { message: /^"x{40}…" is not an iSCSI name/ })
})

test('normalising a name again changes nothing', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 30 })
  const name = text.map((end) => normalizeIscsiName(`iqn.2026-11.dev.example:${end}`))
  fc.assert(
    fc.property(name, (once) => {
      fc.pre(once !== undefined)
      assert.equal(normalizeIscsiName(once), once)
    }),
  )
})

test('no text makes the parser of received names throw', () => {
  const text = fc.tuple(
    fc.constantFrom('', 'iqn.2026-11.dev.example:', 'eui.', 'naa.'),
    fc.string({ unit: 'binary' }),
  )
  fc.assert(
    fc.property(text, ([start, end]) => {
      const name = normalizeIscsiName(start + end)
      assert.ok(name === undefined || Buffer.byteLength(name) <= 223)
    }),
  )
})

test('a peer\u2019s name is taken with an underscore, in the form that is compared', () => {
  assert.equal(peerName('iqn.2008-11.org.linux-kvm:My_VM'), 'iqn.2008-11.org.linux-kvm:my_vm')
  assert.equal(peerName('IQN.2026-11.dev.example:disk'), 'iqn.2026-11.dev.example:disk')
})

test('what cannot be a name is refused from a peer as well', () => {
  const texts = [
    '',
    'disk',
    'iqn.2026-11.dev.example:a b',
    'iqn.2026-11.dev.example:\u001b[2J',
    `iqn.${'x'.repeat(220)}`,
  ]
  for (const text of texts) assert.equal(peerName(text), undefined, text)
})
