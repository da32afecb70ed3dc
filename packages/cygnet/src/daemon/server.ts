import { randomBytes } from 'node:crypto'
import { totalmem } from 'node:os'
import type { Logger } from 'pino'
import { BufferPool } from '../base/pool.ts'
import { CygnetError } from '../base/errors.ts'
import { systemClock } from '../runtime/clock.ts'
import { CopyUnits } from '../device/copy-units.ts'
import { ConnectionLimits } from '../runtime/connection-limits.ts'
import { installNativeCrc32c } from '../runtime/crc32c-native.ts'
import { NodeDiskIO } from '../runtime/disk-io.ts'
import { loadSystemCalls } from '../runtime/page-cache-io-calls.ts'
import type { TcpServer } from '../runtime/tcp-server.ts'
import { MemoryBudget } from '../session/target-role/memory-budget.ts'
import { RecoveryCounters } from '../session/recovery-counters.ts'
import { defaultTargetLimits, type TargetLimits } from '../session/limits.ts'
import type { StoreError } from '../store/backing-store.ts'
import { defaultThrottleLimits, type LoginThrottleLimits } from '../target/login-throttle.ts'
import { TargetNode } from '../target/target-node.ts'
import { type Address, parseAddress } from './address.ts'
import { authPolicyOf } from './auth-policy.ts'
import type { BackoffState, LimitsState } from './config/limits.ts'
import type { Secrets } from './config/secrets.ts'
import { type DesiredState, isLoopbackOnly, isOpenToAll, type PortalState } from './config/state.ts'
import { ConnectionLog } from './connection-log.ts'
import { closeDisks, type OpenDisk } from './disks.ts'
import { drain } from './drain.ts'
import { newPortal } from './portals.ts'
import { type OpenTarget, openTargets } from './targets.ts'
import { UnitRecords } from './unit-records.ts'

/** Data of commands in work, over all sessions; less on a small machine. */
const SERVER_BUFFER_BYTES = 1024 * 1024 * 1024

export interface ServerOptions {
  readonly state: DesiredState
  /** What the state's secret sources hold. */
  readonly secrets: Secrets
  readonly log: Logger
}

export interface RunningPortal {
  readonly state: PortalState
  /** Where it listens, with the port that it got. */
  readonly address: Address
}

export interface RunningServer {
  /** How often each recovery path ran, over all sessions. */
  readonly recovery: RecoveryCounters
  readonly portals: readonly RunningPortal[]
  readonly targets: readonly OpenTarget[]
  /** Looks whether images have grown; initiators of those that have are told. Problems are logged. */
  remeasure(): Promise<void>
  /**
   * Stops listening, asks initiators to log out, lets commands in flight finish (10 s at most), flushes and closes
   * the disks. Once.
   * @throws {CygnetError} FLUSH_FAILED
   */
  stop(): Promise<void>
}

/**
 * Opens the disks of all targets and serves them.
 * @throws {CygnetError} LISTEN_FAILED, STATE_FOLDER, STATE_UNREADABLE, STATE_INVALID, TLS_FILE, TLS_PSK, TLS_OPTIONS, or what `openDisks` throws
 */
export async function startServer({ state, secrets, log }: ServerOptions): Promise<RunningServer> {
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
  const disks = targets.flatMap((target) => target.disks)
  const node = new TargetNode({
    targets: targets.map(({ target }) => target),
    clock: systemClock,
    discoveryAuth: authPolicyOf(state.discovery.auth, secrets),
    throttle: throttleOf(state.limits.authFailureBackoff),
  })
  const connectionLog = new ConnectionLog(log)
  const shared = {
    node,
    pool,
    limits: targetLimits(state.limits),
    budget: new MemoryBudget(Math.min(SERVER_BUFFER_BYTES, totalmem() / 4)),
    counters: new RecoveryCounters(),
    connectionLimits: new ConnectionLimits(state.limits),
    connectionLog,
  }
  const servers: TcpServer[] = []
  try {
    for (const portal of state.portals) {
      const server = newPortal(portal, shared)
      await server.listen()
      servers.push(server)
    }
  } catch (error) {
    for (const server of servers) server.stopListening()
    await closeDisks(disks)
    throw error
  }
  const portals = state.portals.map((portal, index) => ({
    state: portal,
    address: parseAddress(servers[index]?.endpoint ?? '', portal.listen),
  }))
  logStart(targets, servers, log)

  return {
    recovery: shared.counters,
    portals,
    targets,
    async remeasure() {
      for (const target of targets) {
        for (const disk of target.disks) await remeasure(target, disk, log)
      }
    },
    async stop() {
      log.info('stopping')
      for (const server of servers) server.stopListening()
      await drain(servers)
      for (const session of [...node.sessions()])
        session.end('connection-lost', 'the target is shutting down')
      for (const server of servers) server.destroyConnections()
      await closeTargets(targets, log)
      log.info('stopped')
    },
  }
}

function remeasure({ units, state }: OpenTarget, { lun, name }: OpenDisk, log: Logger): Promise<void> {
  const unit = units.get(lun)
  if (!unit) return Promise.resolve()
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

function logStart(targets: readonly OpenTarget[], servers: readonly TcpServer[], log: Logger): void {
  for (const server of servers) log.info({ address: server.endpoint }, 'listening')
  for (const { state, disks } of targets) {
    log.info({ target: state.name, luns: disks.length }, 'serving')
    if (isLoopbackOnly(state)) {
      log.info({ target: state.name }, 'only this machine may log in: no access is configured beyond it')
    } else if (isOpenToAll(state)) {
      log.warn(
        { target: state.name },
        'there is no authentication: whoever reaches the portal can use the disks',
      )
    }
  }
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

const targetLimits = (limits: LimitsState): TargetLimits => ({
  ...defaultTargetLimits,
  loginTimeoutMs: limits.loginTimeoutSeconds * 1000,
  textBytes: limits.textBytes,
  maxConnections: limits.connectionsPerSession,
  errorRecoveryLevel: limits.errorRecoveryLevel,
  time2Wait: limits.time2WaitSeconds,
  time2Retain: limits.time2RetainSeconds,
})

const throttleOf = (backoff: BackoffState): LoginThrottleLimits => ({
  freeFailures: backoff.freeFailures,
  firstDelayMs: backoff.firstDelaySeconds * 1000,
  maxDelayMs: backoff.maxDelaySeconds * 1000,
  forgetAfterMs: defaultThrottleLimits.forgetAfterMs,
  addresses: backoff.addresses,
})
