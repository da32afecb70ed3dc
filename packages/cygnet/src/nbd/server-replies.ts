import { viewOf } from '../base/bytes.ts'
import type { DeviceExtent } from '../initiator/block-device.ts'
import {
  AllocationFlag,
  Chunk,
  CHUNK_DONE,
  encodeText,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  setU64,
  STRUCTURED_REPLY_BYTES,
  STRUCTURED_REPLY_MAGIC,
} from './nbd-protocol.ts'
import type { ServerRequest } from './server-request.ts'

/** Longest message of an error, in bytes: the protocol takes 4096. */
const MAX_MESSAGE_BYTES = 512

export function simpleReply(request: ServerRequest, error: number): Uint8Array {
  const bytes = new Uint8Array(SIMPLE_REPLY_BYTES)
  const view = viewOf(bytes)
  view.setUint32(0, SIMPLE_REPLY_MAGIC)
  view.setUint32(4, error)
  view.setUint32(8, request.cookieHigh)
  view.setUint32(12, request.cookieLow)
  return bytes
}

/** The last (and only) chunk of a structured reply, with room for `roomBytes`; `moreBytes` follow by themselves. */
function chunk(request: ServerRequest, type: number, roomBytes: number, moreBytes = 0): DataView {
  const view = viewOf(new Uint8Array(STRUCTURED_REPLY_BYTES + roomBytes))
  view.setUint32(0, STRUCTURED_REPLY_MAGIC)
  view.setUint16(4, CHUNK_DONE)
  view.setUint16(6, type)
  view.setUint32(8, request.cookieHigh)
  view.setUint32(12, request.cookieLow)
  view.setUint32(16, roomBytes + moreBytes)
  return view
}

const bytesOf = (view: DataView): Uint8Array => new Uint8Array(view.buffer)

export const emptyChunk = (request: ServerRequest): Uint8Array => bytesOf(chunk(request, Chunk.none, 0))

/** Before the data of a READ: offset (8). */
export function dataChunk(request: ServerRequest): Uint8Array {
  const view = chunk(request, Chunk.offsetData, 8, request.lengthBytes)
  setU64(view, STRUCTURED_REPLY_BYTES, request.offset)
  return bytesOf(view)
}

/** Error (4), message length (2), message. */
export function errorChunk(request: ServerRequest, error: number, message: string): Uint8Array {
  const text = encodeText(message).subarray(0, MAX_MESSAGE_BYTES)
  const view = chunk(request, Chunk.error, 6 + text.length)
  view.setUint32(STRUCTURED_REPLY_BYTES, error)
  view.setUint16(STRUCTURED_REPLY_BYTES + 4, text.length)
  const bytes = bytesOf(view)
  bytes.set(text, STRUCTURED_REPLY_BYTES + 6)
  return bytes
}

/** Context (4), then for each extent: length (4), flags (4). */
export function statusChunk(
  request: ServerRequest,
  contextId: number,
  extents: readonly DeviceExtent[],
): Uint8Array {
  const view = chunk(request, Chunk.blockStatus, 4 + 8 * extents.length)
  view.setUint32(STRUCTURED_REPLY_BYTES, contextId)
  let at = STRUCTURED_REPLY_BYTES + 4
  for (const { lengthBytes, kind, isZero } of extents) {
    view.setUint32(at, lengthBytes)
    view.setUint32(at + 4, (kind === 'hole' ? AllocationFlag.hole : 0) | (isZero ? AllocationFlag.zero : 0))
    at += 8
  }
  return bytesOf(view)
}
