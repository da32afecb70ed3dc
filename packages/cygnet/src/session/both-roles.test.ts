import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BothRoles, digestsOf } from './both-roles.test-helper.ts'
import { TARGET_NAME } from './target-role/fake-target.test-helper.ts'
import { defaultInitiatorLimits } from './initiator-role/initiator-limits.ts'
import { initiatorPreferences } from './initiator-role/initiator-preferences.ts'
import type { Pair } from './negotiator.ts'

const preferences = (header: 'CRC32C' | 'None', data: 'CRC32C' | 'None') =>
  initiatorPreferences(defaultInitiatorLimits, digestsOf([header], [data]))

const manyTargets = (count: number): Pair[] =>
  Array.from({ length: count }, (_, index): Pair[] => [
    ['TargetName', `${TARGET_NAME}-${index}`],
    ['TargetAddress', `192.0.2.${index % 250}:3260,${index % 3}`],
  ]).flat()

for (const chunk of [1, 2, 3, 47, 48, 49, 1000, Infinity]) {
  test(`a session from login to logout, ${chunk} bytes at a time`, () => {
    const both = new BothRoles({
      chunkBytes: () => chunk,
      login: { preferences: preferences('CRC32C', 'CRC32C') },
    }).run()
    assert.equal(both.lastEvent?.kind, 'logged-in')
    assert.deepEqual(both.initiator.sessionParameters, both.peer.session?.parameters)
    assert.equal(both.initiator.tsih, both.peer.session?.tsih)
    assert.ok(both.initiator.headerDigest && both.peer.headerDigest)
    const ping = both.initiator.ping(new Uint8Array(1001).fill(7))
    const text = both.initiator.text([['SendTargets', 'All']])
    both.run()
    assert.deepEqual(both.events.slice(-2), [
      { kind: 'pong', request: ping },
      { kind: 'text', request: text, pairs: both.target.targets },
    ])
    both.initiator.logOut()
    both.run()
    assert.equal(both.lastEvent?.kind, 'logged-out')
    assert.equal(both.initiator.state, 'closed')
    assert.deepEqual(both.target.closures, ['logout'])
    both.finish()
  })
}

describe('SendTargets', () => {
  test('an answer of many Text Responses is put together', () => {
    const both = new BothRoles({
      initiatorLimits: { maxRecvDataSegmentLength: 512 },
      login: { type: 'Discovery', targetName: '' },
    })
    both.target.targets = manyTargets(300)
    both.run()
    both.initiator.text([['SendTargets', 'All']])
    both.run()
    assert.deepEqual(both.eventsOf('text')[0]?.pairs, both.target.targets)
    both.finish()
  })

  test('two text requests are sent one after the other', () => {
    const both = new BothRoles({ initiatorLimits: { maxRecvDataSegmentLength: 512 } })
    both.target.targets = manyTargets(30)
    both.run()
    const first = both.initiator.text([['SendTargets', 'All']])
    const second = both.initiator.text([['SendTargets', '']])
    both.run()
    assert.deepEqual(
      both.eventsOf('text').map(({ request, pairs }) => [request, pairs.length]),
      [
        [first, 60],
        [second, 1],
      ],
    )
    both.finish()
  })
})
