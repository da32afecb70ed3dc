import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type KeyName, type KeySpec, keys } from './keys.ts'
import { Negotiator, type Pair, type Stage } from './negotiator.ts'
import { defaultTargetLimits } from './limits.ts'
import { targetPreferences } from './parameters.ts'

const preferences = {
  ...targetPreferences(defaultTargetLimits),
  AuthMethod: ['None'],
}

function newTarget(leading = true): Negotiator {
  return new Negotiator('target', preferences, leading)
}

/** What a target answers to these pairs; fails where it takes them for a violation. */
function answers(pairs: readonly Pair[], stage: Stage = 'operational', target = newTarget()): Pair[] {
  assert.deepEqual(target.receive(pairs, stage), undefined)
  return target.takeOutgoing()
}

const answer = (key: string, value: string): string | undefined => answers([[key, value]])[0]?.[1]

/** Why a target takes these pairs for a violation. */
function violation(pairs: readonly Pair[], stage: Stage = 'operational', target = newTarget()): string {
  const wrong = target.receive(pairs, stage)
  assert.ok(wrong, 'no violation')
  return `${wrong.key} ${wrong.reason}`
}

const entries = Object.entries(keys) as [KeyName, KeySpec][]
const negotiatedNumbers = entries.flatMap(([name, spec]) =>
  spec.type === 'numeric' && spec.result ? [{ name, spec }] : [],
)
const booleans = entries.flatMap(([name, spec]) => (spec.type === 'boolean' ? [{ name, spec }] : []))

/** §13: name, least, most, default, result function. */
const numbersOfTheRfc: readonly [KeyName, number, number, number, string | undefined][] = [
  ['MaxConnections', 1, 65535, 1, 'minimum'],
  ['MaxRecvDataSegmentLength', 512, 16777215, 8192, undefined],
  ['MaxBurstLength', 512, 16777215, 262144, 'minimum'],
  ['FirstBurstLength', 512, 16777215, 65536, 'minimum'],
  ['DefaultTime2Wait', 0, 3600, 2, 'maximum'],
  ['DefaultTime2Retain', 0, 3600, 20, 'minimum'],
  ['MaxOutstandingR2T', 1, 65535, 1, 'minimum'],
  ['ErrorRecoveryLevel', 0, 2, 0, 'minimum'],
  ['iSCSIProtocolLevel', 0, 31, 1, 'minimum'],
]

describe('§13 the key table', () => {
  for (const [name, minimum, maximum, byDefault, result] of numbersOfTheRfc) {
    test(`${name} has its bounds, default and result function`, () => {
      const spec: KeySpec = keys[name]
      assert.ok(spec.type === 'numeric')
      assert.deepEqual(
        [spec.minimum, spec.maximum, spec.default, spec.result],
        [minimum, maximum, byDefault, result],
      )
      assert.equal(newTarget().number(name), byDefault, 'in force before any negotiation')
    })
  }

  test('every negotiated number is in the list above', () => {
    const listed = new Set(numbersOfTheRfc.map(([name]) => name))
    for (const { name } of negotiatedNumbers) assert.ok(listed.has(name), name)
  })

  for (const [name, byDefault, result] of [
    ['InitialR2T', true, 'or'],
    ['ImmediateData', true, 'and'],
    ['DataPDUInOrder', true, 'or'],
    ['DataSequenceInOrder', true, 'or'],
  ] as const) {
    test(`${name} has its default and result function`, () => {
      const spec: KeySpec = keys[name]
      assert.ok(spec.type === 'boolean')
      assert.deepEqual([spec.default, spec.result], [byDefault, result])
    })
  }
})

