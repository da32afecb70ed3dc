import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Pair } from '../negotiator.ts'
import { authenticate, bytes, countingRandom, valueOf } from './chap.test-helper.ts'
import { type ChapAlgorithmName, chapAlgorithmNames } from './chap-algorithms.ts'
import { ChapInitiator } from './chap-initiator.ts'
import { ChapTarget } from './chap-target.ts'

/* Both roles against each other. */

const ALICE = bytes('the secret of alice')
const STORAGE = bytes('the secret of storage')

const knowsAlice = (user: string): Uint8Array | undefined => (user === 'alice' ? ALICE : undefined)

for (const name of chapAlgorithmNames)
  test(`both sides prove themselves with ${name}`, () => {
    const initiator = new ChapInitiator({
      user: 'alice',
      secret: ALICE,
      algorithms: [name],
      mutual: { user: 'storage', secret: STORAGE },
      random: countingRandom(1),
    })
    const target = new ChapTarget({
      findSecret: knowsAlice,
      mutual: { user: 'storage', secret: STORAGE },
      random: countingRandom(2),
    })
    const outcome = authenticate(initiator, target)
    assert.deepEqual(outcome.initiator, { kind: 'done', send: [], user: 'storage' })
    assert.equal(outcome.target.kind === 'done' && outcome.target.user, 'alice')
    assert.equal(initiator.algorithm, name)
  })

const secret = fc.uint8Array({ minLength: 12, maxLength: 40 })
const user = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .filter((text) => !text.includes('\0') && Buffer.byteLength(text) <= 255)
const algorithms: fc.Arbitrary<ChapAlgorithmName[]> = fc.shuffledSubarray([...chapAlgorithmNames])

const mostlyNull = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: value })

/** Re-encodes binary values, swaps the keys around: all that a peer may do as well. */
function rewrite(pairs: readonly Pair[], isBase64: boolean, isReversed: boolean): readonly Pair[] {
  const changed = pairs.map(([key, value]): Pair => {
    if (key === 'CHAP_I' && isReversed) return [key, `0X${Number(value).toString(16)}`]
    if (!isBase64 || (key !== 'CHAP_C' && key !== 'CHAP_R')) return [key, value]
    return [key, `0b${Buffer.from(value.slice(2), 'hex').toString('base64')}`]
  })
  return isReversed ? changed.toReversed() : changed
}

test('both sides end well if the secrets and an algorithm agree, and both or neither otherwise', () => {
  const setting = fc.record({
    user,
    known: user,
    secret,
    knownSecret: mostlyNull(secret),
    mutual: fc.option(fc.record({ user, secret, seenAs: mostlyNull(user), other: mostlyNull(secret) })),
    isAsked: fc.boolean(),
    isKnown: fc.constantFrom(true, true, true, false),
    requireMutual: fc.boolean(),
    offered: algorithms,
    allowed: algorithms,
    preference: fc.constantFrom('target' as const, 'initiator' as const),
    challengeBytes: fc.integer({ min: 16, max: 1024 }),
    isBase64: fc.boolean(),
    isReversed: fc.boolean(),
    seed: fc.nat(),
  })
  fc.assert(
    fc.property(setting, (s) => {
      const atTarget = s.knownSecret ?? s.secret
      const knownUser = s.isKnown ? s.user : s.known
      const expectedSecret = s.mutual?.other ?? s.mutual?.secret ?? STORAGE
      const initiator = new ChapInitiator({
        user: s.user,
        secret: s.secret,
        algorithms: s.offered,
        random: countingRandom(s.seed),
        challengeBytes: s.challengeBytes,
        ...(s.isAsked && {
          mutual: { secret: expectedSecret, ...(s.mutual?.seenAs && { user: s.mutual.seenAs }) },
        }),
      })
      const target = new ChapTarget({
        algorithms: s.allowed,
        preference: s.preference,
        findSecret: (name) => (name === knownUser ? atTarget : undefined),
        ...(s.mutual && { mutual: { user: s.mutual.user, secret: s.mutual.secret } }),
        requireMutual: s.requireMutual,
        random: countingRandom(-1 - s.seed),
        challengeBytes: s.challengeBytes,
      })
      const outcome = authenticate(initiator, target, (pairs) => rewrite(pairs, s.isBase64, s.isReversed))

      const isSame = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0
      const order = s.preference === 'target' ? [s.allowed, s.offered] : [s.offered, s.allowed]
      const chosen = order[0]?.find((name) => order[1]?.includes(name))
      const isUserProven =
        chosen !== undefined &&
        s.user === knownUser &&
        isSame(s.secret, atTarget) &&
        (s.mutual === null || !isSame(s.secret, s.mutual.secret)) &&
        (s.isAsked ? s.mutual !== null && !isSame(s.secret, expectedSecret) : !s.requireMutual)
      const isTargetProven =
        isUserProven &&
        (!s.isAsked ||
          (s.mutual !== null &&
            isSame(expectedSecret, s.mutual.secret) &&
            (s.mutual.seenAs === null || s.mutual.seenAs === s.mutual.user)))
      assert.equal(outcome.target.kind === 'done', isUserProven)
      if (isUserProven) assert.equal(outcome.initiator.kind === 'done', isTargetProven)
      if (isUserProven) assert.equal(initiator.algorithm, chosen)
      if (outcome.target.kind === 'done') assert.equal(outcome.target.user, s.user)
      if (isTargetProven && outcome.initiator.kind === 'done')
        assert.equal(outcome.initiator.user, s.isAsked ? s.mutual?.user : '')
    }),
    { numRuns: 500 },
  )
})

