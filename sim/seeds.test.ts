import assert from 'node:assert/strict'
import { test } from 'node:test'
import { replayArguments } from '../packages/cygnet/src/sim/minimise.ts'
import { addResult, newTotals } from '../packages/cygnet/src/sim/report.ts'
import { noReduction } from '../packages/cygnet/src/sim/scenario.ts'
import { runSeed } from '../packages/cygnet/src/sim/simulation.ts'

const SEEDS = 200
const totals = newTotals()

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`seed ${seed} keeps every promise`, () => {
    const result = runSeed(seed)
    addResult(totals, result)
    const replay = `npm run sim -- ${replayArguments(seed, noReduction)} --trace`
    assert.deepEqual(result.violations, [], `replay it with: ${replay}`)
  })
}

test('enough went wrong: more than 1 % of the segments were disturbed, at every level of recovery', () => {
  assert.ok(totals.disturbed > totals.segments / 100, `${totals.disturbed} of ${totals.segments}`)
  assert.equal(Object.keys(totals.levels).length, 3)
})
