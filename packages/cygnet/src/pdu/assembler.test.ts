import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { hex, viewOf } from '../base/bytes.ts'
import type { PooledBuffer } from '../base/pool.ts'
import { BufferPool } from '../base/pool.ts'
import {
  byteByByte,
  concat,
  cut,
  type Digests,
  feedFilling,
  feedSeparately,
  noFault,
  RecordingSink,
  setUp,
} from './assembler.test-helper.ts'
import { PduAssembler } from './assembler.ts'
import { opcodeOf } from './bhs.ts'
import { dataDigestOf, putDigest } from './digest.ts'
import { fixture, fixtures } from './fixtures.test-helper.ts'
import { Opcode } from './opcodes.ts'
import type { ReceivedPdu } from './received-pdu.ts'
import { NO_BUFFERS, NO_DATA } from './received-pdu.ts'

const combinations: readonly Digests[] = [
  { header: false, data: false },
  { header: true, data: false },
  { header: false, data: true },
  { header: true, data: true },
]
const shown = ({ header, data }: Digests): string =>
  `${header ? 'with' : 'without'} header digest, ${data ? 'with' : 'without'} data digest`

const feeders = { feedSeparately, feedFilling }

for (const { name, header, data, isLogin, wire } of fixtures) {
  for (const digests of combinations) {
    if (isLogin && (digests.header || digests.data)) continue
    const stream = wire(digests.header, digests.data)
    const expected = [{ header: hex(header), data: hex(data), dataDigestOk: true }]
    for (const [how, feed] of Object.entries(feeders)) {
      test(`${name} ${shown(digests)}, ${how}: whole, byte by byte and at every split`, () => {
        const ways = [[stream], byteByByte(stream)]
        for (let at = 0; at <= stream.length; at++) ways.push(cut(stream, [at]))
        for (const chunks of ways) {
          const { pool, sink, assembler } = setUp(digests)
          feed(assembler, pool, chunks)
          assert.deepEqual(sink.pdus, expected)
          assert.deepEqual(sink.faults, [])
          assert.ok(assembler.idle)
          assert.equal(pool.inUse, 0)
        }
      })
    }
  }
}

/** All fixtures in one stream, as a connection that turns both digests on after its login. */
const login = fixtures.filter(({ isLogin }) => isLogin)
const afterLogin = fixtures.filter(({ isLogin }) => !isLogin)
const session = concat([...login, ...afterLogin].map(({ wire }) => wire(true, true)))
const sessionPdus = [...login, ...afterLogin].map(({ header, data }) => ({
  header: hex(header),
  data: hex(data),
  dataDigestOk: true,
}))

class LoginSink extends RecordingSink {
  assembler: PduAssembler | undefined

  override onPdu(pdu: ReceivedPdu): void {
    super.onPdu(pdu)
    if (opcodeOf(pdu.view, pdu.at) !== Opcode.loginResponse || this.assembler === undefined) return
    this.assembler.headerDigest = true
    this.assembler.dataDigest = true
  }
}

test('a session that turns digests on from within the callback is the same in whatever pieces it comes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(session.length), { maxLength: 200 }),
      fc.constantFrom(feedSeparately, feedFilling),
      (ends, feed) => {
        const pool = new BufferPool({ poison: true })
        const sink = new LoginSink()
        sink.assembler = new PduAssembler(sink)
        feed(sink.assembler, pool, cut(session, ends))
        assert.deepEqual(sink.pdus, sessionPdus)
        assert.deepEqual(sink.faults, [])
        assert.equal(pool.inUse, 0)
      },
    ),
  )
})

test('a setting that changes while a PDU comes in counts from the next one on', () => {
  const plain = fixture('nop-out').wire(false, false)
  const digested = fixture('nop-out').wire(true, true)
  for (let at = 1; at < plain.length; at++) {
    const { pool, sink, assembler } = setUp()
    feedSeparately(assembler, pool, [plain.subarray(0, at)])
    assembler.headerDigest = true
    assembler.dataDigest = true
    assembler.maxDataSegmentLength = 5
    feedSeparately(assembler, pool, [plain.subarray(at), digested])
    assert.equal(sink.pdus.length, 2)
    assert.deepEqual(sink.faults, [])
  }
})

test('a header and data that lie whole in the segment are handed over where they are', () => {
  const pool = new BufferPool()
  const stream = fixture('scsi-command-write').wire(true, true)
  const buffer = pool.take(4096)
  buffer.bytes.set(stream, 100)
  let seen = 0
  const assembler = new PduAssembler({
    onPdu(pdu) {
      seen++
      assert.equal(pdu.view, buffer.view)
      assert.equal(pdu.at, 100)
      assert.equal(pdu.data.length, 1)
      assert.equal(pdu.data[0]?.byteOffset, 100 + 48 + 4)
      assert.deepEqual(pdu.buffers, [buffer])
      assert.equal(buffer.references, 1, 'nothing needs to be retained for a PDU that is complete')
    },
    onFault: noFault,
  })
  assembler.headerDigest = true
  assembler.dataDigest = true
  assembler.receive(buffer, 100, 100 + stream.length)
  assert.equal(seen, 1)
  buffer.release()
})

test('data that comes in pieces in one segment is one slice, retained once', () => {
  const pool = new BufferPool()
  const stream = fixture('data-out').wire(false, false)
  const slices: number[] = []
  const assembler = new PduAssembler({
    onPdu: (pdu) => slices.push(pdu.data.length, pdu.buffers.length, pdu.buffers[0]?.references ?? 0),
    onFault: noFault,
  })
  feedFilling(assembler, pool, byteByByte(stream))
  assert.deepEqual(slices, [1, 1, 2])
  assert.equal(pool.inUse, 0)
})

