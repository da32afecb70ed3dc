/** RFC 7143 §7.1.4.1, §7.1.4.2, §11.16: recovery within commands and within a connection, at the target. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { RejectReason, SnackType } from '../../pdu/codes.ts'
import { encodeSnackRequest, type SnackRequest } from '../../pdu/snack.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import type { Pair } from '../negotiator.ts'
import { type PeerOptions, TestPeer } from './peer.test-helper.ts'
import { type Answer, asDataIn, asR2T, asReject, asScsi, names, senseOf } from '../wire.test-helper.ts'

const SMALL: readonly Pair[] = [
  ['MaxRecvDataSegmentLength', '512'],
  ['MaxBurstLength', '1024'],
  ['FirstBurstLength', '1024'],
]

function recoverable(more: readonly Pair[] = [], options: PeerOptions = {}): TestPeer {
  const peer = new TestPeer({ ...options, limits: { nopIntervalMs: 1e7, ...options.limits } })
  peer.logIn([['ErrorRecoveryLevel', '1'], ...more])
  return peer
}

function snack(peer: TestPeer, more: Partial<SnackRequest>): Answer[] {
  const request: SnackRequest = {
    type: SnackType.dataOrR2T,
    lun: 0n,
    initiatorTaskTag: RESERVED_TAG,
    targetTransferTag: RESERVED_TAG,
    expStatSN: peer.expStatSN ?? 0,
    begRun: 0,
    runLength: 0,
    ...more,
  }
  return peer.exchange(peer.wire((view, at) => encodeSnackRequest(view, at, request)))
}

/** A read whose status the initiator does not acknowledge; what came, and the ExpStatSN from before it. */
function read(peer: TestPeer, bytes: number, tag = 5): { answers: Answer[]; expStatSN: number } {
  const expStatSN = peer.expStatSN ?? 0
  const more = { read: true, expectedDataTransferLength: bytes, initiatorTaskTag: tag }
  return { answers: peer.command(fakeCdb(FakeOpcode.read, 0, bytes), more), expStatSN }
}

const write = (peer: TestPeer, bytes: number, tag = 5): Answer[] =>
  peer.command(fakeCdb(FakeOpcode.write, bytes), {
    write: true,
    expectedDataTransferLength: bytes,
    initiatorTaskTag: tag,
  })

/** Data-Out in answer to an R2T: `spoilt` and `left out` are indices of PDUs of 512 bytes. */
function answerR2T(
  peer: TestPeer,
  answer: Answer | undefined,
  faults: { readonly spoilt?: number; readonly leftOut?: number } = {},
): Answer[] {
  const r2t = asR2T(answer)
  const answers: Answer[] = []
  const count = Math.ceil(r2t.desiredDataTransferLength / 512)
  for (let i = 0; i < count; i++) {
    if (i === faults.leftOut) continue
    const offset = r2t.bufferOffset + i * 512
    const lengthBytes = Math.min(512, r2t.desiredDataTransferLength - i * 512)
    const more = {
      initiatorTaskTag: r2t.initiatorTaskTag,
      targetTransferTag: r2t.targetTransferTag,
      bufferOffset: offset,
      dataSN: i,
      final: i === count - 1,
    }
    answers.push(...peer.dataOut(more, pattern(lengthBytes, offset), i === faults.spoilt))
  }
  return answers
}

