import type { PooledBuffer } from '../base/pool.ts'
import type { CygnetError } from '../base/errors.ts'
import { BlockDeviceError } from '../initiator/block-device-error.ts'
import { ByteCollector } from './byte-collector.ts'
import { ClientHandshake, type ExportFacts } from './client-handshake.ts'
import { ClientRequest, type StatusRun } from './client-request.ts'
import {
  Chunk,
  CHUNK_DONE,
  CHUNK_ERROR,
  Command,
  decodeText,
  getU64,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_BYTES,
  STRUCTURED_REPLY_MAGIC,
} from './nbd-protocol.ts'
import type { NbdStream, NbdStreamHandler } from './nbd-stream.ts'

/** Longest chunk that is neither data nor a hole. */
const MAX_CHUNK_BYTES = 1024 * 1024

export interface RequestExtras {
  /** `CommandFlag`s. */
  readonly flags?: number
  /** Data of a WRITE. */
  readonly data?: Uint8Array
  /** Where the data of a READ goes. */
  readonly into?: Uint8Array
  readonly signal?: AbortSignal | undefined
}

/**
 * A connection to an NBD server: the handshake, then requests that are answered in any order. What the server sends is
 * checked against what was asked; a server that breaks the rules loses the connection, and every request fails.
 */
export class NbdClientConnection implements NbdStreamHandler {
  /** The export is ready, or it will not be. */
  readonly ready: Promise<ExportFacts>
  /** How it ended: undefined where we closed it. */
  readonly ended: Promise<BlockDeviceError | undefined>
  readonly #stream: NbdStream
  readonly #handshake: ClientHandshake
  readonly #startTls: (() => void) | undefined
  readonly #resolveReady: (facts: ExportFacts) => void
  readonly #rejectReady: (error: CygnetError) => void
  readonly #resolveEnded: (error: BlockDeviceError | undefined) => void
  readonly #requests = new Map<number, ClientRequest>()
  /** A reply's header, or a chunk that is looked at as a whole. */
  readonly #piece = new ByteCollector(4096)
  #facts: ExportFacts | undefined
  #nextCookie = 1
  #phase: 'header' | 'structured-header' | 'chunk' | 'offset' | 'data' = 'header'
  /** The reply that is coming in. */
  #current: ClientRequest | undefined
  #currentCookie = 0
  #chunkType = 0
  #isLastChunk = true
  #chunkBytes = 0
  /** Where in the request's data the next bytes go, and how many are to come. */
  #dataAt = 0
  #dataLeft = 0
  #isClosing = false
  #failure: BlockDeviceError | undefined

