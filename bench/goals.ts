/** What the benchmark is to show: a table, and how a run stands to it. */
import { type ContenderRecord, type GoalRecord, type Results, spreadOf } from './record.ts'
import type { Figure } from './sample.ts'
import { ratioSpread, type Spread } from './statistics.ts'

/** How a figure must stand to the bound. */
const comparisons = {
  '≥': (value: number, bound: number) => value >= bound,
  '>': (value: number, bound: number) => value > bound,
  '≤': (value: number, bound: number) => value <= bound,
  '<': (value: number, bound: number) => value < bound,
} as const

export interface Goal {
  readonly id: string
  readonly title: string
  readonly must: keyof typeof comparisons
  readonly bound: number
  readonly unit: string
  /** Undefined where something of it was not measured. */
  readonly value: (results: Results) => number | undefined
}

export interface GoalOutcome extends GoalRecord {
  readonly goal: Goal
}

type Value = Goal['value']

function find({ cases }: Results, id: string, name: string): ContenderRecord | undefined {
  return cases.find((one) => one.id === id)?.contenders.find((contender) => contender.name === name)
}

function spreadIn(results: Results, id: string, name: string, figure: Figure): Spread | undefined {
  const contender = find(results, id, name)
  return contender && spreadOf(contender, figure)
}

/** The median of one contender's figure. */
const median =
  (id: string, name: string, figure: Figure): Value =>
  (results) =>
    spreadIn(results, id, name, figure)?.median

/** The median over the rounds of what the first has for one of the second. */
const ratio =
  (id: string, first: string, second: string, figure: Figure): Value =>
  (results) => {
    const roundsOf = (name: string): readonly number[] => find(results, id, name)?.rounds[figure] ?? []
    return ratioSpread(roundsOf(first), roundsOf(second))?.median
  }

const KIB = 1024
const words = {
  'read-4k-d32': '4 KiB random read, depth 32',
  'read-256k': '256 KiB sequential read',
  'write-256k': '256 KiB sequential write',
} as const

