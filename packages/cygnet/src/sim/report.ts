import type { FaultCounts } from './network-behaviour.ts'
import type { Result } from './simulation.ts'

/** Sums over many seeds: plain data, so that it can pass between threads. */
export interface Totals {
  seeds: number
  segments: number
  disturbed: number
  readonly faults: Record<string, number>
  /** Recovery paths by role. */
  readonly target: Record<string, number>
  readonly initiator: Record<string, number>
  readonly ends: Record<string, number>
  /** Seeds with each ErrorRecoveryLevel. */
  readonly levels: Record<string, number>
  virtualMs: number
  events: number
}

export const newTotals = (): Totals => ({
  seeds: 0,
  segments: 0,
  disturbed: 0,
  faults: {},
  target: {},
  initiator: {},
  ends: {},
  levels: {},
  virtualMs: 0,
  events: 0,
})

const add = (into: Record<string, number>, from: Iterable<readonly [string, number]>): void => {
  for (const [name, count] of from) into[name] = (into[name] ?? 0) + count
}

export function addResult(totals: Totals, result: Result): void {
  totals.seeds++
  totals.segments += result.counts.segments
  totals.disturbed += disturbedOf(result.counts)
  totals.virtualMs += result.virtualMs
  totals.events += result.events
  add(totals.faults, Object.entries(result.counts.disturbed))
  add(totals.ends, result.ends)
  add(totals.levels, [[`level ${result.scenario.errorRecoveryLevel}`, 1]])
  for (const counters of result.targets) add(totals.target, pathsOf(counters))
  for (const counters of result.initiators) add(totals.initiator, pathsOf(counters))
}

/** Refused connections carry no segment. */
const disturbedOf = ({ disturbed }: FaultCounts): number =>
  Object.entries(disturbed).reduce((sum, [kind, count]) => (kind === 'refuse' ? sum : sum + count), 0)

export function addTotals(totals: Totals, other: Totals): void {
  totals.seeds += other.seeds
  totals.segments += other.segments
  totals.disturbed += other.disturbed
  totals.virtualMs += other.virtualMs
  totals.events += other.events
  for (const part of ['faults', 'target', 'initiator', 'ends', 'levels'] as const)
    add(totals[part], Object.entries(other[part]))
}

/** Every path that a role has; its rejects by reason where there were any. */
function pathsOf(counters: object): [string, number][] {
  const paths: [string, number][] = []
  for (const [name, value] of Object.entries(counters) as [string, unknown][]) {
    if (typeof value === 'number') paths.push([name, value])
    else if (Array.isArray(value))
      for (const [reason, count] of value.entries())
        if (count > 0) paths.push([`reject 0x${reason.toString(16).padStart(2, '0')}`, count as number])
  }
  return paths
}

/** Paths that only the other role has. */
const onlyInitiator: ReadonlySet<string> = new Set([
  'taskReplayed',
  'taskNotReplayed',
  'fallbackToConnectionRecovery',
])
const onlyTarget: ReadonlySet<string> = new Set(['commandDuplicate', 'statusResent'])

/** Recovery paths that never ran. */
export function missingPaths(totals: Totals): string[] {
  const missing = (role: string, paths: Record<string, number>, others: ReadonlySet<string>): string[] =>
    Object.entries(paths)
      .filter(([name, count]) => count === 0 && !others.has(name))
      .map(([name]) => `${role} ${name}`)
  return [
    ...missing('target', totals.target, onlyInitiator),
    ...missing('initiator', totals.initiator, onlyTarget),
  ]
}

export function formatTotals(totals: Totals): string {
  const percent = totals.segments === 0 ? 0 : (100 * totals.disturbed) / totals.segments
  const lines = [
    `${totals.seeds} seeds, ${totals.segments} segments, ${percent.toFixed(2)} % of them disturbed`,
    `${Math.round(totals.virtualMs / 1000)} seconds of virtual time, ${totals.events} events`,
    `levels    ${formatCounts(totals.levels)}`,
    `faults    ${formatCounts(totals.faults)}`,
    `requests  ${formatCounts(totals.ends)}`,
    `${'recovery path'.padEnd(32)} ${'target'.padStart(10)} ${'initiator'.padStart(10)}`,
  ]
  const names = new Set([...Object.keys(totals.target), ...Object.keys(totals.initiator)])
  const column = (value: number | undefined, isOthers: boolean): string =>
    (isOthers && !value ? '-' : String(value ?? 0)).padStart(10)
  for (const name of names) {
    const target = column(totals.target[name], onlyInitiator.has(name))
    lines.push(`${name.padEnd(32)} ${target} ${column(totals.initiator[name], onlyTarget.has(name))}`)
  }
  return lines.join('\n')
}

const formatCounts = (counts: Record<string, number>): string =>
  Object.entries(counts)
    .toSorted(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
