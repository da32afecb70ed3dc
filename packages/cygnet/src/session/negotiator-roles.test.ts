import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type KeyName, type KeySpec, keys } from './keys.ts'
import { Negotiator, type Pair, type Preferences } from './negotiator.ts'
import { defaultTargetLimits } from './limits.ts'
import { sessionParameters, targetPreferences } from './parameters.ts'

const preferences = {
  ...targetPreferences(defaultTargetLimits),
  AuthMethod: ['None'],
}
const newTarget = (more: Preferences = {}): Negotiator =>
  new Negotiator('target', { ...preferences, ...more }, true)

const receive = (target: Negotiator, ...pairs: Pair[]): void =>
  assert.deepEqual(target.receive(pairs, 'operational'), undefined)

describe('§13 discovery sessions', () => {
  test('keys that are irrelevant in a discovery session are answered so', () => {
    const entries = Object.entries(keys) as [KeyName, KeySpec][]
    const irrelevant = entries.filter(([, spec]) => spec.irrelevantInDiscovery).map(([name]) => name)
    assert.deepEqual(irrelevant.toSorted(), [
      'DataPDUInOrder',
      'DataSequenceInOrder',
      'FirstBurstLength',
      'ImmediateData',
      'InitialR2T',
      'MaxBurstLength',
      'MaxConnections',
      'MaxOutstandingR2T',
      'TaskReporting',
      'iSCSIProtocolLevel',
    ])
    for (const name of irrelevant) {
      const target = newTarget()
      // SessionType counts wherever in the text it stands.
      receive(target, [name, '1'], ['SessionType', 'Discovery'])
      assert.deepEqual(target.takeOutgoing(), [[name, 'Irrelevant']])
      assert.equal(target.has(name), false)
    }
  })

  test('§7.4.1 the error recovery level of a discovery session is 0', () => {
    const target = newTarget({ ErrorRecoveryLevel: 2 })
    receive(target, ['SessionType', 'Discovery'], ['ErrorRecoveryLevel', '2'])
    assert.deepEqual(target.takeOutgoing(), [['ErrorRecoveryLevel', '0']])
  })
})

describe('§6.2 proposals of the target', () => {
  test('what the default cannot be is proposed, and nothing else', () => {
    const target = newTarget({ MaxBurstLength: 4096, ImmediateData: false, HeaderDigest: ['CRC32C'] })
    assert.ok(target.proposeUnacceptable())
    assert.deepEqual(target.takeOutgoing(), [
      ['HeaderDigest', 'CRC32C'],
      ['ImmediateData', 'No'],
      ['MaxBurstLength', '4096'],
    ])
    assert.equal(newTarget().proposeUnacceptable(), false)
  })

  test('what the initiator has negotiated is not proposed again', () => {
    const target = newTarget({ MaxBurstLength: 100_000 })
    receive(target, ['MaxBurstLength', '131072'])
    assert.equal(target.proposeUnacceptable(), false)
    assert.equal(target.number('MaxBurstLength'), 100_000)
  })

  test('§13.14 a FirstBurstLength that nobody named is proposed where its default exceeds MaxBurstLength', () => {
    const target = newTarget()
    receive(target, ['MaxBurstLength', '8192'])
    assert.equal(target.proposeUnacceptable(), true)
    assert.deepEqual(target.takeOutgoing().at(-1), ['FirstBurstLength', '8192'])
    receive(target, ['FirstBurstLength', '4096'])
    assert.equal(target.number('FirstBurstLength'), 4096)
    assert.equal(target.checkIntegrity(), undefined)
  })

  test('a rejected proposal leaves a default that this side cannot live with, and says so', () => {
    const target = newTarget({ MaxBurstLength: 100_000 })
    target.proposeUnacceptable()
    assert.deepEqual(target.rejected(), [])
    receive(target, ['MaxBurstLength', 'Reject'])
    assert.deepEqual(target.rejected(), ['MaxBurstLength'])
  })

  test('an admissible answer becomes the value', () => {
    const target = newTarget({ MaxBurstLength: 4096 })
    target.proposeUnacceptable()
    assert.deepEqual(target.unanswered, ['MaxBurstLength'])
    receive(target, ['MaxBurstLength', '2048'])
    assert.deepEqual(target.unanswered, [])
    assert.equal(target.number('MaxBurstLength'), 2048)
  })

  for (const [name, preference, value] of [
    ['MaxBurstLength', 4096, '4097'],
    ['MaxBurstLength', 4096, 'No'],
    ['DefaultTime2Wait', 10, '9'],
    ['ImmediateData', false, 'Yes'],
    ['ImmediateData', false, 'Maybe'],
    ['HeaderDigest', ['CRC32C'], 'None'],
    ['MaxBurstLength', 4096, 'NotUnderstood'],
  ] as const) {
    test(`§6.2.2 ${name}=${String(preference)} answered with ${value} is a protocol error`, () => {
      const target = newTarget({ [name]: preference })
      target.proposeUnacceptable()
      assert.equal(target.receive([[name, value]], 'operational')?.key, name)
    })
  }

  for (const refusal of ['Reject', 'Irrelevant']) {
    test(`§6.2 after ${refusal} the value stays as it was`, () => {
      const target = newTarget({ MaxBurstLength: 4096 })
      target.proposeUnacceptable()
      receive(target, ['MaxBurstLength', refusal])
      assert.deepEqual(target.unanswered, [])
      assert.equal(target.number('MaxBurstLength'), 262144)
    })
  }

  test('§6.2.2 a boolean that decides the result needs no answer, and is the result', () => {
    const target = newTarget({ ImmediateData: false })
    target.proposeUnacceptable()
    assert.deepEqual(target.unanswered, [])
    target.commit(true)
    assert.equal(target.boolean('ImmediateData'), false)
  })

  test('an answered key may not be answered again', () => {
    const target = newTarget({ MaxBurstLength: 4096 })
    target.proposeUnacceptable()
    receive(target, ['MaxBurstLength', '2048'])
    assert.match(target.receive([['MaxBurstLength', '1024']], 'operational')?.reason ?? '', /only once/)
  })
})

