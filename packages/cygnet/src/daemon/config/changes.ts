import { isDeepStrictEqual } from 'node:util'
import { formatPath } from './problem.ts'
import type { DesiredState, LunState, TargetState } from './state.ts'

/** What becomes of a target while it is served. */
export interface TargetChange {
  /** LUNs that go; those that are made anew are in both lists. */
  readonly removed: readonly number[]
  readonly added: readonly LunState[]
  /** All of it afterwards; what it is now where nothing changes but what `later` says. */
  readonly state: TargetState
  /** Settings that differ, and take effect at the next start. */
  readonly later: readonly string[]
}

/** Settings of the whole server that are applied at its start. */
const SERVER_SETTINGS = {
  portals: 'portals',
  discovery: 'discovery',
  stateFolder: 'state',
  shards: 'shards',
  limits: 'limits',
  log: 'log',
} as const satisfies Partial<Record<keyof DesiredState, string>>

/** Settings that make a target one without LUNs, or with: while they differ, nothing else of it changes either. */
const FATES = ['moved', 'removed'] as const satisfies readonly (keyof TargetState)[]

/** What differs and takes effect at the next start, beside the settings of targets that are there before and after. */
export function laterOf(running: DesiredState, wanted: DesiredState): string[] {
  const settings = Object.keys(SERVER_SETTINGS) as (keyof typeof SERVER_SETTINGS)[]
  const changed = settings.filter((key) => !isDeepStrictEqual(running[key], wanted[key]))
  const come = wanted.targets.filter(({ name }) => !hasTarget(running, name))
  const gone = running.targets.filter(({ name }) => !hasTarget(wanted, name))
  return [
    ...changed.map((key) => SERVER_SETTINGS[key]),
    ...[...come, ...gone].map(({ name }) => formatPath(['targets', name])),
  ]
}

const hasTarget = ({ targets }: DesiredState, name: string): boolean =>
  targets.some((target) => target.name === name)

/** What it takes to get from what a target is to what it shall be. */
export function targetChange(running: TargetState, wanted: TargetState): TargetChange {
  const { name } = running
  const fates = FATES.filter((key) => !isDeepStrictEqual(running[key], wanted[key]))
  const later: string[] = fates.map((key) => formatPath(['targets', name, key]))
  if (fates.length > 0) return { removed: [], added: [], state: running, later }
  const luns: LunState[] = []
  const removed = running.luns.filter(({ lun }) => !hasLun(wanted, lun)).map(({ lun }) => lun)
  const added = wanted.luns.filter(({ lun }) => !hasLun(running, lun))
  for (const lun of wanted.luns) {
    const old = running.luns.find((other) => other.lun === lun.lun)
    if (!old) luns.push(lun)
    else if (isSameUnit(old, lun)) luns.push(old)
    else if (isSameDisk(old, lun)) {
      removed.push(lun.lun)
      added.push(lun)
      luns.push(lun)
    } else {
      luns.push(old)
      later.push(formatPath(['targets', name, 'luns', lun.lun]))
    }
  }
  const hasGroups = isDeepStrictEqual(running.groups, wanted.groups)
  if (!hasGroups) later.push(formatPath(['targets', name, 'groups']))
  const { groups, paths } = hasGroups ? wanted : running
  return { removed, added, state: { ...wanted, groups, paths, luns }, later }
}

const hasLun = ({ luns }: TargetState, lun: number): boolean => luns.some((other) => other.lun === lun)

const isSameUnit = (a: LunState, b: LunState): boolean => isDeepStrictEqual(asServed(a), asServed(b))

/** The same bytes in the same blocks: another unit can serve them to initiators that use them now. */
const isSameDisk = (a: LunState, b: LunState): boolean =>
  a.medium.kind === 'file' &&
  isDeepStrictEqual(asServed(a).medium, asServed(b).medium) &&
  a.kind === b.kind &&
  a.blockSizeBytes === b.blockSizeBytes &&
  a.traits.encrypted === b.traits.encrypted

/** How large a missing image is to be says nothing of one that is there. */
const asServed = (lun: LunState): LunState =>
  lun.medium.kind === 'file' ? { ...lun, medium: { ...lun.medium, createSizeBytes: null } } : lun
