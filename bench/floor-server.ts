/**
 * The server of the floor, in a process of its own: `node floor-server.ts [CERTIFICATE KEY]`, with a certificate over TLS.
 * Prints its port. It reads as our target does, into memory of its own where that is possible.
 */
import { readFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
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

function servePlain(accepted: Socket): void {
  const service = new FloorService()
  const reader = new SocketReader(accepted, pool, SEGMENT_BYTES, (segment, start, end) =>
    service.received(reader.socket, segment.bytes, start, end),
  )
  reader.socket.setNoDelay(true)
  reader.socket.on('error', () => undefined)
  reader.socket.on('close', () => reader.close())
}

function serveTls(socket: Socket): void {
  const service = new FloorService()
  socket.setNoDelay(true)
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => service.received(socket, chunk, 0, chunk.length))
}

const [certFile, keyFile] = process.argv.slice(2)
const server: Server =
  certFile === undefined || keyFile === undefined
    ? createServer({ pauseOnConnect: true }, servePlain)
    : createTlsServer(
        { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: 'TLSv1.3' },
        serveTls,
      )
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') process.stdout.write(`${address.port}\n`)
})
