/** One run of the benchmark, as a line of `results.jsonl`. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { run } from '../test/support/scratch.ts'
import type { IdleSessions } from './idle-sessions.ts'
import type { MemoryUnderLoad } from './memory-under-load.ts'
import { cores } from './process-figures.ts'
import type { CaseSamples } from './run-cases.ts'
import { type Figure, figures, type Sample } from './sample.ts'
import { type Spread, spread } from './statistics.ts'

export interface ContenderRecord {
  readonly name: string
  /** A value for each round. */
  readonly rounds: Readonly<Partial<Record<Figure, readonly number[]>>>
  /** Instead, in records of before rounds were kept. */
  readonly spreads?: Readonly<Partial<Record<Figure, Spread>>>
}

export const spreadOf = ({ rounds, spreads }: ContenderRecord, figure: Figure): Spread | undefined =>
  spread(rounds[figure] ?? []) ?? spreads?.[figure]

export interface CaseRecord {
  readonly id: string
  readonly contenders: readonly ContenderRecord[]
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes?: number
  readonly kernel?: string
  readonly node: string
  /** Targets and clients had cores of their own. */
  readonly isPinned: boolean
}

export interface Results {
  readonly cases: readonly CaseRecord[]
  readonly idleSessions?: IdleSessions
  readonly memoryUnderLoad?: MemoryUnderLoad
}

/** How a goal came out, in a record. */
export interface GoalRecord {
  readonly id: string
  /** None where it could not be measured. */
  readonly value?: number
  readonly isMet: boolean
}

export interface RunRecord extends Results {
  readonly date: string
  readonly commit: string
  readonly machine: Machine
  readonly rounds: number
  readonly goals: readonly GoalRecord[]
  /** What could not be measured as it should. */
  readonly problems: readonly string[]
}

export const resultsFile = fileURLToPath(new URL('results.jsonl', import.meta.url))

export function readRecords(): RunRecord[] {
  if (!existsSync(resultsFile)) return []
  const lines = readFileSync(resultsFile, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line) as RunRecord)
}

export const appendRecord = (record: RunRecord): void =>
  appendFileSync(resultsFile, `${JSON.stringify(record)}\n`)

const rounded = (value: number): number => Number(value.toPrecision(5))

/** Samples of rounds as lists of figures. */
export function caseRecord({ id, contenders }: CaseSamples): CaseRecord {
  return { id, contenders: contenders.map(({ name, samples }) => ({ name, rounds: roundsOf(samples) })) }
}

function roundsOf(samples: readonly Sample[]): ContenderRecord['rounds'] {
  const columns = figures.map(
    (figure) => [figure, samples.flatMap((sample) => sample[figure] ?? [])] as const,
  )
  return Object.fromEntries(
    columns
      .filter(([, values]) => values.length > 0)
      .map(([figure, values]) => [figure, values.map(rounded)]),
  )
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    isPinned: cores !== undefined,
  }
}

/** All but what a run of the benchmark changes itself. */
const SOURCES = [':/', ':(exclude,top)bench/results.jsonl', ':(exclude,top)bench/report.html']

/** The commit that is checked out, with a mark where files differ from it. */
export async function thisCommit(): Promise<string> {
  const cwd = import.meta.dirname
  const head = await run('git', ['rev-parse', '--short', 'HEAD'], { cwd })
  const status = ['status', '--porcelain', '--untracked-files=no', '--', ...SOURCES]
  const changes = await run('git', status, { cwd })
  return head.stdout.trim() + (changes.stdout === '' ? '' : '+changes')
}
