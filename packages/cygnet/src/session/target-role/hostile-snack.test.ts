/** RFC 7143 §11.16: SNACKs for what was never sent, what was acknowledged, and what makes no sense. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { serialAdd } from '../../base/serial32.ts'
import { RejectReason, SnackType } from '../../pdu/codes.ts'
import { encodeSnackRequest, type SnackRequest } from '../../pdu/snack.ts'
import { FakeOpcode, fakeCdb, pattern } from './fake-target.test-helper.ts'
import type { Pair } from '../negotiator.ts'
import { PeerSession } from './peer-session.test-helper.ts'
import type { TestPeer } from './peer.test-helper.ts'
import { type Answer, asDataIn, asR2T, asReject, asScsi, names } from '../wire.test-helper.ts'

const NONE = 0xffff_ffff
/** Its Data-In has four PDUs. */
const READ_TAG = 0x100
/** It waits for the data of its first R2T of two. */
const WRITE_TAG = 0x200
const keys: readonly Pair[] = [
  ['MaxRecvDataSegmentLength', '512'],
  ['MaxBurstLength', '1024'],
  ['FirstBurstLength', '512'],
]

interface Scene {
  readonly session: PeerSession
  /** The connection of both commands. */
  readonly peer: TestPeer
  /** Acknowledges nothing of them. */
  readonly unacknowledged: number
  /** Target transfer tag of the last Data-In that wants an acknowledgement. */
  readonly ackTag: number
  readonly r2tTag: number
}

/** A read whose status is not acknowledged, and a write that waits for data, both on the first of two connections. */
function inTheMiddle(level: 0 | 1 | 2): Scene {
  const session = new PeerSession({ level, keys })
  const peer = session.at(1)
  const unacknowledged = peer.expStatSN ?? 0
  const write = { write: true, expectedDataTransferLength: 2048, initiatorTaskTag: WRITE_TAG }
  const [asked] = peer.command(fakeCdb(FakeOpcode.write, 2048), write)
  const r2t = asR2T(asked)
  assert.deepEqual([r2t.r2tSN, r2t.desiredDataTransferLength], [0, 1024])
  const read = { read: true, expectedDataTransferLength: 2048, initiatorTaskTag: READ_TAG }
  const dataIn = peer
    .command(fakeCdb(FakeOpcode.read, 0, 2048), read)
    .filter(({ name }) => name === 'SCSI Data-In')
    .map((answer) => asDataIn(answer))
  assert.deepEqual(
    dataIn.map(({ dataSN }) => dataSN),
    [0, 1, 2, 3],
  )
  const asking = dataIn.filter(({ acknowledge }) => acknowledge)
  assert.equal(asking.length > 0, level > 0, '§11.7.2 the A bit')
  const ackTag = asking.at(-1)?.targetTransferTag ?? NONE
  return { session, peer, unacknowledged, ackTag, r2tTag: r2t.targetTransferTag }
}

/** Feeds a SNACK that acknowledges nothing unless it says so. */
const snack = ({ peer, unacknowledged }: Scene, more: Partial<SnackRequest>): Answer[] =>
  peer.exchange(
    peer.wire((view, at) =>
      encodeSnackRequest(view, at, {
        type: SnackType.dataOrR2T,
        lun: 0n,
        initiatorTaskTag: NONE,
        targetTransferTag: NONE,
        expStatSN: unacknowledged,
        begRun: 0,
        runLength: 0,
        ...more,
      }),
    ),
  )

function reasonOf(answers: readonly Answer[]): number {
  assert.deepEqual(names(answers), ['Reject'])
  return asReject(answers[0]).reason
}

