import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb, testUnitReadyCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { ScsiTask } from '../scsi/task.ts'
import { TaskAttribute } from '../scsi/task.ts'
import { cdbOf, nexusNamed, pattern, senseOf, TestDisk } from './disk.test-helper.ts'

const { aca, ordered, headOfQueue } = TaskAttribute
const ready = testUnitReadyCdb
const readyNaca = (): Uint8Array => cdbOf('00 00 00 00 00 04')
/** A read past the end, with NACA or without. */
const failing = (naca: boolean): Uint8Array => {
  const cdb = blockCdb(Opcode.read10, 1 << 20, 1)
  cdb[9] = naca ? 0x04 : 0
  return cdb
}
const readCdb = (lba: number): Uint8Array => blockCdb(Opcode.read10, lba, 1)

interface Setup {
  readonly disk: TestDisk
  readonly other: ReturnType<typeof nexusNamed>
  readonly clear: () => number
}

function setUp(options: ConstructorParameters<typeof TestDisk>[1] = {}): Setup {
  const disk = new TestDisk(256, options)
  const other = nexusNamed('two')
  disk.attach(other)
  const clear = (): number => {
    let done = 0
    disk.unit.clearAca(disk.nexus, () => done++)
    return done
  }
  return { disk, other, clear }
}

const finished = (tasks: readonly ScsiTask[]): boolean[] => tasks.map((task) => task.isDone)

describe('SAM-5 §5.9.2 an ACA condition', () => {
  it('comes with the CHECK CONDITION of a command that has NACA = 1, and of no other', () => {
    const { disk } = setUp()
    assert.equal(senseOf(disk.run(failing(false))), '5/2100')
    assert.equal(disk.run(readyNaca()).status, ScsiStatus.good)
    assert.equal(disk.run(ready()).status, ScsiStatus.good)
    assert.equal(senseOf(disk.run(failing(true))), '5/2100')
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive)
  })

  it('comes with a unit attention, and with an unknown opcode, too', () => {
    const { disk, clear } = setUp()
    disk.unit.attention(0x2a01)
    assert.equal(senseOf(disk.run(readyNaca())), '6/2a01')
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive)
    clear()
    assert.equal(senseOf(disk.run(cdbOf('1f 00 00 00 00 04'))), '5/2000')
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive)
  })

  it('is not for a nexus that may only read: NACA is refused, as INQUIRY says', () => {
    const { disk } = setUp()
    const reader = { ...nexusNamed('reader'), readOnly: true }
    disk.attach(reader)
    const outcome = disk.run(readyNaca(), {}, reader)
    assert.equal(senseOf(outcome), '5/2400')
    assert.deepEqual(outcome.sense?.field, { in: 'cdb', byte: 5, bit: 2 })
    assert.equal(senseOf(disk.run(failing(true), {}, reader)), '5/2400')
    assert.equal(disk.run(ready(), {}, reader).status, ScsiStatus.good)
  })

  it('blocks enabled tasks, whose I/O goes on, and leaves dormant ones dormant', () => {
    const { disk, other, clear } = setUp()
    disk.store.deferred = true
    disk.transport.holdData = true
    const reading = disk.submit(readCdb(0))
    const theirs = disk.submit(readCdb(1), {}, other)
    const writing = disk.submit(blockCdb(Opcode.write10, 2, 1), { dataOut: pattern(512) })
    const dormant = disk.submit(readCdb(3), { attribute: ordered })
    const tasks = [reading, theirs, writing, dormant]
    disk.submit(failing(true), { attribute: headOfQueue })
    disk.transport.supply(writing)
    disk.store.releaseAll()
    assert.deepEqual(finished(tasks), [false, false, false, false])
    assert.deepEqual(disk.store.calls, ['read 0+512', 'read 512+512'])
    assert.equal(clear(), 1)
    assert.deepEqual(finished(tasks), [true, true, false, false])
    disk.store.release()
    assert.deepEqual(finished(tasks), [true, true, true, false])
    disk.store.release()
    assert.deepEqual(finished(tasks), [true, true, true, true])
    for (const task of tasks) assert.equal(disk.transport.outcome(task).status, ScsiStatus.good)
    assert.equal(disk.pool.inUse, 0)
  })

  it('may be established again by a task that was blocked', () => {
    const { disk, clear } = setUp()
    disk.store.deferred = true
    const faulty = readCdb(0)
    faulty[9] = 0x04
    disk.store.failNext = { call: 'read', error: { failure: 'medium' } }
    const tasks = [disk.submit(faulty), disk.submit(readCdb(1))]
    disk.submit(failing(true))
    disk.store.releaseAll()
    clear()
    assert.deepEqual(finished(tasks), [true, false])
    assert.equal(senseOf(disk.transport.outcome(tasks[0] as ScsiTask)), '3/1100')
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive)
    clear()
    assert.deepEqual(finished(tasks), [true, true])
  })
})

