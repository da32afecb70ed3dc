/**
 * `npm run bench [-- --quick] [-- --only NAME]`: our target and Debian's tgt and istgt serve the same 1 GiB file, and each case is
 * measured in turn with the same client. Prints tables and how the goals stand, appends a line to `bench/results.jsonl` and
 * draws `bench/report.html`. With `--quick` or `--only` nothing is recorded: those are only looks. Exits with 1 where something
 * could not be measured. See docs/guides/benchmark.md.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Scratch } from '../test/support/scratch.ts'
import { type Case, cases } from './cases.ts'
import { type GoalOutcome, judge } from './goals.ts'
import { measureIdleSessions } from './idle-sessions.ts'
import { measureMemoryUnderLoad } from './memory-under-load.ts'
import { page } from './page.ts'
import {
  appendRecord,
  caseRecord,
  type Machine,
  readRecords,
  type Results,
  type RunRecord,
  thisCommit,
  thisMachine,
} from './record.ts'
import { CaseRunner } from './run-cases.ts'
import { full, quick, type Settings } from './settings.ts'
import { formatCases, formatGoals, formatOnce } from './table.ts'
import { startTargets } from './targets.ts'

const reportFile = fileURLToPath(new URL('report.html', import.meta.url))
const startedMs = performance.now()
const elapsedSeconds = (): number => Math.round((performance.now() - startedMs) / 1000)
const say = (line: string): void =>
  void process.stderr.write(`${String(elapsedSeconds()).padStart(4)} s  ${line}\n`)

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    /** Only the cases whose names contain this. */
    only: { type: 'string' },
    /** Draws the report of what is recorded, and measures nothing. */
    report: { type: 'boolean', default: false },
  },
})

const problems: string[] = []
function problem(text: string): void {
  problems.push(text)
  say(`COULD NOT BE MEASURED: ${text}`)
}

/** Measurements that are made once, by name. */
const IDLE = 'idle-sessions'
const MEMORY = 'memory-under-load'

async function measureAll(scratch: Scratch, settings: Settings): Promise<Results> {
  const isWanted = (id: string): boolean => values.only === undefined || id.includes(values.only)
  const wanted = cases.filter(({ id, isQuick }) => isWanted(id) && (isQuick || !settings.onlyQuick))
  const idleSessions = isWanted(IDLE)
    ? await tried(IDLE, () => measureIdleSessions(scratch, settings.idleSessions))
    : undefined
  const memoryUnderLoad = isWanted(MEMORY)
    ? await tried(MEMORY, () => measureMemoryUnderLoad(scratch, settings))
    : undefined
  const records = wanted.length === 0 ? [] : await measureCases(scratch, settings, wanted)
  return {
    cases: records,
    ...(idleSessions && { idleSessions }),
    ...(memoryUnderLoad && { memoryUnderLoad }),
  }
}

async function measureCases(scratch: Scratch, settings: Settings, wanted: readonly Case[]) {
  say('starting targets')
  const runner = new CaseRunner(await startTargets(scratch), settings, problem, say)
  say('warming up')
  await runner.warmUp(wanted)
  const records = []
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  for (const one of wanted) records.push(caseRecord(await runner.run(one)))
  return records
}

async function tried<Result>(what: string, run: () => Promise<Result>): Promise<Result | undefined> {
  say(what)
  try {
    return await run()
  } catch (error) {
    problem(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    return undefined
  }
}

function print(commit: string, machine: Machine, results: Results, outcomes: readonly GoalOutcome[]): void {
  const { cpu, cores, node, kernel, isPinned } = machine
  const pinned = isPinned ? 'targets and clients on cores of their own' : 'not pinned'
  const where = `${cores} × ${cpu}, Linux ${kernel}, Node ${node}, ${pinned}, commit ${commit}`
  const parts = [where, formatCases(cases, results.cases), formatOnce(results), formatGoals(outcomes)]
  process.stdout.write(`${parts.filter(Boolean).join('\n\n')}\n`)
}

async function main(): Promise<void> {
  const settings = values.quick ? quick : full
  const date = new Date().toISOString()
  const commit = await thisCommit()
  const scratch = new Scratch()
  process.on('SIGINT', () => void scratch.end().finally(() => process.exit(130)))
  let results: Results
  try {
    results = await measureAll(scratch, settings)
  } finally {
    await scratch.end()
  }
  const outcomes = judge(results)
  const machine = thisMachine()
  print(commit, machine, results, outcomes)
  const record: RunRecord = {
    date,
    commit,
    machine,
    rounds: settings.rounds,
    ...results,
    goals: outcomes.map(({ id, value, isMet }) => ({ id, isMet, ...(value !== undefined && { value }) })),
    problems,
  }
  if (!values.quick && values.only === undefined) {
    appendRecord(record)
    drawReport()
  }
  say('done')
  if (problems.length === 0) return
  process.stderr.write(`\n${problems.length} COULD NOT BE MEASURED:\n${problems.join('\n')}\n`)
  process.exitCode = 1
}

function drawReport(): void {
  writeFileSync(reportFile, page(readRecords()))
  say(`drawn: ${reportFile}`)
}

const names = [...cases.map(({ id }) => id), IDLE, MEMORY]
if (values.report) drawReport()
else if (names.some((name) => name.includes(values.only ?? ''))) await main()
else {
  process.stderr.write(`No case has "${values.only}" in its name; there are ${names.join(', ')}.\n`)
  process.exitCode = 2
}
