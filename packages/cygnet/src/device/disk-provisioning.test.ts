import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb } from '../scsi/cdb.ts'
import { set16, set32, set64 } from '../scsi/fields.ts'
import { Opcode, ServiceAction } from '../scsi/opcodes.ts'
import { cdbOf, pattern, senseOf, TestDisk, TestStore } from './disk.test-helper.ts'

const UNMAP = 0x08
const NDOB = 0x01

const unmapCdb = (lengthBytes: number): Uint8Array => {
  const cdb = cdbOf('42 00 00 00 00 00 00 0000 00')
  set16(cdb, 7, lengthBytes)
  return cdb
}

function unmapList(ranges: readonly (readonly [lba: number, blocks: number])[]): Uint8Array {
  const list = new Uint8Array(8 + 16 * ranges.length)
  set16(list, 0, list.length - 2)
  set16(list, 2, list.length - 8)
  for (const [i, [lba, blocks]] of ranges.entries()) {
    set64(list, 8 + 16 * i, lba)
    set32(list, 16 + 16 * i, blocks)
  }
  return list
}

const unmap = (disk: TestDisk, ranges: readonly (readonly [number, number])[]): string => {
  const list = unmapList(ranges)
  return senseOf(disk.run(unmapCdb(list.length), { dataOut: [list.subarray(0, 5), list.subarray(5)] }))
}

describe('UNMAP', () => {
  it('trims each range; empty ones and an empty list do nothing', () => {
    const disk = new TestDisk(64)
    disk.store.bytes.fill(7)
    const ranges = [[8, 8] as const, [3, 0] as const, [63, 1] as const]
    assert.equal(unmap(disk, ranges), 'status 0')
    assert.deepEqual(disk.store.calls, ['trim 4096+4096', 'trim 32256+512'])
    assert.equal(unmap(disk, []), 'status 0')
    assert.equal(senseOf(disk.run(unmapCdb(0))), 'status 0')
    assert.equal(disk.store.calls.length, 2)
  })

  it('keeps COMPARE AND WRITE off all its ranges until the last is done', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const list = unmapList([
      [8, 8],
      [40, 1],
    ])
    disk.submit(unmapCdb(list.length), { dataOut: list })
    const compare = blockCdb(Opcode.compareAndWrite, 8, 1)
    disk.submit(compare, { dataOut: new Uint8Array(1024) })
    disk.store.release()
    assert.deepEqual(disk.store.calls, ['trim 4096+4096', 'trim 20480+512'])
    disk.store.release()
    assert.equal(disk.store.calls.at(-1), 'read 4096+512')
    disk.store.releaseAll()
    assert.equal(disk.unit.taskCount, 0)
  })

  it('checks every descriptor before it unmaps anything', () => {
    const disk = new TestDisk(64)
    assert.equal(unmap(disk, [[0, 1] as const, [63, 2] as const]), '5/2100')
    assert.equal(unmap(disk, [[0, 1] as const, [2 ** 52, 1] as const]), '5/2100')
    assert.equal(unmap(disk, [[0, 1024 * 1024 + 1] as const]), '5/2600')
    assert.equal(
      unmap(
        disk,
        Array.from({ length: 257 }, () => [0, 0] as const),
      ),
      '5/2600',
    )
    assert.equal(
      unmap(
        disk,
        Array.from({ length: 256 }, () => [0, 0] as const),
      ),
      'status 0',
    )
    assert.equal(disk.store.calls.length, 0)
  })

  it('wants its whole parameter list', () => {
    const disk = new TestDisk(64)
    const list = unmapList([[0, 1]])
    assert.equal(senseOf(disk.run(unmapCdb(4), { dataOut: list })), '5/1a00')
    assert.equal(senseOf(disk.run(unmapCdb(24), { dataOut: list.subarray(0, 23) })), '5/1a00')
    assert.equal(senseOf(disk.run(unmapCdb(16), { dataOut: list.subarray(0, 16) })), '5/1a00')
    assert.equal(senseOf(disk.run(cdbOf('42 01 00 00 00 00 00 0018 00'), { dataOut: list })), '5/2400')
  })

  it('does not exist where the store cannot trim, nor in what the disk says', () => {
    const store = new TestStore(64 * 512)
    store.can.trim = false
    const disk = new TestDisk(64, { store })
    assert.equal(unmap(disk, [[0, 1]]), '5/2000')
    const sameUnmap = disk.run(blockCdb(Opcode.writeSame16, 0, 1, UNMAP), { dataOut: new Uint8Array(512) })
    assert.equal(senseOf(sameUnmap), '5/2400')
    assert.equal(disk.run(cdbOf('12 01 b2 00 ff 00')).data[5], 0)
    assert.deepEqual(
      [...disk.run(cdbOf('12 01 b0 00 ff 00')).data.subarray(20, 28)],
      [0, 0, 0, 0, 0, 0, 0, 0],
    )
    const capacity = disk.run(cdbOf('9e 10 00000000 00000000 00000020 00 00'))
    assert.equal(capacity.data[14], 0)
  })

  it('reports a failing trim', () => {
    const disk = new TestDisk(64)
    disk.store.failNext = { call: 'trim', error: { failure: 'read-only' } }
    assert.equal(unmap(disk, [[0, 1]]), '7/2700')
  })
})

