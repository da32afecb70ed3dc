/**
 * Both roles against each other: whatever each wants, in whatever order and pieces it is said, both agree on every value
 * or both refuse. A failing case prints its seed; `CYGNET_SEED=n npm test -- property --only both-roles` runs that case
 * alone.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BothRoles, digestsOf } from '../../packages/cygnet/src/session/both-roles.test-helper.ts'
import { defaultInitiatorLimits } from '../../packages/cygnet/src/session/initiator-role/initiator-limits.ts'
import {
  type Digest,
  initiatorPreferences,
  operationalKeys,
} from '../../packages/cygnet/src/session/initiator-role/initiator-preferences.ts'
import { type KeyName, keySpec, keys } from '../../packages/cygnet/src/session/keys.ts'
import { Negotiator, type Pair, type Preferences } from '../../packages/cygnet/src/session/negotiator.ts'
import { connectionParameters } from '../../packages/cygnet/src/session/parameters.ts'
import { TextExchange } from '../../packages/cygnet/src/session/text-exchange.ts'
import { Seeded } from '../support/seeded.ts'

const NEGOTIATIONS = 100_000
const CONNECTIONS = 3000

/** Values of the list keys, known to somebody. */
const listValues: Readonly<Partial<Record<KeyName, readonly string[]>>> = {
  HeaderDigest: ['None', 'CRC32C', 'X-com.example.digest'],
  DataDigest: ['None', 'CRC32C', 'X-com.example.digest'],
  TaskReporting: ['RFC3720', 'ResponseFence', 'FastAbort'],
}

const pick = <T>(random: Seeded, values: readonly T[]): T => values[random.between(0, values.length - 1)] as T

function shuffled<T>(random: Seeded, values: readonly T[]): T[] {
  const result = [...values]
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.between(0, i)
    ;[result[i], result[j]] = [result[j] as T, result[i] as T]
  }
  return result
}

/** The bounds, the default and their neighbours more often than their share. */
function someNumber(random: Seeded, minimum: number, maximum: number, usual: number): number {
  const edges = [minimum, minimum + 1, usual - 1, usual, usual + 1, maximum - 1, maximum]
  const value =
    random.next() < 0.5 ? pick(random, edges) : Math.floor(minimum + (maximum - minimum) * random.next() ** 4)
  return Math.min(maximum, Math.max(minimum, value))
}

/** What a side may want of a key; undefined: it does not care. */
function somePreference(random: Seeded, name: KeyName): number | boolean | readonly string[] | undefined {
  const spec = keySpec(name)
  if (random.next() < 0.15) return undefined
  if (spec?.type === 'numeric') return someNumber(random, spec.minimum, spec.maximum, spec.default)
  if (spec?.type === 'boolean') return random.next() < 0.5
  const values = shuffled(random, listValues[name] ?? [])
  return values.slice(0, random.between(1, values.length))
}

function somePreferences(random: Seeded, names: readonly KeyName[]): Preferences {
  const entries = names.map((name) => [name, somePreference(random, name)] as const)
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined))
}

/** Sends pairs as login text, cut by the C bit, each part in slices as sockets give them. */
function carry(
  random: Seeded,
  from: TextExchange,
  to: TextExchange,
  pairs: readonly Pair[],
): readonly Pair[] {
  from.queue(pairs)
  const segmentBytes = Math.ceil(2 ** (random.next() * 11))
  for (;;) {
    const data = from.take(segmentBytes)
    const at = random.between(0, data.length)
    const result = to.receive([data.subarray(0, at), data.subarray(at)], from.isSending)
    if (result.kind === 'partial') continue
    assert.equal(result.kind, 'complete')
    assert.ok(!from.isSending)
    return result.kind === 'complete' ? result.pairs : []
  }
}

interface Side {
  readonly keys: Negotiator
  readonly text: TextExchange
}

/** Sends what one side has to say; false where there was nothing. */
function say(random: Seeded, from: Side, to: Side, more: readonly Pair[] = []): boolean {
  const pairs = [...from.keys.takeOutgoing(), ...more]
  if (pairs.length === 0) return false
  const received = carry(random, from.text, to.text, pairs)
  assert.deepEqual(received, pairs)
  // Keys that nobody knows were answered; their senders need not look at the answers.
  assert.equal(to.keys.receive(received, 'operational'), undefined)
  return true
}

function negotiate(random: Seeded): 'agreed' | 'refused' {
  const isDiscovery = random.next() < 0.1
  const leading = isDiscovery || random.next() < 0.9
  const names = operationalKeys(isDiscovery, leading)
  const side = (role: 'initiator' | 'target'): Side => ({
    keys: new Negotiator(role, somePreferences(random, names), leading),
    text: new TextExchange(64 * 1024),
  })
  const initiator = side('initiator')
  const target = side('target')
  const received = { initiator: 0, target: 0 }
  const declare = (from: Side, of: 'initiator' | 'target'): void => {
    received[of] = someNumber(random, 512, 2 ** 24 - 1, 8192)
    from.keys.declare('MaxRecvDataSegmentLength', received[of])
  }

  if (isDiscovery) initiator.keys.declare('SessionType', 'Discovery')
  const offered = shuffled(random, names)
  const batches = random.between(1, 4)
  const initiatorDeclaresIn = random.between(0, batches - 1)
  const targetDeclaresIn = random.between(0, batches - 1)
  for (let batch = 0; batch < batches; batch++) {
    const end = batch === batches - 1 ? offered.length : random.between(0, offered.length)
    for (const name of offered.splice(0, end)) initiator.keys.propose(name)
    if (batch === initiatorDeclaresIn) declare(initiator, 'initiator')
    const unknown: Pair[] =
      random.next() < 0.2 ? [[`X-com.example.${batch}`, 'x'.repeat(random.between(0, 200))]] : []
    say(random, initiator, target, unknown)
    if (batch === targetDeclaresIn) declare(target, 'target')
    // Now and then the target speaks first about what it cannot live with.
    if (batch === batches - 1 || random.next() < 0.1) target.keys.proposeUnacceptable()
    say(random, target, initiator)
  }
  while (say(random, initiator, target) || say(random, target, initiator));

  assert.deepEqual(initiator.keys.unanswered, [])
  assert.deepEqual(target.keys.unanswered, [])
  const refusals = [initiator, target].map((one) => one.keys.checkIntegrity()?.key)
  assert.equal(refusals[0], refusals[1], 'both refuse for the same key, or none does')
  if (refusals[0] !== undefined) return 'refused'
  for (const one of [initiator, target]) one.keys.commit(true)
  for (const name of Object.keys(keys) as KeyName[]) {
    const spec = keySpec(name)
    if (!spec || !('result' in spec)) continue
    assert.equal(initiator.keys.text(name), target.keys.text(name), name)
  }
  assert.equal(target.keys.number('MaxRecvDataSegmentLength'), received.initiator)
  assert.equal(initiator.keys.number('MaxRecvDataSegmentLength'), received.target)
  return 'agreed'
}

