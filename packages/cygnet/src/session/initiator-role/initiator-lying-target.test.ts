import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FakeOpcode, fakeCdb, pattern } from '../target-role/fake-target.test-helper.ts'
import { type Passing, type Pending, SessionPair } from '../session-pair.test-helper.ts'

/** Offsets of header fields. */
const FLAGS = 1
const STATUS = 3
const TAG = 16
const TRANSFER_TAG = 20
const STAT_SN = 24
const DATA_SN = 36
const OFFSET = 40
const LAST = 44

type Change = (view: DataView, bytes: Uint8Array) => void

const add =
  (field: number, by: number): Change =>
  (view) =>
    view.setUint32(field, (view.getUint32(field) + by) >>> 0)
const put =
  (field: number, value: number): Change =>
  (view) =>
    view.setUint32(field, value)
const flag =
  (bits: number): Change =>
  (view) =>
    view.setUint8(FLAGS, view.getUint8(FLAGS) | bits)

const requests = {
  read: (pair: SessionPair): Pending =>
    pair.execute({ cdb: fakeCdb(FakeOpcode.read, 0, 3000), dataIn: new Uint8Array(3000) }),
  write: (pair: SessionPair): Pending =>
    pair.execute({ cdb: fakeCdb(FakeOpcode.write, 9000), dataOut: [pattern(9000)] }),
  fail: (pair: SessionPair): Pending => pair.execute({ cdb: fakeCdb(FakeOpcode.fail) }),
} as const

interface Lie {
  readonly what: string
  readonly request: keyof typeof requests
  /** The PDU that is changed, and which of its kind. */
  readonly name: string
  readonly nth?: number
  readonly change: Change
  readonly code: string
}

const lies: readonly Lie[] = [
  {
    what: 'data at another offset',
    request: 'read',
    name: 'SCSI Data-In',
    nth: 2,
    change: add(OFFSET, 4),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'data before the start',
    request: 'read',
    name: 'SCSI Data-In',
    nth: 2,
    change: put(OFFSET, 0),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'data past the end',
    request: 'read',
    name: 'SCSI Data-In',
    change: put(OFFSET, 2900),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'data far past the end',
    request: 'read',
    name: 'SCSI Data-In',
    change: put(OFFSET, 0xffff_fff0),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a DataSN that is missing',
    request: 'read',
    name: 'SCSI Data-In',
    nth: 2,
    change: add(DATA_SN, 1),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a DataSN twice',
    request: 'read',
    name: 'SCSI Data-In',
    nth: 2,
    change: put(DATA_SN, 0),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'data for no task',
    request: 'read',
    name: 'SCSI Data-In',
    change: put(TAG, 0x7777),
    code: 'TASK_LOST',
  },
  {
    what: 'a residual that is more than the data',
    request: 'read',
    name: 'SCSI Data-In',
    nth: 6,
    change: (view) => (flag(0x02)(view, new Uint8Array(0)), view.setUint32(LAST, 4000)),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a residual, and all of the data',
    request: 'read',
    name: 'SCSI Data-In',
    nth: 6,
    change: (view) => (flag(0x02)(view, new Uint8Array(0)), view.setUint32(LAST, 10)),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a StatSN that is missing',
    request: 'read',
    name: 'SCSI Data-In',
    nth: 6,
    change: add(STAT_SN, 1),
    code: 'TASK_LOST',
  },
  {
    what: 'an R2T for nothing',
    request: 'write',
    name: 'Ready To Transfer',
    change: put(LAST, 0),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'an R2T for more than MaxBurstLength',
    request: 'write',
    name: 'Ready To Transfer',
    change: put(LAST, 5000),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'an R2T past the end',
    request: 'write',
    name: 'Ready To Transfer',
    change: put(OFFSET, 8999),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'an R2T without a tag',
    request: 'write',
    name: 'Ready To Transfer',
    change: put(TRANSFER_TAG, 0xffff_ffff),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'an R2TSN that is missing',
    request: 'write',
    name: 'Ready To Transfer',
    change: add(DATA_SN, 1),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'GOOD where an R2T was due',
    request: 'write',
    name: 'Ready To Transfer',
    change: (_view, bytes) => {
      bytes.set([0x21, 0x80, 0, 0])
      bytes.fill(0, TRANSFER_TAG, STAT_SN).fill(0, DATA_SN, 48)
    },
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'an R2T for no task',
    request: 'write',
    name: 'Ready To Transfer',
    change: put(TAG, 0x7777),
    code: 'TASK_LOST',
  },
  {
    what: 'a response for no task',
    request: 'write',
    name: 'SCSI Response',
    change: put(TAG, 0x7777),
    code: 'TASK_LOST',
  },
  {
    what: 'more Data-In than there was',
    request: 'write',
    name: 'SCSI Response',
    change: put(DATA_SN, 3),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a residual of a write that is more than the data',
    request: 'write',
    name: 'SCSI Response',
    change: (view) => (flag(0x02)(view, new Uint8Array(0)), view.setUint32(LAST, 9001)),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'sense data that is longer than its segment',
    request: 'fail',
    name: 'SCSI Response',
    change: (_view, bytes) => bytes.set([0xff, 0xff], 48),
    code: 'PROTOCOL_ERROR',
  },
  {
    what: 'a target failure',
    request: 'write',
    name: 'SCSI Response',
    change: (view) => view.setUint8(2, 1),
    code: 'TARGET_FAILURE',
  },
]

