import { Prng } from '../base/prng.ts'
import type { Closure } from '../session/initiator-role/initiator-events.ts'
import type { RecoveryCounters } from '../session/recovery-counters.ts'
import { SECTOR_BYTES, SimDisk } from './disk.ts'
import { EventQueue } from './event-queue.ts'
import { ModelDisk } from './model.ts'
import { SimNetwork, type SimSocket } from './network.ts'
import { type FaultCounts, healed, newFaultCounts } from './network-behaviour.ts'
import { drawScenario, noReduction, type Reduction, type Scenario } from './scenario.ts'
import { type SessionNews, SimInitiator } from './sim-initiator.ts'
import { SimTarget } from './sim-target.ts'
import { Trace } from './trace.ts'
import { WireObserver } from './wire/observer.ts'
import { Workload } from './workload.ts'

/** What came of one seed. */
export interface Result {
  readonly seed: number
  readonly scenario: Scenario
  /** Empty: every promise was kept. */
  readonly violations: readonly string[]
  readonly counts: FaultCounts
  /** One for each run of its machine. */
  readonly targets: readonly RecoveryCounters[]
  readonly initiators: readonly RecoveryCounters[]
  /** How requests ended. */
  readonly ends: ReadonlyMap<string, number>
  readonly virtualMs: number
  readonly events: number
  readonly trace: Trace | undefined
}

/** After this, nothing else goes wrong. */
const FAULTS_MS = 60_000
/** From then on, for everything that is under way. */
const HEAL_MS = 900_000
/** For the end of every session. */
const LEAVE_MS = 300_000
/** For the target to forget those that did not say goodbye. */
const REST_MS = 300_000
const MAX_EVENTS = 2_000_000
const RELOGIN_MS = 200
const MAX_VIOLATIONS = 20

/** One machine that runs an initiator, and its program's successive lives. */
interface Host {
  readonly workload: Workload
  readonly name: string
  readonly prng: Prng
  current: SimInitiator | undefined
  hasStopped: boolean
}

/** Runs one seed: everything that exists, and the rules that it is held to. */
export class Simulation {
  readonly scenario: Scenario
  readonly queue = new EventQueue()
  readonly counts: FaultCounts = newFaultCounts()
  readonly violations: string[] = []
  readonly trace: Trace | undefined
  readonly #network: SimNetwork
  readonly #disks: SimDisk[]
  readonly #models: ModelDisk[]
  readonly #target: SimTarget
  readonly #hosts: Host[]
  readonly #initiators: SimInitiator[] = []
  readonly #observers = new Map<SimSocket, WireObserver>()
  readonly #sessions = new Map()
  #order = 0
  #events = 0
  #hasHealed = false
  #isLeaving = false
  #connections = 0

