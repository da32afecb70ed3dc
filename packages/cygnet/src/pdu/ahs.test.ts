import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { viewOf } from '../base/bytes.ts'
import type { Ahs } from './ahs.ts'
import { encodeAhs, encodedAhsLength, joinCdb, parseAhs } from './ahs.ts'
import { MAX_AHS_BYTES } from './bhs.ts'
import { fixture } from './fixtures.test-helper.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const parse = (text: string) => parseAhs(viewOf(bytes(text)), 0, bytes(text).length)

test('the fixture has an extended CDB and a bidirectional read length', () => {
  const { header } = fixture('scsi-command-ahs')
  const parsed = parseAhs(viewOf(header), 48, header.length - 48)
  assert.deepEqual(parsed, {
    ok: true,
    ahs: { extendedCdb: bytes('a1a2a3'), bidirectionalReadExpectedDataTransferLength: 1024 },
    unknownTypes: [],
  })
  assert.ok(parsed.ok)
  assert.equal(
    Buffer.from(joinCdb(header.subarray(32, 48), parsed.ahs.extendedCdb)).toString('hex'),
    '7f0000000000000b0009000000000001a1a2a3',
  )
  const encoded = new Uint8Array(encodedAhsLength(parsed.ahs)).fill(0xdb)
  assert.equal(encodeAhs(viewOf(encoded), 0, parsed.ahs), encoded.length)
  assert.deepEqual(encoded, header.slice(48))
})

test('no AHS says nothing, and the CDB is that of the BHS', () => {
  const nothing = { extendedCdb: undefined, bidirectionalReadExpectedDataTransferLength: undefined }
  assert.deepEqual(parse(''), { ok: true, ahs: nothing, unknownTypes: [] })
  assert.equal(encodedAhsLength(nothing), 0)
  const cdb = new Uint8Array(16)
  assert.equal(joinCdb(cdb, undefined), cdb)
})

test('unknown types are named and passed over; reserved bits of the type are ignored', () => {
  const parsed = parse('0001 3f 00  0000 00 00  0006 c5 00 0102030405 000000  0005 c2 00 00000007')
  assert.deepEqual(parsed, {
    ok: true,
    ahs: { extendedCdb: undefined, bidirectionalReadExpectedDataTransferLength: 7 },
    unknownTypes: [0x3f, 0, 5],
  })
})

const malformed: readonly [string, string, RegExp][] = [
  [
    'an AHS that is longer than all of them',
    '0006 01 00 aabbccdd',
    /AHSLength 6 reaches past TotalAHSLength/,
  ],
  ['an AHS of 65535 bytes', 'ffff 01 00 aabbccdd', /AHSLength 65535 reaches past/],
  ['a second AHS that is longer than the rest', '0005 02 00 00000001 0002 01 00', /AHSLength 2 reaches past/],
  ['an extended CDB of no bytes', '0001 01 00', /AHSLength 1 of an extended CDB/],
  [
    'a read length of another size',
    '0006 02 00 00000001 00000000',
    /AHSLength 6 of a bidirectional read length/,
  ],
  ['an AHS that is cut off', '0001 3f', /cut off/],
  ['two extended CDBs', '0002 01 00 aa000000 0002 01 00 aa000000', /two extended CDBs/],
  ['two read lengths', '0005 02 00 00000001 0005 02 00 00000001', /two bidirectional read lengths/],
]
for (const [what, text, message] of malformed) {
  test(`refuses ${what}`, () => {
    const parsed = parse(text)
    assert.ok(!parsed.ok)
    assert.match(parsed.error, message)
  })
}

const ahsOf: fc.Arbitrary<Ahs> = fc.record(
  {
    extendedCdb: fc.option(fc.uint8Array({ minLength: 1, maxLength: 244 }), { nil: undefined }),
    bidirectionalReadExpectedDataTransferLength: fc.option(fc.nat({ max: 0xffffffff }), { nil: undefined }),
  },
  { noNullPrototype: true },
)

test('what was encoded is parsed, whatever the memory held before', () => {
  fc.assert(
    fc.property(ahsOf, fc.nat(0xff), (ahs, fill) => {
      const lengthBytes = encodedAhsLength(ahs)
      const memory = new Uint8Array(lengthBytes + 10).fill(fill)
      assert.equal(encodeAhs(viewOf(memory), 5, ahs), lengthBytes)
      assert.equal(lengthBytes % 4, 0)
      assert.ok(
        [...memory.subarray(0, 5), ...memory.subarray(5 + lengthBytes)].every((byte) => byte === fill),
      )
      assert.deepEqual(parseAhs(viewOf(memory), 5, lengthBytes), { ok: true, ahs, unknownTypes: [] })
    }),
  )
})

test('no bytes make the parser throw or read past the end', () => {
  const words = fc.uint8Array({ maxLength: MAX_AHS_BYTES })
  fc.assert(
    fc.property(words, (memory) => {
      const parsed = parseAhs(viewOf(memory), 0, memory.length)
      if (parsed.ok)
        assert.ok((parsed.ahs.extendedCdb?.length ?? 0) + 4 * parsed.unknownTypes.length <= memory.length)
    }),
  )
})
