/**
 * `npm run sim -- --seeds N [--from SEED] [--jobs N]`: runs N seeds of the simulator and reports what they went through.
 * `npm run sim -- --seed S [--trace] [--without FEATURES] [--steps STEPS]`: one seed, perhaps with parts left out.
 * `npm run sim -- --planted [--only NAME]`: every planted bug must be found.
 * A failing seed is made smaller, and the command that replays it is printed. See docs/guides/simulator.md.
 */
import { parseArgs } from 'node:util'
import { minimise, parseReduction, replayArguments } from '../packages/cygnet/src/sim/minimise.ts'
import { addResult, formatTotals, missingPaths, newTotals } from '../packages/cygnet/src/sim/report.ts'
import { runSeed } from '../packages/cygnet/src/sim/simulation.ts'
import { findPlantedBugs } from './planted.ts'
import { soak } from './soak.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    without: { type: 'string' },
    steps: { type: 'string' },
    planted: { type: 'boolean', default: false },
    only: { type: 'string' },
    /** Report the failing seed as it is. */
    raw: { type: 'boolean', default: false },
  },
})

/** A soak this long must have been down every path. */
const COMPLETE_SEEDS = 10_000

const say = (text: string): void => void process.stdout.write(`${text}\n`)

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  process.stderr.write(`--${name} takes a whole number above 0, not "${text}".\n`)
  process.exit(2)
}

/** Runs one seed; true where it kept every promise. */
function runOne(seed: number): boolean {
  const reduction = parseReduction(values.without, values.steps)
  const result = runSeed(seed, reduction, values.trace)
  if (result.trace) say(result.trace.text)
  const totals = newTotals()
  addResult(totals, result)
  say(formatTotals(totals))
  for (const violation of result.violations) say(`VIOLATION ${violation}`)
  return result.violations.length === 0
}

function explain(seed: number, violations: readonly string[]): void {
  say(`\nseed ${seed} failed:`)
  for (const violation of violations.slice(0, 3)) say(`  ${violation}`)
  if (values.raw) {
    say(`replay it with: npm run sim -- --seed ${seed} --trace`)
    return
  }
  const reduction = minimise((tried) => runSeed(seed, tried))
  const smallest = runSeed(seed, reduction)
  for (const violation of smallest.violations.slice(0, 3)) say(`  made smaller: ${violation}`)
  say(`replay it with: npm run sim -- ${replayArguments(seed, reduction)} --trace`)
}

async function runMany(count: number): Promise<boolean> {
  const first = wholeNumber('from', values.from)
  const started = performance.now()
  const { totals, failures } = await soak(first, count, wholeNumber('jobs', values.jobs), (failure) =>
    explain(failure.seed, failure.violations),
  )
  say(formatTotals(totals))
  const seconds = (performance.now() - started) / 1000
  say(`${seconds.toFixed(1)} s, ${((1000 * seconds) / count).toFixed(1)} ms for each seed`)
  const missing = count >= COMPLETE_SEEDS ? missingPaths(totals) : []
  if (missing.length > 0) say(`FAILED: these recovery paths never ran: ${missing.join(', ')}`)
  if (count >= COMPLETE_SEEDS && totals.disturbed < totals.segments / 100) {
    say('FAILED: less than 1 % of the segments were disturbed')
    return false
  }
  say(failures === 0 ? 'no seed failed' : `FAILED: ${failures} seeds`)
  return failures === 0 && missing.length === 0
}

let isGood: boolean
if (values.planted) isGood = await findPlantedBugs(values.only, say)
else if (values.seed !== undefined) isGood = runOne(wholeNumber('seed', values.seed))
else isGood = await runMany(wholeNumber('seeds', values.seeds ?? '200'))
process.exitCode = isGood ? 0 : 1
