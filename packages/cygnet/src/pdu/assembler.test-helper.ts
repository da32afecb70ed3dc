import assert from 'node:assert/strict'
import { hex } from '../base/bytes.ts'
import type { PooledBuffer } from '../base/pool.ts'
import { BufferPool } from '../base/pool.ts'
import { PduAssembler } from './assembler.ts'
import { BHS_BYTES } from './bhs.ts'
import type { PduFault, PduSink, ReceivedPdu } from './received-pdu.ts'

/** What a sink saw, copied out of the receive segments and in a form that shows well in a failed comparison. */
export interface Seen {
  readonly header: string
  readonly data: string
  readonly dataDigestOk: boolean
}

/** Notes every PDU and fault, and checks what must hold for each. */
export class RecordingSink implements PduSink {
  readonly pdus: Seen[] = []
  readonly faults: PduFault[] = []
  /** Header bytes of the faults. */
  readonly faultHeaders: string[] = []

  onPdu(pdu: ReceivedPdu): void {
    const lengthBytes = pdu.data.reduce((sum, slice) => sum + slice.length, 0)
    assert.equal(lengthBytes, pdu.dataLengthBytes)
    assert.equal(pdu.buffers.length, pdu.data.length)
    for (const [i, slice] of pdu.data.entries()) {
      assert.ok(slice.length > 0)
      assert.equal(slice.buffer, pdu.buffers[i]?.bytes.buffer, 'a slice lies in another buffer')
      assert.ok((pdu.buffers[i]?.references ?? 0) > 0, 'a slice lies in a released buffer')
    }
    this.pdus.push({
      header: headerHex(pdu.view, pdu.at, BHS_BYTES + pdu.ahsLengthBytes),
      data: pdu.data.map((slice) => hex(slice)).join(''),
      dataDigestOk: pdu.dataDigestOk,
    })
  }

  onFault(fault: PduFault): void {
    this.faults.push(fault)
    this.faultHeaders.push(headerHex(fault.view, fault.at, fault.headerLengthBytes))
  }
}

const headerHex = (view: DataView, at: number, lengthBytes: number): string =>
  hex(new Uint8Array(view.buffer, view.byteOffset + at, lengthBytes))

/** Feeds each chunk in a pooled buffer of its own, at an offset, and lets go of the buffer at once. */
export function feedSeparately(
  assembler: PduAssembler,
  pool: BufferPool,
  chunks: readonly Uint8Array[],
): void {
  for (const [i, chunk] of chunks.entries()) {
    const start = (i * 13) % 64
    const buffer = pool.take(start + chunk.length + 1)
    buffer.bytes.set(chunk, start)
    assembler.receive(buffer, start, start + chunk.length)
    buffer.release()
  }
}

/** Feeds the chunks as a transport does that fills a segment with several reads before it takes the next. */
export function feedFilling(assembler: PduAssembler, pool: BufferPool, chunks: readonly Uint8Array[]): void {
  let buffer: PooledBuffer | undefined
  let used = 0
  for (const chunk of chunks) {
    if (buffer === undefined || used + chunk.length > buffer.bytes.length) {
      buffer?.release()
      buffer = pool.take(Math.max(chunk.length, 4096))
      used = 0
    }
    buffer.bytes.set(chunk, used)
    assembler.receive(buffer, used, used + chunk.length)
    used += chunk.length
  }
  buffer?.release()
}

/** The stream in chunks that end at these places. */
export function cut(stream: Uint8Array, ends: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  let start = 0
  for (const end of [
    ...ends.map((place) => Math.min(place, stream.length)).toSorted((a, b) => a - b),
    stream.length,
  ]) {
    chunks.push(stream.subarray(start, end))
    start = end
  }
  return chunks
}

export const byteByByte = (stream: Uint8Array): Uint8Array[] =>
  cut(
    stream,
    Array.from(stream, (_, i) => i),
  )

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

export interface Digests {
  readonly header: boolean
  readonly data: boolean
}

/** A pool that shows use after release, and an assembler with these digests. */
export function setUp(digests: Digests = { header: false, data: false }) {
  const pool = new BufferPool({ poison: true })
  const sink = new RecordingSink()
  const assembler = new PduAssembler(sink)
  assembler.headerDigest = digests.header
  assembler.dataDigest = digests.data
  return { pool, sink, assembler }
}

/** For sinks that must see no fault. */
export function noFault(fault: PduFault): void {
  assert.fail(`unexpected fault: ${fault.kind}`)
}