/** Commands on both connections, and the write that waits, are carried out; nothing is left. */
function assertGoesOn({ session, peer, r2tTag }: Scene): void {
  let tag = r2tTag
  for (const bufferOffset of [0, 1024]) {
    const data = { initiatorTaskTag: WRITE_TAG, targetTransferTag: tag, bufferOffset }
    const [answer] = peer.dataOut(data, pattern(1024, bufferOffset))
    if (bufferOffset === 0) tag = asR2T(answer).targetTransferTag
    else assert.equal(asScsi(answer).status, 0)
  }
  assert.deepEqual(session.target.written.get(WRITE_TAG), pattern(2048))
  for (const cid of [1, 2]) {
    const answers = session.at(cid).command(fakeCdb(FakeOpcode.none))
    assert.equal(asScsi(answers.at(-1)).status, 0, `connection ${cid}`)
  }
  session.finish()
}

describe('§7.1.5 at ErrorRecoveryLevel 0 there is no SNACK', () => {
  for (const [name, type] of Object.entries(SnackType)) {
    test(`${name} is rejected, and the session goes on`, () => {
      const scene = inTheMiddle(0)
      for (const initiatorTaskTag of [READ_TAG, WRITE_TAG, 0x300, NONE]) {
        assert.equal(
          reasonOf(snack(scene, { type, initiatorTaskTag, runLength: 1 })),
          RejectReason.snackReject,
        )
      }
      assertGoesOn(scene)
    })
  }
})

/** What is wrong with a SNACK at the higher levels, and the reasons that its Reject may have. */
const { dataOrR2T, status, dataAck, rData } = SnackType
const { protocolError, invalidDataAck, invalidPduField, snackReject } = RejectReason

const senseless: readonly (readonly [
  what: string,
  edit: (scene: Scene) => Partial<SnackRequest>,
  reasons: readonly number[],
])[] = [
  ['data of a task that is not there', () => ({ initiatorTaskTag: 0x300, runLength: 1 }), [protocolError]],
  ['data of no task', () => ({ initiatorTaskTag: NONE, runLength: 1 }), [protocolError, invalidPduField]],
  [
    'a Data-In past the last',
    () => ({ initiatorTaskTag: READ_TAG, begRun: 4, runLength: 1 }),
    [protocolError],
  ],
  [
    'more Data-In than there was',
    () => ({ initiatorTaskTag: READ_TAG, begRun: 3, runLength: 2 }),
    [protocolError],
  ],
  [
    'all Data-In there can be',
    () => ({ initiatorTaskTag: READ_TAG, begRun: 1, runLength: 0xffff_ffff }),
    [protocolError],
  ],
  [
    'Data-In from the end of the numbers',
    () => ({ initiatorTaskTag: READ_TAG, begRun: 0xffff_ffff, runLength: 2 }),
    [protocolError],
  ],
  [
    'an R2T that was not sent',
    () => ({ initiatorTaskTag: WRITE_TAG, begRun: 1, runLength: 1 }),
    [protocolError],
  ],
  [
    'more R2Ts than there were',
    () => ({ initiatorTaskTag: WRITE_TAG, begRun: 0, runLength: 2 }),
    [protocolError],
  ],
  [
    'the status after the last',
    ({ peer }) => ({ type: status, begRun: peer.expStatSN ?? 0, runLength: 1 }),
    [protocolError],
  ],
  [
    'more statuses than there were',
    ({ unacknowledged }) => ({ type: status, begRun: unacknowledged, runLength: 0xffff }),
    [protocolError],
  ],
  [
    'a status of the far future',
    ({ unacknowledged }) => ({ type: status, begRun: serialAdd(unacknowledged, 0x7000_0000), runLength: 1 }),
    [protocolError],
  ],
  [
    'a status that was acknowledged',
    ({ unacknowledged }) => ({ type: status, begRun: serialAdd(unacknowledged, -1), runLength: 1 }),
    [protocolError],
  ],
  [
    'a status that this SNACK acknowledges',
    ({ peer, unacknowledged }) => ({
      type: status,
      begRun: unacknowledged,
      runLength: 1,
      expStatSN: peer.expStatSN ?? 0,
    }),
    [protocolError],
  ],
  [
    'an acknowledgement with a tag that no Data-In had',
    () => ({ type: dataAck, targetTransferTag: 0x7777, begRun: 4 }),
    [invalidDataAck, protocolError],
  ],
  [
    'an acknowledgement with the tag of an R2T',
    ({ r2tTag }) => ({ type: dataAck, targetTransferTag: r2tTag, begRun: 1 }),
    [invalidDataAck, protocolError],
  ],
  [
    'an acknowledgement of data that was not sent',
    ({ ackTag }) => ({ type: dataAck, targetTransferTag: ackTag, begRun: 5 }),
    [invalidDataAck, protocolError],
  ],
  [
    'all data again, of a task that is not there',
    () => ({ type: rData, initiatorTaskTag: 0x300, targetTransferTag: 1 }),
    [protocolError],
  ],
  [
    'all data again, of a write',
    () => ({ type: rData, initiatorTaskTag: WRITE_TAG, targetTransferTag: 1 }),
    [protocolError, snackReject],
  ],
  [
    'all data again, with the reserved tag',
    () => ({ type: rData, initiatorTaskTag: READ_TAG, targetTransferTag: NONE }),
    [protocolError, invalidPduField],
  ],
  [
    'all data again, with the tag 0',
    () => ({ type: rData, initiatorTaskTag: READ_TAG, targetTransferTag: 0 }),
    [protocolError, invalidPduField],
  ],
  [
    'all data again, with a run',
    () => ({ type: rData, initiatorTaskTag: READ_TAG, targetTransferTag: 1, begRun: 1, runLength: 1 }),
    [protocolError, invalidPduField],
  ],
  [
    'something of type 4',
    () => ({ type: 4, initiatorTaskTag: READ_TAG, runLength: 1 }),
    [protocolError, invalidPduField],
  ],
  ['something of type 15', () => ({ type: 15, runLength: 1 }), [protocolError, invalidPduField]],
]

