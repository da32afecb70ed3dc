import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { blockCdb, testUnitReadyCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { ScsiTask } from '../scsi/task.ts'
import { TaskAttribute } from '../scsi/task.ts'
import { cdbOf, nexusNamed, pattern, senseOf, TestDisk } from './disk.test-helper.ts'

const readCdb = (lba: number): Uint8Array => blockCdb(Opcode.read10, lba, 1)
const { ordered, headOfQueue, simple } = TaskAttribute

/** Submits reads of blocks 0, 1, 2, … with these attributes to a store that holds completions back. */
function queueReads(attributes: readonly TaskAttribute[]): { disk: TestDisk; tasks: ScsiTask[] } {
  const disk = new TestDisk(256)
  disk.store.deferred = true
  const tasks = attributes.map((attribute, i) => disk.submit(readCdb(i), { attribute }))
  return { disk, tasks }
}

const started = (disk: TestDisk): number[] =>
  disk.store.calls.map((call) => Number(call.split(' ')[1]?.split('+')[0]) / 512)

describe('task attributes', () => {
  it('start SIMPLE tasks at once', () => {
    assert.deepEqual(started(queueReads([simple, simple, TaskAttribute.untagged]).disk), [0, 1, 2])
  })

  it('hold an ORDERED task until all before it are done, and what follows until it is done', () => {
    const { disk } = queueReads([simple, simple, ordered, simple, simple, ordered])
    assert.deepEqual(started(disk), [0, 1])
    disk.store.release(1)
    assert.deepEqual(started(disk), [0, 1])
    disk.store.release()
    assert.deepEqual(started(disk), [0, 1, 2])
    disk.store.release()
    assert.deepEqual(started(disk), [0, 1, 2, 3, 4])
    disk.store.releaseAll()
    assert.deepEqual(started(disk), [0, 1, 2, 3, 4, 5])
  })

  it('let HEAD OF QUEUE pass everything', () => {
    const { disk } = queueReads([simple, ordered, simple, headOfQueue, headOfQueue])
    assert.deepEqual(started(disk), [0, 3, 4])
    disk.store.release()
    assert.deepEqual(started(disk), [0, 3, 4], 'the ordered one waits for them')
    disk.store.releaseAll()
    assert.deepEqual(started(disk), [0, 3, 4, 1, 2])
  })

  it('start dormant SIMPLE tasks in the order of their priority, those without one in the middle', () => {
    const disk = new TestDisk(256)
    disk.store.deferred = true
    const [first] = [{ attribute: ordered }, {}].map((options, i) => disk.submit(readCdb(i), options))
    for (const [i, priority] of [9, 0, 1, 15, 8, 1].entries()) disk.submit(readCdb(i + 2), { priority })
    assert.ok(first)
    disk.store.release()
    assert.deepEqual(started(disk), [0, 4, 7, 1, 3, 6, 2, 5])
  })

  it('let no priority pass an ORDERED task', () => {
    const disk = new TestDisk(256)
    disk.store.deferred = true
    disk.submit(readCdb(0), { attribute: ordered })
    disk.submit(readCdb(1), { priority: 15 })
    disk.submit(readCdb(2), { attribute: ordered })
    disk.submit(readCdb(3), { priority: 1 })
    for (let i = 0; i < 3; i++) disk.store.release()
    assert.deepEqual(started(disk), [0, 1, 2, 3])
  })

  it('refuse ACA where there is no such condition', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(disk.run(readCdb(0), { attribute: TaskAttribute.aca })), '5/4900')
  })

  it('never start a task before those it must wait for, in any mix and order of completion', () => {
    const attribute = fc.constantFrom(simple, ordered, headOfQueue)
    fc.assert(
      fc.property(
        fc.array(attribute, { maxLength: 30 }),
        fc.array(fc.nat(), { maxLength: 60 }),
        (attributes, picks) => {
          const { disk, tasks } = queueReads(attributes)
          const checkStarted = (): void => {
            for (const i of started(disk)) {
              if (attributes[i] === headOfQueue || tasks[i]?.isDone === true) continue
              const mustBeDone = tasks.filter(
                (_, j) => j < i && (attributes[i] === ordered || attributes[j] === ordered),
              )
              assert.ok(mustBeDone.every((task) => task.isDone))
            }
          }
          checkStarted()
          for (const pick of picks) {
            if (disk.store.waiting > 0) disk.store.release(pick % disk.store.waiting)
            checkStarted()
          }
          disk.store.releaseAll()
          assert.ok(tasks.every((task) => task.isDone))
          for (const task of tasks) disk.transport.outcome(task)
          assert.equal(disk.pool.inUse, 0)
          assert.equal(disk.unit.taskCount, 0)
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('task set', () => {
  it('answers TASK SET FULL past its limit, and takes tasks again afterwards', () => {
    const disk = new TestDisk(64, { taskLimit: 3 })
    disk.store.deferred = true
    const held = [0, 1, 2].map((lba) => disk.submit(readCdb(lba)))
    const refused = disk.submit(readCdb(3), { attribute: headOfQueue })
    assert.deepEqual(
      [refused.status, refused.statusQualifier],
      [ScsiStatus.taskSetFull, 1],
      'again after 100 ms',
    )
    assert.equal(refused.isDone, true)
    disk.store.releaseAll()
    for (const task of held) assert.equal(disk.transport.outcome(task).status, ScsiStatus.good)
    disk.store.deferred = false
    assert.equal(disk.run(readCdb(3)).status, ScsiStatus.good)
  })

  it('answers BUSY to a nexus that has no task in it', () => {
    const disk = new TestDisk(64, { taskLimit: 1 })
    const other = nexusNamed('two')
    disk.attach(other)
    disk.store.deferred = true
    disk.submit(readCdb(0))
    const refused = disk.submit(readCdb(1), {}, other)
    assert.deepEqual([refused.status, refused.statusQualifier], [ScsiStatus.busy, 1])
  })

  it('knows of the tasks of each nexus, those that are being aborted aside', () => {
    const disk = new TestDisk(64)
    const other = nexusNamed('two')
    disk.attach(other)
    disk.store.deferred = true
    disk.submit(readCdb(0))
    assert.deepEqual([disk.unit.hasTasks(disk.nexus), disk.unit.hasTasks(other)], [true, false])
    disk.unit.abortTaskSet(disk.nexus, false, () => undefined)
    assert.equal(disk.unit.hasTasks(disk.nexus), false)
    disk.store.releaseAll()
  })

  it('needs no deeper stack for a long queue of ordered tasks', () => {
    const disk = new TestDisk(64, { taskLimit: 20_000 })
    disk.transport.holdData = true
    const first = disk.submit(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512), attribute: ordered })
    const rest = Array.from({ length: 19_000 }, () => disk.submit(testUnitReadyCdb(), { attribute: ordered }))
    disk.transport.supply(first)
    assert.ok(rest.every((task) => task.isDone))
  })
})

describe('abort', () => {
  it('ends a task that waits for data at once, and ignores its data later', () => {
    const disk = new TestDisk(64)
    disk.transport.holdData = true
    const task = disk.submit(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })
    disk.unit.abort(task)
    assert.equal(task.aborted, true)
    assert.equal(task.isDone, true)
    disk.transport.supply(task)
    disk.unit.abort(task)
    assert.equal(disk.transport.finished.filter((other) => other === task).length, 1)
    assert.deepEqual(disk.store.calls, [])
  })

  it('is not confused by data that comes again', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const task = disk.submit(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })
    disk.unit.resume(task)
    assert.equal(task.isDone, false)
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
  })

  it('ends a task after its I/O where that is under way, and takes back its buffer', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const task = disk.submit(readCdb(0))
    disk.unit.abort(task)
    assert.equal(task.isDone, false)
    assert.equal(disk.pool.inUse, 1)
    disk.store.release()
    assert.equal(task.isDone, true)
    assert.equal(task.aborted, true)
    assert.equal(task.dataInBuffer, undefined)
    assert.equal(disk.pool.inUse, 0)
  })

  it('ends a dormant task at once and lets go what it held back', () => {
    const { disk, tasks } = queueReads([simple, ordered, simple])
    const blocked = tasks[1]
    assert.ok(blocked)
    disk.unit.abort(blocked)
    assert.equal(blocked.aborted, true)
    assert.deepEqual(started(disk), [0, 2])
  })

  it('of a task set takes one nexus, or every nexus and tells the others', () => {
    const disk = new TestDisk(64)
    const other = nexusNamed('two')
    disk.attach(other)
    disk.store.deferred = true
    const mine = disk.submit(readCdb(0))
    const theirs = disk.submit(readCdb(1), {}, other)
    let done = 0
    disk.unit.abortTaskSet(disk.nexus, false, () => done++)
    assert.equal(done, 0)
    disk.store.release()
    assert.equal(done, 1)
    assert.equal(mine.aborted, true)
    assert.equal(theirs.aborted, false)
    disk.unit.abortTaskSet(disk.nexus, true, () => done++)
    disk.store.releaseAll()
    assert.equal(done, 2)
    assert.equal(theirs.aborted, true)
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, other)), '6/2f00')
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, other)), 'status 0')
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), 'status 0')
    disk.unit.abortTaskSet(disk.nexus, true, () => done++)
    assert.equal(done, 3, 'with nothing to abort it is done at once')
    disk.submit(readCdb(2), {}, other)
    disk.unit.abortTaskSet(other, false, () => undefined)
    disk.unit.abortTaskSet(disk.nexus, true, () => undefined)
    disk.store.releaseAll()
    disk.store.deferred = false
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, other)), 'status 0', 'it had ended them itself')
  })

  it('of everything by a reset starts none of the tasks that were dormant', () => {
    const { disk, tasks } = queueReads([ordered, simple, ordered, simple])
    let done = 0
    disk.unit.reset(() => done++)
    disk.unit.reset(() => done++)
    assert.equal(done, 0)
    disk.store.releaseAll()
    assert.equal(done, 2)
    assert.deepEqual(started(disk), [0])
    assert.ok(tasks.every((task) => task.aborted))
    assert.equal(disk.pool.inUse, 0)
    disk.store.deferred = false
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), '6/2903')
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), 'status 0')
  })

  it('of everything starts none of the tasks that the end of another would let go', () => {
    const disk = new TestDisk(64)
    disk.transport.holdData = true
    const write = disk.submit(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512), attribute: ordered })
    const behind = [disk.submit(readCdb(0)), disk.submit(readCdb(1), { attribute: ordered })]
    let done = 0
    disk.unit.reset(() => done++)
    assert.equal(done, 1)
    assert.ok([write, ...behind].every((task) => task.aborted && task.isDone))
    assert.deepEqual(disk.store.calls, [])
  })

  it('of a nexus that goes away ends its tasks only', () => {
    const disk = new TestDisk(64)
    const other = nexusNamed('two')
    disk.attach(other)
    disk.store.deferred = true
    const mine = disk.submit(readCdb(0))
    const theirs = disk.submit(readCdb(1), {}, other)
    disk.unit.detachNexus(other, 'nexus-loss')
    disk.store.releaseAll()
    assert.equal(mine.aborted, false)
    assert.equal(theirs.aborted, true)
  })

  it('lets a read wait for a write of a lost nexus, and only for that', () => {
    const disk = new TestDisk(64)
    const again = nexusNamed('one')
    disk.store.deferred = true
    const old = disk.submit(blockCdb(Opcode.write10, 3, 1), { dataOut: pattern(512, 1) })
    const early = disk.submit(blockCdb(Opcode.read10, 3, 1))
    assert.deepEqual(
      disk.store.calls,
      ['write 1536+512', 'read 1536+512'],
      'while it is a task, order is free',
    )
    disk.unit.detachNexus(disk.nexus, 'nexus-loss')
    disk.attach(again)
    const same = disk.submit(blockCdb(Opcode.read10, 3, 1), {}, again)
    const beside = disk.submit(blockCdb(Opcode.read10, 4, 1), {}, again)
    assert.deepEqual(disk.store.calls.slice(2), ['read 2048+512'])
    disk.store.releaseAll()
    disk.store.releaseAll()
    assert.deepEqual(
      [old, early, same, beside].map((task) => [task.isDone, task.aborted]),
      [
        [true, true],
        [true, true],
        [true, false],
        [true, false],
      ],
    )
    assert.deepEqual(Buffer.from(same.dataIn), Buffer.from(pattern(512, 1)))
    for (const task of [same, beside]) task.dataInBuffer?.release()
    assert.equal(disk.pool.inUse, 0)
  })

  it('keeps a write that is under way from landing on a later one', () => {
    const disk = new TestDisk(64)
    const again = nexusNamed('one')
    const writeCdb = (lba: number): Uint8Array => blockCdb(Opcode.write10, lba, 1)
    disk.store.deferred = true
    const old = disk.submit(writeCdb(3), { dataOut: pattern(512, 1) })
    disk.unit.detachNexus(disk.nexus, 'nexus-loss')
    disk.attach(again)
    const fresh = disk.submit(writeCdb(3), { dataOut: pattern(512, 2) }, again)
    const beside = disk.submit(writeCdb(4), { dataOut: pattern(512, 3) }, again)
    // Last in, first out, as two threads may write.
    for (let index = disk.store.waiting - 1; index >= 0; index--) disk.store.release(index)
    disk.store.releaseAll()
    assert.deepEqual(
      [old, fresh, beside].map((task) => task.isDone),
      [true, true, true],
    )
    assert.equal(old.aborted, true)
    assert.deepEqual(disk.store.bytes.slice(1536, 2048), pattern(512, 2))
    assert.deepEqual(disk.store.calls, ['write 1536+512', 'write 2048+512', 'write 1536+512'])
  })
})

