import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import { cdbOf, pattern, senseOf, TestDisk } from './disk.test-helper.ts'

const READS = [Opcode.read6, Opcode.read10, Opcode.read12, Opcode.read16]
const WRITES = [Opcode.write6, Opcode.write10, Opcode.write12, Opcode.write16]

describe('READ and WRITE', () => {
  for (const blockSizeBytes of [512, 4096] as const) {
    for (const [i, write] of WRITES.entries()) {
      it(`opcode ${write.toString(16)} writes ${blockSizeBytes}-byte blocks that its READ gives back`, () => {
        const disk = new TestDisk(64, { blockSizeBytes })
        const data = pattern(3 * blockSizeBytes)
        const written = disk.run(blockCdb(write, 5, 3), {
          dataOut: [data.subarray(0, 100), data.subarray(100)],
        })
        assert.equal(written.status, ScsiStatus.good)
        assert.deepEqual(disk.store.bytes.subarray(5 * blockSizeBytes, 8 * blockSizeBytes), data)
        const read = disk.run(blockCdb(READS[i] ?? Opcode.read10, 5, 3))
        assert.deepEqual(read.data, data)
        assert.equal(disk.pool.inUse, 0)
      })
    }
  }

  it('takes a length of zero as 256 blocks in 6-byte CDBs, as nothing in the others', () => {
    const disk = new TestDisk(512)
    const six = disk.submit(blockCdb(Opcode.read6, 0, 0))
    assert.equal(six.dataInLengthBytes, 256 * 512)
    disk.transport.outcome(six)
    for (const opcode of READS.slice(1)) {
      const task = disk.submit(blockCdb(opcode, 0, 0))
      assert.equal(task.dataInLengthBytes, 0)
      assert.equal(disk.transport.outcome(task).status, ScsiStatus.good)
    }
  })

  it('refuses ranges that end past the capacity, and takes an empty one at its end', () => {
    const disk = new TestDisk(64)
    const outOfRange: [number, number][] = [
      [64, 1],
      [63, 2],
      [65, 0],
      [0x8000_0000, 1],
      [0xffff_ffff, 0],
    ]
    for (const opcode of [...READS.slice(1), ...WRITES.slice(1)]) {
      for (const [lba, blocks] of outOfRange) {
        assert.equal(senseOf(disk.run(blockCdb(opcode, lba, blocks))), '5/2100', `${opcode} ${lba}+${blocks}`)
      }
      assert.equal(senseOf(disk.run(blockCdb(opcode, 64, 0))), 'status 0')
    }
    assert.equal(senseOf(disk.run(cdbOf('88 00 ffffffffffffffff 00000001 00 00'))), '5/2100')
    assert.equal(senseOf(disk.run(cdbOf('88 00 ffffffffffffffff ffffffff 00 00'))), '5/2100')
    assert.equal(senseOf(disk.run(cdbOf('88 00 0000000100000000 00000001 00 00'))), '5/2100')
    assert.equal(disk.store.calls.length, 0)
  })

  it('refuses a transfer past the maximum transfer length with a pointer to it', () => {
    const disk = new TestDisk(32 * 1024 + 1)
    const most = disk.submit(blockCdb(Opcode.read16, 0, 32 * 1024))
    assert.equal(disk.transport.outcome(most).status, ScsiStatus.good)
    const { sense } = disk.run(blockCdb(Opcode.read16, 0, 32 * 1024 + 1))
    assert.deepEqual(sense?.field, { in: 'cdb', byte: 10, bit: 7 })
    assert.equal(senseOf(disk.run(blockCdb(Opcode.write16, 0, 32 * 1024 + 1))), '5/2400')
  })

  it('gives no more than the initiator takes, and says how much there was', () => {
    const disk = new TestDisk(64)
    disk.store.bytes.set(pattern(2048))
    const task = disk.submit(blockCdb(Opcode.read10, 0, 4), { dataInLimitBytes: 700 })
    assert.equal(task.dataInLengthBytes, 2048)
    assert.deepEqual(disk.transport.outcome(task).data, pattern(2048).subarray(0, 700))
    assert.deepEqual(disk.store.calls, ['read 0+1024'], 'whole blocks are read')
    const none = disk.submit(blockCdb(Opcode.read10, 0, 4), { dataInLimitBytes: 0 })
    assert.equal(none.dataInLengthBytes, 2048)
    assert.equal(disk.transport.outcome(none).status, ScsiStatus.good)
    assert.equal(disk.pool.inUse, 0)
  })

  it('writes the whole blocks that came where the initiator sends less than its CDB says', () => {
    const disk = new TestDisk(64)
    const task = disk.submit(blockCdb(Opcode.write10, 1, 4), {
      dataOut: [pattern(600), pattern(600, 2)],
    })
    assert.equal(task.dataOutLengthBytes, 2048)
    assert.equal(task.status, ScsiStatus.good)
    assert.deepEqual(disk.store.calls, ['write 512+1024'])
    const sent = new Uint8Array(1200)
    sent.set(pattern(600))
    sent.set(pattern(600, 2), 600)
    assert.deepEqual(disk.store.bytes.subarray(512, 1536), sent.subarray(0, 1024))
    assert.ok(disk.store.bytes.subarray(1536).every((byte) => byte === 0))
    assert.equal(disk.run(blockCdb(Opcode.write10, 1, 4)).status, ScsiStatus.good)
    assert.equal(disk.store.calls.length, 1, 'without data nothing is written')
  })

  it('forces unit access for FUA, and for every write while the write cache is off', () => {
    const disk = new TestDisk(64)
    disk.run(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })
    disk.run(blockCdb(Opcode.write10, 0, 1, 0x18), { dataOut: pattern(512) })
    assert.deepEqual(disk.store.calls, ['write 0+512', 'write 0+512 fua'])
    const through = new TestDisk(64, { writeCache: false })
    through.run(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })
    assert.deepEqual(through.store.calls, ['write 0+512 fua'])
  })

  it('refuses protection information with a pointer to its field', () => {
    const disk = new TestDisk(64)
    for (const opcode of [...READS.slice(1), ...WRITES.slice(1)]) {
      const { sense } = disk.run(blockCdb(opcode, 0, 1, 0x20), { dataOut: pattern(512) })
      assert.equal(sense?.additional, 0x2400)
      assert.deepEqual(sense.field, { in: 'cdb', byte: 1, bit: 5 })
    }
    assert.equal(disk.run(blockCdb(Opcode.read10, 0, 1, 0x02)).status, ScsiStatus.good, 'FUA_NV is ignored')
  })

  it('turns failures of the store into sense data', () => {
    const disk = new TestDisk(64)
    const fail = (call: string, failure: 'medium' | 'no-space' | 'read-only' | 'gone', offset?: number) => {
      disk.store.failNext = { call, error: offset === undefined ? { failure } : { failure, offset } }
    }
    fail('read', 'medium', 8 * 512 + 3)
    const bad = disk.run(blockCdb(Opcode.read10, 7, 4))
    assert.equal(senseOf(bad), '3/1100')
    assert.equal(bad.sense?.information, 8)
    assert.equal(bad.data.length, 0)
    fail('write', 'medium')
    const worse = disk.run(blockCdb(Opcode.write10, 7, 1), { dataOut: pattern(512) })
    assert.equal(senseOf(worse), '3/0c00')
    assert.equal(worse.sense?.information, 7)
    fail('write', 'no-space')
    assert.equal(senseOf(disk.run(blockCdb(Opcode.write10, 7, 1), { dataOut: pattern(512) })), '7/2707')
    fail('write', 'read-only')
    assert.equal(senseOf(disk.run(blockCdb(Opcode.write10, 7, 1), { dataOut: pattern(512) })), '7/2700')
    fail('read', 'gone')
    assert.equal(senseOf(disk.run(blockCdb(Opcode.read10, 7, 1))), '2/0400')
    assert.equal(disk.pool.inUse, 0)
  })

  it('refuses every write to a read-only disk, even an empty one', () => {
    const disk = new TestDisk(64, { readOnly: true })
    for (const opcode of WRITES) assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 0))), '7/2700')
    assert.equal(disk.run(blockCdb(Opcode.read10, 0, 1)).status, ScsiStatus.good)
  })
})