describe('§6.2.2 numbers', () => {
  for (const { name, spec } of negotiatedNumbers) {
    test(`${name} at each bound is answered with an admissible value`, () => {
      for (const offered of [spec.minimum, spec.maximum]) {
        const selected = Number(answer(name, String(offered)))
        if (spec.result === 'minimum') assert.ok(selected <= offered, `${selected} for ${offered}`)
        else assert.ok(selected >= offered, `${selected} for ${offered}`)
        assert.ok(selected >= spec.minimum && selected <= spec.maximum)
      }
    })

    test(`${name} past its bounds, empty, or no number is answered with Reject and stays as it was`, () => {
      const tooMuch = [
        '',
        'Yes',
        '-1',
        '1.5',
        '007',
        '1~2',
        '0x',
        ` ${spec.minimum}`,
        String(spec.maximum + 1),
      ]
      const tooLittle = spec.minimum > 0 ? [String(spec.minimum - 1)] : []
      for (const value of [...tooMuch, ...tooLittle]) {
        const target = newTarget()
        assert.deepEqual(answers([[name, value]], 'operational', target), [[name, 'Reject']], value)
        assert.equal(target.number(name), spec.default)
        assert.equal(target.has(name), false)
      }
    })
  }

  test('a hexadecimal constant is a number', () => {
    assert.equal(answer('MaxBurstLength', '0x1000'), '4096')
    assert.equal(answer('MaxBurstLength', '0X1000'), '4096')
  })

  test('§13.12 MaxRecvDataSegmentLength is declared: there is no answer', () => {
    const target = newTarget()
    assert.deepEqual(answers([['MaxRecvDataSegmentLength', '4096']], 'operational', target), [])
    assert.equal(target.number('MaxRecvDataSegmentLength'), 4096)
  })

  test('§7.12 a declared value out of bounds fails the negotiation', () => {
    for (const value of ['511', '16777216', 'much']) {
      assert.match(
        violation([['MaxRecvDataSegmentLength', value]]),
        /^MaxRecvDataSegmentLength must be a number/,
      )
    }
  })
})

describe('§6.2.2 booleans', () => {
  for (const { name, spec } of booleans) {
    test(`${name} is decided by ${spec.result}`, () => {
      for (const offered of [true, false]) {
        const wanted = preferences[name] as boolean
        const expected = spec.result === 'or' ? offered || wanted : offered && wanted
        const target = newTarget()
        const sent = offered ? 'Yes' : 'No'
        assert.deepEqual(answers([[name, sent]], 'operational', target), [[name, expected ? 'Yes' : 'No']])
        assert.equal(target.boolean(name), expected)
      }
    })

    test(`${name} of another value is answered with Reject`, () => {
      for (const value of ['yes', 'YES', 'true', '1', '']) assert.equal(answer(name, value), 'Reject', value)
    })
  }
})

describe('§6.2.1 lists', () => {
  test('the first value that is supported is selected', () => {
    assert.equal(answer('HeaderDigest', 'None,CRC32C'), 'None')
    assert.equal(answer('HeaderDigest', 'CRC32C,None'), 'CRC32C')
    assert.equal(answer('DataDigest', 'X-com.example.sum,CRC32C'), 'CRC32C')
    assert.equal(answer('TaskReporting', 'RFC3720,ResponseFence,FastAbort'), 'RFC3720')
    assert.equal(answer('TaskReporting', 'FastAbort,ResponseFence,RFC3720'), 'FastAbort')
    assert.equal(answer('TaskReporting', 'X-com.example.none,ResponseFence'), 'ResponseFence')
  })

  test('None is selected only where it is proposed', () => {
    assert.equal(answer('HeaderDigest', 'X-com.example.sum'), 'Reject')
    assert.equal(answer('HeaderDigest', ''), 'Reject')
    assert.equal(answer('HeaderDigest', 'none'), 'Reject')
  })

  test('§12.1 an authentication method that is not allowed is answered with Reject', () => {
    assert.deepEqual(answers([['AuthMethod', 'CHAP']], 'security'), [['AuthMethod', 'Reject']])
    assert.deepEqual(answers([['AuthMethod', 'CHAP,None']], 'security'), [['AuthMethod', 'None']])
  })
})