test('pieces that lie apart in one segment are slices of their own', () => {
  const pool = new BufferPool({ poison: true })
  const { data, wire } = fixture('data-out')
  const stream = wire(false, false)
  const { sink, assembler } = setUp()
  const buffer = pool.take(4096)
  buffer.bytes.set(stream.subarray(0, 50), 0)
  buffer.bytes.set(stream.subarray(50), 1000)
  assembler.receive(buffer, 0, 50)
  assembler.receive(buffer, 1000, 1000 + stream.length - 50)
  buffer.release()
  assert.equal(sink.pdus[0]?.data, hex(data))
  assert.equal(pool.inUse, 0)
})

test('a PDU without data has the shared empty lists', () => {
  const pool = new BufferPool()
  let seen = 0
  const assembler = new PduAssembler({
    onPdu(pdu) {
      seen++
      assert.equal(pdu.data, NO_DATA)
      assert.equal(pdu.buffers, NO_BUFFERS)
    },
    onFault: noFault,
  })
  feedSeparately(assembler, pool, [fixture('r2t').header])
  assert.equal(seen, 1)
})

test('slices whose buffers the sink retained live on when the segments are used again', () => {
  const pool = new BufferPool({ poison: true })
  const kept: { data: readonly Uint8Array[]; buffers: readonly PooledBuffer[] }[] = []
  const assembler = new PduAssembler({
    onPdu({ data, buffers }) {
      for (const buffer of buffers) buffer.retain()
      kept.push({ data, buffers })
    },
    onFault: noFault,
  })
  const withData = afterLogin.filter(({ data }) => data.length > 0)
  const stream = concat(withData.map(({ wire }) => wire(false, false)))
  feedSeparately(assembler, pool, cut(stream, [3, 50, 51, 99, 200, 201, 300]))
  // More of the same in whatever memory the pool has.
  const { sink } = setUp()
  feedSeparately(new PduAssembler(sink), pool, byteByByte(stream))
  assert.deepEqual(
    kept.map(({ data }) => hex(concat(data))),
    withData.map(({ data }) => hex(data)),
  )
  for (const { buffers } of kept) for (const buffer of buffers) buffer.release()
  assert.equal(pool.inUse, 0)
})

test('padding that is not zero is taken, and the data digest covers it as it is', () => {
  const { header, data } = fixture('nop-out')
  const body = concat([data, Uint8Array.of(1, 2, 3)])
  const digest = new Uint8Array(4)
  putDigest(viewOf(digest), 0, dataDigestOf([body]))
  const { pool, sink, assembler } = setUp({ header: false, data: true })
  feedSeparately(assembler, pool, byteByByte(concat([header, body, digest])))
  assert.deepEqual(sink.pdus, [{ header: hex(header), data: hex(data), dataDigestOk: true }])
})

test('a wrong data digest is reported with its PDU, and the stream goes on', () => {
  const damaged = fixture('nop-out').wire(true, true)
  damaged[53] = (damaged[53] ?? 0) ^ 0x10
  const { pool, sink, assembler } = setUp({ header: true, data: true })
  feedSeparately(assembler, pool, byteByByte(concat([damaged, fixture('nop-in').wire(true, true)])))
  assert.deepEqual(
    sink.pdus.map(({ dataDigestOk }) => dataDigestOk),
    [false, true],
  )
})

test('with both digests, no single wrong bit passes for a good PDU', () => {
  const good = fixture('scsi-command-write').wire(true, true)
  for (let bit = 0; bit < good.length * 8; bit++) {
    const damaged = good.slice()
    damaged[bit >>> 3] = (damaged[bit >>> 3] ?? 0) ^ (1 << (bit & 7))
    const { pool, sink, assembler } = setUp({ header: true, data: true })
    feedSeparately(assembler, pool, [damaged])
    assert.ok(
      sink.pdus.every(({ dataDigestOk }) => !dataDigestOk),
      `bit ${bit}`,
    )
    assembler.stop()
    assert.equal(pool.inUse, 0)
  }
})

test('random headers of every opcode are assembled in whatever pieces they come', () => {
  const pdu = fc.record({
    header: fc.uint8Array({ minLength: 48, maxLength: 48 }),
    ahsWords: fc.nat(4),
    data: fc.uint8Array({ maxLength: 200 }),
  })
  fc.assert(
    fc.property(fc.array(pdu, { maxLength: 6 }), fc.array(fc.nat(2000), { maxLength: 20 }), (pdus, ends) => {
      const parts: Uint8Array[] = []
      const expected: { header: string; data: string; dataDigestOk: boolean }[] = []
      for (const { header, ahsWords, data } of pdus) {
        viewOf(header).setUint32(4, (ahsWords << 24) | data.length)
        const whole = concat([header, new Uint8Array(ahsWords * 4).fill(0x5a)])
        parts.push(whole, data, new Uint8Array(-data.length & 3))
        expected.push({ header: hex(whole), data: hex(data), dataDigestOk: true })
      }
      const { pool, sink, assembler } = setUp()
      feedSeparately(assembler, pool, cut(concat(parts), ends))
      assert.deepEqual(sink.pdus, expected)
      assert.ok(assembler.idle)
      assert.equal(pool.inUse, 0)
    }),
  )
})
