import type { CygnetError } from '../base/errors.ts'
import type { PooledBuffer } from '../base/pool.ts'
import { InitiatorConnection, type InitiatorConnectionOptions } from '../session/initiator-connection.ts'
import type { InitiatorEvent } from '../session/initiator-events.ts'
import type { PortalAddress } from '../session/portal-address.ts'
import type { ByteStream, InitiatorRuntime, StreamHandler } from './ports.ts'

/** Bytes handed to the stream and not yet taken, beyond which no more are made. */
const WRITE_AHEAD_BYTES = 2 * 1024 * 1024

/** Who takes what the connection reports. */
export type LinkEvents = (event: InitiatorEvent, link: Link) => void

/** One connection and its byte stream: moves bytes, keeps its one timer, hands events on. */
export class Link implements StreamHandler {
  readonly #runtime: InitiatorRuntime
  readonly #onEvent: LinkEvents
  #protocol: InitiatorConnection | undefined
  #stream: ByteStream | undefined
  #cancelTimer: (() => void) | undefined
  #armedFor: number | undefined
  #isBusy = false
  #end: { readonly reason: string; readonly error: CygnetError | undefined } | undefined

  private constructor(runtime: InitiatorRuntime, onEvent: LinkEvents) {
    this.#runtime = runtime
    this.#onEvent = onEvent
  }

  /**
   * Connects, and begins the login.
   * @throws {CygnetError} as `Transport.connect`
   */
  static async open(
    runtime: InitiatorRuntime,
    portal: PortalAddress,
    connectTimeoutMs: number,
    options: Pick<InitiatorConnectionOptions, 'login' | 'limits'>,
    onEvent: LinkEvents,
  ): Promise<Link> {
    const link = new Link(runtime, onEvent)
    link.#stream = await runtime.transport.connect(portal, connectTimeoutMs, link)
    link.#protocol = new InitiatorConnection({
      ...options,
      pool: runtime.pool,
      now: runtime.clock.now(),
      wake: () => link.#flush(),
    })
    // The stream may have ended before there was anybody to hear of it.
    if (link.#end) link.closed(link.#end.reason, link.#end.error)
    link.#flush()
    return link
  }

  get protocol(): InitiatorConnection {
    if (this.#protocol === undefined) throw new Error('the link is not open')
    return this.#protocol
  }

  // StreamHandler

  received(segment: PooledBuffer, start: number, end: number): void {
    this.#run((protocol) => protocol.receive(segment, start, end, this.#runtime.clock.now()))
  }

  drained(): void {
    this.#flush()
  }

  closed(reason: string, error?: CygnetError): void {
    this.#end = { reason, error }
    this.#run((protocol) => {
      if (error) protocol.transportRefused(error)
      protocol.transportClosed(reason, this.#runtime.clock.now())
    })
  }

  /** The protocol wakes us while it takes bytes: what it has to send goes out once, after that. */
  #run(step: (protocol: InitiatorConnection) => void): void {
    if (this.#protocol === undefined) return
    this.#isBusy = true
    step(this.#protocol)
    this.#isBusy = false
    this.#flush()
  }

  #flush(): void {
    const protocol = this.#protocol
    const stream = this.#stream
    if (this.#isBusy || protocol === undefined || stream === undefined) return
    this.#isBusy = true
    do {
      for (let event = protocol.pollEvent(); event; event = protocol.pollEvent()) this.#onEvent(event, this)
      while (protocol.hasOutput && stream.queuedBytes < WRITE_AHEAD_BYTES && !this.#end) {
        const out = protocol.newTransmitVector()
        protocol.pollTransmit(out)
        stream.write(out.chunks, () => out.release())
      }
    } while (protocol.hasEvents)
    this.#isBusy = false
    if (protocol.state === 'closed' && !this.#end) {
      this.#end = { reason: 'it was ended here', error: undefined }
      stream.end()
    }
    this.#arm(protocol)
  }

  #arm(protocol: InitiatorConnection): void {
    const deadline = protocol.pollTimeout()
    if (deadline === this.#armedFor) return
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#armedFor = deadline
    if (deadline === undefined) return
    const delayMs = Math.max(1, Math.ceil(deadline - this.#runtime.clock.now()))
    this.#cancelTimer = this.#runtime.schedule(() => {
      this.#armedFor = undefined
      this.#run((current) => current.handleTimeout(this.#runtime.clock.now()))
    }, delayMs)
  }
}
