import { viewOf } from '../base/bytes.ts'
import { ByteCollector } from './byte-collector.ts'
import {
  ALLOCATION_CONTEXT,
  decodeText,
  encodeText,
  EXPORT_NAME_ZEROES,
  HandshakeFlag,
  Info,
  MAX_STRING_BYTES,
  NBD_MAGIC,
  Option,
  OPTION_BYTES,
  OPTION_MAGIC,
  OPTION_REPLY_BYTES,
  OPTION_REPLY_MAGIC,
  OptionReply,
  setU64,
} from './nbd-protocol.ts'
import { blockSizes, type NbdExport, transmissionFlags } from './server-export.ts'

/** The number of `base:allocation` in block status replies. */
export const ALLOCATION_CONTEXT_ID = 1
/** Longest data of an option: two names of the greatest length and some queries. */
const MAX_OPTION_BYTES = 16 * 1024
/** Options of one connection: a client that haggles for ever wants no disk. */
const MAX_OPTIONS = 64

export type HandshakeOutcome =
  | {
      readonly kind: 'go'
      readonly export: NbdExport
      readonly structuredReplies: boolean
      /** Block status was asked for. */
      readonly allocation: boolean
    }
  /** The client waits for a TLS handshake; `secured` goes on after it. */
  | { readonly kind: 'start-tls' }
  /** The client said goodbye. */
  | { readonly kind: 'aborted' }
  /** The connection must be closed. */
  | { readonly kind: 'failed'; readonly reason: string }

/** The first words of a server. */
export function greeting(): Uint8Array {
  const bytes = new Uint8Array(18)
  const view = viewOf(bytes)
  view.setBigUint64(0, NBD_MAGIC)
  view.setBigUint64(8, OPTION_MAGIC)
  view.setUint16(16, HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes)
  return bytes
}

/**
 * The server's side of option haggling: takes bytes, gives replies, ends with an outcome. The client's flags come
 * first, then options one after the other; each gets replies of which the last is ACK or an error. Where TLS is wanted, a
 * client has nothing before it has asked for that, and what it asked for in the clear does not count.
 */
export class ServerHandshake {
  readonly #exports: readonly NbdExport[]
  readonly #send: (bytes: Uint8Array) => void
  readonly #piece = new ByteCollector(4096)
  #phase: 'flags' | 'option' | 'data' = 'flags'
  #option = 0
  #options = 0
  #noZeroes = false
  #structuredReplies = false
  /** The export that block status was asked for. */
  #allocationOf: NbdExport | undefined
  #tls: 'none' | 'wanted' | 'secured'
  outcome: HandshakeOutcome | undefined

  /** `wantsTls`: no export is told of before STARTTLS. */
  constructor(exports: readonly NbdExport[], send: (bytes: Uint8Array) => void, wantsTls = false) {
    this.#exports = exports
    this.#send = send
    this.#tls = wantsTls ? 'wanted' : 'none'
    this.#piece.expect(4)
  }

