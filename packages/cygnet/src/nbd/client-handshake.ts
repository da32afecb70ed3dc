import { viewOf } from '../base/bytes.ts'
import { ByteCollector } from './byte-collector.ts'
import {
  ALLOCATION_CONTEXT,
  decodeText,
  encodeText,
  EXPORT_NAME_ZEROES,
  getU64,
  HandshakeFlag,
  Info,
  MAX_PAYLOAD_BYTES,
  NBD_MAGIC,
  Option,
  OPTION_BYTES,
  OPTION_ERROR,
  OPTION_MAGIC,
  OPTION_REPLY_BYTES,
  OPTION_REPLY_MAGIC,
  OptionReply,
} from './nbd-protocol.ts'

/** What the server said of the export that we asked for. */
export interface ExportFacts {
  readonly sizeBytes: number
  /** `TransmissionFlag`s. */
  readonly flags: number
  readonly structuredReplies: boolean
  /** The number of `base:allocation`, where block status can be asked for. */
  readonly allocationContext: number | undefined
  /** Requests are multiples of this. */
  readonly minimumBytes: number
  readonly preferredBytes: number
  /** Longest READ and WRITE. */
  readonly maximumBytes: number
}

export type ClientOutcome =
  | { readonly kind: 'ready'; readonly facts: ExportFacts }
  /** The server waits for a TLS handshake; `secured` goes on after it. */
  | { readonly kind: 'start-tls' }
  | {
      readonly kind: 'failed'
      readonly code: 'NBD_EXPORT_UNKNOWN' | 'NBD_REFUSED' | 'NBD_PROTOCOL_ERROR'
      readonly message: string
    }

/** Longest data of a reply to an option. */
const MAX_REPLY_BYTES = 64 * 1024
/** Replies to one option: more are no answer. */
const MAX_REPLIES = 1000

type Phase = 'greeting' | 'header' | 'data' | 'export'

/**
 * The client's side of option haggling: structured replies, the allocation context, then GO; EXPORT_NAME with servers
 * that know no GO. STARTTLS before all of that, where TLS is wanted. Takes bytes, sends options, ends with an outcome.
 */
export class ClientHandshake {
  readonly #exportName: string
  readonly #send: (bytes: Uint8Array) => void
  readonly #piece = new ByteCollector(1024)
  #phase: Phase = 'greeting'
  /** The option that is being answered. */
  #option: number = Option.structuredReply
  #reply = 0
  #replies = 0
  #noZeroes = false
  #size: { readonly sizeBytes: number; readonly flags: number } | undefined
  #structuredReplies = false
  #allocationContext: number | undefined
  #sizes: readonly [number, number, number] = [1, 4096, MAX_PAYLOAD_BYTES]
  readonly #wantsTls: boolean
  outcome: ClientOutcome | undefined

  constructor(exportName: string, send: (bytes: Uint8Array) => void, wantsTls = false) {
    this.#exportName = exportName
    this.#send = send
    this.#wantsTls = wantsTls
    this.#piece.expect(18)
  }

  /** The stream is TLS from here on. */
  secured(): void {
    this.outcome = undefined
    this.#ask(Option.structuredReply, NO_DATA)
  }

