import { BufferPool } from '../base/pool.ts'
import type { Prng } from '../base/prng.ts'
import { MemoryBudget } from '../session/target-role/memory-budget.ts'
import { RecoveryCounters } from '../session/recovery-counters.ts'
import { TargetConnection } from '../session/target-role/target-connection.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import type { TargetSession } from '../session/target-role/target-session.ts'
import { CheckerStore } from '../store/checker.ts'
import { type FileStore, openFileStore } from '../store/file.ts'
import { IscsiTarget } from '../target/iscsi-target.ts'
import { TargetNode } from '../target/target-node.ts'
import { CheckedUnit, type DeliveryOrder } from './checked-unit.ts'
import type { SimDisk } from './disk.ts'
import { Endpoint } from './endpoint.ts'
import type { EventQueue } from './event-queue.ts'
import type { SimNetwork, SimSocket } from './network.ts'
import { Retention } from './retention.ts'
import type { Scenario } from './scenario.ts'

export const TARGET_NAME = 'iqn.2026-11.example.sim:disk'
const PORTAL = '192.0.2.1:3260'

export interface SimTargetOptions {
  readonly scenario: Scenario
  readonly queue: EventQueue
  readonly network: SimNetwork
  readonly disks: readonly SimDisk[]
  readonly prng: Prng
  readonly violation: (what: string) => void
  /** Tells of what connections end with, for the trace and the checkers. */
  readonly onEvent: (name: string, kind: string, text: string) => void
}

interface Served {
  readonly endpoint: Endpoint
  readonly protocol: TargetConnection
}

/** One run of the target's machine, from power on to crash. */
class Run {
  readonly pool = new BufferPool({ poison: true })
  readonly budget: MemoryBudget
  readonly stores: CheckerStore[] = []
  readonly node: TargetNode
  readonly portal: TargetHost
  readonly retention: Retention
  isOff = false
  readonly counters = new RecoveryCounters()
  readonly served = new Set<Served>()

  constructor({ scenario, queue, disks, violation }: SimTargetOptions) {
    this.budget = new MemoryBudget(scenario.budgetBytes)
    const order: DeliveryOrder = new WeakMap()
    const units = new Map<number, CheckedUnit>()
    for (const [lun, disk] of disks.entries()) {
      let opened: FileStore | undefined
      openFileStore(disk, 'disk', { readOnly: false }, (_error, store) => (opened = store))
      if (opened === undefined) throw new Error('the disk did not open')
      const store = new CheckerStore(opened)
      this.stores.push(store)
      const options = {
        store,
        pool: this.pool,
        identity: { serialNumber: `SIM${lun}`, naa: Uint8Array.of(0x30, 0, 0, 0, 0, 0, 0, lun) },
        blockSizeBytes: scenario.blockBytes,
        writeCache: scenario.writeCache,
      }
      units.set(lun, new CheckedUnit(options, order, violation))
    }
    const target = new IscsiTarget({ name: TARGET_NAME, units, access: [{}] })
    this.node = new TargetNode({ targets: [target], clock: queue })
    const portal = this.node.addPortal({ group: 1, endpoint: () => PORTAL })
    this.retention = new Retention(
      queue,
      (session) => !this.isOff && [...this.node.sessions()].includes(session),
      violation,
    )
    this.portal = portal
    // TARGET COLD RESET ends every session at once, I_T NEXUS RESET one.
    let isReset = false
    const dropAllSessions = target.dropAllSessions.bind(target)
    target.dropAllSessions = (reason) => {
      isReset = true
      dropAllSessions(reason)
      isReset = false
    }
    const dropSession = target.dropSession.bind(target)
    target.dropSession = (nexus, reason) => {
      isReset = true
      dropSession(nexus, reason)
      isReset = false
    }
    const sessionClosed = portal.sessionClosed.bind(portal)
    portal.sessionClosed = (session, closure) => {
      const isByItself = closure === 'connection-lost' && !isReset && !this.#hasConnection(session)
      if (isByItself) this.retention.ended(session)
      sessionClosed(session, closure)
    }
  }

