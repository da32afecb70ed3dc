import { Socket, type SocketConstructorOpts } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { BufferPool } from '../base/pool.ts'
import { type Received, ReceiveSegments } from './receive-segments.ts'

/** Node keeps a socket's handle here. Not a public name: without it, reading falls back to `data` events. */
interface HandleOwner {
  _handle?: unknown
}

/**
 * Reads an accepted socket into pooled segments. Node can read into memory of ours
 * (`onread`), at less than half the cost of a new buffer for each read, but only for sockets that it is told to from
 * the start; accepted ones are not, so the accepted handle moves to a new socket. What comes over TLS was decrypted into
 * new buffers, and is copied.
 */
export class SocketReader {
  /** The socket to use from here on. */
  readonly socket: Socket
  readonly #segments: ReceiveSegments
  readonly #copyIn = (chunk: Buffer): void => this.#segments.copyIn(chunk)

  /** `accepted`: as a server's `connection` event gave it, paused. `largestBytes`: of the segments. */
  constructor(accepted: Socket, pool: BufferPool, largestBytes: number, received: Received) {
    this.#segments = new ReceiveSegments(pool, largestBytes, received)
    this.socket = this.#adopt(accepted)
  }

  /** Largest size of the segments from the next one on. */
  set largestBytes(lengthBytes: number) {
    this.#segments.largestBytes = lengthBytes
  }

  /** Hands on bytes that were received before the socket came here. */
  replay(bytes: Uint8Array): void {
    this.#segments.replay(bytes)
  }

  /** The socket is left to somebody else, paused; `close` comes later, not from within a callback of its. */
  detach(): void {
    this.socket.pause()
    this.socket.off('data', this.#copyIn)
  }

  /** The socket is closed: nothing more comes. */
  close(): void {
    this.#segments.close()
  }

  #adopt(accepted: Socket): Socket {
    const owner = accepted as HandleOwner
    const handle = owner._handle
    if (!handle || accepted instanceof TLSSocket) {
      accepted.on('data', this.#copyIn)
      accepted.resume()
      return accepted
    }
    owner._handle = null
    // Without its handle the accepted socket is an empty shell; destroying it only tells its server so.
    accepted.destroy()
    const options = {
      handle,
      readable: true,
      writable: true,
      allowHalfOpen: false,
      onread: this.#segments.onRead,
    }
    const socket = new Socket(options as unknown as SocketConstructorOpts)
    socket.resume()
    return socket
  }
}
