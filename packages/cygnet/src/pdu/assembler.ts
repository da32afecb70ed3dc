import { assert } from '../base/assert.ts'
import { pad4, viewOf } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import type { PooledBuffer } from '../base/pool.ts'
import { ahsLengthOf, BHS_BYTES, dataSegmentLengthOf, MAX_AHS_BYTES } from './bhs.ts'
import { DIGEST_BYTES, digestAt } from './digest.ts'
import type { PduSink } from './received-pdu.ts'
import { NO_BUFFERS, NO_DATA, ReceivedPdu } from './received-pdu.ts'

/** What the next byte belongs to. `stopped` takes no more. */
const State = { header: 0, body: 1, dataDigest: 2, stopped: 3 } as const
type State = (typeof State)[keyof typeof State]

/**
 * Cuts a byte stream into PDUs (RFC 7143 §11.2): BHS, AHS, header digest, data segment, padding, data digest.
 *
 * Theory of operation: bytes come in segments of pooled memory. A header that lies whole in a segment is decoded
 * where it is; one that is split is gathered in a scratch of 1 KiB, and so is the header of a PDU whose data goes on in
 * the next segment (48 bytes copied rather than a whole segment kept for them). Data segments are never copied: each
 * becomes a list of slices of the segments, which the assembler retains while the PDU is incomplete. Bytes that
 * arrive in one segment in several calls make one slice.
 *
 * Memory bound: the segments that hold one data segment of at most `maxDataSegmentLength` bytes. It is up to the
 * caller to fill segments before taking new ones, or a peer that sends single bytes would hold a segment for each.
 */
export class PduAssembler {
  /** Options: settable at any time, effective from the first byte of the next PDU. */
  headerDigest = false
  dataDigest = false
  /** Largest DataSegmentLength that is taken: our MaxRecvDataSegmentLength, in bytes. */
  maxDataSegmentLength = 8192
  /** Longest AHS that is taken, in bytes, 0..1020. */
  maxAhsLength = MAX_AHS_BYTES

  readonly #sink: PduSink
  readonly #pdu = new ReceivedPdu()
  readonly #scratch = new Uint8Array(BHS_BYTES + MAX_AHS_BYTES + DIGEST_BYTES)
  readonly #scratchView = viewOf(this.#scratch)

  #state: State = State.header
  #receiving = false

  // The PDU that is coming in. Options as they were at its first byte:
  #hasHeaderDigest = false
  #hasDataDigest = false
  #dataLimitBytes = 0
  #ahsLimitBytes = 0
  /** Bytes of a split header that are in the scratch. */
  #scratchBytes = 0
  #view = this.#scratchView
  #at = 0
  #ahsLengthBytes = 0
  #dataLengthBytes = 0
  /** Bytes of the data segment still to come, without and with padding. */
  #dataLeft = 0
  #bodyLeft = 0
  /** CRC32C of the data segment so far. */
  #computed = 0
  #received = 0
  #digestBytes = 0

  // The slices of its data segment, their buffers, and how many of those (from the first on) we have retained.
  #data: Uint8Array[] = []
  #buffers: PooledBuffer[] = []
  #retained = 0
  /** The last slice, not yet cut while it may grow: `#sliceBuffer.bytes[#sliceStart..#sliceEnd)`. */
  #sliceBuffer: PooledBuffer | undefined
  #sliceStart = 0
  #sliceEnd = 0

  constructor(sink: PduSink) {
    this.#sink = sink
  }

  /** True between PDUs: no byte of the next one has come. */
  get idle(): boolean {
    return this.#state === State.stopped || (this.#state === State.header && this.#scratchBytes === 0)
  }

  get stopped(): boolean {
    return this.#state === State.stopped
  }

  /** Ignores all further input and lets go of the incomplete PDU. */
  stop(): void {
    this.#state = State.stopped
    const buffers = this.#buffers
    const retained = this.#retained
    this.#forgetPdu()
    releaseFirst(buffers, retained)
  }