describe('WRITE SAME', () => {
  for (const opcode of [Opcode.writeSame10, Opcode.writeSame16]) {
    const name = opcode.toString(16)

    it(`${name} repeats its block`, () => {
      const disk = new TestDisk(8192)
      const block = pattern(512)
      const outcome = disk.run(blockCdb(opcode, 7, 600), {
        dataOut: [block.subarray(0, 9), block.subarray(9)],
      })
      assert.equal(senseOf(outcome), 'status 0')
      for (let lba = 0; lba < 8192; lba++) {
        const expected = lba >= 7 && lba < 607 ? block : new Uint8Array(512)
        assert.ok(
          Buffer.compare(disk.store.bytes.subarray(lba * 512, lba * 512 + 512), expected) === 0,
          `${lba}`,
        )
      }
      assert.deepEqual(disk.store.calls, ['write 3584+131072', 'write 134656+131072', 'write 265728+45056'])
      assert.equal(disk.pool.inUse, 0)
    })

    it(`${name} writes zeroes as zeroes, and releases space only with UNMAP`, () => {
      const disk = new TestDisk(64)
      disk.run(blockCdb(opcode, 1, 2), { dataOut: new Uint8Array(512) })
      disk.run(blockCdb(opcode, 1, 2, UNMAP), { dataOut: new Uint8Array(512) })
      disk.run(blockCdb(opcode, 1, 2, UNMAP), { dataOut: pattern(512) })
      assert.deepEqual(disk.store.calls, ['zero 512+1024', 'zero 512+1024 may-trim', 'write 512+1024'])
    })

    it(`${name} refuses too many blocks, a buffer that is no block, ANCHOR and protection`, () => {
      const disk = new TestDisk(64)
      const dataOut = pattern(512)
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 0), { dataOut })), '5/2400')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 65, 0), { dataOut })), '5/2100')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 64, 1), { dataOut })), '5/2100')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 1), { dataOut: pattern(256) })), '5/2400')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 1), { dataOut: pattern(1024) })), '5/2400')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 1, 0x10), { dataOut })), '5/2400')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 1, 0x20), { dataOut })), '5/2400')
      assert.equal(disk.store.calls.length, 0)
    })
  }

  it('of zero blocks goes to the last one, where that is not more than the limit', () => {
    const disk = new TestDisk(64, { thin: false })
    disk.store.bytes.fill(9)
    assert.equal(
      senseOf(disk.run(blockCdb(Opcode.writeSame16, 62, 0), { dataOut: pattern(512) })),
      'status 0',
    )
    assert.deepEqual(disk.store.calls, ['write 31744+1024'])
    assert.equal(senseOf(disk.run(blockCdb(Opcode.writeSame16, 64, 0), { dataOut: pattern(512) })), '5/2100')
    const large = new TestDisk(32 * 1024 + 1, { thin: false })
    assert.equal(senseOf(large.run(blockCdb(Opcode.writeSame16, 0, 0), { dataOut: pattern(512) })), '5/2400')
    assert.equal(
      senseOf(large.run(blockCdb(Opcode.writeSame16, 1, 0), { dataOut: pattern(512) })),
      'status 0',
    )
  })

  it('takes no data with NDOB, which only the 16-byte command has', () => {
    const disk = new TestDisk(64)
    const task = disk.submit(blockCdb(Opcode.writeSame16, 0, 4, NDOB | UNMAP))
    assert.equal(task.dataOutLengthBytes, 0)
    assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
    assert.deepEqual(disk.store.calls, ['zero 0+2048 may-trim'])
    assert.equal(senseOf(disk.run(blockCdb(Opcode.writeSame10, 0, 4, NDOB))), '5/2400')
  })

  it('has the limit that the block limits page reports', () => {
    const store = new TestStore(0)
    const blocks = 32 * 1024
    const sparse = Object.assign(store, { geometry: { ...store.geometry, sizeBytes: (blocks + 1) * 512 } })
    const disk = new TestDisk(0, { store: sparse })
    assert.equal(senseOf(disk.run(blockCdb(Opcode.writeSame16, 0, blocks, NDOB))), 'status 0')
    assert.equal(senseOf(disk.run(blockCdb(Opcode.writeSame16, 0, blocks + 1, NDOB))), '5/2400')
    const limits = disk.run(cdbOf('12 01 b0 00 ff 00')).data
    assert.deepEqual([...limits.subarray(36, 44)], [0, 0, 0, 0, 0, 0, 0x80, 0])
  })

  it('flushes what has no force unit access while the write cache is off', () => {
    const disk = new TestDisk(64, { writeCache: false })
    disk.run(blockCdb(Opcode.writeSame10, 0, 1), { dataOut: new Uint8Array(512) })
    disk.run(blockCdb(Opcode.writeSame10, 0, 1), { dataOut: pattern(512) })
    assert.deepEqual(disk.store.calls, ['zero 0+512', 'flush', 'write 0+512 fua'])
  })

  it('reports a failure in the middle by the block', () => {
    const disk = new TestDisk(8192)
    disk.store.deferred = true
    const task = disk.submit(blockCdb(Opcode.writeSame16, 0, 4096), { dataOut: pattern(512) })
    disk.store.failNext = { call: 'write', error: { failure: 'medium' } }
    disk.store.releaseAll()
    const outcome = disk.transport.outcome(task)
    assert.equal(senseOf(outcome), '3/0c00')
    assert.equal(outcome.sense?.information, 256)
    assert.equal(disk.pool.inUse, 0)
  })
})

