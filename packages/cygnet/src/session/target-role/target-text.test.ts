import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encodeText } from '../../pdu/text.ts'
import { FakeOpcode, fakeCdb, TARGET_NAME } from './fake-target.test-helper.ts'
import type { Pair } from '../negotiator.ts'
import { TestPeer } from './peer.test-helper.ts'
import { asDataIn, asReject, asText, names, pairsOf } from '../wire.test-helper.ts'

const NONE = 0xffff_ffff

function loggedIn(more: readonly Pair[] = []): TestPeer {
  const peer = new TestPeer()
  peer.logIn(more)
  return peer
}

const segmentLength = (bytes: number): Pair[] => [['MaxRecvDataSegmentLength', String(bytes)]]

/** How the target cuts a read of 4096 bytes. */
const readLengths = (peer: TestPeer): number[] =>
  peer
    .command(fakeCdb(FakeOpcode.read, 0, 4096), { read: true, expectedDataTransferLength: 4096 })
    .map((answer) => asDataIn(answer).dataSegmentLength)

describe('§6.4 negotiation in the full feature phase', () => {
  test('a new MaxRecvDataSegmentLength is used from the answer on', () => {
    const peer = loggedIn()
    assert.deepEqual(readLengths(peer), [4096])
    const [answer] = peer.text(segmentLength(2048))
    const response = asText(answer)
    assert.deepEqual([response.final, response.continue, response.targetTransferTag], [true, false, NONE])
    assert.deepEqual(readLengths(peer), [2048, 2048])
    peer.finish()
  })

  test('a value takes effect when the negotiation ends, not before', () => {
    const peer = loggedIn()
    const first = asText(peer.text(segmentLength(2048), { final: false })[0])
    assert.deepEqual([first.final, first.targetTransferTag === NONE], [false, false])
    assert.deepEqual(readLengths(peer), [4096])
    const last = asText(peer.text([], { targetTransferTag: first.targetTransferTag })[0])
    assert.ok(last.final)
    assert.deepEqual(readLengths(peer), [2048, 2048])
    peer.finish()
  })

  test('a value stays when a later negotiation is about something else', () => {
    const peer = loggedIn()
    peer.text(segmentLength(2048))
    peer.text([['InitiatorAlias', 'host']])
    assert.deepEqual(readLengths(peer), [2048, 2048])
    peer.finish()
  })

  test('§11.10.4 the reserved tag begins anew: what was said before does not count', () => {
    const peer = loggedIn()
    peer.text(segmentLength(2048), { final: false })
    assert.ok(asText(peer.text([['InitiatorAlias', 'host']])[0]).final)
    assert.deepEqual(readLengths(peer), [4096])
    peer.finish()
  })

  test('§7.12 a failed negotiation is rejected and changes nothing; the next one may use the same keys', () => {
    const peer = loggedIn()
    const first = asText(peer.text(segmentLength(2048), { final: false })[0])
    const more = { targetTransferTag: first.targetTransferTag }
    assert.equal(asReject(peer.text(segmentLength(1024), more)[0]).reason, 4)
    assert.deepEqual(readLengths(peer), [4096])
    assert.ok(asText(peer.text(segmentLength(1024))[0]).final)
    assert.deepEqual(readLengths(peer), [1024, 1024, 1024, 1024])
    peer.finish()
  })

  for (const [what, pairs] of [
    ['a key for login only', [['HeaderDigest', 'None']]],
    ['a key of the leading login', [['MaxBurstLength', '512']]],
    ['a value out of bounds', [['MaxRecvDataSegmentLength', '511']]],
    ['the same key twice', [...segmentLength(512), ...segmentLength(512)]],
  ] as const) {
    test(`${what} is rejected as a protocol error`, () => {
      const peer = loggedIn()
      const [answer] = peer.text(pairs as readonly Pair[])
      assert.equal(asReject(answer).reason, 4)
      assert.equal(peer.state, 'full-feature')
      peer.finish()
    })
  }

  test('a key that nobody knows is answered with NotUnderstood', () => {
    const peer = loggedIn()
    const [answer] = peer.text([['X-com.example.a', '1']])
    assert.deepEqual([...pairsOf(answer?.data ?? new Uint8Array())], [['X-com.example.a', 'NotUnderstood']])
    peer.finish()
  })

  test('§11.10.2 the F and C bits together are rejected', () => {
    const peer = loggedIn()
    assert.equal(asReject(peer.text([], { continue: true })[0]).reason, 4)
    peer.finish()
  })

  test('§11.11.4 a stale transfer tag is rejected', () => {
    const peer = loggedIn()
    assert.equal(asReject(peer.text([], { targetTransferTag: 5 })[0]).reason, 9)
    const first = asText(peer.text([], { final: false })[0])
    peer.text([], { targetTransferTag: first.targetTransferTag })
    assert.equal(asReject(peer.text([], { targetTransferTag: first.targetTransferTag })[0]).reason, 9)
    peer.finish()
  })

  test('§11.10.3 another task tag within a sequence is rejected', () => {
    const peer = loggedIn()
    const first = asText(peer.text([], { final: false })[0])
    const more = { targetTransferTag: first.targetTransferTag, initiatorTaskTag: 0x7001 }
    assert.equal(asReject(peer.text([], more)[0]).reason, 9)
    peer.finish()
  })

  test('§6.1 the C bit at every split', () => {
    const text = encodeText(segmentLength(2048))
    for (let split = 1; split < text.length; split++) {
      const peer = loggedIn()
      const part = peer.text(text.subarray(0, split), { final: false, continue: true })
      const first = asText(part[0])
      assert.deepEqual([first.final, first.continue, first.dataSegmentLength], [false, false, 0])
      const rest = { targetTransferTag: first.targetTransferTag }
      assert.ok(asText(peer.text(text.subarray(split), rest)[0]).final)
      assert.deepEqual(readLengths(peer), [2048, 2048])
      peer.finish()
    }
  })

  test('a request that is not immediate has its turn, and a rejected one does not count as received (§7.3)', () => {
    const peer = loggedIn()
    assert.deepEqual(peer.text([], { immediate: false, cmdSN: 2 }), [])
    const answers = peer.command(fakeCdb(FakeOpcode.none), { cmdSN: 1 })
    assert.deepEqual(names(answers), ['SCSI Response', 'Text Response'])
    const [rejected] = peer.text([['HeaderDigest', 'None']], { immediate: false, cmdSN: 3 })
    assert.equal(asReject(rejected).expCmdSN, 3)
    assert.equal(asText(peer.text([], { immediate: false, cmdSN: 3 })[0]).expCmdSN, 4)
    peer.finish()
  })

  test('text without end is rejected', () => {
    const peer = loggedIn()
    let tag = NONE
    let answer = peer.text([], { final: false })[0]
    for (let i = 0; i < 100 && answer?.name === 'Text Response'; i++) {
      tag = asText(answer).targetTransferTag
      ;[answer] = peer.text([[`X-${i}`, 'v'.repeat(4000)]], { final: false, targetTransferTag: tag })
    }
    assert.match(peer.lastReason, /longer than 65536 bytes/)
    peer.finish()
  })
})

