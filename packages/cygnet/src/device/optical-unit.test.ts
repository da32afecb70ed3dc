import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeCapacity10, decodeCapacity16 } from '../scsi/capacity.ts'
import { blockCdb, inquiryCdb, readCapacity16Cdb, testUnitReadyCdb } from '../scsi/cdb.ts'
import { get16, get32 } from '../scsi/fields.ts'
import { decodeInquiry } from '../scsi/inquiry.ts'
import { DISC_BLOCK_BYTES } from '../scsi/mmc-address.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { Nexus } from '../scsi/task.ts'
import { decodeSerialNumber } from '../scsi/vpd.ts'
import { cdbOf, nexusNamed, senseOf, TestStore, TEST_IDENTITY } from './disk.test-helper.ts'
import { CD_BLOCKS } from './optical-disc.ts'
import { OpticalUnit } from './optical-unit.ts'
import { LargeDiscStore, TestDrive } from './optical.test-helper.ts'
import { TargetPortGroups } from './target-port-groups.ts'

const READY = testUnitReadyCdb()
const EJECT = cdbOf('1b 00 00 00 02 00')
const LOAD = cdbOf('1b 00 00 00 03 00')
const PREVENT = cdbOf('1e 00 00 00 01 00')
const bytesOf = (drive: TestDrive, lba: number, blocks: number): Uint8Array =>
  drive.store.bytes.subarray(lba * DISC_BLOCK_BYTES, (lba + blocks) * DISC_BLOCK_BYTES)

describe('a CD/DVD drive', () => {
  it('takes only an image of whole blocks', () => {
    const { pool } = new TestDrive()
    const make = (sizeBytes: number) => () =>
      new OpticalUnit({ store: new TestStore(sizeBytes), pool, identity: TEST_IDENTITY })
    assert.throws(make(0), { code: 'ERR_DISC_SIZE' })
    assert.throws(make(2048 + 512), { code: 'ERR_DISC_SIZE', message: /2560 bytes.*2048-byte/ })
    assert.doesNotThrow(make(2048))
  })

  it('is a removable device of type 5, with an identity', () => {
    const drive = new TestDrive()
    const data = decodeInquiry(drive.run(inquiryCdb(96)).data)
    assert.deepEqual(
      [data?.deviceType, data?.removable, data?.product, data?.versionDescriptors.includes(0x04e0)],
      [5, true, 'Virtual CD/DVD', true],
    )
    assert.equal(decodeSerialNumber(drive.run(inquiryCdb(96, 0x80)).data), 'SERIAL01')
    const pages = [...drive.run(inquiryCdb(96, 0)).data.subarray(4)]
    assert.deepEqual(pages, [0x00, 0x80, 0x83, 0x86, 0x87, 0x88])
    for (const page of pages) assert.equal(drive.run(inquiryCdb(252, page)).data[0], 5)
  })

  it('tells its size in blocks of 2048 bytes', () => {
    const drive = new TestDrive()
    const size = { blocks: 64, blockBytes: 2048 }
    assert.deepEqual(decodeCapacity10(drive.run(cdbOf('25 00 00000000 00 0000 00')).data), size)
    assert.deepEqual(decodeCapacity16(drive.run(readCapacity16Cdb()).data), {
      ...size,
      physicalExponent: 0,
      thin: false,
      unmappedReadsZero: false,
    })
  })

  for (const opcode of [Opcode.read6, Opcode.read10, Opcode.read12, Opcode.read16]) {
    it(`is read with opcode ${opcode.toString(16)}h`, () => {
      const drive = new TestDrive()
      assert.deepEqual(drive.run(blockCdb(opcode, 3, 4)).data, bytesOf(drive, 3, 4))
      assert.equal(senseOf(drive.run(blockCdb(opcode, 62, 3))), '5/2100')
      assert.equal(drive.pool.inUse, 0)
    })
  }

  it('takes READ (12) with STREAMING', () => {
    const drive = new TestDrive()
    const cdb = blockCdb(Opcode.read12, 1, 1)
    cdb[10] = 0x80
    assert.deepEqual(drive.run(cdb).data, bytesOf(drive, 1, 1))
  })

  it('reports where a disc is not readable', () => {
    const drive = new TestDrive()
    drive.store.failNext = { call: 'read', error: { failure: 'medium', offset: 5 * DISC_BLOCK_BYTES } }
    const outcome = drive.run(blockCdb(Opcode.read10, 4, 4))
    assert.equal(senseOf(outcome), '3/1100')
    assert.equal(outcome.sense?.information, 5)
  })

  it('has no command that writes, and none for keys', () => {
    const drive = new TestDrive()
    for (const opcode of ['0a', '2a', 'aa', '2e', '41', '42', '04', '35', '5b', 'a1', '48', '83'])
      assert.equal(senseOf(drive.run(cdbOf(`${opcode} ${'00'.repeat(15)}`))), '5/2000', opcode)
    assert.equal(senseOf(drive.run(cdbOf('a4 00 00000000 00 00 0008 3f 00'))), '5/2400', 'REPORT KEY')
    assert.equal(senseOf(drive.run(cdbOf('a3 00 00000000 00 00 0008 01 00'))), '5/2400', 'SEND KEY')
    assert.deepEqual(
      drive.store.calls.filter((call) => call.startsWith('write')),
      [],
    )
  })

  it('reports the commands that it has, and no others', () => {
    const drive = new TestDrive()
    const { data } = drive.run(cdbOf('a3 0c 00 00 0000 0000ffff 00 00'))
    const opcodes = new Set<number>()
    for (let at = 4; at < data.length; at += 8) opcodes.add(data[at] ?? 0)
    assert.equal(get32(data, 0), data.length - 4)
    for (const opcode of [0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x5a])
      assert.ok(opcodes.has(opcode), opcode.toString(16))
    for (const opcode of [0x55, 0xa8, 0xac, 0xad, 0xb6, 0xb9, 0xbb, 0xbd, 0xbe, 0xa0, 0x16, 0x5f])
      assert.ok(opcodes.has(opcode), opcode.toString(16))
    for (const opcode of [0x2a, 0x42, 0x35, 0x04]) assert.ok(!opcodes.has(opcode), opcode.toString(16))
  })
})

