import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { CygnetError } from '../base/errors.ts'
import { MAX_SHARDS, type TargetState } from './config/state.ts'

/** Each shard's targets, by name. */
export type ShardPlan = readonly (readonly TargetState[])[]

/** @throws {CygnetError} SHARDS_INVALID */
export function parseShards(text: string): number | 'auto' {
  if (text === 'auto') return text
  const shards = Number(text)
  if (/^\d+$/.test(text) && shards >= 1 && shards <= MAX_SHARDS) return shards
  const message = `"${text}" is not a number of shards: write auto, or a number from 1 to ${MAX_SHARDS}.`
  throw new CygnetError('SHARDS_INVALID', message)
}

/** How many shards there may be: more than cores can only cost. */
export const shardsWanted = (setting: number | 'auto', cores: number): number =>
  setting === 'auto' ? cores : setting

/**
 * Which shard serves which target: the targets with the most LUNs first, each to the shard with the fewest LUNs so far.
 * The same targets give the same plan. Targets that share a file stay together, as do a target's LUNs; there are no
 * shards without a target, and targets that have moved or are removed need none.
 */
export function planShards(targets: readonly TargetState[], most: number): ShardPlan {
  const groups = groupsByFile(targets.filter(({ moved, removed }) => moved === null && !removed))
  const sorted = groups.toSorted((a, b) => weightOf(b) - weightOf(a))
  const shards: TargetState[][] = Array.from({ length: Math.min(most, groups.length) }, () => [])
  for (const group of sorted) {
    const lightest = shards.toSorted((a, b) => weightOf(a) - weightOf(b))[0]
    lightest?.push(...group)
  }
  return shards.map((shard) => shard.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
}

const weightOf = (targets: readonly TargetState[]): number =>
  targets.reduce((sum, { luns }) => sum + Math.max(1, luns.length), 0)

/** Targets that share a file, directly or through others. */
function groupsByFile(targets: readonly TargetState[]): TargetState[][] {
  const groups: { targets: TargetState[]; files: Set<string> }[] = []
  for (const target of targets) {
    const files = filesOf(target)
    const joined = groups.filter((group) => [...files].some((file) => group.files.has(file)))
    const [first] = joined
    if (!first) {
      groups.push({ targets: [target], files })
      continue
    }
    for (const other of joined.slice(1)) {
      first.targets.push(...other.targets)
      for (const file of other.files) first.files.add(file)
      groups.splice(groups.indexOf(other), 1)
    }
    first.targets.push(target)
    for (const file of files) first.files.add(file)
  }
  return groups.map((group) => group.targets)
}

function filesOf({ luns }: TargetState): Set<string> {
  const files = new Set<string>()
  for (const { medium } of luns) if (medium.kind === 'file') files.add(realPath(medium.path))
  return files
}

/** Two names may be one file; one that is not there yet has its own. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}
