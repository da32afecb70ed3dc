import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chapAlgorithms } from './chap-algorithms.ts'
import { Challenger, RecentChallenges } from './chap-challenges.ts'
import { countingRandom } from './chap.test-helper.ts'

test('the challenges issued last are remembered, and older ones forgotten', () => {
  const recent = new RecentChallenges(3)
  for (const byte of [1, 2, 3, 1, 4]) recent.add(Uint8Array.of(byte))
  const known = [1, 2, 3, 4, 5].filter((byte) => recent.has(Uint8Array.of(byte)))
  assert.deepEqual(known, [1, 3, 4])
})

test('a challenge is compared whole', () => {
  const recent = new RecentChallenges()
  recent.add(Uint8Array.of(1, 2, 3))
  assert.ok(recent.has(Uint8Array.of(1, 2, 3)))
  assert.ok(!recent.has(Uint8Array.of(1, 2)))
  assert.ok(!recent.has(Uint8Array.of(0, 1, 2, 3)))
})

test('challenges have the length that was set, 32 bytes by default', () => {
  const [algorithm] = chapAlgorithms
  assert.ok(algorithm)
  for (const challengeBytes of [16, 1024]) {
    const issued = new Challenger({ random: countingRandom(), challengeBytes }).issue(algorithm)
    assert.equal(issued.challenge.length, challengeBytes)
  }
  assert.equal(new Challenger({ random: countingRandom() }).issue(algorithm).challenge.length, 32)
  for (const challengeBytes of [15, 1025])
    assert.throws(() => new Challenger({ random: countingRandom(), challengeBytes }), /16 to 1024/)
})
