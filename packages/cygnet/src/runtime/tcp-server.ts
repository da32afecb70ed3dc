import { createServer, type Server, type Socket } from 'node:net'
import { CygnetError } from '../base/errors.ts'
import type { ConnectionEvent } from '../session/target-role/target-connection.ts'
import type { ConnectionRegister } from './connection-limits.ts'
import type { HandedConnection } from './shard-login.ts'
import { formatEndpoint, plainAddress, TcpConnection, type TcpConnectionOptions } from './tcp-connection.ts'
import type { TlsPortal } from './tls.ts'

export interface TcpServerOptions extends Omit<TcpConnectionOptions, 'onEvent' | 'onClosed'> {
  /** Address to listen on: IPv4, IPv6 or a host name. */
  readonly address: string
  /** 0..65535; 0: the system picks one. */
  readonly port: number
  /** Shared by all portals. */
  readonly connectionLimits: ConnectionRegister
  /** Where connections have to be TLS ones. */
  readonly tls?: TlsPortal
  readonly onEvent: (peerAddress: string, event: ConnectionEvent) => void
}

/** What `listen` may fail with, and what to do about it. */
const listenErrors: Readonly<Record<string, (endpoint: string) => string>> = {
  EADDRINUSE: (endpoint) =>
    `${endpoint} is in use: end the program that listens there, or choose another port`,
  EADDRNOTAVAIL: (endpoint) => `${endpoint} is not an address of this machine: choose another`,
  EACCES: (endpoint) => `no permission to listen on ${endpoint}: choose a port above 1023`,
  ENOTFOUND: (endpoint) => `the host name in ${endpoint} is not known`,
}

/** One network portal: a listening socket and the connections that came in through it. */
export class TcpServer {
  readonly #options: TcpServerOptions
  readonly #server: Server
  readonly #connections = new Set<TcpConnection>()

  constructor(options: TcpServerOptions) {
    this.#options = options
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket))
  }

  get connections(): ReadonlySet<TcpConnection> {
    return this.#connections
  }

  /** The address that it listens on, `address:port`. Only while listening. */
  get endpoint(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') return ''
    return formatEndpoint(address.address, address.port)
  }

  /** Rejects with a CygnetError (`LISTEN_FAILED`) whose message says what to do. */
  async listen(): Promise<void> {
    const { address, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        const explain = listenErrors[error.code ?? '']
        const endpoint = formatEndpoint(address, port)
        reject(
          new CygnetError('LISTEN_FAILED', explain?.(endpoint) ?? `cannot listen: ${error.message}`, {
            cause: error,
          }),
        )
      }
      this.#server.once('error', failed)
      this.#server.listen(port, address, () => {
        this.#server.off('error', failed)
        this.#server.on('error', (error) => this.#acceptFailed(error))
        resolve()
      })
    })
  }

  /** A connection that another process has accepted for this portal. */
  adopt(handed: HandedConnection): TcpConnection {
    return this.#connect(handed.socket, handed)
  }

  /** Takes no new connections; those that are there go on. */
  stopListening(): void {
    this.#server.close()
  }

  /** Ends every connection now. */
  destroyConnections(): void {
    this.#options.tls?.close()
    for (const connection of [...this.#connections]) connection.destroy()
  }

  /** The system was short of memory or buffers for one connection; the others go on. */
  #acceptFailed(error: Error): void {
    this.#options.onEvent('unknown', { kind: 'dropped', reason: `not accepted: ${error.message}` })
  }

  #accept(socket: Socket): void {
    // The peer may be gone already.
    if (socket.remoteAddress === undefined) {
      socket.destroy()
      return
    }
    if (this.#isRefused(socket)) return
    const { tls } = this.#options
    if (tls === undefined) this.#connect(socket)
    else {
      tls.accept(socket, (secured) => {
        // Others may have come in while it shook hands.
        if (!this.#isRefused(secured)) this.#connect(secured)
      })
    }
  }

  #isRefused(socket: Socket): boolean {
    const { connectionLimits, onEvent } = this.#options
    const refusal = connectionLimits.refusal(plainAddress(socket.remoteAddress))
    if (refusal === undefined) return false
    const peerAddress = formatEndpoint(socket.remoteAddress, socket.remotePort)
    socket.destroy()
    onEvent(peerAddress, { kind: 'dropped', reason: refusal })
    return true
  }

  #connect(socket: Socket, handed?: HandedConnection): TcpConnection {
    const { connectionLimits, onEvent } = this.#options
    const options: TcpConnectionOptions = {
      ...this.#options,
      onEvent: (connection, event) => onEvent(connection.peerAddress, event),
      onClosed: (connection) => {
        this.#connections.delete(connection)
        connectionLimits.remove(connection)
      },
    }
    const accepted = new TcpConnection(socket, options, handed)
    this.#connections.add(accepted)
    connectionLimits.add(accepted)
    return accepted
  }
}