describe('§6.2 negotiations are atomic', () => {
  test('a failed negotiation leaves every value as it was, and its keys may be used again', () => {
    const target = newTarget()
    receive(target, ['MaxRecvDataSegmentLength', '4096'], ['MaxBurstLength', '8192'])
    target.commit(true)
    receive(target, ['MaxRecvDataSegmentLength', '1024'], ['MaxBurstLength', '2048'])
    target.rollback()
    assert.deepEqual(target.takeOutgoing(), [])
    assert.equal(target.number('MaxRecvDataSegmentLength'), 4096)
    assert.equal(target.number('MaxBurstLength'), 8192)
    receive(target, ['MaxRecvDataSegmentLength', '2048'])
  })
})

describe('integrity of the values with each other', () => {
  test('§13.14 FirstBurstLength is answered with no more than MaxBurstLength, wherever it stands', () => {
    const target = newTarget()
    receive(target, ['FirstBurstLength', '8192'], ['MaxBurstLength', '4096'])
    assert.equal(new Map(target.takeOutgoing()).get('FirstBurstLength'), '4096')
    assert.equal(target.checkIntegrity(), undefined)
  })

  test('§13.14 FirstBurstLength beyond a MaxBurstLength that came later fails the negotiation', () => {
    const target = newTarget()
    receive(target, ['FirstBurstLength', '8192'])
    receive(target, ['MaxBurstLength', '4096'])
    assert.equal(target.checkIntegrity()?.key, 'FirstBurstLength')
  })

  test('§13.14 the rule does not matter where nothing is sent unsolicited', () => {
    const target = newTarget()
    receive(target, ['InitialR2T', 'Yes'], ['ImmediateData', 'No'], ['FirstBurstLength', '8192'])
    receive(target, ['MaxBurstLength', '4096'])
    assert.equal(target.checkIntegrity(), undefined)
  })

  test('§13.19 error recovery with sequences in order allows one outstanding R2T', () => {
    const target = newTarget({ ErrorRecoveryLevel: 2, MaxOutstandingR2T: 8 })
    receive(target, ['MaxOutstandingR2T', '4'], ['ErrorRecoveryLevel', '1'])
    assert.deepEqual(target.takeOutgoing(), [
      ['ErrorRecoveryLevel', '1'],
      ['MaxOutstandingR2T', '1'],
    ])
    assert.equal(target.checkIntegrity(), undefined)
  })

  test('§13.19 several outstanding R2Ts that were agreed on first leave no error recovery', () => {
    const target = newTarget({ ErrorRecoveryLevel: 2, MaxOutstandingR2T: 8 })
    receive(target, ['MaxOutstandingR2T', '4'])
    receive(target, ['ErrorRecoveryLevel', '1'])
    assert.equal(target.number('ErrorRecoveryLevel'), 0)
  })

  test('the parameters of a session where nothing was negotiated are the defaults', () => {
    assert.deepEqual(sessionParameters(newTarget()), {
      maxConnections: 1,
      initialR2T: true,
      immediateData: true,
      maxBurstLength: 262144,
      firstBurstLength: 65536,
      maxOutstandingR2T: 1,
      errorRecoveryLevel: 0,
      defaultTime2Wait: 2,
      defaultTime2Retain: 20,
      taskReporting: 'RFC3720',
      iSCSIProtocolLevel: 1,
    })
  })
})