describe('GET LBA STATUS', () => {
  const cdbAt = (lba: number, allocationBytes: number): Uint8Array => {
    const cdb = new Uint8Array(16)
    cdb[0] = Opcode.serviceActionIn16
    cdb[1] = ServiceAction.getLbaStatus
    set64(cdb, 2, lba)
    set32(cdb, 10, allocationBytes)
    return cdb
  }
  const descriptors = (data: Uint8Array): number[][] => {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
    const list: number[][] = []
    for (let at = 8; at < data.length; at += 16) {
      list.push([Number(view.getBigUint64(at)), view.getUint32(at + 8), view.getUint8(at + 12)])
    }
    return list
  }

  it('tells data from holes from the asked LBA on, rounding holes inwards', () => {
    const disk = new TestDisk(64)
    disk.store.extentList = [
      { offset: 1024, lengthBytes: 1100, kind: 'data' },
      { offset: 2124, lengthBytes: 3000, kind: 'hole' },
      { offset: 5124, lengthBytes: 27_644, kind: 'data' },
    ]
    const { data } = disk.run(cdbAt(2, 4096))
    assert.deepEqual(descriptors(data), [
      [2, 3, 0],
      [5, 5, 1],
      [10, 54, 0],
    ])
    assert.equal(data[3], data.length - 4)
    assert.deepEqual(disk.store.calls, ['extents 1024+31744'])
  })

  it('gives as many descriptors as the allocation length holds, at least one', () => {
    const disk = new TestDisk(64)
    disk.store.extentList = [{ offset: 0, lengthBytes: 512, kind: 'hole' }]
    assert.equal(descriptors(disk.run(cdbAt(0, 24)).data).length, 1)
    assert.equal(descriptors(disk.run(cdbAt(0, 39)).data).length, 1)
    assert.equal(descriptors(disk.run(cdbAt(0, 40)).data).length, 2)
    assert.equal(disk.run(cdbAt(0, 8)).data.length, 8)
    assert.equal(disk.run(cdbAt(0, 0)).data.length, 0)
  })

  it('counts everything as mapped where the store knows no holes', () => {
    const store = new TestStore(64 * 512)
    store.can.extents = false
    const disk = new TestDisk(64, { store })
    assert.deepEqual(descriptors(disk.run(cdbAt(60, 4096)).data), [[60, 4, 0]])
  })

  it('refuses an LBA at or past the capacity, and reports failures', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(disk.run(cdbAt(64, 24))), '5/2100')
    assert.equal(senseOf(disk.run(cdbOf('9e 12 ffffffffffffffff 00000018 00 00'))), '5/2100')
    disk.store.failNext = { call: 'extents', error: { failure: 'gone' } }
    assert.equal(senseOf(disk.run(cdbAt(0, 24))), '2/0400')
  })
})
