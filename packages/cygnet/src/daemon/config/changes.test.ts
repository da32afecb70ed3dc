import assert from 'node:assert/strict'
import { test } from 'node:test'
import { laterOf, targetChange } from './changes.ts'
import { checkConfig } from './load.ts'
import type { DesiredState, TargetState } from './state.ts'

const A = 'iqn.2026-11.dev.example:a'

function stateOf(config: object): DesiredState {
  const { loaded, problems } = checkConfig(JSON.stringify(config), '/etc/cygnet.yaml', {})
  assert.ok(loaded, JSON.stringify(problems))
  return loaded.state
}

function targetOf(target: object): TargetState {
  const [state] = stateOf({ targets: { [A]: target } }).targets
  assert.ok(state)
  return state
}

const disk = (name: string, more: object = {}) => ({ file: `${name}.img`, size: '1G', ...more })

/** What becomes of a target: LUNs that go, that come, that it has then, and what has to wait. */
function change(before: object, after: object) {
  const { removed, added, later, state } = targetChange(targetOf(before), targetOf(after))
  return { removed, added: added.map(({ lun }) => lun), luns: state.luns.map(({ lun }) => lun), later, state }
}

const luns = (before: object, after: object) => {
  const { state: _, ...rest } = change({ luns: before }, { luns: after })
  return rest
}

test('LUNs come and go', () => {
  const both = { 0: disk('a'), 1: disk('b') }
  assert.deepEqual(luns(both, both), { removed: [], added: [], luns: [0, 1], later: [] })
  assert.deepEqual(luns({ 0: disk('a') }, both), { removed: [], added: [1], luns: [0, 1], later: [] })
  assert.deepEqual(luns(both, { 1: disk('b') }), { removed: [0], added: [], luns: [1], later: [] })
  const moved = { 0: disk('a'), 2: disk('b') }
  assert.deepEqual(luns(both, moved), { removed: [1], added: [2], luns: [0, 2], later: [] })
})

test('the same bytes, shown in another way, are made another unit', () => {
  for (const more of [
    { readOnly: true },
    { thin: false },
    { removable: true },
    { physicalBlockSize: 4096 },
  ]) {
    const renewed = luns({ 0: disk('a') }, { 0: disk('a', more) })
    assert.deepEqual(renewed, { removed: [0], added: [0], luns: [0], later: [] }, JSON.stringify(more))
  }
})

test('the size of a missing image says nothing of one that is there', () => {
  const bigger = luns({ 0: disk('a') }, { 0: disk('a', { size: '2G' }) })
  assert.deepEqual(bigger, { removed: [], added: [], luns: [0], later: [] })
})

test('other bytes, or other blocks, wait for the next start, and the LUN stays as it is', () => {
  const before = { 0: disk('a') }
  const wait = { removed: [], added: [], luns: [0], later: [`targets["${A}"].luns[0]`] }
  assert.deepEqual(luns(before, { 0: disk('b') }), wait)
  assert.deepEqual(luns(before, { 0: disk('a', { blockSize: 4096 }) }), wait)
  assert.deepEqual(luns(before, { 0: disk('a', { encrypted: true }) }), wait)
  assert.deepEqual(luns(before, { 0: { file: 'a.img', kind: 'cdrom' } }), wait)
  assert.deepEqual(luns({ 0: { memory: '1M' } }, { 0: { memory: '1M', removable: true } }), wait)
  assert.deepEqual(
    change({ luns: before }, { luns: { 0: disk('b') } }).state.luns,
    targetOf({ luns: before }).luns,
  )
})

test('alias, auth, access and the states of paths are what they are to be', () => {
  const after = {
    luns: { 0: disk('a') },
    alias: 'new',
    access: [{ addresses: ['10.0.0.0/8'] }],
    paths: { 1: 'standby' },
  }
  const { state, later } = change({ luns: { 0: disk('a') } }, after)
  assert.deepEqual([state, later], [targetOf(after), []])
})

test('a target that is to move, or to be removed, stays as it is until the next start', () => {
  const before = targetOf({ luns: { 0: disk('a') } })
  for (const fate of [{ moved: { to: '10.0.0.9:3260' } }, { removed: true }]) {
    const wanted = targetOf({ alias: 'new', ...fate })
    const later = Object.keys(fate).map((key) => `targets["${A}"].${key}`)
    assert.deepEqual(targetChange(before, wanted), { removed: [], added: [], state: before, later })
    assert.equal(targetChange(before, wanted).state, before)
    assert.equal(targetChange(wanted, before).state, wanted)
  }
})

test('portal groups of a target wait for the next start, with their paths', () => {
  const portals = [{ listen: '127.0.0.1:1' }, { listen: '127.0.0.1:2', group: 2 }]
  const target = (more: object): TargetState => {
    const [state] = stateOf({ portals, targets: { [A]: { luns: { 0: disk('a') }, ...more } } }).targets
    assert.ok(state)
    return state
  }
  const before = target({ groups: [1] })
  const { state, later } = targetChange(before, target({ groups: [1, 2], paths: { 1: 'standby' } }))
  assert.deepEqual([state, later], [before, [`targets["${A}"].groups`]])
})

test('what is of the whole server waits for the next start', () => {
  const targets = { [A]: { luns: { 0: disk('a') } } }
  const before = stateOf({ targets })
  assert.deepEqual(laterOf(before, stateOf({ targets })), [])
  const after = stateOf({
    portals: [{ listen: '127.0.0.1:9' }],
    discovery: { auth: { users: [{ user: 'u', secret: 'a secret of enough bytes' }] } },
    state: '/var/lib/cygnet',
    shards: 3,
    limits: { connections: 9 },
    log: { level: 'debug' },
    targets: { [`${A}b`]: targets[A] },
  })
  assert.deepEqual(laterOf(before, after), [
    'portals',
    'discovery',
    'state',
    'shards',
    'limits',
    'log',
    `targets["${A}b"]`,
    `targets["${A}"]`,
  ])
})
