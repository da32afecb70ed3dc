import { connect, type OnReadOpts, Socket, type TcpNetConnectOpts } from 'node:net'
import { once } from 'node:events'
import type { Duplex, DuplexOptions } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { CygnetError } from '../base/errors.ts'
import { BufferPool } from '../base/pool.ts'
import type { ByteStream, StreamHandler, Transport } from '../initiator/ports.ts'
import { formatPortalAddress, type PortalAddress } from '../session/portal-address.ts'
import { ReceiveSegments } from './receive-segments.ts'
import { connectTls, type TlsClientOptions } from './tls-connect.ts'
import { portalSpeaksTls, TLS_ALERT_RECORD } from './tls-errors.ts'

/**
 * What is sent because of one read leaves before the next: with reads that take a whole burst, the target would have
 * nothing to do while we work, nor we while it does. Small ones also stay in the processor's cache.
 */
const SEGMENT_BYTES = 64 * 1024
/** A whole batch: `drain` is for those that the system does not take. */
const WRITE_HIGH_WATER_BYTES = 1024 * 1024
/** How long a closing connection may take to send its last bytes and close. */
const CLOSE_TIMEOUT_MS = 5000
const KEEP_ALIVE_MS = 30_000
const NOTHING = new Uint8Array(0)

/** What connecting may fail with, and what to do about it. */
const connectErrors: Readonly<Record<string, (address: string) => string>> = {
  ECONNREFUSED: (address) =>
    `Nothing listens at ${address}: look whether the target runs, and at which port.`,
  ENOTFOUND: (address) =>
    `The host name in ${address} is not known: check its spelling, or use an IP address.`,
  EHOSTUNREACH: (address) => `There is no way to ${address}: check the address and the network.`,
  ENETUNREACH: (address) => `There is no way to ${address}: check the address and the network.`,
  ETIMEDOUT: (address) => `${address} does not answer: check the address and the firewalls on the way.`,
}

/** Opens what carries the bytes: a stream that is connected, and secured where that is its job. */
export type OpenStream = (portal: PortalAddress, timeoutMs: number) => Promise<Duplex>

export interface SocketTransportOptions {
  readonly pool: BufferPool
  /** Default: TCP. */
  readonly openStream?: OpenStream
}

/** How initiators reach portals from Node: TCP, or what `openStream` puts on it. */
export class SocketTransport implements Transport {
  readonly #pool: BufferPool
  readonly #openStream: OpenStream | undefined

  constructor(options: SocketTransportOptions) {
    this.#pool = options.pool
    this.#openStream = options.openStream
  }

  async connect(portal: PortalAddress, timeoutMs: number, handler: StreamHandler): Promise<ByteStream> {
    let isFirst = true
    let tlsError: CygnetError | undefined
    const segments = new ReceiveSegments(this.#pool, SEGMENT_BYTES, (segment, start, end) => {
      if (isFirst && segment.bytes[start] === TLS_ALERT_RECORD) {
        tlsError = portalSpeaksTls(formatPortalAddress(portal))
      }
      isFirst = false
      if (!tlsError) handler.received(segment, start, end)
    })
    try {
      const stream = this.#openStream
        ? await this.#openStream(portal, timeoutMs)
        : await openTcp(portal, timeoutMs, segments.onRead)
      if (this.#openStream) stream.on('data', (chunk: Buffer) => segments.copyIn(chunk))
      return new SocketStream(stream, portal, segments, {
        drained: () => handler.drained(),
        closed: (reason) => handler.closed(reason, tlsError),
      })
    } catch (error) {
      segments.close()
      throw connectFailure(error, portal, timeoutMs)
    }
  }
}

/** Portals over TLS 1.3 (an extension of ours: RFC 7143 knows IPsec only). */
export const tlsTransport = (options: TlsClientOptions, pool = new BufferPool()): Transport =>
  new SocketTransport({
    pool,
    openStream: ({ host, port }, timeoutMs) => connectTls({ ...options, host, port, timeoutMs }),
  })

async function openTcp(
  { host, port }: PortalAddress,
  timeoutMs: number,
  onread: OnReadOpts,
): Promise<Duplex> {
  const options: TcpNetConnectOpts & DuplexOptions = {
    host,
    port,
    onread,
    writableHighWaterMark: WRITE_HIGH_WATER_BYTES,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  }
  const socket = connect(options)
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(timeoutMs) })
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

function connectFailure(error: unknown, portal: PortalAddress, timeoutMs: number): unknown {
  if (error instanceof CygnetError || !(error instanceof Error)) return error
  const address = formatPortalAddress(portal)
  if (error.name === 'AbortError' || error.name === 'TimeoutError') {
    const message = `${address} does not answer within ${timeoutMs} ms: check the address and the firewalls on the way.`
    return new CygnetError('CONNECT_TIMEOUT', message, { cause: error })
  }
  const { code } = error as NodeJS.ErrnoException
  const message = connectErrors[code ?? '']?.(address) ?? `Cannot connect to ${address}: ${error.message}.`
  return new CygnetError('CONNECT_FAILED', message, { cause: error })
}

/** What a stream tells besides its bytes. */
type Ends = Pick<StreamHandler, 'drained' | 'closed'>

/** A connected socket as the byte stream of an initiator. */
class SocketStream implements ByteStream {
  readonly peer: PortalAddress
  readonly #stream: Duplex
  #hasClosed = false

  constructor(stream: Duplex, peer: PortalAddress, segments: ReceiveSegments, handler: Ends) {
    this.peer = peer
    this.#stream = stream
    const closed = (reason: string): void => {
      if (this.#hasClosed) return
      this.#hasClosed = true
      handler.closed(reason)
    }
    stream.on('error', (error) => closed(error.message))
    stream.on('end', () => closed('the target closed it'))
    stream.on('close', () => {
      closed('it was closed')
      segments.close()
    })
    stream.on('drain', () => handler.drained())
    stream.resume()
  }

  get queuedBytes(): number {
    return this.#stream.writableLength
  }

  write(chunks: readonly Uint8Array[], sent: () => void): void {
    const stream = this.#stream
    if (stream.destroyed) {
      sent()
      return
    }
    const hasSeveral = chunks.length > 1
    if (hasSeveral) stream.cork()
    for (const chunk of chunks) stream.write(chunk)
    if (hasSeveral) stream.uncork()
    // Most often the system takes everything at once. A callback for each write would cost Node another turn of its queue.
    if (stream.writableLength === 0) sent()
    else stream.write(NOTHING, () => sent())
  }

  end(): void {
    const stream = this.#stream
    if (stream.destroyed) return
    stream.end()
    const timer = setTimeout(() => stream.destroy(), CLOSE_TIMEOUT_MS)
    stream.once('close', () => clearTimeout(timer))
  }

  /** Only a reset takes back what the system has to send: after a close it would try on for minutes. */
  reset(): void {
    const stream = this.#stream
    // Node cannot reset what is below TLS, nor what is being shut down, as the peer has closed it.
    const canReset = stream instanceof Socket && !(stream instanceof TLSSocket) && !stream.writableEnded
    const hasQueued = stream.writableLength > 0
    if (canReset) stream.resetAndDestroy()
    // That alone waits for what is queued.
    if (!canReset || hasQueued) stream.destroy()
  }
}
