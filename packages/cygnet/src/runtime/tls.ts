/**
 * TLS 1.3 on a portal. This is Cygnet's extension: RFC 7143 §9.3 knows IPsec only. A client that has shown no good
 * certificate or pre-shared key never reaches the iSCSI layer.
 */
import { constants, X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createSecureContext, createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import { CygnetError } from '../base/errors.ts'
import { explainFailedClient, PLAIN_CLIENT_ALERT, TLS_HANDSHAKE_RECORD } from './tls-errors.ts'
import { loadPsks, type PskSources, WatchedFiles } from './tls-files.ts'
import { formatEndpoint } from './tcp-connection.ts'

/** At least a certificate with its key, or one pre-shared key. A changed file is read again for the next connection. */
export interface TlsPortalOptions extends PskSources {
  /** The portal's certificate, then its intermediate ones: path of a PEM file, or the PEM text itself. */
  readonly certFile?: string
  /** The certificate's private key; likewise. */
  readonly keyFile?: string
  /**
   * The CA whose client certificates are asked for and taken; likewise. Without it, none are asked for. Not together with
   * pre-shared keys: Node would refuse a client that has a key and therefore shows no certificate.
   */
  readonly clientCaFile?: string
  /** From the connection to the end of the handshake. Default 10 s. */
  readonly handshakeTimeoutMs?: number
  /**
   * Handshakes at once; each takes about 100 KiB. One beyond them takes the place of the one that has been at it for
   * longest, so that silent connections keep nobody out. Default 64.
   */
  readonly maxHandshakes?: number
}

/** Who a client is, as far as TLS knows. */
export type TlsPeer =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'psk'; readonly identity: string }
  | { readonly kind: 'certificate'; readonly subject: string; readonly altNames?: string }

/** For the log. */
export type TlsEvent =
  | { readonly kind: 'secured'; readonly peer: TlsPeer; readonly cipher: string }
  | { readonly kind: 'refused'; readonly reason: string }
  /** The files have changed, and cannot be used; the old ones go on. */
  | { readonly kind: 'not-reloaded'; readonly reason: string }

export type OnTlsEvent = (peerAddress: string, event: TlsEvent) => void

/**
 * External pre-shared keys of OpenSSL's callbacks are bound to SHA-256 (RFC 8446 §4.2.11), and a suite with another hash
 * would be chosen first: with keys, these come first at a portal, and alone at an initiator.
 */
export const SHA256_SUITES = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256'

const HANDSHAKE_TIMEOUT_MS = 10_000
const MAX_HANDSHAKES = 64

interface Material {
  readonly tls: TlsOptions
  readonly psks: ReadonlyMap<string, Buffer>
  readonly certificate: X509Certificate | undefined
  readonly stamp: string
}

/** The TLS half of a portal: turns accepted TCP connections into TLS ones. */
export class TlsPortal {
  readonly #options: TlsPortalOptions
  readonly #onEvent: OnTlsEvent
  /** In the order of arrival, each with what refuses it. */
  readonly #handshakes = new Map<Socket, (reason: string) => void>()
  readonly #handshakeTimeoutMs: number
  readonly #maxHandshakes: number
  #files = new WatchedFiles()
  #material: Material

  /** @throws {CygnetError} TLS_FILE, TLS_PSK, TLS_OPTIONS */
  constructor(options: TlsPortalOptions, onEvent: OnTlsEvent) {
    this.#options = options
    this.#onEvent = onEvent
    this.#handshakeTimeoutMs = options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS
    this.#maxHandshakes = options.maxHandshakes ?? MAX_HANDSHAKES
    this.#material = load(options, this.#files)
  }

  get handshakes(): number {
    return this.#handshakes.size
  }

