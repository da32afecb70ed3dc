import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../base/prng.ts'
import { FakeOpcode, fakeCdb, pattern } from '../target-role/fake-target.test-helper.ts'
import { type Fate, type Passing, type Pending, SessionPair } from '../session-pair.test-helper.ts'

const SEEDS = 60
const ROUNDS = 25

interface Asked {
  readonly kind: 'read' | 'write' | 'both'
  readonly bytes: number
  readonly pending: Pending
}

/** A session with every parameter drawn, and lost, spoiled and cut PDUs at drawn rates. */
function newPair(random: Prng): SessionPair {
  const errorRecoveryLevel = random.below(3) as 0 | 1 | 2
  const pair = new SessionPair({
    digests: { header: [random.unit() < 0.5 ? 'CRC32C' : 'None'], data: ['CRC32C'] },
    policy: {
      errorRecoveryLevel,
      connections: random.between(1, 4),
      reopenLimitMs: 600_000,
      replayLimit: 1000,
      time2WaitSeconds: 0,
      spread: random.unit() < 0.5 ? 'least-bytes' : 'round-robin',
      taskReporting: random.unit() < 0.5 ? ['FastAbort', 'RFC3720'] : ['ResponseFence', 'RFC3720'],
    },
    limits: { maxRecvDataSegmentLength: random.between(512, 4096) },
    targetLimits: {
      maxRecvDataSegmentLength: random.between(512, 4096),
      firstBurstLength: random.between(512, 4096),
      maxBurstLength: random.between(4096, 16_384),
      maxOutstandingR2T: random.between(1, 4),
      commandDepth: random.between(2, 32),
      time2Wait: 0,
    },
  }).open()
  // TCP loses nothing: only what digests find is lost on its own, which level 0 does not outlive.
  const dropRate = errorRecoveryLevel > 0 ? random.unit() * 0.05 : 0
  const spoilRate = errorRecoveryLevel > 0 ? random.unit() * 0.05 : 0
  const cutRate = random.unit() * 0.01
  pair.fate = ({ name, dataBytes }: Passing): Fate => {
    const drawn = random.unit()
    if (drawn < cutRate) return 'cut'
    if (drawn < cutRate + dropRate && name !== 'Text Request') return 'drop'
    return drawn < cutRate + dropRate + spoilRate && dataBytes > 0 ? 'spoil' : 'pass'
  }
  return pair
}

function ask(pair: SessionPair, random: Prng): Asked {
  const bytes = random.between(1, 20_000)
  const kind = (['read', 'write', 'both'] as const)[random.below(3)] as Asked['kind']
  const reads = kind !== 'write'
  const writes = kind !== 'read'
  const pending = pair.execute({
    cdb: fakeCdb(FakeOpcode[kind], writes ? bytes : 0, reads ? bytes : 0),
    replay: random.unit() < 0.5 ? 'safe' : 'never',
    ...(reads && { dataIn: new Uint8Array(bytes) }),
    ...(writes && { dataOut: [pattern(bytes, bytes)] }),
  })
  return { kind, bytes, pending }
}

/** What else a caller may do at any time. */
function meddle(pair: SessionPair, random: Prng, asked: readonly Asked[]): void {
  const one = asked[random.below(Math.max(1, asked.length))]
  const drawn = random.unit()
  if (drawn < 0.05 && one !== undefined) pair.session.abort(one.pending.request)
  else if (drawn < 0.08) pair.session.manage(5, 0, () => {})
  else if (drawn < 0.11) pair.session.addConnection()
  else if (drawn < 0.14) pair.session.removeConnection(random.between(1, 4))
  else if (drawn < 0.17) pair.session.declareSegment(random.between(512, 4096))
}

const expectedFailures: ReadonlySet<string> = new Set([
  'TASK_ABORTED',
  'TASK_LOST',
  'TASK_TIMEOUT',
  'DATA_LOST',
])

function check(pair: SessionPair, { kind, bytes, pending }: Asked): void {
  const { result, request } = pending
  assert.ok(result, 'a request has no result')
  if (result.kind === 'failed') {
    assert.ok(expectedFailures.has(result.code), `${result.code}: ${result.message}`)
    return
  }
  assert.equal(result.status, 0, Buffer.from(result.sense).toString('hex'))
  if (kind === 'write') return
  assert.equal(result.dataInBytes, bytes)
  assert.ok(Buffer.from(request.dataIn as Uint8Array).equals(pattern(bytes)), 'what was read is wrong')
}

test(`${SEEDS} sessions with faults of every kind: each request ends once, and with the right data`, () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Prng(seed)
    const pair = newPair(random)
    const asked: Asked[] = []
    try {
      for (let round = 0; round < ROUNDS; round++) {
        for (let count = random.below(6); count > 0; count--) asked.push(ask(pair, random))
        meddle(pair, random, asked)
        pair.target.hold = random.unit() < 0.3
        if (!pair.target.hold) pair.target.finishHeld()
        pair.advance(random.unit() < 0.2 ? random.below(5000) : random.below(50))
      }
      pair.fate = () => 'pass'
      pair.target.hold = false
      for (let tries = 0; tries < 200 && pair.session.tasks.size > 0; tries++) {
        pair.target.finishHeld()
        pair.advance(1000)
      }
      for (const one of asked) check(pair, one)
      for (const data of pair.target.written.values())
        assert.ok(Buffer.from(data).equals(pattern(data.length, data.length)), 'what was written is wrong')
      pair.finish()
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error })
    }
  }
})
