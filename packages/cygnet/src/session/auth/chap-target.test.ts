import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { type TestContext, test } from 'node:test'
import type { Pair } from '../negotiator.ts'
import type { AuthStep } from './authenticator.ts'
import { bytes, countingRandom, responseTo, sent, valueOf } from './chap.test-helper.ts'
import { RecentChallenges } from './chap-challenges.ts'
import { ChapTarget, type ChapTargetOptions } from './chap-target.ts'

const ALICE = bytes('the secret of alice')
const STORAGE = bytes('the secret of storage')
const users = new Map([
  ['alice', ALICE],
  ['0x616c696365', bytes('named like a number')],
  ['0bYWxpY2U=', bytes('named like base64')],
  ['weak', bytes('short')],
  ['twin', STORAGE],
])

const chap = (options: Partial<ChapTargetOptions> = {}): ChapTarget =>
  new ChapTarget({ findSecret: (user) => users.get(user), random: countingRandom(), ...options })

const mutual = { user: 'storage', secret: STORAGE }

/** Goes as far as the challenge, with MD5. */
function challenge(target: ChapTarget): readonly Pair[] {
  return sent(target.receive([['CHAP_A', '5']]))
}

/** The user's honest answer. */
const answer = (asked: readonly Pair[], user = 'alice', secret = users.get(user) ?? ALICE): Pair[] => [
  ['CHAP_N', user],
  ['CHAP_R', responseTo('md5', asked, secret)],
]

const ask = (value = `0x${'17'.repeat(16)}`): Pair[] => [
  ['CHAP_I', '77'],
  ['CHAP_C', value],
]

function assertFailed(step: AuthStep, reason: RegExp, fault?: string): void {
  assert.equal(step.kind, 'failed')
  assert.match(step.kind === 'failed' ? step.reason : '', reason)
  assert.equal(step.kind === 'failed' ? step.fault : '', fault)
}

test('a target has nothing to say first', () => {
  assert.deepEqual(chap().start(), [])
})

test('a challenge names the algorithm, an identifier and random bytes', () => {
  const asked = challenge(chap())
  assert.deepEqual(
    asked.map(([key]) => key),
    ['CHAP_A', 'CHAP_I', 'CHAP_C'],
  )
  assert.equal(valueOf(asked, 'CHAP_A'), '5')
  assert.ok(Number(valueOf(asked, 'CHAP_I')) <= 255)
  assert.match(valueOf(asked, 'CHAP_C'), /^0x[0-9a-f]{64}$/)
})

test('two exchanges never have the same challenge', () => {
  const random = countingRandom()
  assert.notEqual(
    valueOf(challenge(chap({ random })), 'CHAP_C'),
    valueOf(challenge(chap({ random })), 'CHAP_C'),
  )
})

const chosen = (offered: string, options: Partial<ChapTargetOptions> = {}): string =>
  valueOf(sent(chap(options).receive([['CHAP_A', offered]])), 'CHAP_A')

test('of the offered algorithms the strongest is chosen', () => {
  assert.equal(chosen('5,6,7,8'), '8')
  assert.equal(chosen('5,6,7'), '7')
  assert.equal(chosen('5,6'), '6')
  assert.equal(chosen('5'), '5')
})

test("a setting orders the target's algorithms, or leaves the order to the initiator", () => {
  assert.equal(chosen('8,7,6,5', { algorithms: ['SHA1', 'MD5'] }), '6')
  assert.equal(chosen('8,7,6,5', { algorithms: ['MD5', 'SHA3-256'] }), '5')
  assert.equal(chosen('99,6,5,8', { preference: 'initiator' }), '6')
  assert.equal(chosen('8,5,6', { preference: 'initiator', algorithms: ['SHA1', 'MD5'] }), '5')
})

test('numbers in hexadecimal and unknown algorithms may be offered', () => {
  assert.equal(chosen('0x7,5'), '7')
  assert.equal(chosen('1,200,4294967295,5'), '5')
})

