import { BufferPool } from '../base/pool.ts'
import { LoginStatus } from '../pdu/login-status.ts'
import { systemClock } from '../runtime/clock.ts'
import { ConnectionLimits, type LimitedConnection } from '../runtime/connection-limits.ts'
import { installNativeCrc32c } from '../runtime/crc32c-native.ts'
import { type HandedConnection, type IsElsewhere, LoginRoute } from '../runtime/shard-login.ts'
import { relay, socketPair } from '../runtime/shard-relay.ts'
import type { TcpServer } from '../runtime/tcp-server.ts'
import { RecoveryCounters } from '../session/recovery-counters.ts'
import { MemoryBudget } from '../session/target-role/memory-budget.ts'
import { refuse } from '../session/target-role/target-host.ts'
import { addressOf } from '../target/access.ts'
import { authPolicyOf } from './auth-policy.ts'
import { laterOf, targetChange } from './config/changes.ts'
import type { PortalState } from './config/state.ts'
import { ConnectionLog } from './connection-log.ts'
import { drain } from './drain.ts'
import { targetLimitsOf, throttleOf } from './limits.ts'
import { listenAll, logStart, runningPortals } from './listening.ts'
import { newPortal, type PortalSurroundings } from './portals.ts'
import type { RunningServer, ServedTarget, ServerOptions, Wanted } from './server.ts'
import { type CounterValues, sumOfCounters } from './shard-counters.ts'
import { ShardNode } from './shard-node.ts'
import type { ShardPlan } from './shard-plan.ts'
import type { WantedOfShard } from './shard-messages.ts'
import { ShardProcess } from './shard-process.ts'
import { logLater } from './target-changes.ts'
import { iscsiTarget, whoAndHow } from './targets.ts'

/** A connection that a shard has, as the limits see it. */
interface ShardConnection extends LimitedConnection {
  readonly shard: ShardProcess
  isLoggingIn: boolean
  isDiscovery: boolean
  /** Once the shard has closed it. */
  closed?: () => void
}

/**
 * Serves the targets from several processes. This one listens, ends TLS, answers discovery, and refuses whom its limits,
 * its access rules and the waits after failed authentications keep out; a login to a target goes, with all that was
 * received of it, to the shard that serves the target, which then owns the socket (docs/adr/0005).
 * @throws {CygnetError} as `startServer`
 */
export async function startShards(options: ServerOptions, plan: ShardPlan): Promise<RunningServer> {
  const server = new ShardServer(options, plan)
  return server.start()
}

class ShardServer {
  readonly #options: ServerOptions
  readonly #shards: readonly ShardProcess[]
  readonly #shardOf = new Map<string, ShardProcess>()
  readonly #connections = new Map<number, ShardConnection>()
  readonly #connectionLimits: ConnectionLimits
  readonly #node: ShardNode
  readonly #portals: readonly TcpServer[]
  readonly #counters = new RecoveryCounters()
  #lastId = 0

