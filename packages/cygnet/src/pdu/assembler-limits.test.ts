import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AssertionError } from '../base/assert.ts'
import { hex, viewOf } from '../base/bytes.ts'
import { BufferPool } from '../base/pool.ts'
import { byteByByte, concat, cut, feedSeparately, noFault, setUp } from './assembler.test-helper.ts'
import { PduAssembler } from './assembler.ts'
import { headerDigestOf, putDigest } from './digest.ts'
import { fixture } from './fixtures.test-helper.ts'
import type { PduSink } from './received-pdu.ts'

test('a wrong header digest stops the assembler and shows the header', () => {
  const { header, wire } = fixture('scsi-command-ahs')
  const damaged = wire(true, false)
  damaged[20] = 0xee
  for (const chunks of [[damaged], byteByByte(damaged)]) {
    const { pool, sink, assembler } = setUp({ header: true, data: false })
    feedSeparately(assembler, pool, [...chunks, wire(true, false)])
    assert.deepEqual(sink.pdus, [])
    assert.equal(sink.faults.length, 1)
    const [fault] = sink.faults
    assert.ok(fault?.kind === 'header-digest')
    assert.equal(fault.received, headerDigestOf(header, 0, header.length))
    assert.equal(fault.computed, headerDigestOf(damaged, 0, header.length))
    assert.deepEqual(sink.faultHeaders, [hex(damaged.subarray(0, header.length))])
    assert.ok(assembler.stopped && assembler.idle)
  }
})

/** A NOP-Out header that announces this much. */
function announce(dataSegmentLength: number, totalAhsLength = 0): Uint8Array {
  const header = new Uint8Array(48)
  viewOf(header).setUint32(4, (totalAhsLength << 24) | dataSegmentLength)
  return header
}

test('a data segment of the limit is taken; one byte more stops the assembler before any of it', () => {
  const { pool, sink, assembler } = setUp()
  assembler.maxDataSegmentLength = 512
  feedSeparately(assembler, pool, [announce(512), new Uint8Array(512)])
  assert.equal(sink.pdus.length, 1)
  feedSeparately(assembler, pool, [announce(513), new Uint8Array(600)])
  assert.equal(sink.pdus.length, 1)
  const [fault] = sink.faults
  assert.ok(fault?.kind === 'data-segment-too-long')
  assert.equal(fault.lengthBytes, 513)
  assert.equal(fault.limitBytes, 512)
  assert.equal(pool.inUse, 0)
})

test('16 MiB that are announced and never sent hold no memory', () => {
  const { pool, sink, assembler } = setUp()
  assembler.maxDataSegmentLength = 0xffffff
  feedSeparately(assembler, pool, [announce(0xffffff)])
  assert.ok(!assembler.idle)
  assert.equal(pool.inUse, 0)
  assembler.stop()
  assert.deepEqual(sink.faults, [])
})

test('an AHS of the limit is taken; a longer one stops the assembler', () => {
  for (const chunk of [1, 48, 2000]) {
    const { pool, sink, assembler } = setUp()
    assembler.maxAhsLength = 8
    const stream = concat([announce(0, 2), new Uint8Array(8), announce(0, 3), new Uint8Array(12)])
    feedSeparately(
      assembler,
      pool,
      cut(
        stream,
        Array.from({ length: Math.ceil(stream.length / chunk) }, (_, i) => i * chunk),
      ),
    )
    assert.equal(sink.pdus.length, 1)
    const [fault] = sink.faults
    assert.ok(fault?.kind === 'ahs-too-long')
    assert.equal(fault.lengthBytes, 12)
    assert.equal(fault.limitBytes, 8)
    assert.deepEqual(sink.faultHeaders, [hex(announce(0, 3))])
  }
})

test('the longest AHS there can be is taken, with a header digest and in pieces', () => {
  const header = concat([announce(0, 255), new Uint8Array(1020).map((_, i) => i)])
  const digest = new Uint8Array(4)
  putDigest(viewOf(digest), 0, headerDigestOf(header, 0, header.length))
  const { pool, sink, assembler } = setUp({ header: true, data: true })
  feedSeparately(assembler, pool, byteByByte(concat([header, digest])))
  assert.deepEqual(sink.pdus, [{ header: hex(header), data: '', dataDigestOk: true }])
})

