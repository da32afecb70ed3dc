import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SnackType } from '../../pdu/codes.ts'
import { ScsiStatus } from '../../scsi/status.ts'
import { FakeOpcode, fakeCdb, pattern } from '../target-role/fake-target.test-helper.ts'
import type { Pending } from '../session-pair.test-helper.ts'
import { SessionPair } from '../session-pair.test-helper.ts'

const read = (pair: SessionPair, lengthBytes: number, more = {}): Pending =>
  pair.execute({
    cdb: fakeCdb(FakeOpcode.read, 0, lengthBytes),
    dataIn: new Uint8Array(lengthBytes),
    ...more,
  })

const write = (pair: SessionPair, data: Uint8Array, more = {}): Pending =>
  pair.execute({ cdb: fakeCdb(FakeOpcode.write, data.length), dataOut: [data], ...more })

const assertRead = ({ request, result }: Pending): void => {
  assert.equal(result?.kind, 'status', JSON.stringify(result))
  assert.equal(result.status, ScsiStatus.good)
  assert.equal(result.dataInBytes, request.dataIn?.length)
  assert.deepEqual(request.dataIn, pattern(result.dataInBytes))
}

const codeOf = ({ result }: Pending): string | undefined =>
  result?.kind === 'failed' ? result.code : undefined

/** What the unit got, whatever it was called on the way. */
const written = (pair: SessionPair): Uint8Array[] => [...pair.target.written.values()]

const assertGood = ({ result }: Pending): void => {
  assert.equal(result?.kind === 'status' && result.status, ScsiStatus.good, JSON.stringify(result))
}

describe('SCSI commands', () => {
  for (const lengthBytes of [1, 512, 8192, 300_000, 3_000_001]) {
    test(`a read of ${lengthBytes} bytes`, () => {
      const pair = new SessionPair().open()
      const one = read(pair, lengthBytes)
      pair.run()
      assertRead(one)
      pair.finish()
    })

    for (const [way, targetLimits] of [
      ['immediate and unsolicited', {}],
      ['small segments', { maxRecvDataSegmentLength: 512, firstBurstLength: 2048, maxBurstLength: 4096 }],
    ] as const)
      test(`a write of ${lengthBytes} bytes, ${way}`, () => {
        const pair = new SessionPair({ targetLimits }).open()
        const one = write(pair, pattern(lengthBytes, 5))
        pair.run()
        assertGood(one)
        assert.deepEqual(written(pair), [pattern(lengthBytes, 5)])
        pair.finish()
      })
  }

  test('data in slices, a bidirectional command, one with a CDB of 40 bytes', () => {
    const pair = new SessionPair({ targetLimits: { firstBurstLength: 1024, maxBurstLength: 8192 } }).open()
    const data = pattern(10_000, 3)
    const cdb = new Uint8Array(40)
    cdb.set(fakeCdb(FakeOpcode.both, 10_000, 5000))
    const one = pair.execute({
      cdb,
      dataOut: [data.subarray(0, 10), data.subarray(10, 5000), data.subarray(5000)],
      dataIn: new Uint8Array(6000),
    })
    pair.run()
    assert.equal(one.result?.kind, 'status')
    assert.deepEqual(written(pair), [data])
    assert.deepEqual(pair.target.submitted[0]?.cdb, cdb)
    assert.deepEqual(
      [one.result.dataInBytes, one.result.dataInResidualBytes, one.result.dataOutResidualBytes],
      [5000, 1000, 0],
    )
    assert.deepEqual(one.request.dataIn?.subarray(0, 5000), pattern(5000))
    pair.finish()
  })

  test('residuals and sense data', () => {
    const pair = new SessionPair().open()
    const short = pair.execute({ cdb: fakeCdb(FakeOpcode.read, 0, 100), dataIn: new Uint8Array(300) })
    const long = pair.execute({ cdb: fakeCdb(FakeOpcode.read, 0, 500), dataIn: new Uint8Array(300) })
    const bad = pair.execute({ cdb: fakeCdb(FakeOpcode.fail) })
    pair.run()
    assert.ok(
      short.result?.kind === 'status' && long.result?.kind === 'status' && bad.result?.kind === 'status',
    )
    assert.deepEqual([short.result.dataInBytes, short.result.dataInResidualBytes], [100, 200])
    assert.deepEqual([long.result.dataInBytes, long.result.dataInResidualBytes], [300, -200])
    assert.equal(bad.result.status, ScsiStatus.checkCondition)
    assert.equal(bad.result.sense[0], 0x70)
    pair.finish()
  })

  test('more requests than the command window takes wait for it, and keep their order', () => {
    const pair = new SessionPair({ targetLimits: { commandDepth: 4 } }).open()
    const all = Array.from({ length: 50 }, () => read(pair, 600))
    pair.run()
    for (const one of all) assertRead(one)
    pair.finish()
  })

  test('a request after the end is refused, and not within execute', () => {
    const pair = new SessionPair().open()
    pair.finish()
    const one = read(pair, 10)
    pair.run()
    assert.equal(codeOf(one), 'SESSION_CLOSED')
  })
})

