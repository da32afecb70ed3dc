import { Socket, type SocketConstructorOpts } from 'node:net'
import { TLSSocket } from 'node:tls'
import { assert } from '../base/assert.ts'
import type { BufferPool, PooledBuffer } from '../base/pool.ts'

/** Bytes [start, end) of a pooled segment came in. Who keeps views of them retains the segment. */
export type Received = (segment: PooledBuffer, start: number, end: number) => void

/** A new segment is taken when less than this part of the old one is left. */
const LEAST_PART = 1 / 8

/** Node keeps a socket's handle here. Not a public name: without it, reading falls back to `data` events. */
interface HandleOwner {
  _handle?: unknown
}

/**
 * Reads a socket into pooled segments, each filled before the next is taken. Node can read into memory of ours
 * (`onread`), at less than half the cost of a new buffer for each read, but only for sockets that it is told to from
 * the start; accepted ones are not, so the accepted handle moves to a new socket. What comes over TLS was decrypted into
 * new buffers, and is copied.
 */
export class SocketReader {
  /** The socket to use from here on. */
  readonly socket: Socket
  readonly #pool: BufferPool
  readonly #received: Received
  #segmentBytes: number
  #segment: PooledBuffer
  #end = 0
  #closed = false

  /** `accepted`: as a server's `connection` event gave it, paused. `segmentBytes`: size of the segments. */
  constructor(accepted: Socket, pool: BufferPool, segmentBytes: number, received: Received) {
    this.#pool = pool
    this.#received = received
    this.#segmentBytes = segmentBytes
    this.#segment = pool.take(segmentBytes)
    this.socket = this.#adopt(accepted)
  }

  /** Size of the segments from the next one on. */
  set segmentBytes(lengthBytes: number) {
    this.#segmentBytes = lengthBytes
  }

  /** The socket is closed: nothing more comes. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#segment.release()
  }

  #adopt(accepted: Socket): Socket {
    const owner = accepted as HandleOwner
    const handle = owner._handle
    if (!handle || accepted instanceof TLSSocket) {
      accepted.on('data', (chunk: Buffer) => this.#copyIn(chunk))
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
      onread: {
        buffer: () => this.#nextBuffer(),
        callback: (lengthBytes: number) => this.#arrived(lengthBytes),
      },
    }
    const socket = new Socket(options as unknown as SocketConstructorOpts)
    socket.resume()
    return socket
  }

  #nextBuffer(): Uint8Array {
    if (this.#segment.bytes.length - this.#end < this.#segment.bytes.length * LEAST_PART) this.#nextSegment()
    return this.#segment.bytes.subarray(this.#end)
  }

  #nextSegment(): void {
    this.#segment.release()
    this.#segment = this.#pool.take(this.#segmentBytes)
    this.#end = 0
  }

  #arrived(lengthBytes: number): boolean {
    if (this.#closed) return false
    const start = this.#end
    this.#end += lengthBytes
    this.#received(this.#segment, start, this.#end)
    return true
  }

  #copyIn(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.#closed; ) {
      const room = this.#nextBuffer()
      assert(room.length > 0, 'an empty receive segment')
      const lengthBytes = Math.min(room.length, chunk.length - at)
      room.set(chunk.subarray(at, at + lengthBytes))
      at += lengthBytes
      this.#arrived(lengthBytes)
    }
  }
}
