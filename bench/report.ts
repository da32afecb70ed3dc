/** What several rounds add up to, for the record and for people. */
import type { Measurement, Workload } from './measure.ts'

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Comparison {
  readonly workload: string
  readonly cygnet: Readonly<Record<keyof Measurement, Spread>>
  readonly tgt: Readonly<Record<keyof Measurement, Spread>>
  /** Our IOPS over tgt's: of the medians, and the least and greatest of one round. */
  readonly ratio: Spread
}

const round = (value: number): number => Number(value.toPrecision(5))

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number): number => sorted[index] ?? Number.NaN
  const half = sorted.length / 2
  const median = (at(Math.ceil(half) - 1) + at(Math.floor(half))) / 2
  return { median: round(median), min: round(at(0)), max: round(at(sorted.length - 1)) }
}

function spreads(measurements: readonly Measurement[]): Record<keyof Measurement, Spread> {
  return {
    iops: spread(measurements.map(({ iops }) => iops)),
    mibPerSecond: spread(measurements.map(({ mibPerSecond }) => mibPerSecond)),
    cpuUsPerIo: spread(measurements.map(({ cpuUsPerIo }) => cpuUsPerIo)),
  }
}

/** Round by round, the two lists belong together. */
export function compare(
  workload: Workload,
  ours: readonly Measurement[],
  theirs: readonly Measurement[],
): Comparison {
  const cygnet = spreads(ours)
  const tgt = spreads(theirs)
  const rounds = spread(ours.map(({ iops }, index) => iops / (theirs[index]?.iops ?? Number.NaN)))
  const median = round(cygnet.iops.median / tgt.iops.median)
  return { workload: workload.name, cygnet, tgt, ratio: { ...rounds, median } }
}

/** A table with one row for each target and workload. */
export function formatTable(comparisons: readonly Comparison[]): string {
  const whole = (value: number): string => value.toFixed(0)
  const one = (value: number): string => value.toFixed(1)
  const two = (value: number): string => value.toFixed(2)
  const header = ['workload', 'target', 'IOPS (min..max)', 'MiB/s', 'CPU µs/I/O', 'ratio (min..max)']
  const rows = comparisons.flatMap(({ workload, cygnet, tgt, ratio }) => {
    const row = (name: string, result: Comparison['cygnet'], last: string): string[] => [
      name === 'cygnet' ? workload : '',
      name,
      `${whole(result.iops.median)} (${whole(result.iops.min)}..${whole(result.iops.max)})`,
      one(result.mibPerSecond.median),
      one(result.cpuUsPerIo.median),
      last,
    ]
    const ratioText = `${two(ratio.median)} (${two(ratio.min)}..${two(ratio.max)})`
    return [row('cygnet', cygnet, ratioText), row('tgt', tgt, '')]
  })
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}