describe('§7.8, §7.9 Data-Out that is lost is asked for again', () => {
  test('after a data digest error: a Reject, then a recovery R2T for the rest of the burst', () => {
    const peer = recoverable([
      ['DataDigest', 'CRC32C'],
      ['MaxBurstLength', '4096'],
      ['FirstBurstLength', '512'],
    ])
    const [r2t] = write(peer, 2048)
    const answers = answerR2T(peer, r2t, { spoilt: 1 })
    assert.deepEqual(names(answers), ['Reject', 'Ready To Transfer'])
    assert.equal(asReject(answers[0]).reason, RejectReason.dataDigestError)
    const recovery = asR2T(answers[1])
    assert.deepEqual(
      [recovery.r2tSN, recovery.bufferOffset, recovery.desiredDataTransferLength],
      [1, 512, 1536],
    )
    assert.notEqual(recovery.targetTransferTag, asR2T(r2t).targetTransferTag)
    assert.equal(asScsi(answerR2T(peer, answers[1])[0]).status, 0)
    assert.deepEqual(peer.target.written.get(5), pattern(2048))
    assert.equal(peer.connection.counters.recoveryR2T, 1)
    peer.finish()
  })

  test('after a gap in DataSN', () => {
    const peer = recoverable()
    const [r2t] = write(peer, 1536)
    const answers = answerR2T(peer, r2t, { leftOut: 0 })
    assert.deepEqual(names(answers), ['Ready To Transfer'])
    assert.equal(asR2T(answers[0]).bufferOffset, 0)
    assert.equal(asScsi(answerR2T(peer, answers[0])[0]).status, 0)
    assert.deepEqual(peer.target.written.get(5), pattern(1536))
    assert.equal(peer.connection.counters.sequenceError, 1)
    peer.finish()
  })

  test('after silence in the middle of a burst, and what comes late is not looked at', () => {
    const peer = recoverable([], { limits: { sequenceTimeoutMs: 1000 } })
    const [r2t] = write(peer, 1536)
    const { targetTransferTag } = asR2T(r2t)
    const part = { initiatorTaskTag: 5, targetTransferTag, final: false }
    assert.deepEqual(peer.dataOut(part, pattern(512)), [])
    assert.deepEqual(peer.advance(1000), [])
    const [again] = peer.advance(1000)
    assert.deepEqual([asR2T(again).bufferOffset, asR2T(again).desiredDataTransferLength], [512, 1024])
    const late = { ...part, dataSN: 1, bufferOffset: 512, final: true }
    assert.deepEqual(peer.dataOut(late, pattern(1024, 512)), [])
    assert.equal(asScsi(answerR2T(peer, again)[0]).status, 0)
    assert.deepEqual(peer.target.written.get(5), pattern(1536))
    assert.equal(peer.connection.counters.sequenceTimeout, 1)
    peer.finish()
  })

  test('in an unsolicited burst as well', () => {
    const peer = recoverable([
      ['InitialR2T', 'No'],
      ['FirstBurstLength', '1024'],
    ])
    const more = { write: true, expectedDataTransferLength: 1024, final: false, initiatorTaskTag: 5 }
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.write, 1024), more), [])
    const last = { initiatorTaskTag: 5, dataSN: 1, bufferOffset: 512 }
    const [r2t] = peer.dataOut(last, pattern(512, 512))
    assert.deepEqual([asR2T(r2t).bufferOffset, asR2T(r2t).desiredDataTransferLength], [0, 1024])
    assert.equal(asScsi(answerR2T(peer, r2t)[0]).status, 0)
    peer.finish()
  })

  test('not for ever: the command ends with CHECK CONDITION', () => {
    const peer = recoverable()
    let [answer] = write(peer, 1024)
    for (let i = 0; answer?.name === 'Ready To Transfer'; i++) {
      assert.ok(i < 20)
      answer = answerR2T(peer, answer, { leftOut: 0 }).at(-1)
    }
    assert.equal(asScsi(answer).status, 2)
    assert.equal(senseOf(answer).additional, 0x4705)
    assert.equal(peer.connection.counters.fallbackWithinCommand, 1)
    peer.finish()
  })

  test('§11.16 and an R2T that was lost is sent again', () => {
    const peer = recoverable()
    const [r2t] = write(peer, 1024)
    const [again] = snack(peer, { initiatorTaskTag: 5, begRun: 0, runLength: 1 })
    assert.deepEqual(asR2T(again), asR2T(r2t))
    assert.equal(asScsi(answerR2T(peer, again)[0]).status, 0)
    assert.equal(peer.connection.counters.r2tSnack, 1)
    peer.finish()
  })
})

