import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FakeOpcode, fakeCdb } from './fake-target.test-helper.ts'
import { MemoryBudget } from './memory-budget.ts'
import { TestPeer } from './peer.test-helper.ts'

const READ = { read: true, expectedDataTransferLength: 4000 }

function reader(budget: MemoryBudget): TestPeer {
  const peer = new TestPeer({ budget })
  peer.logIn([])
  peer.target.hold = true
  return peer
}

const read = (peer: TestPeer): unknown => peer.command(fakeCdb(FakeOpcode.read, 0, 4000), READ)

describe('memory budget', () => {
  test('what is taken is given back, and who waited is called once', () => {
    const budget = new MemoryBudget(100)
    const calls: string[] = []
    const retry = (): void => void calls.push('retry')
    assert.equal(budget.tryReserve(80, retry), true)
    assert.equal(budget.tryReserve(30, retry), false)
    assert.equal(budget.tryReserve(30, retry), false)
    budget.release(80)
    assert.deepEqual(calls, ['retry'])
    assert.equal(budget.usedBytes, 0)
    budget.release(0)
    assert.deepEqual(calls, ['retry'])
  })

  test('who waits no more is not called', () => {
    const budget = new MemoryBudget(100)
    const calls: string[] = []
    const retry = (): void => void calls.push('retry')
    budget.reserve(100)
    budget.tryReserve(1, retry)
    budget.forget(retry)
    budget.release(100)
    assert.deepEqual(calls, [])
  })

  test('sessions share it: a second command waits for what another session gives back', () => {
    const budget = new MemoryBudget(10_000)
    const [one, two] = [reader(budget), reader(budget)]
    for (let i = 0; i < 2; i++) read(one)
    for (let i = 0; i < 2; i++) read(two)
    assert.equal(one.target.submitted.length, 2)
    assert.equal(two.target.submitted.length, 1, 'one command of a session may always run')
    one.target.finishHeld()
    assert.equal(one.poll().length, 2)
    assert.equal(two.target.submitted.length, 2)
    two.target.finishHeld()
    assert.equal(two.poll().length, 2)
    assert.equal(budget.usedBytes, 0)
    for (const peer of [one, two]) peer.finish()
  })

  test('a session that holds all of it does not keep another from working', () => {
    const budget = new MemoryBudget(8000)
    const [greedy, modest] = [reader(budget), reader(budget)]
    for (let i = 0; i < 8; i++) read(greedy)
    assert.equal(greedy.target.submitted.length, 2)
    modest.target.hold = false
    for (let i = 0; i < 3; i++) read(modest)
    assert.equal(modest.target.submitted.length, 3)
    greedy.target.hold = false
    greedy.target.finishHeld()
    assert.equal(greedy.poll().length, 8)
    assert.equal(budget.usedBytes, 0)
    for (const peer of [greedy, modest]) peer.finish()
  })

  test('a session that ends gives back what it had, and does not come back for more', () => {
    const budget = new MemoryBudget(8000)
    const [one, two] = [reader(budget), reader(budget)]
    for (let i = 0; i < 3; i++) read(one)
    for (let i = 0; i < 2; i++) read(two)
    assert.equal(two.target.submitted.length, 1)
    two.connection.drop('over')
    one.connection.drop('over')
    for (const peer of [one, two]) {
      peer.target.finishHeld()
      peer.finish()
    }
    assert.equal(budget.usedBytes, 0)
    assert.equal(two.target.submitted.length, 1)
  })

  test('what is kept for SNACKs makes room for work: in its own session, and in others', () => {
    const budget = new MemoryBudget(10_000)
    const peers = Array.from({ length: 3 }, () => {
      const peer = new TestPeer({ budget, limits: { nopIntervalMs: 1e7 } })
      peer.logIn([['ErrorRecoveryLevel', '1']])
      return peer
    })
    const readings = peers.map((peer) => {
      const expStatSN = peer.expStatSN ?? 0
      return () => {
        const [answer] = peer.command(fakeCdb(FakeOpcode.read, 0, 4000), { ...READ, expStatSN })
        assert.equal(answer?.name, 'SCSI Data-In')
      }
    })
    for (let i = 0; i < 5; i++) for (const readOnce of readings) readOnce()
    assert.ok(budget.usedBytes > 0, 'nothing is kept')
    assert.ok(budget.usedBytes <= 12_000)
    const [busy, idle] = peers as [TestPeer, TestPeer]
    busy.target.hold = true
    read(busy)
    read(busy)
    assert.equal(busy.target.submitted.length, 7, 'the data that others keep is in its way')
    busy.target.finishHeld()
    busy.poll()
    idle.nopOut()
    for (const peer of peers) peer.finish()
    assert.equal(budget.usedBytes, 0)
  })
})