describe('connections', () => {
  for (const spread of ['least-bytes', 'round-robin'] as const)
    test(`four of them share the commands (${spread})`, () => {
      const pair = new SessionPair({ policy: { connections: 4, spread } }).open()
      assert.equal(pair.session.connections.length, 4)
      const perConnection = new Map<number, number>()
      pair.fate = ({ cid, name }) => {
        if (name === 'SCSI Command') perConnection.set(cid, (perConnection.get(cid) ?? 0) + 1)
        return 'pass'
      }
      const all = Array.from({ length: 40 }, (_, i) =>
        i % 2 ? read(pair, 600) : write(pair, pattern(9000, i)),
      )
      pair.run()
      for (const one of all) assertGood(one)
      for (const count of perConnection.values()) assert.ok(count >= 8 && count <= 12, `${count} of 40`)
      pair.finish()
    })

  test('are added and removed while I/O runs', () => {
    const pair = new SessionPair({ policy: { connections: 2, maxConnections: 3 } }).open()
    pair.target.hold = true
    const all = Array.from({ length: 8 }, () => read(pair, 600))
    pair.run()
    assert.ok(pair.session.addConnection())
    assert.ok(!pair.session.addConnection())
    pair.session.removeConnection(1)
    pair.run()
    assert.deepEqual(
      pair.session.connections.map(({ cid }) => cid),
      [1, 2, 3],
    )
    pair.target.hold = false
    pair.target.finishHeld()
    pair.run()
    for (const one of all) assertRead(one)
    assert.deepEqual(
      pair.session.connections.map(({ cid }) => cid),
      [2, 3],
    )
    assert.ok(pair.kinds.includes('connection-removed'))
    assertNone(pair)
    pair.finish()
  })
})

const assertNone = (pair: SessionPair): void => assert.equal(pair.session.counters.connectionLost, 0)

const CRC = { header: ['None'], data: ['CRC32C'] } as const

