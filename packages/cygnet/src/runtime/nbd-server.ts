import { once } from 'node:events'
import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { CygnetError } from '../base/errors.ts'
import { BufferPool } from '../base/pool.ts'
import { NbdServerConnection, type NbdServerEvent, type NbdServerLimits } from '../nbd/server-connection.ts'
import type { NbdAddress } from '../nbd/nbd-url.ts'
import type { NbdExport } from '../nbd/server-export.ts'
import { NbdSocket } from './nbd-socket.ts'
import { type Received, ReceiveSegments } from './receive-segments.ts'
import { SocketReader } from './socket-reader.ts'
import { formatEndpoint } from './tcp-connection.ts'
import { TlsPortal, type TlsPortalOptions } from './tls.ts'

export const formatNbdAddress = (address: NbdAddress): string =>
  address.kind === 'unix' ? `unix:${address.path}` : formatEndpoint(address.host, address.port)

export interface NbdServerOptions {
  readonly listen: NbdAddress
  readonly exports: readonly NbdExport[]
  readonly limits?: NbdServerLimits
  /** Clients at once; with `limits` the bound of the memory. Default: 16. */
  readonly maxConnections?: number
  /** Time to choose an export, in milliseconds. Default: 10,000. */
  readonly handshakeTimeoutMs?: number
  /** How long clients may leave answers unread while the server stops, in milliseconds. Default: 10,000. */
  readonly unreadTimeoutMs?: number
  readonly pool?: BufferPool
  /** Clients must use TLS 1.3. Default: there is none. */
  readonly tls?: TlsPortalOptions
  readonly onEvent?: (peer: string, event: NbdServerEvent) => void
}

const DEFAULT_CONNECTIONS = 16
const DEFAULT_HANDSHAKE_TIMEOUT_MS = 10_000
const DEFAULT_UNREAD_TIMEOUT_MS = 10_000
const SEGMENT_BYTES = 256 * 1024
const PLAIN_SEGMENT_BYTES = 4096

/** What `listen` may fail with, and what to do about it. */
const listenErrors: Readonly<Record<string, (where: string) => string>> = {
  EADDRINUSE: (where) => `${where} is in use: end the program that listens there, or choose another`,
  EADDRNOTAVAIL: (where) => `${where} is not an address of this machine: choose another`,
  EACCES: (where) => `no permission to listen on ${where}: choose another`,
  ENOTFOUND: (where) => `the host name in ${where} is not known`,
}

/** Offers block devices by NBD, on one TCP port or Unix socket. */
export class NbdServer {
  readonly #options: NbdServerOptions
  readonly #server: Server
  readonly #pool: BufferPool
  readonly #tls: TlsPortal | undefined
  readonly #connections = new Map<NbdServerConnection, OpenConnection>()