describe('§6.2 constants and unknown keys', () => {
  test('a key that no standard defines is answered with NotUnderstood', () => {
    assert.equal(answer('X-com.example.answer', '42'), 'NotUnderstood')
    assert.equal(answer('NewPublicKey', 'Yes'), 'NotUnderstood')
  })

  test('a property of every object is no key', () => {
    for (const key of ['constructor', 'toString', '__proto__'])
      assert.equal(answer(key, '1'), 'NotUnderstood')
  })

  test('NotUnderstood for a key that we do not know is no reason to answer', () => {
    assert.deepEqual(answers([['X-com.example.answer', 'NotUnderstood']]), [])
  })

  for (const constant of ['Reject', 'Irrelevant', 'NotUnderstood']) {
    test(`${constant} as a proposal is a protocol error`, () => {
      assert.match(violation([['MaxBurstLength', constant]]), /was not proposed/)
      assert.match(violation([['InitiatorAlias', constant]]), /was not proposed/)
    })
  }

  for (const key of ['IFMarker', 'OFMarker', 'IFMarkInt', 'OFMarkInt']) {
    test(`§13.25 ${key} is answered with Reject`, () => {
      assert.equal(answer(key, 'No'), 'Reject')
    })
  }

  test('§13.26 X#NodeArchitecture is taken without an answer, up to 255 bytes', () => {
    assert.deepEqual(answers([['X#NodeArchitecture', 'a'.repeat(255)]]), [])
    assert.match(violation([['X#NodeArchitecture', 'a'.repeat(256)]]), /longer than 255/)
  })
})

describe('who may send what when', () => {
  for (const [name, spec] of entries) {
    if (spec.senders !== 'target') continue
    test(`§13 ${name} may not come from the initiator`, () => {
      assert.match(violation([[name, '1']]), /may not be sent by the initiator/)
    })
  }

  test('§6.3 an operational key in the security stage is a violation', () => {
    assert.match(violation([['MaxBurstLength', '512']], 'security'), /SecurityNegotiation/)
    assert.match(violation([['HeaderDigest', 'None']], 'security'), /SecurityNegotiation/)
    assert.match(violation([['AuthMethod', 'None']], 'operational'), /SecurityNegotiation/)
  })

  test('§13 Any-Stage keys may come in both stages', () => {
    for (const stage of ['security', 'operational'] as const) {
      const pairs: Pair[] = [
        ['InitiatorName', 'iqn.2026-11.test:a'],
        ['TargetName', 'iqn.2026-11.test:b'],
        ['InitiatorAlias', 'a'],
        ['SessionType', 'Normal'],
      ]
      assert.deepEqual(answers(pairs, stage), [])
    }
  })

  for (const [name, spec] of entries) {
    if (spec.use !== 'LO' || spec.senders === 'target') continue
    test(`§13 ${name} may be used by the leading login only`, () => {
      const value = spec.type === 'text' ? 'Normal' : '1'
      assert.match(violation([[name, value]], 'operational', newTarget(false)), /leading login/)
      assert.match(violation([[name, value]], 'fullFeature'), /only during login/)
    })
  }

  test('§13 digests may be negotiated by any login, never afterwards', () => {
    assert.deepEqual(answers([['DataDigest', 'None']], 'operational', newTarget(false)), [
      ['DataDigest', 'None'],
    ])
    assert.match(violation([['DataDigest', 'None']], 'fullFeature'), /only during login/)
  })

  test('§13.3 SendTargets may not be used during login', () => {
    assert.match(violation([['SendTargets', 'All']]), /only in the full feature phase/)
  })

  test('§13.21 SessionType is Normal or Discovery', () => {
    assert.match(violation([['SessionType', 'Other']]), /must be one of Normal, Discovery/)
  })

  test('§6.1 names are at most 223 bytes', () => {
    assert.deepEqual(answers([['InitiatorName', 'a'.repeat(223)]]), [])
    assert.match(violation([['InitiatorName', 'a'.repeat(224)]]), /longer than 223/)
    assert.match(violation([['TargetName', 'ä'.repeat(112)]]), /longer than 223/)
  })
})

describe('§6.3 once in a negotiation', () => {
  for (const [key, value] of [
    ['MaxBurstLength', '1024'],
    ['InitialR2T', 'Yes'],
    ['HeaderDigest', 'None'],
    ['MaxRecvDataSegmentLength', '1024'],
    ['InitiatorAlias', 'a'],
    ['X-com.example.answer', '42'],
    ['IFMarker', 'No'],
  ] as const) {
    test(`${key} twice is a violation, in one text or in two`, () => {
      assert.match(
        violation([
          [key, value],
          [key, value],
        ]),
        /only once/,
      )
      const target = newTarget()
      answers([[key, value]], 'operational', target)
      assert.match(violation([[key, value]], 'operational', target), /only once/)
    })
  }
})
