import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { CygnetError } from '../base/errors.ts'
import { BufferPool } from '../base/pool.ts'
import type { TlsSettings } from '../initiator/ports.ts'
import { NbdClientConnection } from '../nbd/client-connection.ts'
import { NbdDevice } from '../nbd/nbd-device.ts'
import { type NbdUrl, parseNbdUrl } from '../nbd/nbd-url.ts'
import { formatNbdAddress } from './nbd-server.ts'
import { NbdSocket } from './nbd-socket.ts'
import { ReceiveSegments } from './receive-segments.ts'
import { connectTls } from './tls-connect.ts'

const SEGMENT_BYTES = 256 * 1024
const DEFAULT_TIMEOUT_MS = 10_000
const TIMEOUT = 'TIMEOUT'

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: look whether the server runs',
  ENOENT: 'there is no such socket: look whether the server runs',
  EACCES: 'no permission to connect to it',
  ENOTFOUND: 'the host name is not known',
}

/**
 * Connects to an export of an NBD server. `where`: `nbd://HOST[:PORT]/[EXPORT]` or `nbd+unix:///[EXPORT]?socket=PATH`; `nbds`
 * instead of `nbd` for TLS 1.3 (see `parseNbdUrl`).
 * @throws {CygnetError} URL_INVALID, CONNECT_FAILED, CONNECT_TIMEOUT, NBD_EXPORT_UNKNOWN, NBD_REFUSED, NBD_PROTOCOL_ERROR, TLS_…
 */
export async function connectNbd(
  where: string | NbdUrl,
  { timeoutMs = DEFAULT_TIMEOUT_MS }: { readonly timeoutMs?: number } = {},
): Promise<NbdDevice> {
  const { address, exportName, tls } = typeof where === 'string' ? parseNbdUrl(where) : where
  const name = formatNbdAddress(address)
  const segments = new ReceiveSegments(new BufferPool(), SEGMENT_BYTES, (segment, start, end) =>
    connection.received(segment, start, end),
  )
  // What comes by TLS was decrypted into memory of Node's, and so is what comes before it.
  const onread = tls ? undefined : segments.onRead
  const take = (chunk: Buffer): void => segments.copyIn(chunk)
  const target: NetConnectOpts =
    address.kind === 'unix'
      ? { path: address.path, ...(onread && { onread }) }
      : { host: address.host, port: address.port, noDelay: true, keepAlive: true, ...(onread && { onread }) }
  const socket = connect(target)
  const stream = new NbdSocket(socket, name)
  const watch = (one: Socket): void => {
    one.on('error', (error) => connection.closed(error.message))
    one.on('end', () => connection.closed('the server closed it'))
    one.on('close', () => {
      connection.closed('it was closed')
      segments.close()
    })
    if (tls) one.on('data', take)
  }
  const secure = async (settings: TlsSettings): Promise<void> => {
    socket.off('data', take).pause()
    const host = address.kind === 'unix' ? 'localhost' : address.host
    const port = address.kind === 'unix' ? 0 : address.port
    try {
      const secured = await connectTls({ ...settings, host, port, socket, timeoutMs })
      stream.secured(secured)
      watch(secured)
      connection.secured()
      secured.resume()
    } catch (error) {
      connection.refused(error as CygnetError)
    }
  }
  const connection = new NbdClientConnection(stream, exportName, tls && (() => void secure(tls)))
  watch(socket)
  const timer = setTimeout(() => socket.destroy(new Error(TIMEOUT)), timeoutMs)
  try {
    await once(socket, 'connect')
  } catch (error) {
    clearTimeout(timer)
    throw connectFailure(error as NodeJS.ErrnoException, name, timeoutMs)
  }
  try {
    return new NbdDevice(connection, await connection.ready, `NBD export ${exportName || 'of'} ${name}`)
  } catch (error) {
    const { errored } = socket
    socket.destroy()
    if (errored?.message === TIMEOUT) throw connectFailure(errored, name, timeoutMs)
    throw error
  } finally {
    clearTimeout(timer)
  }
}

function connectFailure(error: NodeJS.ErrnoException, name: string, timeoutMs: number): CygnetError {
  if (error.message === TIMEOUT) {
    const message = `${name} does not answer within ${timeoutMs} ms: check the address.`
    return new CygnetError('CONNECT_TIMEOUT', message, { cause: error })
  }
  const reason = reasons[error.code ?? ''] ?? error.message
  return new CygnetError('CONNECT_FAILED', `Cannot connect to ${name}: ${reason}.`, { cause: error })
}
