import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as fc from 'fast-check'
import { blockCdb, cdbControlAt } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import type { ScsiTask } from '../scsi/task.ts'
import { TaskAttribute } from '../scsi/task.ts'
import { cdbOf, nexusNamed, pattern, TestDisk } from './disk.test-helper.ts'

const BLOCKS = 48

const READS = [Opcode.read6, Opcode.read10, Opcode.read12, Opcode.read16] as const
const WRITES = [Opcode.write6, Opcode.write10, Opcode.write12, Opcode.write16] as const

const opcodes = fc.oneof(fc.constantFrom(...Object.values(Opcode)), fc.nat(255))
// Mostly zeroes: otherwise nearly every CDB would fail at its first reserved bit.
const anyCdb = fc
  .tuple(
    opcodes,
    fc.uint8Array({ minLength: 15, maxLength: 15 }),
    fc.uint8Array({ minLength: 15, maxLength: 15 }),
  )
  .map(([opcode, rest, mask]) =>
    Uint8Array.of(opcode, ...rest.map((byte, i) => ((mask[i] ?? 0) < 200 ? 0 : byte))),
  )
/** Nothing wrong with these but, at times, their range. */
const blockCdbs = fc
  .tuple(
    fc.constantFrom(...READS, ...WRITES, Opcode.verify10, Opcode.writeSame16, Opcode.orWrite16),
    fc.nat(BLOCKS),
    fc.integer({ min: 1, max: 8 }),
    fc.constantFrom(0, 0, 0x08, 0x02),
  )
  .map(([opcode, lba, blocks, flags]) => blockCdb(opcode, lba, blocks, flags))
const compareCdbs = fc.tuple(fc.nat(BLOCKS), fc.integer({ min: 1, max: 4 })).map(([lba, blocks]) => {
  const cdb = blockCdb(Opcode.compareAndWrite, lba, 0)
  cdb[13] = blocks
  return cdb
})

const hostileTask = fc.record({
  cdb: fc.oneof(anyCdb, blockCdbs, compareCdbs),
  attribute: fc.constantFrom(...Object.values(TaskAttribute)),
  dataBytes: fc.constantFrom(0, 1, 24, 511, 512, 513, 1024, 4096),
  limitBytes: fc.constantFrom(0, 1, 8, 512, 5000, 1 << 20),
  nexus: fc.nat(1),
  priority: fc.nat(15),
  naca: fc.nat(4).map((n) => n === 0),
})
const event = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('submit' as const), task: hostileTask }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('supply' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('abort' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), pick: fc.nat(4) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('reset' as const, 'clear' as const, 'detach' as const) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear-aca' as const), nexus: fc.nat(1) }) },
)

describe('any CDBs, data, aborts and failures', () => {
  it('never throw, finish every task exactly once, and leave nothing behind', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom(0, 0, 1, 3),
        fc.array(event, { maxLength: 80 }),
        (deferred, holdData, queueError, events) => {
          const disk = new TestDisk(BLOCKS, { taskLimit: 16 })
          const modeSelect = cdbOf('15 10 00 00 10 00')
          const modes = cdbOf('00000000 0a0a02 00 00000000 00000000')
          modes[7] = 0x10 | (queueError << 1)
          assert.equal(disk.run(modeSelect, { dataOut: modes }).status, ScsiStatus.good)
          disk.store.deferred = deferred
          disk.transport.holdData = holdData
          const other = nexusNamed('two')
          disk.unit.attachNexus(other)
          const submitted: ScsiTask[] = []
          let managed = 0
          let expected = 0
          for (const one of events) {
            switch (one.kind) {
              case 'submit': {
                const { cdb, attribute, dataBytes, limitBytes, nexus, priority, naca } = one.task
                const dataOut = pattern(dataBytes, cdb[0])
                const options = { attribute, dataOut, dataInLimitBytes: limitBytes, priority }
                const controlAt = cdbControlAt(cdb[0] ?? 0)
                if (naca && controlAt > 0) cdb[controlAt] = 0x04
                submitted.push(disk.submit(cdb, options, nexus === 0 ? disk.nexus : other))
                break
              }
              case 'release':
                if (disk.store.waiting > 0) disk.store.release(one.pick % disk.store.waiting)
                break
              case 'supply': {
                const waiting = disk.transport.wanting.filter((task) => !task.isDone)
                const task = waiting[one.pick % Math.max(1, waiting.length)]
                if (task && holdData) disk.transport.supply(task)
                break
              }
              case 'abort': {
                const task = submitted[one.pick % Math.max(1, submitted.length)]
                if (task) disk.unit.abort(task)
                break
              }
              case 'fail': {
                const call = ['read', 'write', 'flush', 'trim', 'zero'][one.pick] ?? 'read'
                disk.store.failNext = { call, error: { failure: 'medium' } }
                break
              }
              case 'reset':
                expected++
                disk.unit.reset(() => managed++)
                break
              case 'clear':
                expected++
                disk.unit.abortTaskSet(disk.nexus, true, () => managed++)
                break
              case 'clear-aca':
                expected++
                disk.unit.clearAca(one.nexus === 0 ? disk.nexus : other, () => managed++)
                break
              case 'detach':
                disk.unit.detachNexus(other, 'nexus-loss')
                disk.unit.attachNexus(other)
                break
            }
          }
          // Let everything come to its end: data first, then the store, as often as one leads to the other.
          for (let round = 0; round < 200 && disk.unit.taskCount > 0; round++) {
            for (const task of disk.transport.wanting) if (!task.isDone) disk.transport.supply(task)
            disk.store.releaseAll()
            for (const nexus of [disk.nexus, other]) disk.unit.clearAca(nexus, () => undefined)
          }
          disk.store.releaseAll()
          assert.equal(disk.unit.taskCount, 0)
          assert.equal(managed, expected)
          assert.deepEqual(
            new Set(disk.transport.finished.slice(2)),
            new Set(submitted),
            'each task finished (the first two were the set-up)',
          )
          assert.equal(disk.transport.finished.length, submitted.length + 2)
          for (const task of submitted) {
            const { data } = disk.transport.outcome(task)
            assert.ok(data.length <= Math.min(task.dataInLengthBytes, task.dataInLimitBytes))
            if (task.status === ScsiStatus.checkCondition && !task.aborted) assert.ok(task.sense.length >= 8)
          }
          assert.equal(disk.pool.inUse, 0)
        },
      ),
      { numRuns: 400 },
    )
  })
})
