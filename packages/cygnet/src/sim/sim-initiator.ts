import { BufferPool } from '../base/pool.ts'
import type { Prng } from '../base/prng.ts'
import type { InitiatorConnection } from '../session/initiator-role/initiator-connection.ts'
import { noAuthentication } from '../session/initiator-role/initiator-security.ts'
import { InitiatorSession } from '../session/initiator-role/initiator-session.ts'
import type { SessionEvent } from '../session/initiator-role/initiator-session-events.ts'
import { Endpoint } from './endpoint.ts'
import { Alarm, type EventQueue } from './event-queue.ts'
import type { SimNetwork, SimSocket } from './network.ts'
import type { InitiatorPlan, Scenario } from './scenario.ts'
import { TARGET_NAME } from './sim-target.ts'

/** What a session tells, besides its wish for connections. */
export type SessionNews = Exclude<SessionEvent, { kind: 'connect' }>

export interface SimInitiatorOptions {
  readonly name: string
  readonly index: number
  readonly scenario: Scenario
  readonly plan: InitiatorPlan
  readonly queue: EventQueue
  readonly network: SimNetwork
  readonly prng: Prng
  /** A connection that is about to be made gets a judge. */
  readonly watch: (socket: SimSocket) => void
  readonly onEvent: (event: SessionNews) => void
}

/** One run of an initiator's program: a session, and the streams of its connections. */
export class SimInitiator {
  readonly session: InitiatorSession
  readonly pool = new BufferPool({ poison: true })
  readonly #options: SimInitiatorOptions
  readonly #endpoints = new Set<Endpoint>()
  readonly #alarm: Alarm
  #connecting = 0
  #isScheduled = false
  #hasStopped = false

  constructor(options: SimInitiatorOptions) {
    this.#options = options
    const { plan, queue, index, prng } = options
    this.#alarm = new Alarm(queue, () => {
      if (this.#hasStopped) return
      this.session.handleTimeout(queue.now())
      this.#poll()
    })
    this.session = new InitiatorSession({
      pool: this.pool,
      now: queue.now(),
      wake: () => this.#schedule(),
      random: (lengthBytes) => {
        const bytes = new Uint8Array(lengthBytes)
        for (let at = 0; at < lengthBytes; at++) bytes[at] = plan.randomByte ?? prng.below(256)
        return bytes
      },
      login: {
        type: 'Normal',
        initiatorName: `iqn.2026-11.example.sim:host${index}`,
        initiatorAlias: '',
        targetName: TARGET_NAME,
        isid: Uint8Array.of(0x80, 0, 0, 0, 0, index),
        authentication: () => noAuthentication,
      },
      limits: plan.limits,
      policy: plan.policy,
      digests: plan.digests,
    })
  }

  start(): void {
    this.session.start(this.#options.queue.now())
    this.#schedule()
  }

  /** What is still held after the end of the session; undefined at rest. */
  get remains(): string | undefined {
    const { inUse } = this.pool
    const connections = this.#endpoints.size + this.#connecting
    if (inUse === 0 && connections === 0) return undefined
    return `${connections} connections, ${inUse} buffers`
  }

  /** The machine stops for good: nobody says anything. */
  vanish(): void {
    this.#hasStopped = true
    this.#alarm.set(undefined)
    for (const endpoint of this.#endpoints) endpoint.vanish()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#options.queue.after(0, () => {
      this.#isScheduled = false
      this.#poll()
    })
  }

  #poll(): void {
    if (this.#hasStopped) return
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      if (event.kind === 'connect') this.#connect(event.connection)
      else this.#options.onEvent(event)
    }
    for (const endpoint of this.#endpoints) {
      endpoint.flush()
      if (endpoint.isDone) this.#endpoints.delete(endpoint)
    }
    this.#alarm.set(this.session.pollTimeout())
  }

  #connect(connection: InitiatorConnection): void {
    const { network, queue, scenario, watch, name } = this.#options
    this.#connecting++
    network.connect(name, (socket, reason) => {
      this.#connecting--
      if (this.#hasStopped) {
        socket?.vanish()
        return
      }
      if (socket === undefined) connection.transportClosed(reason, queue.now())
      else {
        watch(socket)
        const options = {
          queue,
          pool: this.pool,
          segmentBytes: scenario.segmentBytes,
          writeAheadBytes: scenario.writeAheadBytes,
          queuedPdus: 256,
        }
        this.#endpoints.add(new Endpoint(connection, socket, options, () => this.#poll()))
        connection.transportOpened(queue.now())
      }
      this.#poll()
    })
  }
}
