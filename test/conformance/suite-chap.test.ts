/** libiscsi's family iSCSICHAP: what an initiator may write in CHAP's keys, and what it may not (RFC 7143 §6.1, §12.1.3). */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { RawInitiator } from '../support/raw-initiator.ts'
import { chapHash, identity, type Pairs, RawLogin, Stage, statusOf } from '../support/raw-login.ts'
import { Scratch } from '../support/scratch.ts'
import { startSuiteTarget, TARGET } from './suite.test-helper.ts'

const USER = 'host1'
const SECRET = 'one-host-secret'
/** Names that look like numbers and binary values, and what these would stand for. */
const HEX_NAME = '0x686f737431'
const BASE64_NAME = '0baG9zdDE='
const MUTUAL = { user: 'suite', secret: 'the-target-secret' }
const AUTHENTICATION_FAILURE = '0201'
const INITIATOR_ERROR = '0200'

const scratch = new Scratch()
const { port } = await startSuiteTarget(
  scratch,
  { 0: { memory: '1M' } },
  {
    target: {
      auth: {
        users: [
          { user: USER, secret: SECRET },
          { user: HEX_NAME, secret: 'secret-of-hex' },
          { user: BASE64_NAME, secret: 'secret-of-base64' },
        ],
        mutual: MUTUAL,
      },
    },
    // Wrong answers are what this file is about.
    limits: { authFailureBackoff: { freeFailures: 1000 } },
  },
)

interface Attempt {
  /** CHAP_A. */
  readonly algorithms?: string
  readonly user?: string
  readonly secret?: string
  /** CHAP_R of the right response. */
  readonly encode?: (response: Buffer) => string
  /** Which algorithm answers, where it is not the one asked for. */
  readonly answerWith?: string
  /** Keys after name and response. */
  readonly more?: Pairs
}

interface Outcome {
  readonly status: string
  /** Keys of the challenge. */
  readonly asked: ReadonlyMap<string, string>
  /** Keys of the last response. */
  readonly proof: ReadonlyMap<string, string>
}

const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString('hex')}`
const base64 = (bytes: Uint8Array): string => `0b${Buffer.from(bytes).toString('base64')}`

/** A login by CHAP, step by step. It ends where the target refuses, which then ends the connection as well. */
async function attempt(how: Attempt = {}): Promise<Outcome> {
  const { algorithms = '5', user = USER, secret = SECRET, encode = hex, answerWith, more = [] } = how
  const initiator = await RawInitiator.connect(port)
  try {
    const login = new RawLogin(initiator)
    const at = { stage: Stage.security }
    const offered = await login.request([...identity(TARGET), ['AuthMethod', 'CHAP']], at)
    assert.deepEqual([statusOf(offered), offered.text.get('AuthMethod')], ['0000', 'CHAP'])
    const challenge = await login.request([['CHAP_A', algorithms]], at)
    const asked = challenge.text
    let last = challenge
    if (statusOf(challenge) === '0000') {
      const bytes = Buffer.from((asked.get('CHAP_C') ?? '').slice(2), 'hex')
      const algorithm = answerWith ?? asked.get('CHAP_A') ?? ''
      const response = chapHash(algorithm, Number(asked.get('CHAP_I')), secret, bytes)
      const proof = encode(Buffer.from(response.slice(2), 'hex'))
      const keys: Pairs = [['CHAP_N', user], ['CHAP_R', proof], ...more]
      last = await login.request(keys, { ...at, next: Stage.fullFeature })
    }
    const status = statusOf(last)
    if (status !== '0000') assert.ok(await initiator.closesWithin(2000), 'the connection stays')
    return { status, asked, proof: last.text }
  } finally {
    initiator.close()
  }
}

const statusAfter = async (how: Attempt): Promise<string> => (await attempt(how)).status

test.after(() => scratch.end())

describe('§12.1.3 CHAP_A', () => {
  test('of many algorithms one is chosen, whose response logs in', async () => {
    const { status, asked } = await attempt({ algorithms: '5,6,7,8' })
    assert.equal(status, '0000')
    assert.ok(['5', '6', '7', '8'].includes(asked.get('CHAP_A') ?? ''))
  })

  for (const [algorithm, name] of [
    ['5', 'MD5'],
    ['6', 'SHA1'],
    ['7', 'SHA-256'],
    ['8', 'SHA3-256'],
  ] as const) {
    test(`${name} alone is chosen, and its response logs in, another's does not`, async () => {
      const { status, asked } = await attempt({ algorithms: algorithm })
      assert.deepEqual([status, asked.get('CHAP_A')], ['0000', algorithm])
      const answerWith = algorithm === '5' ? '7' : '5'
      assert.equal(await statusAfter({ algorithms: algorithm, answerWith }), AUTHENTICATION_FAILURE)
    })
  }

  test('what is unknown in the list is passed over', async () => {
    for (const algorithms of ['56,5', '5,56', '9,4,5,255', '0x5', '0x38,0x05']) {
      const { status, asked } = await attempt({ algorithms })
      assert.deepEqual([status, asked.get('CHAP_A')], ['0000', '5'], algorithms)
    }
  })

  for (const algorithms of ['56', '55', '15', '4', '9', '50,60,70']) {
    test(`${algorithms} is none that there is`, async () => {
      assert.equal(await statusAfter({ algorithms }), AUTHENTICATION_FAILURE)
    })
  }

  for (const algorithms of ['', ',', '5,', ' 5', '5 ', 'MD5', '5;6', '-5', '5.0', '0b05']) {
    test(`"${algorithms}" is no list of numbers`, async () => {
      assert.equal(await statusAfter({ algorithms }), INITIATOR_ERROR)
    })
  }
})

