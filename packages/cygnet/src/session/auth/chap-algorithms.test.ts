import assert from 'node:assert/strict'
import { getHashes } from 'node:crypto'
import { test } from 'node:test'
import { hex } from '../../base/bytes.ts'
import {
  type ChapAlgorithm,
  type ChapAlgorithmName,
  chapAlgorithmNames,
  chapAlgorithms,
  chapResponse,
  equalBytes,
  parseChapAlgorithm,
  usableAlgorithms,
} from './chap-algorithms.ts'

const algorithmOf = (name: ChapAlgorithmName): ChapAlgorithm =>
  chapAlgorithms.find((algorithm) => algorithm.name === name) as ChapAlgorithm

// Computed with Python's hashlib: identifier, secret, challenge, response.
const vectors = [
  {
    name: 'MD5',
    number: 5,
    identifier: 0x27,
    secret: 'mutual secret one',
    challenge: '00112233445566778899aabbccddeeff',
    response: '7803a1e55963589720789da54ea32600',
  },
  {
    name: 'SHA1',
    number: 6,
    identifier: 0,
    secret: '0x3132333435363738',
    challenge: 'ff'.repeat(20),
    response: 'ffde3c4ea5c4731d38b7497e7cce82becae669e8',
  },
  {
    name: 'SHA-256',
    number: 7,
    identifier: 255,
    secret: 'gänseblümchen',
    challenge: 'a5'.repeat(32),
    response: '616d06682f6c6213e5dda168c31dd4d69a5325a80baffd381f4676caa046d8d2',
  },
  {
    name: 'SHA3-256',
    number: 8,
    identifier: 1,
    secret: 'swan-secret-128bits',
    challenge: '0f'.repeat(1024),
    response: 'ef348c39698abb40473088dd70980e3119d773c1d9144edd67a079e3abb65bc8',
  },
] as const
for (const { name, number, identifier, secret, challenge, response } of vectors)
  test(`the response of ${name}, number ${number}, is the hash over identifier, secret and challenge`, () => {
    const algorithm = algorithmOf(name)
    assert.equal(algorithm.number, number)
    const computed = chapResponse(
      algorithm,
      identifier,
      new TextEncoder().encode(secret),
      Buffer.from(challenge, 'hex'),
    )
    assert.equal(hex(computed), response)
    assert.equal(algorithm.responseBytes, computed.length)
  })

test('algorithm names are read in any case, with and without dashes', () => {
  for (const text of ['MD5', 'md5', 'Md5']) assert.equal(parseChapAlgorithm(text), 'MD5')
  for (const text of ['SHA1', 'sha1', 'SHA-1']) assert.equal(parseChapAlgorithm(text), 'SHA1')
  for (const text of ['SHA-256', 'sha256']) assert.equal(parseChapAlgorithm(text), 'SHA-256')
  for (const text of ['SHA3-256', 'sha3-256', 'sha-3-256']) assert.equal(parseChapAlgorithm(text), 'SHA3-256')
  for (const text of ['', 'SHA', 'SHA512', '5', 'MD5 ', 'toString'])
    assert.equal(parseChapAlgorithm(text), undefined)
})

test('algorithms keep the order of the setting; the default begins with the strongest', () => {
  const numbers = (names: readonly ChapAlgorithmName[]) => usableAlgorithms(names).map(({ number }) => number)
  assert.deepEqual(numbers(['MD5', 'SHA3-256']), [5, 8])
  assert.deepEqual(numbers([]), [])
  assert.deepEqual(numbers(chapAlgorithmNames), [8, 7, 6, 5])
})

test('this machine has all hashes', () => {
  for (const { hash } of chapAlgorithms) assert.ok(getHashes().includes(hash), hash)
})

test('bytes are equal only when all are and there are as many', () => {
  assert.ok(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)))
  assert.ok(!equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)))
  assert.ok(!equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3)))
  assert.ok(!equalBytes(Uint8Array.of(1, 2), new Uint8Array(0)))
})
