import type { Socket } from 'node:net'
import type { Clock, Instant } from '../base/clock.ts'
import type { BufferPool } from '../base/pool.ts'
import type { TargetLimits } from '../session/limits.ts'
import type { MemoryBudget } from '../session/target-role/memory-budget.ts'
import type { RecoveryCounters } from '../session/recovery-counters.ts'
import { type ConnectionEvent, TargetConnection } from '../session/target-role/target-connection.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import { addressOf } from '../target/access.ts'
import type { LimitedConnection } from './connection-limits.ts'
import { type HandedConnection, type Handover, type LoginRoute, withoutFirst } from './shard-login.ts'
import { SocketReader } from './socket-reader.ts'
import { explainTransportError, TLS_HANDSHAKE_RECORD, TLS_ON_PLAIN_PORTAL } from './tls-errors.ts'

/** Receive segments before the login is over: a thousand silent connections must not cost much. */
const LOGIN_SEGMENT_BYTES = 16 * 1024
/** And after it, where much comes: one read takes a whole burst. */
const SEGMENT_BYTES = 256 * 1024
/** Bytes handed to the socket and not yet taken by the kernel, beyond which no more are made. */
const WRITE_AHEAD_BYTES = 2 * 1024 * 1024
/** PDUs that wait for a peer that does not read, beyond which nothing more is read from it. */
const QUEUED_PDUS = 4096
/** And bytes of echoed pings and text that do. */
const QUEUED_BYTES = 4 * 1024 * 1024
/** How long a closing connection may take to send its last bytes and close. */
const CLOSE_TIMEOUT_MS = 5000

export interface TcpConnectionOptions {
  readonly host: TargetHost
  readonly pool: BufferPool
  readonly limits: TargetLimits
  readonly budget: MemoryBudget
  /** Of the whole server. */
  readonly counters: RecoveryCounters
  readonly clock: Clock
  /** Where other processes serve some of the targets. */
  readonly handover?: Handover
  readonly onEvent: (connection: TcpConnection, event: ConnectionEvent) => void
  readonly onClosed: (connection: TcpConnection) => void
}

/** An IP address as it is compared and shown: IPv4 comes on a dual-stack socket as ::ffff:a.b.c.d. */
export const plainAddress = (address: string | undefined): string => {
  const host = address ?? 'unknown'
  return host.startsWith('::ffff:') && host.includes('.') ? host.slice(7) : host
}

/** `address:port`, an IPv6 address in brackets. */
export const formatEndpoint = (address: string | undefined, port: number | undefined): string => {
  const plain = plainAddress(address)
  return plain.includes(':') ? `[${plain}]:${port}` : `${plain}:${port}`
}

/** Node's side of one connection: moves bytes, keeps its one timer, passes events on. */
export class TcpConnection implements LimitedConnection {
  readonly protocol: TargetConnection
  readonly peerAddress: string
  readonly localAddress: string
  /** IP address of the peer. */
  readonly address: string
  readonly #options: TcpConnectionOptions
  readonly #reader: SocketReader
  readonly #socket: Socket
  readonly #acceptedAt: Instant
  #timer: NodeJS.Timeout | undefined
  #armedFor: number | undefined
  #flushScheduled = false
  #receiving = false
  #isFirst = true
  #ended = false
  #paused = false
  /** Until the login is over, where there is a handover. */
  #route: LoginRoute | undefined
  /** What a handed connection skips of its output. */
  #answeredBytes: number

