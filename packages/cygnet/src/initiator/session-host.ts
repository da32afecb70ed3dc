import type { CygnetError } from '../base/errors.ts'
import { InitiatorSession } from '../session/initiator-role/initiator-session.ts'
import type { InitiatorSessionOptions } from '../session/initiator-role/initiator-session-options.ts'
import type { SessionEvent } from '../session/initiator-role/initiator-session-events.ts'
import type { PortalAddress } from '../session/portal-address.ts'
import { Alarm } from './alarm.ts'
import { Link } from './link.ts'
import type { InitiatorRuntime } from './ports.ts'

/** Runs the protocol engine of a session on a runtime: opens its connections, moves their bytes, keeps its time. */
export class SessionHost {
  readonly protocol: InitiatorSession
  readonly #runtime: InitiatorRuntime
  readonly #portal: PortalAddress
  readonly #connectTimeoutMs: number
  readonly #onEvent: (event: SessionEvent) => void
  #links: readonly Link[] = []
  readonly #alarm: Alarm
  #isDue = false
  #lastError: CygnetError | undefined

  /** `onEvent` gets all but `connect`. */
  constructor(
    runtime: InitiatorRuntime,
    portal: PortalAddress,
    connectTimeoutMs: number,
    options: Omit<InitiatorSessionOptions, 'pool' | 'now' | 'wake' | 'random'>,
    onEvent: (event: SessionEvent) => void,
  ) {
    this.#runtime = runtime
    this.#portal = portal
    this.#connectTimeoutMs = connectTimeoutMs
    this.#onEvent = onEvent
    this.protocol = new InitiatorSession({
      ...options,
      pool: runtime.pool,
      now: runtime.clock.now(),
      wake: () => this.#wake(),
      random: (lengthBytes) => runtime.random(lengthBytes),
    })
    this.#alarm = new Alarm(runtime, (now) => {
      this.protocol.handleTimeout(now)
      this.#wake()
    })
  }

  /** What the transport of the last connection ended with, where it said so. */
  get transportError(): CygnetError | undefined {
    return this.#lastError
  }

  start(): void {
    this.protocol.start(this.#runtime.clock.now())
  }

  /** What happens in one turn is dealt with once, after it. */
  readonly #wake = (): void => {
    if (this.#isDue) return
    this.#isDue = true
    this.#runtime.defer(this.#poll)
  }

  readonly #poll = (): void => {
    const { protocol } = this
    for (const { error } of this.#links) if (error) this.#lastError = error
    for (let event = protocol.pollEvent(); event; event = protocol.pollEvent()) {
      if (event.kind === 'connect') this.#connect(event)
      else this.#onEvent(event)
    }
    for (const link of this.#links) {
      link.flush()
      if (link.isOver) this.#links = this.#links.filter((one) => one !== link)
    }
    this.#alarm.set(protocol.pollTimeout())
    this.#isDue = false
    if (protocol.hasEvents) this.#wake()
  }

  #connect({ connection, portal = this.#portal }: Extract<SessionEvent, { kind: 'connect' }>): void {
    const link = new Link(this.#runtime, connection, this.#wake)
    this.#links = [...this.#links, link]
    void link.open(portal, this.#connectTimeoutMs)
  }
}