  constructor(options: ServerOptions, plan: ShardPlan) {
    const { state, secrets, log } = options
    installNativeCrc32c()
    this.#options = options
    this.#connectionLimits = new ConnectionLimits(state.limits)
    this.#shards = plan.map((targets, index) => this.#newShard(index + 1, targets, plan.length))
    const maxSessions = state.limits.sessionsPerTarget
    this.#node = new ShardNode(
      {
        targets: state.targets.map((target) => iscsiTarget(target, { secrets, maxSessions }, new Map())),
        clock: systemClock,
        discoveryAuth: authPolicyOf(state.discovery.auth, secrets),
        throttle: throttleOf(state.limits.authFailureBackoff),
      },
      (address) => this.#authenticationFailed(address, undefined),
    )
    const surroundings: PortalSurroundings = {
      node: this.#node,
      pool: new BufferPool(),
      limits: targetLimitsOf(state.limits),
      // Discovery moves no data.
      budget: new MemoryBudget(0),
      counters: this.#counters,
      connectionLimits: this.#connectionLimits,
      connectionLog: new ConnectionLog(log),
    }
    this.#portals = state.portals.map((portal, index) => this.#newPortal(portal, index, surroundings))
  }

  async start(): Promise<RunningServer> {
    const { state, log } = this.#options
    const targets = await this.#startShards()
    try {
      await listenAll(this.#portals)
    } catch (error) {
      await Promise.allSettled(this.#shards.map((shard) => shard.stop()))
      throw error
    }
    const endpoints = this.#portals.map(({ endpoint }) => endpoint)
    for (const shard of this.#shards) shard.listening(endpoints)
    logStart(targets, this.#portals, log)
    return {
      portals: runningPortals(state, this.#portals),
      targets,
      recovery: async () => sumOfCounters([this.#counters, ...(await this.#shardCounters())]),
      reload: (wanted) => this.#reload(wanted),
      stop: () => this.#stop(),
    }
  }

  /** All of them, or none. */
  async #startShards(): Promise<ServedTarget[]> {
    const started = await Promise.allSettled(this.#shards.map((shard) => shard.start()))
    const failed = started.find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') {
      await Promise.allSettled(this.#shards.map((shard) => shard.stop()))
      throw failed.reason
    }
    const served = new Map(
      started.flatMap((result) =>
        result.status === 'fulfilled'
          ? result.value.map((target) => [target.state.name, target] as const)
          : [],
      ),
    )
    // Those that have moved or are removed have no shard.
    return this.#options.state.targets.map((state) => served.get(state.name) ?? { state, disks: [] })
  }

  #newShard(number: number, targets: ShardPlan[number], shards: number): ShardProcess {
    const { state, secrets, log } = this.#options
    const start = {
      kind: 'start',
      state: { ...state, targets },
      secrets: secrets.entries(),
      logLevel: log.level,
      shards,
    } as const
    const shard: ShardProcess = new ShardProcess(number, start, log, {
      loggedIn: (id, isDiscovery) => {
        const connection = this.#connections.get(id)
        if (connection) Object.assign(connection, { isLoggingIn: false, isDiscovery })
      },
      closed: (id) => this.#forget(id),
      authenticationFailed: (address) => this.#authenticationFailed(address, shard),
      lost: () => {
        for (const [id, connection] of this.#connections) if (connection.shard === shard) this.#forget(id)
      },
    })
    for (const { name } of targets) this.#shardOf.set(name, shard)
    return shard
  }

  #newPortal(state: PortalState, index: number, surroundings: PortalSurroundings): TcpServer {
    return newPortal(state, surroundings, {
      handover: {
        newRoute: (host) => new LoginRoute(host, this.#isElsewhere, this.#options.state.limits.textBytes),
        take: (handed) => void this.#handOver(handed, index, state.tls !== null),
      },
    })
  }

  readonly #isElsewhere: IsElsewhere = (targetName) => {
    const shard = this.#shardOf.get(targetName)
    if (!shard) return false
    if (shard.isReady) return true
    return refuse(LoginStatus.serviceUnavailable, `shard ${shard.number} of the target is being started`)
  }

  /** What comes over TLS is decrypted here, and goes on by a local socket. */
  async #handOver(handed: HandedConnection, portal: number, isTls: boolean): Promise<void> {
    const { socket, ...about } = handed
    const shard = this.#shardOf.get(handed.targetName)
    if (!shard) throw new Error('a connection was handed over to no shard')
    const id = this.#register(shard, handed)
    const message = { kind: 'connection', id, portal, ...about } as const
    if (!isTls) return shard.give(message, socket)
    try {
      const [near, far] = await socketPair()
      const closed = relay(socket, near)
      shard.give(message, far)
      const connection = this.#connections.get(id)
      // It may have been closed meanwhile.
      if (connection) connection.closed = closed
      else closed()
    } catch (error) {
      this.#options.log.error({ peer: handed.peerAddress, err: error }, 'TLS connection not handed over')
      socket.destroy()
      this.#forget(id)
    }
  }

  #register(shard: ShardProcess, { peerAddress }: HandedConnection): number {
    const id = ++this.#lastId
    const connection: ShardConnection = {
      shard,
      address: addressOf(peerAddress),
      isLoggingIn: true,
      isDiscovery: false,
      evict: (reason) => {
        // The shard may take its time: the next to make room is another.
        connection.isLoggingIn = false
        connection.isDiscovery = false
        shard.evict(id, reason)
      },
    }
    this.#connections.set(id, connection)
    this.#connectionLimits.add(connection)
    return id
  }

  #forget(id: number): void {
    const connection = this.#connections.get(id)
    if (!connection) return
    this.#connections.delete(id)
    this.#connectionLimits.remove(connection)
    connection.closed?.()
  }

  /** An address that guesses waits everywhere. `source` knows already. */
  #authenticationFailed(address: string, source: ShardProcess | undefined): void {
    if (source) this.#node.failedElsewhere(address)
    for (const shard of this.#shards) {
      if (shard !== source) shard.tell({ kind: 'authentication-failed', address })
    }
  }

  async #shardCounters(): Promise<CounterValues[]> {
    const counters = await Promise.all(this.#shards.map((shard) => shard.counters()))
    return counters.filter((values) => values !== undefined)
  }

  /** Each shard makes its own targets what they are to be; no target moves. */
  async #reload(wanted: Wanted | undefined): Promise<void> {
    if (wanted) this.#reloadHere(wanted)
    const wantedOf = (shard: ShardProcess): WantedOfShard | undefined =>
      wanted && {
        targets: wanted.state.targets.filter(({ name }) => this.#shardOf.get(name) === shard),
        secrets: wanted.secrets.entries(),
      }
    await Promise.all(this.#shards.map((shard) => shard.reload(wantedOf(shard))))
  }

  /** Who may log in, and what no shard is asked for. */
  #reloadHere({ state, secrets }: Wanted): void {
    const { state: running, log } = this.#options
    logLater(laterOf(running, state), log)
    for (const target of running.targets) {
      const wanted = state.targets.find(({ name }) => name === target.name)
      if (!wanted) continue
      const { state: next, later } = targetChange(target, wanted)
      if (next !== target) this.#node.targets.get(target.name)?.change(whoAndHow(next, secrets))
      if (!this.#shardOf.has(target.name)) logLater(later, log)
    }
  }

  async #stop(): Promise<void> {
    const { log } = this.#options
    log.info('stopping')
    for (const portal of this.#portals) portal.stopListening()
    const results = await Promise.allSettled([
      drain(this.#portals),
      ...this.#shards.map((shard) => shard.stop()),
    ])
    for (const portal of this.#portals) portal.destroyConnections()
    const failed = results.find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
    log.info('stopped')
  }
}
