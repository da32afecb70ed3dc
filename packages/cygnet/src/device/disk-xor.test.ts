import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb, hasNaca } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { ScsiStatus } from '../scsi/status.ts'
import { cdbOf, pattern, senseOf, TestDisk } from './disk.test-helper.ts'

const xor10 = (lba: number, blocks: number, flags = 0): Uint8Array =>
  blockCdb(Opcode.xdWriteRead10, lba, blocks, flags)

function xor32(lba: number, blocks: number, flags = 0): Uint8Array {
  const cdb = cdbOf('7f 00 00000000 00 18 0007 00 00 0000000000000000 0000000000000000 00000000')
  cdb[10] = flags
  cdb[19] = lba
  cdb[31] = blocks
  return cdb
}

const exclusiveOr = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((byte, i) => byte ^ (b[i] ?? 0))

/** A disk whose blocks hold something. */
function filledDisk(): { disk: TestDisk; before: Uint8Array } {
  const disk = new TestDisk(64)
  disk.store.bytes.set(pattern(64 * 512, 3))
  return { disk, before: Uint8Array.from(disk.store.bytes) }
}

for (const [name, cdbFor] of [
  ['XDWRITEREAD (10)', xor10],
  ['XDWRITEREAD (32)', xor32],
] as const) {
  describe(name, () => {
    it('writes what was sent and returns its exclusive or with what was there', () => {
      const { disk, before } = filledDisk()
      const sent = pattern(3 * 512, 9)
      const outcome = disk.run(cdbFor(2, 3), { dataOut: [sent.subarray(0, 700), sent.subarray(700)] })
      assert.equal(outcome.status, ScsiStatus.good)
      assert.deepEqual(outcome.data, exclusiveOr(before.subarray(1024, 2560), sent))
      assert.deepEqual(disk.store.bytes.subarray(1024, 2560), sent)
      assert.deepEqual(disk.store.bytes.subarray(2560), before.subarray(2560))
      assert.equal(disk.pool.inUse, 0)
    })

    it('with DISABLE WRITE leaves the blocks as they are', () => {
      const { disk, before } = filledDisk()
      const sent = pattern(512, 9)
      const { data } = disk.run(cdbFor(0, 1, 0x04), { dataOut: sent })
      assert.deepEqual(data, exclusiveOr(before.subarray(0, 512), sent))
      assert.deepEqual(disk.store.bytes, before)
      assert.deepEqual(disk.store.calls, ['read 0+512'])
    })

    it('with FUA makes the data durable', () => {
      const { disk } = filledDisk()
      disk.run(cdbFor(0, 1, 0x08), { dataOut: pattern(512) })
      assert.deepEqual(disk.store.calls, ['read 0+512', 'write 0+512 fua'])
    })

    it('goes as far as the data that was sent, and says both lengths for the residuals', () => {
      const { disk, before } = filledDisk()
      const sent = pattern(1000, 9)
      const task = disk.submit(cdbFor(0, 3), { dataOut: sent, dataInLimitBytes: 100 })
      assert.deepEqual([task.dataOutLengthBytes, task.dataOutLimitBytes], [1536, 1000])
      assert.deepEqual([task.dataInLengthBytes, task.dataInLimitBytes], [512, 100])
      assert.deepEqual(disk.transport.outcome(task).data, exclusiveOr(before.subarray(0, 100), sent))
      assert.deepEqual(disk.store.bytes.subarray(0, 512), sent.subarray(0, 512))
      assert.deepEqual(disk.store.bytes.subarray(512), before.subarray(512))
    })

    it('checks range, reserved bits and write protection', () => {
      const { disk } = filledDisk()
      assert.equal(senseOf(disk.run(cdbFor(63, 2), { dataOut: pattern(1024) })), '5/2100')
      assert.equal(senseOf(disk.run(cdbFor(0, 1, 0x01), { dataOut: pattern(512) })), '5/2400', 'XORPINFO')
      const protectedDisk = new TestDisk(64, { readOnly: true })
      assert.equal(senseOf(protectedDisk.run(cdbFor(0, 1), { dataOut: pattern(512) })), '7/2700')
    })

    it('returns nothing where the store fails', () => {
      for (const [call, sense] of [
        ['read', '3/1100'],
        ['write', '3/0c00'],
      ] as const) {
        const { disk } = filledDisk()
        disk.store.failNext = { call, error: { failure: 'medium' } }
        const task = disk.submit(cdbFor(0, 1), { dataOut: pattern(512) })
        assert.equal(task.dataInLengthBytes, 0)
        assert.equal(senseOf(disk.transport.outcome(task)), sense)
        assert.equal(disk.pool.inUse, 0)
      }
    })

    it('lets no write of another task fall between its read and its write', () => {
      const { disk, before } = filledDisk()
      disk.store.deferred = true
      const sent = pattern(512, 9)
      const task = disk.submit(cdbFor(0, 1), { dataOut: sent })
      const later = disk.submit(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512, 5) })
      assert.deepEqual(disk.store.calls, ['read 0+512'])
      disk.store.releaseAll()
      disk.store.releaseAll()
      assert.equal(later.isDone, true)
      assert.deepEqual(disk.transport.outcome(task).data, exclusiveOr(before.subarray(0, 512), sent))
      assert.deepEqual(disk.store.bytes.subarray(0, 512), pattern(512, 5))
    })
  })
}

describe('a variable length CDB', () => {
  const dataOut = pattern(512)

  it('is refused where ADDITIONAL CDB LENGTH is not that of the command', () => {
    const { disk } = filledDisk()
    const cdb = xor32(0, 1)
    cdb[7] = 0x14
    assert.deepEqual(disk.run(cdb, { dataOut }).sense?.field, { in: 'cdb', byte: 7, bit: 7 })
  })

  it('is refused where its transport brought less than it says', () => {
    const { disk } = filledDisk()
    const outcome = disk.run(xor32(0, 1).subarray(0, 16), { dataOut })
    assert.deepEqual(outcome.sense?.field, { in: 'cdb', byte: 7, bit: 7 })
    assert.deepEqual(disk.store.calls, [])
  })

  it('is refused with another service action, of which all 16 bits count', () => {
    const { disk } = filledDisk()
    const cdb = xor32(0, 1)
    cdb[8] = 0x01
    assert.deepEqual(disk.run(cdb, { dataOut }).sense?.field, { in: 'cdb', byte: 8, bit: 7 })
  })

  it('has CONTROL in byte 1', () => {
    const { disk } = filledDisk()
    const cdb = xor32(64, 1)
    cdb[1] = 0x04
    assert.equal(hasNaca(cdb), true)
    assert.equal(senseOf(disk.run(cdb, { dataOut })), '5/2100')
    assert.equal(disk.run(cdbOf('00')).status, ScsiStatus.acaActive)
  })
})
