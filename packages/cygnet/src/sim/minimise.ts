import type { Result } from './simulation.ts'
import { features, type Feature, noReduction, type Reduction, stepCount } from './scenario.ts'

/** Runs one seed with something taken out of it. */
export type RunReduced = (reduction: Reduction) => Result

/** Runs that may be spent. */
const MAX_RUNS = 300

/**
 * Takes out of a failing seed what it does not need to fail: kinds of faults, groups of steps, then steps, in halves and
 * smaller parts. Another failure than the first counts as well: what is left is a bug in any case.
 */
export function minimise(run: RunReduced): Reduction {
  let runs = 0
  let best: Reduction = noReduction
  const stillFails = (reduction: Reduction): boolean => {
    if (runs >= MAX_RUNS) return false
    runs++
    if (run(reduction).violations.length === 0) return false
    best = reduction
    return true
  }
  for (const feature of features)
    stillFails({ ...best, without: new Set<Feature>([...best.without, feature]) })
  dropSteps(run, () => best, stillFails)
  return best
}

function dropSteps(
  run: RunReduced,
  best: () => Reduction,
  stillFails: (reduction: Reduction) => boolean,
): void {
  const total = stepCount(run({ without: new Set(), steps: undefined }).scenario)
  let left = Array.from({ length: total }, (_, index) => index)
  for (let size = Math.ceil(left.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < left.length; ) {
      const fewer = [...left.slice(0, at), ...left.slice(at + size)]
      if (stillFails({ ...best(), steps: new Set(fewer) })) left = fewer
      else at += size
    }
  }
}

/** The arguments that replay it. */
export function replayArguments(seed: number, { without, steps }: Reduction): string {
  const parts = [`--seed ${seed}`]
  if (without.size > 0) parts.push(`--without ${[...without].join(',')}`)
  if (steps !== undefined) parts.push(`--steps ${ranges([...steps].toSorted((a, b) => a - b))}`)
  return parts.join(' ')
}

/** `0-3,7`; `none` for no step at all. */
function ranges(numbers: readonly number[]): string {
  const parts: string[] = []
  for (let at = 0; at < numbers.length; ) {
    let end = at
    while (numbers[end + 1] === (numbers[end] as number) + 1) end++
    parts.push(end === at ? `${numbers[at]}` : `${numbers[at]}-${numbers[end]}`)
    at = end + 1
  }
  return parts.length === 0 ? 'none' : parts.join(',')
}

/** Reads what `replayArguments` wrote after `--without` and `--steps`. */
export function parseReduction(without: string | undefined, steps: string | undefined): Reduction {
  const names = without === undefined || without === '' ? [] : without.split(',')
  for (const name of names)
    if (!(features as readonly string[]).includes(name))
      throw new RangeError(`There is no feature "${name}"; they are ${features.join(', ')}.`)
  return { without: new Set(names as Feature[]), steps: steps === undefined ? undefined : parseRanges(steps) }
}

function parseRanges(text: string): Set<number> {
  const numbers = new Set<number>()
  if (text === 'none') return numbers
  for (const part of text.split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part)
    if (match === null) throw new RangeError(`"${part}" is no step and no range of steps.`)
    const first = Number(match[1])
    for (let at = first; at <= Number(match[2] ?? first); at++) numbers.add(at)
  }
  return numbers
}