  /** Takes bytes [at, end) up to the outcome; where the rest begins. */
  receive(bytes: Uint8Array, at: number, end: number): number {
    let next = at
    while (next < end && !this.outcome) {
      next = this.#piece.take(bytes, next, end)
      while (this.#piece.isFull && !this.outcome) this.#step()
    }
    return next
  }

  #step(): void {
    switch (this.#phase) {
      case 'greeting':
        return this.#greet(this.#piece.view)
      case 'header':
        return this.#takeHeader(this.#piece.view)
      case 'data':
        this.#phase = 'header'
        this.#take(this.#piece.bytes)
        if (this.#phase === 'header') this.#piece.expect(OPTION_REPLY_BYTES)
        return
      case 'export':
        this.#takeExport(this.#piece.view)
    }
  }

  #greet(view: DataView): void {
    if (view.getBigUint64(0) !== NBD_MAGIC)
      return this.#fail('NBD_PROTOCOL_ERROR', 'what listens there is no NBD server')
    if (view.getBigUint64(8) !== OPTION_MAGIC)
      return this.#fail('NBD_PROTOCOL_ERROR', 'the server speaks the old form of NBD only: update it')
    const flags = view.getUint16(16)
    const own = flags & (HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes)
    this.#noZeroes = (flags & HandshakeFlag.noZeroes) !== 0
    const bytes = new Uint8Array(4)
    viewOf(bytes).setUint32(0, own)
    this.#send(bytes)
    if (flags & HandshakeFlag.fixedNewstyle) {
      this.#phase = 'header'
      this.#piece.expect(OPTION_REPLY_BYTES)
      this.#ask(this.#wantsTls ? Option.startTls : Option.structuredReply, NO_DATA)
    } else if (this.#wantsTls) this.#fail('NBD_REFUSED', NO_TLS)
    else this.#askByName()
  }

  #takeHeader(view: DataView): void {
    if (view.getBigUint64(0) !== OPTION_REPLY_MAGIC || view.getUint32(8) !== this.#option)
      return this.#fail('NBD_PROTOCOL_ERROR', 'the server answers another question than was asked')
    this.#reply = view.getUint32(12)
    const lengthBytes = view.getUint32(16)
    if (lengthBytes > MAX_REPLY_BYTES || ++this.#replies > MAX_REPLIES)
      return this.#fail('NBD_PROTOCOL_ERROR', 'the server answers without end')
    this.#phase = 'data'
    this.#piece.expect(lengthBytes)
  }

  /** A reply with its data. ACK and errors are the last to an option. */
  #take(data: Uint8Array): void {
    const isLast = this.#reply === OptionReply.ack || this.#reply >= OPTION_ERROR
    const isAccepted = this.#reply === OptionReply.ack
    switch (this.#option) {
      case Option.startTls:
        if (!isLast) return
        if (!isAccepted) return this.#fail('NBD_REFUSED', NO_TLS)
        this.outcome = { kind: 'start-tls' }
        return
      case Option.structuredReply:
        if (this.#reply === OptionReply.errorTlsRequired) return this.#refused(data)
        if (!isLast) return
        this.#structuredReplies = isAccepted
        return isAccepted ? this.#askContext() : this.#askGo()
      case Option.setMetaContext:
        if (this.#reply === OptionReply.metaContext) return this.#takeContext(data)
        return isLast ? this.#askGo() : undefined
      case Option.go:
        if (this.#reply === OptionReply.info) return this.#takeInfo(data)
        if (isAccepted) return this.#ready()
        if (this.#reply === OptionReply.errorUnsupported) return this.#askByName()
        return isLast ? this.#refused(data) : undefined
      default:
    }
  }

  #takeContext(data: Uint8Array): void {
    if (data.length >= 4 && decodeText(data.subarray(4)) === ALLOCATION_CONTEXT)
      this.#allocationContext = viewOf(data).getUint32(0)
  }

  #takeInfo(data: Uint8Array): void {
    const view = viewOf(data)
    const kind = data.length >= 2 ? view.getUint16(0) : -1
    if (kind === Info.export && data.length === 12)
      this.#size = { sizeBytes: getU64(view, 2), flags: view.getUint16(10) }
    if (kind === Info.blockSize && data.length === 14)
      this.#sizes = [view.getUint32(2), view.getUint32(6), view.getUint32(10)]
  }

  #refused(data: Uint8Array): void {
    const said = decodeText(data) ?? ''
    if (this.#reply === OptionReply.errorUnknown)
      return this.#fail('NBD_EXPORT_UNKNOWN', `the server has no export "${this.#exportName}"`)
    if (this.#reply === OptionReply.errorTlsRequired)
      return this.#fail('NBD_REFUSED', 'the server wants TLS: write nbds:// or nbds+unix://')
    this.#fail(
      'NBD_REFUSED',
      `the server refuses (error ${this.#reply - OPTION_ERROR}${said && `: ${said}`})`,
    )
  }

  #ready(): void {
    const size = this.#size
    const [minimumBytes, preferredBytes, maximumBytes] = this.#sizes
    const isSound =
      size !== undefined &&
      Number.isSafeInteger(size.sizeBytes) &&
      minimumBytes >= 1 &&
      Number.isInteger(Math.log2(minimumBytes)) &&
      minimumBytes <= 65_536 &&
      maximumBytes >= minimumBytes &&
      size.sizeBytes % minimumBytes === 0
    if (!isSound)
      return this.#fail('NBD_PROTOCOL_ERROR', 'the server tells no size of the export that can be used')
    this.outcome = {
      kind: 'ready',
      facts: {
        ...size,
        structuredReplies: this.#structuredReplies,
        allocationContext: this.#allocationContext,
        minimumBytes,
        preferredBytes,
        maximumBytes,
      },
    }
  }

  #askContext(): void {
    const name = encodeText(this.#exportName)
    const query = encodeText(ALLOCATION_CONTEXT)
    const data = new Uint8Array(4 + name.length + 8 + query.length)
    const view = viewOf(data)
    view.setUint32(0, name.length)
    data.set(name, 4)
    view.setUint32(4 + name.length, 1)
    view.setUint32(8 + name.length, query.length)
    data.set(query, 12 + name.length)
    this.#ask(Option.setMetaContext, data)
  }

  #askGo(): void {
    const name = encodeText(this.#exportName)
    const data = new Uint8Array(4 + name.length + 4)
    const view = viewOf(data)
    view.setUint32(0, name.length)
    data.set(name, 4)
    view.setUint16(4 + name.length, 1)
    view.setUint16(6 + name.length, Info.blockSize)
    this.#ask(Option.go, data)
  }

  /** Its answer has no header; a server that does not know the name hangs up. */
  #askByName(): void {
    this.#ask(Option.exportName, encodeText(this.#exportName))
    this.#phase = 'export'
    this.#piece.expect(10 + (this.#noZeroes ? 0 : EXPORT_NAME_ZEROES))
  }

  #takeExport(view: DataView): void {
    this.#size = { sizeBytes: getU64(view, 0), flags: view.getUint16(8) }
    this.#ready()
  }

  #ask(option: number, data: Uint8Array): void {
    this.#option = option
    const bytes = new Uint8Array(OPTION_BYTES + data.length)
    const view = viewOf(bytes)
    view.setBigUint64(0, OPTION_MAGIC)
    view.setUint32(8, option)
    view.setUint32(12, data.length)
    bytes.set(data, OPTION_BYTES)
    this.#send(bytes)
  }

  #fail(code: Extract<ClientOutcome, { kind: 'failed' }>['code'], message: string): void {
    this.outcome = { kind: 'failed', code, message }
  }
}

const NO_DATA = new Uint8Array(0)
const NO_TLS = 'the server has no TLS: write nbd:// to do without, or switch it on there'
