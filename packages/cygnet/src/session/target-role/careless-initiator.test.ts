/**
 * Initiators that agree on ErrorRecoveryLevel 1 or 2 because it was offered, and do little of it: they acknowledge late
 * or never (ExpStatSN, DataACK), and after the loss of a connection they log in anew.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeDataIn } from '../../pdu/data.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { FakeOpcode, FakeTarget, fakeCdb, pattern } from './fake-target.test-helper.ts'
import { MemoryBudget } from './memory-budget.ts'
import { TestPeer } from './peer.test-helper.ts'
import type { LoginIdentity, LoginRefusal, SessionHome } from './target-host.ts'
import type { TargetSession } from './target-session.ts'
import { BufferPool } from '../../base/pool.ts'
import { asScsi, names } from '../wire.test-helper.ts'

const READ_BYTES = 4096
const LIMITS = {
  nopIntervalMs: 1e9,
  retainedResponses: 100,
  retainedDataBytes: 64 * 1024,
  sessionBufferBytes: 256 * 1024,
}
const KEYS = [
  ['MaxRecvDataSegmentLength', '512'],
  ['MaxBurstLength', '1024'],
  ['FirstBurstLength', '1024'],
] as const

/** §6.3.5: a login of the same initiator port ends the session that it has. */
class ReinstatingTarget extends FakeTarget {
  override establish(identity: LoginIdentity, session: TargetSession): SessionHome | LoginRefusal {
    for (const old of this.sessions) if (old.identity.isid === identity.isid) old.end('reinstated', 'again')
    return super.establish(identity, session)
  }
}

function careless(level: number, budget = new MemoryBudget(2 ** 30), host?: FakeTarget): TestPeer {
  const peer = new TestPeer({ limits: LIMITS, budget, ...(host && { host, pool: host.pool }) })
  peer.logIn([['ErrorRecoveryLevel', String(level)], ...KEYS])
  return peer
}

for (const level of [1, 2]) {
  describe(`at ErrorRecoveryLevel ${level}, an initiator`, () => {
    test('that acknowledges nothing is served without end, and what is kept for it has limits', () => {
      const budget = new MemoryBudget(128 * 1024)
      const peer = careless(level, budget)
      const expStatSN = peer.expStatSN ?? 0
      for (let round = 0; round < 1000; round++) {
        const more = { read: true, expectedDataTransferLength: READ_BYTES, expStatSN }
        const answers = peer.command(fakeCdb(FakeOpcode.read, 0, READ_BYTES), more)
        assert.equal(answers.length, READ_BYTES / 512)
        const last = answers.at(-1)
        assert.ok(last && decodeDataIn(last.view, 0).hasStatus)
        const [r2t] = peer.command(fakeCdb(FakeOpcode.write, 512), {
          write: true,
          expectedDataTransferLength: 512,
          initiatorTaskTag: 0x8000_0000 + round,
          expStatSN,
        })
        const written = peer.dataOut(
          {
            initiatorTaskTag: 0x8000_0000 + round,
            targetTransferTag: r2t?.view.getUint32(20) ?? 0,
            expStatSN,
          },
          pattern(512),
        )
        assert.equal(asScsi(written[0]).status, 0)
        assert.ok((peer.connection.session?.taskCount ?? 0) <= LIMITS.retainedResponses)
        assert.ok(budget.usedBytes <= LIMITS.retainedDataBytes + READ_BYTES)
        assert.ok(peer.pool.inUse <= LIMITS.retainedDataBytes / READ_BYTES + 1)
      }
      assert.equal(peer.maxCmdSN, peer.cmdSN + 127, 'the window is open')
      // It stands still for a minute: nobody waits for a DataACK.
      assert.deepEqual(peer.advance(60_000), [])
      assert.equal(peer.state, 'full-feature')
      peer.nopOut({ initiatorTaskTag: RESERVED_TAG })
      assert.equal(budget.usedBytes, 0)
      assert.equal(peer.connection.session?.taskCount, 0)
      peer.finish()
    })

    test('that logs in anew after a loss is not kept waiting, and nothing of its old session is left', () => {
      const budget = new MemoryBudget(2 ** 30)
      const host = new ReinstatingTarget(new BufferPool({ poison: true }))
      for (let round = 0; round < 20; round++) {
        const peer = careless(level, budget, host)
        host.hold = false
        for (let i = 0; i < 20; i++) {
          const more = { read: true, expectedDataTransferLength: READ_BYTES, expStatSN: 0 }
          assert.equal(peer.command(fakeCdb(FakeOpcode.read, 0, READ_BYTES), more).length, 8)
        }
        const write = { write: true, expectedDataTransferLength: 1024 }
        assert.deepEqual(names(peer.command(fakeCdb(FakeOpcode.write, 1024), write)), ['Ready To Transfer'])
        host.hold = true
        peer.command(fakeCdb(FakeOpcode.none))
        peer.connection.transportClosed('reset', peer.now)
        host.finishHeld()
        assert.equal(host.sessions.size, 1)
      }
      careless(level, budget, host).finish()
      assert.equal(host.closures.filter((closure) => closure === 'reinstated').length, 20)
      assert.equal(host.unfinishedCount, 0)
      assert.equal(budget.usedBytes, 0)
      assert.equal(host.pool.inUse, 0)
    })
  })
}
