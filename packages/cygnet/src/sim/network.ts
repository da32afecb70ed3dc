import type { Prng } from '../base/prng.ts'
import type { EventQueue } from './event-queue.ts'
import type { FaultCounts, NetworkBehaviour } from './network-behaviour.ts'

/** What a byte stream brings to the end that it belongs to. */
export interface SocketHandler {
  /** Bytes came in; valid until this returns. */
  received(bytes: Uint8Array): void
  /** What was sent has arrived, where `wantsDrained` was set. */
  drained(): void
  /** The stream ended; nothing else comes. Not called after `destroy`. */
  closed(reason: string): void
}

/** Part of a batch that faults may happen to, by offsets in it. */
export interface Pdu {
  readonly start: number
  readonly end: number
  /** A flipped bit in here will be noticed: the PDU has a digest. [start, end), empty where not. */
  readonly header: readonly [number, number]
  readonly data: readonly [number, number]
  /** Both ends can do with the loss of the whole PDU. */
  readonly mayBeLost: boolean
}

/** Sees what an end sends, before anything happens to it, and says where its PDUs are. */
export type Tap = (bytes: Uint8Array) => readonly Pdu[]

/** Bytes under way in one direction beyond which the sender's callbacks wait. */
const WINDOW_BYTES = 256 * 1024

/** One end of a byte stream. */
export class SimSocket {
  readonly #network: SimNetwork
  readonly #prng: Prng
  handler: SocketHandler | undefined
  tap: Tap | undefined
  /** The end waits until more can be sent. */
  wantsDrained = false
  peer!: SimSocket
  #isClosed = false
  /** The other end will never hear from us, nor learn why. */
  #isCut = false
  /** Broken, and this end does not know it yet: what it still sends arrives nowhere. */
  #isReset = false
  #segments: { readonly bytes: Uint8Array; readonly at: number }[] = []
  #underWayBytes = 0
  #lastArrival = 0
  #waiting: (() => void)[] = []
  #isPaused = false
  #delivering = false

  /** The connection's, for traces. */
  readonly name: string

