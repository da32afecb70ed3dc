import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { TextPair } from './text.ts'
import { encodeText, MAX_KEY_LENGTH, parseText } from './text.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const parse = (text: string) => parseText([bytesOf(text)])

test('pairs come out in the order sent, duplicates and empty values included', () => {
  assert.deepEqual(parse('SessionType=Normal\0MaxBurstLength=1\0X-a.b=\0MaxBurstLength=2\0'), {
    ok: true,
    pairs: [
      ['SessionType', 'Normal'],
      ['MaxBurstLength', '1'],
      ['X-a.b', ''],
      ['MaxBurstLength', '2'],
    ],
  })
})

test('an empty segment has no pairs', () => {
  assert.deepEqual(parseText([]), { ok: true, pairs: [] })
  assert.deepEqual(parse(''), { ok: true, pairs: [] })
})

test('a value may contain "=" and any UTF-8', () => {
  assert.deepEqual(parse('TargetAlias=Größe=1 €\0'), { ok: true, pairs: [['TargetAlias', 'Größe=1 €']] })
})

test('a leading byte order mark of a value is part of it', () => {
  assert.deepEqual(parse('InitiatorAlias=\u{feff}a\0'), {
    ok: true,
    pairs: [['InitiatorAlias', '\u{feff}a']],
  })
})

test('padding that a peer counted as text is passed over', () => {
  assert.deepEqual(parse('A=1\0\0\0\0'), { ok: true, pairs: [['A', '1']] })
  assert.deepEqual(parse('\0\0'), { ok: true, pairs: [] })
})

test('§13.24 iSCSIProtocolLevel is a key, small letter and all', () => {
  assert.deepEqual(parse('iSCSIProtocolLevel=1\0'), { ok: true, pairs: [['iSCSIProtocolLevel', '1']] })
})

test('X#NodeArchitecture is a key', () => {
  assert.deepEqual(parse('X#NodeArchitecture=OS/1,CPU/2\0'), {
    ok: true,
    pairs: [['X#NodeArchitecture', 'OS/1,CPU/2']],
  })
})

const malformed: readonly [string, Uint8Array, RegExp][] = [
  ['a last pair without its null', bytesOf('A=1\0B=2'), /not followed by a null/],
  ['an empty pair between others', bytesOf('A=1\0\0B=2\0'), /an empty key=value pair/],
  ['a pair without "="', bytesOf('HeaderDigest\0'), /no "=" in "HeaderDigest"/],
  ['an empty key', bytesOf('=1\0'), /"" is not a key/],
  ['a key that starts with a small letter', bytesOf('maxBurstLength=1\0'), /"maxBurstLength" is not a key/],
  ['a key that starts with a digit', bytesOf('1A=1\0'), /"1A" is not a key/],
  ['a key with a space', bytesOf('Max BurstLength=1\0'), /is not a key/],
  ['a key with a line feed at its end', bytesOf('Max\n=1\0'), /is not a key/],
  ['a key with a letter that is not ASCII', bytesOf('Mäx=1\0'), /is not a key/],
  ['a key of 64 characters', bytesOf(`${'A'.repeat(64)}=1\0`), /a key of 64 characters/],
  ['bytes that are not UTF-8', Uint8Array.of(0x41, 0x3d, 0xc3, 0x28, 0), /not UTF-8/],
]
for (const [what, bytes, message] of malformed) {
  test(`refuses ${what}`, () => {
    const result = parseText([bytes])
    assert.ok(!result.ok)
    assert.match(result.error, message)
  })
}

test('a key of 63 characters is taken', () => {
  const key = 'A'.repeat(MAX_KEY_LENGTH)
  assert.deepEqual(parse(`${key}=1\0`), { ok: true, pairs: [[key, '1']] })
})

test('messages quote at most the start of what a peer sent', () => {
  const result = parse(`${'a'.repeat(10_000)}\0`)
  assert.ok(!result.ok && result.error.length < 100)
})

const key = fc.stringMatching(/^[A-Z][A-Za-z0-9.\-+@_]{0,62}$/)
const value = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\0'))

test('what was encoded parses to the same pairs, however it is sliced', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value)), fc.array(fc.nat(300)), (pairs: TextPair[], cuts) => {
      const bytes = encodeText(pairs)
      const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].toSorted((a, b) => a - b)
      let start = 0
      const slices: Uint8Array[] = []
      for (const end of ends) {
        slices.push(bytes.subarray(start, end))
        start = end
      }
      assert.deepEqual(parseText(slices), { ok: true, pairs })
    }),
  )
})

test('no bytes make the parser throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const result = parseText([bytes])
      if (result.ok) for (const [name] of result.pairs) assert.ok(name.length <= MAX_KEY_LENGTH)
      else assert.ok(result.error.length > 0)
    }),
  )
})
