import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SenseKey } from '../../scsi/sense.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import type { Pair } from '../negotiator.ts'
import { TestPeer } from './peer.test-helper.ts'
import { type Answer, asR2T, asReject, asScsi, names, senseOf } from '../wire.test-helper.ts'

const UNSOLICITED: readonly Pair[] = [['InitialR2T', 'No']]

function loggedIn(
  more: readonly Pair[] = [],
  limits: ConstructorParameters<typeof TestPeer>[0] = {},
): TestPeer {
  const peer = new TestPeer(limits)
  peer.logIn(more)
  return peer
}

/** A write of `wanted` bytes of which the initiator offers `expected`. */
function write(
  peer: TestPeer,
  wanted: number,
  expected: number,
  data: Uint8Array = new Uint8Array(0),
  more: Parameters<TestPeer['command']>[1] = {},
): Answer[] {
  return peer.command(
    fakeCdb(FakeOpcode.write, wanted),
    { write: true, expectedDataTransferLength: expected, ...more },
    data,
  )
}

/** The answer to an R2T, in one PDU. */
function answerR2T(peer: TestPeer, answer: Answer | undefined): Answer[] {
  const r2t = asR2T(answer)
  return peer.dataOut(
    {
      initiatorTaskTag: r2t.initiatorTaskTag,
      targetTransferTag: r2t.targetTransferTag,
      bufferOffset: r2t.bufferOffset,
    },
    pattern(r2t.desiredDataTransferLength, r2t.bufferOffset),
  )
}

function assertFault(answer: Answer | undefined, additional: number): void {
  assert.equal(asScsi(answer).status, ScsiStatus.checkCondition)
  assert.deepEqual(senseOf(answer), { key: SenseKey.abortedCommand, additional })
}

/** The session goes on: the next command is carried out. */
function assertGoesOn(peer: TestPeer): void {
  const answers = peer.command(fakeCdb(FakeOpcode.none))
  assert.equal(asScsi(answers.at(-1)).status, ScsiStatus.good)
  peer.assertAtRest()
  peer.finish()
}