  #hasConnection(session: TargetSession): boolean {
    for (const { protocol } of this.served)
      if (protocol.session === session && protocol.state !== 'closed') return true
    return false
  }

  /** A connection's state may have changed. */
  checkRetention({ session }: TargetConnection, isLoggedOut: boolean): void {
    if (session === undefined || session.tsih === 0) return
    if (this.#hasConnection(session)) this.retention.connected(session)
    else this.retention.gone(session, isLoggedOut)
  }
}

/** The target and its machine. */
export class SimTarget {
  readonly #options: SimTargetOptions
  #run: Run
  /** One for each run. */
  readonly counters: RecoveryCounters[] = []

  constructor(options: SimTargetOptions) {
    this.#options = options
    this.#run = this.#powerOn()
  }

  #powerOn(): Run {
    const run = new Run(this.#options)
    this.counters.push(run.counters)
    this.#options.network.listen((socket) => this.#accept(run, socket))
    return run
  }

  /** The machine stops at once: connections end or fall silent, the disks lose what was not synced. Then it starts again. */
  crash(downMs: number, restarted: () => void): void {
    const { network, prng, disks, queue } = this.#options
    if (this.#run.isOff) return
    this.#run.isOff = true
    network.listen(undefined)
    for (const { endpoint } of this.#run.served) {
      if (prng.chance(0.7)) endpoint.break()
      else endpoint.vanish()
    }
    for (const disk of disks) disk.crash()
    queue.after(downMs, () => {
      this.#run = this.#powerOn()
      restarted()
    })
  }

  get sessions(): TargetSession[] {
    return [...this.#run.node.sessions()]
  }

  /** What is still held; undefined at rest. */
  get remains(): string | undefined {
    const { pool, budget, stores, served } = this.#run
    const underWay = stores.reduce((sum, store) => sum + store.underWay, 0)
    const parts = [
      [this.sessions.length, 'sessions'],
      [served.size, 'connections'],
      [pool.inUse, 'buffers'],
      [budget.usedBytes, 'bytes of the memory budget'],
      [underWay, 'operations of stores'],
    ] as const
    const left = parts.filter(([count]) => count !== 0)
    return left.length === 0 ? undefined : left.map(([count, what]) => `${count} ${what}`).join(', ')
  }

  #accept(run: Run, socket: SimSocket): void {
    const { scenario, queue, onEvent } = this.#options
    let isScheduled = false
    let isLoggedOut = false
    const protocol = new TargetConnection({
      host: run.portal,
      pool: run.pool,
      limits: scenario.target,
      budget: run.budget,
      counters: run.counters,
      peerAddress: '192.0.2.2:50000',
      localAddress: PORTAL,
      now: queue.now(),
      wake: () => {
        if (isScheduled) return
        isScheduled = true
        queue.after(0, () => {
          isScheduled = false
          poll()
        })
      },
    })
    const poll = (): void => {
      if (run !== this.#run) return
      for (let event = protocol.pollEvent(); event; event = protocol.pollEvent()) {
        const reason = 'reason' in event ? String(event.reason) : ''
        isLoggedOut ||= event.kind === 'logged-out'
        onEvent(socket.name, event.kind, 'explanation' in event ? event.explanation : reason)
      }
      run.checkRetention(protocol, isLoggedOut)
      endpoint.flush()
      run.checkRetention(protocol, isLoggedOut)
      if (endpoint.isDone) run.served.delete(served)
    }
    const endpoint = new Endpoint(
      protocol,
      socket,
      {
        queue,
        pool: run.pool,
        segmentBytes: scenario.segmentBytes,
        writeAheadBytes: scenario.writeAheadBytes,
        queuedPdus: 256,
      },
      poll,
    )
    const served = { endpoint, protocol }
    run.served.add(served)
    poll()
  }
}
