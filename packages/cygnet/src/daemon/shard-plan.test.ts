import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { defaultTraits, type LunState, type TargetState } from './config/state.ts'
import { parseShards, planShards, shardsWanted } from './shard-plan.ts'

/** A target with a LUN for each file; one that is empty is a disk in memory. */
function target(name: string, files: readonly string[], more: Partial<TargetState> = {}): TargetState {
  const luns = files.map((path, lun): LunState => {
    const medium =
      path === ''
        ? ({ kind: 'memory', sizeBytes: 1024 } as const)
        : ({ kind: 'file', path, createSizeBytes: null } as const)
    return { lun, medium, kind: 'disk', blockSizeBytes: 512, readOnly: false, traits: defaultTraits }
  })
  return {
    name,
    alias: '',
    groups: [1],
    paths: ['optimized'],
    luns,
    auth: null,
    access: [],
    moved: null,
    removed: false,
    ...more,
  }
}

const names = (targets: readonly TargetState[], most: number): string[] =>
  planShards(targets, most).map((shard) => shard.map(({ name }) => name).join(' '))

test('shards get about the same number of LUNs, whatever the order of the targets', () => {
  const targets = [
    target('a', ['', '']),
    target('b', ['', '', '', '']),
    target('c', ['']),
    target('d', ['']),
    target('e', ['', '']),
  ]
  assert.deepEqual(names(targets, 2), ['b c', 'a d e'])
  assert.deepEqual(names(targets, 3), ['b', 'a c', 'd e'])
  assert.deepEqual(names(targets, 1), ['a b c d e'])
})

test('no shard is without a target', () => {
  assert.deepEqual(names([target('a', ['']), target('b', [''])], 8), ['a', 'b'])
  assert.deepEqual(names([], 8), [])
})

test('targets that share a file are in one shard, also by other targets and by another name', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'plan-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const image = join(folder, 'image')
  const link = join(folder, 'link')
  writeFileSync(image, '')
  symlinkSync(image, link)
  const missing = join(folder, 'missing')
  const sharing = [target('a', [image]), target('b', [missing]), target('d', [''])]
  assert.deepEqual(names([...sharing, target('c', [link])], 4), ['a c', 'b', 'd'])
  assert.deepEqual(names([...sharing, target('c', [link, missing])], 4), ['a b c', 'd'])
})

test('what has moved or is removed needs no shard', () => {
  const moved = target('m', [], { moved: { to: { host: 'h', port: 1 }, permanent: false } })
  const removed = target('r', [], { removed: true })
  assert.deepEqual(names([moved, target('a', ['']), removed], 4), ['a'])
})

test('a number of shards is a number, or one for each core', () => {
  assert.equal(parseShards('auto'), 'auto')
  assert.equal(parseShards('12'), 12)
  assert.equal(shardsWanted('auto', 6), 6)
  assert.equal(shardsWanted(12, 6), 12)
  for (const text of ['0', '65', '-1', '1.5', 'many', '']) {
    assert.throws(() => parseShards(text), { code: 'SHARDS_INVALID' }, text)
  }
})
