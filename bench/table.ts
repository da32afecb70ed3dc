/** A run for people who look at a terminal. */
import { styleText } from 'node:util'
import type { Case } from './cases.ts'
import type { GoalOutcome } from './goals.ts'
import { type CaseRecord, type ContenderRecord, type Results, spreadOf } from './record.ts'
import type { Figure } from './sample.ts'
import { ratioSpread, type Spread } from './statistics.ts'
import { count, digits, mebibytes, rateOf } from './units.ts'

const HEADINGS = ['rate (min..max)', 'p50', 'p99', 'p99.9 µs', 'CPU µs', 'client', 'peak MiB', 'first is']

type Row = readonly string[]

/** Columns as wide as what is in them; the first to the left, numbers to the right. */
export function aligned(rows: readonly Row[]): string[] {
  const widths: number[] = []
  for (const row of rows)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  return rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
}

const spreadText = (spread: Spread | undefined, text: (value: number) => string): string =>
  spread ? `${text(spread.median)} (${text(spread.min)}..${text(spread.max)})` : '-'

/** How many times the rate of this one the first one has. */
function ratioText(first: ContenderRecord, other: ContenderRecord): string {
  if (first === other) return ''
  const rates = ({ rounds }: ContenderRecord): readonly number[] => rounds.iops ?? []
  const ratio = ratioSpread(rates(first), rates(other))
  return ratio ? `× ${spreadText(ratio, digits)}` : ''
}

function rowOf(one: Case, first: ContenderRecord, contender: ContenderRecord): Row {
  const { figure, text } = rateOf(one)
  const median = (which: Figure, format: (value: number) => string): string => {
    const spread = spreadOf(contender, which)
    return spread ? format(spread.median) : '-'
  }
  return [
    `  ${contender.name}`,
    spreadText(spreadOf(contender, figure), text),
    median('p50Us', count),
    median('p99Us', count),
    median('p999Us', count),
    median('targetCpuUs', digits),
    median('clientCpuUs', digits),
    median('peakBytes', mebibytes),
    ratioText(first, contender),
  ]
}

/** Every case with a row for each contender. CPU is that of the target, for one I/O. */
export function formatCases(table: readonly Case[], records: readonly CaseRecord[]): string {
  const rows: Row[] = []
  const titles = new Map<number, string>()
  for (const { id, contenders } of records) {
    const one = table.find((each) => each.id === id)
    const [first] = contenders
    if (!one || !first) continue
    titles.set(rows.length, `${one.title} (${one.unit})`)
    rows.push([''], ...contenders.map((contender) => rowOf(one, first, contender)))
  }
  const [heading = '', ...lines] = aligned([['', ...HEADINGS], ...rows])
  const titled = lines.map((line, index) => {
    const title = titles.get(index)
    return title === undefined ? line : `\n${styleText('bold', title)}`
  })
  return [heading, ...titled].join('\n')
}

export function formatOnce({ idleSessions, memoryUnderLoad }: Results): string {
  const lines: string[] = []
  if (idleSessions) {
    const { sessions, loginSeconds, bytesPerSession } = idleSessions
    const memory = `${digits(bytesPerSession / 1024)} KiB of memory each`
    lines.push(`${count(sessions)} idle sessions: ${memory}, login of all in ${digits(loginSeconds)} s`)
  }
  if (memoryUnderLoad) {
    const { peakBytes, boundBytes, bytesPerSecond } = memoryUnderLoad
    const peak = `${mebibytes(peakBytes)} MiB at most, documented sum ${mebibytes(boundBytes)} MiB`
    lines.push(`64 sessions × depth 128 × 1 MiB writes: ${peak}, ${count(bytesPerSecond / 1e6)} MB/s`)
  }
  return lines.join('\n')
}

const marks = {
  met: styleText('green', 'met'),
  'not met': styleText('red', 'not met'),
  'not measured': styleText('yellow', 'not measured'),
} as const

export function verdict({ value, isMet }: Pick<GoalOutcome, 'value' | 'isMet'>): keyof typeof marks {
  if (value === undefined) return 'not measured'
  return isMet ? 'met' : 'not met'
}

export function formatGoals(outcomes: readonly GoalOutcome[]): string {
  const rows = outcomes.map(({ goal, value }) => [
    goal.title,
    value === undefined ? '-' : digits(value),
    `${goal.must} ${digits(goal.bound)}`,
  ])
  const lines = aligned(rows).map((line, index) => {
    const outcome = outcomes[index]
    return outcome ? `${line} ${outcome.goal.unit}: ${marks[verdict(outcome)]}` : line
  })
  return ['Goals', ...lines].join('\n')
}