  constructor(seed: number, reduction: Reduction = noReduction, wantsTrace = false) {
    const scenario = drawScenario(seed, reduction)
    this.scenario = scenario
    const prng = new Prng(seed, 1)
    const { queue } = this
    this.trace = wantsTrace ? new Trace(queue) : undefined
    this.#network = new SimNetwork(queue, prng.fork(), scenario.network, this.counts, (what) =>
      this.#violation(what),
    )
    this.#network.onFault = (kind, socket) => this.trace?.fault(socket.name, kind)
    this.#disks = Array.from(
      { length: scenario.luns },
      () => new SimDisk(queue, prng.fork(), scenario.diskBytes, scenario.disk),
    )
    this.#models = this.#disks.map(() => new ModelDisk(scenario.diskBytes))
    this.#target = new SimTarget({
      scenario,
      queue,
      network: this.#network,
      disks: this.#disks,
      prng: prng.fork(),
      violation: (what) => this.#violation(what),
      onEvent: (name, kind, text) => this.trace?.note(name, `target: ${kind} ${text}`),
    })
    this.#hosts = scenario.initiators.map((plan, index) => {
      const name = String.fromCharCode(65 + index)
      const workload: Workload = new Workload({
        name,
        plan,
        queue,
        models: this.#models,
        mediumOf: (lun) => (this.#disks[lun] as SimDisk).medium,
        writeCache: scenario.writeCache,
        blockBytes: scenario.blockBytes,
        violation: (what) => this.#violation(what),
        takeOrder: () => ++this.#order,
        onReset: (lun, since) => this.#wasReset(workload, lun, since),
      })
      return { workload, name, prng: prng.fork(), current: undefined, hasStopped: false }
    })
  }

  run(): Result {
    try {
      this.#begin()
      this.#drive()
    } catch (error) {
      this.#violation(error instanceof Error ? (error.stack ?? error.message) : String(error))
    }
    return this.#result()
  }

  #begin(): void {
    const { queue } = this
    for (const index of this.#hosts.keys()) queue.after(index, () => this.#logIn(index))
    for (const { atMs, downMs } of this.scenario.crashes)
      queue.at(atMs, () => {
        if (!this.#hasHealed) this.#crash(downMs)
      })
    for (const [index, { vanishes }] of this.scenario.initiators.entries())
      if (vanishes)
        queue.at(vanishes.atMs, () => {
          if (!this.#hasHealed) this.#vanish(index, vanishes.returns)
        })
  }

  // Phases

  #drive(): void {
    const areDone = (): boolean =>
      this.#hosts.every(({ workload, hasStopped }) => hasStopped || workload.isDone)
    this.#until(areDone, FAULTS_MS)
    this.#heal()
    this.#must('hang', areDone, HEAL_MS, () =>
      this.#hosts.map(({ name, workload }) => `${name}: ${workload.describe()}`).join('; '),
    )
    this.#isLeaving = true
    for (const { current } of this.#hosts) current?.session.logOut()
    const haveLeft = (): boolean => this.#hosts.every(({ current }) => current === undefined)
    this.#must('a logout does not end', haveLeft, LEAVE_MS, () =>
      this.#hosts
        .filter(({ current }) => current)
        .map(({ name }) => name)
        .join(', '),
    )
    this.#must(
      'the target is not at rest',
      () => this.#target.remains === undefined,
      REST_MS,
      () => this.#target.remains ?? '',
    )
    for (const initiator of this.#initiators) {
      this.#must(
        'an initiator is not at rest',
        () => initiator.remains === undefined,
        LEAVE_MS,
        () => initiator.remains ?? '',
      )
    }
    if (this.violations.length === 0) this.#checkMedium()
  }

  #until(isDone: () => boolean, limitMs: number): boolean {
    const end = this.queue.now() + limitMs
    while (!isDone()) {
      if (this.violations.length > 0) return true
      if ((this.queue.next ?? Infinity) > end) return false
      if (++this.#events > MAX_EVENTS) {
        this.#violation(`more than ${MAX_EVENTS} events`)
        return true
      }
      this.queue.step()
    }
    return true
  }

  #must(what: string, isDone: () => boolean, limitMs: number, describe: () => string): void {
    if (!this.#until(isDone, limitMs)) this.#violation(`${what}: ${describe()}`)
  }

  #heal(): void {
    this.#hasHealed = true
    this.trace?.note('', 'from here on nothing goes wrong any more')
    this.#network.behaviour = healed(this.#network.behaviour)
    for (const disk of this.#disks)
      disk.behaviour = { ...disk.behaviour, readErrors: 0, writeErrors: 0, syncErrors: 0 }
  }

  /** Everything that was flushed is on the medium. */
  #checkMedium(): void {
    for (const [lun, disk] of this.#disks.entries()) {
      disk.crash()
      const model = this.#models[lun] as ModelDisk
      model.crash()
      const bytes = new Uint8Array(model.sectors * SECTOR_BYTES)
      disk.read(bytes, 0)
      const wrong = model.endRead(model.beginRead(0, model.sectors), bytes)
      if (wrong !== undefined) this.#violation(`LUN ${lun} after the last crash: ${wrong}`)
    }
  }

  // What happens

  #logIn(index: number): void {
    const host = this.#hosts[index] as Host
    const plan = this.scenario.initiators[index]
    if (host.hasStopped || plan === undefined) return
    if (this.#isLeaving || (host.workload.isDone && this.#initiators.length > 0)) return
    const initiator: SimInitiator = new SimInitiator({
      name: host.name,
      index,
      scenario: this.scenario,
      plan,
      queue: this.queue,
      network: this.#network,
      prng: host.prng.fork(),
      watch: (socket) => this.#watch(socket),
      onEvent: (event) => {
        const failure = 'failure' in event ? event.failure : undefined
        this.trace?.note(host.name, `initiator: ${event.kind} ${failure ? failure.message : ''}`)
        if (host.current !== initiator) return
        this.#heard(host, index, event)
      },
    })
    this.#initiators.push(initiator)
    host.current = initiator
    initiator.start()
    host.workload.use(initiator)
  }

  #heard({ workload, ...host }: Host, index: number, event: SessionNews): void {
    if (event.kind === 'connection-lost' || event.kind === 'session-lost') {
      this.#checkFailure(host.name, event.failure)
      workload.connectionLost()
    } else if (event.kind === 'logged-in' || event.kind === 'session-reinstated') workload.reinstated()
    else if (event.kind === 'ended') this.#ended(this.#hosts[index] as Host, index)
  }

  /** Neither end breaks the protocol, so neither may say so of the other. */
  #checkFailure(name: string, { code, message }: Closure): void {
    if (code === 'PROTOCOL_ERROR') this.#violation(`${name}: ${message}`)
  }

  #ended(host: Host, index: number): void {
    host.current = undefined
    host.workload.sessionEnded()
    if (!host.workload.isDone) this.queue.after(RELOGIN_MS, () => this.#logIn(index))
  }

  #crash(downMs: number): void {
    this.trace?.note('', `the target's machine crashes, and is down for ${downMs} ms`)
    for (const model of this.#models) model.crash()
    this.#target.crash(downMs, () => this.trace?.note('', "the target's machine is up again"))
  }

  #vanish(index: number, returns: boolean): void {
    const host = this.#hosts[index] as Host
    if (host.current === undefined) return
    this.trace?.note(
      host.name,
      `the initiator's machine stops${returns ? ', and starts again' : ' for good'}`,
    )
    host.current.vanish()
    this.#initiators.splice(this.#initiators.indexOf(host.current), 1)
    host.current = undefined
    host.workload.vanish()
    if (returns) this.queue.after(RELOGIN_MS, () => this.#logIn(index))
    else host.hasStopped = true
  }

  #wasReset(by: Workload, lun: number | undefined, since: number): void {
    for (const { workload, current } of this.#hosts) {
      if (workload === by || current === undefined) continue
      for (const each of this.#models.keys())
        if (lun === undefined || lun === each)
          workload.attentions.expect(each, `a reset by ${by.name}`, since, ++this.#order)
    }
  }

  #watch(socket: SimSocket): void {
    const observer = new WireObserver(`${socket.name}${++this.#connections}`, {
      sessions: this.#sessions,
      violation: (what) => this.#violation(what),
      onPdu:
        this.trace && ((connection, direction, pdu) => this.trace?.pdu(connection.label, direction, pdu)),
      refused: () => {},
    })
    this.#observers.set(socket, observer)
    socket.tap = (bytes) => observer.observe('request', bytes)
    socket.peer.tap = (bytes) => observer.observe('response', bytes)
  }

  #violation(what: string): void {
    this.trace?.note('', `VIOLATION: ${what}`)
    if (this.violations.length < MAX_VIOLATIONS)
      this.violations.push(`${this.queue.now().toFixed(3)} ms: ${what}`)
  }

  #result(): Result {
    const ends = new Map<string, number>()
    for (const { workload } of this.#hosts)
      for (const [what, count] of workload.ends) ends.set(what, (ends.get(what) ?? 0) + count)
    return {
      seed: this.scenario.seed,
      scenario: this.scenario,
      violations: this.violations,
      counts: this.counts,
      targets: this.#target.counters,
      initiators: this.#initiators.map(({ session }) => session.counters),
      ends,
      virtualMs: this.queue.now(),
      events: this.#events,
      trace: this.trace,
    }
  }
}

export const runSeed = (seed: number, reduction: Reduction = noReduction, wantsTrace = false): Result =>
  new Simulation(seed, reduction, wantsTrace).run()
