/** The client of the floor, in a process of its own: `node floor-client.ts JOB`. */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { once } from 'node:events'
import type { ClientJob } from './client-job.ts'
import { encodeGreeting, exchangeOf, MessageCounter, MessageWriter } from './floor.ts'
import { MeasuredWindow } from './measured-window.ts'

const RECEIVE_BYTES = 256 * 1024

/** One connection that keeps `depth` requests under way. */
class FloorConnection {
  readonly #requests: MessageWriter
  readonly #answers: MessageCounter
  readonly #window: MeasuredWindow
  readonly #blockBytes: number
  /** When the requests under way began, in order: a ring. */
  readonly #startsMs: Float64Array
  #oldest = 0
  #socket: Socket | undefined

  constructor(job: ClientJob, depth: number, window: MeasuredWindow) {
    const exchange = exchangeOf(job.load)
    this.#requests = new MessageWriter(exchange.requestBytes)
    this.#answers = new MessageCounter(exchange.answerBytes)
    this.#blockBytes = job.load.blockBytes
    this.#window = window
    this.#startsMs = new Float64Array(depth)
  }

  async open({ url, caFile, load }: ClientJob): Promise<void> {
    const port = Number(url)
    const host = '127.0.0.1'
    if (caFile === undefined) {
      const buffer = Buffer.alloc(RECEIVE_BYTES)
      const callback = (lengthBytes: number): boolean => this.#received(lengthBytes)
      this.#socket = connect({ host, port, onread: { buffer, callback }, noDelay: true })
      await once(this.#socket, 'connect')
    } else {
      this.#socket = connectTls({ host, port, ca: readFileSync(caFile), servername: 'localhost' })
      this.#socket.setNoDelay(true)
      this.#socket.on('data', (chunk: Buffer) => void this.#received(chunk.length))
      await once(this.#socket, 'secureConnect')
    }
    this.#socket.write(encodeGreeting(exchangeOf(load)))
  }

  begin(): void {
    this.#startsMs.fill(performance.now())
    if (this.#socket) this.#requests.write(this.#socket, this.#startsMs.length)
  }

  #received(lengthBytes: number): boolean {
    const count = this.#answers.add(lengthBytes)
    if (count === 0) return true
    const nowMs = performance.now()
    for (let i = 0; i < count; i++) {
      this.#window.ended(this.#startsMs[this.#oldest] ?? nowMs, this.#blockBytes)
      this.#startsMs[this.#oldest] = nowMs
      this.#oldest = (this.#oldest + 1) % this.#startsMs.length
    }
    if (!this.#window.isOver && this.#socket) this.#requests.write(this.#socket, count)
    return true
  }
}

const job = JSON.parse(process.argv[2] ?? '') as ClientJob
const window = new MeasuredWindow(job)
const depth = Math.max(1, Math.floor(job.load.depth / job.connections))
const connections = Array.from({ length: job.connections }, () => new FloorConnection(job, depth, window))
await Promise.all(connections.map((connection) => connection.open(job)))
for (const connection of connections) connection.begin()
process.stdout.write(`${JSON.stringify(await window.report())}\n`)
process.exit(0)
