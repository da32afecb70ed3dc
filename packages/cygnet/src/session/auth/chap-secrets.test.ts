import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type ChapCredential,
  chapSecretFromText,
  checkChapSecret,
  checkChapUser,
  checkSecretRoles,
  checkSecretsDiffer,
  findSharedSecrets,
  generateChapSecret,
} from './chap-secrets.ts'

const credential = (user: string, secret: string): ChapCredential => ({
  user,
  secret: chapSecretFromText(secret),
})

test('a secret in text is its UTF-8, literally, whatever it begins with', () => {
  assert.deepEqual(chapSecretFromText('0x41 0b'), Uint8Array.from(Buffer.from('0x41 0b', 'latin1')))
  assert.deepEqual(chapSecretFromText('ü'), Uint8Array.of(0xc3, 0xbc))
})

test('a secret below 96 bits is refused unless short ones are allowed', () => {
  assert.match(checkChapSecret(new Uint8Array(11)) ?? '', /has 11 bytes, and at least 12 are needed/)
  assert.equal(checkChapSecret(new Uint8Array(11), true), undefined)
  assert.equal(checkChapSecret(new Uint8Array(12)), undefined)
  assert.equal(checkChapSecret(new Uint8Array(300)), undefined)
})

test('an empty secret is refused even where short ones are allowed', () => {
  assert.match(checkChapSecret(new Uint8Array(0)) ?? '', /is empty/)
  assert.match(checkChapSecret(new Uint8Array(0), true) ?? '', /is empty/)
})

test('a user must fit into CHAP_N', () => {
  assert.equal(checkChapUser('u'.repeat(255)), undefined)
  assert.equal(checkChapUser('0x41'), undefined)
  assert.match(checkChapUser('') ?? '', /empty/)
  assert.match(checkChapUser('ü'.repeat(128)) ?? '', /has 256 bytes, and at most 255/)
  assert.match(checkChapUser('a\0b') ?? '', /null/)
  assert.match(checkChapUser('a\ud800') ?? '', /surrogate/)
})

test('the secrets of the two directions must differ', () => {
  const [one, other] = [chapSecretFromText('secret of one'), chapSecretFromText('secret of other')]
  assert.equal(checkSecretsDiffer(one, other), undefined)
  assert.match(checkSecretsDiffer(one, Uint8Array.from(one)) ?? '', /same CHAP secret/)
})

test('a secret of an initiator that is one of a target is found, and not shown', () => {
  const problems = checkSecretRoles(
    [credential('alice', 'secret-of-alice'), credential('bob', 'secret-of-both')],
    [credential('storage', 'secret-of-both'), credential('tape', 'secret-of-tape')],
  )
  assert.equal(problems.length, 1)
  assert.match(problems[0] ?? '', /"bob" of initiators and "storage" of targets have the same secret/)
  assert.doesNotMatch(problems[0] ?? '', /secret-of/)
})

test('users that share a secret are warned of, once for each secret', () => {
  const warnings = findSharedSecrets([
    credential('a', 'secret one'),
    credential('b', 'secret two'),
    credential('c', 'secret one'),
    credential('d', 'secret one'),
    credential('e', 'secret five'),
    // The same user for two targets is no second user.
    credential('e', 'secret five'),
  ])
  assert.deepEqual(warnings, [
    'CHAP users "a", "c", "d" have the same secret, so each can pass for the others; give each its own.',
  ])
})

test('a generated secret is text with all its random bits', () => {
  const asked: number[] = []
  const random = (lengthBytes: number): Uint8Array => {
    asked.push(lengthBytes)
    return new Uint8Array(lengthBytes).fill(0xff)
  }
  assert.equal(generateChapSecret(random), `${'_'.repeat(21)}w`)
  assert.equal(generateChapSecret(random, 96), '_'.repeat(16))
  assert.deepEqual(asked, [16, 12])
})
