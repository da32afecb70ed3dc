/**
 * The numbers of the NBD protocol, in its "fixed newstyle" form (the protocol's own document, doc/proto.md of the NBD
 * project). All fields are big-endian.
 */

/** `NBDMAGIC`, `IHAVEOPT`, and what option replies begin with. */
export const NBD_MAGIC = 0x4e42444d41474943n
export const OPTION_MAGIC = 0x49484156454f5054n
export const OPTION_REPLY_MAGIC = 0x0003e889045565a9n
export const REQUEST_MAGIC = 0x25609513
export const SIMPLE_REPLY_MAGIC = 0x67446698
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef

/** Handshake flags of both sides. */
export const HandshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const

export const Option = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const
export type Option = (typeof Option)[keyof typeof Option]

export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errorUnsupported: 0x8000_0001,
  errorPolicy: 0x8000_0002,
  errorInvalid: 0x8000_0003,
  errorTlsRequired: 0x8000_0005,
  errorUnknown: 0x8000_0006,
  errorShutdown: 0x8000_0007,
  errorTooBig: 0x8000_0009,
} as const
export type OptionReply = (typeof OptionReply)[keyof typeof OptionReply]

/** Replies from here on are errors. */
export const OPTION_ERROR = 0x8000_0000

export const Info = { export: 0, name: 1, description: 2, blockSize: 3 } as const

export const TransmissionFlag = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
} as const

export const Command = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
  blockStatus: 7,
} as const
export type Command = (typeof Command)[keyof typeof Command]

export const CommandFlag = { fua: 1, noHole: 2, df: 4, requestOne: 8 } as const

export const Chunk = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  error: 0x8001,
  errorOffset: 0x8002,
} as const
/** Chunk types with this bit are errors. */
export const CHUNK_ERROR = 0x8000
/** The last chunk of a reply. */
export const CHUNK_DONE = 1

export const NbdError = {
  ok: 0,
  notPermitted: 1,
  io: 5,
  noMemory: 12,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
} as const
export type NbdError = (typeof NbdError)[keyof typeof NbdError]

/** The only metadata context here, and the bits of its extents. */
export const ALLOCATION_CONTEXT = 'base:allocation'
export const AllocationFlag = { hole: 1, zero: 2 } as const

/** Longest name of an export or a context, in bytes. */
export const MAX_STRING_BYTES = 4096
/** Longest READ and WRITE: what clients may assume where they do not ask. */
export const MAX_PAYLOAD_BYTES = 32 * 1024 * 1024

/*
 * Option:           0  IHAVEOPT (8)   8  option (4)   12  length (4)   16  data
 * Option reply:     0  magic (8)      8  option (4)   12  reply (4)    16  length (4)   20  data
 * Request:          0  magic (4)      4  flags (2)     6  type (2)      8  cookie (8)   16  offset (8)   24  length (4)
 * Simple reply:     0  magic (4)      4  error (4)     8  cookie (8)
 * Structured reply: 0  magic (4)      4  flags (2)     6  type (2)      8  cookie (8)   16  length (4)
 */
export const OPTION_BYTES = 16
export const OPTION_REPLY_BYTES = 20
export const REQUEST_BYTES = 28
export const SIMPLE_REPLY_BYTES = 16
export const STRUCTURED_REPLY_BYTES = 20
/** Without NO_ZEROES, so many follow the answer to EXPORT_NAME. */
export const EXPORT_NAME_ZEROES = 124

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const encodeText = (text: string): Uint8Array => encoder.encode(text)

/** Undefined where the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** A 64-bit field as a number: exact below 2^53, and never below 2^53 where the field is not. */
export const getU64 = (view: DataView, at: number): number =>
  view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4)

export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000))
  view.setUint32(at + 4, value >>> 0)
}