describe('Appendix C SendTargets', () => {
  const manyTargets = Array.from({ length: 50 }, (_, i): Pair[] => [
    ['TargetName', `${TARGET_NAME}${i}`],
    ['TargetAddress', '127.0.0.1:3260,1'],
  ]).flat()

  test('the records come in one response where they fit', () => {
    const peer = loggedIn()
    const [answer] = peer.text([['SendTargets', 'All']])
    assert.ok(asText(answer).final)
    assert.deepEqual([...pairsOf(answer?.data ?? new Uint8Array())], peer.target.targets)
    peer.finish()
  })

  test('a long list comes in parts that the initiator takes with empty requests', () => {
    const peer = loggedIn(segmentLength(512))
    peer.target.targets = manyTargets
    let text = ''
    let [answer] = peer.text([['SendTargets', 'All']])
    let count = 1
    for (; !asText(answer).final; count++) {
      assert.ok(asText(answer).continue)
      assert.equal(answer?.data.length, 512)
      text += Buffer.from(answer.data).toString()
      ;[answer] = peer.text([], { targetTransferTag: asText(answer).targetTransferTag })
    }
    text += Buffer.from(answer?.data ?? []).toString()
    assert.equal(text, Buffer.from(encodeText(manyTargets)).toString())
    assert.equal(count, Math.ceil(text.length / 512))
    peer.finish()
  })

  test('text before the whole list was taken is rejected', () => {
    const peer = loggedIn(segmentLength(512))
    peer.target.targets = manyTargets
    const first = asText(peer.text([['SendTargets', 'All']])[0])
    const more = { targetTransferTag: first.targetTransferTag }
    assert.equal(asReject(peer.text([['InitiatorAlias', 'a']], more)[0]).reason, 4)
    peer.finish()
  })

  test('a value that is not allowed in the session is answered with Reject', () => {
    const peer = loggedIn()
    const [answer] = peer.text([['SendTargets', 'iqn.2026-11.test:other']])
    assert.deepEqual([...pairsOf(answer?.data ?? new Uint8Array())], [['SendTargets', 'Reject']])
    peer.finish()
  })
})
