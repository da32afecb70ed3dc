import { padding4 } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import type { BufferPool, PooledBuffer } from '../base/pool.ts'

/** One slab for headers and small payloads; a batch of PDUs never outgrows it. */
const SLAB_BYTES = 256 * 1024
/** Payloads up to this size are copied behind their header: cheaper than one more piece for the kernel to gather. */
const COPY_LIMIT_BYTES = 8 * 1024
const BHS_BYTES = 48
const DIGEST_BYTES = 4
/** The longest header that is sent has a CDB of 260 bytes and a bidirectional read length in its AHS. */
const LARGEST_SENT_AHS_BYTES = 256
/** Header, its digest, a copied payload, padding and data digest. */
const LARGEST_COPIED_PDU_BYTES =
  BHS_BYTES + LARGEST_SENT_AHS_BYTES + DIGEST_BYTES + COPY_LIMIT_BYTES + 4 + DIGEST_BYTES
/** A batch ends with the PDU that takes it past this; what is more waits for the socket. */
const BATCH_BYTES = 1024 * 1024

/**
 * A batch of PDUs on its way to the socket: header slots in a slab, large payloads as views of the memory that they
 * are in, which is retained until `release`.
 */
export class TransmitVector {
  /** What to write, in order. Complete after `close`. */
  readonly chunks: Uint8Array[] = []
  readonly #slab: PooledBuffer
  #retained: PooledBuffer[] | undefined
  /** Start of the slab bytes that are not in `chunks` yet. */
  #chunkStart = 0
  #end = 0
  #lengthBytes = 0

  /** `slabBytes`: at least 16 KiB; smaller batches, where many of them are made for little data. */
  constructor(pool: BufferPool, slabBytes = SLAB_BYTES) {
    this.#slab = pool.take(slabBytes)
  }

  /** View of the slab, for encoding at the offset that `beginPdu` gave. */
  get view(): DataView {
    return this.#slab.view
  }

  get lengthBytes(): number {
    return this.#lengthBytes
  }

  /** No room for another PDU. */
  get isFull(): boolean {
    return this.#lengthBytes >= BATCH_BYTES || this.#end + LARGEST_COPIED_PDU_BYTES > this.#slab.bytes.length
  }

  /** A slot for 48 header bytes; only when not full. */
  beginPdu(): number {
    return this.#end
  }

  /**
   * Ends the PDU whose BHS was encoded at `at`: adds digests, data and zeroed padding. `owner`: the pooled memory
   * behind `data`, retained while the batch is on its way; without one, the bytes are copied or live on the heap.
   * `ahsBytes`: of the additional header segments that were encoded behind the BHS.
   */
  endPdu(
    at: number,
    data: Uint8Array | undefined,
    owner: PooledBuffer | undefined,
    headerDigest: boolean,
    dataDigest: boolean,
    ahsBytes = 0,
  ): void {
    const bytes = this.#slab.bytes
    let end = at + BHS_BYTES + ahsBytes
    if (headerDigest) {
      this.view.setUint32(end, crc32c(bytes, at, end), true)
      end += DIGEST_BYTES
    }
    if (data === undefined || data.length === 0) {
      this.#advance(end)
      return
    }
    const padding = padding4(data.length)
    if (data.length <= COPY_LIMIT_BYTES) {
      bytes.set(data, end)
      const start = end
      end += data.length
      for (let i = 0; i < padding; i++) bytes[end++] = 0
      if (dataDigest) {
        this.view.setUint32(end, crc32c(bytes, start, end), true)
        end += DIGEST_BYTES
      }
      this.#advance(end)
      return
    }
    this.#advance(end)
    this.#cut()
    this.chunks.push(data)
    this.#lengthBytes += data.length
    if (owner) {
      this.#retained ??= []
      this.#retained.push(owner.retain())
    }
    for (let i = 0; i < padding; i++) bytes[end + i] = 0
    if (dataDigest) {
      const digest = crc32c(bytes, end, end + padding, crc32c(data, 0, data.length))
      this.view.setUint32(end + padding, digest, true)
    }
    this.#advance(end + padding + (dataDigest ? DIGEST_BYTES : 0))
  }

