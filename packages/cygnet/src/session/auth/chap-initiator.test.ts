import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pair } from '../negotiator.ts'
import type { AuthStep } from './authenticator.ts'
import { bytes, countingRandom, responseTo, sent, valueOf } from './chap.test-helper.ts'
import { RecentChallenges } from './chap-challenges.ts'
import { ChapInitiator, type ChapInitiatorOptions } from './chap-initiator.ts'

const ALICE = bytes('the secret of alice')
const STORAGE = bytes('the secret of storage')
const mutual = { user: 'storage', secret: STORAGE }

const chap = (options: Partial<ChapInitiatorOptions> = {}): ChapInitiator =>
  new ChapInitiator({ user: 'alice', secret: ALICE, random: countingRandom(), ...options })

const challenge = (value = `0x${'2a'.repeat(16)}`, algorithm = '5'): Pair[] => [
  ['CHAP_A', algorithm],
  ['CHAP_I', '200'],
  ['CHAP_C', value],
]

/** The target's honest proof. */
const proof = (asked: readonly Pair[], user = 'storage', secret = STORAGE): Pair[] => [
  ['CHAP_N', user],
  ['CHAP_R', responseTo('md5', asked, secret)],
]

function assertFailed(step: AuthStep, reason: RegExp): void {
  assert.equal(step.kind, 'failed')
  assert.match(step.kind === 'failed' ? step.reason : '', reason)
}

test('all algorithms are offered, strongest first, or those of the setting', () => {
  assert.deepEqual(chap().start(), [['CHAP_A', '8,7,6,5']])
  assert.deepEqual(chap({ algorithms: ['MD5', 'SHA-256'] }).start(), [['CHAP_A', '5,7']])
})

test('an initiator that wants no proof of the target is done with its response', () => {
  const initiator = chap()
  assert.deepEqual(initiator.receive(challenge()), {
    kind: 'done',
    send: [
      ['CHAP_N', 'alice'],
      ['CHAP_R', responseTo('md5', challenge(), ALICE)],
    ],
    user: '',
  })
})

test('the response follows the algorithm that the target chose, which is told', () => {
  for (const [number, name, hash] of [
    ['5', 'MD5', 'md5'],
    ['0x6', 'SHA1', 'sha1'],
    ['7', 'SHA-256', 'sha256'],
    ['8', 'SHA3-256', 'sha3-256'],
  ] as const) {
    const initiator = chap()
    assert.equal(initiator.algorithm, undefined)
    const response = valueOf(sent(initiator.receive(challenge('0x0102', number))), 'CHAP_R')
    assert.equal(response, responseTo(hash, challenge('0x0102'), ALICE))
    assert.equal(initiator.algorithm, name)
  }
})

test('challenges of 1 and of 1024 bytes are answered, in hexadecimal and in base64', () => {
  for (const lengthBytes of [1, 1024]) {
    const binary = Buffer.alloc(lengthBytes, 0x5a)
    const expected = responseTo('md5', challenge(`0x${binary.toString('hex')}`), ALICE)
    for (const value of [`0x${binary.toString('hex')}`, `0b${binary.toString('base64')}`])
      assert.equal(valueOf(sent(chap().receive(challenge(value))), 'CHAP_R'), expected)
  }
})

test('an initiator that wants a proof asks together with its response', () => {
  const asked = sent(chap({ mutual, challengeBytes: 16 }).receive(challenge()))
  assert.deepEqual(
    asked.map(([key]) => key),
    ['CHAP_N', 'CHAP_R', 'CHAP_I', 'CHAP_C'],
  )
  assert.match(valueOf(asked, 'CHAP_C'), /^0x[0-9a-f]{32}$/)
})

test('the right proof ends it well, with the name of the target', () => {
  const initiator = chap({ mutual })
  const asked = sent(initiator.receive(challenge()))
  assert.deepEqual(initiator.receive(proof(asked)), { kind: 'done', send: [], user: 'storage' })
})

test('without an expected name, any name with the right secret will do', () => {
  const initiator = chap({ mutual: { secret: STORAGE } })
  const asked = sent(initiator.receive(challenge()))
  assert.deepEqual(initiator.receive(proof(asked, 'tape')), { kind: 'done', send: [], user: 'tape' })
})

test('a wrong proof, name or secret fails', () => {
  const wrong = chap({ mutual })
  assertFailed(
    wrong.receive(proof(sent(wrong.receive(challenge())), 'storage', bytes('a wrong secret'))),
    /right secret/,
  )
  const name = chap({ mutual })
  assertFailed(name.receive(proof(sent(name.receive(challenge())), 'tape')), /"tape", and not "storage"/)
})

