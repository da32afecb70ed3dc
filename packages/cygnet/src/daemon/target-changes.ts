import type { Logger } from 'pino'
import { CygnetError } from '../base/errors.ts'
import { targetChange } from './config/changes.ts'
import type { LunState, TargetState } from './config/state.ts'
import { closeDisks, flushDisk, type OpenDisk, openDisks } from './disks.ts'
import { type OpenTarget, type ServedUnit, type TargetSurroundings, unitOf, whoAndHow } from './targets.ts'

/** How long commands in work have to end once their LUN is to go; then they are aborted. */
const TASKS_END_MS = 10_000

/**
 * Changes a target while it is served: first what goes, and who may do what; then what comes, as that may be the same image
 * under another LUN. A LUN that cannot be opened is left out, and the log says why.
 */
export async function changeTarget(
  open: OpenTarget,
  wanted: TargetState,
  surroundings: TargetSurroundings,
  log: Logger,
): Promise<void> {
  const { removed, added, state, later } = targetChange(open.state, wanted)
  logLater(later, log)
  if (state === open.state) return
  const { name } = state
  const { target, portGroups } = open
  const going = open.disks.filter(({ lun }) => removed.includes(lun))
  const units = new Map(open.units)
  // A unit that another replaces stays in its place and answers BUSY until that is there.
  for (const lun of removed) if (!added.some((other) => other.lun === lun)) units.delete(lun)
  target.change({ ...whoAndHow(state, surroundings.secrets), units: new Map(units) })
  for (const [index, group] of state.groups.entries()) {
    const path = state.paths[index] ?? 'optimized'
    if (path !== (open.state.paths[index] ?? 'optimized')) target.setAccessState(group, path)
  }
  await Promise.all(going.map((disk) => closeUnit(name, disk, open.units.get(disk.lun), log)))

  const disks = open.disks.filter((disk) => !going.includes(disk))
  for (const lun of added) {
    const opened = await openUnit(name, lun, portGroups, surroundings, log)
    units.delete(lun.lun)
    if (!opened) continue
    units.set(lun.lun, opened.unit)
    disks.push(opened.disk)
  }
  if (added.length > 0) target.change({ units: new Map(units) })
  open.units = units
  open.disks = disks.toSorted((a, b) => a.lun - b.lun)
  open.state = { ...state, luns: state.luns.filter(({ lun }) => units.has(lun)) }
}

/** What the configuration file says, and the server does not do yet. */
export function logLater(settings: readonly string[], log: Logger): void {
  for (const setting of settings) log.warn(`${setting} changed: takes effect at the next start`)
}

interface Opened {
  readonly disk: OpenDisk
  readonly unit: ServedUnit
}

async function openUnit(
  target: string,
  lun: LunState,
  portGroups: OpenTarget['portGroups'],
  surroundings: TargetSurroundings,
  log: Logger,
): Promise<Opened | undefined> {
  const about = { target, lun: lun.lun }
  let disks: OpenDisk[] = []
  try {
    disks = await openDisks(surroundings.io, [lun])
    const [disk] = disks
    if (!disk) return undefined
    const unit = await unitOf(disk, target, portGroups, surroundings)
    log.info({ ...about, name: disk.name, sizeBytes: disk.sizeBytes }, 'LUN added')
    return { disk, unit }
  } catch (error) {
    if (!(error instanceof CygnetError)) throw error
    log.error(about, `LUN not added: ${error.message}`)
    await closeDisks(disks)
    return undefined
  }
}

/** Commands in work end first; nothing new comes. */
async function closeUnit(
  target: string,
  disk: OpenDisk,
  unit: ServedUnit | undefined,
  log: Logger,
): Promise<void> {
  if (!unit) return
  const about = { target, lun: disk.lun, name: disk.name }
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      log.warn(about, 'commands in work have not ended, and are aborted: the LUN is to be removed')
      unit.reset(() => undefined)
    }, TASKS_END_MS)
    unit.retire(() => {
      clearTimeout(timer)
      resolve()
    })
  })
  const error = await flushDisk(disk)
  if (error) log.error({ ...about, err: error.cause }, 'flush failed')
  await new Promise<void>((resolve) => unit.close(resolve))
  log.info(about, 'LUN removed')
}
