import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Pair } from '../session/negotiator.ts'
import { readTargets } from './discovered-target.ts'

const asked = { host: '192.0.2.9', port: 3260 }
const A: Pair = ['TargetName', 'iqn.2026-11.test:a']
const B: Pair = ['TargetName', 'IQN.2026-11.test:B']

test('Appendix C: portals are grouped by their tags, in the order of the answer', () => {
  const pairs: Pair[] = [
    A,
    ['TargetAddress', '192.0.2.1:3000,2'],
    ['TargetAddress', '[2001:db8::1],0x1'],
    ['TargetAddress', 'storage.example.com,2'],
    B,
    ['TargetAddress', '192.0.2.1'],
  ]
  assert.deepEqual(readTargets(pairs, asked), [
    {
      name: 'iqn.2026-11.test:a',
      portalGroups: [
        {
          tag: 2,
          portals: [
            { host: '192.0.2.1', port: 3000 },
            { host: 'storage.example.com', port: 3260 },
          ],
        },
        { tag: 1, portals: [{ host: '2001:db8::1', port: 3260 }] },
      ],
    },
    {
      name: 'iqn.2026-11.test:b',
      portalGroups: [{ tag: undefined, portals: [{ host: '192.0.2.1', port: 3260 }] }],
    },
  ])
})

test('Appendix C: a target without an address is where it was asked for', () => {
  assert.deepEqual(readTargets([A], asked), [
    { name: 'iqn.2026-11.test:a', portalGroups: [{ tag: undefined, portals: [asked] }] },
  ])
  assert.deepEqual(readTargets([], asked), [])
})

for (const [what, pairs, code] of [
  ['an address before the first target', [['TargetAddress', '192.0.2.1,1']], 'DISCOVERY_ANSWER_INVALID'],
  ['an address that is none', [A, ['TargetAddress', 'a:b:c,1']], 'DISCOVERY_ANSWER_INVALID'],
  ['a tag that is none', [A, ['TargetAddress', 'a,x']], 'DISCOVERY_ANSWER_INVALID'],
  ['a name that is none', [['TargetName', 'disk']], 'DISCOVERY_ANSWER_INVALID'],
  ['another key', [A, ['TargetAlias', 'x']], 'DISCOVERY_ANSWER_INVALID'],
  ['a refusal', [['SendTargets', 'Reject']], 'DISCOVERY_REFUSED'],
] as const) {
  test(`${what} in a list of targets is an error`, () => {
    assert.throws(() => readTargets(pairs, asked), { code })
  })
}
