/** What several rounds add up to. */

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

const round = (value: number): number => Number(value.toPrecision(5))

/** Undefined for no values. */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  const [min] = sorted
  const max = sorted.at(-1)
  if (min === undefined || max === undefined) return undefined
  const half = sorted.length / 2
  const low = sorted[Math.ceil(half) - 1] ?? min
  const high = sorted[Math.floor(half)] ?? max
  return { median: round((low + high) / 2), min: round(min), max: round(max) }
}

/** Ratio of two lists of which each pair was measured in one round: its median, least and greatest of single rounds. */
export function ratioSpread(ours: readonly number[], theirs: readonly number[]): Spread | undefined {
  const ratios: number[] = []
  for (const [index, value] of ours.entries()) {
    const other = theirs[index]
    if (other !== undefined && other !== 0) ratios.push(value / other)
  }
  return spread(ratios)
}