  /** `handed`: another process has accepted it. */
  constructor(accepted: Socket, options: TcpConnectionOptions, handed?: HandedConnection) {
    const { pool, clock } = options
    this.#options = options
    this.#acceptedAt = clock.now()
    this.#route = options.handover?.newRoute(options.host)
    this.#answeredBytes = handed?.answeredBytes ?? 0
    this.peerAddress = handed?.peerAddress ?? formatEndpoint(accepted.remoteAddress, accepted.remotePort)
    this.localAddress = handed?.localAddress ?? formatEndpoint(accepted.localAddress, accepted.localPort)
    this.address = addressOf(this.peerAddress)
    this.protocol = new TargetConnection({
      host: this.#route?.host ?? options.host,
      pool,
      limits: options.limits,
      budget: options.budget,
      counters: options.counters,
      peerAddress: this.peerAddress,
      localAddress: this.localAddress,
      now: clock.now() - (handed?.ageMs ?? 0),
      wake: () => this.#schedule(),
    })
    this.#reader = new SocketReader(accepted, pool, LOGIN_SEGMENT_BYTES, (segment, start, end) => {
      if (this.#isFirst) {
        this.#isFirst = false
        if (segment.bytes[start] === TLS_HANDSHAKE_RECORD) {
          this.#transportClosed(TLS_ON_PLAIN_PORTAL)
          return
        }
      }
      const route = this.#route
      // What was read together with the login goes along.
      const isElsewhere = route?.elsewhere !== undefined
      if (route !== undefined) this.#record(route, segment.bytes.subarray(start, end))
      if (isElsewhere) return
      this.#receiving = true
      this.protocol.receive(segment, start, end, clock.now())
      this.#receiving = false
      if (route?.elsewhere === undefined) this.#flush()
      else this.#handOver(route, route.elsewhere)
    })
    const socket = this.#reader.socket
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 30_000)
    socket.on('error', (error) => this.#transportClosed(explainTransportError(error)))
    socket.on('end', () => this.#transportClosed('the initiator closed the TCP connection'))
    socket.on('close', () => this.#closed())
    socket.on('drain', () => this.#flush())
    this.#arm()
    // Whoever adopts it knows of it before anything comes of that.
    if (handed) process.nextTick(() => this.#reader.replay(handed.received))
  }

  get isLoggingIn(): boolean {
    return this.protocol.state === 'login'
  }

  get isDiscovery(): boolean {
    return this.protocol.session?.identity.type === 'Discovery'
  }

  /** Makes room for another. */
  evict(reason: string): void {
    this.protocol.drop(reason)
    this.#flush()
    this.#socket.destroy()
  }

  /** Ends the TCP connection now. */
  destroy(): void {
    this.#transportClosed('closed by the target')
    this.#socket.destroy()
  }

  /** Gathers completions of one turn of the event loop into one batch. */
  #schedule(): void {
    if (this.#flushScheduled || this.#receiving) return
    this.#flushScheduled = true
    setImmediate(() => {
      this.#flushScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    const { protocol } = this
    this.#drainEvents()
    while (protocol.hasOutput && this.#socket.writableLength < WRITE_AHEAD_BYTES && !this.#ended) {
      this.#transmit()
    }
    if (protocol.state === 'closing' && !protocol.hasOutput) this.#transmit()
    if (protocol.state === 'closed') this.#end()
    this.#throttle()
    this.#arm()
  }

  #transmit(): void {
    const { protocol } = this
    const out = protocol.newTransmitVector()
    protocol.pollTransmit(out)
    const { chunks } = out
    if (this.#answeredBytes > 0) this.#answeredBytes = withoutFirst(chunks, this.#answeredBytes)
    if (chunks.length === 0 || this.#socket.destroyed) {
      out.release()
      return
    }
    const last = chunks.length - 1
    if (last > 0) this.#socket.cork()
    for (let i = 0; i < last; i++) this.#socket.write(chunks[i] as Uint8Array)
    this.#socket.write(chunks[last] as Uint8Array, () => out.release())
    if (last > 0) this.#socket.uncork()
  }

  /** A peer that sends requests and does not read the answers is not read from. */
  #throttle(): void {
    const { queuedPdus, queuedBytes } = this.protocol
    const shouldPause = queuedPdus > QUEUED_PDUS || queuedBytes > QUEUED_BYTES
    if (shouldPause === this.#paused) return
    this.#paused = shouldPause
    if (shouldPause) this.#socket.pause()
    else this.#socket.resume()
  }

  #drainEvents(): void {
    for (let event = this.protocol.pollEvent(); event; event = this.protocol.pollEvent()) {
      if (event.kind === 'logged-in') {
        this.#reader.largestBytes = SEGMENT_BYTES
        this.#route = undefined
      }
      this.#options.onEvent(this, event)
    }
  }

  #arm(): void {
    const deadline = this.protocol.pollTimeout()
    if (deadline === this.#armedFor) return
    clearTimeout(this.#timer)
    this.#armedFor = deadline
    if (deadline === undefined) return
    this.#timer = setTimeout(
      () => {
        this.#armedFor = undefined
        this.protocol.handleTimeout(this.#options.clock.now())
        this.#flush()
      },
      Math.max(1, Math.ceil(deadline - this.#options.clock.now())),
    )
    // What is kept of a lost connection keeps no process.
    if (this.#socket.closed) this.#timer.unref()
  }

  #record(route: LoginRoute, bytes: Uint8Array): void {
    if (!route.record(bytes)) this.protocol.drop('no target was named in so many bytes of login requests')
  }

  /** What the engine made of the login is forgotten: whoever takes the connection begins anew. */
  #handOver(route: LoginRoute, targetName: string): void {
    this.#ended = true
    this.#reader.detach()
    this.protocol.drop('handed over')
    while (this.protocol.pollEvent());
    this.#arm()
    // Not within the socket's own callback.
    setImmediate(() => {
      const socket = this.#socket
      this.#reader.close()
      this.#options.onClosed(this)
      if (socket.destroyed) return
      // Nobody waits for answers that are not taken: some would be lost on the way.
      if (socket.writableLength > 0) socket.destroy()
      else {
        this.#options.handover?.take({
          socket,
          targetName,
          peerAddress: this.peerAddress,
          localAddress: this.localAddress,
          received: route.received,
          answeredBytes: socket.bytesWritten,
          ageMs: this.#options.clock.now() - this.#acceptedAt,
        })
      }
    })
  }

  /** The protocol is done with this connection. */
  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#socket.end()
    const timer = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS)
    this.#socket.once('close', () => clearTimeout(timer))
  }

  #transportClosed(reason: string): void {
    this.protocol.transportClosed(reason, this.#options.clock.now())
    this.#drainEvents()
    this.#end()
    this.#arm()
  }

  #closed(): void {
    this.#transportClosed('the TCP connection closed')
    this.#timer?.unref()
    this.#arm()
    this.#reader.close()
    this.#options.onClosed(this)
  }
}