describe('§6.1 CHAP_R is a binary value', () => {
  const forms: Readonly<Record<string, (response: Buffer) => string>> = {
    'in hexadecimal': hex,
    'in hexadecimal with capitals': (response) => `0X${response.toString('hex').toUpperCase()}`,
    'in base64': base64,
    'in base64 with a capital B': (response) => base64(response).replace('0b', '0B'),
  }
  for (const [form, encode] of Object.entries(forms)) {
    test(`${form} it logs in, with every algorithm`, async () => {
      for (const algorithms of ['5', '6', '7', '8']) {
        assert.equal(await statusAfter({ algorithms, encode }), '0000', algorithms)
      }
    })
  }

  const tooMuch: Readonly<Record<string, (response: Buffer) => string>> = {
    'one byte more than the response': (response) => base64(Buffer.concat([response, Buffer.alloc(1)])),
    'one byte less': (response) => base64(response.subarray(1)),
    'twice the response': (response) => base64(Buffer.concat([response, response])),
    '1024 bytes': () => base64(randomBytes(1024)),
  }
  for (const [what, encode] of Object.entries(tooMuch)) {
    test(`${what} in base64 proves nothing`, async () => {
      assert.equal(await statusAfter({ encode }), AUTHENTICATION_FAILURE)
    })
  }

  const malformed: Readonly<Record<string, string>> = {
    '1025 bytes': base64(randomBytes(1025)),
    '5 KiB': base64(randomBytes(5 * 1024)),
    'a prefix alone': '0b',
    'other characters': '0b!!!!',
    'base64 that is cut': '0bQUJD=',
    'no prefix': randomBytes(16).toString('hex'),
    'a decimal number': '1234567890',
  }
  for (const [what, value] of Object.entries(malformed)) {
    test(`${what} is no binary value that CHAP has`, async () => {
      assert.equal(await statusAfter({ encode: () => value }), INITIATOR_ERROR)
      assert.equal(await statusAfter({}), '0000', 'the target lives')
    })
  }
})

describe('§12.1.3 CHAP_N is a text', () => {
  const names: Readonly<Record<string, { name: string; secret: string }>> = {
    'a hexadecimal prefix': { name: HEX_NAME, secret: 'secret-of-hex' },
    'a base64 prefix': { name: BASE64_NAME, secret: 'secret-of-base64' },
  }
  for (const [what, { name, secret }] of Object.entries(names)) {
    test(`a name with ${what} is that name, and none that it could stand for`, async () => {
      assert.equal(await statusAfter({ user: name, secret }), '0000')
      assert.equal(await statusAfter({ user: name, secret: SECRET }), AUTHENTICATION_FAILURE)
      assert.equal(await statusAfter({ user: USER, secret }), AUTHENTICATION_FAILURE)
      assert.equal(await statusAfter({ user: name.slice(2), secret }), AUTHENTICATION_FAILURE)
    })
  }

  test('a wrong secret and a wrong name are refused alike', async () => {
    assert.equal(await statusAfter({ secret: 'one-host-secre7' }), AUTHENTICATION_FAILURE)
    assert.equal(await statusAfter({ user: 'host2' }), AUTHENTICATION_FAILURE)
    assert.equal(await statusAfter({ user: 'HOST1' }), AUTHENTICATION_FAILURE)
  })
})

describe('§12.1.3 mutual CHAP', () => {
  const challenge = randomBytes(24)
  const ask = (identifier: string, encoded = hex(challenge)): Attempt => ({
    algorithms: '7',
    more: [
      ['CHAP_I', identifier],
      ['CHAP_C', encoded],
    ],
  })
  const proof = (identifier: number): string => chapHash('7', identifier, MUTUAL.secret, challenge)

  for (const [identifier, number] of [
    ['77', 77],
    ['0x4d', 77],
    ['0X4D', 77],
    ['0x0', 0],
    ['255', 255],
    ['0xff', 255],
  ] as const) {
    test(`CHAP_I=${identifier} is the number ${number} in the target's proof`, async () => {
      const outcome = await attempt(ask(identifier))
      assert.equal(outcome.status, '0000')
      assert.equal(outcome.proof.get('CHAP_N'), MUTUAL.user)
      assert.equal(outcome.proof.get('CHAP_R'), proof(number))
    })
  }

  for (const identifier of ['256', '0x100', '-1', '', '0bTQ==', 'M', '4d']) {
    test(`CHAP_I="${identifier}" is no identifier`, async () => {
      assert.equal(await statusAfter(ask(identifier)), INITIATOR_ERROR)
    })
  }

  test('a challenge in base64 is proven like one in hexadecimal', async () => {
    const outcome = await attempt(ask('77', base64(challenge)))
    assert.deepEqual([outcome.status, outcome.proof.get('CHAP_R')], ['0000', proof(77)])
  })

  test('a challenge of more than 1024 bytes is not answered, however it is written', async () => {
    for (const encode of [hex, base64]) {
      const { status, proof: keys } = await attempt(ask('77', encode(randomBytes(1025))))
      assert.deepEqual([status, keys.size], [INITIATOR_ERROR, 0])
    }
  })
})