describe('§11.16 Data-In', () => {
  test('is sent again as it was, the status on its last PDU included', () => {
    const peer = recoverable(SMALL)
    const { answers, expStatSN } = read(peer, 2048)
    assert.equal(answers.length, 4)
    const again = snack(peer, { initiatorTaskTag: 5, begRun: 1, runLength: 3, expStatSN })
    assert.deepEqual(
      again.map(({ view, data }) => [asDataInNumbers(view), data]),
      answers.slice(1).map(({ view, data }) => [asDataInNumbers(view), data]),
    )
    assert.equal(peer.connection.counters.dataSnack, 1)
    peer.nopOut({ initiatorTaskTag: RESERVED_TAG })
    peer.assertAtRest()
    const [rejected] = snack(peer, { initiatorTaskTag: 5, begRun: 1, runLength: 1 })
    assert.equal(asReject(rejected).reason, RejectReason.protocolError)
    peer.finish()
  })

  const asDataInNumbers = (view: DataView): unknown[] => {
    const pdu = asDataIn({ opcode: 0x25, name: 'SCSI Data-In', view, data: new Uint8Array(0) })
    return [pdu.final, pdu.hasStatus, pdu.dataSN, pdu.bufferOffset, pdu.hasStatus && pdu.statSN]
  }

  test('§11.7.2 wants a DataACK at the end of each burst, and is not sent again after it', () => {
    const peer = recoverable(SMALL)
    const { answers, expStatSN } = read(peer, 2560)
    assert.deepEqual(
      answers.map((answer) => asDataIn(answer).acknowledge),
      [false, true, false, true, false],
    )
    const { targetTransferTag, lun } = asDataIn(answers[1])
    assert.notEqual(targetTransferTag, RESERVED_TAG)
    const ack = { type: SnackType.dataAck, targetTransferTag, lun, begRun: 2, expStatSN }
    assert.deepEqual(snack(peer, ack), [])
    const [rejected] = snack(peer, { initiatorTaskTag: 5, begRun: 1, runLength: 1, expStatSN })
    assert.equal(asReject(rejected).reason, RejectReason.protocolError)
    const all = snack(peer, { initiatorTaskTag: 5, expStatSN })
    assert.deepEqual(
      all.map((answer) => asDataIn(answer).dataSN),
      [2, 3, 4],
    )
    for (const bad of [{ begRun: 9 }, { targetTransferTag: 0x999 }, { lun: 9n }, { runLength: 1 }]) {
      assert.equal(asReject(snack(peer, { ...ack, ...bad })[0]).reason, RejectReason.invalidDataAck)
    }
    assert.equal(peer.connection.counters.dataAck, 1)
    peer.finish()
  })

  test('§11.7.2 a DataACK may acknowledge the status as well', () => {
    const peer = recoverable(SMALL)
    const { answers } = read(peer, 2048)
    const { targetTransferTag, lun } = asDataIn(answers[1])
    assert.deepEqual(snack(peer, { type: SnackType.dataAck, targetTransferTag, lun, begRun: 2 }), [])
    peer.assertAtRest()
    peer.finish()
  })

  test('§11.16.3 is cut anew for an R-Data SNACK, and a response of its own has the SNACK tag', () => {
    const peer = recoverable(SMALL)
    const { answers, expStatSN } = read(peer, 2048)
    const { statSN } = asDataIn(answers.at(-1))
    const text = { expStatSN, cmdSN: peer.cmdSN }
    peer.text([['MaxRecvDataSegmentLength', '1024']], text)
    const again = snack(peer, {
      type: SnackType.rData,
      initiatorTaskTag: 5,
      targetTransferTag: 77,
      expStatSN,
    })
    assert.deepEqual(names(again), ['SCSI Data-In', 'SCSI Data-In', 'SCSI Response'])
    assert.deepEqual(
      again.slice(0, 2).map((answer) => [asDataIn(answer).dataSN, answer.data.length]),
      [
        [0, 1024],
        [1, 1024],
      ],
    )
    const response = asScsi(again[2])
    assert.deepEqual([response.snackTag, response.statSN, response.status], [77, statSN, 0])
    assert.equal(peer.connection.counters.rDataSnack, 1)
    peer.finish()
  })

  test('is kept in bounds: the oldest is dropped, and a SNACK for it rejected', () => {
    const peer = recoverable([], { limits: { retainedDataBytes: 10_000 } })
    const { expStatSN } = read(peer, 8000, 5)
    const more = { read: true, expectedDataTransferLength: 8000, initiatorTaskTag: 6, expStatSN }
    peer.command(fakeCdb(FakeOpcode.read, 0, 8000), more)
    assert.equal(peer.pool.inUse, 1)
    const [rejected] = snack(peer, { initiatorTaskTag: 5, begRun: 0, runLength: 1, expStatSN })
    assert.equal(asReject(rejected).reason, RejectReason.snackReject)
    const [again] = snack(peer, { initiatorTaskTag: 6, begRun: 0, runLength: 1, expStatSN })
    assert.deepEqual(again?.data, pattern(8000))
    peer.finish()
  })

  test('makes room for commands: a peer that acknowledges nothing is served', () => {
    const peer = recoverable([], { limits: { sessionBufferBytes: 20_000, retainedDataBytes: 1e6 } })
    const expStatSN = peer.expStatSN ?? 0
    for (let tag = 10; tag < 30; tag++) {
      const more = { read: true, expectedDataTransferLength: 8000, initiatorTaskTag: tag, expStatSN }
      assert.equal(peer.command(fakeCdb(FakeOpcode.read, 0, 8000), more).length, 1)
    }
    assert.ok(peer.pool.inUse <= 2, `${peer.pool.inUse} buffers`)
    peer.finish()
  })
})

