import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReserveOutAction } from '../scsi/persistent-reservation.ts'
import { encodeTransportId } from '../scsi/transport-id.ts'
import type { Nexus } from '../scsi/task.ts'
import { cdbOf } from './disk.test-helper.ts'
import { resultOf, SharedDisk, TestRecords, throughPort } from './reservations.test-helper.ts'

/** What a cluster does whose hosts have two paths each: `a` and `b` through port 1, `a2` and `b2` through port 2. */

const APTPL = 1
const ALL_TG_PT = 4
const SPEC_I_PT = 8
const WE_RO = 5
const WRITE = cdbOf('2a 00 00000000 00 0001 00')
const REGISTRATION_GONE = '2a05'
const CLEARED = '2f00'

class Cluster extends SharedDisk {
  readonly b2 = throughPort(this.b, 2)

  constructor(records = new TestRecords()) {
    super({ records })
    this.disk.attach(this.b2)
  }

  write(nexus: Nexus): string {
    return resultOf(this.disk.run(WRITE, { dataOut: new Uint8Array(512) }, nexus))
  }

  /** Who may write, of both hosts and both ways. */
  get writers(): string {
    const ways = { a: this.a, a2: this.a2, b: this.b, b2: this.b2 }
    return Object.entries(ways)
      .filter(([, nexus]) => this.write(nexus) === 'good')
      .map(([name]) => name)
      .join(' ')
  }

  /** Both hosts are registered through both ports, and the first reserves. */
  form(flags = ALL_TG_PT): void {
    assert.equal(this.register(this.a, 1, { flags }), 'good')
    assert.equal(this.register(this.b, 2, { flags }), 'good')
    assert.equal(this.reserve(this.a, 1, WE_RO), 'good')
  }
}

describe('persistent reservations over two paths', () => {
  it('with ALL_TG_PT, let registrants write through either', () => {
    const cluster = new Cluster()
    cluster.register(cluster.a, 1, { flags: ALL_TG_PT })
    cluster.register(cluster.b, 2)
    cluster.reserve(cluster.a, 1, WE_RO)
    assert.equal(cluster.writers, 'a a2 b', 'b registered through its own port only')
  })

  it('with SPEC_I_PT and ALL_TG_PT, one host registers another one for all paths', () => {
    const cluster = new Cluster()
    const transportIds = [encodeTransportId(cluster.b.initiatorPortName)]
    cluster.register(cluster.a, 1, { flags: ALL_TG_PT | SPEC_I_PT, transportIds })
    cluster.reserve(cluster.a2, 1, WE_RO)
    assert.equal(cluster.writers, 'a a2 b b2')
    assert.equal(cluster.run(cluster.c, '28 00 00000000 00 0001 00'), 'good')
    assert.equal(cluster.write(cluster.c), 'conflict')
  })

  it('PREEMPT AND ABORT ends the tasks of all paths, and tells each of them', () => {
    const cluster = new Cluster()
    cluster.form()
    const { store, transport } = cluster.disk
    for (const nexus of [cluster.a, cluster.a2]) cluster.attentions(nexus)
    store.deferred = true
    const tasks = [cluster.a, cluster.a2].map((nexus) =>
      cluster.disk.submit(WRITE, { dataOut: new Uint8Array(512) }, nexus),
    )
    const { preemptAndAbort } = ReserveOutAction
    const ended = cluster.submitOut(cluster.b2, preemptAndAbort, { type: WE_RO, key: 2, actionKey: 1 })
    assert.equal(ended.isDone, false, 'writes under way have yet to end')
    store.releaseAll()
    store.deferred = false
    assert.deepEqual(
      [...tasks, ended].map((task) => resultOf(transport.outcome(task))),
      ['aborted', 'aborted', 'good'],
    )
    assert.deepEqual(cluster.attentions(cluster.a).toSorted(), [REGISTRATION_GONE, CLEARED])
    assert.deepEqual(cluster.attentions(cluster.a2).toSorted(), [REGISTRATION_GONE, CLEARED])
    assert.deepEqual(cluster.attentions(cluster.b), [], 'the other path of who did it')
    assert.equal(cluster.writers, 'b b2')
  })

  it('one path can be lost, and is registered still when it is back', () => {
    const cluster = new Cluster()
    cluster.form()
    cluster.disk.unit.detachNexus(cluster.a, 'nexus-loss')
    assert.equal(cluster.write(cluster.a2), 'good')
    const again = { ...cluster.a }
    cluster.disk.attach(again)
    assert.equal(cluster.write(again), 'good')
  })

  it('with APTPL, hold for who logs in after power loss, by any path', () => {
    const records = new TestRecords()
    const before = new Cluster(records)
    before.form(ALL_TG_PT | APTPL)
    const after = new Cluster(records)
    assert.equal(after.writers, 'a a2 b b2')
    assert.equal(after.write(after.c), 'conflict')
    const { preempt } = ReserveOutAction
    assert.equal(after.out(after.b2, preempt, { type: WE_RO, key: 2, actionKey: 1 }), 'good')
    assert.equal(new Cluster(records).writers, 'b b2', 'what came after is durable too')
  })
})
