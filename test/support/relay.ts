/** A TCP relay in front of a portal: a path that can be cut, be silent, and come back. */
import { connect, createServer, type Server, type Socket } from 'node:net'

export class Relay {
  readonly port: number
  readonly #to: number
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  private constructor(port: number, to: number) {
    this.port = port
    this.#to = to
  }

  /** Relays a port of its own on 127.0.0.1 to another one there. */
  static async start(to: number): Promise<Relay> {
    const probe = createServer()
    const port = await listen(probe, 0)
    await new Promise((resolve) => probe.close(resolve))
    const relay = new Relay(port, to)
    await relay.restore()
    return relay
  }

  /** What the connections that there are have carried, both ways. */
  get carriedBytes(): number {
    return [...this.#sockets].reduce((sum, { bytesRead }) => sum + bytesRead, 0)
  }

  /** Ends every connection, and takes no new ones. */
  async cut(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#sockets) socket.resetAndDestroy()
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)))
  }

  /** Connections stay, and nothing moves on them any more; new ones are taken and not answered. */
  silence(): void {
    for (const socket of this.#sockets) {
      // Neither side hears of the other's end.
      socket.removeAllListeners('close')
      socket.unpipe()
      socket.pause()
    }
    this.#server?.removeAllListeners('connection')
    this.#server?.on('connection', (socket: Socket) => this.#keep(socket).pause())
  }

  async restore(): Promise<void> {
    if (this.#server) await this.cut()
    const server = createServer((near) => this.#join(near))
    this.#server = server
    await listen(server, this.port)
  }

  #join(near: Socket): void {
    const far = this.#keep(connect(this.#to, '127.0.0.1'))
    this.#keep(near).pipe(far).pipe(near)
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
    return socket
  }
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      resolve(address !== null && typeof address === 'object' ? address.port : 0)
    })
  })
}