for (const level of [1, 2] as const) {
  describe(`§11.16 at ErrorRecoveryLevel ${level}, a SNACK is rejected that asks for`, () => {
    for (const [what, edit, reasons] of senseless) {
      test(what, () => {
        const scene = inTheMiddle(level)
        const reason = reasonOf(snack(scene, edit(scene)))
        assert.ok(reasons.includes(reason), `rejected with 0x0${reason.toString(16)}`)
        assertGoesOn(scene)
      })
    }

    test('data that was acknowledged', () => {
      const scene = inTheMiddle(level)
      const acknowledged = { type: dataAck, targetTransferTag: scene.ackTag, begRun: 2 }
      assert.deepEqual(snack(scene, acknowledged), [])
      const again = { type: dataOrR2T, initiatorTaskTag: READ_TAG, begRun: 1, runLength: 1 }
      assert.equal(reasonOf(snack(scene, again)), protocolError)
      assertGoesOn(scene)
    })

    test('§4.2.5.1 data, R2Ts and status of another connection', () => {
      const scene = inTheMiddle(level)
      const other = {
        ...scene,
        peer: scene.session.at(2),
        unacknowledged: scene.session.at(2).expStatSN ?? 0,
      }
      for (const initiatorTaskTag of [READ_TAG, WRITE_TAG]) {
        assert.equal(reasonOf(snack(other, { initiatorTaskTag, runLength: 1 })), protocolError)
      }
      const acknowledged = { type: dataAck, targetTransferTag: scene.ackTag, begRun: 2 }
      assert.ok([invalidDataAck, protocolError].includes(reasonOf(snack(other, acknowledged)) as 4 | 8))
      assertGoesOn(scene)
    })

    test('the same again and again: what is answered is as much as what was asked', () => {
      const scene = inTheMiddle(level)
      for (let round = 0; round < 100; round++) {
        assert.equal(
          reasonOf(snack(scene, { initiatorTaskTag: READ_TAG, begRun: 9, runLength: 1 })),
          protocolError,
        )
      }
      assertGoesOn(scene)
    })
  })
}
