import { randomBytes } from 'node:crypto'
import { totalmem } from 'node:os'
import type { Logger } from 'pino'
import { CygnetError } from '../base/errors.ts'
import { BufferPool } from '../base/pool.ts'
import { CopyUnits } from '../device/copy-units.ts'
import { DiskUnit } from '../device/disk-unit.ts'
import { systemClock } from '../runtime/clock.ts'
import type { ConnectionRegister } from '../runtime/connection-limits.ts'
import { installNativeCrc32c } from '../runtime/crc32c-native.ts'
import { NodeDiskIO } from '../runtime/disk-io.ts'
import { loadSystemCalls } from '../runtime/page-cache-io-calls.ts'
import { RecoveryCounters } from '../session/recovery-counters.ts'
import { MemoryBudget } from '../session/target-role/memory-budget.ts'
import type { StoreError } from '../store/backing-store.ts'
import { TargetNode, type TargetNodeOptions } from '../target/target-node.ts'
import { authPolicyOf } from './auth-policy.ts'
import type { Secrets } from './config/secrets.ts'
import type { DesiredState } from './config/state.ts'
import { ConnectionLog } from './connection-log.ts'
import type { OpenDisk } from './disks.ts'
import { targetLimitsOf, throttleOf } from './limits.ts'
import type { PortalSurroundings } from './portals.ts'
import { type OpenTarget, openTargets } from './targets.ts'
import { UnitRecords } from './unit-records.ts'

/** Data of commands in work, over all sessions; less on a small machine. */
const SERVER_BUFFER_BYTES = 1024 * 1024 * 1024

export interface ServingOptions {
  readonly state: DesiredState
  /** What the state's secret sources hold. */
  readonly secrets: Secrets
  readonly log: Logger
  readonly connectionLimits: ConnectionRegister
  /** Of how many shards this is one: each has an equal part of the memory. 1: there are none. */
  readonly shards: number
  readonly newNode?: (options: TargetNodeOptions) => TargetNode
}

/** Targets with their disks open, and all that their portals need. */
export interface Serving {
  readonly targets: readonly OpenTarget[]
  readonly surroundings: PortalSurroundings
  /** Looks whether images have grown; initiators of those that have are told. Problems are logged. */
  remeasure(): Promise<void>
  /** Ends the sessions. */
  endSessions(): void
  /**
   * Flushes and closes the disks. Once, and after the sessions.
   * @throws {CygnetError} FLUSH_FAILED
   */
  close(): Promise<void>
}

/**
 * Opens the disks of all targets.
 * @throws {CygnetError} STATE_FOLDER, STATE_UNREADABLE, STATE_INVALID, or what `openDisks` throws
 */
export async function openServing(options: ServingOptions): Promise<Serving> {
  const { state, secrets, log, connectionLimits, shards } = options
  const newNode = options.newNode ?? ((nodeOptions) => new TargetNode(nodeOptions))
  const { calls, reason } = loadSystemCalls()
  if (calls === undefined) log.info(`no page cache calls, holes or locks: ${reason}`)
  const noNativeCrc = installNativeCrc32c()
  if (noNativeCrc !== undefined) log.info(`digests are computed in JavaScript: ${noNativeCrc}`)

  const pool = new BufferPool()
  const maxSessions = state.limits.sessionsPerTarget
  const io = new NodeDiskIO(calls)
  const records = new UnitRecords(state.stateFolder, log)
  const targets = await openTargets(state.targets, {
    io,
    pool,
    secrets,
    records,
    copyUnits: new CopyUnits(randomBytes),
    maxSessions,
  })
  const node = newNode({
    targets: targets.map(({ target }) => target),
    clock: systemClock,
    discoveryAuth: authPolicyOf(state.discovery.auth, secrets),
    throttle: throttleOf(state.limits.authFailureBackoff),
  })
  return {
    targets,
    surroundings: {
      node,
      pool,
      limits: targetLimitsOf(state.limits),
      budget: new MemoryBudget(Math.min(SERVER_BUFFER_BYTES, totalmem() / 4) / shards),
      counters: new RecoveryCounters(),
      connectionLimits,
      connectionLog: new ConnectionLog(log),
    },
    async remeasure() {
      for (const target of targets) {
        for (const disk of target.disks) await remeasure(target, disk, log)
      }
    },
    endSessions() {
      for (const session of [...node.sessions()])
        session.end('connection-lost', 'the target is shutting down')
    },
    close: () => closeTargets(targets, log),
  }
}

function remeasure({ units, state }: OpenTarget, { lun, name }: OpenDisk, log: Logger): Promise<void> {
  const unit = units.get(lun)
  if (!(unit instanceof DiskUnit)) return Promise.resolve()
  return new Promise((resolve) => {
    unit.remeasure((error, hasGrown) => {
      const about = { target: state.name, lun, name }
      if (error) log.error({ ...about, err: error.cause }, 'its size cannot be read')
      else if (hasGrown) {
        log.info({ ...about, sizeBytes: unit.blocks * unit.blockSizeBytes }, 'the disk has grown')
      }
      resolve()
    })
  })
}

async function closeTargets(targets: readonly OpenTarget[], log: Logger): Promise<void> {
  const disks = targets.flatMap((target) => target.disks)
  const errors = await Promise.all(disks.map((disk) => flush(disk)))
  // A reset ends what a lost connection has left behind; then no task is left.
  for (const unit of targets.flatMap(({ units }) => [...units.values()])) {
    await new Promise<void>((resolve) => unit.reset(resolve))
    await new Promise<void>((resolve) => unit.close(resolve))
  }
  const failed = disks.filter((_, index) => errors[index] !== undefined)
  for (const disk of failed) {
    log.error({ lun: disk.lun, name: disk.name, err: errors[disks.indexOf(disk)]?.cause }, 'flush failed')
  }
  if (failed.length === 0) return
  const names = failed.map(({ name }) => name).join(', ')
  throw new CygnetError('FLUSH_FAILED', `Not everything could be written to ${names}: check the medium.`)
}

const flush = ({ store }: OpenDisk): Promise<StoreError | undefined> =>
  new Promise((resolve) => store.flush(resolve))
