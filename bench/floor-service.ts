/** The server's side of the floor on one socket. */
import type { Socket } from 'node:net'
import { BufferPool } from '../packages/cygnet/src/base/pool.ts'
import { SocketReader } from '../packages/cygnet/src/runtime/socket-reader.ts'
import { decodeGreeting, GREETING_BYTES, MessageCounter, MessageWriter } from './floor.ts'

const SEGMENT_BYTES = 256 * 1024
const pool = new BufferPool()

/** Answers each whole request on a connection. */
class FloorService {
  #greeting = Buffer.alloc(0)
  #requests: MessageCounter | undefined
  #answers: MessageWriter | undefined

  received(socket: Socket, bytes: Uint8Array, start: number, end: number): void {
    const lengthBytes = this.#requests ? end - start : this.#greet(bytes.subarray(start, end))
    const count = this.#requests?.add(lengthBytes) ?? 0
    if (count > 0) this.#answers?.write(socket, count)
  }

  /** Returns how many of the bytes belong to requests. */
  #greet(bytes: Uint8Array): number {
    this.#greeting = Buffer.concat([this.#greeting, bytes])
    if (this.#greeting.length < GREETING_BYTES) return 0
    const { requestBytes, answerBytes } = decodeGreeting(this.#greeting)
    this.#requests = new MessageCounter(requestBytes)
    this.#answers = new MessageWriter(answerBytes)
    return this.#greeting.length - GREETING_BYTES
  }
}

/** `accepted`: paused, as our target takes it: it is read into memory of ours. */
export function servePlain(accepted: Socket): void {
  const service = new FloorService()
  const reader = new SocketReader(accepted, pool, SEGMENT_BYTES, (segment, start, end) =>
    service.received(reader.socket, segment.bytes, start, end),
  )
  reader.socket.setNoDelay(true)
  reader.socket.on('error', () => undefined)
  reader.socket.on('close', () => reader.close())
}

export function serveTls(socket: Socket): void {
  const service = new FloorService()
  socket.setNoDelay(true)
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => service.received(socket, chunk, 0, chunk.length))
}
