import type { BlockDevice } from './block-device.ts'
import { BlockDeviceError } from './block-device-error.ts'

export interface StreamOptions {
  /** Byte where it begins. Default: 0. */
  readonly start?: number
  /** Byte before which it ends. Default: the end of the device. */
  readonly end?: number
  /** Bytes of one request. Default: 1 MiB. */
  readonly pieceBytes?: number
  /** Requests under way together: with their size the memory that a stream holds. Default: 4. */
  readonly depth?: number
  readonly signal?: AbortSignal
}

const PIECE_BYTES = 1024 * 1024
const DEPTH = 4

/** The bytes of a device, in order. Reads ahead, and no further than its reader lets it. */
export function readableOf(device: BlockDevice, options: StreamOptions = {}): ReadableStream<Uint8Array> {
  const { start = 0, end = device.sizeBytes, pieceBytes = PIECE_BYTES, depth = DEPTH, signal } = options
  const ahead: Promise<Uint8Array>[] = []
  let next = start
  const readAhead = (): void => {
    while (ahead.length < depth && next < end) {
      const read = device.read(next, Math.min(pieceBytes, end - next), signal ? { signal } : {})
      // Whoever takes it hears of its error.
      read.catch(() => undefined)
      ahead.push(read)
      next += pieceBytes
    }
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        readAhead()
        const first = ahead.shift()
        if (first === undefined) return controller.close()
        controller.enqueue(await first)
        readAhead()
      },
      cancel() {
        next = end
        ahead.length = 0
      },
    },
    { highWaterMark: 0 },
  )
}

/** Writes what it is given to a device, one after the other; the end of the stream flushes the device. */
export function writableOf(device: BlockDevice, options: StreamOptions = {}): WritableStream<Uint8Array> {
  const { start = 0, end = device.sizeBytes, pieceBytes = PIECE_BYTES, depth = DEPTH, signal } = options
  const request = signal ? { signal } : {}
  const underWay = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  let piece = new Uint8Array(pieceBytes)
  let filledBytes = 0
  let offset = start

  const send = async (): Promise<void> => {
    while (underWay.size >= depth) await Promise.race(underWay)
    const bytes = piece.subarray(0, filledBytes)
    const write: Promise<void> = device.write(offset, bytes, request).then(
      () => void underWay.delete(write),
      (error: unknown) => {
        underWay.delete(write)
        failure ??= { error }
      },
    )
    underWay.add(write)
    offset += filledBytes
    piece = new Uint8Array(pieceBytes)
    filledBytes = 0
  }
  return new WritableStream<Uint8Array>({
    async write(chunk) {
      for (let at = 0; at < chunk.length; ) {
        if (failure) throw failure.error
        if (offset + filledBytes >= end) {
          throw new BlockDeviceError(
            'PAST_END',
            `There is more to write than the ${end - start} bytes that there is room for.`,
            end,
          )
        }
        const room = Math.min(pieceBytes - filledBytes, end - offset - filledBytes)
        const part = chunk.subarray(at, at + room)
        piece.set(part, filledBytes)
        filledBytes += part.length
        at += part.length
        // oxlint-disable-next-line no-await-in-loop -- this is the back-pressure
        if (filledBytes === pieceBytes) await send()
      }
    },
    async close() {
      if (filledBytes > 0) await send()
      await Promise.all(underWay)
      if (failure) throw failure.error
      await device.flush(request)
    },
    async abort() {
      await Promise.all(underWay)
    },
  })
}
