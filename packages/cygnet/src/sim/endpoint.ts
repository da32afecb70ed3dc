import type { Instant } from '../base/clock.ts'
import type { BufferPool, PooledBuffer } from '../base/pool.ts'
import { TransmitVector } from '../session/transmit.ts'
import { Alarm, type EventQueue } from './event-queue.ts'
import type { SimSocket } from './network.ts'

/** One TCP connection's protocol, of either role, as its host drives it. */
export interface Protocol {
  readonly state: string
  readonly hasOutput: boolean
  readonly queuedPdus: number
  readonly queuedBytes: number
  receive(segment: PooledBuffer, start: number, end: number, now: Instant): void
  pollTransmit(out: TransmitVector): boolean
  pollTimeout(): Instant | undefined
  handleTimeout(now: Instant): void
  transportClosed(reason: string, now: Instant): void
}

export interface EndpointOptions {
  readonly queue: EventQueue
  readonly pool: BufferPool
  /** Size of the pooled segments that are received into. */
  readonly segmentBytes: number
  /** Bytes on their way beyond which no more are made. */
  readonly writeAheadBytes: number
  /** PDUs that wait for a peer that does not read, beyond which nothing more is read from it. */
  readonly queuedPdus: number
}

const SLAB_BYTES = 16 * 1024
const QUEUED_BYTES = 256 * 1024

/** Joins a protocol to a byte stream as a runtime does: moves bytes, keeps its timer, holds back where the peer does not read. */
export class Endpoint {
  readonly protocol: Protocol
  readonly #socket: SimSocket
  readonly #options: EndpointOptions
  /** Called after everything that may have made events or work for others. */
  readonly #after: () => void
  readonly #alarm: Alarm
  #segment: PooledBuffer | undefined
  #end = 0
  #isPaused = false
  #hasEnded = false
  #isDead = false

  constructor(protocol: Protocol, socket: SimSocket, options: EndpointOptions, after: () => void) {
    this.protocol = protocol
    this.#socket = socket
    this.#options = options
    this.#after = after
    const { queue } = options
    this.#alarm = new Alarm(queue, () => {
      protocol.handleTimeout(queue.now())
      this.#after()
    })
    socket.handler = {
      received: (bytes) => this.#received(bytes),
      drained: () => this.#after(),
      closed: (reason) => this.#closed(reason),
    }
  }

  /** The stream has ended, and the protocol waits for nothing: a lost connection's tasks may be kept for a while. */
  get isDone(): boolean {
    return this.#hasEnded && (this.#isDead || this.protocol.pollTimeout() === undefined)
  }

  /** Sends what there is, ends the stream where the protocol is done, and sets the timer. */
  flush(): void {
    const { protocol } = this
    if (this.#isDead) return
    this.#alarm.set(protocol.pollTimeout())
    if (this.#hasEnded) return
    while (protocol.hasOutput && this.#socket.queuedBytes < this.#options.writeAheadBytes) this.#transmit()
    if (protocol.hasOutput) this.#socket.wantsDrained = true
    if (protocol.state === 'closing' && !protocol.hasOutput) this.#transmit()
    if (protocol.state === 'closed') {
      this.#finish()
      return
    }
    const shouldPause = protocol.queuedPdus > this.#options.queuedPdus || protocol.queuedBytes > QUEUED_BYTES
    if (shouldPause !== this.#isPaused) {
      this.#isPaused = shouldPause
      if (shouldPause) this.#socket.pause()
      else this.#socket.resume()
    }
    this.#alarm.set(protocol.pollTimeout())
  }

  /** The machine that it is on has stopped. */
  vanish(): void {
    this.#hasEnded = true
    this.#isDead = true
    this.#alarm.set(undefined)
    this.#socket.vanish()
  }

  /** The machine has stopped, and something says so to the peer. */
  break(): void {
    this.#hasEnded = true
    this.#isDead = true
    this.#alarm.set(undefined)
    this.#socket.reset()
  }

  #transmit(): void {
    const out = new TransmitVector(this.#options.pool, SLAB_BYTES)
    this.protocol.pollTransmit(out)
    if (out.chunks.length === 0 || this.#socket.isClosed) out.release()
    else this.#socket.write(out.chunks, () => out.release())
  }

  /** Fills pooled segments, each before the next is taken. */
  #received(bytes: Uint8Array): void {
    const { pool, segmentBytes, queue } = this.#options
    for (let at = 0; at < bytes.length && !this.#hasEnded; ) {
      if (this.#segment === undefined || this.#end === this.#segment.bytes.length) {
        this.#segment?.release()
        this.#segment = pool.take(segmentBytes)
        this.#end = 0
      }
      const part = bytes.subarray(at, at + this.#segment.bytes.length - this.#end)
      this.#segment.bytes.set(part, this.#end)
      const start = this.#end
      this.#end += part.length
      at += part.length
      this.protocol.receive(this.#segment, start, this.#end, queue.now())
    }
    this.#after()
  }

  #closed(reason: string): void {
    if (this.#hasEnded) return
    this.protocol.transportClosed(reason, this.#options.queue.now())
    this.#after()
    this.#finish()
  }

  #finish(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#alarm.set(this.protocol.pollTimeout())
    this.#segment?.release()
    this.#segment = undefined
    this.#socket.end()
  }
}
