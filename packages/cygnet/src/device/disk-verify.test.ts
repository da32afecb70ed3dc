import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { pattern, senseOf, TestDisk } from './disk.test-helper.ts'

const ALL = 0x02
const ONE = 0x06

describe('VERIFY', () => {
  for (const opcode of [Opcode.verify10, Opcode.verify12, Opcode.verify16]) {
    const name = opcode.toString(16)

    it(`${name} compares all blocks with BYTCHK 01b and names the block that differs`, () => {
      const disk = new TestDisk(64)
      const data = pattern(2048)
      disk.store.bytes.set(data, 1024)
      const good = disk.run(blockCdb(opcode, 2, 4, ALL), {
        dataOut: [data.subarray(0, 777), data.subarray(777)],
      })
      assert.equal(senseOf(good), 'status 0')
      const changed = Uint8Array.from(data)
      changed[1600] = (changed[1600] ?? 0) ^ 1
      const bad = disk.run(blockCdb(opcode, 2, 4, ALL), { dataOut: changed })
      assert.equal(senseOf(bad), 'e/1d00')
      assert.equal(bad.sense?.information, 5)
      assert.equal(disk.pool.inUse, 0)
    })

    it(`${name} compares each block with the one sent with BYTCHK 11b`, () => {
      const disk = new TestDisk(64)
      for (let i = 0; i < 4; i++) disk.store.bytes.set(pattern(512, 4), i * 512)
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 4, ONE), { dataOut: pattern(512, 4) })), 'status 0')
      const bad = disk.run(blockCdb(opcode, 0, 5, ONE), { dataOut: pattern(512, 4) })
      assert.equal(senseOf(bad), 'e/1d00')
      assert.equal(bad.sense?.information, 4)
    })

    it(`${name} only reads without BYTCHK, and refuses BYTCHK 10b and protection`, () => {
      const disk = new TestDisk(64)
      const task = disk.submit(blockCdb(opcode, 0, 64), { dataOutLimitBytes: 512 })
      assert.equal(task.dataOutLengthBytes, 0)
      assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
      assert.deepEqual(disk.store.calls, ['read 0+32768'])
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 1, 0x04))), '5/2400')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 1, 0x20))), '5/2400')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 64, 1))), '5/2100')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 65, 0))), '5/2100')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 64, 0, ALL))), 'status 0')
    })
  }

  it('goes piece by piece over more than a piece, and stops where the medium fails', () => {
    const disk = new TestDisk(8192)
    assert.equal(senseOf(disk.run(blockCdb(Opcode.verify16, 1, 600))), 'status 0')
    assert.deepEqual(disk.store.calls, ['read 512+131072', 'read 131584+131072', 'read 262656+45056'])
    disk.store.failNext = { call: 'read', error: { failure: 'medium', offset: 512 * 77 } }
    const bad = disk.run(blockCdb(Opcode.verify16, 1, 600))
    assert.equal(senseOf(bad), '3/1100')
    assert.equal(bad.sense?.information, 77)
    const big = pattern(3 * 1024 * 1024)
    disk.store.bytes.set(big)
    big[2_500_000] = (big[2_500_000] ?? 0) ^ 0x80
    const differs = disk.run(blockCdb(Opcode.verify16, 0, 6144, ALL), { dataOut: big })
    assert.equal(differs.sense?.information, Math.floor(2_500_000 / 512))
    assert.equal(disk.pool.inUse, 0)
  })

  it('takes little memory for each task, as nobody else counts it', () => {
    const disk = new TestDisk(8192)
    disk.store.deferred = true
    const tasks = Array.from({ length: 1024 }, () => disk.submit(blockCdb(Opcode.verify16, 0, 8192)))
    assert.equal(disk.pool.inUse, tasks.length)
    assert.ok(disk.pool.inUseBytes <= 128 * 1024 * 1024)
  })

  it('stops between pieces when aborted', () => {
    const disk = new TestDisk(8192)
    disk.store.deferred = true
    const task = disk.submit(blockCdb(Opcode.verify16, 0, 8192))
    disk.unit.abort(task)
    assert.equal(task.isDone, false, 'its read is still under way')
    disk.store.releaseAll()
    assert.equal(disk.transport.outcome(task).aborted, true)
    assert.equal(disk.store.calls.length, 1)
    assert.equal(disk.pool.inUse, 0)
  })
})

describe('WRITE AND VERIFY', () => {
  for (const opcode of [Opcode.writeAndVerify10, Opcode.writeAndVerify12, Opcode.writeAndVerify16]) {
    it(`${opcode.toString(16)} writes to the medium and reads it back`, () => {
      const disk = new TestDisk(64)
      const data = pattern(1024)
      assert.equal(senseOf(disk.run(blockCdb(opcode, 3, 2, ALL), { dataOut: data })), 'status 0')
      assert.deepEqual(disk.store.calls, ['write 1536+1024 fua', 'read 1536+1024'])
      assert.deepEqual(disk.store.bytes.subarray(1536, 2560), data)
      assert.equal(senseOf(disk.run(blockCdb(opcode, 3, 2, ONE), { dataOut: data })), '5/2400')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 65, 0))), '5/2100')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 64, 0))), 'status 0')
      assert.equal(disk.pool.inUse, 0)
    })
  }

  it('writes and verifies what came of a short buffer, and reports a failed write', () => {
    const disk = new TestDisk(64)
    disk.run(blockCdb(Opcode.writeAndVerify10, 0, 4), { dataOut: pattern(1300) })
    assert.deepEqual(disk.store.calls, ['write 0+1024 fua', 'read 0+1024'])
    disk.store.failNext = { call: 'write', error: { failure: 'medium' } }
    assert.equal(
      senseOf(disk.run(blockCdb(Opcode.writeAndVerify10, 0, 1), { dataOut: pattern(512) })),
      '3/0c00',
    )
  })
})