// Things that a peer might send in any step, in and out of place.
const anyKey = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('CHAP_A', 'CHAP_I', 'CHAP_C', 'CHAP_N', 'CHAP_R') },
  { weight: 1, arbitrary: fc.constantFrom('AuthMethod', 'SRP_U', '__proto__', 'constructor', '') },
)
const anyValue = fc.oneof(
  fc.constantFrom(
    '5',
    '5,6,7,8',
    '8,9999',
    '0x5',
    '',
    'Reject',
    'None',
    '0x',
    '0b',
    '0b====',
    '256',
    '-1',
    'alice',
  ),
  fc.constantFrom(`0x${'ab'.repeat(1024)}`, `0x${'ab'.repeat(1025)}`, '0xabc', '0bAAAA', ','.repeat(8192)),
  fc.string({ unit: 'binary' }),
)
const anyStep = fc.array(fc.tuple(anyKey, anyValue), { maxLength: 6 })

test('no keys make either role throw, and none prove anything', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 4 }), (steps) => {
      const roles = [
        new ChapTarget({
          findSecret: knowsAlice,
          mutual: { user: 's', secret: STORAGE },
          random: countingRandom(),
        }),
        new ChapInitiator({
          user: 'alice',
          secret: ALICE,
          mutual: { secret: STORAGE },
          random: countingRandom(),
        }),
      ]
      for (const role of roles) {
        role.start()
        for (const step of steps) assert.notEqual(role.receive(step).kind, 'done')
      }
    }),
    { numRuns: 500 },
  )
})

test('one changed pair anywhere ends in failure on the side that sees it, without a throw', () => {
  const change = fc.record({ index: fc.nat(12), key: fc.option(anyKey), value: fc.option(anyValue) })
  fc.assert(
    fc.property(change, ({ index, key, value }) => {
      let seen = 0
      let isChanged = false
      const disturb = (pairs: readonly Pair[]): readonly Pair[] =>
        pairs.map((pair): Pair => {
          if (seen++ !== index) return pair
          const changed: Pair = [key ?? pair[0], value ?? pair[1]]
          isChanged = changed[0] !== pair[0] || changed[1] !== pair[1]
          return changed
        })
      const initiator = new ChapInitiator({
        user: 'alice',
        secret: ALICE,
        algorithms: ['SHA3-256'],
        mutual: { user: 'storage', secret: STORAGE },
        random: countingRandom(1),
      })
      const target = new ChapTarget({
        findSecret: knowsAlice,
        mutual: { user: 'storage', secret: STORAGE },
        random: countingRandom(2),
      })
      const outcome = authenticate(initiator, target, disturb)
      // What the initiator offers may grow or shrink without harm as long as the one that it wants is there.
      if (index === 0 || !isChanged) return
      assert.ok(outcome.initiator.kind === 'failed' || outcome.target.kind === 'failed')
    }),
    { numRuns: 300 },
  )
})

test('random text in place of an honest value is never taken for a proof', () => {
  const target = new ChapTarget({ findSecret: knowsAlice, random: countingRandom() })
  const asked = target.receive([['CHAP_A', '5']])
  assert.equal(asked.kind, 'continue')
  assert.match(asked.kind === 'continue' ? valueOf(asked.send, 'CHAP_C') : '', /^0x[0-9a-f]{64}$/)
  assert.equal(
    target.receive([
      ['CHAP_N', 'alice'],
      ['CHAP_R', `0x${'00'.repeat(16)}`],
    ]).kind,
    'failed',
  )
})
