import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { minimise, parseReduction, replayArguments } from './minimise.ts'
import { addResult, addTotals, formatTotals, missingPaths, newTotals } from './report.ts'
import { drawScenario, noReduction, stepCount } from './scenario.ts'
import { type Result, runSeed } from './simulation.ts'

describe('a seed', () => {
  test('gives the same trace again, byte for byte', () => {
    for (const seed of [2, 16, 29]) {
      const text = runSeed(seed, noReduction, true).trace?.text
      assert.ok(text !== undefined && text.length > 10_000)
      assert.equal(runSeed(seed, noReduction, true).trace?.text, text)
    }
  })

  test('does not depend on those that ran before it, nor on being traced', () => {
    const alone = runSeed(7)
    runSeed(8)
    const after = runSeed(7, noReduction, true)
    assert.deepEqual(after.counts, alone.counts)
    assert.deepEqual([after.events, after.virtualMs], [alone.events, alone.virtualMs])
  })

  test('draws a mix of its own', () => {
    const scenarios = Array.from({ length: 60 }, (_, index) => drawScenario(index + 1))
    const kinds = (of: (scenario: (typeof scenarios)[number]) => unknown): number =>
      new Set(scenarios.map(of)).size
    assert.equal(
      kinds(({ errorRecoveryLevel }) => errorRecoveryLevel),
      3,
    )
    assert.equal(
      kinds(({ initiators }) => initiators.length),
      3,
    )
    assert.equal(
      kinds(({ initiators }) => initiators[0]?.policy.connections),
      5,
    )
    assert.ok(kinds(({ network }) => network.reset) > 10)
    assert.ok(scenarios.every((scenario) => stepCount(scenario) >= 50 && stepCount(scenario) <= 153))
  })

  test('without its faults and steps is a quiet one', () => {
    const reduction = parseReduction(
      'delay,stall,reset,halfOpen,refuse,corruptHeader,corruptData,loss,split,crashes',
      'none',
    )
    const result = runSeed(4, reduction)
    assert.equal(stepCount(result.scenario), 0)
    assert.deepEqual(
      Object.values(result.counts.disturbed).filter((count) => count > 0),
      [],
    )
  })
})

describe('a failing seed', () => {
  const failing = (needs: readonly number[], feature: 'reset' | 'stall') => {
    let runs = 0
    const run = (reduction: typeof noReduction): Result => {
      runs++
      const fails =
        !reduction.without.has(feature) && needs.every((step) => reduction.steps?.has(step) ?? true)
      return { scenario: drawScenario(1), violations: fails ? ['wrong'] : [] } as unknown as Result
    }
    return { run, count: () => runs }
  }

  test('is made as small as it can be', () => {
    const { run, count } = failing([3, 17], 'reset')
    const { without, steps } = minimise(run)
    assert.deepEqual([...(steps ?? [])], [3, 17])
    assert.ok(!without.has('reset') && without.has('stall') && without.has('crashes'))
    assert.ok(count() < 310)
  })

  test('is replayed by the arguments that are printed', () => {
    const { run } = failing([3, 4, 5, 40], 'stall')
    const reduction = minimise(run)
    const text = replayArguments(99, reduction)
    const match = /^--seed 99 --without (\S+) --steps (\S+)$/.exec(text)
    assert.ok(match)
    assert.equal(match[2], '3-5,40')
    assert.deepEqual(parseReduction(match[1], match[2]), reduction)
    assert.throws(() => parseReduction('resets', undefined), /no feature "resets"/)
    assert.throws(() => parseReduction(undefined, '3-x'), /no step/)
  })
})

describe('the report', () => {
  test('adds up what seeds went through, and names the paths that never ran', () => {
    const totals = newTotals()
    for (const seed of [1, 2, 3]) {
      const one = newTotals()
      addResult(one, runSeed(seed))
      addTotals(totals, one)
    }
    assert.equal(totals.seeds, 3)
    assert.ok(totals.segments > 0 && totals.disturbed > 0)
    assert.match(formatTotals(totals), /^3 seeds, \d+ segments, [\d.]+ % of them disturbed/)
    assert.match(formatTotals(totals), /taskReassign +\d+ +\d+/)
    totals.target['dataSnack'] = 0
    totals.target['taskReplayed'] = 0
    assert.ok(missingPaths(totals).includes('target dataSnack'))
    assert.ok(!missingPaths(totals).includes('target taskReplayed'), 'that is what initiators do')
  })
})