describe('SAM-5 §5.9.3 during an ACA condition', () => {
  it('the faulted nexus gets one task with the ACA attribute through at a time, and ACA ACTIVE else', () => {
    const { disk } = setUp()
    disk.run(failing(true))
    disk.store.deferred = true
    const first = disk.submit(readCdb(0), { attribute: aca })
    assert.equal(disk.run(readCdb(1), { attribute: aca }).status, ScsiStatus.acaActive)
    assert.equal(disk.run(readCdb(1), { attribute: headOfQueue }).status, ScsiStatus.acaActive)
    disk.store.releaseAll()
    assert.equal(disk.transport.outcome(first).status, ScsiStatus.good)
    assert.equal(disk.run(ready(), { attribute: aca }).status, ScsiStatus.good)
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive, 'success does not end it')
  })

  it('others get BUSY with a retry delay, or ACA ACTIVE where they know of ACA', () => {
    const { disk, other } = setUp()
    disk.run(failing(true))
    const busy = disk.submit(ready(), {}, other)
    assert.deepEqual([busy.status, busy.statusQualifier], [ScsiStatus.busy, 1])
    const active = disk.submit(readyNaca(), {}, other)
    assert.deepEqual([active.status, active.statusQualifier], [ScsiStatus.acaActive, 0])
    assert.equal(disk.run(ready(), { attribute: aca }, other).status, ScsiStatus.busy)
  })

  it('PREEMPT AND ABORT of another nexus is looked at, that of the faulted one is not', () => {
    const { disk, other } = setUp()
    const preemptAndAbort = cdbOf('5f 05 00 00 00 00 00 00 00 00')
    disk.run(failing(true))
    assert.equal(disk.run(preemptAndAbort).status, ScsiStatus.acaActive)
    assert.equal(disk.run(preemptAndAbort, {}, other).status, ScsiStatus.checkCondition)
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive, 'its failure changes nothing')
  })

  it('the task with the ACA attribute finds the place of the one that failed', () => {
    const { disk } = setUp({ taskLimit: 2 })
    disk.store.deferred = true
    disk.submit(readCdb(0))
    disk.submit(failing(true))
    disk.store.deferred = false
    const held = disk.submit(readCdb(1), { attribute: aca })
    assert.equal(disk.transport.outcome(held).status, ScsiStatus.good)
  })
})