export const goals: readonly Goal[] = [
  {
    id: 'read-iops',
    title: '4 KiB random read, depth 32: IOPS',
    must: '≥',
    bound: 4.5,
    unit: '× tgt',
    value: ratio('read-4k-d32', 'cygnet', 'tgt', 'iops'),
  },
  {
    id: 'read-cpu',
    title: '4 KiB random read, depth 32: target CPU per I/O',
    must: '≤',
    bound: 7,
    unit: 'µs',
    value: median('read-4k-d32', 'cygnet', 'targetCpuUs'),
  },
  {
    id: 'read-cpu-ratio',
    title: '4 KiB random read, depth 32: target CPU per I/O',
    must: '≤',
    bound: 1 / 5,
    unit: '× tgt',
    value: ratio('read-4k-d32', 'cygnet', 'tgt', 'targetCpuUs'),
  },
  {
    id: 'write-iops',
    title: '4 KiB random write, depth 32: IOPS',
    must: '≥',
    bound: 3,
    unit: '× tgt',
    value: ratio('write-4k-d32', 'cygnet', 'tgt', 'iops'),
  },
  {
    id: 'write-cpu-ratio',
    title: '4 KiB random write, depth 32: target CPU per I/O',
    must: '≤',
    bound: 1 / 4,
    unit: '× tgt',
    value: ratio('write-4k-d32', 'cygnet', 'tgt', 'targetCpuUs'),
  },
  {
    id: 'depth-1-iops',
    title: '4 KiB random read, depth 1: IOPS',
    must: '≥',
    bound: 1.3,
    unit: '× tgt',
    value: ratio('read-4k-d1', 'cygnet', 'tgt', 'iops'),
  },
  {
    id: 'depth-1-p99',
    title: '4 KiB random read, depth 1: p99 latency',
    must: '<',
    bound: 1,
    unit: '× tgt',
    value: ratio('latency-read-4k-d1', 'cygnet', 'tgt', 'p99Us'),
  },
  {
    id: 'sequential-read',
    title: '256 KiB sequential read',
    must: '≥',
    bound: 2.5,
    unit: '× tgt',
    value: ratio('read-256k', 'cygnet', 'tgt', 'bytesPerSecond'),
  },
  {
    id: 'sequential-write',
    title: '256 KiB sequential write',
    must: '≥',
    bound: 2,
    unit: '× tgt',
    value: ratio('write-256k', 'cygnet', 'tgt', 'bytesPerSecond'),
  },
  {
    id: 'sequential-read-floor',
    title: '256 KiB sequential read from memory',
    must: '≥',
    bound: 0.85,
    unit: '× bare TCP',
    value: ratio('read-256k', 'cygnet-memory', 'floor', 'bytesPerSecond'),
  },
  {
    id: 'sequential-write-floor',
    title: '256 KiB sequential write to memory',
    must: '≥',
    bound: 0.85,
    unit: '× bare TCP',
    value: ratio('write-256k', 'cygnet-memory', 'floor', 'bytesPerSecond'),
  },
  ...(['read-4k-d32', 'read-256k', 'write-256k'] as const).map(
    (load): Goal => ({
      id: `digests-${load}`,
      title: `CRC32C header and data digests on: ${words[load]}`,
      must: '≥',
      bound: 0.7,
      unit: '× off',
      value: ratio(`digests-${load}`, 'cygnet digests', 'cygnet', 'iops'),
    }),
  ),
  ...(['read-256k', 'write-256k'] as const).map(
    (load): Goal => ({
      id: `tls-${load}`,
      title: `TLS 1.3 on: ${words[load]}`,
      must: '≥',
      bound: 0.6,
      unit: '× bare TLS',
      value: ratio(`tls-${load}`, 'cygnet-tls', 'floor-tls', 'bytesPerSecond'),
    }),
  ),
  ...(['read-256k', 'write-256k'] as const).flatMap((load): Goal[] => [
    {
      id: `wan-${load}`,
      title: `50 ms round trip: ${words[load]}`,
      must: '≥',
      bound: 0.8,
      unit: '× one TCP connection',
      value: ratio(`wan-${load}`, 'cygnet 1 conn', 'floor', 'bytesPerSecond'),
    },
    {
      id: `wan-${load}-connections`,
      title: `50 ms round trip, 4 connections: ${words[load]}`,
      must: '>',
      bound: 1,
      unit: '× 1 connection',
      value: ratio(`wan-${load}`, 'cygnet 4 conn', 'cygnet 1 conn', 'bytesPerSecond'),
    },
  ]),
  ...(['cygnet', 'tgt'] as const).map(
    (target): Goal => ({
      id: `initiator-${target}`,
      title: `Initiator at ${target}, 4 KiB random read, depth 32: IOPS`,
      must: '≥',
      bound: 1,
      unit: '× iscsi-perf',
      value: ratio('initiator-read-4k-d32', `cygnet bench > ${target}`, `iscsi-perf > ${target}`, 'iops'),
    }),
  ),
  {
    id: 'idle-memory',
    title: '1,000 idle sessions: memory of each',
    must: '<',
    bound: 64,
    unit: 'KiB',
    value: ({ idleSessions }) => idleSessions && idleSessions.bytesPerSession / KIB,
  },
  {
    id: 'idle-login',
    title: '1,000 idle sessions: login of all',
    must: '≤',
    bound: 10,
    unit: 's',
    value: ({ idleSessions }) => idleSessions?.loginSeconds,
  },
  {
    id: 'memory-under-load',
    title: '64 sessions × depth 128 × 1 MiB writes: peak memory',
    must: '≤',
    bound: 1,
    unit: '× the documented sum',
    value: ({ memoryUnderLoad }) => memoryUnderLoad && memoryUnderLoad.peakBytes / memoryUnderLoad.boundBytes,
  },
]

/** A goal that could not be measured is not met. */
export function judge(results: Results): GoalOutcome[] {
  return goals.map((goal) => {
    const value = goal.value(results)
    const isMet = value !== undefined && comparisons[goal.must](value, goal.bound)
    return { goal, id: goal.id, isMet, ...(value !== undefined && { value }) }
  })
}
