/**
 * A TLS tunnel for peers that cannot do TLS themselves: beside an initiator it takes plain connections and makes TLS
 * ones of them, beside a target the other way around. It carries bytes and does not look at them.
 */
import { connect as connectPlain, createServer, type Server, type Socket } from 'node:net'
import { CygnetError } from '../base/errors.ts'
import { formatEndpoint } from './tcp-connection.ts'
import { type OnTlsEvent, TlsPortal, type TlsPortalOptions } from './tls.ts'
import { checkTlsClient, connectTls, type TlsClientOptions } from './tls-connect.ts'

export interface TunnelEndpoint {
  readonly host: string
  readonly port: number
}

/** Which end speaks TLS. */
export type TunnelSide =
  | { readonly kind: 'tls-out'; readonly tls: TlsClientOptions }
  | { readonly kind: 'tls-in'; readonly tls: TlsPortalOptions }

/** Memory is at most about 256 KiB for each connection. */
export interface TunnelLimits {
  readonly maxConnections: number
  /** To reach the other side, with its TLS handshake. */
  readonly connectTimeoutMs: number
  /** Without a byte either way a connection is ended; 0: never (an idle session of an initiator is nothing wrong). */
  readonly idleTimeoutMs: number
  /** After one side has ended, for the other to end too. */
  readonly halfCloseTimeoutMs: number
}

export const defaultTunnelLimits: TunnelLimits = {
  maxConnections: 256,
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 0,
  halfCloseTimeoutMs: 30_000,
}

export type TunnelEvent =
  | { readonly kind: 'opened' }
  | { readonly kind: 'closed'; readonly sentBytes: number; readonly receivedBytes: number }
  | { readonly kind: 'failed'; readonly reason: string }

export interface TunnelOptions {
  readonly listen: TunnelEndpoint
  readonly to: TunnelEndpoint
  readonly side: TunnelSide
  readonly limits?: Partial<TunnelLimits>
  readonly onEvent: (peerAddress: string, event: TunnelEvent) => void
  readonly onTlsEvent: OnTlsEvent
}

/** How long connections get to send what they have, when the tunnel stops. */
const STOP_GRACE_MS = 2000
const KEEP_ALIVE_MS = 30_000

interface Pair {
  readonly near: Socket
  readonly far: Socket
}

/** Not listening until `listen`. */
export class Tunnel {
  readonly #options: TunnelOptions
  readonly #limits: TunnelLimits
  readonly #server: Server
  readonly #portal: TlsPortal | undefined
  /** By the socket that was accepted; undefined until the other side is there. */
  readonly #connections = new Map<Socket, Pair | undefined>()
  readonly #stopping = new AbortController()

  /** @throws {CygnetError} TLS_FILE, TLS_PSK, TLS_OPTIONS */
  constructor(options: TunnelOptions) {
    this.#options = options
    this.#limits = { ...defaultTunnelLimits, ...options.limits }
    const { side } = options
    if (side.kind === 'tls-out') checkTlsClient(side.tls)
    this.#portal = side.kind === 'tls-in' ? new TlsPortal(side.tls, options.onTlsEvent) : undefined
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (raw) => this.#accept(raw))
  }

  /** The address that it listens on. Only while listening. */
  get endpoint(): TunnelEndpoint {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') return this.#options.listen
    return { host: address.address, port: address.port }
  }

  get connections(): number {
    return this.#connections.size
  }