test('stopping lets go of an incomplete PDU wherever it is', () => {
  const stream = fixture('data-out').wire(true, true)
  for (let at = 0; at < stream.length; at++) {
    const { pool, sink, assembler } = setUp({ header: true, data: true })
    feedSeparately(assembler, pool, [
      stream.subarray(0, Math.min(at, 54)),
      stream.subarray(Math.min(at, 54), at),
    ])
    assert.equal(assembler.idle, at === 0)
    assembler.stop()
    assert.equal(pool.inUse, 0)
    assert.ok(assembler.stopped && assembler.idle)
    feedSeparately(assembler, pool, [stream.subarray(at), stream])
    assert.deepEqual(sink.pdus, [])
    assert.equal(pool.inUse, 0)
    assembler.stop()
  }
})

test('a sink that stops the assembler gets nothing more, and its PDU stays good until it returns', () => {
  const stream = fixture('data-out').wire(false, false)
  for (const chunks of [
    [concat([stream, stream])],
    [stream.subarray(0, 50), concat([stream.subarray(50), stream])],
  ]) {
    const pool = new BufferPool({ poison: true })
    const seen: string[] = []
    const assembler: PduAssembler = new PduAssembler({
      onPdu(pdu) {
        assembler.stop()
        seen.push(hex(concat(pdu.data)))
      },
      onFault: noFault,
    })
    feedSeparately(assembler, pool, chunks)
    assert.deepEqual(seen, [hex(fixture('data-out').data)])
    assert.equal(pool.inUse, 0)
  }
})

test('a sink that throws leaves no buffer behind', () => {
  const stream = fixture('data-out').wire(false, false)
  const pool = new BufferPool({ poison: true })
  const assembler = new PduAssembler({
    onPdu() {
      throw new Error('broken sink')
    },
    onFault: noFault,
  })
  feedSeparately(assembler, pool, [stream.subarray(0, 50)])
  const rest = pool.take(4096)
  rest.bytes.set(stream.subarray(50))
  assert.throws(() => assembler.receive(rest, 0, stream.length - 50), /broken sink/)
  rest.release()
  assembler.stop()
  assert.equal(pool.inUse, 0)
})

test('feeding the assembler from its own sink is an assertion failure', () => {
  const pool = new BufferPool()
  const buffer = pool.take(4096)
  buffer.bytes.set(fixture('nop-in').header)
  const sink: PduSink = { onPdu: () => assembler.receive(buffer, 0, 48), onFault: noFault }
  const assembler: PduAssembler = new PduAssembler(sink)
  assert.throws(() => assembler.receive(buffer, 0, 48), AssertionError)
})

test('random bytes never throw, hold no more than their data segment, and leave nothing behind', () => {
  const chunk = fc.uint8Array({ maxLength: 400 })
  const options = fc.record({
    header: fc.boolean(),
    data: fc.boolean(),
    maxDataSegmentLength: fc.constantFrom(0, 100, 8192, 0xffffff),
    maxAhsLength: fc.constantFrom(0, 16, 1020),
  })
  fc.assert(
    fc.property(fc.array(chunk, { maxLength: 30 }), options, (chunks, option) => {
      const { pool, sink, assembler } = setUp(option)
      assembler.maxDataSegmentLength = option.maxDataSegmentLength
      assembler.maxAhsLength = option.maxAhsLength
      for (const [i, bytes] of chunks.entries()) {
        feedSeparately(assembler, pool, [bytes])
        assert.ok(pool.inUse <= i + 1)
        if (assembler.idle) assert.equal(pool.inUse, 0)
      }
      assert.ok(sink.faults.length <= 1)
      assert.equal(assembler.stopped, sink.faults.length === 1)
      assembler.stop()
      assert.equal(pool.inUse, 0)
    }),
    { numRuns: 300 },
  )
})