  /** @throws {CygnetError} TLS_FILE, TLS_PSK, TLS_OPTIONS */
  constructor(options: NbdServerOptions) {
    this.#options = options
    this.#pool = options.pool ?? new BufferPool()
    this.#tls =
      options.tls &&
      new TlsPortal(options.tls, (peer, event) => {
        if (event.kind === 'refused') this.#report(peer, { kind: 'dropped', reason: event.reason })
      })
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket))
  }

  get connections(): number {
    return this.#connections.size
  }

  /** Where it listens. Only while listening. */
  get address(): NbdAddress {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') return this.#options.listen
    return { kind: 'tcp', host: address.address, port: address.port }
  }

  /** @throws {CygnetError} NBD_LISTEN_FAILED */
  async listen(): Promise<void> {
    const { listen } = this.#options
    if (listen.kind === 'unix') await removeStaleSocket(listen.path)
    this.#server.listen(
      listen.kind === 'unix' ? { path: listen.path } : { host: listen.host, port: listen.port },
    )
    try {
      await once(this.#server, 'listening')
    } catch (error) {
      throw listenFailure(listen, error as NodeJS.ErrnoException)
    }
    this.#server.on('error', (error) =>
      this.#report('unknown', { kind: 'dropped', reason: `not accepted: ${error.message}` }),
    )
  }

  /** Takes no new clients, answers what is under way, and returns when the last connection is closed. */
  async stop(): Promise<void> {
    // The server does not know of the adopted sockets: those are waited for here.
    const closed = [...this.#connections.values()].map((one) => one.closed)
    this.#tls?.close()
    const listening = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const connection of [...this.#connections.keys()]) connection.stop()
    const unread = this.#watchUnread()
    await Promise.all([listening, ...closed])
    clearInterval(unread)
  }

  /** A client that does not read its answers would keep the server from ending for ever. */
  #watchUnread(): NodeJS.Timeout {
    const { unreadTimeoutMs = DEFAULT_UNREAD_TIMEOUT_MS } = this.#options
    const before = new Map<NbdServerConnection, number>()
    return setInterval(() => {
      for (const [connection, { stream }] of this.#connections) {
        const { queuedBytes } = stream
        if (queuedBytes > 0 && queuedBytes === before.get(connection))
          connection.drop(`it has not read its answers for ${unreadTimeoutMs} ms`)
        before.set(connection, queuedBytes)
      }
    }, unreadTimeoutMs)
  }

  #report(peer: string, event: NbdServerEvent): void {
    this.#options.onEvent?.(peer, event)
  }

  #accept(accepted: Socket): void {
    const { listen, maxConnections = DEFAULT_CONNECTIONS } = this.#options
    const peer = listen.kind === 'unix' ? 'unix' : formatEndpoint(accepted.remoteAddress, accepted.remotePort)
    if (this.#connections.size >= maxConnections) {
      accepted.destroy()
      this.#report(peer, { kind: 'dropped', reason: `there are ${maxConnections} connections already` })
      return
    }
    const received: Received = (segment, start, end) => opened.received(segment, start, end)
    const tls = this.#tls
    const plain = tls ? new PlainBeginning(accepted, this.#pool, received) : undefined
    let reader = plain ?? new SocketReader(accepted, this.#pool, SEGMENT_BYTES, received)
    const stream = new NbdSocket(reader.socket, peer)
    const { handshakeTimeoutMs = DEFAULT_HANDSHAKE_TIMEOUT_MS, exports, limits } = this.#options
    const timer = setTimeout(
      () => opened.isAttached || opened.drop(`it chose no export within ${handshakeTimeoutMs} ms`),
      handshakeTimeoutMs,
    )
    const { promise, resolve } = Promise.withResolvers<void>()
    const watch = (socket: Socket): void => {
      socket.on('error', (error) => opened.closed(error.message))
      socket.on('end', () => opened.closed('the client closed it'))
      socket.on('close', () => {
        clearTimeout(timer)
        opened.closed('it was closed')
        reader.close()
        this.#connections.delete(opened)
        resolve()
      })
    }
    const secure = (): void => {
      plain?.close()
      tls?.accept(accepted, (secured) => {
        reader = new SocketReader(secured, this.#pool, SEGMENT_BYTES, received)
        stream.secured(secured)
        watch(secured)
        opened.secured()
      })
    }
    const opened = new NbdServerConnection({
      exports,
      stream,
      pool: this.#pool,
      ...(limits && { limits }),
      ...(tls && { startTls: secure }),
      onEvent: (event) => this.#report(peer, event),
    })
    this.#connections.set(opened, { stream, closed: promise })
    if (listen.kind === 'tcp') reader.socket.setNoDelay(true).setKeepAlive(true, 30_000)
    watch(reader.socket)
  }
}

interface OpenConnection {
  readonly stream: NbdSocket
  /** When its socket is closed. */
  readonly closed: Promise<void>
}

/** Reads what a client says before TLS, and then leaves the socket alone. */
class PlainBeginning {
  readonly socket: Socket
  readonly #segments: ReceiveSegments
  readonly #take: (chunk: Buffer) => void

  constructor(socket: Socket, pool: BufferPool, received: Received) {
    this.socket = socket
    const segments = new ReceiveSegments(pool, PLAIN_SEGMENT_BYTES, received)
    this.#segments = segments
    this.#take = (chunk) => segments.copyIn(chunk)
    socket.on('data', this.#take)
    socket.resume()
  }

  close(): void {
    this.socket.off('data', this.#take)
    this.socket.pause()
    this.#segments.close()
  }
}

function listenFailure(listen: NbdAddress, error: NodeJS.ErrnoException): CygnetError {
  const where = formatNbdAddress(listen)
  // The system says EACCES for this too.
  const isFolderMissing = listen.kind === 'unix' && !existsSync(dirname(listen.path))
  const message = isFolderMissing
    ? `the folder of ${where} does not exist: make it, or choose another`
    : (listenErrors[error.code ?? '']?.(where) ?? `cannot listen: ${error.message}`)
  return new CygnetError('NBD_LISTEN_FAILED', message, { cause: error })
}

/** A socket file that nobody listens at is left from a program that was killed. */
async function removeStaleSocket(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return
  const probe = connect(path)
  try {
    await once(probe, 'connect')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') unlinkSync(path)
  } finally {
    probe.destroy()
  }
}
