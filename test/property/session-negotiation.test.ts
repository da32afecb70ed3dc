import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodeText, parseText } from '../../packages/cygnet/src/pdu/text.ts'
import { type KeyName, type KeySpec, keys } from '../../packages/cygnet/src/session/keys.ts'
import { Negotiator, type Preferences } from '../../packages/cygnet/src/session/negotiator.ts'
import { TextExchange } from '../../packages/cygnet/src/session/text-exchange.ts'

/* Both roles against each other: after any exchange of proposals they agree on every value, or both refuse. */

const negotiated = (Object.entries(keys) as [KeyName, KeySpec][]).filter(
  ([, spec]) =>
    spec.use !== 'FFPO' &&
    spec.securityStage === undefined &&
    (spec.type === 'boolean' ||
      spec.type === 'list' ||
      (spec.type === 'numeric' && spec.result !== undefined)),
)

function preferenceOf(spec: KeySpec): fc.Arbitrary<number | boolean | readonly string[]> {
  if (spec.type === 'boolean') return fc.boolean()
  if (spec.type === 'numeric') return fc.integer({ min: spec.minimum, max: spec.maximum })
  // Both sides can do without.
  const last = spec.type === 'list' ? spec.default : ''
  return fc.constantFrom(['CRC32C', last], [last], [last, 'CRC32C'], ['ResponseFence', last])
}

const preferences: fc.Arbitrary<Preferences> = fc.record(
  Object.fromEntries(negotiated.map(([name, spec]) => [name, preferenceOf(spec)])),
)

/** Sends all that one side has to say, in segments of `segmentBytes`, to the other. True where it was taken. */
function deliver(from: Negotiator, to: Negotiator, segmentBytes: number): boolean {
  const sending = new TextExchange(65536)
  const receiving = new TextExchange(65536)
  sending.queue(from.takeOutgoing())
  for (;;) {
    const segment = sending.take(segmentBytes)
    const text = receiving.receive([segment], sending.isSending)
    if (text.kind === 'partial') continue
    assert.equal(text.kind, 'complete')
    return text.kind === 'complete' && to.receive(text.pairs, 'operational') === undefined
  }
}

const current = (side: Negotiator, name: KeyName, spec: KeySpec): unknown =>
  spec.type === 'boolean' ? side.boolean(name) : spec.type === 'list' ? side.text(name) : side.number(name)

test('initiator and target agree on every value, whatever they want and however the text is cut', () => {
  fc.assert(
    fc.property(
      preferences,
      preferences,
      fc.shuffledSubarray(negotiated.map(([name]) => name)),
      fc.integer({ min: 1, max: 3000 }),
      fc.nat({ max: 20 }),
      (ours, theirs, proposed, segmentBytes, secondText) => {
        const initiator = new Negotiator('initiator', ours, true)
        const target = new Negotiator('target', theirs, true)
        for (const part of [proposed.slice(0, secondText), proposed.slice(secondText)]) {
          for (const name of part) initiator.propose(name)
          if (!deliver(initiator, target, segmentBytes) || !deliver(target, initiator, segmentBytes)) {
            assert.fail('admissible proposals were refused')
          }
        }
        target.proposeUnacceptable()
        assert.ok(deliver(target, initiator, segmentBytes))
        assert.ok(deliver(initiator, target, segmentBytes))
        assert.deepEqual([initiator.unanswered, target.unanswered], [[], []])
        const verdicts = [initiator.checkIntegrity(), target.checkIntegrity()]
        assert.deepEqual(verdicts[0], verdicts[1], 'both sides see the same breach of integrity, or none')
        initiator.commit(true)
        target.commit(true)
        for (const [name, spec] of negotiated) {
          assert.deepEqual(current(initiator, name, spec), current(target, name, spec), name)
        }
      },
    ),
    { numRuns: 1000 },
  )
})

test('the target lives with every value: what the default cannot be, it proposes', () => {
  fc.assert(
    fc.property(preferences, fc.shuffledSubarray(negotiated.map(([name]) => name)), (theirs, proposed) => {
      const initiator = new Negotiator('initiator', theirs, true)
      const target = new Negotiator('target', theirs, true)
      for (const name of proposed) initiator.propose(name)
      deliver(initiator, target, 8192)
      deliver(target, initiator, 8192)
      target.proposeUnacceptable()
      deliver(target, initiator, 8192)
      deliver(initiator, target, 8192)
      target.commit(true)
      for (const [name, spec] of negotiated) {
        const wanted = theirs[name]
        if (spec.type === 'numeric') {
          const value = target.number(name)
          assert.ok(spec.result === 'minimum' ? value <= Number(wanted) : value >= Number(wanted), name)
        } else if (spec.type === 'list') {
          assert.ok((wanted as readonly string[]).includes(target.text(name)), name)
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('any pairs from a peer are answered or refused, never thrown at', () => {
  const key = fc.oneof(
    fc.constantFrom(...Object.keys(keys)),
    fc.string({ minLength: 1, maxLength: 20 }).map((text) => `X-${text.replaceAll(/[^a-z]/gu, 'a')}`),
  )
  const value = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.integer().map(String),
    fc.constantFrom(
      'Yes',
      'No',
      'None',
      'Reject',
      'Irrelevant',
      'NotUnderstood',
      'Discovery',
      '0x10',
      'CRC32C',
    ),
  )
  const stage = fc.constantFrom('security', 'operational', 'fullFeature')
  fc.assert(
    fc.property(
      fc.array(fc.tuple(key, value), { maxLength: 12 }),
      stage,
      fc.boolean(),
      (pairs, when, leading) => {
        const target = new Negotiator('target', { MaxBurstLength: 4096 }, leading)
        target.proposeUnacceptable()
        target.takeOutgoing()
        const wrong = target.receive(pairs, when)
        if (wrong) return
        const answers = target.takeOutgoing()
        assert.ok(answers.length <= pairs.length)
        const parsed = parseText([encodeText(answers)])
        assert.ok(parsed.ok)
        for (const [name] of answers)
          assert.ok(
            pairs.some(([sent]) => sent === name),
            name,
          )
      },
    ),
    { numRuns: 2000 },
  )
})
