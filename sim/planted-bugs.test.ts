import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { runSeed } from '../packages/cygnet/src/sim/simulation.ts'
import { hunt, MOST_SEEDS, plant } from './planted.ts'
import { plantedBugs } from './planted-bugs.ts'

const sourceOf = (file: string): string =>
  readFileSync(new URL(`../packages/cygnet/src/${file}`, import.meta.url), 'utf8')

describe('the simulator finds', () => {
  for (const bug of plantedBugs) {
    test(`${bug.name}, within ${MOST_SEEDS} seeds`, async () => {
      const { seed, violation } = await hunt(bug)
      assert.ok(seed !== undefined, 'it was not found')
      assert.deepEqual(runSeed(seed).violations, [], `seed ${seed} fails without the bug as well`)
      assert.notEqual(violation, '')
    })
  }
})

test('every patch changes the sources', () => {
  for (const bug of plantedBugs) assert.notEqual(plant(sourceOf(bug.file), bug), sourceOf(bug.file), bug.name)
})

test('a patch that does not fit is an error', () => {
  const bug = { name: 'none', file: 'base/assert.ts', find: 'no such text', replace: '' }
  assert.throws(() => plant(sourceOf(bug.file), bug), /occurs 0 times in base\/assert.ts/)
})