describe('§4.2.5.2 data on its way in', () => {
  test('immediate data alone', () => {
    const peer = loggedIn()
    const itt = peer.tag
    assert.equal(asScsi(write(peer, 5000, 5000, pattern(5000))[0]).status, ScsiStatus.good)
    assert.deepEqual(peer.target.written.get(itt), pattern(5000))
    assertGoesOn(peer)
  })

  test('immediate data, an unsolicited burst, then R2Ts of at most MaxBurstLength', () => {
    const peer = loggedIn([...UNSOLICITED, ['FirstBurstLength', '2048'], ['MaxBurstLength', '4096']])
    const itt = peer.tag
    assert.deepEqual(write(peer, 10000, 10000, pattern(512), { final: false }), [])
    assert.deepEqual(
      peer.dataOut({ initiatorTaskTag: itt, bufferOffset: 512, final: false }, pattern(1000, 512)),
      [],
    )
    const more = { initiatorTaskTag: itt, bufferOffset: 1512, dataSN: 1 }
    const first = peer.dataOut(more, pattern(536, 1512))
    const r2t = asR2T(first[0])
    assert.deepEqual([r2t.r2tSN, r2t.bufferOffset, r2t.desiredDataTransferLength], [0, 2048, 4096])
    const second = answerR2T(peer, first[0])
    assert.deepEqual(
      [asR2T(second[0]).r2tSN, asR2T(second[0]).bufferOffset, asR2T(second[0]).desiredDataTransferLength],
      [1, 6144, 3856],
    )
    assert.equal(asScsi(answerR2T(peer, second[0])[0]).status, ScsiStatus.good)
    assert.deepEqual(peer.target.written.get(itt), pattern(10000))
    assertGoesOn(peer)
  })

  test('§13.17 as many R2Ts at a time as were agreed on, answered in order', () => {
    const peer = loggedIn([
      ['MaxOutstandingR2T', '3'],
      ['MaxBurstLength', '512'],
      ['FirstBurstLength', '512'],
    ])
    const itt = peer.tag
    const r2ts = write(peer, 2560, 2560)
    assert.deepEqual(
      r2ts.map((answer) => asR2T(answer).bufferOffset),
      [0, 512, 1024],
    )
    assert.equal(new Set(r2ts.map((answer) => asR2T(answer).targetTransferTag)).size, 3)
    const queue = [...r2ts]
    let response: Answer | undefined
    while (queue.length > 0) {
      const answers = answerR2T(peer, queue.shift())
      for (const answer of answers) if (answer.name === 'SCSI Response') response = answer
      queue.push(...answers.filter((answer) => answer.name === 'Ready To Transfer'))
    }
    assert.equal(asScsi(response).status, ScsiStatus.good)
    assert.deepEqual(peer.target.written.get(itt), pattern(2560))
    assertGoesOn(peer)
  })

  test('§11.8.3 an R2T has the LUN of its command and the next StatSN', () => {
    const peer = loggedIn()
    const [answer] = write(peer, 512, 512)
    assert.equal(asR2T(answer).lun, 0n)
    assert.equal(asR2T(answer).statSN, peer.expStatSN)
    assert.equal(asScsi(answerR2T(peer, answer)[0]).statSN, asR2T(answer).statSN)
    peer.finish()
  })

  test('a device that wants less than the initiator offers gets that much; the rest is a residual', () => {
    const peer = loggedIn()
    const itt = peer.tag
    const response = asScsi(write(peer, 1000, 4000, pattern(4000))[0])
    assert.deepEqual([response.residualUnderflow, response.residualCount], [true, 3000])
    assert.deepEqual(peer.target.written.get(itt), pattern(1000))
    assertGoesOn(peer)
  })

  test('a device that wants more than the initiator offers gets what there is', () => {
    const peer = loggedIn()
    const itt = peer.tag
    const r2ts = write(peer, 9000, 3000)
    assert.equal(asR2T(r2ts[0]).desiredDataTransferLength, 3000)
    const response = asScsi(answerR2T(peer, r2ts[0])[0])
    assert.deepEqual([response.residualOverflow, response.residualCount], [true, 6000])
    assert.deepEqual(peer.target.written.get(itt), pattern(3000))
    assertGoesOn(peer)
  })

  test('§11.4.2 the response of a command that fails waits for the data that is on its way', () => {
    const peer = loggedIn(UNSOLICITED)
    const itt = peer.tag
    const more = { write: true, final: false, expectedDataTransferLength: 1024 }
    assert.deepEqual(peer.command(fakeCdb(FakeOpcode.fail), more), [])
    assert.deepEqual(peer.dataOut({ initiatorTaskTag: itt, final: false }, new Uint8Array(512)), [])
    const last = { initiatorTaskTag: itt, dataSN: 1, bufferOffset: 512 }
    const [answer] = peer.dataOut(last, new Uint8Array(512))
    assert.deepEqual(senseOf(answer), { key: SenseKey.illegalRequest, additional: 0x2400 })
    assertGoesOn(peer)
  })
})

