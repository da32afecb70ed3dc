import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SenseKey } from '../../scsi/sense.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import { TestPeer } from './peer.test-helper.ts'
import { type Answer, asDataIn, asScsi, names, senseOf } from '../wire.test-helper.ts'

const read = (peer: TestPeer, wanted: number, expected: number): Answer[] =>
  peer.command(fakeCdb(FakeOpcode.read, 0, wanted), { read: true, expectedDataTransferLength: expected })

test('§11.7.3 GOOD status and the residual ride on the last Data-In', () => {
  const peer = new TestPeer()
  peer.logIn()
  const [answer, ...more] = read(peer, 1000, 1000)
  assert.deepEqual(more, [])
  const pdu = asDataIn(answer)
  assert.deepEqual(
    [pdu.final, pdu.hasStatus, pdu.status, pdu.dataSN, pdu.bufferOffset, pdu.residualCount],
    [true, true, ScsiStatus.good, 0, 0, 0],
  )
  assert.deepEqual([pdu.residualOverflow, pdu.residualUnderflow, pdu.acknowledge], [false, false, false])
  assert.deepEqual(answer?.data, pattern(1000))
  peer.assertAtRest()
  peer.finish()
})

test('§11.7.1 data is cut at the MaxRecvDataSegmentLength of the initiator, DataSN counting up', () => {
  const peer = new TestPeer()
  peer.logIn([['MaxRecvDataSegmentLength', '1024']])
  const answers = read(peer, 2500, 2500)
  assert.deepEqual(
    answers.map((answer) => {
      const { dataSN, bufferOffset, final, hasStatus } = asDataIn(answer)
      return [answer.data.length, dataSN, bufferOffset, final, hasStatus]
    }),
    [
      [1024, 0, 0, false, false],
      [1024, 1, 1024, false, false],
      [452, 2, 2048, true, true],
    ],
  )
  peer.finish()
})

test('§11.7.1 the F bit ends a sequence at MaxBurstLength', () => {
  const peer = new TestPeer()
  peer.logIn([
    ['MaxRecvDataSegmentLength', '768'],
    ['MaxBurstLength', '1024'],
    ['FirstBurstLength', '1024'],
  ])
  assert.deepEqual(
    read(peer, 2048, 2048).map((answer) => {
      const { bufferOffset, final, hasStatus } = asDataIn(answer)
      return [bufferOffset, answer.data.length, final, hasStatus]
    }),
    [
      [0, 768, false, false],
      [768, 256, true, false],
      [1024, 768, false, false],
      [1792, 256, true, true],
    ],
  )
  peer.finish()
})

describe('§11.4.5 residual counts of reads', () => {
  for (const [what, wanted, expected, overflow, underflow, count] of [
    ['less than expected', 100, 4096, false, true, 3996],
    ['more than expected', 4096, 100, true, false, 3996],
    ['as expected', 4096, 4096, false, false, 0],
  ] as const) {
    test(what, () => {
      const peer = new TestPeer()
      peer.logIn()
      const answers = read(peer, wanted, expected)
      const pdu = asDataIn(answers.at(-1))
      assert.deepEqual(
        [pdu.residualOverflow, pdu.residualUnderflow, pdu.residualCount],
        [overflow, underflow, count],
      )
      assert.deepEqual(answers[0]?.data, pattern(Math.min(wanted, expected)))
      peer.finish()
    })
  }

  test('no data at all for a read is an underflow in the SCSI Response', () => {
    const peer = new TestPeer()
    peer.logIn()
    const response = asScsi(read(peer, 0, 512)[0])
    assert.deepEqual([response.residualUnderflow, response.residualCount, response.expDataSN], [true, 512, 0])
    peer.finish()
  })

  test('a read where the initiator expects nothing is an overflow in the SCSI Response', () => {
    const peer = new TestPeer()
    peer.logIn()
    const answers = peer.command(fakeCdb(FakeOpcode.read, 0, 512))
    assert.deepEqual(names(answers), ['SCSI Response'])
    const response = asScsi(answers[0])
    assert.deepEqual([response.residualOverflow, response.residualCount], [true, 512])
    peer.finish()
  })
})

test('§11.4.7 CHECK CONDITION comes in a SCSI Response with its sense data and an underflow', () => {
  const peer = new TestPeer()
  peer.logIn()
  const [answer] = peer.command(fakeCdb(FakeOpcode.fail), { read: true, expectedDataTransferLength: 512 })
  const response = asScsi(answer)
  assert.deepEqual(
    [response.status, response.response, response.residualUnderflow, response.residualCount],
    [ScsiStatus.checkCondition, 0, true, 512],
  )
  assert.deepEqual(senseOf(answer), { key: SenseKey.illegalRequest, additional: 0x2400 })
  peer.finish()
})

