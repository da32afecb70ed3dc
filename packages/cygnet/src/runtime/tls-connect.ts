import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect, createSecureContext, type TLSSocket } from 'node:tls'
import { CygnetError } from '../base/errors.ts'
import { formatEndpoint } from './tcp-connection.ts'
import { badMaterial, SHA256_SUITES } from './tls.ts'
import { explainFailedServer, type FailedServer } from './tls-errors.ts'
import { loadPsks, type TlsPsk, WatchedFiles } from './tls-files.ts'

/** How an initiator proves who it is, and whom it believes. PEM: path of a file, or the text itself. */
export interface TlsClientOptions {
  /** CA certificates that are trusted, in PEM; without it, the well-known ones. */
  readonly caFile?: string
  /** The name that the portal's certificate must have, where it is not the host that is connected to. */
  readonly serverName?: string
  readonly certFile?: string
  readonly keyFile?: string
  /** With a pre-shared key, the portal must use it; no certificate counts then. */
  readonly psk?: TlsPsk
  /** Instead of `psk`: a file whose first line is `identity:key`. */
  readonly pskFile?: string
}

export interface ConnectTlsOptions extends TlsClientOptions {
  readonly host: string
  readonly port: number
  /** From the start to the portal's consent. Default 10 s. */
  readonly timeoutMs?: number
  /** As for `node:net`. Default false. */
  readonly allowHalfOpen?: boolean
  /** Ends the attempt. */
  readonly signal?: AbortSignal
  /** A stream that is connected to `host` already, to secure instead of connecting. Nothing may read it any more. */
  readonly socket?: Duplex
}

const CONNECT_TIMEOUT_MS = 10_000
/**
 * A TLS 1.3 server looks at the client's certificate after the client has finished. Its session ticket says that it
 * has consented; a server that sends none is taken to have consented after this long.
 */
const CONSENT_WAIT_MS = 1000

/**
 * Reads what the options name, so that a mistake shows before the first connection.
 * @throws {CygnetError} TLS_FILE, TLS_PSK, TLS_OPTIONS
 */
export function checkTlsClient(options: TlsClientOptions): void {
  usable(() => createSecureContext(connectionOptions({ ...options, host: '', port: 0 }).tls), options)
}

/** OpenSSL complains of files in words of its own. */
function usable<Result>(use: () => Result, { certFile, keyFile }: TlsClientOptions): Result {
  try {
    return use()
  } catch (cause) {
    if (cause instanceof CygnetError) throw cause
    throw badMaterial(cause as Error, {
      ...(certFile !== undefined && { certFile }),
      ...(keyFile !== undefined && { keyFile }),
    })
  }
}

/** @throws {CygnetError} TLS_FILE, TLS_PSK, TLS_OPTIONS */
function connectionOptions(options: ConnectTlsOptions): {
  tls: ConnectionOptions
  identity: string | undefined
} {
  const { host, port, serverName, caFile, certFile, keyFile, psk, pskFile, allowHalfOpen, socket } = options
  const files = new WatchedFiles()
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new CygnetError(
      'TLS_OPTIONS',
      'A client certificate and its key belong together: give both or none.',
    )
  if (serverName !== undefined && isIP(serverName) !== 0)
    throw new CygnetError(
      'TLS_OPTIONS',
      `The server name must be a host name, and ${serverName} is an address.`,
    )
  const psks = loadPsks({ ...(psk && { psk: [psk] }), ...(pskFile !== undefined && { pskFile }) }, files)
  const [first] = psks
  // Node takes `allowHalfOpen` here; its type declarations do not know.
  const tls: ConnectionOptions & { allowHalfOpen: boolean } = {
    host,
    port,
    minVersion: 'TLSv1.3',
    allowHalfOpen: allowHalfOpen ?? false,
    ...(socket && { socket }),
    ...(serverName !== undefined && { servername: serverName }),
    ...(caFile !== undefined && { ca: files.readPem(caFile, 'CA') }),
    ...(certFile !== undefined && { cert: files.readPem(certFile, 'client certificate') }),
    ...(keyFile !== undefined && { key: files.readPem(keyFile, 'private key') }),
    // The key proves the portal. That it was used is checked before the socket is handed out.
    ...(first && {
      ciphers: SHA256_SUITES,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      pskCallback: () => ({ identity: first[0], psk: first[1] }),
    }),
  }
  return { tls, identity: first?.[0] }
}

/**
 * Connects to a TLS 1.3 portal. The socket comes paused, without an `error` listener.
 * @throws {CygnetError} with one sentence: CONNECTION_REFUSED, CONNECT_TIMEOUT, HOST_UNKNOWN, TLS_UNTRUSTED, TLS_EXPIRED, TLS_WRONG_NAME,
 * TLS_CLIENT_CERTIFICATE_REQUIRED, TLS_CLIENT_CERTIFICATE_REFUSED, TLS_PSK_REFUSED, TLS_REFUSED, TLS_NOT_SPOKEN, TLS_VERSION, TLS_FAILED, TLS_FILE, TLS_PSK, TLS_OPTIONS
 */
export async function connectTls(options: ConnectTlsOptions): Promise<TLSSocket> {
  const { host, port, timeoutMs = CONNECT_TIMEOUT_MS, signal } = options
  const { tls, identity } = connectionOptions(options)
  const endpoint = formatEndpoint(host, port)
  const socket = usable(() => connect(tls), options)
  return new Promise((resolve, reject) => {
    let secured = false
    let consent: NodeJS.Timeout | undefined
    const server = (): FailedServer => ({
      endpoint,
      serverName: options.serverName ?? host,
      pskIdentity: identity,
      hasCertificate: options.certFile !== undefined,
      secured,
    })
    const timer = setTimeout(
      () =>
        fail(
          new CygnetError('CONNECT_TIMEOUT', `${endpoint} does not answer in TLS within ${timeoutMs} ms.`),
        ),
      timeoutMs,
    )
    const settle = (): void => {
      clearTimeout(timer)
      clearTimeout(consent)
      socket.off('error', onError).off('end', onEnd).off('secureConnect', onSecure).off('session', onTicket)
      signal?.removeEventListener('abort', onAbort)
    }
    const fail = (error: CygnetError): void => {
      settle()
      socket.on('error', () => undefined)
      socket.destroy()
      reject(error)
    }
    const onError = (error: Error): void => fail(explainFailedServer(error, server()))
    const onEnd = (): void =>
      onError(Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' }))
    const onAbort = (): void =>
      fail(new CygnetError('ABORTED', `The connection to ${endpoint} was given up.`))
    const onConsent = (): void => {
      settle()
      socket.pause()
      resolve(socket)
    }
    // The event comes from inside OpenSSL's read: whoever writes before that returns breaks the stream.
    const onTicket = (): void => {
      clearTimeout(consent)
      consent = setTimeout(onConsent, 0)
    }
    const onSecure = (): void => {
      secured = true
      // There is no resumption here: a session that looks resumed is one of the pre-shared key.
      if (identity !== undefined && !socket.isSessionReused()) {
        const refusal = Object.assign(new Error('SSL alert number 115'), { code: '' })
        fail(explainFailedServer(refusal, server()))
        return
      }
      consent = setTimeout(onConsent, CONSENT_WAIT_MS)
    }
    socket.on('error', onError).on('end', onEnd).on('secureConnect', onSecure).on('session', onTicket)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
  })
}
