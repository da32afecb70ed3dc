import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { foldIscsiName, prepareIscsiName } from './iscsi-name-profile.ts'

const START = 'iqn.2000-01.a:'

/** The profile's result for text in the free part of a name. */
function prepare(text: string): string | undefined {
  const prepared = prepareIscsiName(START + text)
  return prepared.ok ? prepared.name.slice(START.length) : undefined
}

// What GNU libidn's iSCSI profile makes of them.
const mapped: readonly (readonly [text: string, name: string, why: string])[] = [
  ['ABC', 'abc', 'capital letters become small'],
  ['Straße', 'strasse', 'sharp s is folded to two letters'],
  ['ΑΣ', 'ασ', 'final sigma is folded wherever it stands'],
  ['ς', 'σ', 'final sigma is folded'],
  ['İ', 'i\u0307', 'the dotted capital I keeps its dot'],
  ['ı', 'ı', 'the dotless i stays'],
  ['ŉ', 'ʼn', 'an n with an apostrophe is taken apart'],
  ['ſ', 's', 'the long s becomes an s'],
  ['Ω', 'ω', 'the sign of the ohm becomes a letter'],
  ['ﬃ', 'ffi', 'ligatures are taken apart'],
  ['Dž', 'dž', 'title case becomes small'],
  ['ＡＢ', 'ab', 'wide letters become narrow'],
  ['㎏', 'kg', 'units are written out'],
  ['№Ⅷ', 'noviii', 'capitals that come out of normalisation are folded too'],
  ['x²', 'x2', 'superscripts lose their place'],
  ['ϓ', 'ύ', 'symbols with accents are composed'],
  ['a\u00adb\u200bc\ufeff', 'abc', 'invisible characters vanish'],
  ['e\u0301', 'é', 'accents are composed'],
  ['Ⴀ', 'Ⴀ', 'a small letter that Unicode 3.2 lacked is not used'],
  ['\u{2f868}', '\u{2136a}', 'the decompositions are those of Unicode 3.2'],
]
for (const [text, name, why] of mapped)
  test(`stringprep: ${why} (${text})`, () => {
    assert.equal(prepare(text), name)
    assert.equal(foldIscsiName(text), name)
  })

const refused: readonly (readonly [text: string, table: string])[] = [
  [' ', 'C.1.1'],
  ['\u00a0', 'C.1.2'],
  ['\u3000', 'C.1.2'],
  ['\u0007', 'C.2.1'],
  ['\u007f', 'C.2.1'],
  ['\u0085', 'C.2.2'],
  ['\u2028', 'C.2.2'],
  ['\ue000', 'C.3'],
  ['\u{10fffd}', 'C.3'],
  ['\ufdd0', 'C.4'],
  ['\uffff', 'C.4'],
  ['\ud800', 'C.5'],
  ['\udfff', 'C.5'],
  ['\ufffd', 'C.6'],
  ['\u2ff0', 'C.7'],
  ['\u202e', 'C.8'],
  ['\u{e0041}', 'C.9'],
  ['\u3002', 'RFC 3722 §6.1'],
  ['\u0221', 'A.1'],
  ['\u0590', 'A.1'],
  ['א', 'RFC 3454 §6'],
  ['ب', 'RFC 3454 §6'],
]
for (const [text, table] of refused)
  test(`stringprep: U+${text.codePointAt(0)?.toString(16)} is refused (${table})`, () => {
    assert.equal(prepare(text), undefined)
    assert.equal(prepare(`a${text}a`), undefined)
  })

test('of ASCII, only letters, digits, dash, dot and colon are allowed', () => {
  let allowed = ''
  for (let code = 0; code < 0x80; code++) {
    const character = String.fromCharCode(code)
    if (prepare(character) !== undefined) allowed += character
  }
  assert.equal(allowed, '-.0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz')
})

test('every character of these ranges comes out as the iSCSI profile of GNU libidn 1.41 has it', () => {
  const ranges = [
    [0x1, 0x33ff],
    [0xf900, 0x1ffff],
    [0x2f800, 0x2fa1f],
    [0xe0000, 0xe00ff],
  ] as const
  const digest = createHash('sha256')
  let allowed = 0
  for (const [first, last] of ranges) {
    for (let codePoint = first; codePoint <= last; codePoint++) {
      const name = prepare(String.fromCodePoint(codePoint))
      if (name === undefined) continue
      digest.update(`${codePoint.toString(16)}=${name}\n`)
      allowed++
    }
  }
  assert.equal(allowed, 11106)
  assert.equal(digest.digest('hex'), '76b26ba4e28e8bd0cbe9c3b45935f11a4d8c97edc7388401fc93a68e3cdcf06b')
})