  /** `startTls` secures the stream, and calls `secured`; nothing is received before that. Without it, there is no TLS. */
  constructor(stream: NbdStream, exportName: string, startTls?: () => void) {
    this.#stream = stream
    this.#startTls = startTls
    this.#handshake = new ClientHandshake(
      exportName,
      (bytes) => stream.write([bytes]),
      startTls !== undefined,
    )
    const ready = Promise.withResolvers<ExportFacts>()
    this.ready = ready.promise
    // Nobody need wait for it.
    ready.promise.catch(() => undefined)
    this.#resolveReady = ready.resolve
    this.#rejectReady = ready.reject
    const ended = Promise.withResolvers<BlockDeviceError | undefined>()
    this.ended = ended.promise
    this.#resolveEnded = ended.resolve
    this.#piece.expect(SIMPLE_REPLY_BYTES)
  }

  /** The stream is TLS from here on. */
  secured(): void {
    this.#handshake.secured()
  }

  /** TLS could not be had. */
  refused({ code, message }: CygnetError): void {
    const error = new BlockDeviceError(code, message)
    this.#end(error, error)
  }

  /** Sends a request; resolves when it was answered well. What the answer brought is in it. */
  async request(
    type: number,
    offset: number,
    lengthBytes: number,
    { flags = 0, data, into, signal }: RequestExtras = {},
  ): Promise<ClientRequest> {
    signal?.throwIfAborted()
    if (this.#failure) throw this.#failure
    const request = new ClientRequest(type, offset, lengthBytes, into)
    const cookie = this.#nextCookie++
    this.#requests.set(cookie, request)
    const header = request.encode(cookie, flags)
    this.#stream.write(data ? [header, data] : [header])
    const abort = (): void => {
      // The server cannot be stopped: its answer is not looked at any more.
      request.into = undefined
      request.reject(signal?.reason)
    }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await request.done
      return request
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Says goodbye. Requests under way may go unanswered: wait for them first. */
  close(): void {
    if (this.#isClosing) return
    this.#isClosing = true
    if (this.#facts && !this.#failure) {
      this.#stream.write([new ClientRequest(Command.disconnect, 0, 0).encode(0, 0)])
    }
    this.#stream.end()
  }

  // NbdStreamHandler

  received({ bytes }: PooledBuffer, start: number, end: number): void {
    let at = start
    while (at < end && !this.#failure) {
      if (!this.#facts) at = this.#shakeHands(bytes, at, end)
      else if (this.#phase === 'data') at = this.#takeData(bytes, at, end)
      else {
        at = this.#piece.take(bytes, at, end)
        if (this.#piece.isFull) this.#step(this.#piece.view)
      }
    }
  }

  drained(): void {
    // Requests hold no more than their callers gave.
  }

  closed(reason: string): void {
    if (this.#failure) return
    const error = new BlockDeviceError(
      'CONNECTION_LOST',
      `The connection to the NBD server was lost: ${reason}.`,
    )
    this.#end(error, this.#isClosing && this.#requests.size === 0 ? undefined : error)
  }

  #shakeHands(bytes: Uint8Array, start: number, end: number): number {
    const at = this.#handshake.receive(bytes, start, end)
    const { outcome } = this.#handshake
    if (outcome?.kind === 'ready') {
      this.#facts = outcome.facts
      this.#resolveReady(outcome.facts)
    } else if (outcome?.kind === 'start-tls') {
      if (at < end) this.#violation('it goes on without waiting for TLS')
      else this.#startTls?.()
    } else if (outcome?.kind === 'failed') {
      const message = `${this.#stream.peer}: ${outcome.message}.`
      const error = new BlockDeviceError(outcome.code, message)
      this.#end(error, error)
    }
    return at
  }

  #step(view: DataView): void {
    switch (this.#phase) {
      case 'header':
        return this.#takeHeader(view)
      case 'structured-header':
        return this.#takeChunkHeader(view)
      case 'chunk':
        this.#takeChunk(this.#piece.bytes)
        return this.#endChunk()
      case 'offset':
        return this.#beginData(getU64(view, 0))
      case 'data':
    }
  }

  /** The first 16 bytes of a reply: all of a simple one. */
  #takeHeader(view: DataView): void {
    const magic = view.getUint32(0)
    this.#currentCookie = getU64(view, 8)
    this.#current = this.#requests.get(this.#currentCookie)
    if (this.#current === undefined) return this.#violation('it answers what nobody asked')
    if (magic === SIMPLE_REPLY_MAGIC) return this.#takeSimple(this.#current, view.getUint32(4))
    if (magic !== STRUCTURED_REPLY_MAGIC || !this.#facts?.structuredReplies)
      return this.#violation('what it sends is no reply')
    this.#isLastChunk = (view.getUint16(4) & CHUNK_DONE) !== 0
    this.#chunkType = view.getUint16(6)
    this.#phase = 'structured-header'
    this.#piece.expect(STRUCTURED_REPLY_BYTES - SIMPLE_REPLY_BYTES)
  }

  #takeSimple(request: ClientRequest, error: number): void {
    this.#isLastChunk = true
    if (error !== 0) {
      request.failed(error)
      return this.#endChunk()
    }
    if (request.type !== Command.read) return this.#endChunk()
    if (this.#facts?.structuredReplies) return this.#violation('it answers a READ without structure')
    this.#dataAt = 0
    this.#dataLeft = request.lengthBytes
    request.readBytes = request.lengthBytes
    if (this.#dataLeft === 0) return this.#endChunk()
    this.#phase = 'data'
  }

  #takeChunkHeader(view: DataView): void {
    this.#chunkBytes = view.getUint32(0)
    if (this.#chunkType === Chunk.offsetData) {
      if (this.#current?.type !== Command.read || this.#chunkBytes <= 8)
        return this.#violation('it sends data that nobody asked for')
      this.#phase = 'offset'
      this.#piece.expect(8)
      return
    }
    if (this.#chunkBytes > MAX_CHUNK_BYTES) return this.#violation('its reply is too long')
    this.#phase = 'chunk'
    this.#piece.expect(this.#chunkBytes)
    if (this.#chunkBytes === 0) this.#step(this.#piece.view)
  }

  #beginData(offset: number): void {
    const lengthBytes = this.#chunkBytes - 8
    if (!this.#placeData(offset, lengthBytes)) return
    this.#dataLeft = lengthBytes
    this.#phase = 'data'
  }

  /** A part of a READ's answer: inside the range, and no more than was asked for in all. */
  #placeData(offset: number, lengthBytes: number): boolean {
    const request = this.#current as ClientRequest
    const at = offset - request.offset
    const isInside = at >= 0 && at + lengthBytes <= request.lengthBytes
    if (!isInside || !request.takes(at, lengthBytes)) {
      this.#violation('it sends other data than was asked for')
      return false
    }
    this.#dataAt = at
    return true
  }

  #takeData(bytes: Uint8Array, start: number, end: number): number {
    const lengthBytes = Math.min(this.#dataLeft, end - start)
    this.#current?.into?.set(bytes.subarray(start, start + lengthBytes), this.#dataAt)
    this.#dataAt += lengthBytes
    this.#dataLeft -= lengthBytes
    if (this.#dataLeft === 0) this.#endChunk()
    return start + lengthBytes
  }

  #takeChunk(data: Uint8Array): void {
    const request = this.#current as ClientRequest
    const view = new DataView(data.buffer, data.byteOffset, data.length)
    if (this.#chunkType === Chunk.none && data.length === 0) return
    if (this.#chunkType === Chunk.offsetHole && data.length === 12 && request.type === Command.read) {
      const lengthBytes = view.getUint32(8)
      if (this.#placeData(getU64(view, 0), lengthBytes))
        request.into?.fill(0, this.#dataAt, this.#dataAt + lengthBytes)
      return
    }
    if (this.#chunkType === Chunk.blockStatus && request.type === Command.blockStatus && data.length >= 4) {
      if (view.getUint32(0) === this.#facts?.allocationContext) request.runs = readRuns(view)
      return
    }
    if ((this.#chunkType & CHUNK_ERROR) !== 0 && data.length >= 6) {
      const messageEnd = 6 + view.getUint16(4)
      const message = decodeText(data.subarray(6, Math.min(messageEnd, data.length))) ?? ''
      const hasOffset = this.#chunkType === Chunk.errorOffset && data.length >= messageEnd + 8
      request.failed(view.getUint32(0), message, hasOffset ? getU64(view, messageEnd) : request.offset)
      return
    }
    this.#violation('it sends a chunk that cannot be understood')
  }

  #endChunk(): void {
    if (this.#failure) return
    this.#phase = 'header'
    this.#piece.expect(SIMPLE_REPLY_BYTES)
    const request = this.#current
    this.#current = undefined
    if (!this.#isLastChunk || request === undefined) return
    if (request.type === Command.read && !request.error && !request.isFilled)
      return this.#violation('it sends less data than was asked for')
    this.#requests.delete(this.#currentCookie)
    request.finish()
  }

  #violation(what: string): void {
    const error = new BlockDeviceError('PROTOCOL_ERROR', `The NBD server breaks the protocol: ${what}.`)
    this.#end(error, error)
  }

  #end(error: BlockDeviceError, told: BlockDeviceError | undefined): void {
    this.#failure = error
    this.#stream.destroy()
    this.#rejectReady(error)
    for (const request of this.#requests.values()) request.reject(error)
    this.#requests.clear()
    this.#resolveEnded(told)
  }
}

function readRuns(view: DataView): StatusRun[] {
  const runs: StatusRun[] = []
  for (let at = 4; at + 8 <= view.byteLength; at += 8)
    runs.push({ lengthBytes: view.getUint32(at), flags: view.getUint32(at + 4) })
  return runs
}