describe('the disc in a drive', () => {
  it('is ejected and loaded again, and everybody else hears of it', () => {
    const drive = new TestDrive()
    const other = nexusNamed('two')
    drive.attach(other)
    assert.equal(senseOf(drive.run(EJECT)), 'status 0')
    for (const cdb of [
      '43 00 00 00 00 00 00 000c 00',
      '51 00 00 00 00 00 00 0022 00',
      '25 00 00000000 00 0000 00',
    ])
      assert.equal(senseOf(drive.run(cdbOf(cdb))), '2/3a00', cdb)
    assert.equal(senseOf(drive.run(READY, {}, other)), '2/3a00')
    const sense = drive.run(cdbOf('03 00 00 00 12 00')).data
    assert.deepEqual([sense[2], sense[12]], [0x02, 0x3a])
    assert.equal(senseOf(drive.run(LOAD)), 'status 0')
    assert.equal(senseOf(drive.run(READY)), 'status 0')
    assert.equal(senseOf(drive.run(READY, {}, other)), '6/2800')
    assert.equal(senseOf(drive.run(READY, {}, other)), 'status 0')
  })

  it('stays where it is while somebody prevents its removal', () => {
    const drive = new TestDrive()
    const other = nexusNamed('two')
    drive.attach(other)
    drive.run(PREVENT, {}, other)
    assert.equal(senseOf(drive.run(EJECT)), '5/5302')
    drive.unit.detachNexus(other, 'nexus-loss')
    assert.equal(senseOf(drive.run(EJECT)), 'status 0')
  })

  it('may be removed after a reset', () => {
    const drive = new TestDrive()
    drive.run(PREVENT)
    drive.unit.reset(() => undefined)
    drive.run(READY)
    assert.equal(senseOf(drive.run(EJECT)), 'status 0')
  })

  it('may be removed after PREEMPT AND ABORT of who prevented it, and not after PREEMPT', () => {
    for (const [action, sense] of [
      ['4', '5/5302'],
      ['5', 'status 0'],
    ] as const) {
      const drive = new TestDrive()
      const other = nexusNamed('two')
      drive.attach(other)
      const reserveOut = (nexus: Nexus, what: string, key: number, actionKey: number): void => {
        const dataOut = new Uint8Array(24)
        dataOut[7] = key
        dataOut[15] = actionKey
        const cdb = cdbOf(`5f 0${what} 01 00 00 00000018 00`)
        assert.equal(senseOf(drive.run(cdb, { dataOut }, nexus)), 'status 0')
      }
      reserveOut(drive.nexus, '0', 0, 1)
      reserveOut(other, '0', 0, 2)
      drive.run(PREVENT, {}, other)
      reserveOut(drive.nexus, action, 1, 2)
      assert.equal(senseOf(drive.run(EJECT)), sense)
    }
  })

  it('starts by itself after a stop', () => {
    const drive = new TestDrive()
    assert.equal(senseOf(drive.run(cdbOf('1b 00 00 00 00 00'))), 'status 0')
    assert.equal(senseOf(drive.run(READY)), 'status 0')
  })

  it('makes the drive a CD or a DVD drive by its size, and none without it', () => {
    const profile = (drive: TestDrive): number => get16(drive.run(cdbOf('46 00 0000 000000 0008 00')).data, 6)
    assert.equal(profile(new TestDrive(new LargeDiscStore(CD_BLOCKS))), 0x0008)
    assert.equal(profile(new TestDrive(new LargeDiscStore(CD_BLOCKS + 1))), 0x0010)
    const drive = new TestDrive()
    drive.run(EJECT)
    assert.equal(profile(drive), 0)
  })
})

describe('reservations and paths of a drive', () => {
  it('keep others from reading, and not from asking', () => {
    const drive = new TestDrive()
    const other = nexusNamed('two')
    drive.attach(other)
    assert.equal(senseOf(drive.run(cdbOf('16 00 00 00 00 00'))), 'status 0')
    assert.equal(drive.run(blockCdb(Opcode.read10, 0, 1), {}, other).status, 0x18)
    assert.equal(drive.run(EJECT, {}, other).status, 0x18)
    assert.equal(drive.run(cdbOf('46 00 0000 000000 0008 00'), {}, other).status, 0)
    assert.equal(drive.run(cdbOf('4a 01 0000 10 0000 0008 00'), {}, other).status, 0)
  })

  it('let an initiator that may only read do nothing to others', () => {
    const drive = new TestDrive()
    const reader = { ...nexusNamed('reader'), readOnly: true }
    drive.attach(reader)
    assert.equal(senseOf(drive.run(EJECT, {}, reader)), '7/2700')
    assert.equal(senseOf(drive.run(blockCdb(Opcode.read10, 0, 1), {}, reader)), 'status 0')
  })

  it('end where the path is in standby', () => {
    const portGroups = new TargetPortGroups([[1, 'standby']])
    const drive = new TestDrive(undefined, { portGroups })
    assert.equal(senseOf(drive.run(READY)), '2/040b')
    assert.equal(senseOf(drive.run(inquiryCdb(96))), 'status 0')
  })
})