test("a proof that the initiator's own secret made fails", () => {
  const initiator = chap({ mutual })
  const asked = sent(initiator.receive(challenge()))
  assertFailed(initiator.receive(proof(asked, 'storage', ALICE)), /initiator's own secret/)
})

test('no response leaves where both directions have the same secret', () => {
  assertFailed(
    chap({ mutual: { secret: Uint8Array.from(ALICE) } }).receive(challenge()),
    /have the same CHAP secret/,
  )
})

test('no response leaves with a secret below 96 bits, unless that is allowed', () => {
  const short = bytes('11 bytes is')
  assertFailed(chap({ secret: short }).receive(challenge()), /has 11 bytes/)
  assertFailed(chap({ mutual: { secret: short } }).receive(challenge()), /has 11 bytes/)
  assert.equal(chap({ secret: short, allowShortSecrets: true }).receive(challenge()).kind, 'done')
})

test('a challenge that the initiator issued on another connection is not answered', () => {
  const challenges = new RecentChallenges()
  const random = countingRandom()
  const asked = sent(chap({ mutual, challenges, random }).receive(challenge()))
  const second = chap({ mutual, challenges, random })
  assertFailed(second.receive(challenge(valueOf(asked, 'CHAP_C'))), /reflection/)
})

test("the target's challenge is not sent back to it, even where randomness fails", () => {
  const initiator = chap({ mutual, random: (lengthBytes) => new Uint8Array(lengthBytes) })
  assertFailed(initiator.receive(challenge(`0x${'00'.repeat(32)}`)), /equals that of the target/)
})

const [A, I, C] = challenge() as [Pair, Pair, Pair]
const badChallenges: readonly (readonly [what: string, pairs: readonly Pair[], reason: RegExp])[] = [
  ['nothing', [], /CHAP_A is missing/],
  ['no algorithm', [I, C], /CHAP_A is missing/],
  ['no identifier', [A, C], /CHAP_I is missing/],
  ['no challenge', [A, I], /CHAP_C is missing/],
  ['an algorithm that was not offered', [['CHAP_A', '6'], I, C], /CHAP_A=6, which is none that was offered/],
  ['an unknown algorithm', [['CHAP_A', '99'], I, C], /none that was offered/],
  ['two algorithms', [['CHAP_A', '5,7'], I, C], /CHAP_A=5,7/],
  ['Reject', [['CHAP_A', 'Reject']], /CHAP_A must be numbers/],
  ['identifier 256', [A, ['CHAP_I', '256'], C], /CHAP_I must be/],
  ['an empty challenge', [A, I, ['CHAP_C', '0x']], /CHAP_C must be/],
  ['1025 bytes of challenge', [A, I, ['CHAP_C', `0x${'00'.repeat(1025)}`]], /CHAP_C must be/],
  ['a challenge twice', [A, I, C, C], /CHAP_C came twice/],
  ['an early proof', [A, I, C, ['CHAP_R', '0x00']], /CHAP_R is not expected/],
]
for (const [what, pairs, reason] of badChallenges)
  test(`a target that answers the offer with ${what} gets no response`, () => {
    const initiator = chap({ algorithms: ['SHA-256', 'MD5'] })
    assertFailed(initiator.receive(pairs), reason)
    assertFailed(initiator.receive(challenge()), /after the end/)
  })

const badProofs: readonly (readonly [
  what: string,
  change: (proof: Pair[]) => readonly Pair[],
  reason: RegExp,
])[] = [
  ['nothing', () => [], /CHAP_N is missing/],
  ['no response', ([name]) => [name as Pair], /CHAP_R is missing/],
  ['no name', ([, response]) => [response as Pair], /CHAP_N is missing/],
  ['another challenge', (pairs) => [...pairs, ...challenge()], /CHAP_A is not expected/],
  ['a response twice', (pairs) => [...pairs, pairs[1] as Pair], /CHAP_R came twice/],
  ['an empty name', ([, response]) => [['CHAP_N', ''], response as Pair], /CHAP_N must be/],
  ['a short response', ([name]) => [name as Pair, ['CHAP_R', '0x00']], /right secret/],
]
for (const [what, change, reason] of badProofs)
  test(`a target that proves itself with ${what} fails`, () => {
    const initiator = chap({ mutual })
    const asked = sent(initiator.receive(challenge()))
    assertFailed(initiator.receive(change(proof(asked))), reason)
    assertFailed(initiator.receive(proof(asked)), /after the end/)
  })

test('a proof that was not asked for is a breach', () => {
  const initiator = chap()
  assert.equal(initiator.receive(challenge()).kind, 'done')
  assertFailed(initiator.receive(proof(challenge())), /after the end/)
})