describe('ErrorRecoveryLevel 1', () => {
  const open = (more = {}): SessionPair =>
    new SessionPair({
      policy: { errorRecoveryLevel: 1 },
      limits: { maxRecvDataSegmentLength: 1024 },
      digests: CRC,
      ...more,
    }).open()

  /** Does `fate` to the nth PDU of a name. */
  const once = (pair: SessionPair, name: string, nth: number, fate: 'drop' | 'spoil'): void => {
    let count = 0
    pair.fate = (pdu) => (pdu.name === name && ++count === nth ? fate : 'pass')
  }

  for (const [nth, what] of [
    [1, 'the first'],
    [5, 'one in the middle'],
    [10, 'the last but one'],
  ] as const)
    for (const fate of ['spoil', 'drop'] as const)
      test(`${what} Data-In: ${fate}`, () => {
        const pair = open()
        once(pair, 'SCSI Data-In', nth, fate)
        const one = read(pair, 10_500)
        pair.run()
        assertRead(one)
        assert.equal(pair.session.counters.dataSnack, 1)
        assert.equal(pair.log.filter((name) => name === '> SNACK Request').length, 1)
        assertNone(pair)
        pair.finish()
      })

  test('the last Data-In, with the status, is spoiled', () => {
    const pair = open()
    once(pair, 'SCSI Data-In', 11, 'spoil')
    const one = read(pair, 10_500)
    pair.run()
    assertRead(one)
    assertNone(pair)
    pair.finish()
  })

  test('the last Data-In, with the status, is lost: a later response or the silence shows it', () => {
    const pair = open()
    once(pair, 'SCSI Data-In', 11, 'drop')
    const one = read(pair, 10_500)
    pair.run()
    assert.equal(one.result, undefined)
    const other = read(pair, 10)
    pair.run()
    assertRead(one)
    assertRead(other)
    assert.equal(pair.session.counters.statusSnack, 1)
    assertNone(pair)
    pair.finish()
  })

  test('a lost R2T', () => {
    const pair = open({ targetLimits: { maxBurstLength: 4096, firstBurstLength: 512, maxOutstandingR2T: 4 } })
    once(pair, 'Ready To Transfer', 2, 'drop')
    const one = write(pair, pattern(40_000))
    pair.advance(20_000)
    assertGood(one)
    assert.equal(pair.session.counters.r2tSnack, 1)
    assertNone(pair)
    assert.deepEqual(written(pair), [pattern(40_000)])
    pair.finish()
  })

  for (const fate of ['spoil', 'drop'] as const)
    test(`Data-Out: ${fate}`, () => {
      const pair = open({
        targetLimits: { maxBurstLength: 4096, firstBurstLength: 512, maxRecvDataSegmentLength: 1024 },
      })
      once(pair, 'SCSI Data-Out', 3, fate)
      const one = write(pair, pattern(20_000))
      pair.advance(20_000)
      assertGood(one)
      assert.ok(pair.session.counters.recoveryR2T > 0)
      assert.deepEqual(written(pair), [pattern(20_000)])
      pair.finish()
    })

  test('a lost SCSI Response', () => {
    const pair = open()
    once(pair, 'SCSI Response', 1, 'drop')
    const one = write(pair, pattern(100))
    const two = write(pair, pattern(100))
    pair.run()
    assertGood(one)
    assertGood(two)
    assert.equal(pair.session.counters.statusSnack, 1)
    pair.finish()
  })

  test('§7.2.1 a lost command is sent again with its CmdSN', () => {
    const pair = open()
    once(pair, 'SCSI Command', 2, 'drop')
    const all = [read(pair, 100), write(pair, pattern(3000)), read(pair, 100)]
    pair.run()
    assert.equal(all[1]?.result, undefined)
    pair.advance(5000)
    for (const one of all) assertGood(one)
    assert.equal(pair.session.counters.commandRetry, 1)
    assertNone(pair)
    pair.finish()
  })

  test('§7.3 a command whose immediate data is spoiled is sent again', () => {
    const pair = open()
    once(pair, 'SCSI Command', 1, 'spoil')
    const one = write(pair, pattern(3000))
    pair.run()
    assertGood(one)
    assert.deepEqual(written(pair), [pattern(3000)])
    assert.ok(pair.session.counters.commandRetry === 1)
    pair.finish()
  })

  test('§11.16.3 after MaxRecvDataSegmentLength has changed, data is asked for by R-Data SNACK', () => {
    const pair = open()
    pair.target.hold = true
    const one = read(pair, 10_500)
    pair.run()
    pair.session.declareSegment(512)
    pair.run()
    pair.target.hold = false
    once(pair, 'SCSI Data-In', 2, 'drop')
    pair.target.finishHeld()
    pair.run()
    assertRead(one)
    assert.equal(pair.session.counters.rDataSnack, 1)
    pair.finish()
  })

  test('§11.16.3 the response that answers an R-Data SNACK is lost: it is asked for by its StatSN', () => {
    const pair = open()
    pair.target.hold = true
    const one = read(pair, 10_500)
    pair.run()
    pair.session.declareSegment(512)
    pair.run()
    pair.target.hold = false
    let data = 0
    let responses = 0
    pair.fate = ({ name }) => {
      if (name === 'SCSI Data-In' && ++data === 2) return 'drop'
      return name === 'SCSI Response' && ++responses === 1 ? 'drop' : 'pass'
    }
    pair.target.finishHeld()
    pair.run()
    assert.equal(one.result, undefined)
    pair.advance(5000)
    assertRead(one)
    assert.equal(pair.session.counters.statusSnack, 1)
    assertNone(pair)
    pair.finish()
  })

  test('a SNACK without an answer is sent again, then the connection is given up', () => {
    const pair = open({ policy: { errorRecoveryLevel: 1, reopenLimitMs: 0 } })
    let count = 0
    pair.fate = ({ name }) =>
      name === 'SNACK Request' || (name === 'SCSI Data-In' && ++count === 3) ? 'drop' : 'pass'
    const one = read(pair, 10_500)
    pair.advance(30_000)
    assert.equal(codeOf(one), 'TASK_LOST')
    assert.ok(pair.session.counters.fallbackToConnectionRecovery > 0)
    assert.ok(pair.kinds.includes('ended'))
  })

  test('§11.16.2 a DataACK that is asked for is sent', () => {
    const pair = open()
    const types: number[] = []
    pair.fate = ({ name, view }) => {
      if (name === 'SNACK Request') types.push(view.getUint8(1) & 0x0f)
      return 'pass'
    }
    const one = read(pair, 3_000_000)
    pair.run()
    assertRead(one)
    assert.ok(types.length > 0 && types.every((type) => type === SnackType.dataAck))
    assert.equal(pair.session.counters.dataAck, types.length)
    pair.finish()
  })
})

