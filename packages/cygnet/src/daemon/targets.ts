import { CygnetError } from '../base/errors.ts'
import type { BufferPool } from '../base/pool.ts'
import { finishAtomicWrite } from '../device/atomic-writes.ts'
import type { CopyUnits } from '../device/copy-units.ts'
import { DiskUnit } from '../device/disk-unit.ts'
import { OpticalUnit } from '../device/optical-unit.ts'
import { TargetPortGroups } from '../device/target-port-groups.ts'
import type { BackingStore } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import type { DiskIO } from '../store/disk-io.ts'
import type { AccessRule } from '../target/access.ts'
import { parseAddressRange } from '../target/address-range.ts'
import { IscsiTarget } from '../target/iscsi-target.ts'
import { parseNamePattern } from '../target/name-pattern.ts'
import { formatAddress } from './address.ts'
import { authPolicyOf } from './auth-policy.ts'
import type { Secrets } from './config/secrets.ts'
import type { AccessRuleState, MovedState, TargetState } from './config/state.ts'
import { closeDisks, type OpenDisk, openDisks } from './disks.ts'
import { encryptedStore } from './encryption.ts'
import { unitIdentity } from './identity.ts'
import { watchSpace } from './space-watch.ts'
import type { UnitRecords } from './unit-records.ts'

export type ServedUnit = DiskUnit | OpticalUnit

/** A target with its disks open: what it is now. */
export interface OpenTarget {
  state: TargetState
  disks: readonly OpenDisk[]
  units: ReadonlyMap<number, ServedUnit>
  readonly target: IscsiTarget
  readonly portGroups: TargetPortGroups
}

export interface TargetSurroundings {
  readonly io: DiskIO
  readonly pool: BufferPool
  readonly secrets: Secrets
  readonly records: UnitRecords
  /** The units of every target. */
  readonly copyUnits: CopyUnits
  readonly maxSessions: number
}

/**
 * Opens the disks of all targets, or of none.
 * @throws {CygnetError} what `openDisks` throws
 */
export async function openTargets(
  states: readonly TargetState[],
  surroundings: TargetSurroundings,
): Promise<OpenTarget[]> {
  const open: OpenTarget[] = []
  try {
    for (const state of states) open.push(await openTarget(state, surroundings))
    return open
  } catch (error) {
    for (const { disks } of open) await closeDisks(disks)
    throw error
  }
}

async function openTarget(state: TargetState, surroundings: TargetSurroundings): Promise<OpenTarget> {
  const { io } = surroundings
  const portGroups = new TargetPortGroups(
    state.groups.map((group, i) => [group, state.paths[i] ?? 'optimized']),
  )
  const disks = await openDisks(io, state.luns)
  const units = new Map<number, ServedUnit>()
  for (const disk of disks) units.set(disk.lun, await unitOf(disk, state.name, portGroups, surroundings))
  return { state, disks, units, target: iscsiTarget(state, surroundings, units, portGroups), portGroups }
}

/** The target of a state; without units, one that a portal can know of while another process serves it. */
export function iscsiTarget(
  state: TargetState,
  { secrets, maxSessions }: Pick<TargetSurroundings, 'secrets' | 'maxSessions'>,
  units: ReadonlyMap<number, ServedUnit>,
  portGroups?: TargetPortGroups,
): IscsiTarget {
  return new IscsiTarget({
    name: state.name,
    ...whoAndHow(state, secrets),
    units,
    groups: new Set(state.groups),
    ...(portGroups && { portGroups }),
    maxSessions,
    ...(state.moved && { moved: movedTo(state.moved) }),
    removed: state.removed,
  })
}

/** What may change at any time. */
export const whoAndHow = ({ alias, auth, access }: TargetState, secrets: Secrets) => ({
  alias,
  auth: authPolicyOf(auth, secrets),
  access: access.map(accessRule),
})

export async function unitOf(
  disk: OpenDisk,
  targetName: string,
  portGroups: TargetPortGroups,
  { pool, records, copyUnits }: TargetSurroundings,
): Promise<ServedUnit> {
  const { blockSizeBytes, readOnly, lun, traits } = disk
  const identity = unitIdentity(targetName, lun)
  const itsRecords = records.open(disk, identity)
  const common = { pool, identity, portGroups, ...(itsRecords && { records: itsRecords }) }
  if (disk.kind === 'cdrom') return new OpticalUnit({ ...common, store: disk.store })
  const store = traits.encrypted ? await encryptedStore(disk, itsRecords) : disk.store
  if (itsRecords) await finishWrites(itsRecords, disk.name, store)
  const unit = new DiskUnit({
    ...common,
    store,
    blockSizeBytes,
    readOnly,
    thin: traits.thin,
    removable: traits.removable,
    spaceWarningBytes: traits.spaceWarningBytes,
    ...(traits.physicalBlockBytes !== null && { physicalBlockBytes: traits.physicalBlockBytes }),
    copyUnits,
    now: Date.now,
  })
  watchSpace(unit)
  return unit
}

/** @throws {CygnetError} STORE_FAILED where a write that a crash has interrupted can still not be finished */
function finishWrites(records: DurableRecords, name: string, store: BackingStore): Promise<void> {
  return new Promise((resolve, reject) => {
    finishAtomicWrite(records, store, (error) => {
      if (!error) return resolve()
      const message = `An interrupted write to ${name} cannot be finished: check the medium.`
      reject(new CygnetError('STORE_FAILED', message, { cause: error.cause }))
    })
  })
}

export const movedTo = ({ to, permanent }: MovedState): { address: string; permanent: boolean } => ({
  address: formatAddress(to),
  permanent,
})

const accessRule = ({ initiators, addresses, users, luns, readOnly }: AccessRuleState): AccessRule => ({
  ...(initiators !== 'any' && { initiators: initiators.map(parseNamePattern) }),
  ...(addresses !== 'any' && { addresses: addresses.map(parseAddressRange) }),
  ...(users !== 'any' && { users }),
  ...(luns !== 'all' && { luns: new Map(luns.map(({ lun, targetLun }) => [lun, targetLun])) }),
  readOnly,
})
