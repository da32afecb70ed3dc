import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { describeIsid, encodeIsid, formatIsid, type Isid, parseIsid, parseIsidText } from './isid.ts'

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))

const examples: readonly (readonly [string, Isid, string])[] = [
  [
    '400001370002',
    { type: 'enterprise', enterprise: 311, qualifier: 2 },
    'enterprise number 311, qualifier 2',
  ],
  // The OUI 00-1b-21 without the two bits I/G and U/L: six bits of its first byte, then 16.
  ['001b21000007', { type: 'oui', oui: 0x001b21, qualifier: 7 }, 'OUI 00-1b-21, qualifier 7'],
  ['3fffffabcdef', { type: 'oui', oui: 0xfcffff, qualifier: 0xabcdef }, 'OUI fc-ff-ff, qualifier 11259375'],
  [
    '80abcdef1234',
    { type: 'random', random: 0xabcdef, qualifier: 0x1234 },
    'random 0xabcdef, qualifier 4660',
  ],
  ['8000000a0000', { type: 'random', random: 10, qualifier: 0 }, 'random 0x00000a, qualifier 0'],
  ['c00000000001', { type: 'reserved', value: 1 }, 'reserved format, 0xc00000000001'],
  ['ffffffffffff', { type: 'reserved', value: 2 ** 46 - 1 }, 'reserved format, 0xffffffffffff'],
]
for (const [text, isid, description] of examples)
  test(`ISID ${text} is ${description}`, () => {
    assert.deepEqual(parseIsid(bytes(text)), isid)
    assert.deepEqual(encodeIsid(isid), bytes(text))
    assert.equal(describeIsid(bytes(text)), description)
  })

test('reserved bits of an ISID are not looked at', () => {
  assert.deepEqual(parseIsid(bytes('7f0001370002')), parseIsid(bytes('400001370002')))
  assert.deepEqual(parseIsid(bytes('bf0001370002')), parseIsid(bytes('800001370002')))
})

test('every ISID without reserved bits is written as it was read', () => {
  const anyIsid = fc
    .uint8Array({ minLength: 6, maxLength: 6 })
    .filter((isid) => ![1, 2].includes((isid[0] as number) >> 6) || ((isid[0] as number) & 0x3f) === 0)
  fc.assert(fc.property(anyIsid, (isid) => assert.deepEqual(encodeIsid(parseIsid(isid)), isid)))
})

test('an ISID is read inside a longer buffer', () => {
  assert.deepEqual(parseIsid(bytes('ffff80000001000200').subarray(2, 8)), {
    type: 'random',
    random: 1,
    qualifier: 2,
  })
})

test('an ISID in text has 12 hexadecimal digits, with or without 0x', () => {
  for (const text of ['400001370002', '0x400001370002', '0X400001370002'])
    assert.deepEqual(parseIsidText(text), bytes('400001370002'))
  assert.equal(formatIsid(bytes('8000ABCDEF01')), '0x8000abcdef01')
  for (const text of ['', '0x', '40000137000', '4000013700022', '0x40000137000g', '40:00:01:37:00:02'])
    assert.equal(parseIsidText(text), undefined)
})