test('where no offered algorithm is allowed, authentication fails', () => {
  assertFailed(chap().receive([['CHAP_A', '1,9']]), /none of the offered .* \(CHAP_A=1,9\)/)
  assertFailed(chap({ algorithms: ['SHA-256'] }).receive([['CHAP_A', '5,6']]), /none of the offered/)
  assertFailed(chap({ algorithms: [] }).receive([['CHAP_A', '5,6,7,8']]), /none of the offered/)
})

test('the right response proves the user', () => {
  for (const [number, hash] of [
    ['5', 'md5'],
    ['6', 'sha1'],
    ['7', 'sha256'],
    ['8', 'sha3-256'],
  ] as const) {
    const target = chap()
    const asked = sent(target.receive([['CHAP_A', number]]))
    const step = target.receive([
      ['CHAP_N', 'alice'],
      ['CHAP_R', responseTo(hash, asked, ALICE)],
    ])
    assert.deepEqual(step, { kind: 'done', send: [], user: 'alice' })
  }
})

test('keys of one request may be in any order', () => {
  const target = chap({ mutual })
  const step = target.receive([...ask(), ...answer(challenge(target))].toReversed())
  assert.equal(step.kind, 'done')
})

for (const user of ['0x616c696365', '0bYWxpY2U='])
  test(`the user ${user} is taken literally`, () => {
    const target = chap()
    assert.deepEqual(target.receive(answer(challenge(target), user)), { kind: 'done', send: [], user })
  })

test('a response may be in base64 and in upper-case hexadecimal', () => {
  for (const recode of [
    (hex: string) => `0b${Buffer.from(hex.slice(2), 'hex').toString('base64')}`,
    (hex: string) => `0X${hex.slice(2).toUpperCase()}`,
  ]) {
    const target = chap()
    const [name, response] = answer(challenge(target)) as [Pair, Pair]
    assert.equal(target.receive([name, ['CHAP_R', recode(response[1])]]).kind, 'done')
  }
})

test('an initiator that asks gets the proof of the target', () => {
  for (const value of ['0x01', `0x${'ab'.repeat(1024)}`, `0b${Buffer.alloc(1024, 7).toString('base64')}`]) {
    const target = chap({ mutual })
    const step = target.receive([...answer(challenge(target)), ...ask(value)])
    assert.equal(step.kind, 'done')
    const binary = value.startsWith('0x')
      ? value
      : `0x${Buffer.from(value.slice(2), 'base64').toString('hex')}`
    assert.deepEqual(sent(step), [
      ['CHAP_N', 'storage'],
      ['CHAP_R', responseTo('md5', ask(binary), STORAGE)],
    ])
  }
})

test('where mutual authentication is required, an initiator that does not ask fails', () => {
  const target = chap({ mutual, requireMutual: true })
  assertFailed(target.receive(answer(challenge(target))), /did not ask/)
})

test('an initiator that asks a target without credentials fails', () => {
  const target = chap()
  assertFailed(target.receive([...answer(challenge(target)), ...ask()]), /no credentials/)
})

test('a wrong secret, a wrong user and a response of another length fail without a fault of the protocol', () => {
  const wrong = chap()
  assertFailed(wrong.receive(answer(challenge(wrong), 'alice', bytes('another secret'))), /right secret/)
  const unknown = chap()
  assertFailed(unknown.receive(answer(challenge(unknown), 'bob')), /no CHAP user "bob"/)
  const short = chap()
  challenge(short)
  const step = short.receive([
    ['CHAP_N', 'alice'],
    ['CHAP_R', '0x00'],
  ])
  assertFailed(step, /right secret/)
})

test("another challenge's response does not count", () => {
  const target = chap()
  challenge(target)
  const other = challenge(chap({ random: countingRandom(1) }))
  assertFailed(target.receive(answer(other)), /right secret/)
})

