import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb } from '../scsi/cdb.ts'
import { set16, set64 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { decodeBlockLimits } from '../scsi/vpd.ts'
import type { Done } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import { finishAtomicWrite } from './atomic-writes.ts'
import { cdbOf, pattern, senseOf, TestDisk, TestStore } from './disk.test-helper.ts'

/** Durable when told, in the order of the calls of the store. */
class SlowRecords implements DurableRecords {
  value: unknown
  readonly #calls: string[]
  failNext = false
  constructor(calls: string[]) {
    this.#calls = calls
  }
  get(): unknown {
    return this.value
  }
  set(name: string, value: unknown, done: Done): void {
    this.#calls.push(`${value === undefined ? 'forget' : 'remember'} ${name}`)
    const fails = this.failNext
    this.failNext = false
    if (!fails) this.value = value
    done(fails ? { failure: 'no-space' } : undefined)
  }
}

function atomicDisk(physicalBlockBytes = 512): { disk: TestDisk; records: SlowRecords } {
  const store = new TestStore(1024 * 512, physicalBlockBytes)
  const records = new SlowRecords(store.calls)
  return { disk: new TestDisk(1024, { store, records }), records }
}

function atomicCdb(lba: number, blocks: number): Uint8Array {
  const cdb = cdbOf('9c 00 0000000000000000 0000 0000 00 00')
  set64(cdb, 2, lba)
  set16(cdb, 12, blocks)
  return cdb
}

const limitsOf = (disk: TestDisk) => decodeBlockLimits(disk.run(cdbOf('12 01 b0 00 ff 00')).data)

describe('WRITE ATOMIC (16)', () => {
  it('writes through a durable record that is gone before the status', () => {
    const { disk, records } = atomicDisk()
    const data = pattern(1024)
    assert.equal(
      senseOf(disk.run(atomicCdb(2, 2), { dataOut: [data.subarray(0, 100), data.subarray(100)] })),
      'status 0',
    )
    assert.deepEqual(disk.store.calls, ['remember atomicWrite', 'write 1024+1024 fua', 'forget atomicWrite'])
    assert.deepEqual(disk.store.bytes.subarray(1024, 2048), data)
    assert.equal(records.value, undefined)
    assert.equal(disk.pool.inUse, 0)
  })

  it('is finished at the next start where a crash came between', () => {
    const { disk, records } = atomicDisk()
    disk.store.deferred = true
    const data = pattern(512)
    disk.submit(atomicCdb(5, 1), { dataOut: data })
    const after = new TestStore(1024 * 512)
    const kept = JSON.parse(JSON.stringify(records.value)) as unknown
    records.value = kept
    let failure: unknown = 'not done'
    finishAtomicWrite(records, after, (error) => (failure = error))
    assert.equal(failure, undefined)
    assert.deepEqual(after.bytes.subarray(2560, 3072), data)
    assert.equal(records.value, undefined)
    finishAtomicWrite(records, after, (error) => (failure = error))
    assert.deepEqual(after.calls, ['write 2560+512 fua'], 'once')
  })

  it('keeps reads and writes of the same blocks waiting, and no others', () => {
    const { disk } = atomicDisk()
    disk.store.deferred = true
    const atomic = disk.submit(atomicCdb(0, 8), { dataOut: pattern(4096) })
    const read = disk.submit(blockCdb(Opcode.read10, 7, 1))
    const elsewhere = disk.submit(blockCdb(Opcode.read10, 8, 1))
    const write = disk.submit(blockCdb(Opcode.write10, 0, 1), { dataOut: new Uint8Array(512) })
    assert.deepEqual(disk.store.calls.slice(1), ['write 0+4096 fua', 'read 4096+512'])
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(atomic)), 'status 0')
    assert.deepEqual(disk.transport.outcome(read).data, pattern(4096).subarray(3584))
    assert.equal(senseOf(disk.transport.outcome(elsewhere)), 'status 0')
    assert.equal(senseOf(disk.transport.outcome(write)), 'status 0')
    assert.equal(disk.store.bytes[0], 0)
  })

  it('goes to its end when its task is aborted, and begins nothing that was aborted before', () => {
    const { disk, records } = atomicDisk()
    disk.store.deferred = true
    const first = disk.submit(atomicCdb(0, 1), { dataOut: pattern(512) })
    const second = disk.submit(atomicCdb(1, 1), { dataOut: pattern(512) })
    const third = disk.submit(atomicCdb(2, 1), { dataOut: pattern(512) })
    assert.equal(disk.pool.inUse, 1, 'those that wait take no memory beside their data')
    disk.unit.abort(first)
    disk.unit.abort(second)
    assert.equal(disk.transport.outcome(first).aborted, true)
    assert.equal(disk.transport.outcome(second).aborted, true)
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(third)), 'status 0')
    assert.deepEqual(disk.store.bytes.subarray(0, 512), pattern(512))
    assert.equal(
      disk.store.bytes.subarray(512, 1024).every((byte) => byte === 0),
      true,
    )
    assert.equal(records.value, undefined)
    assert.equal(disk.pool.inUse, 0)
  })

  it('writes nothing where it cannot be remembered, and reports a failed write', () => {
    const { disk, records } = atomicDisk()
    records.failNext = true
    assert.equal(senseOf(disk.run(atomicCdb(0, 1), { dataOut: pattern(512) })), '7/2707')
    assert.deepEqual(disk.store.calls, ['remember atomicWrite', 'forget atomicWrite'])
    disk.store.failNext = { call: 'write', error: { failure: 'medium' } }
    assert.equal(senseOf(disk.run(atomicCdb(0, 1), { dataOut: pattern(512) })), '3/0c00')
    assert.equal(senseOf(disk.run(atomicCdb(0, 1), { dataOut: pattern(512) })), 'status 0')
  })

  it('takes whole physical blocks, up to its limit, and says so', () => {
    const { disk } = atomicDisk(4096)
    const limits = limitsOf(disk)
    assert.deepEqual([limits?.atomicBlocks, limits?.atomicGranularityBlocks], [256, 8])
    const at = (lba: number, blocks: number) =>
      disk.run(atomicCdb(lba, blocks), { dataOut: new Uint8Array(blocks * 512) }).sense?.field?.byte
    assert.equal(at(1, 8), 2)
    assert.equal(at(8, 7), 12)
    assert.equal(at(0, 264), 12)
    assert.equal(at(8, 16), undefined)
    assert.equal(senseOf(disk.run(atomicCdb(1024, 8), { dataOut: new Uint8Array(4096) })), '5/2100')
    assert.equal(senseOf(disk.run(atomicCdb(1024, 0))), 'status 0')
    assert.equal(senseOf(disk.run(atomicCdb(1032, 0))), '5/2100')
    assert.equal(disk.run(atomicCdb(0, 8), { dataOut: new Uint8Array(512) }).sense?.field?.byte, 12)
  })

  it('exists only where it can be kept', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(disk.run(atomicCdb(0, 1), { dataOut: new Uint8Array(512) })), '5/2000')
    assert.equal(limitsOf(disk)?.atomicBlocks, 0)
  })
})
