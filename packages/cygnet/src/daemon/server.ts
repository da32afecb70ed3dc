import { availableParallelism } from 'node:os'
import type { Logger } from 'pino'
import { ConnectionLimits } from '../runtime/connection-limits.ts'
import type { TcpServer } from '../runtime/tcp-server.ts'
import type { RecoveryCounters } from '../session/recovery-counters.ts'
import type { Address } from './address.ts'
import { laterOf } from './config/changes.ts'
import type { Secrets } from './config/secrets.ts'
import type { DesiredState, PortalState, TargetState } from './config/state.ts'
import type { OpenDisk } from './disks.ts'
import { drain } from './drain.ts'
import { listenAll, logStart, runningPortals } from './listening.ts'
import { newPortal } from './portals.ts'
import { openServing } from './serving.ts'
import { planShards, shardsWanted } from './shard-plan.ts'
import { startShards } from './shard-server.ts'
import { logLater } from './target-changes.ts'

export interface ServerOptions {
  readonly state: DesiredState
  /** What the state's secret sources hold. */
  readonly secrets: Secrets
  readonly log: Logger
}

/** What a server is to be now. */
export type Wanted = Pick<ServerOptions, 'state' | 'secrets'>

export interface RunningPortal {
  readonly state: PortalState
  /** Where it listens, with the port that it got. */
  readonly address: Address
}

/** An open disk, for people. */
export type ServedDisk = Omit<OpenDisk, 'store'>

export interface ServedTarget {
  readonly state: TargetState
  readonly disks: readonly ServedDisk[]
}

export interface RunningServer {
  readonly portals: readonly RunningPortal[]
  readonly targets: readonly ServedTarget[]
  /** How often each recovery path ran, over all sessions; where there are shards, since the start of each. */
  recovery(): Promise<RecoveryCounters>
  /**
   * Makes of the targets what they are to be, where that is given, without disturbing anybody: their LUNs, what INQUIRY shows
   * of those, who may log in and what to. Initiators hear of what is news to them. Whatever else differs waits for the next
   * start, and is logged. Then looks whether images have grown.
   */
  reload(wanted?: Wanted): Promise<void>
  /**
   * Stops listening, asks initiators to log out, lets commands in flight finish (10 s at most), flushes and closes
   * the disks. Once.
   * @throws {CygnetError} FLUSH_FAILED, SHARD_FAILED
   */
  stop(): Promise<void>
}

/**
 * Opens the disks of all targets and serves them, from this process, or from one for each shard where several are
 * wanted.
 * @throws {CygnetError} LISTEN_FAILED, STATE_FOLDER, STATE_UNREADABLE, STATE_INVALID, TLS_FILE, TLS_PSK, TLS_OPTIONS,
 * SHARD_FAILED, or what `openDisks` throws
 */
export function startServer(options: ServerOptions): Promise<RunningServer> {
  const { shards, targets } = options.state
  const plan = planShards(targets, shardsWanted(shards, availableParallelism()))
  return plan.length > 1 ? startShards(options, plan) : startAlone(options)
}

async function startAlone({ state, secrets, log }: ServerOptions): Promise<RunningServer> {
  const connectionLimits = new ConnectionLimits(state.limits)
  const serving = await openServing({ state, secrets, log, connectionLimits, shards: 1 })
  const { targets, surroundings } = serving
  const servers: TcpServer[] = []
  try {
    for (const portal of state.portals) servers.push(newPortal(portal, surroundings))
    await listenAll(servers)
  } catch (error) {
    // Nothing was written that it could fail to flush.
    await serving.close().catch(() => undefined)
    throw error
  }
  logStart(targets, servers, log)

  return {
    portals: runningPortals(state, servers),
    targets,
    recovery: () => Promise.resolve(surroundings.counters),
    reload(wanted) {
      if (wanted) logLater(laterOf(state, wanted.state), log)
      return serving.reload(wanted && { targets: wanted.state.targets, secrets: wanted.secrets })
    },
    async stop() {
      log.info('stopping')
      for (const server of servers) server.stopListening()
      await drain(servers)
      serving.endSessions()
      for (const server of servers) server.destroyConnections()
      await serving.close()
      log.info('stopped')
    },
  }
}