/** Runs one case for each seed that follows from the first; a failure names the seed of its case. */
function forSeeds(
  t: { diagnostic(message: string): void },
  count: number,
  run: (random: Seeded) => void,
): void {
  const given = process.env['CYGNET_SEED'] !== undefined
  const seeds = new Seeded()
  t.diagnostic(`first seed ${seeds.seed}`)
  for (let i = 0; i < (given ? 1 : count); i++) {
    const seed = (seeds.seed + i) >>> 0
    try {
      run(new Seeded(seed))
    } catch (error) {
      throw new Error(`CYGNET_SEED=${seed} fails`, { cause: error })
    }
  }
}

test(`${NEGOTIATIONS} random negotiations: both sides agree on every value, or both refuse`, (t) => {
  const counts = { agreed: 0, refused: 0 }
  forSeeds(t, NEGOTIATIONS, (random) => counts[negotiate(random)]++)
  t.diagnostic(`${counts.agreed} agreed, ${counts.refused} refused`)
  if (process.env['CYGNET_SEED'] === undefined) {
    assert.ok(counts.agreed > NEGOTIATIONS / 2, 'most negotiations end well')
    assert.ok(counts.refused > 0, 'some do not')
  }
})

const someDigests = (random: Seeded): Digest[] =>
  shuffled<Digest>(random, ['None', 'CRC32C']).slice(0, random.between(1, 2))

function connect(random: Seeded): void {
  const limits = {
    maxRecvDataSegmentLength: someNumber(random, 512, 2 ** 20, 8192),
    maxBurstLength: someNumber(random, 512, 2 ** 24 - 1, 262144),
    firstBurstLength: someNumber(random, 512, 2 ** 24 - 1, 65536),
    maxOutstandingR2T: someNumber(random, 1, 65535, 1),
  }
  const largestChunk = Math.ceil(2 ** (random.next() * 14))
  const isDiscovery = random.next() < 0.2
  const both = new BothRoles({
    initiatorLimits: limits,
    targetLimits: {
      maxRecvDataSegmentLength: someNumber(random, 512, 2 ** 20, 8192),
      maxBurstLength: someNumber(random, 512, 2 ** 24 - 1, 262144),
      firstBurstLength: someNumber(random, 512, 2 ** 24 - 1, 65536),
      maxOutstandingR2T: someNumber(random, 1, 65535, 1),
    },
    login: {
      type: isDiscovery ? 'Discovery' : 'Normal',
      preferences: initiatorPreferences(
        { ...defaultInitiatorLimits, ...limits },
        digestsOf(someDigests(random), someDigests(random)),
      ),
      segmentBytes: Math.ceil(2 ** (2 + random.next() * 11)),
    },
    chunkBytes: () => random.between(1, largestChunk),
  }).run()
  const session = both.peer.session
  assert.equal(
    both.events[0]?.kind === 'logged-in',
    session !== undefined,
    'both are logged in, or neither is',
  )
  assert.equal(both.events[0]?.kind, 'logged-in', JSON.stringify(both.events[0]))
  assert.deepEqual(both.initiator.sessionParameters, session?.parameters)
  assert.equal(both.initiator.headerDigest, both.peer.headerDigest)
  assert.equal(both.initiator.dataDigest, both.peer.dataDigest)
  assert.equal(both.peer.sendSegmentBytes, limits.maxRecvDataSegmentLength)
  assert.equal(
    connectionParameters(both.initiator.keys).sendSegmentBytes,
    both.peer.limits.maxRecvDataSegmentLength,
  )
  both.target.targets = Array.from(
    { length: random.between(0, 40) },
    (_, index): Pair => ['TargetName', `iqn.2026-11.test:${index}`],
  )
  both.initiator.text([['SendTargets', 'All']])
  if (!isDiscovery) both.initiator.ping(random.bytes(random.between(0, 20_000)))
  both.run()
  assert.deepEqual(both.eventsOf('text')[0]?.pairs, both.target.targets)
  assert.equal(both.eventsOf('pong').length, isDiscovery ? 0 : 1)
  both.initiator.logOut()
  both.run()
  assert.equal(both.lastEvent?.kind, 'logged-out')
  both.finish()
}

test(`${CONNECTIONS} connections with random limits, offers and pieces: login, text, ping, logout`, (t) => {
  forSeeds(t, CONNECTIONS, connect)
})
