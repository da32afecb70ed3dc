/**
 * A TCP proxy on loopback that stands between an initiator and a target and does to their connections what bad networks do: cuts,
 * stalls, delays, splits, flips bits. By command on one `FaultLink`, or by itself (`fault-schedule.ts`). Everything random comes from
 * the seed. What waits in the proxy is bounded: HOLD_BYTES each way of each connection.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { LoginWatch, PduTracker, type Region, type Span } from './pdu-tracker.ts'
import type { Scratch } from './scratch.ts'
import { Seeded } from './seeded.ts'

export type Direction = 'to-target' | 'to-initiator'
const directions = ['to-target', 'to-initiator'] as const

/** `half-open`: the target's side is reset, and the initiator's stays open and never hears of anything again. */
export type Cut = 'reset' | 'fin' | 'half-open'

export interface Corruption {
  /** Default: whichever comes first. */
  readonly direction?: Direction
  /** Default: the first that comes and that a digest of the connection protects. */
  readonly region?: Region
  /** Only in PDUs of this opcode. */
  readonly opcode?: number
}

/** How often each fault was done. */
export interface FaultCounts {
  reset: number
  fin: number
  'half-open': number
  stall: number
  delay: number
  split: number
  header: number
  'header-digest': number
  data: number
  'data-digest': number
}

const HOLD_BYTES = 1 << 20
const SPLIT_PIECES = 16
/** For how long the peers have time to answer a FIN with their own. */
const FIN_LINGER_MS = 1000

interface Piece {
  readonly bytes: Buffer
  readonly dueMs: number
}

/** Bytes on their way from one socket to the other. */
class Pipe {
  readonly from: Socket
  readonly to: Socket
  stalledUntilMs = 0
  delayMs = 0
  splitBytes = 0
  readonly tracker: PduTracker
  readonly #link: FaultLink
  readonly #direction: Direction
  readonly #random: Seeded
  readonly #queue: Piece[] = []
  #heldBytes = 0
  #isBlocked = false
  #hasEnded = false
  #timer: NodeJS.Timeout | undefined