describe('§11.16 responses', () => {
  test('are sent again until they are acknowledged', () => {
    const peer = recoverable()
    const expStatSN = peer.expStatSN ?? 0
    peer.command(fakeCdb(FakeOpcode.none), { expStatSN })
    peer.nopOut({ expStatSN }, new Uint8Array([1, 2, 3]))
    peer.command(fakeCdb(FakeOpcode.fail), { expStatSN })
    const all = snack(peer, { type: SnackType.status, expStatSN })
    assert.deepEqual(names(all), ['SCSI Response', 'NOP-In', 'SCSI Response'])
    const [nop] = snack(peer, { type: SnackType.status, begRun: expStatSN + 1, runLength: 1, expStatSN })
    assert.deepEqual(nop?.data, new Uint8Array([1, 2, 3]))
    assert.deepEqual(snack(peer, { type: SnackType.status }), [])
    assert.equal(peer.connection.counters.statusSnack, 2)
    peer.finish()
  })

  test('are kept in bounds, in number and in bytes', () => {
    const peer = recoverable([], { limits: { retainedResponses: 3, retainedBytes: 100 } })
    const expStatSN = peer.expStatSN ?? 0
    for (let i = 0; i < 5; i++) peer.nopOut({ expStatSN })
    const lost = snack(peer, { type: SnackType.status, begRun: expStatSN + 1, runLength: 1, expStatSN })
    assert.equal(asReject(lost[0]).reason, RejectReason.snackReject)
    for (let i = 0; i < 3; i++) peer.nopOut({ expStatSN }, new Uint8Array(60))
    const kept = snack(peer, { type: SnackType.status, expStatSN })
    assert.equal(kept.length, 1)
    peer.finish()
  })
})

describe('§4.2.2.1, §7.2.1 commands', () => {
  test('that were discarded are accepted when they are sent again, and duplicates ignored', () => {
    const peer = recoverable([['DataDigest', 'CRC32C']])
    const more = { write: true, expectedDataTransferLength: 512, initiatorTaskTag: 5, cmdSN: 1 }
    const cdb = fakeCdb(FakeOpcode.write, 512)
    assert.equal(asReject(peer.command(cdb, more, pattern(512), { spoilData: true })[0]).reason, 0x02)
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 2 }), [])
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 2 }), [])
    assert.equal(peer.command(cdb, more, pattern(512)).length, 2)
    const { commandRetry, commandDuplicate, digestErrorData } = peer.connection.counters
    assert.deepEqual([commandRetry, commandDuplicate, digestErrorData], [1, 1, 1])
    peer.finish()
  })
})