  /** @throws {CygnetError} LISTEN_FAILED */
  async listen(): Promise<void> {
    const { host, port } = this.#options.listen
    await new Promise<void>((resolve, reject) => {
      const failed = (cause: Error): void => {
        const message = `The tunnel cannot listen on ${formatEndpoint(host, port)}: ${cause.message}.`
        reject(new CygnetError('LISTEN_FAILED', message, { cause }))
      }
      this.#server.once('error', failed)
      this.#server.listen(port, host, () => {
        this.#server.off('error', failed)
        // The system was short of something for one connection; the others go on.
        this.#server.on('error', ({ message }) => {
          this.#options.onEvent('unknown', { kind: 'failed', reason: `not accepted: ${message}` })
        })
        resolve()
      })
    })
  }

  /** Takes no more connections, ends those that are there after what they have in flight, 2 s at most. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#stopping.abort()
    this.#portal?.close()
    for (const [raw, pair] of this.#connections) {
      if (pair === undefined) raw.destroy()
      pair?.near.end()
      pair?.far.end()
    }
    const timer = setTimeout(() => {
      for (const pair of [...this.#connections.values()]) {
        pair?.near.destroy()
        pair?.far.destroy()
      }
    }, STOP_GRACE_MS)
    await closed
    clearTimeout(timer)
  }

  #accept(raw: Socket): void {
    const { remoteAddress, remotePort } = raw
    const peerAddress = formatEndpoint(remoteAddress, remotePort)
    raw.on('error', () => raw.destroy())
    if (this.#connections.size >= this.#limits.maxConnections) {
      raw.destroy()
      this.#fail(peerAddress, `there are ${this.#limits.maxConnections} connections already`)
      return
    }
    this.#connections.set(raw, undefined)
    raw.once('close', () => this.#connections.delete(raw))
    if (this.#portal === undefined) void this.#toTls(raw, peerAddress)
    else this.#portal.accept(raw, (near) => this.#toPlain(raw, near, peerAddress))
  }

  async #toTls(near: Socket, peerAddress: string): Promise<void> {
    const { to, side } = this.#options
    if (side.kind !== 'tls-out') return
    const gone = new AbortController()
    const giveUp = (): void => gone.abort()
    near.once('close', giveUp)
    try {
      const far = await connectTls({
        ...side.tls,
        ...to,
        allowHalfOpen: true,
        timeoutMs: this.#limits.connectTimeoutMs,
        signal: AbortSignal.any([gone.signal, this.#stopping.signal]),
      })
      near.off('close', giveUp)
      this.#join(near, { near, far }, peerAddress)
    } catch (error) {
      near.destroy()
      if (!(error instanceof CygnetError)) throw error
      this.#fail(peerAddress, error.message)
    }
  }

  #toPlain(raw: Socket, near: Socket, peerAddress: string): void {
    const { to } = this.#options
    const endpoint = formatEndpoint(to.host, to.port)
    const far = connectPlain({ ...to, allowHalfOpen: true })
    const timer = setTimeout(
      () => failed(new Error(`no answer within ${this.#limits.connectTimeoutMs} ms`)),
      this.#limits.connectTimeoutMs,
    )
    const failed = ({ message }: Error): void => {
      settle()
      far.on('error', () => undefined).destroy()
      near.on('error', () => undefined).destroy()
      this.#fail(peerAddress, `The target at ${endpoint} cannot be reached: ${message}.`)
    }
    const gone = (): void => failed(new Error('the initiator left'))
    const settle = (): void => {
      clearTimeout(timer)
      far.off('error', failed)
      near.off('close', gone).off('error', gone)
    }
    near.once('close', gone).once('error', gone)
    far.once('error', failed)
    far.once('connect', () => {
      settle()
      this.#join(raw, { near, far }, peerAddress)
    })
  }

  /** Back-pressure and half-closes are those of `pipe`. */
  #join(raw: Socket, pair: Pair, peerAddress: string): void {
    const { near, far } = pair
    const { idleTimeoutMs, halfCloseTimeoutMs } = this.#limits
    if (this.#connections.has(raw)) this.#connections.set(raw, pair)
    this.#options.onEvent(peerAddress, { kind: 'opened' })
    const { to } = this.#options
    let halfClosed: NodeJS.Timeout | undefined
    let open = 2
    let reason: string | undefined
    const end = (why: string): void => {
      reason ??= why
      near.destroy()
      far.destroy()
    }
    const closed = (): void => {
      clearTimeout(halfClosed)
      if (reason !== undefined) this.#fail(peerAddress, reason)
      const { bytesWritten, bytesRead } = far
      this.#options.onEvent(peerAddress, {
        kind: 'closed',
        sentBytes: bytesWritten,
        receivedBytes: bytesRead,
      })
    }
    const carry = (from: Socket, into: Socket, name: string): void => {
      from.setNoDelay(true)
      from.setKeepAlive(true, KEEP_ALIVE_MS)
      from.on('error', (error) => end(`${name}: ${error.message}`))
      from.once('end', () => {
        halfClosed ??= setTimeout(() => end('one side ended, and the other did not'), halfCloseTimeoutMs)
      })
      from.once('close', () => {
        if (!from.readableEnded) into.destroy()
        if (--open === 0) closed()
      })
      from.pipe(into)
    }
    carry(near, far, peerAddress)
    carry(far, near, formatEndpoint(to.host, to.port))
    // Both directions pass the near socket.
    near.setTimeout(idleTimeoutMs, () => end(`no bytes for ${idleTimeoutMs} ms`))
  }

  #fail(peerAddress: string, reason: string): void {
    this.#options.onEvent(peerAddress, { kind: 'failed', reason })
  }
}