  /** The stream is TLS from here on: options begin anew. */
  secured(): void {
    this.#tls = 'secured'
    this.#structuredReplies = false
    this.#allocationOf = undefined
    this.outcome = undefined
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
      case 'flags':
        return this.#takeFlags(this.#piece.view.getUint32(0))
      case 'option':
        return this.#takeHeader(this.#piece.view)
      case 'data':
        this.#takeOption(this.#option, this.#piece.bytes)
        this.#phase = 'option'
        this.#piece.expect(OPTION_BYTES)
    }
  }

  #takeFlags(flags: number): void {
    const known = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes
    if ((flags & ~known) !== 0) return this.#fail(`its flags are ${flags.toString(16)}h, which nobody knows`)
    this.#noZeroes = (flags & HandshakeFlag.noZeroes) !== 0
    this.#phase = 'option'
    this.#piece.expect(OPTION_BYTES)
  }

  #takeHeader(view: DataView): void {
    if (view.getBigUint64(0) !== OPTION_MAGIC) return this.#fail('it does not speak NBD')
    this.#option = view.getUint32(8)
    const lengthBytes = view.getUint32(12)
    if (lengthBytes > MAX_OPTION_BYTES)
      return this.#fail(`its option ${this.#option} has ${lengthBytes} bytes`)
    if (++this.#options > MAX_OPTIONS) return this.#fail(`it sent more than ${MAX_OPTIONS} options`)
    this.#phase = 'data'
    this.#piece.expect(lengthBytes)
  }

  #takeOption(option: number, data: Uint8Array): void {
    if (this.#tls === 'wanted' && option !== Option.startTls && option !== Option.abort)
      return this.#wantTls(option)
    switch (option) {
      case Option.exportName:
        return this.#exportName(data)
      case Option.abort:
        this.#reply(OptionReply.ack)
        this.outcome = { kind: 'aborted' }
        return
      case Option.startTls:
        return this.#startTls(data)
      case Option.list:
        return this.#list(data)
      case Option.info:
      case Option.go:
        return this.#info(option, data)
      case Option.structuredReply:
        if (data.length > 0) return this.#refuse(OptionReply.errorInvalid, 'this option has no data')
        this.#structuredReplies = true
        return this.#reply(OptionReply.ack)
      case Option.listMetaContext:
      case Option.setMetaContext:
        return this.#metaContext(option, data)
      default:
        return this.#refuse(OptionReply.errorUnsupported, 'not known here')
    }
  }

  #startTls(data: Uint8Array): void {
    if (this.#tls === 'none') return this.#refuse(OptionReply.errorUnsupported, 'not known here')
    if (this.#tls === 'secured' || data.length > 0)
      return this.#refuse(OptionReply.errorInvalid, 'once, and without data')
    this.#reply(OptionReply.ack)
    this.outcome = { kind: 'start-tls' }
  }

  /** EXPORT_NAME has no errors. */
  #wantTls(option: number): void {
    if (option === Option.exportName) this.#fail('it asked for an export without TLS')
    else this.#refuse(OptionReply.errorTlsRequired, 'ask for STARTTLS first')
  }

  /** The old way to begin: it has no errors, so an unknown name ends the connection. */
  #exportName(data: Uint8Array): void {
    const found = this.#find(decodeText(data))
    if (found === undefined) return this.#fail('it asked for an export that does not exist')
    const bytes = new Uint8Array(10 + (this.#noZeroes ? 0 : EXPORT_NAME_ZEROES))
    const view = viewOf(bytes)
    setU64(view, 0, found.device.sizeBytes)
    view.setUint16(8, transmissionFlags(found))
    this.#send(bytes)
    this.#begin(found)
  }

  #list(data: Uint8Array): void {
    if (data.length > 0) return this.#refuse(OptionReply.errorInvalid, 'this option has no data')
    for (const { name, description } of this.#exports) {
      const text = encodeText(name)
      const bytes = new Uint8Array([0, 0, 0, 0, ...text, ...encodeText(description)])
      viewOf(bytes).setUint32(0, text.length)
      this.#reply(OptionReply.server, bytes)
    }
    this.#reply(OptionReply.ack)
  }

  /** INFO and GO: name length (4), name, number of requests (2), requests (2 each). */
  #info(option: number, data: Uint8Array): void {
    const view = viewOf(data)
    const nameBytes = data.length >= 6 ? view.getUint32(0) : Infinity
    if (data.length < nameBytes + 6 || data.length !== nameBytes + 6 + 2 * view.getUint16(4 + nameBytes))
      return this.#refuse(OptionReply.errorInvalid, 'its lengths do not fit')
    const found = this.#find(decodeText(data.subarray(4, 4 + nameBytes)))
    if (found === undefined) return this.#refuse(OptionReply.errorUnknown, 'there is no such export')
    const wanted = new Set<number>()
    for (let at = 6 + nameBytes; at < data.length; at += 2) wanted.add(view.getUint16(at))
    this.#sendInfo(found, wanted)
    this.#reply(OptionReply.ack)
    if (option === Option.go) this.#begin(found)
  }

  #sendInfo(found: NbdExport, wanted: ReadonlySet<number>): void {
    const main = new Uint8Array(12)
    const view = viewOf(main)
    view.setUint16(0, Info.export)
    setU64(view, 2, found.device.sizeBytes)
    view.setUint16(10, transmissionFlags(found))
    this.#reply(OptionReply.info, main)
    for (const [kind, text] of [
      [Info.name, found.name],
      [Info.description, found.description],
    ] as const) {
      if (wanted.has(kind)) this.#reply(OptionReply.info, new Uint8Array([0, kind, ...encodeText(text)]))
    }
    const sizes = new Uint8Array(14)
    const sizesView = viewOf(sizes)
    sizesView.setUint16(0, Info.blockSize)
    for (const [index, size] of blockSizes(found).entries()) sizesView.setUint32(2 + 4 * index, size)
    this.#reply(OptionReply.info, sizes)
  }

  /** Export name length (4), name, number of queries (4), each: length (4), text. */
  #metaContext(option: number, data: Uint8Array): void {
    if (option === Option.setMetaContext && !this.#structuredReplies)
      return this.#refuse(OptionReply.errorInvalid, 'ask for structured replies first')
    const texts = readTexts(data)
    if (texts === undefined) return this.#refuse(OptionReply.errorInvalid, 'its lengths do not fit')
    const [name, ...queries] = texts
    const found = this.#find(name)
    if (found === undefined) return this.#refuse(OptionReply.errorUnknown, 'there is no such export')
    const isList = option === Option.listMetaContext
    const isWanted =
      queries.includes(ALLOCATION_CONTEXT) || (isList && (queries.length === 0 || queries.includes('base:')))
    if (!isList) this.#allocationOf = isWanted ? found : undefined
    if (isWanted) {
      const bytes = new Uint8Array([0, 0, 0, 0, ...encodeText(ALLOCATION_CONTEXT)])
      viewOf(bytes).setUint32(0, ALLOCATION_CONTEXT_ID)
      this.#reply(OptionReply.metaContext, bytes)
    }
    this.#reply(OptionReply.ack)
  }

  /** An empty name is the first export. */
  #find(name: string | undefined): NbdExport | undefined {
    return this.#exports.find((one) => one.name === name) ?? (name === '' ? this.#exports[0] : undefined)
  }

  #begin(found: NbdExport): void {
    this.outcome = {
      kind: 'go',
      export: found,
      structuredReplies: this.#structuredReplies,
      allocation: this.#allocationOf === found,
    }
  }

  #refuse(reply: OptionReply, text: string): void {
    this.#reply(reply, encodeText(text))
  }

  #reply(reply: OptionReply, data: Uint8Array = NO_DATA): void {
    const bytes = new Uint8Array(OPTION_REPLY_BYTES + data.length)
    const view = viewOf(bytes)
    view.setBigUint64(0, OPTION_REPLY_MAGIC)
    view.setUint32(8, this.#option)
    view.setUint32(12, reply)
    view.setUint32(16, data.length)
    bytes.set(data, OPTION_REPLY_BYTES)
    this.#send(bytes)
  }

  #fail(reason: string): void {
    this.outcome = { kind: 'failed', reason }
  }
}

const NO_DATA = new Uint8Array(0)

/** A name and queries, each with its length; undefined where they are not well formed. */
function readTexts(data: Uint8Array): string[] | undefined {
  const view = viewOf(data)
  const texts: string[] = []
  let at = 0
  const readText = (): boolean => {
    if (at + 4 > data.length) return false
    const lengthBytes = view.getUint32(at)
    if (lengthBytes > MAX_STRING_BYTES || at + 4 + lengthBytes > data.length) return false
    const text = decodeText(data.subarray(at + 4, at + 4 + lengthBytes))
    if (text === undefined) return false
    texts.push(text)
    at += 4 + lengthBytes
    return true
  }
  if (!readText() || at + 4 > data.length) return undefined
  const count = view.getUint32(at)
  at += 4
  for (let i = 0; i < count; i++) if (!readText()) return undefined
  return at === data.length ? texts : undefined
}