  constructor(
    link: FaultLink,
    direction: Direction,
    from: Socket,
    to: Socket,
    login: LoginWatch,
    random: Seeded,
  ) {
    this.from = from
    this.to = to
    this.tracker = new PduTracker(login)
    this.#link = link
    this.#direction = direction
    this.#random = random
    from.on('data', (chunk: Buffer) => this.#take(chunk))
    from.on('end', () => {
      this.#hasEnded = true
      if (link.isCut) from.destroy()
      else this.pump()
    })
    to.on('drain', () => {
      this.#isBlocked = false
      this.pump()
    })
  }

  #take(chunk: Buffer): void {
    if (this.#link.isCut) return
    this.tracker.walk(chunk, (span) => this.#link.spoil(chunk, span, this.#direction))
    const dueMs = this.delayMs === 0 ? 0 : performance.now() + this.delayMs
    for (const bytes of this.#split(chunk)) this.#queue.push({ bytes, dueMs })
    this.#heldBytes += chunk.length
    if (this.#heldBytes > HOLD_BYTES) this.from.pause()
    this.pump()
  }

  /** At random places, into a bounded number of pieces. */
  #split(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = []
    let rest = chunk
    while (this.splitBytes > 0 && rest.length > 1 && pieces.length < SPLIT_PIECES) {
      const length = this.#random.between(1, Math.min(this.splitBytes, rest.length - 1))
      pieces.push(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
    return [...pieces, rest]
  }

  /** Passes on what is due. */
  pump(): void {
    clearTimeout(this.#timer)
    if (this.to.destroyed) return
    const now = performance.now()
    for (let piece = this.#queue[0]; piece && !this.#isBlocked; piece = this.#queue[0]) {
      const waitMs = Math.max(this.stalledUntilMs, piece.dueMs) - now
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs)
        return
      }
      this.#queue.shift()
      this.#heldBytes -= piece.bytes.length
      this.#isBlocked = !this.to.write(piece.bytes)
      if (this.splitBytes === 0) continue
      // Each piece in a segment of its own.
      this.#timer = setTimeout(() => this.pump(), 0)
      break
    }
    if (this.#heldBytes <= HOLD_BYTES && this.from.isPaused()) this.from.resume()
    if (this.#hasEnded && this.#queue.length === 0 && !this.to.writableEnded) this.to.end()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#queue.length = 0
  }
}

/** One proxied connection. */
export class FaultLink {
  /** Counts up from 0 in the order of arrival. */
  readonly id: number
  /** Nothing is passed on any more. */
  isCut = false
  readonly #proxy: FaultProxy
  readonly #initiator: Socket
  readonly #target: Socket
  readonly #pipes: Readonly<Record<Direction, Pipe>>
  readonly #login = new LoginWatch()
  readonly #armed: Corruption[] = []
  /** Sockets that are being reset, which ends by itself. */
  readonly #resetting = new Set<Socket>()
  #lingering: NodeJS.Timeout | undefined

  constructor(proxy: FaultProxy, id: number, initiator: Socket, target: Socket) {
    this.id = id
    this.#proxy = proxy
    this.#initiator = initiator
    this.#target = target
    const random = proxy.random
    this.#pipes = {
      'to-target': new Pipe(this, 'to-target', initiator, target, this.#login, random),
      'to-initiator': new Pipe(this, 'to-initiator', target, initiator, this.#login, random),
    }
    for (const [socket, other] of [
      [initiator, target],
      [target, initiator],
    ] as const) {
      socket.setNoDelay(true)
      // A reset is passed on as one; 'close' follows.
      socket.on('error', () => {
        if (!this.isCut) this.#reset(other)
      })
      socket.on('close', () => {
        if (!this.isCut && !other.writableEnded && !other.destroyed) other.end()
        if (initiator.destroyed && target.destroyed) this.#over()
      })
    }
  }

  get isOpen(): boolean {
    return !this.isCut && !this.#initiator.destroyed && !this.#target.destroyed
  }
  /** The login is over. */
  get isFullFeature(): boolean {
    return this.#login.isFullFeature
  }
  /** Digests on, as the login settled it. */
  get digests(): { readonly header: boolean; readonly data: boolean } {
    return this.#login.digests
  }
  /** PDUs that have passed whole. */
  pdus(direction: Direction): number {
    return this.#pipes[direction].tracker.pdus
  }

  cut(how: Cut): void {
    if (!this.isOpen) return
    this.#proxy.counts[how]++
    this.isCut = true
    for (const direction of directions) this.#pipes[direction].stop()
    this.#initiator.resume()
    this.#target.resume()
    if (how === 'fin') {
      // Closing with bytes unread would be a reset.
      this.#initiator.end()
      this.#target.end()
      this.#lingering = setTimeout(() => this.close(), FIN_LINGER_MS)
      return
    }
    this.#reset(this.#target)
    if (how === 'reset') this.#reset(this.#initiator)
  }

  /**
   * Node cannot reset a socket that is being shut down, nor destroy one while a reset shuts it down: it loses its handle, and
   * does not exit.
   */
  #reset(socket: Socket): void {
    if (socket.writableEnded) {
      socket.destroy()
      return
    }
    this.#resetting.add(socket)
    socket.resetAndDestroy()
  }

  /** Passes nothing on for so long, in one direction or both. */
  stall(durationMs: number, which: Direction | 'both' = 'both'): void {
    this.#proxy.counts.stall++
    for (const pipe of this.#chosen(which)) pipe.stalledUntilMs = performance.now() + durationMs
  }

  /** From now on everything arrives so much later; 0 ends it. */
  delay(delayMs: number, which: Direction | 'both' = 'both'): void {
    if (delayMs > 0) this.#proxy.counts.delay++
    for (const pipe of this.#chosen(which)) pipe.delayMs = delayMs
  }

  /** From now on what arrives leaves in pieces of at most so many bytes; 0 ends it. */
  split(mostBytes: number, which: Direction | 'both' = 'both'): void {
    if (mostBytes > 0) this.#proxy.counts.split++
    for (const pipe of this.#chosen(which)) pipe.splitBytes = mostBytes
  }

  /** Flips one bit, chosen by the seed, of the next bytes that are meant, in the full feature phase. */
  corrupt(corruption: Corruption = {}): void {
    this.#armed.push(corruption)
  }

  /** Ends stalls, delays, splits, and bit flips that have not come about. */
  heal(): void {
    this.#armed.length = 0
    for (const direction of directions) {
      const pipe = this.#pipes[direction]
      pipe.stalledUntilMs = 0
      pipe.delayMs = 0
      pipe.splitBytes = 0
      pipe.pump()
    }
  }

  close(): void {
    clearTimeout(this.#lingering)
    for (const direction of directions) this.#pipes[direction].stop()
    for (const socket of [this.#initiator, this.#target]) {
      if (this.#resetting.has(socket)) socket.unref()
      else socket.destroy()
    }
  }

  /** For the pipes. */
  spoil(chunk: Buffer, span: Span, direction: Direction): void {
    if (this.#armed.length === 0 || !this.isFullFeature || span.start === span.end) return
    const index = this.#armed.findIndex((armed) => this.#isMeant(armed, span, direction))
    if (index < 0) return
    this.#armed.splice(index, 1)
    this.#proxy.counts[span.region]++
    const at = this.#proxy.random.between(span.start, span.end - 1)
    chunk.writeUInt8(chunk.readUInt8(at) ^ (1 << this.#proxy.random.between(0, 7)), at)
  }

  #isMeant(armed: Corruption, { region, opcode }: Span, direction: Direction): boolean {
    const isProtected = region.startsWith('header') ? this.digests.header : this.digests.data
    return (
      (armed.direction === undefined || armed.direction === direction) &&
      (armed.region === undefined ? isProtected : armed.region === region) &&
      (armed.opcode === undefined || armed.opcode === opcode)
    )
  }

  #chosen(which: Direction | 'both'): Pipe[] {
    return which === 'both' ? directions.map((one) => this.#pipes[one]) : [this.#pipes[which]]
  }

  #over(): void {
    clearTimeout(this.#lingering)
    for (const direction of directions) this.#pipes[direction].stop()
    this.#proxy.forget(this)
  }
}

export class FaultProxy {
  readonly counts: FaultCounts = {
    reset: 0,
    fin: 0,
    'half-open': 0,
    stall: 0,
    delay: 0,
    split: 0,
    header: 0,
    'header-digest': 0,
    data: 0,
    'data-digest': 0,
  }
  readonly random: Seeded
  /** New connections are reset at once. */
  isDown = false
  /** Called with each new connection, before any byte of it. */
  onLink: ((link: FaultLink) => void) | undefined
  readonly #server: Server
  readonly #links = new Set<FaultLink>()
  #accepted = 0

  private constructor(server: Server, targetPort: number, random: Seeded) {
    this.random = random
    this.#server = server
    server.on('connection', (initiator: Socket) => {
      if (this.isDown) {
        initiator.resetAndDestroy()
        return
      }
      const target = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true })
      const link = new FaultLink(this, this.#accepted++, initiator, target)
      this.#links.add(link)
      this.onLink?.(link)
    })
  }

  /** Listens on a free port of 127.0.0.1, or the one that is given, until the end of the test. */
  static async start(
    scratch: Scratch,
    targetPort: number,
    { random = new Seeded(), port = 0 }: { readonly random?: Seeded; readonly port?: number } = {},
  ): Promise<FaultProxy> {
    const server = createServer({ allowHalfOpen: true })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    const proxy = new FaultProxy(server, targetPort, random)
    scratch.defer(() => proxy.close())
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    return address !== null && typeof address === 'object' ? address.port : 0
  }
  /** How many connections there have been. */
  get accepted(): number {
    return this.#accepted
  }
  /** Connections that pass bytes both ways, in order of arrival. */
  get links(): FaultLink[] {
    return [...this.#links].filter((link) => link.isOpen)
  }

  /** From now on a connection like any other; half-open ones stay so. */
  heal(): void {
    this.isDown = false
    for (const link of this.#links) link.heal()
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  /** For the links: one is over. */
  forget(link: FaultLink): void {
    this.#links.delete(link)
  }
}
