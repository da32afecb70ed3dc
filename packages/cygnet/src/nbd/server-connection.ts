import type { BufferPool, PooledBuffer } from '../base/pool.ts'
import type { DeviceExtent } from '../initiator/block-device.ts'
import { ByteCollector } from './byte-collector.ts'
import { Command, CommandFlag, MAX_PAYLOAD_BYTES, NbdError, REQUEST_BYTES } from './nbd-protocol.ts'
import type { NbdStream, NbdStreamHandler } from './nbd-stream.ts'
import { nbdErrorOf } from './server-errors.ts'
import type { NbdExport } from './server-export.ts'
import { ALLOCATION_CONTEXT_ID, greeting, ServerHandshake } from './server-handshake.ts'
import { dataChunk, emptyChunk, errorChunk, simpleReply, statusChunk } from './server-replies.ts'
import { isRequest, ServerRequest } from './server-request.ts'

/** Bounds of one connection. Its memory: the buffers, what of a segment waits, some small replies. */
export interface NbdServerLimits {
  /** Requests under way, answers that wait for the client to read them included. Default: 128. */
  readonly requests: number
  /** Bytes of their buffers, but for one request that alone is longer. Default: 32 MiB. */
  readonly bufferBytes: number
}

export const defaultNbdServerLimits: NbdServerLimits = { requests: 128, bufferBytes: MAX_PAYLOAD_BYTES }

export type NbdServerEvent =
  | { readonly kind: 'attached'; readonly exportName: string }
  | { readonly kind: 'detached' }
  /** The client did what it must not, or its connection broke. */
  | { readonly kind: 'dropped'; readonly reason: string }
  /** A request failed in the device. */
  | { readonly kind: 'failed'; readonly request: string; readonly error: Error }

export interface NbdServerConnectionOptions {
  readonly exports: readonly NbdExport[]
  readonly stream: NbdStream
  readonly pool: BufferPool
  readonly limits?: NbdServerLimits
  /**
   * Secures the stream with TLS, when what was written has left; `NbdServerConnection.secured` is called then, and nothing
   * received before it. Where this is given, clients must ask for TLS.
   */
  readonly startTls?: () => void
  readonly onEvent: (event: NbdServerEvent) => void
}

/** What the handshake agreed on. */
type Agreed = {
  readonly export: NbdExport
  readonly structuredReplies: boolean
  readonly allocation: boolean
}

/**
 * One client of an NBD server: bytes in, bytes out, requests to the device in between. Requests run at the same time
 * and are answered as they end. Where the limits are reached, nothing more is taken from the stream until something
 * has ended and its answer has left.
 */
export class NbdServerConnection implements NbdStreamHandler {
  readonly #options: NbdServerConnectionOptions
  readonly #stream: NbdStream
  readonly #limits: NbdServerLimits
  readonly #handshake: ServerHandshake
  readonly #header = new ByteCollector(REQUEST_BYTES)
  #agreed: Agreed | undefined
  /** A request whose buffer there is no room for yet. */
  #waiting: ServerRequest | undefined
  /** A WRITE whose data is coming in. */
  #filling: ServerRequest | undefined
  #filledBytes = 0
  /** Received and not looked at, as requests wait. */
  #stash: Uint8Array[] = []
  #requests = 0
  #bufferBytes = 0
  /** `ending`: no requests are taken, those under way are answered. */
  #state: 'open' | 'ending' | 'closed' = 'open'