test('data of a large read is sent from the memory it was read into, and that returns to the pool once sent', () => {
  const peer = new TestPeer()
  peer.logIn([['MaxRecvDataSegmentLength', '262144']])
  const answers = read(peer, 1_000_000, 1_000_000)
  assert.deepEqual(new Uint8Array(Buffer.concat(answers.map((answer) => answer.data))), pattern(1_000_000))
  peer.assertAtRest()
  peer.finish()
})

test('responses that were not sent when the connection ends give their memory back', () => {
  const peer = new TestPeer()
  peer.logIn()
  peer.feed(
    peer.commandBytes(fakeCdb(FakeOpcode.read, 0, 5000), { read: true, expectedDataTransferLength: 5000 }),
  )
  assert.equal(peer.pool.inUse, 1)
  peer.finish()
})

describe('§11.2.2.4 bidirectional commands', () => {
  const bothAhs = (readBytes: number): Uint8Array =>
    new Uint8Array([0, 5, 2, 0, readBytes >>> 24, readBytes >>> 16, readBytes >>> 8, readBytes])

  test('R2Ts and Data-In share one numbering, and the status comes in a SCSI Response with both residuals', () => {
    const peer = new TestPeer()
    peer.logIn([['MaxRecvDataSegmentLength', '512']])
    const itt = peer.tag
    const answers = peer.command(
      fakeCdb(FakeOpcode.both, 1000, 1024),
      { read: true, write: true, expectedDataTransferLength: 1500 },
      undefined,
      { ahs: bothAhs(2000) },
    )
    assert.deepEqual(names(answers), ['Ready To Transfer'])
    const r2t = answers[0]
    assert.equal(r2t?.view.getUint32(36), 0, 'R2TSN')
    const rest = peer.dataOut(
      { initiatorTaskTag: itt, targetTransferTag: r2t?.view.getUint32(20) ?? 0 },
      new Uint8Array(1000),
    )
    assert.deepEqual(names(rest), ['SCSI Data-In', 'SCSI Data-In', 'SCSI Response'])
    assert.deepEqual([asDataIn(rest[0]).dataSN, asDataIn(rest[1]).dataSN], [1, 2])
    const response = asScsi(rest[2])
    assert.deepEqual(
      [response.bidirectionalReadUnderflow, response.bidirectionalReadResidualCount],
      [true, 976],
    )
    assert.deepEqual([response.residualUnderflow, response.residualCount], [true, 500])
    assert.equal(response.expDataSN, 2, '§11.4.8 Data-In PDUs')
    peer.finish()
  })

  test('data that was read returns to the pool when the connection ends before the rest of the write has come', () => {
    const peer = new TestPeer()
    peer.logIn([['InitialR2T', 'No']])
    const more = { read: true, write: true, final: false, expectedDataTransferLength: 512 }
    const answers = peer.command(fakeCdb(FakeOpcode.both, 0, 100), more, undefined, { ahs: bothAhs(100) })
    assert.deepEqual(answers, [])
    assert.equal(peer.pool.inUse, 1)
    peer.finish()
  })

  test('§11.7.3 without anything to write the status still comes in a SCSI Response', () => {
    const peer = new TestPeer()
    peer.logIn()
    const more = { read: true, write: true }
    const answers = peer.command(fakeCdb(FakeOpcode.both, 0, 100), more, undefined, { ahs: bothAhs(100) })
    assert.deepEqual(names(answers), ['SCSI Data-In', 'SCSI Response'])
    assert.deepEqual(answers[0]?.data, pattern(100))
    peer.finish()
  })

  test('§11.2.2.1 an AHS that nobody knows or that is cut off is rejected', () => {
    const unknown = new Uint8Array([0, 1, 9, 0])
    const cutOff = new Uint8Array([0, 200, 1, 0])
    for (const ahs of [unknown, cutOff]) {
      const peer = new TestPeer()
      peer.logIn()
      assert.deepEqual(names(peer.command(fakeCdb(FakeOpcode.none), {}, undefined, { ahs })), ['Reject'])
      assert.equal(peer.target.submitted.length, 0)
      peer.finish()
    }
  })

  test('§11.2.2.3 an extended CDB reaches the logical unit whole', () => {
    const peer = new TestPeer()
    peer.logIn()
    const ahs = new Uint8Array([0, 5, 1, 0, 9, 8, 7, 6])
    const [answer] = peer.command(fakeCdb(FakeOpcode.none), {}, undefined, { ahs })
    assert.equal(asScsi(answer).status, ScsiStatus.good)
    assert.deepEqual([...(peer.target.submitted[0]?.cdb ?? [])].slice(16), [9, 8, 7, 6])
    peer.finish()
  })
})
