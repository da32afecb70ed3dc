import type { BlockDevice } from './block-device.ts'
import { BlockDeviceError } from './block-device-error.ts'

/** Pieces of one copy that are under way together; with their size the bound of its memory. */
const PIECES_AT_ONCE = 8
/** Longest range that is zeroed at once. */
const ZEROED_BYTES_MAX = 256 * 1024 * 1024

export interface CopyOptions {
  /** Bytes to copy, from the beginning. Default: all of the source. */
  readonly lengthBytes?: number
  /** Bytes of one read and write. Default: 1 MiB. */
  readonly pieceBytes?: number
  /** What is zeroes in the source is released in the destination, not written. */
  readonly sparse?: boolean
  /** The destination is known to be zeroes: sparse parts are passed over. */
  readonly isBlank?: boolean
  /** Read the destination first and write only what differs: takes up a copy that was broken off. */
  readonly resume?: boolean
  readonly signal?: AbortSignal
  /** Bytes that are dealt with, again and again, up to the whole length. */
  readonly onProgress?: (doneBytes: number) => void
}

export interface CopyResult {
  readonly lengthBytes: number
  /** Of these: written as data, zeroed or passed over as zeroes, and found to be there already. */
  readonly writtenBytes: number
  readonly zeroBytes: number
  readonly sameBytes: number
}

/** A part of the source. */
interface Piece {
  readonly offset: number
  readonly lengthBytes: number
  readonly isZero: boolean
}

/**
 * Copies one device to another, a few pieces at a time, and flushes it.
 * @throws {BlockDeviceError} of either device; PAST_END where the destination is too small
 */
export async function copyDevice(
  source: BlockDevice,
  destination: BlockDevice,
  options: CopyOptions = {},
): Promise<CopyResult> {
  const lengthBytes = lengthOf(source, options)
  if (destination.sizeBytes < lengthBytes) {
    throw new BlockDeviceError(
      'PAST_END',
      `The destination has ${destination.sizeBytes} bytes, and ${lengthBytes} are to be copied: choose a larger one.`,
      destination.sizeBytes,
    )
  }
  const { signal } = options
  const request = signal ? { signal } : {}
  const done = { writtenBytes: 0, zeroBytes: 0, sameBytes: 0 }
  const clear = async ({ offset, lengthBytes: zeroBytes }: Piece): Promise<void> => {
    if (options.isBlank !== true) await destination.writeZeroes(offset, zeroBytes, request)
    done.zeroBytes += zeroBytes
  }
  await eachPiece(source, lengthBytes, options, async (piece, buffers) => {
    if (piece.isZero) return clear(piece)
    const bytes = buffers.first.subarray(0, piece.lengthBytes)
    await source.read(piece.offset, bytes, request)
    if (options.sparse && isZero(bytes)) return clear(piece)
    if (options.resume) {
      const there = buffers.second().subarray(0, piece.lengthBytes)
      await destination.read(piece.offset, there, request)
      if (Buffer.compare(bytes, there) === 0) {
        done.sameBytes += piece.lengthBytes
        return
      }
    }
    await destination.write(piece.offset, bytes, request)
    done.writtenBytes += piece.lengthBytes
  })
  await destination.flush(request)
  return { lengthBytes, ...done }
}

/** The first byte that differs between two devices; undefined where there is none. */
export async function compareDevices(
  left: BlockDevice,
  right: BlockDevice,
  options: Omit<CopyOptions, 'sparse' | 'resume' | 'isBlank'> = {},
): Promise<number | undefined> {
  const lengthBytes = lengthOf(left, options)
  const request = options.signal ? { signal: options.signal } : {}
  let first: number | undefined
  await eachPiece(left, lengthBytes, options, async ({ offset, lengthBytes: pieceBytes }, buffers) => {
    if (first !== undefined && first < offset) return
    const a = buffers.first.subarray(0, pieceBytes)
    const b = buffers.second().subarray(0, pieceBytes)
    await Promise.all([left.read(offset, a, request), right.read(offset, b, request)])
    if (Buffer.compare(a, b) === 0) return
    const differsAt = offset + a.findIndex((byte, i) => byte !== b[i])
    first = Math.min(first ?? Infinity, differsAt)
  })
  return first
}

function lengthOf(source: BlockDevice, { lengthBytes = source.sizeBytes }: CopyOptions): number {
  return Math.min(lengthBytes, source.sizeBytes)
}

export const DEFAULT_PIECE_BYTES = 1024 * 1024

/** Memory of one worker: the second buffer only where it is needed. */
interface Buffers {
  readonly first: Uint8Array
  second(): Uint8Array
}

/** Runs `action` for every piece, a few at a time; its error is thrown when all have ended. */
async function eachPiece(
  source: BlockDevice,
  lengthBytes: number,
  { pieceBytes = DEFAULT_PIECE_BYTES, sparse = false, signal, onProgress }: CopyOptions,
  action: (piece: Piece, buffers: Buffers) => Promise<void>,
): Promise<void> {
  const pieces = sparse
    ? sparsePieces(source, lengthBytes, pieceBytes, signal)
    : plainPieces(0, lengthBytes, pieceBytes)
  const failures: unknown[] = []
  let doneBytes = 0
  const worker = async (): Promise<void> => {
    const first = new Uint8Array(Math.min(pieceBytes, lengthBytes))
    let second: Uint8Array | undefined
    const buffers = { first, second: () => (second ??= new Uint8Array(first.length)) }
    try {
      while (failures.length === 0) {
        signal?.throwIfAborted()
        // oxlint-disable-next-line no-await-in-loop -- this is one of the few
        const next = await pieces.next()
        if (next.done) return
        // oxlint-disable-next-line no-await-in-loop -- and it has one piece in work at a time
        await action(next.value, buffers)
        doneBytes += next.value.lengthBytes
        onProgress?.(doneBytes)
      }
    } catch (error) {
      failures.push(error)
    }
  }
  const workers = Math.max(1, Math.min(PIECES_AT_ONCE, Math.ceil(lengthBytes / pieceBytes)))
  await Promise.all(Array.from({ length: workers }, worker))
  if (failures.length > 0) throw failures[0]
}

function* plainPieces(start: number, end: number, pieceBytes: number): Generator<Piece> {
  for (let offset = start; offset < end; offset += pieceBytes)
    yield { offset, lengthBytes: Math.min(pieceBytes, end - offset), isZero: false }
}

/** Holes that read as zeroes as a whole, the rest in pieces. */
async function* sparsePieces(
  source: BlockDevice,
  end: number,
  pieceBytes: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Piece> {
  for (let at = 0; at < end; ) {
    // oxlint-disable-next-line no-await-in-loop -- where the next ones begin is known when these have come
    for (const { offset, lengthBytes, isZero: isHole } of await source.extents(
      at,
      end - at,
      signal ? { signal } : {},
    )) {
      const size = isHole ? ZEROED_BYTES_MAX : pieceBytes
      for (const piece of plainPieces(offset, offset + lengthBytes, size)) yield { ...piece, isZero: isHole }
      at = offset + lengthBytes
    }
  }
}

const ZEROES = new Uint8Array(64 * 1024)

/** In native comparisons: a byte at a time would take longer than the copy. */
export function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += ZEROES.length) {
    const part = bytes.subarray(at, at + ZEROES.length)
    if (Buffer.compare(part, part.length === ZEROES.length ? ZEROES : ZEROES.subarray(0, part.length)) !== 0)
      return false
  }
  return true
}