  /** Takes `buffer.bytes[start..end)`; the caller holds a reference to the buffer during the call. */
  receive(buffer: PooledBuffer, start: number, end: number): void {
    assert(!this.#receiving, 'the assembler was fed from its own sink')
    this.#receiving = true
    try {
      this.#takeAll(buffer, start, end)
    } finally {
      this.#receiving = false
    }
  }

  #takeAll(buffer: PooledBuffer, start: number, end: number): void {
    let next = start
    // A PDU may end without a further byte (no data): each state's function says how far it got.
    while (next < end) {
      if (this.#state === State.header) next = this.#takeHeader(buffer, next, end)
      else if (this.#state === State.body) next = this.#takeBody(buffer, next, end)
      else if (this.#state === State.dataDigest) next = this.#takeDataDigest(buffer, next, end)
      else return
    }
    if (this.#state === State.body || this.#state === State.dataDigest) this.#keepPdu()
  }

  #takeHeader(buffer: PooledBuffer, start: number, end: number): number {
    if (this.#scratchBytes > 0) return this.#gatherHeader(buffer, start, end)
    this.#hasHeaderDigest = this.headerDigest
    this.#hasDataDigest = this.dataDigest
    this.#dataLimitBytes = this.maxDataSegmentLength
    this.#ahsLimitBytes = this.maxAhsLength
    if (end - start < BHS_BYTES) return this.#gatherHeader(buffer, start, end)
    const lengthBytes = this.#headerLength(buffer.view, start)
    if (lengthBytes === undefined) return end
    if (end - start < lengthBytes) return this.#gatherHeader(buffer, start, end)
    this.#headerDone(buffer.view, buffer.bytes, start)
    return start + lengthBytes
  }

  /** Copies what there is of a split header: first the BHS, which says how long the rest is. */
  #gatherHeader(buffer: PooledBuffer, start: number, end: number): number {
    let next = this.#copyToScratch(buffer, start, end, BHS_BYTES)
    if (this.#scratchBytes < BHS_BYTES) return next
    const lengthBytes = this.#headerLength(this.#scratchView, 0)
    if (lengthBytes === undefined) return end
    next = this.#copyToScratch(buffer, next, end, lengthBytes)
    if (this.#scratchBytes === lengthBytes) {
      this.#scratchBytes = 0
      this.#headerDone(this.#scratchView, this.#scratch, 0)
    }
    return next
  }

  #copyToScratch(buffer: PooledBuffer, start: number, end: number, untilBytes: number): number {
    let next = start
    while (next < end && this.#scratchBytes < untilBytes) {
      this.#scratch[this.#scratchBytes++] = buffer.bytes[next++] as number
    }
    return next
  }

  /** Bytes of BHS, AHS and header digest; undefined (and stopped) where the AHS is too long. */
  #headerLength(view: DataView, at: number): number | undefined {
    const lengthBytes = ahsLengthOf(view, at)
    const limitBytes = this.#ahsLimitBytes
    if (lengthBytes > limitBytes) {
      this.stop()
      this.#sink.onFault({
        kind: 'ahs-too-long',
        view,
        at,
        headerLengthBytes: BHS_BYTES,
        lengthBytes,
        limitBytes,
      })
      return undefined
    }
    return BHS_BYTES + lengthBytes + (this.#hasHeaderDigest ? DIGEST_BYTES : 0)
  }

  /** The header is complete: checks it, and goes on to the data segment or delivers. */
  #headerDone(view: DataView, bytes: Uint8Array, at: number): void {
    const ahsLengthBytes = ahsLengthOf(view, at)
    const headerLengthBytes = BHS_BYTES + ahsLengthBytes
    if (this.#hasHeaderDigest) {
      const received = digestAt(view, at + headerLengthBytes)
      const computed = crc32c(bytes, at, at + headerLengthBytes)
      if (received !== computed) {
        this.stop()
        this.#sink.onFault({ kind: 'header-digest', view, at, headerLengthBytes, received, computed })
        return
      }
    }
    const lengthBytes = dataSegmentLengthOf(view, at)
    const limitBytes = this.#dataLimitBytes
    if (lengthBytes > limitBytes) {
      this.stop()
      this.#sink.onFault({
        kind: 'data-segment-too-long',
        view,
        at,
        headerLengthBytes,
        lengthBytes,
        limitBytes,
      })
      return
    }
    this.#view = view
    this.#at = at
    this.#ahsLengthBytes = ahsLengthBytes
    this.#dataLengthBytes = lengthBytes
    if (lengthBytes === 0) {
      this.#deliver(true)
      return
    }
    this.#dataLeft = lengthBytes
    this.#bodyLeft = pad4(lengthBytes)
    this.#computed = 0
    this.#state = State.body
  }

  #takeBody(buffer: PooledBuffer, start: number, end: number): number {
    const bodyEnd = Math.min(end, start + this.#bodyLeft)
    const dataEnd = Math.min(bodyEnd, start + this.#dataLeft)
    if (this.#hasDataDigest) this.#computed = crc32c(buffer.bytes, start, bodyEnd, this.#computed)
    if (dataEnd > start) this.#addData(buffer, start, dataEnd)
    this.#dataLeft -= dataEnd - start
    this.#bodyLeft -= bodyEnd - start
    if (this.#bodyLeft === 0) {
      this.#cutSlice()
      if (this.#hasDataDigest) {
        this.#received = 0
        this.#digestBytes = 0
        this.#state = State.dataDigest
      } else {
        this.#deliver(true)
      }
    }
    return bodyEnd
  }

  #takeDataDigest(buffer: PooledBuffer, start: number, end: number): number {
    let next = start
    while (next < end && this.#digestBytes < DIGEST_BYTES) {
      this.#received |= (buffer.bytes[next++] as number) << (8 * this.#digestBytes++)
    }
    if (this.#digestBytes === DIGEST_BYTES) this.#deliver(this.#received >>> 0 === this.#computed)
    return next
  }

  #addData(buffer: PooledBuffer, start: number, end: number): void {
    if (this.#sliceBuffer === buffer && this.#sliceEnd === start) {
      this.#sliceEnd = end
      return
    }
    this.#cutSlice()
    this.#sliceBuffer = buffer
    this.#sliceStart = start
    this.#sliceEnd = end
    // Most data segments are one slice: an array that is to grow has room for many.
    if (this.#buffers.length === 0) this.#buffers = [buffer]
    else this.#buffers.push(buffer)
  }

  #cutSlice(): void {
    if (this.#sliceBuffer === undefined) return
    const slice = this.#sliceBuffer.bytes.subarray(this.#sliceStart, this.#sliceEnd)
    if (this.#data.length === 0) this.#data = [slice]
    else this.#data.push(slice)
    this.#sliceBuffer = undefined
  }

  /** The segment ends within a PDU: its memory is ours from here on, and its header moves to the scratch. */
  #keepPdu(): void {
    for (; this.#retained < this.#buffers.length; this.#retained++) this.#buffers[this.#retained]?.retain()
    if (this.#view === this.#scratchView) return
    for (let i = 0; i < BHS_BYTES + this.#ahsLengthBytes; i++) {
      this.#scratch[i] = this.#view.getUint8(this.#at + i)
    }
    this.#view = this.#scratchView
    this.#at = 0
  }

  #deliver(dataDigestOk: boolean): void {
    const pdu = this.#pdu
    const buffers = this.#buffers
    const retained = this.#retained
    pdu.view = this.#view
    pdu.at = this.#at
    pdu.ahsLengthBytes = this.#ahsLengthBytes
    pdu.dataLengthBytes = this.#dataLengthBytes
    pdu.dataDigestOk = dataDigestOk
    if (buffers.length > 0) {
      pdu.data = this.#data
      pdu.buffers = buffers
    }
    // Ready for the next PDU before the sink runs: it may stop us, and what it keeps is not ours any more.
    this.#forgetPdu()
    this.#state = State.header
    try {
      this.#sink.onPdu(pdu)
    } finally {
      pdu.data = NO_DATA
      pdu.buffers = NO_BUFFERS
      releaseFirst(buffers, retained)
    }
  }

  #forgetPdu(): void {
    this.#view = this.#scratchView
    this.#at = 0
    this.#scratchBytes = 0
    this.#sliceBuffer = undefined
    this.#retained = 0
    if (this.#buffers.length === 0) return
    this.#data = []
    this.#buffers = []
  }
}

function releaseFirst(buffers: readonly PooledBuffer[], count: number): void {
  for (let i = 0; i < count; i++) buffers[i]?.release()
}
