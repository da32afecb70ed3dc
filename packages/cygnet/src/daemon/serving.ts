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
import { TargetNode, type TargetNodeOptions } from '../target/target-node.ts'
import { authPolicyOf } from './auth-policy.ts'
import type { Secrets } from './config/secrets.ts'
import type { DesiredState, TargetState } from './config/state.ts'
import { ConnectionLog } from './connection-log.ts'
import { flushDisk, type OpenDisk } from './disks.ts'
import { targetLimitsOf, throttleOf } from './limits.ts'
import type { PortalSurroundings } from './portals.ts'
import { changeTarget } from './target-changes.ts'
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

/** What targets are to be. */
export interface WantedTargets {
  readonly targets: readonly TargetState[]
  readonly secrets: Secrets
}

/** Targets with their disks open, and all that their portals need. */
export interface Serving {
  readonly targets: readonly OpenTarget[]
  readonly surroundings: PortalSurroundings
  /**
   * Makes targets what they are to be, where that is given, then looks whether images have grown; initiators hear of what
   * is news to them. Problems are logged.
   */
  reload(wanted?: WantedTargets): Promise<void>
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
  const copyUnits = new CopyUnits(randomBytes)
  const targetSurroundings = { io, pool, secrets, records, copyUnits, maxSessions }
  const targets = await openTargets(state.targets, targetSurroundings)
  let reloading = Promise.resolve()
  let isClosing = false
  const reload = async (wanted: WantedTargets | undefined): Promise<void> => {
    for (const target of targets) {
      if (isClosing) return
      const next = wanted?.targets.find(({ name }) => name === target.state.name)
      if (wanted && next) {
        await changeTarget(target, next, { ...targetSurroundings, secrets: wanted.secrets }, log)
      }
      for (const disk of target.disks) await remeasure(target, disk, log)
    }
  }
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
    reload(wanted) {
      // One after the other.
      reloading = reloading.then(() => reload(wanted))
      return reloading
    },
    endSessions() {
      for (const session of [...node.sessions()])
        session.end('connection-lost', 'the target is shutting down')
    },
    async close() {
      isClosing = true
      await reloading
      await closeTargets(targets, log)
    },
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
  const errors = await Promise.all(disks.map(flushDisk))
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