describe('a target that lies at level 0', () => {
  for (const { what, request, name, nth = 1, change, code } of lies)
    test(`${what}: ${code}`, () => {
      const pair = new SessionPair({
        policy: { reopenLimitMs: 10_000 },
        limits: { maxRecvDataSegmentLength: 512 },
        targetLimits: { firstBurstLength: 1024, maxBurstLength: 4096, time2Wait: 0 },
      }).open()
      let count = 0
      pair.fate = (pdu: Passing) => {
        if (pdu.fromTarget && pdu.name === name && ++count === nth) change(pdu.view, pdu.bytes)
        return 'pass'
      }
      const one = requests[request](pair)
      pair.run()
      assert.equal(one.result?.kind === 'failed' && one.result.code, code, JSON.stringify(one.result))
      // What ends the session with all of its tasks is told to each of them.
      if (code === 'TASK_LOST')
        assert.match(one.result?.kind === 'failed' ? one.result.message : '', /is not known\. .*target/)
      // The session goes on, if need be by being opened again.
      pair.advance(5000)
      pair.fate = () => 'pass'
      const other = requests.read(pair)
      pair.advance(5000)
      assert.equal(other.result?.kind, 'status')
      assert.deepEqual(other.request.dataIn, pattern(3000))
      pair.finish()
    })
})

describe('a target that lies at the other levels', () => {
  for (const errorRecoveryLevel of [1, 2] as const)
    for (const { what, request, name, nth = 1, change } of lies)
      test(`${what}, level ${errorRecoveryLevel}: an end, and never wrong data`, () => {
        const pair = new SessionPair({
          policy: { errorRecoveryLevel, reopenLimitMs: 10_000, taskTimeoutMs: 20_000 },
          limits: { maxRecvDataSegmentLength: 512 },
          targetLimits: { firstBurstLength: 1024, maxBurstLength: 4096, time2Wait: 0 },
        }).open()
        let count = 0
        pair.fate = (pdu: Passing) => {
          if (pdu.fromTarget && pdu.name === name && ++count === nth) change(pdu.view, pdu.bytes)
          return 'pass'
        }
        const one = requests[request](pair)
        pair.advance(60_000)
        assert.ok(one.result, 'the request hangs')
        if (one.result.kind === 'status' && one.result.status === 0 && request === 'read')
          assert.deepEqual(one.request.dataIn, pattern(3000))
        const other = requests.read(pair)
        pair.advance(10_000)
        assert.deepEqual(other.request.dataIn, pattern(3000))
        pair.finish()
      })
})

test('an answer that never comes: the task is aborted, and its result is a failure', () => {
  const pair = new SessionPair({ policy: { taskTimeoutMs: 1000 } }).open()
  pair.fate = ({ name }) => (name.startsWith('SCSI Command') ? 'drop' : 'pass')
  const one = requests.read(pair)
  pair.advance(20_000)
  assert.equal(one.result?.kind === 'failed' && one.result.code, 'TASK_TIMEOUT')
})

test('a target that opens no command window: the request times out', () => {
  const pair = new SessionPair({ policy: { taskTimeoutMs: 1000 }, targetLimits: { commandDepth: 1 } }).open()
  pair.target.hold = true
  const [first, second] = [requests.read(pair), requests.read(pair)]
  pair.advance(900)
  pair.session.abort(first.request)
  pair.advance(900)
  assert.equal(second.result?.kind === 'failed' && second.result.code, 'TASK_TIMEOUT')
  pair.target.finishHeld()
  pair.run()
  pair.finish()
})

test('§7.9 a status that is not GOOD comes with what data there was', () => {
  const pair = new SessionPair().open()
  pair.fate = ({ name, view }) => {
    if (name === 'SCSI Data-In') view.setUint8(STATUS, 0x08)
    return 'pass'
  }
  const one = requests.read(pair)
  pair.run()
  assert.equal(one.result?.kind === 'status' && one.result.status, 0x08)
  pair.finish()
})