describe('§11.4.7.2 faults end the command with their sense, and no other', () => {
  test('immediate data where there may be none', () => {
    const peer = loggedIn([['ImmediateData', 'No']])
    assertFault(write(peer, 512, 512, pattern(512))[0], 0x0c0c)
    assertGoesOn(peer)
  })

  test('an unsolicited burst where R2T comes first', () => {
    const peer = loggedIn()
    const itt = peer.tag
    assert.deepEqual(write(peer, 512, 512, undefined, { final: false }), [])
    assertFault(peer.dataOut({ initiatorTaskTag: itt }, pattern(512))[0], 0x0c0c)
    assertGoesOn(peer)
  })

  test('more unsolicited data than FirstBurstLength', () => {
    const peer = loggedIn([...UNSOLICITED, ['FirstBurstLength', '512']])
    const itt = peer.tag
    assert.deepEqual(write(peer, 2048, 2048, pattern(512), { final: false }), [])
    const late = { initiatorTaskTag: itt, bufferOffset: 512 }
    assertFault(peer.dataOut(late, pattern(4, 512))[0], 0x0c0c)
    assertGoesOn(peer)
  })

  test('more immediate data than the command transfers', () => {
    const peer = loggedIn()
    assertFault(write(peer, 512, 512, pattern(516))[0], 0x0c0c)
    assertGoesOn(peer)
  })

  test('an unsolicited burst that is neither FirstBurstLength nor all of the data', () => {
    const peer = loggedIn([...UNSOLICITED, ['FirstBurstLength', '1024']])
    const itt = peer.tag
    write(peer, 4096, 4096, undefined, { final: false })
    assertFault(peer.dataOut({ initiatorTaskTag: itt }, pattern(512))[0], 0x0c0d)
    assertGoesOn(peer)
  })

  for (const [what, offset, lengthBytes, dataSN, additional] of [
    ['an offset that leaves a gap', 4, 508, 0, 0x0c0d],
    ['less than the R2T asked for', 0, 508, 0, 0x0c0d],
    ['more than the R2T asked for', 0, 516, 0, 0x0c0d],
    ['nothing at all', 0, 0, 0, 0x0c0d],
    ['a wrong DataSN', 0, 512, 1, 0x4705],
  ] as const) {
    test(`an R2T answered with ${what}`, () => {
      const peer = loggedIn()
      const r2t = asR2T(write(peer, 512, 512)[0])
      const [answer] = peer.dataOut(
        {
          initiatorTaskTag: r2t.initiatorTaskTag,
          targetTransferTag: r2t.targetTransferTag,
          bufferOffset: offset,
          dataSN,
        },
        pattern(lengthBytes),
      )
      assertFault(answer, additional)
      assertGoesOn(peer)
    })
  }

  test('§7.8 a data digest error is rejected at once, and the response waits for the F bit of every R2T', () => {
    const peer = loggedIn([
      ['DataDigest', 'CRC32C'],
      ['MaxOutstandingR2T', '2'],
      ['MaxBurstLength', '512'],
      ['FirstBurstLength', '512'],
    ])
    const [first, second] = write(peer, 2048, 2048)
    const r2t = asR2T(first)
    const more = { initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t.targetTransferTag }
    const rejected = peer.dataOut(more, pattern(512), true)
    assert.deepEqual(names(rejected), ['Reject'])
    assert.equal(asReject(rejected[0]).reason, 0x02)
    assertFault(answerR2T(peer, second)[0], 0x4705)
    assertGoesOn(peer)
  })

  test('other commands go on while one of them is at fault', () => {
    const peer = loggedIn()
    const [good] = write(peer, 512, 512)
    const bad = asR2T(write(peer, 512, 512)[0])
    const goodTag = asR2T(good).initiatorTaskTag
    const tags = { initiatorTaskTag: bad.initiatorTaskTag, targetTransferTag: bad.targetTransferTag }
    assertFault(peer.dataOut(tags, pattern(4))[0], 0x0c0d)
    assert.equal(asScsi(answerR2T(peer, good)[0]).status, ScsiStatus.good)
    assert.deepEqual(peer.target.written.get(goodTag), pattern(512))
    assertGoesOn(peer)
  })
})

