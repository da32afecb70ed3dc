import type { Clock } from '../base/clock.ts'
import type { CygnetError } from '../base/errors.ts'
import type { BufferPool, PooledBuffer } from '../base/pool.ts'
import type { PortalAddress } from '../session/portal-address.ts'

/** What comes from the other end of a byte stream. */
export interface StreamHandler {
  /** Bytes [start, end) of a pooled segment came in. Who keeps views of them retains the segment. */
  received(segment: PooledBuffer, start: number, end: number): void
  /** More can be written without piling up. */
  drained(): void
  /** Nothing more comes, and nothing more can be sent. Once. `error`: what to do about it, where that is known. */
  closed(reason: string, error?: CygnetError): void
}

/** Bytes in both directions and in order: TCP, or TLS over it. */
export interface ByteStream {
  /** The other end, for messages. */
  readonly peer: PortalAddress
  /** Written, and not yet taken by the system. */
  readonly queuedBytes: number
  /** `sent` runs when the chunks' memory is not needed any more, however that came about. */
  write(chunks: readonly Uint8Array[], sent: () => void): void
  /** Sends what was written, then closes. */
  end(): void
  /** Closes at once. What was written and is not on its way yet is never sent, as far as the system can do that. */
  reset(): void
}

/** How portals are reached. */
export interface Transport {
  /**
   * @throws {CygnetError} CONNECT_FAILED, CONNECT_TIMEOUT, or what TLS has to say
   */
  connect(portal: PortalAddress, timeoutMs: number, handler: StreamHandler): Promise<ByteStream>
}

/** TLS 1.3 on the way to a portal, an extension of ours. PEM: path of a file, or the text itself. */
export interface TlsSettings {
  /** CA certificates that are trusted. Default: the well-known ones. */
  readonly caFile?: string
  /** The name in the portal's certificate, where it is not the host that is connected to. */
  readonly serverName?: string
  /** Our own certificate and its key: both or none. */
  readonly certFile?: string
  readonly keyFile?: string
  /** Instead of certificates, a pre-shared key: a file whose first line is `identity:key`, the key in hexadecimal. */
  readonly pskFile?: string
}

/** Everything that initiators need of the machine. */
export interface InitiatorRuntime {
  readonly transport: Transport
  /** Portals over TLS. */
  secured(tls: TlsSettings): Transport
  readonly clock: Clock
  readonly pool: BufferPool
  /** iSCSI name of this host, where the caller gives none. */
  readonly hostName: string
  /** Unpredictable bytes: ISIDs and challenges. */
  random(lengthBytes: number): Uint8Array
  /** Calls back as soon as what runs now has ended, before anything else happens. */
  defer(callback: () => void): void
  /** Calls back once after a delay; returns what cancels it. */
  schedule(callback: () => void, delayMs: number): () => void
}
