import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  formatBase64Constant,
  formatBoolean,
  formatHexConstant,
  isTextValue,
  parseBase64Constant,
  parseBinaryValue,
  parseBoolean,
  parseHexConstant,
  parseList,
  parseNumber,
  parseNumericalRange,
  parseNumericalValue,
} from './text-values.ts'

const numericalValues: readonly [string, bigint | undefined][] = [
  ['0', 0n],
  ['10', 10n],
  ['0x1F', 31n],
  ['0X1f', 31n],
  ['0x0000000001', 1n],
  ['18446744073709551615', 2n ** 64n - 1n],
  ['0xffffffffffffffff', 2n ** 64n - 1n],
  ['18446744073709551616', undefined],
  ['0x10000000000000000', undefined],
  ['', undefined],
  ['01', undefined],
  ['-1', undefined],
  ['+1', undefined],
  ['1.0', undefined],
  [' 1', undefined],
  ['1\n', undefined],
  ['0x', undefined],
  ['0xg', undefined],
  ['0b1', undefined],
  ['1e3', undefined],
  [`0x${'0'.repeat(100_000)}`, undefined],
]
for (const [text, value] of numericalValues) {
  const shown = text.length > 30 ? `${text.slice(0, 30)}…` : text
  test(`numerical-value ${JSON.stringify(shown)} is ${value === undefined ? 'refused' : value}`, () => {
    assert.equal(parseNumericalValue(text), value)
  })
}

test('a number is taken within its bounds only', () => {
  assert.equal(parseNumber('512', 512, 16777215), 512)
  assert.equal(parseNumber('0xffffff', 512, 16777215), 16777215)
  assert.equal(parseNumber('511', 512, 16777215), undefined)
  assert.equal(parseNumber('16777216', 512, 16777215), undefined)
  assert.equal(parseNumber('many', 512, 16777215), undefined)
})

test('a numerical-range has two values in order', () => {
  assert.deepEqual(parseNumericalRange('1~0x10'), { low: 1n, high: 16n })
  assert.deepEqual(parseNumericalRange('7~7'), { low: 7n, high: 7n })
  for (const text of ['2~1', '1', '1~', '~1', '1~2~3', 'a~b'])
    assert.equal(parseNumericalRange(text), undefined, text)
})

test('a boolean-value is Yes or No, case and all', () => {
  assert.equal(parseBoolean('Yes'), true)
  assert.equal(parseBoolean('No'), false)
  for (const text of ['yes', 'NO', '', 'True', 'Yes ']) assert.equal(parseBoolean(text), undefined, text)
  assert.equal(parseBoolean(formatBoolean(true)), true)
  assert.equal(parseBoolean(formatBoolean(false)), false)
})

test('a text-value has the characters of §6.1 and no others', () => {
  assert.ok(isTextValue('AZaz09.-+@_/[]:'))
  assert.ok(isTextValue(''))
  for (const character of [' ', ',', '=', '~', '\n', 'ä', '#', '\\', '('])
    assert.ok(!isTextValue(character), character)
})

test('a list-of-values is split at its commas; empty values are refused', () => {
  assert.deepEqual(parseList('CRC32C,None'), ['CRC32C', 'None'])
  assert.deepEqual(parseList('None'), ['None'])
  for (const text of ['', 'a,', ',a', 'a,,b', 'a b']) assert.equal(parseList(text), undefined, text)
})

test('an odd number of hexadecimal digits makes (n + 1) / 2 bytes', () => {
  assert.deepEqual(parseHexConstant('0x123'), Uint8Array.of(0x01, 0x23))
  assert.deepEqual(parseHexConstant('0X00ab'), Uint8Array.of(0x00, 0xab))
  for (const text of ['0x', '0xz1', '1234', '0x12 ', '0x1\n'])
    assert.equal(parseHexConstant(text), undefined, text)
})

test('base64 is padded and canonical', () => {
  assert.deepEqual(parseBase64Constant('0bAQID'), Uint8Array.of(1, 2, 3))
  assert.deepEqual(parseBase64Constant('0BAQI='), Uint8Array.of(1, 2))
  assert.deepEqual(parseBase64Constant('0bAQ=='), Uint8Array.of(1))
  for (const text of [
    '0b',
    '0bAQ',
    '0bAQ=',
    '0bAR==',
    '0bA===',
    '0bAQID=',
    '0bAQ I',
    'AQID',
    '0b====',
    '0bAQ==AQID',
  ]) {
    assert.equal(parseBase64Constant(text), undefined, text)
  }
})

test('a binary-value is hexadecimal or base64, and no longer than its limit', () => {
  assert.deepEqual(parseBinaryValue('0x010203', 3), Uint8Array.of(1, 2, 3))
  assert.deepEqual(parseBinaryValue('0bAQID', 3), Uint8Array.of(1, 2, 3))
  assert.equal(parseBinaryValue('0x01020304', 3), undefined)
  assert.equal(parseBinaryValue('0bAQIDBA==', 3), undefined)
  assert.equal(parseBinaryValue('12', 3), undefined)
  assert.equal(parseBinaryValue('0bAQ==', 1)?.length, 1)
})

test('binary strings survive both encodings', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (bytes) => {
      assert.deepEqual(parseHexConstant(formatHexConstant(bytes)), bytes)
      assert.deepEqual(parseBase64Constant(formatBase64Constant(bytes)), bytes)
      assert.deepEqual(parseBinaryValue(formatBase64Constant(bytes), bytes.length), bytes)
      assert.deepEqual(parseBinaryValue(formatHexConstant(bytes), bytes.length), bytes)
    }),
  )
})

test('numbers survive decimal and hexadecimal', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
      assert.equal(parseNumericalValue(value.toString()), value)
      assert.equal(parseNumericalValue(`0x${value.toString(16)}`), value)
    }),
  )
})