describe('§11.17.1 Data-Out that belongs to no transfer is rejected and changes nothing', () => {
  test('an initiator task tag that names no task', () => {
    const peer = loggedIn()
    const [answer] = peer.dataOut({ initiatorTaskTag: 0x5555 }, pattern(512))
    assert.equal(asReject(answer).reason, 0x09)
    assertGoesOn(peer)
  })

  for (const [what, wrong] of [
    ['a target transfer tag that names no R2T', { targetTransferTag: 0x7777 }],
    ['unsolicited data after the unsolicited burst', { targetTransferTag: 0xffff_ffff }],
    ['a LUN that is not that of the command', { lun: 1n << 48n }],
  ] as const) {
    test(what, () => {
      const peer = loggedIn()
      const [asked] = write(peer, 512, 512)
      const r2t = asR2T(asked)
      const more = { initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t.targetTransferTag }
      const [answer] = peer.dataOut({ ...more, ...wrong }, pattern(512))
      assert.equal(asReject(answer).reason, 0x09)
      assert.equal(asScsi(answerR2T(peer, asked)[0]).status, ScsiStatus.good)
      assertGoesOn(peer)
    })
  }

  test('an R2T answered before the one that was sent first', () => {
    const peer = loggedIn([
      ['MaxOutstandingR2T', '2'],
      ['MaxBurstLength', '512'],
      ['FirstBurstLength', '512'],
    ])
    const [first, second] = write(peer, 1024, 1024)
    assert.equal(asReject(answerR2T(peer, second)[0]).reason, 0x09)
    answerR2T(peer, first)
    assert.equal(asScsi(answerR2T(peer, second)[0]).status, ScsiStatus.good)
    assertGoesOn(peer)
  })

  test('data with a command that does not write', () => {
    const peer = loggedIn()
    const cdb = fakeCdb(FakeOpcode.read, 0, 512)
    const [answer] = peer.command(cdb, { read: true, expectedDataTransferLength: 512 }, pattern(4))
    assert.equal(asReject(answer).reason, 0x04)
    assert.equal(peer.target.submitted.length, 0)
    peer.finish()
  })
})

describe('memory', () => {
  test('commands beyond the buffer memory of the session wait in order until there is some', () => {
    const peer = loggedIn([], { limits: { sessionBufferBytes: 10_000 } })
    peer.target.hold = true
    const expected = { read: true, expectedDataTransferLength: 4000 }
    for (let i = 0; i < 4; i++) peer.command(fakeCdb(FakeOpcode.read, 0, 4000), expected)
    assert.equal(peer.target.submitted.length, 2)
    peer.target.finishHeld(1)
    assert.deepEqual(names(peer.poll()), ['SCSI Data-In'])
    assert.equal(peer.target.submitted.length, 3)
    peer.target.hold = false
    peer.target.finishHeld()
    assert.equal(peer.poll().length, 3)
    assert.deepEqual(
      peer.target.submitted.map((task) => task.tag),
      [1, 2, 3, 4],
    )
    assertGoesOn(peer)
  })

  test('one command larger than all of the memory is carried out alone', () => {
    const peer = loggedIn([], { limits: { sessionBufferBytes: 1000 } })
    const expected = { read: true, expectedDataTransferLength: 5000 }
    const answers = peer.command(fakeCdb(FakeOpcode.read, 0, 5000), expected)
    assert.equal(answers[0]?.data.length, 5000)
    assertGoesOn(peer)
  })

  test('data that comes in tiny pieces does not hold a receive segment for each', () => {
    const peer = loggedIn()
    const sizeBytes = 16_384
    const [asked] = write(peer, sizeBytes, sizeBytes)
    const r2t = asR2T(asked)
    const tags = { initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t.targetTransferTag }
    const answers: Answer[] = []
    for (let dataSN = 0, bufferOffset = 0; bufferOffset < sizeBytes; dataSN++) {
      const piece = pattern(Math.min(dataSN % 3 === 0 ? 200 : 12, sizeBytes - bufferOffset), bufferOffset)
      const final = bufferOffset + piece.length === sizeBytes
      answers.push(...peer.dataOut({ ...tags, dataSN, bufferOffset, final }, piece))
      assert.ok(peer.pool.inUse <= 3, `${peer.pool.inUse} segments hold ${bufferOffset} bytes`)
      bufferOffset += piece.length
    }
    assert.equal(asScsi(answers[0]).status, ScsiStatus.good)
    assert.deepEqual(peer.target.written.get(r2t.initiatorTaskTag), pattern(sizeBytes))
    assertGoesOn(peer)
  })

  test('data that was copied together is let go of when its command is aborted', () => {
    const peer = loggedIn()
    const r2t = asR2T(write(peer, 4096, 4096)[0])
    const tags = { initiatorTaskTag: r2t.initiatorTaskTag, targetTransferTag: r2t.targetTransferTag }
    for (let i = 0; i < 5; i++) {
      peer.dataOut({ ...tags, dataSN: i, bufferOffset: i * 4, final: false }, pattern(4, i * 4))
    }
    peer.finish()
  })
})