describe('SAM-5 §5.9.5 an ACA condition ends', () => {
  it('by CLEAR ACA of the faulted nexus only, which aborts a task with the ACA attribute', () => {
    const { disk, other, clear } = setUp()
    disk.run(failing(true))
    disk.store.deferred = true
    const task = disk.submit(readCdb(0), { attribute: aca })
    let done = 0
    disk.unit.clearAca(other, () => done++)
    assert.equal(done, 1)
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive)
    assert.equal(clear(), 0, 'it waits for the I/O of that task')
    disk.unit.clearAca(disk.nexus, () => done++)
    disk.store.releaseAll()
    assert.equal(task.aborted, true)
    assert.equal(done, 2)
    assert.equal(disk.run(ready()).status, ScsiStatus.good)
    assert.equal(disk.pool.inUse, 0)
  })

  it('by the CHECK CONDITION of a task with the ACA attribute, unless it has NACA = 1', () => {
    const { disk } = setUp()
    disk.run(failing(true))
    assert.equal(senseOf(disk.run(failing(true), { attribute: aca })), '5/2100')
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive)
    assert.equal(senseOf(disk.run(failing(false), { attribute: aca })), '5/2100')
    assert.equal(disk.run(ready()).status, ScsiStatus.good)
  })

  it('by a reset, which ends blocked tasks, too', () => {
    const { disk } = setUp()
    disk.store.deferred = true
    const task = disk.submit(readCdb(0))
    disk.submit(failing(true))
    disk.store.releaseAll()
    let done = 0
    disk.unit.reset(() => done++)
    assert.deepEqual([done, task.isDone, task.aborted], [1, true, true])
    assert.equal(senseOf(disk.run(ready())), '6/2903')
    assert.equal(disk.run(ready()).status, ScsiStatus.good)
    assert.equal(disk.pool.inUse, 0)
  })

  it('by the loss of the faulted nexus: the tasks of others go on', () => {
    const { disk, other } = setUp()
    disk.store.deferred = true
    const mine = disk.submit(readCdb(0))
    const theirs = disk.submit(readCdb(1), {}, other)
    disk.submit(failing(true))
    disk.store.releaseAll()
    disk.unit.detachNexus(disk.nexus, 'nexus-loss')
    assert.deepEqual([mine.aborted, theirs.aborted, theirs.isDone], [true, false, true])
    assert.equal(disk.run(ready(), {}, other).status, ScsiStatus.good)
  })

  it('not by ABORT TASK, ABORT TASK SET or CLEAR TASK SET, which end blocked tasks', () => {
    const { disk, other } = setUp()
    disk.store.deferred = true
    const tasks = [0, 1, 2].map((lba) => disk.submit(readCdb(lba), {}, lba === 2 ? other : disk.nexus))
    disk.submit(failing(true))
    disk.store.releaseAll()
    const state = (): (boolean | string)[] => tasks.map((task) => task.isDone && task.aborted)
    disk.unit.abort(tasks[0] as ScsiTask)
    assert.deepEqual(state(), [true, false, false])
    disk.unit.abortTaskSet(disk.nexus, false, () => undefined)
    assert.deepEqual(state(), [true, true, false])
    disk.unit.abortTaskSet(disk.nexus, true, () => undefined)
    assert.deepEqual(state(), [true, true, true])
    assert.equal(disk.run(ready()).status, ScsiStatus.acaActive)
    assert.equal(disk.pool.inUse, 0)
  })
})

describe('QERR of the control mode page', () => {
  const setQueueError = (disk: TestDisk, queueError: number) => {
    const list = cdbOf('00000000 0a0a02 00 00000000 00000000')
    list[7] = 0x10 | (queueError << 1)
    return disk.run(cdbOf('15 10 00 00 10 00'), { dataOut: list })
  }

  /** What became of a task of the faulted nexus, and of one of another, after a CHECK CONDITION. */
  function afterFailure(queueError: number, naca: boolean) {
    const { disk, other } = setUp()
    assert.equal(setQueueError(disk, queueError).status, ScsiStatus.good)
    disk.run(ready(), {}, other)
    disk.store.deferred = true
    const tasks = [disk.submit(readCdb(0)), disk.submit(readCdb(1), {}, other)]
    disk.submit(failing(naca))
    disk.store.releaseAll()
    disk.store.deferred = false
    return { disk, other, tasks, ends: tasks.map((task) => (task.isDone ? task.aborted : 'blocked')) }
  }

  it('00b: the others go on', () => {
    assert.deepEqual(afterFailure(0, false).ends, [false, false])
    assert.deepEqual(afterFailure(0, true).ends, ['blocked', 'blocked'])
  })

  it('01b: all others are aborted, and other nexuses are told', () => {
    const { disk, other, ends } = afterFailure(1, false)
    assert.deepEqual(ends, [true, true])
    assert.equal(senseOf(disk.run(ready(), {}, other)), '6/2f00')
    assert.equal(senseOf(disk.run(ready())), 'status 0')
    assert.deepEqual(afterFailure(1, true).ends, [true, true])
  })

  it('11b: those of the same nexus are aborted', () => {
    const { disk, other, ends } = afterFailure(3, false)
    assert.deepEqual(ends, [true, false])
    assert.equal(senseOf(disk.run(ready(), {}, other)), 'status 0')
    assert.deepEqual(afterFailure(3, true).ends, [true, 'blocked'])
  })

  it('10b is reserved', () => {
    const { disk } = setUp()
    const outcome = setQueueError(disk, 2)
    assert.equal(senseOf(outcome), '5/2600')
    assert.deepEqual(outcome.sense?.field, { in: 'parameters', byte: 7, bit: 2 })
  })
})
