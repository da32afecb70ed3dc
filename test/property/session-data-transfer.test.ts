import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import {
  FakeOpcode,
  fakeCdb,
  pattern,
} from '../../packages/cygnet/src/session/target-role/fake-target.test-helper.ts'
import { TestPeer } from '../../packages/cygnet/src/session/target-role/peer.test-helper.ts'
import { type Answer, asDataIn, asR2T, asScsi } from '../../packages/cygnet/src/session/wire.test-helper.ts'

/* Any agreed lengths, any transfer: the right bytes, residuals, numbers and bounds. */

const lengthBytes = fc.oneof(fc.integer({ min: 512, max: 2000 }), fc.integer({ min: 512, max: 20_000 }))
const transferBytes = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 30_000 }))

const session = fc.record({
  maxBurstLength: lengthBytes,
  firstBurstLength: lengthBytes,
  initiatorSegmentBytes: lengthBytes,
  targetSegmentBytes: lengthBytes,
  maxOutstandingR2T: fc.integer({ min: 1, max: 5 }),
  initialR2T: fc.boolean(),
  immediateData: fc.boolean(),
  digests: fc.boolean(),
})

type Session = typeof session extends fc.Arbitrary<infer T> ? T : never

function loggedIn(values: Session): TestPeer {
  const peer = new TestPeer({ limits: { maxRecvDataSegmentLength: values.targetSegmentBytes } })
  const yes = (value: boolean): string => (value ? 'Yes' : 'No')
  peer.logIn([
    ['MaxBurstLength', String(values.maxBurstLength)],
    ['FirstBurstLength', String(Math.min(values.firstBurstLength, values.maxBurstLength))],
    ['MaxRecvDataSegmentLength', String(values.initiatorSegmentBytes)],
    ['MaxOutstandingR2T', String(values.maxOutstandingR2T)],
    ['InitialR2T', yes(values.initialR2T)],
    ['ImmediateData', yes(values.immediateData)],
    ['HeaderDigest', values.digests ? 'CRC32C' : 'None'],
    ['DataDigest', values.digests ? 'CRC32C' : 'None'],
  ])
  return peer
}

interface Residual {
  readonly residualOverflow: boolean
  readonly residualUnderflow: boolean
  readonly residualCount: number
}

function assertResidual(pdu: Residual, wanted: number, expected: number): void {
  assert.deepEqual(
    [pdu.residualOverflow, pdu.residualUnderflow, pdu.residualCount],
    [wanted > expected, wanted < expected, Math.abs(wanted - expected)],
  )
}

/** Data-Out PDUs for [offset, end), no longer than the target takes. */
function sendBurst(
  peer: TestPeer,
  values: Session,
  tags: { initiatorTaskTag: number; targetTransferTag: number },
  offset: number,
  end: number,
): Answer[] {
  const answers: Answer[] = []
  for (let at = offset, dataSN = 0; at < end; dataSN++) {
    const next = Math.min(end, at + values.targetSegmentBytes)
    const pdu = { ...tags, bufferOffset: at, dataSN, final: next === end }
    answers.push(...peer.dataOut(pdu, pattern(next - at, at)))
    at = next
  }
  return answers
}

test('a write reaches the device whole', () => {
  fc.assert(
    fc.property(
      session,
      transferBytes,
      transferBytes,
      fc.nat({ max: 20_000 }),
      fc.boolean(),
      (values, wanted, expected, immediateBytes, unsolicited) => {
        const peer = loggedIn(values)
        const firstBurst = Math.min(values.firstBurstLength, values.maxBurstLength, expected)
        const immediate = values.immediateData
          ? Math.min(immediateBytes, firstBurst, values.targetSegmentBytes)
          : 0
        const hasBurst = unsolicited && !values.initialR2T && immediate < firstBurst
        const initiatorTaskTag = peer.tag
        const queue = peer.command(
          fakeCdb(FakeOpcode.write, wanted),
          { write: true, expectedDataTransferLength: expected, final: !hasBurst },
          pattern(immediate),
        )
        if (hasBurst) {
          const tags = { initiatorTaskTag, targetTransferTag: 0xffff_ffff }
          queue.push(...sendBurst(peer, values, tags, immediate, firstBurst))
        }
        let nextOffset = hasBurst ? firstBurst : immediate
        let r2tSN = 0
        let response: Answer | undefined
        while (queue.length > 0) {
          assert.ok(queue.length <= values.maxOutstandingR2T, '§13.17 outstanding R2Ts')
          const answer = queue.shift()
          if (answer?.name === 'SCSI Response') {
            response = answer
            continue
          }
          const r2t = asR2T(answer)
          assert.deepEqual([r2t.r2tSN, r2t.bufferOffset], [r2tSN++, nextOffset])
          const end = r2t.bufferOffset + r2t.desiredDataTransferLength
          assert.ok(
            r2t.desiredDataTransferLength > 0 && r2t.desiredDataTransferLength <= values.maxBurstLength,
          )
          assert.ok(end <= Math.min(wanted, expected), 'an R2T for bytes that nobody wants')
          nextOffset = end
          const tags = { initiatorTaskTag, targetTransferTag: r2t.targetTransferTag }
          queue.push(...sendBurst(peer, values, tags, r2t.bufferOffset, end))
        }
        const pdu = asScsi(response)
        assert.deepEqual([pdu.status, pdu.expDataSN], [0, 0])
        assertResidual(pdu, wanted, expected)
        const took = Math.min(wanted, expected)
        assert.deepEqual(peer.target.written.get(initiatorTaskTag) ?? new Uint8Array(), pattern(took))
        peer.assertAtRest()
        peer.finish()
      },
    ),
    { numRuns: 500 },
  )
})

test('a read reaches the initiator whole', () => {
  fc.assert(
    fc.property(session, transferBytes, transferBytes, (values, wanted, expected) => {
      const peer = loggedIn(values)
      const answers = peer.command(fakeCdb(FakeOpcode.read, 0, wanted), {
        read: true,
        expectedDataTransferLength: expected,
      })
      const totalBytes = Math.min(wanted, expected)
      let at = 0
      let inSequence = 0
      for (const [i, answer] of answers.entries()) {
        const isLast = i === answers.length - 1
        if (answer.name === 'SCSI Response') {
          assert.ok(isLast && totalBytes === 0, 'status rides on the last Data-In')
          assertResidual(asScsi(answer), wanted, expected)
          continue
        }
        const pdu = asDataIn(answer)
        assert.deepEqual([pdu.dataSN, pdu.bufferOffset], [i, at])
        assert.ok(pdu.dataSegmentLength <= values.initiatorSegmentBytes)
        assert.deepEqual(answer.data, pattern(pdu.dataSegmentLength, at))
        at += pdu.dataSegmentLength
        inSequence += pdu.dataSegmentLength
        assert.ok(inSequence <= values.maxBurstLength, '§11.7.1 a sequence longer than MaxBurstLength')
        if (pdu.final) inSequence = 0
        assert.equal(pdu.hasStatus, isLast)
        if (isLast) assertResidual(pdu, wanted, expected)
      }
      assert.equal(at, totalBytes)
      peer.assertAtRest()
      peer.finish()
    }),
    { numRuns: 500 },
  )
})