  constructor(options: NbdServerConnectionOptions) {
    this.#options = options
    this.#stream = options.stream
    this.#limits = options.limits ?? defaultNbdServerLimits
    this.#handshake = new ServerHandshake(
      options.exports,
      (bytes) => this.#stream.write([bytes]),
      options.startTls !== undefined,
    )
    this.#header.expect(REQUEST_BYTES)
    this.#stream.write([greeting()])
  }

  /** The client has chosen an export. */
  get isAttached(): boolean {
    return this.#agreed !== undefined
  }

  /** Requests that are not answered yet. */
  get requests(): number {
    return this.#requests
  }

  /** The stream is TLS from here on. */
  secured(): void {
    this.#handshake.secured()
  }

  /** Takes no more requests; closes when those under way are answered. */
  stop(): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    this.#forgetIncoming()
    this.#endIfDone()
  }

  /** The client broke the rules, or must go for another reason: closes at once. */
  drop(reason: string): void {
    if (this.#state === 'closed') return
    this.#close()
    this.#options.onEvent({ kind: 'dropped', reason })
    this.#stream.destroy()
  }

  // NbdStreamHandler

  received({ bytes }: PooledBuffer, start: number, end: number): void {
    if (this.#stash.length > 0 || this.#waiting) this.#stash.push(bytes.slice(start, end))
    else this.#take(bytes, start, end)
  }

  drained(): void {
    // Memory is counted until its bytes have left: there is nothing more to do.
  }

  closed(reason: string): void {
    if (this.#state === 'closed') return
    const isDone =
      this.#state === 'ending' || (this.#requests === 0 && this.#header.isEmpty && !this.#filling)
    this.#close()
    this.#options.onEvent(isDone ? { kind: 'detached' } : { kind: 'dropped', reason })
  }

  #close(): void {
    this.#state = 'closed'
    this.#forgetIncoming()
  }

  /** What came in and has not begun never will. */
  #forgetIncoming(): void {
    this.#stash = []
    this.#waiting = undefined
    const filling = this.#filling
    this.#filling = undefined
    if (filling) this.#finish(filling)
  }

  /** Takes bytes [start, end); what cannot be taken now is kept. */
  #take(bytes: Uint8Array, start: number, end: number): void {
    let at = start
    while (at < end && this.#state === 'open') {
      if (this.#waiting) {
        this.#stash.push(bytes.slice(at, end))
        return
      }
      if (!this.#agreed) at = this.#shakeHands(bytes, at, end)
      else if (this.#filling) at = this.#fill(this.#filling, bytes, at, end)
      else {
        at = this.#header.take(bytes, at, end)
        if (this.#header.isFull) this.#takeHeader(this.#header.view)
      }
    }
  }

  #shakeHands(bytes: Uint8Array, start: number, end: number): number {
    const at = this.#handshake.receive(bytes, start, end)
    const { outcome } = this.#handshake
    if (outcome?.kind === 'go') {
      this.#agreed = outcome
      this.#options.onEvent({ kind: 'attached', exportName: outcome.export.name })
    } else if (outcome?.kind === 'start-tls') {
      // What came before TLS must not count as if it had come by it.
      if (at < end) this.drop('it went on without waiting for TLS')
      else this.#options.startTls?.()
    } else if (outcome?.kind === 'aborted') this.stop()
    else if (outcome?.kind === 'failed') this.drop(outcome.reason)
    return at
  }

  #takeHeader(view: DataView): void {
    if (!isRequest(view)) return this.drop('what it sent is no request')
    const request = new ServerRequest(view)
    this.#header.expect(REQUEST_BYTES)
    if (request.type === Command.disconnect) return this.stop()
    if (request.type === Command.write && request.lengthBytes > MAX_PAYLOAD_BYTES)
      return this.drop(
        `it wrote ${request.lengthBytes} bytes at once, where ${MAX_PAYLOAD_BYTES} are the limit`,
      )
    if (this.#hasRoomFor(request)) this.#admit(request)
    else {
      this.#waiting = request
      this.#stream.pause()
    }
  }

  #hasRoomFor(request: ServerRequest): boolean {
    const { requests, bufferBytes } = this.#limits
    if (this.#requests >= requests) return false
    return this.#bufferBytes === 0 || this.#bufferBytes + request.bufferBytes <= bufferBytes
  }

  #admit(request: ServerRequest): void {
    this.#requests++
    // The data of a WRITE follows, whatever becomes of it.
    const isWrite = request.type === Command.write
    if (request.bufferBytes > 0 && (isWrite || request.fault === undefined)) {
      request.buffer = this.#options.pool.take(request.bufferBytes)
      this.#bufferBytes += request.bufferBytes
    }
    if (isWrite && request.lengthBytes > 0) {
      this.#filling = request
      this.#filledBytes = 0
    } else this.#run(request)
  }

  #fill(request: ServerRequest, bytes: Uint8Array, start: number, end: number): number {
    const lengthBytes = Math.min(request.lengthBytes - this.#filledBytes, end - start)
    request.buffer?.bytes.set(bytes.subarray(start, start + lengthBytes), this.#filledBytes)
    this.#filledBytes += lengthBytes
    if (this.#filledBytes === request.lengthBytes) {
      this.#filling = undefined
      this.#run(request)
    }
    return start + lengthBytes
  }

  #run(request: ServerRequest): void {
    if (request.fault !== undefined) return this.#refuse(request, NbdError.invalid, request.fault)
    const { device } = (this.#agreed as Agreed).export
    if (request.traits?.hasRange && request.offset + request.lengthBytes > device.sizeBytes) {
      const error = request.traits.isWrite ? NbdError.noSpace : NbdError.invalid
      return this.#refuse(request, error, `it leaves the device, which has ${device.sizeBytes} bytes`)
    }
    this.#carryOut(request).catch((error: unknown) => {
      const failure = error instanceof Error ? error : new Error(String(error))
      if (this.#state !== 'closed')
        this.#options.onEvent({ kind: 'failed', request: request.name, error: failure })
      this.#refuse(request, nbdErrorOf(error), failure.message)
    })
  }

  async #carryOut(request: ServerRequest): Promise<void> {
    const { device } = (this.#agreed as Agreed).export
    const { offset, lengthBytes } = request
    const fua = request.has(CommandFlag.fua)
    switch (request.type) {
      case Command.read:
        await device.read(offset, bufferOf(request))
        return this.#sendData(request)
      case Command.write:
        await device.write(offset, bufferOf(request), { fua })
        return this.#acknowledge(request)
      case Command.flush:
        await device.flush()
        return this.#acknowledge(request)
      case Command.trim:
        // Advice: a device that cannot release space has followed it.
        if (device.can.unmap || device.readOnly) await device.unmap(offset, lengthBytes)
        if (fua) await device.flush()
        return this.#acknowledge(request)
      case Command.writeZeroes:
        await device.writeZeroes(offset, lengthBytes, { fua, mayUnmap: !request.has(CommandFlag.noHole) })
        return this.#acknowledge(request)
      case Command.blockStatus:
        return this.#sendStatus(request)
      default:
    }
  }

  async #sendStatus(request: ServerRequest): Promise<void> {
    const { offset, lengthBytes } = request
    const { export: served, allocation } = this.#agreed as Agreed
    if (!allocation || lengthBytes === 0) {
      const reason = allocation ? 'its length is zero' : `it did not ask for a context before`
      return this.#refuse(request, NbdError.invalid, reason)
    }
    const extents = await served.device.extents(offset, lengthBytes)
    const wanted = request.has(CommandFlag.requestOne) ? extents.slice(0, 1) : merged(extents)
    this.#send(request, [statusChunk(request, ALLOCATION_CONTEXT_ID, wanted)])
  }

  #sendData(request: ServerRequest): void {
    const header = this.#isStructured
      ? request.lengthBytes === 0
        ? emptyChunk(request)
        : dataChunk(request)
      : simpleReply(request, NbdError.ok)
    this.#send(request, request.lengthBytes === 0 ? [header] : [header, bufferOf(request)])
  }

  #acknowledge(request: ServerRequest): void {
    this.#send(request, [this.#isStructured ? emptyChunk(request) : simpleReply(request, NbdError.ok)])
  }

  #refuse(request: ServerRequest, error: number, reason: string): void {
    const message = `${request.name}: ${reason}`
    this.#send(request, [
      this.#isStructured ? errorChunk(request, error, message) : simpleReply(request, error),
    ])
  }

  get #isStructured(): boolean {
    return this.#agreed?.structuredReplies === true
  }

  #send(request: ServerRequest, chunks: readonly Uint8Array[]): void {
    if (this.#state === 'closed') return this.#finish(request)
    this.#stream.write(chunks, () => this.#finish(request))
  }

  /** The answer has left, or nobody is there to read it. */
  #finish(request: ServerRequest): void {
    this.#requests--
    if (request.buffer) {
      this.#bufferBytes -= request.bufferBytes
      request.buffer.release()
      request.buffer = undefined
    }
    if (this.#waiting && this.#hasRoomFor(this.#waiting)) this.#goOn(this.#waiting)
    this.#endIfDone()
  }

  /** There is room again for the request that waited, and perhaps for what came after it. */
  #goOn(waiting: ServerRequest): void {
    this.#waiting = undefined
    this.#admit(waiting)
    const stash = this.#stash
    this.#stash = []
    for (const piece of stash) {
      if (this.#waiting) this.#stash.push(piece)
      else this.#take(piece, 0, piece.length)
    }
    if (!this.#waiting && this.#state === 'open') this.#stream.resume()
  }

  #endIfDone(): void {
    if (this.#state === 'ending' && this.#requests === 0) this.#stream.end()
  }
}

const NO_BYTES = new Uint8Array(0)

const bufferOf = ({ buffer, lengthBytes }: ServerRequest): Uint8Array =>
  buffer === undefined ? NO_BYTES : buffer.bytes.subarray(0, lengthBytes)

/** Neighbours of one kind as one, as clients expect. */
function merged(extents: readonly DeviceExtent[]): readonly DeviceExtent[] {
  const list: DeviceExtent[] = []
  for (const extent of extents) {
    const last = list.at(-1)
    if (last && last.kind === extent.kind && last.isZero === extent.isZero)
      list[list.length - 1] = { ...last, lengthBytes: last.lengthBytes + extent.lengthBytes }
    else list.push(extent)
  }
  return list
}
