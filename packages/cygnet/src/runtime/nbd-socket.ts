import type { Socket } from 'node:net'
import type { NbdStream } from '../nbd/nbd-stream.ts'

/** How long a closing connection may take to send its last bytes and close. */
const CLOSE_TIMEOUT_MS = 5000

/** A connected socket as an NBD stream. What is written in one turn leaves in one call to the system. */
export class NbdSocket implements NbdStream {
  readonly peer: string
  #socket: Socket
  #isCorked = false

  constructor(socket: Socket, peer: string) {
    this.peer = peer
    this.#socket = socket
  }

  /** TLS on the same connection: what is written from here on goes through it. */
  secured(socket: Socket): void {
    this.#socket = socket
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  write(chunks: readonly Uint8Array[], sent?: () => void): void {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) {
      sent?.()
      return
    }
    if (!this.#isCorked) {
      this.#isCorked = true
      socket.cork()
      process.nextTick(() => {
        this.#isCorked = false
        socket.uncork()
      })
    }
    const last = chunks.length - 1
    for (let i = 0; i <= last; i++) {
      if (i === last && sent) socket.write(chunks[i] as Uint8Array, () => sent())
      else socket.write(chunks[i] as Uint8Array)
    }
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    const socket = this.#socket
    if (socket.destroyed) return
    socket.end()
    const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS)
    socket.once('close', () => clearTimeout(timer))
  }

  destroy(): void {
    this.#socket.destroy()
  }
}