  /** Completes `chunks`. */
  close(): void {
    this.#cut()
  }

  /** The bytes were written, or never will be: everything returns to its pool. */
  release(): void {
    if (this.#retained !== undefined) for (const buffer of this.#retained) buffer.release()
    this.#retained = undefined
    this.#slab.release()
  }

  #advance(end: number): void {
    this.#lengthBytes += end - this.#end
    this.#end = end
  }

  #cut(): void {
    if (this.#end === this.#chunkStart) return
    this.chunks.push(this.#slab.bytes.subarray(this.#chunkStart, this.#end))
    this.#chunkStart = this.#end
  }
}

/** The numbers that a target puts on a PDU as it leaves. */
export interface Numbering {
  readonly statSN: number
  readonly expCmdSN: number
  readonly maxCmdSN: number
}

/** Something that waits for the socket. Sequence numbers are given when it leaves, not when it is queued. */
export interface Outgoing {
  /** Memory that it holds while it waits and that nothing else bounds. */
  readonly heldBytes: number
  /** It belongs to a task, which may go on on another connection: it is withdrawn then, not discarded. Such items hold nothing. */
  readonly isOfTask?: true
  /** Encodes one PDU into `out`; true when there is nothing more of it to send. */
  transmit(out: TransmitVector): boolean
  /** The connection ended first. */
  discard(): void
}

/** More places than this are not kept for later. */
const KEPT_PLACES = 1024

/** First in, first out, without shifting, in places that are used again. */
export class TransmitQueue {
  #items: (Outgoing | undefined)[] = []
  #head = 0
  #end = 0
  #heldBytes = 0

  get isEmpty(): boolean {
    return this.#head === this.#end
  }

  get length(): number {
    return this.#end - this.#head
  }

  /** The sum over what waits. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  push(item: Outgoing): void {
    this.#heldBytes += item.heldBytes
    if (this.#head > KEPT_PLACES && this.#head * 2 > this.#end) this.#replace(this.#waiting)
    this.#items[this.#end++] = item
  }

  /** Fills the batch; true while something is left. */
  drainInto(out: TransmitVector): boolean {
    while (!this.isEmpty) {
      if (out.isFull) return true
      const item = this.#items[this.#head] as Outgoing
      if (!item.transmit(out)) continue
      this.#heldBytes -= item.heldBytes
      this.#items[this.#head++] = undefined
    }
    if (this.#items.length > KEPT_PLACES) this.#items = []
    this.#head = 0
    this.#end = 0
    return false
  }

  /** Takes out what belongs to tasks: they go on elsewhere. */
  withdrawTasks(): void {
    this.#replace(this.#waiting.filter(({ isOfTask }) => isOfTask !== true))
  }

  /** Takes out one item, which holds nothing. */
  withdraw(item: Outgoing): void {
    this.#replace(this.#waiting.filter((one) => one !== item))
  }

  discardAll(): void {
    for (const item of this.#waiting) item.discard()
    this.#replace([])
    this.#heldBytes = 0
  }

  get #waiting(): Outgoing[] {
    return this.#items.slice(this.#head, this.#end).filter((item) => item !== undefined)
  }

  #replace(items: Outgoing[]): void {
    this.#items = items
    this.#head = 0
    this.#end = items.length
  }
}

/** A PDU with a StatSN of its own, which may have to be sent again until the initiator has acknowledged it. */
export interface Response {
  /** Memory that it holds while it is kept and that nothing else bounds. */
  readonly heldBytes: number
  /** Whether it can still be made again just as it was. */
  readonly isRepeatable: boolean
  /** Encodes it again (§11.16: a replica but for ExpCmdSN and MaxCmdSN). */
  repeat(out: TransmitVector, statSN: number): void
  /** The initiator has it, or there is no room to keep it: it will not be asked to repeat it. */
  forget(): void
}
