import type { core } from 'zod'
import type { Path } from './problem.ts'
import { configSchema, type Config } from './schema.ts'
import { valueAt } from './schema-findings.ts'

type Data = Record<string | number, unknown>

/** The part of a file that fits the schema, and what of the file it lacks. */
export interface SoundPart {
  readonly config: Config
  /** False where something was left out at this place of the file, or below it: what is absent may be there in truth. */
  isWhole(path: Path): boolean
  /** The place in the file of a place in `config`: entries of lists move up where others are left out. */
  inFile(path: Path): Path
}

/**
 * Leaves out the settings that do not fit the schema, until the rest does, so that all errors of a file can be told
 * at once. Undefined where nothing is left.
 */
export function soundPart(data: unknown): SoundPart | undefined {
  let rest = data
  let places = new Map<object, readonly number[]>()
  const removed: Path[] = []
  for (;;) {
    const result = configSchema.safeParse(rest)
    const inFile = (path: Path): Path => placeInFile(rest, places, path)
    if (result.success) {
      const isWhole = (path: Path): boolean =>
        !removed.some((other) => path.every((step, i) => i >= other.length || other[i] === step))
      return { config: result.data, isWhole, inFile }
    }
    const marked = new Set<string>()
    for (const path of result.error.issues.flatMap((issue) => culprits(issue, rest))) {
      if (path.length === 0) return undefined
      removed.push(inFile(path))
      marked.add(JSON.stringify(path))
    }
    const sweeper = new Sweeper(marked, places)
    rest = sweeper.sweep(rest, [])
    places = sweeper.places
  }
}

/** What to leave out because of an issue: the setting, or what lacks it. */
function culprits(issue: core.$ZodIssue, data: unknown): Path[] {
  const path = issue.path as Path
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...path, key])
  return [valueAt(data, path) === undefined ? path.slice(0, -1) : path]
}

/** Copies data without the marked settings, keeping where the entries of lists stood in the file. */
class Sweeper {
  readonly places = new Map<object, readonly number[]>()
  readonly #marked: ReadonlySet<string>
  readonly #before: ReadonlyMap<object, readonly number[]>

  constructor(marked: ReadonlySet<string>, before: ReadonlyMap<object, readonly number[]>) {
    this.#marked = marked
    this.#before = before
  }

  sweep(value: unknown, path: Path): unknown {
    if (typeof value !== 'object' || value === null) return value
    const stays = (step: string | number): boolean => !this.#marked.has(JSON.stringify([...path, step]))
    if (!Array.isArray(value)) {
      const entries = Object.entries(value).filter(([key]) => stays(key))
      return Object.fromEntries(entries.map(([key, inner]) => [key, this.sweep(inner, [...path, key])]))
    }
    const kept = [...value.keys()].filter(stays)
    const copy = kept.map((i) => this.sweep(value[i], [...path, i]))
    this.places.set(
      copy,
      kept.map((i) => this.#before.get(value)?.[i] ?? i),
    )
    return copy
  }
}

function placeInFile(data: unknown, places: ReadonlyMap<object, readonly number[]>, path: Path): Path {
  let value = data
  return path.map((step) => {
    const list = value
    value = typeof value === 'object' && value !== null ? (value as Data)[step] : undefined
    return typeof step === 'number' && Array.isArray(list) ? (places.get(list)?.[step] ?? step) : step
  })
}