describe('ErrorRecoveryLevel 2', () => {
  const open = (connections: number, more = {}): SessionPair =>
    new SessionPair({
      policy: { errorRecoveryLevel: 2, connections, time2WaitSeconds: 0, reopenLimitMs: 60_000 },
      targetLimits: { time2Wait: 1, time2Retain: 20, firstBurstLength: 1024, maxBurstLength: 4096 },
      limits: { maxRecvDataSegmentLength: 1024 },
      ...more,
    }).open()

  for (const connections of [1, 3])
    test(`a connection of ${connections} that is lost in the middle of I/O`, () => {
      const pair = open(connections)
      let count = 0
      pair.fate = ({ name }) => (name === 'SCSI Data-In' && ++count === 4 ? 'cut' : 'pass')
      const reads = Array.from({ length: 6 }, () => read(pair, 20_000))
      const writes = Array.from({ length: 6 }, (_, i) => write(pair, pattern(20_000, i)))
      pair.run()
      assert.ok(pair.kinds.includes('connection-lost'))
      pair.advance(5000)
      for (const one of reads) assertRead(one)
      for (const one of writes) assertGood(one)
      assert.ok(pair.kinds.includes('connection-recovered'), pair.kinds.join())
      const { counters } = pair.session
      assert.deepEqual([counters.sessionLost, counters.connectionRecovery], [0, 1])
      assert.ok(counters.taskReassign > 0)
      assert.equal(pair.session.connections.length, connections)
      pair.finish()
    })
})

describe('session recovery', () => {
  const open = (more = {}): SessionPair =>
    new SessionPair({
      policy: { reopenLimitMs: 30_000, time2WaitSeconds: 0, ...more },
      targetLimits: { time2Wait: 0 },
    }).open()

  test('what is safe is done again, in order; the rest is lost', () => {
    const pair = open()
    pair.target.hold = true
    const safe = [read(pair, 500, { replay: 'safe' }), read(pair, 500, { replay: 'safe' })]
    const unsafe = write(pair, pattern(100))
    pair.run()
    pair.cut(pair.joint(1))
    pair.run()
    assert.equal(codeOf(unsafe), 'TASK_LOST')
    const late = read(pair, 700)
    pair.target.hold = false
    pair.advance(1000)
    for (const one of [...safe, late]) assertRead(one)
    assert.deepEqual(pair.kinds.slice(-3), ['connection-lost', 'session-lost', 'session-reinstated'])
    assert.equal(pair.session.counters.taskReplayed, 2)
    pair.target.finishHeld()
    pair.finish()
  })

  test('it is tried with growing delays until the limit, then everything fails', () => {
    const pair = open()
    pair.target.hold = true
    const one = read(pair, 500, { replay: 'safe' })
    pair.run()
    pair.isUnreachable = true
    pair.cut(pair.joint(1))
    pair.advance(29_000)
    assert.equal(one.result, undefined)
    pair.advance(2000)
    assert.equal(codeOf(one), 'SESSION_LOST')
    assert.equal(pair.events.at(-1)?.kind, 'ended')
    pair.target.finishHeld()
  })

  test('a session that comes back late is used', () => {
    const pair = open()
    pair.isUnreachable = true
    pair.cut(pair.joint(1))
    const one = read(pair, 500)
    pair.advance(20_000)
    pair.isUnreachable = false
    pair.advance(6000)
    assertRead(one)
    pair.finish()
  })
})

describe('aborts and timeouts', () => {
  test('abort ends the request when the target has aborted it', () => {
    const pair = new SessionPair().open()
    pair.target.hold = true
    const [one, two] = [read(pair, 500), read(pair, 500)]
    pair.run()
    pair.session.abort(one.request)
    pair.run()
    assert.equal(one.result, undefined)
    pair.target.finishHeld(1)
    pair.run()
    assert.equal(codeOf(one), 'TASK_ABORTED')
    pair.target.finishHeld()
    pair.run()
    assertRead(two)
    pair.finish()
  })

  test('a request that takes too long is aborted; without an answer the unit is reset, then the session lost', () => {
    const pair = new SessionPair({ policy: { taskTimeoutMs: 5000 } }).open()
    pair.target.hold = true
    const one = read(pair, 500)
    pair.run()
    pair.fate = ({ fromTarget, name }) => (fromTarget && name.startsWith('Task') ? 'drop' : 'pass')
    pair.advance(40_000)
    assert.equal(pair.log.filter((name) => name === '> Task Management Function Request').length, 2)
    assert.equal(codeOf(one), 'TASK_TIMEOUT')
    pair.target.finishHeld()
  })

  test('a reset of the unit ends its tasks', () => {
    const pair = new SessionPair().open()
    pair.target.hold = true
    const one = read(pair, 500)
    pair.run()
    let response: number | undefined
    pair.session.manage(5, 0, (code) => (response = code))
    pair.run()
    pair.target.finishHeld()
    pair.run()
    assert.equal(response, 0)
    assert.equal(codeOf(one), 'TASK_ABORTED')
    pair.finish()
  })
})