  /** Ends the handshakes that are under way. */
  close(): void {
    for (const raw of [...this.#handshakes.keys()]) raw.destroy()
  }

  /** `raw`: as a server with `pauseOnConnect` gave it. `secured` gets the TLS socket, paused, or nothing. */
  accept(raw: Socket, secured: (socket: TLSSocket) => void): void {
    const peerAddress = formatEndpoint(raw.remoteAddress, raw.remotePort)
    const refuse = (reason: string): void => {
      finish()
      this.#onEvent(peerAddress, { kind: 'refused', reason })
    }
    if (this.#handshakes.size >= this.#maxHandshakes) this.#evictOldest()
    this.#handshakes.set(raw, refuse)
    const timer = setTimeout(() => {
      refuse(`the initiator did not finish the TLS handshake within ${this.#handshakeTimeoutMs} ms`)
      raw.destroy()
    }, this.#handshakeTimeoutMs)
    const left = (): void => {
      if (this.#handshakes.has(raw)) refuse('the initiator left without a TLS handshake')
    }
    const finish = (): void => {
      clearTimeout(timer)
      this.#handshakes.delete(raw)
      raw.off('close', left)
    }
    raw.on('error', () => raw.destroy())
    raw.on('close', left)
    raw.once('data', (first: Buffer) => {
      if (first[0] === TLS_HANDSHAKE_RECORD) {
        raw.off('close', left)
        raw.pause()
        raw.unshift(first)
        this.#handshake(raw, refuse, (socket, peer) => {
          finish()
          this.#onEvent(peerAddress, { kind: 'secured', peer, cipher: socket.getCipher().standardName })
          secured(socket)
        })
        return
      }
      refuse('the initiator does not speak TLS, and this portal takes nothing else')
      raw.resume()
      raw.end(PLAIN_CLIENT_ALERT)
      setTimeout(() => raw.destroy(), 1000).unref()
    })
    raw.resume()
  }

  #evictOldest(): void {
    for (const [raw, refuse] of this.#handshakes) {
      refuse('too many TLS handshakes at once: it was at it for longest')
      raw.destroy()
      return
    }
  }

  /** A `tls.Server` for each connection, never listening: its callbacks then know whose they are. */
  #handshake(
    raw: Socket,
    refuse: (reason: string) => void,
    secured: (socket: TLSSocket, peer: TlsPeer) => void,
  ): void {
    const { tls, psks, certificate } = this.#current(raw)
    let offeredIdentity: string | undefined
    const server = createServer({
      ...tls,
      pauseOnConnect: true,
      handshakeTimeout: this.#handshakeTimeoutMs * 2,
      ...(psks.size > 0 && {
        pskCallback: (_socket: TLSSocket, identity: string) => {
          offeredIdentity = identity
          return psks.get(identity) ?? null
        },
      }),
    })
    server.once('secureConnection', (socket) => secured(socket, peerOf(socket, offeredIdentity)))
    server.once('tlsClientError', (error, socket) => {
      if (!this.#handshakes.has(raw)) return
      const { authorizationError } = socket as { authorizationError?: unknown }
      const reason = explainFailedClient({
        error,
        certificateError: typeof authorizationError === 'string' ? authorizationError : undefined,
        offeredIdentity,
        pskOnly: certificate === undefined,
        ownExpiry: expiryOf(certificate),
      })
      refuse(reason)
      // OpenSSL's alert is on its way; a moment later there is nothing to wait for.
      setImmediate(() => socket.destroy())
    })
    server.emit('connection', raw)
  }

  /** The files as they are now, or as they were when they could last be used. */
  #current(raw: Socket): Material {
    const stamp = this.#files.stamp()
    if (stamp === this.#material.stamp) return this.#material
    const files = new WatchedFiles()
    try {
      this.#material = load(this.#options, files)
      this.#files = files
    } catch (error) {
      if (!(error instanceof CygnetError)) throw error
      this.#material = { ...this.#material, stamp }
      const peerAddress = formatEndpoint(raw.remoteAddress, raw.remotePort)
      this.#onEvent(peerAddress, { kind: 'not-reloaded', reason: error.message })
    }
    return this.#material
  }
}

function load(options: TlsPortalOptions, files: WatchedFiles): Material {
  const { certFile, keyFile, clientCaFile } = options
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new CygnetError('TLS_OPTIONS', 'A certificate and its key belong together: give both or none.')
  const psks = loadPsks(options, files)
  if (certFile === undefined && psks.size === 0)
    throw new CygnetError('TLS_OPTIONS', 'TLS needs a certificate with its key, or a pre-shared key.')
  if (clientCaFile !== undefined && certFile === undefined)
    throw new CygnetError('TLS_OPTIONS', 'Client certificates need a certificate at the portal too.')
  if (clientCaFile !== undefined && psks.size > 0)
    throw new CygnetError(
      'TLS_OPTIONS',
      'A portal takes client certificates or pre-shared keys, not both: use two portals.',
    )
  const cert = certFile === undefined ? undefined : files.readPem(certFile, 'certificate')
  const key = keyFile === undefined ? undefined : files.readPem(keyFile, 'private key')
  const ca = clientCaFile === undefined ? undefined : files.readPem(clientCaFile, 'client CA')
  const tls: TlsOptions = {
    minVersion: 'TLSv1.3',
    // A resumed session would outlive the certificate that it began with; storage sessions are long anyway.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(psks.size > 0 && { ciphers: `${SHA256_SUITES}:TLS_AES_256_GCM_SHA384` }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(ca !== undefined && { ca, requestCert: true, rejectUnauthorized: true }),
  }
  const stamp = files.stamp()
  try {
    createSecureContext(tls)
    const certificate = cert === undefined ? undefined : new X509Certificate(cert)
    return { tls, psks, certificate, stamp }
  } catch (cause) {
    throw badMaterial(cause as Error, options)
  }
}

/** What OpenSSL says of a certificate and a key that it cannot use. */
export function badMaterial(error: Error, { certFile = '', keyFile = '' }: TlsPortalOptions): CygnetError {
  const name = (source: string): string => (source.includes('-----BEGIN') ? '' : ` ${source}`)
  const message = /mismatch/i.test(error.message)
    ? `The private key${name(keyFile)} does not belong to the certificate${name(certFile)}.`
    : `The certificate${name(certFile)} or its key cannot be used: ${error.message}.`
  return new CygnetError('TLS_FILE', message, { cause: error })
}

/** There is no resumption, so what looks like it is an external pre-shared key. */
function peerOf(socket: TLSSocket, offeredIdentity: string | undefined): TlsPeer {
  if (offeredIdentity !== undefined && socket.isSessionReused())
    return { kind: 'psk', identity: offeredIdentity }
  const certificate = socket.getPeerX509Certificate()
  if (!certificate || !socket.authorized) return { kind: 'anonymous' }
  const { subject, subjectAltName } = certificate
  const name = subject?.replaceAll('\n', ', ') ?? ''
  return {
    kind: 'certificate',
    subject: name,
    ...(subjectAltName !== undefined && { altNames: subjectAltName }),
  }
}

function expiryOf(certificate: X509Certificate | undefined): string | undefined {
  if (certificate === undefined || certificate.validToDate.getTime() > Date.now()) return undefined
  return certificate.validToDate.toISOString().slice(0, 10)
}
