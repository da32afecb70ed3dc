import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { pattern, senseOf, TestDisk } from './disk.test-helper.ts'

const compareCdb = (lba: number, blocks: number, flags = 0): Uint8Array => {
  const cdb = blockCdb(Opcode.compareAndWrite, lba, 0, flags)
  cdb[13] = blocks
  return cdb
}

const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts))

describe('COMPARE AND WRITE', () => {
  it('writes where the blocks are as expected, however the data were cut', () => {
    const disk = new TestDisk(64)
    const old = pattern(1024)
    const fresh = pattern(1024, 2)
    disk.store.bytes.set(old, 512)
    const sent = join(old, fresh)
    const dataOut = [sent.subarray(0, 700), sent.subarray(700, 1100), sent.subarray(1100)]
    assert.equal(senseOf(disk.run(compareCdb(1, 2, 0x08), { dataOut })), 'status 0')
    assert.deepEqual(disk.store.bytes.subarray(512, 1536), fresh)
    assert.deepEqual(disk.store.calls, ['read 512+1024', 'write 512+1024 fua'])
    assert.equal(disk.pool.inUse, 0)
  })

  it('says where the first byte differs and writes nothing', () => {
    const disk = new TestDisk(64)
    for (const at of [0, 511, 512, 1023]) {
      const expected = new Uint8Array(1024)
      expected[at] = 1
      const outcome = disk.run(compareCdb(0, 2), { dataOut: join(expected, pattern(1024)) })
      assert.equal(senseOf(outcome), 'e/1d00')
      assert.equal(outcome.sense?.information, at)
    }
    assert.ok(disk.store.calls.every((call) => call.startsWith('read')))
    assert.equal(disk.pool.inUse, 0)
  })

  it('refuses a Data-Out buffer that is not twice its length', () => {
    const disk = new TestDisk(64)
    for (const blocks of [1, 3]) {
      assert.equal(senseOf(disk.run(compareCdb(0, blocks), { dataOut: pattern(2048) })), '5/2400')
    }
    assert.equal(senseOf(disk.run(compareCdb(0, 0), { dataOut: pattern(512) })), '5/2400')
    assert.equal(senseOf(disk.run(compareCdb(0, 0))), 'status 0')
    assert.equal(senseOf(disk.run(compareCdb(64, 1), { dataOut: pattern(1024) })), '5/2100')
  })

  it('lets no write come between its comparison and its write', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const first = disk.submit(compareCdb(4, 1), { dataOut: join(new Uint8Array(512), pattern(512)) })
    const write = disk.submit(blockCdb(Opcode.write10, 0, 8), { dataOut: pattern(4096, 3) })
    const second = disk.submit(compareCdb(4, 1), { dataOut: join(new Uint8Array(512), pattern(512, 5)) })
    const elsewhere = disk.submit(blockCdb(Opcode.write10, 20, 1), { dataOut: pattern(512) })
    assert.deepEqual(disk.store.calls, ['read 2048+512', 'write 10240+512'])
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(first)), 'status 0')
    assert.equal(senseOf(disk.transport.outcome(write)), 'status 0')
    assert.equal(senseOf(disk.transport.outcome(second)), 'e/1d00', 'it compares with what the write left')
    assert.equal(senseOf(disk.transport.outcome(elsewhere)), 'status 0')
    assert.deepEqual(disk.store.calls.slice(2), ['write 2048+512', 'write 0+4096', 'read 2048+512'])
    assert.equal(disk.pool.inUse, 0)
  })

  it('waits for a write that is under way, and is gone when aborted meanwhile', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    disk.submit(blockCdb(Opcode.write10, 4, 1), { dataOut: pattern(512) })
    const compare = disk.submit(compareCdb(4, 1), { dataOut: join(new Uint8Array(512), pattern(512)) })
    const behind = disk.submit(blockCdb(Opcode.write10, 4, 1), { dataOut: pattern(512, 7) })
    assert.equal(disk.store.calls.length, 1)
    disk.unit.abort(compare)
    assert.equal(disk.transport.outcome(compare).aborted, true)
    assert.equal(disk.store.calls.length, 2, 'the write behind it need not wait for the one before')
    disk.store.releaseAll()
    assert.equal(behind.isDone, true)
    assert.equal(disk.unit.taskCount, 0)
  })

  it('reports failures of its read and of its write', () => {
    const disk = new TestDisk(64)
    const dataOut = join(new Uint8Array(512), pattern(512))
    disk.store.failNext = { call: 'read', error: { failure: 'medium' } }
    assert.equal(senseOf(disk.run(compareCdb(3, 1), { dataOut })), '3/1100')
    disk.store.failNext = { call: 'write', error: { failure: 'no-space' } }
    assert.equal(senseOf(disk.run(compareCdb(3, 1), { dataOut })), '7/2707')
    assert.equal(disk.pool.inUse, 0)
  })
})

describe('ORWRITE', () => {
  it('sets the bits of the data in the blocks', () => {
    const disk = new TestDisk(64)
    disk.store.bytes.set(pattern(1024), 512)
    const data = pattern(1024, 9)
    const outcome = disk.run(blockCdb(Opcode.orWrite16, 1, 2), {
      dataOut: [data.subarray(0, 99), data.subarray(99)],
    })
    assert.equal(senseOf(outcome), 'status 0')
    const expected = pattern(1024).map((byte, i) => byte | (data[i] ?? 0))
    assert.deepEqual(disk.store.bytes.subarray(512, 1536), expected)
    assert.equal(disk.pool.inUse, 0)
  })

  it('checks its range and takes an empty one', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(disk.run(blockCdb(Opcode.orWrite16, 64, 1), { dataOut: pattern(512) })), '5/2100')
    assert.equal(senseOf(disk.run(blockCdb(Opcode.orWrite16, 64, 0))), 'status 0')
    assert.equal(
      senseOf(disk.run(blockCdb(Opcode.orWrite16, 0, 1, 0x20), { dataOut: pattern(512) })),
      '5/2400',
    )
  })
})