test('a secret below 96 bits counts only where that is allowed', () => {
  const strict = chap()
  assertFailed(strict.receive(answer(challenge(strict), 'weak')), /has 5 bytes/)
  const lax = chap({ allowShortSecrets: true })
  assert.equal(lax.receive(answer(challenge(lax), 'weak')).kind, 'done')
  const own = chap({ mutual: { user: 'storage', secret: bytes('short') } })
  assertFailed(own.receive([...answer(challenge(own)), ...ask()]), /has 5 bytes/)
})

test("a user that has the target's own secret fails, whether it asks back or not", () => {
  for (const more of [[], ask()]) {
    const target = chap({ mutual })
    assertFailed(target.receive([...answer(challenge(target), 'twin'), ...more]), /target's own secret/)
  }
})

test('a challenge that the target issued is refused when it comes back, on the same connection', () => {
  const target = chap({ mutual })
  const asked = challenge(target)
  assertFailed(target.receive([...answer(asked), ...ask(valueOf(asked, 'CHAP_C'))]), /reflection/)
})

test('a challenge that the target issued is refused when it comes back, on another connection', () => {
  const challenges = new RecentChallenges()
  const random = countingRandom()
  const first = challenge(chap({ mutual, challenges, random }))
  const target = chap({ mutual, challenges, random })
  const asked = challenge(target)
  assertFailed(target.receive([...answer(asked), ...ask(valueOf(first, 'CHAP_C'))]), /reflection/)
})

const badOffers: readonly (readonly [what: string, pairs: readonly Pair[], fault: string, reason: RegExp])[] =
  [
    ['nothing', [], 'missingParameter', /CHAP_A is missing/],
    ['no number', [['CHAP_A', 'MD5']], 'initiatorError', /CHAP_A must be numbers/],
    ['an empty list', [['CHAP_A', '']], 'initiatorError', /CHAP_A must be/],
    ['an empty item', [['CHAP_A', '5,,7']], 'initiatorError', /CHAP_A must be/],
    ['a space', [['CHAP_A', '5, 7']], 'initiatorError', /CHAP_A must be/],
    [
      'a key twice',
      [
        ['CHAP_A', '5'],
        ['CHAP_A', '5'],
      ],
      'initiatorError',
      /came twice/,
    ],
    [
      'a response too early',
      [
        ['CHAP_A', '5'],
        ['CHAP_R', '0x00'],
      ],
      'initiatorError',
      /CHAP_R is not expected/,
    ],
    ['only a name', [['CHAP_N', 'alice']], 'initiatorError', /CHAP_N is not expected/],
    [
      'a key of another method',
      [
        ['CHAP_A', '5'],
        ['SRP_U', 'alice'],
      ],
      'initiatorError',
      /SRP_U is not expected/,
    ],
  ]
for (const [what, pairs, fault, reason] of badOffers)
  test(`offering algorithms with ${what} is a fault`, () => {
    const target = chap()
    assertFailed(target.receive(pairs), reason, fault)
    assertFailed(target.receive([['CHAP_A', '5']]), /after the end/, 'initiatorError')
  })

const N: Pair = ['CHAP_N', 'alice']
const R: Pair = ['CHAP_R', `0x${'00'.repeat(16)}`]
const [I, C] = ask() as [Pair, Pair]
const badAnswers: readonly (readonly [
  what: string,
  pairs: readonly Pair[],
  fault: string,
  reason: RegExp,
])[] = [
  ['nothing', [], 'missingParameter', /CHAP_N is missing/],
  ['no response', [N], 'missingParameter', /CHAP_R is missing/],
  ['no response and a challenge', [N, I, C], 'missingParameter', /CHAP_R is missing/],
  ['no name', [R], 'missingParameter', /CHAP_N is missing/],
  ['a challenge without an identifier', [N, R, C], 'missingParameter', /one is missing/],
  ['an identifier without a challenge', [N, R, I], 'missingParameter', /one is missing/],
  ['an empty name', [['CHAP_N', ''], R], 'initiatorError', /CHAP_N must be a name of 1 to 255/],
  ['a name of 256 bytes', [['CHAP_N', 'ü'.repeat(128)], R], 'initiatorError', /CHAP_N must be/],
  ['a response that is not binary', [N, ['CHAP_R', 'secret']], 'initiatorError', /CHAP_R must be/],
  ['a decimal response', [N, ['CHAP_R', '12345']], 'initiatorError', /CHAP_R must be/],
  ['an empty response', [N, ['CHAP_R', '0x']], 'initiatorError', /CHAP_R must be/],
  ['a response of 1025 bytes', [N, ['CHAP_R', `0x${'00'.repeat(1025)}`]], 'initiatorError', /CHAP_R must be/],
  [
    'a challenge of 1025 bytes',
    [N, R, I, ['CHAP_C', `0x${'00'.repeat(1025)}`]],
    'initiatorError',
    /CHAP_C must/,
  ],
  ['an empty challenge', [N, R, I, ['CHAP_C', '0b']], 'initiatorError', /CHAP_C must be 1 to 1024/],
  ['broken base64', [N, R, I, ['CHAP_C', '0bAAA']], 'initiatorError', /CHAP_C must be/],
  ['identifier 256', [N, R, ['CHAP_I', '256'], C], 'initiatorError', /CHAP_I must be a number from 0 to 255/],
  ['a negative identifier', [N, R, ['CHAP_I', '-1'], C], 'initiatorError', /CHAP_I must be/],
  ['a name twice', [N, R, N], 'initiatorError', /CHAP_N came twice/],
  ['algorithms again', [N, R, ['CHAP_A', '5']], 'initiatorError', /CHAP_A is not expected/],
  ['an unknown key', [N, R, ['CHAP_X', '5']], 'initiatorError', /CHAP_X is not expected/],
]
for (const [what, pairs, fault, reason] of badAnswers)
  test(`answering a challenge with ${what} is a fault`, () => {
    const target = chap({ mutual })
    const asked = challenge(target)
    assertFailed(target.receive(pairs), reason, fault)
    assertFailed(target.receive(answer(asked)), /after the end/, 'initiatorError')
  })

test('after success, nothing more is taken', () => {
  const target = chap()
  const asked = challenge(target)
  assert.equal(target.receive(answer(asked)).kind, 'done')
  assertFailed(target.receive(answer(asked)), /after the end/, 'initiatorError')
})

test('the log shows a long name cut short, with control characters escaped', () => {
  const target = chap()
  const step = target.receive(answer(challenge(target), `\n${'x'.repeat(200)}`, ALICE))
  assertFailed(step, /^there is no CHAP user "\\nx{63}…"$/)
})

/** How often the hash and the comparison run while `act` does. */
function work(t: TestContext, act: () => void): readonly number[] {
  const counted = [t.mock.method(crypto, 'createHash'), t.mock.method(crypto, 'timingSafeEqual')]
  syncBuiltinESMExports()
  act()
  const counts = counted.map(({ mock }) => mock.callCount())
  for (const { mock } of counted) mock.restore()
  syncBuiltinESMExports()
  return counts
}

test('an unknown user costs the work of a wrong secret, comparison in constant time, and looks alike', (t) => {
  const attempt = (user: string): readonly number[] => {
    const target = chap({ mutual })
    const response = answer(challenge(target), user, bytes('a wrong secret'))
    return work(t, () => {
      const step = target.receive([...response, ...ask()])
      assert.equal(step.kind, 'failed')
      assert.deepEqual(Object.keys(step), ['kind', 'reason'])
    })
  }
  assert.deepEqual(attempt('alice'), [2, 2])
  assert.deepEqual(attempt('nobody'), [2, 2])
  assert.deepEqual(attempt('weak'), [2, 2])
})