describe('unit attention', () => {
  it('is reported once for each condition, most urgent first, by the first command that may', () => {
    const disk = new TestDisk(64)
    disk.unit.attention(0x2a01)
    disk.unit.attention(0x3f0e)
    disk.unit.attention(0x3f0e)
    assert.equal(senseOf(disk.run(cdbOf('12 00 00 00 24 00'))), 'status 0')
    assert.equal(senseOf(disk.run(readCdb(0))), '6/3f0e')
    assert.equal(senseOf(disk.run(cdbOf('ff'))), '6/2a01', 'an unknown command reports it too')
    assert.equal(senseOf(disk.run(readCdb(0))), 'status 0')
  })

  it('is given by REQUEST SENSE as data and cleared by it', () => {
    const disk = new TestDisk(64)
    disk.unit.attention(0x2a09)
    const fixed = disk.run(cdbOf('03 00 00 00 fc 00'))
    assert.equal(fixed.status, ScsiStatus.good)
    assert.deepEqual([fixed.data[0], fixed.data[2], fixed.data[12], fixed.data[13]], [0x70, 6, 0x2a, 0x09])
    const none = disk.run(cdbOf('03 01 00 00 fc 00'))
    assert.deepEqual([...none.data.subarray(0, 4)], [0x72, 0, 0, 0])
  })

  it('that LUNs have changed is heard by REPORT LUNS, which other attentions survive', () => {
    const disk = new TestDisk(64)
    const reportLuns = cdbOf('a0 00 00 00 00 00 00 00 01 00 00 00')
    const heard: string[] = []
    const other = { ...nexusNamed('two'), lunsChangeHeard: () => heard.push('heard') }
    disk.attach(other)
    disk.unit.attention(0x3f0e)
    disk.unit.attention(0x2a01)
    assert.equal(disk.run(reportLuns, {}, other).status, ScsiStatus.good)
    assert.deepEqual(heard, ['heard'])
    assert.equal(senseOf(disk.run(readCdb(0), {}, other)), '6/2a01')
    assert.equal(senseOf(disk.run(readCdb(0), {}, other)), 'status 0')
    assert.equal(senseOf(disk.run(readCdb(0))), '6/3f0e', 'of another nexus')
    disk.unit.attention(0x3f0e, disk.nexus)
    assert.equal(senseOf(disk.run(readCdb(0), {}, other)), '6/3f0e')
    assert.deepEqual(heard, ['heard', 'heard'], 'from one unit is from all')
  })

  it('can be asked for without being cleared, as can a deferred error', () => {
    const disk = new TestDisk(64)
    assert.equal(disk.unit.pendingEvent(disk.nexus), undefined)
    disk.store.failNext = { call: 'flush', error: { failure: 'medium' } }
    disk.run(cdbOf('35 02 00 00 00 00 00 00 00 00'))
    const deferred = { key: 3, additional: 0x0c00, information: 0, deferred: true }
    assert.deepEqual(disk.unit.pendingEvent(disk.nexus), { sense: deferred, hasMore: false })
    disk.unit.attention(0x2a09)
    const sense = { key: 6, additional: 0x2a09 }
    assert.deepEqual(disk.unit.pendingEvent(disk.nexus), { sense, hasMore: true })
    assert.equal(senseOf(disk.run(readCdb(0))), '6/2a09')
    assert.deepEqual(disk.unit.pendingEvent(disk.nexus), { sense: deferred, hasMore: false })
  })

  it('of a reset that a nexus had not heard of before it was lost is heard by the next', () => {
    const disk = new TestDisk(64)
    const heard = (name: string): string => {
      const nexus = nexusNamed(name)
      disk.unit.attachNexus(nexus)
      return senseOf(disk.run(testUnitReadyCdb(), {}, nexus))
    }
    disk.unit.reset(() => undefined)
    disk.unit.detachNexus(disk.nexus, 'nexus-loss')
    assert.equal(heard('one'), '6/2903')
    disk.unit.detachNexus(nexusNamed('away'), 'nexus-loss')
    disk.unit.reset(() => undefined)
    assert.equal(heard('away'), '6/2900', 'reset while nobody was there')
  })

  it('of a target that acts as after power on says so', () => {
    const disk = new TestDisk(64)
    disk.unit.reset(() => undefined, 'power-on')
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), '6/2900')
  })

  it('tells a new nexus of POWER ON, and one that was lost of its loss', () => {
    const disk = new TestDisk(64)
    const fresh = nexusNamed('two')
    disk.unit.attachNexus(fresh)
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, fresh)), '6/2900')
    disk.unit.detachNexus(fresh, 'nexus-loss')
    const again = nexusNamed('two')
    disk.unit.attachNexus(again)
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, again)), '6/2907')
    disk.unit.detachNexus(again, 'logout')
    const later = nexusNamed('two')
    disk.unit.attachNexus(later)
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, later)), '6/2900')
  })

  it('remembers lost nexuses up to a limit, the latest', () => {
    const disk = new TestDisk(64)
    for (let i = 0; i <= 1024; i++) disk.unit.detachNexus(nexusNamed(`lost${i}`), 'nexus-loss')
    const heard = (name: string): string => {
      const nexus = nexusNamed(name)
      disk.unit.attachNexus(nexus)
      return senseOf(disk.run(testUnitReadyCdb(), {}, nexus))
    }
    assert.equal(heard('lost0'), '6/2900')
    assert.equal(heard('lost1'), '6/2907')
    assert.equal(heard('lost1024'), '6/2907')
  })

  it('of a reset replaces what was pending, unless that outranks it', () => {
    const disk = new TestDisk(64)
    disk.unit.attention(0x2a01)
    disk.unit.reset(() => undefined)
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), '6/2903')
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), 'status 0')
    const fresh = nexusNamed('two')
    disk.unit.attachNexus(fresh)
    disk.unit.reset(() => undefined)
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, fresh)), '6/2900')
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, fresh)), 'status 0')
  })
})

describe('dispatch', () => {
  it('tells an unknown opcode from an unknown service action', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(disk.run(cdbOf('c0'))), '5/2000')
    const { sense } = disk.run(cdbOf('9e 1f'))
    assert.equal(sense?.additional, 0x2400)
    assert.deepEqual(sense.field, { in: 'cdb', byte: 1, bit: 4 })
  })

  it('points at the first reserved bit that is set', () => {
    const disk = new TestDisk(64)
    assert.deepEqual(disk.run(cdbOf('00 00 00 00 00 08')).sense?.field, { in: 'cdb', byte: 5, bit: 3 })
    assert.deepEqual(disk.run(cdbOf('25 00 00 00 00 00 30 00 00 00')).sense?.field, {
      in: 'cdb',
      byte: 6,
      bit: 5,
    })
    assert.equal(disk.run(cdbOf('00 00 00 00 00 00 ff ff')).status, ScsiStatus.good, 'past the CDB')
  })
})