  constructor(network: SimNetwork, name: string, prng: Prng) {
    this.#network = network
    this.name = name
    this.#prng = prng
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Written and not yet received. */
  get queuedBytes(): number {
    return this.#underWayBytes
  }

  /**
   * Sends the chunks, which must not change until `sent` is called: when the operating system has copied them, or the
   * stream has ended.
   */
  write(chunks: readonly Uint8Array[], sent: () => void): void {
    const { queue, behaviour } = this.#network
    const bytes = joined(chunks)
    const pdus = this.tap?.(bytes) ?? []
    const check = this.#prng.chance(0.25) ? chunks : undefined
    const finish = (): void => {
      if (check && !isSame(bytes, check)) this.#network.fail('memory changed before it was sent')
      sent()
    }
    if (this.#isClosed) {
      queue.after(0, sent)
      return
    }
    const rest = this.#isCut ? new Uint8Array(0) : this.#mutate(bytes, pdus)
    this.#underWayBytes += this.#isCut ? bytes.length : rest.length
    this.#cut(rest)
    if (this.#underWayBytes > WINDOW_BYTES || this.#isCut) this.#waiting.push(finish)
    else queue.after(this.#prng.chance(0.5) ? 0 : behaviour.latencyMs * this.#prng.unit(), finish)
  }

  /** Flips bits that a digest covers, and loses whole PDUs. A copy, where there is something to do. */
  #mutate(bytes: Uint8Array, pdus: readonly Pdu[]): Uint8Array {
    const { behaviour } = this.#network
    let result = bytes
    let lost: Pdu[] | undefined
    for (const pdu of pdus) {
      if (pdu.mayBeLost && this.#chance(behaviour.loss)) {
        this.#network.disturbed('loss', this)
        lost ??= []
        lost.push(pdu)
        continue
      }
      if (this.#flips('corruptHeader', pdu.header)) result = this.#flip(result, bytes, pdu.header)
      if (this.#flips('corruptData', pdu.data)) result = this.#flip(result, bytes, pdu.data)
    }
    return lost === undefined ? result : without(result, lost)
  }

  #flips(fault: 'corruptHeader' | 'corruptData', [start, end]: readonly [number, number]): boolean {
    if (start === end || !this.#chance(this.#network.behaviour[fault])) return false
    this.#network.disturbed(fault, this)
    return true
  }

  /** One to three bits: what CRC32C always finds. */
  #flip(result: Uint8Array, original: Uint8Array, [start, end]: readonly [number, number]): Uint8Array {
    const copy = result === original ? original.slice() : result
    const bits = new Set<number>()
    const wanted = this.#prng.between(1, 3)
    while (bits.size < wanted) bits.add(this.#prng.below((end - start) * 8))
    for (const bit of bits) {
      const at = start + (bit >>> 3)
      copy[at] = (copy[at] as number) ^ (1 << (bit & 7))
    }
    return copy
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.#prng.chance(probability)
  }

  /** Cuts a batch into segments and gives each its time of arrival, after all that were sent before. */
  #cut(bytes: Uint8Array): void {
    if (this.#isReset) return
    const { behaviour, queue } = this.#network
    for (let start = 0; start < bytes.length; ) {
      const length = this.#segmentBytes(behaviour)
      const segment = bytes.subarray(start, start + length)
      start += segment.length
      this.#network.counts.segments++
      let delayMs = behaviour.latencyMs * (0.5 + this.#prng.unit())
      if (this.#chance(behaviour.delay)) {
        this.#network.disturbed('delay', this)
        delayMs += behaviour.latencyMs * 50 * this.#prng.unit() + this.#prng.below(100)
      }
      if (this.#chance(behaviour.stall)) {
        this.#network.disturbed('stall', this)
        delayMs += this.#prng.between(500, behaviour.longestStallMs)
      }
      if (this.#chance(behaviour.reset)) {
        this.#network.disturbed('reset', this)
        // What was to follow this segment does not arrive without it.
        this.#isCut = true
        this.reset()
        return
      }
      if (this.#chance(behaviour.halfOpen)) {
        this.#network.disturbed('halfOpen', this)
        this.#isCut = true
        if (this.#prng.chance(0.5)) this.peer.#isCut = true
        return
      }
      this.#lastArrival = Math.max(this.#lastArrival, queue.now() + delayMs)
      this.#segments.push({ bytes: segment, at: this.#lastArrival })
      queue.at(this.#lastArrival, () => this.#arrive())
    }
  }

  #segmentBytes(behaviour: NetworkBehaviour): number {
    if (this.#chance(behaviour.split)) {
      this.#network.counts.split++
      return this.#prng.between(1, 100)
    }
    return behaviour.segmentBytes
  }

  /** Everything that has arrived goes to the peer, as one piece or several. */
  #arrive(): void {
    if (this.#delivering) return
    this.#delivering = true
    const { queue, behaviour } = this.#network
    while (
      (!this.peer.#isPaused || this.peer.#isClosed) &&
      (this.#segments[0]?.at ?? Infinity) <= queue.now()
    ) {
      const parts = [this.#take()]
      while ((this.#segments[0]?.at ?? Infinity) <= queue.now() && this.#chance(behaviour.coalesce))
        parts.push(this.#take())
      this.peer.#receive(parts.length === 1 ? (parts[0] as Uint8Array) : joined(parts))
    }
    this.#delivering = false
    this.#release()
  }

  #take(): Uint8Array {
    const { bytes } = this.#segments.shift() as { bytes: Uint8Array }
    this.#underWayBytes -= bytes.length
    return bytes
  }

  #receive(bytes: Uint8Array): void {
    if (!this.#isClosed) this.handler?.received(bytes)
  }

  /** There is room again: callbacks that waited for it are called. */
  #release(): void {
    if (this.#isCut) return
    if (this.#waiting.length > 0 && this.#underWayBytes <= WINDOW_BYTES / 2) {
      const waiting = this.#waiting
      this.#waiting = []
      for (const sent of waiting) sent()
    }
    if (!this.wantsDrained || this.#isClosed) return
    this.wantsDrained = false
    this.handler?.drained()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#network.queue.after(0, () => this.peer.#arrive())
  }

  /** Our end is done: what was written still arrives, and then the end. */
  end(): void {
    if (this.#isClosed) return
    this.#close()
    if (this.#isCut) return
    const { queue, behaviour } = this.#network
    this.#lastArrival = Math.max(this.#lastArrival, queue.now() + behaviour.latencyMs)
    const { peer } = this
    const finish = (): void => {
      // A peer that does not read learns of the end when it has read what came before it.
      if (this.#segments.length > 0) queue.after(behaviour.latencyMs + 1, finish)
      else peer.#lost('the other end closed it')
    }
    queue.at(this.#lastArrival, finish)
  }

  /** The connection is broken: both ends hear of it, each in its time, and what is under way is lost. */
  reset(): void {
    const { queue, behaviour } = this.#network
    for (const end of [this, this.peer]) {
      end.#isReset = true
      queue.after(behaviour.latencyMs * (this.#prng.unit() + 0.1), () => {
        end.#segments = []
        end.peer.#segments = []
        end.#lost('connection reset')
      })
    }
  }

  #lost(reason: string): void {
    if (this.#isClosed) return
    this.#close()
    this.handler?.closed(reason)
  }

  #close(): void {
    this.#isClosed = true
    this.#network.sockets.delete(this)
    const waiting = this.#waiting
    this.#waiting = []
    this.#network.queue.after(0, () => {
      for (const sent of waiting) sent()
    })
  }

  /** The machine at this end is gone; nobody will answer, nor say so. */
  vanish(): void {
    this.#segments = []
    this.#isCut = true
    this.#close()
  }
}

/** Streams between initiators and the one portal of a target, with everything that may happen to them. */
export class SimNetwork {
  readonly queue: EventQueue
  behaviour: NetworkBehaviour
  readonly counts: FaultCounts
  readonly sockets = new Set<SimSocket>()
  /** Tells of a fault, for the trace. */
  onFault: ((kind: string, socket: SimSocket) => void) | undefined
  #listener: ((socket: SimSocket) => void) | undefined
  readonly #prng: Prng
  readonly #fail: (what: string) => void

  constructor(
    queue: EventQueue,
    prng: Prng,
    behaviour: NetworkBehaviour,
    counts: FaultCounts,
    fail: (what: string) => void,
  ) {
    this.queue = queue
    this.#prng = prng
    this.behaviour = behaviour
    this.counts = counts
    this.#fail = fail
  }

  listen(accept: ((socket: SimSocket) => void) | undefined): void {
    this.#listener = accept
  }

  /** Connects to the portal: `done` with our end, or with why not. */
  connect(name: string, done: (socket: SimSocket | undefined, reason: string) => void): void {
    const { queue, behaviour } = this
    const socket = new SimSocket(this, name, this.#prng.fork())
    const peer = new SimSocket(this, name, this.#prng.fork())
    socket.peer = peer
    peer.peer = socket
    const isRefused = this.#prng.chance(behaviour.refuse)
    const delayMs = behaviour.latencyMs * (1 + this.#prng.unit()) + 0.01
    queue.after(delayMs, () => {
      if (isRefused) this.disturbed('refuse', socket)
      if (isRefused || this.#listener === undefined) {
        done(undefined, 'connection refused')
        return
      }
      this.sockets.add(socket)
      this.sockets.add(peer)
      this.#listener(peer)
      done(socket, '')
    })
  }

  disturbed(kind: keyof FaultCounts['disturbed'], socket: SimSocket): void {
    this.counts.disturbed[kind]++
    this.onFault?.(kind, socket)
  }

  fail(what: string): void {
    this.#fail(what)
  }
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const chunk of chunks) length += chunk.length
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

function isSame(bytes: Uint8Array, chunks: readonly Uint8Array[]): boolean {
  let at = 0
  for (const chunk of chunks) {
    for (let index = 0; index < chunk.length; index++) if (bytes[at + index] !== chunk[index]) return false
    at += chunk.length
  }
  return true
}

function without(bytes: Uint8Array, lost: readonly Pdu[]): Uint8Array {
  const parts: Uint8Array[] = []
  let at = 0
  for (const { start, end } of lost) {
    parts.push(bytes.subarray(at, start))
    at = end
  }
  parts.push(bytes.subarray(at))
  return joined(parts)
}
