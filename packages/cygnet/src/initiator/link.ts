import { CygnetError } from '../base/errors.ts'
import type { PooledBuffer } from '../base/pool.ts'
import type { InitiatorConnection } from '../session/initiator-role/initiator-connection.ts'
import type { PortalAddress } from '../session/portal-address.ts'
import type { ByteStream, InitiatorRuntime, StreamHandler } from './ports.ts'
import { Alarm } from './alarm.ts'

/** Bytes handed to the stream and not yet taken, beyond which no more are made. */
const WRITE_AHEAD_BYTES = 2 * 1024 * 1024

/** One connection of a session and its byte stream: moves bytes and keeps the connection's timer. */
export class Link implements StreamHandler {
  readonly connection: InitiatorConnection
  readonly #runtime: InitiatorRuntime
  readonly #changed: () => void
  readonly #alarm: Alarm
  #stream: ByteStream | undefined
  #hasEnded = false
  #isReleased = false
  #error: CygnetError | undefined

  /** `changed`: something came of what was fed to the connection; the session wants to be polled. */
  constructor(runtime: InitiatorRuntime, connection: InitiatorConnection, changed: () => void) {
    this.#runtime = runtime
    this.connection = connection
    this.#changed = changed
    this.#alarm = new Alarm(runtime, (now) => {
      connection.handleTimeout(now)
      changed()
    })
  }

  /** Opens the byte stream, or tells the connection why that failed. */
  async open(portal: PortalAddress, timeoutMs: number): Promise<void> {
    try {
      const stream = await this.#runtime.transport.connect(portal, timeoutMs, this)
      this.#stream = stream
      // It may have ended, or be wanted no more, before there was anybody to hear of it.
      if (this.#hasEnded || this.connection.state === 'closed') stream.end()
      else this.connection.transportOpened(this.#runtime.clock.now())
    } catch (error) {
      this.closed('it could not be opened', error instanceof CygnetError ? error : unexpected(error))
    }
    this.#changed()
  }

  /** What the stream ended with, where that is known. */
  get error(): CygnetError | undefined {
    return this.#error
  }

  /** The connection is closed and so is its stream. */
  get isOver(): boolean {
    return this.connection.state === 'closed' && (this.#hasEnded || this.#stream !== undefined)
  }

  // StreamHandler

  received(segment: PooledBuffer, start: number, end: number): void {
    this.connection.receive(segment, start, end, this.#runtime.clock.now())
    this.#changed()
  }

  drained(): void {
    this.#changed()
  }

  closed(reason: string, error?: CygnetError): void {
    this.#hasEnded = true
    this.#error ??= error
    if (error) this.connection.transportRefused(error)
    this.connection.transportClosed(reason, this.#runtime.clock.now())
    this.#changed()
  }

  /** Sends what there is, sets the timer, and ends the stream of a connection that is closed. */
  flush(): void {
    const { connection } = this
    const stream = this.#stream
    if (stream !== undefined) {
      while (connection.hasOutput && stream.queuedBytes < WRITE_AHEAD_BYTES && !this.#hasEnded) {
        const out = connection.newTransmitVector()
        connection.pollTransmit(out)
        stream.write(out.chunks, () => out.release())
      }
    }
    if (connection.state === 'closed' && !this.#isReleased && stream !== undefined) {
      this.#isReleased = true
      this.#hasEnded = true
      // What a lost connection has not sent yet must not reach the target when its commands are done elsewhere.
      if (connection.wasDropped) stream.reset()
      else stream.end()
    }
    this.#alarm.set(connection.pollTimeout())
  }
}

const unexpected = (error: unknown): CygnetError =>
  new CygnetError('CONNECT_FAILED', error instanceof Error ? error.message : String(error), { cause: error })
