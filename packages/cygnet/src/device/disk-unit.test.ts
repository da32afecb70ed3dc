import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CygnetError } from '../base/errors.ts'
import { decodeCapacity10, decodeCapacity16 } from '../scsi/capacity.ts'
import { blockCdb, inquiryCdb, testUnitReadyCdb } from '../scsi/cdb.ts'
import { get16 } from '../scsi/fields.ts'
import { decodeInquiry } from '../scsi/inquiry.ts'
import { decodeReportLuns } from '../scsi/lun.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { decodeBlockLimits, decodeDeviceIdentification, decodeSerialNumber } from '../scsi/vpd.ts'
import { DiskUnit } from './disk-unit.ts'
import {
  cdbOf,
  nexusNamed,
  pattern,
  senseOf,
  TestDisk,
  TestStore,
  TestTransport,
} from './disk.test-helper.ts'
import { NoUnit, ReportLunsUnit } from './no-unit.ts'
import { TargetPortGroups } from './target-port-groups.ts'

const IDENTITY = { serialNumber: 'S', naa: new Uint8Array(8).fill(0x30) }

describe('a disk', () => {
  it('refuses a store that is no whole number of blocks, and says what to do', () => {
    const disk = new TestDisk(8)
    const make = (sizeBytes: number, blockSizeBytes: 512 | 4096) => () =>
      new DiskUnit({ store: new TestStore(sizeBytes), pool: disk.pool, identity: IDENTITY, blockSizeBytes })
    const says = (text: string) => (error: unknown) =>
      error instanceof CygnetError && error.code === 'ERR_DISK_SIZE' && error.message.includes(text)
    assert.throws(make(1000, 512), says('truncate -s 1024'))
    assert.throws(make(512, 4096), says('truncate -s 4096'))
    assert.throws(make(0, 512), says('truncate -s 512'))
    assert.doesNotThrow(make(4096, 4096))
  })

  it('refuses an identity that does not fit its fields', () => {
    const { pool } = new TestDisk(8)
    const make = (serialNumber: string, naa: Uint8Array) => () =>
      new DiskUnit({ store: new TestStore(4096), pool, identity: { serialNumber, naa } })
    assert.throws(make('', IDENTITY.naa), { code: 'ERR_DISK_IDENTITY' })
    assert.throws(make('é', IDENTITY.naa), { code: 'ERR_DISK_IDENTITY' })
    assert.throws(make('S', new Uint8Array(7)), { code: 'ERR_DISK_IDENTITY' })
    assert.throws(make('S', new Uint8Array(8).fill(0x60)), { code: 'ERR_DISK_IDENTITY' })
    assert.doesNotThrow(make('S', new Uint8Array(16).fill(0x60)))
  })

  it('flushes and closes its store once no background flush is left', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const flush = disk.submit(cdbOf('35 02 00000000 00 0000 00'))
    assert.equal(flush.isDone, true, 'IMMED')
    let closed = false
    disk.unit.close(() => (closed = true))
    assert.equal(disk.store.closed, false)
    disk.store.releaseAll()
    assert.equal(disk.store.closed, true)
    assert.equal(closed, true)
  })
})

describe('INQUIRY', () => {
  it('says what it is, as far as the allocation length goes', () => {
    const disk = new TestDisk(64)
    const { data } = disk.run(inquiryCdb(255))
    const inquiry = decodeInquiry(data)
    assert.equal(inquiry?.vendor, 'CYGNET')
    assert.equal(inquiry.deviceType, 0)
    assert.equal(inquiry.version, 6)
    assert.ok(
      [0xa0, 0x460, 0x4c0, 0x961].every((descriptor) => inquiry.versionDescriptors.includes(descriptor)),
    )
    for (const allocationBytes of [0, 5, 36, 73, 74, 256]) {
      const cut = disk.run(inquiryCdb(allocationBytes)).data
      assert.deepEqual(cut, data.subarray(0, Math.min(allocationBytes, data.length)))
    }
  })

  it('names the protocol level of the session, and ACA where the nexus may use it', () => {
    const disk = new TestDisk(64)
    const later = { ...nexusNamed('two'), protocolLevel: 2, readOnly: true }
    disk.attach(later)
    assert.equal(decodeInquiry(disk.run(inquiryCdb(255)).data)?.normAca, true)
    const inquiry = decodeInquiry(disk.run(inquiryCdb(255), {}, later).data)
    assert.equal(inquiry?.normAca, false)
    assert.ok(inquiry.versionDescriptors.includes(0x962), 'RFC 7144 §4.2')
  })

  it('has every page that it lists, with the length that it says', () => {
    const disk = new TestDisk(64)
    const pages = disk.run(inquiryCdb(255, 0)).data.subarray(4)
    assert.deepEqual([...pages], [0, 0x80, 0x83, 0x86, 0x87, 0x88, 0x8f, 0xb0, 0xb1, 0xb2, 0xb3])
    for (const page of pages) {
      const { data } = disk.run(inquiryCdb(1024, page))
      assert.equal(data[1], page)
      assert.equal(((data[2] ?? 0) << 8) + (data[3] ?? 0), data.length - 4)
    }
    assert.equal(decodeSerialNumber(disk.run(inquiryCdb(255, 0x80)).data), 'SERIAL01')
    assert.equal(disk.run(inquiryCdb(255, 0xb2)).data[5], 0xe4)
  })

  it('refuses other pages, and a page code without EVPD', () => {
    const disk = new TestDisk(64)
    assert.deepEqual(disk.run(inquiryCdb(255, 0x84)).sense?.field, { in: 'cdb', byte: 2, bit: 7 })
    assert.equal(senseOf(disk.run(cdbOf('12 00 80 00 ff 00'))), '5/2400')
    assert.equal(senseOf(disk.run(cdbOf('12 02 00 00 ff 00'))), '5/2400')
  })

  it('identifies unit, port and target', () => {
    const disk = new TestDisk(64)
    const list = decodeDeviceIdentification(disk.run(inquiryCdb(1024, 0x83)).data)
    const text = (value: Uint8Array): string => Buffer.from(value).toString('latin1').replace(/\0+$/, '')
    assert.deepEqual(
      list.map(({ association, type, value }) => [association, type, text(value)]),
      [
        [0, 3, '\x30\x01\x02\x03\x04\x05\x06\x07'],
        [0, 1, 'CYGNET  SERIAL01'],
        [0, 8, 'naa.3001020304050607'],
        [1, 4, '\0\0\0\x01'],
        [1, 5, '\0\0\0\x01'],
        [1, 8, 'iqn.2026-11.test:target,t,0x0001'],
        [2, 8, 'iqn.2026-11.test:target'],
      ],
    )
  })

  it('shares its mode pages, and names every port', () => {
    const disk = new TestDisk(64, {
      portGroups: new TargetPortGroups([
        [1, 'optimized'],
        [10, 'optimized'],
      ]),
    })
    assert.deepEqual([...disk.run(inquiryCdb(64, 0x87)).data], [0, 0x87, 0, 4, 0x3f, 0xff, 0, 0])
    const { data } = disk.run(inquiryCdb(1024, 0x88))
    assert.equal(get16(data, 2), data.length - 4)
    const ports: [number, string][] = []
    for (let at = 4; at < data.length; at += 12 + get16(data, at + 10)) {
      const name = Buffer.from(data.subarray(at + 16, at + 16 + (data[at + 15] ?? 0))).toString()
      ports.push([get16(data, at + 2), name.replace(/\0+$/, '')])
    }
    assert.deepEqual(ports, [
      [1, 'iqn.2026-11.test:target,t,0x0001'],
      [10, 'iqn.2026-11.test:target,t,0x000a'],
    ])
  })

  it('reports limits in blocks of either size', () => {
    for (const [blockSizeBytes, transferBlocks, granularity] of [
      [512, 32_768, 8],
      [4096, 4096, 1],
    ] as const) {
      const disk = new TestDisk(64, { blockSizeBytes })
      const limits = decodeBlockLimits(disk.run(inquiryCdb(255, 0xb0)).data)
      assert.equal(limits?.transferBlocks, transferBlocks)
      assert.equal(limits.unmapGranularityBlocks, granularity)
      assert.equal(limits.transferGranularityBlocks, granularity)
      assert.equal(limits.writeSameNonZero, true)
    }
  })
})

describe('READ CAPACITY', () => {
  it('gives the same size in both lengths', () => {
    const disk = new TestDisk(64, { blockSizeBytes: 4096 })
    assert.equal(disk.unit.blocks, 64)
    assert.equal(disk.unit.blockSizeBytes, 4096)
    assert.deepEqual(decodeCapacity10(disk.run(cdbOf('25')).data), { blocks: 64, blockBytes: 4096 })
    const sixteen = disk.run(cdbOf('9e 10 0000000000000000 00000020 00 00')).data
    assert.equal(sixteen.length, 32)
    assert.deepEqual(decodeCapacity16(sixteen), {
      blocks: 64,
      blockBytes: 4096,
      physicalExponent: 0,
      thin: true,
      unmappedReadsZero: true,
    })
    assert.equal(disk.run(cdbOf('9e 10 0000000000000000 0000000c 00 00')).data.length, 12)
    const small = new TestDisk(64)
    assert.equal(small.run(cdbOf('9e 10 0000000000000000 00000020 00 00')).data[13], 3)
  })
})

describe('REPORT LUNS', () => {
  it('lists the LUNs of the nexus, the well known one, or both', () => {
    const disk = new TestDisk(64)
    const ask = (select: string) => disk.run(cdbOf(`a0 00 ${select} 00 00 00 00 00 01 00 00 00`))
    const units = [0, 1, 300].map((lun) => ({ kind: 'unit', lun }))
    assert.deepEqual(decodeReportLuns(ask('00').data), units)
    assert.deepEqual(decodeReportLuns(ask('01').data), [{ kind: 'report-luns' }])
    assert.deepEqual(decodeReportLuns(ask('02').data), [...units, { kind: 'report-luns' }])
    assert.equal(senseOf(ask('03')), '5/2400')
  })
})

describe('START STOP UNIT', () => {
  it('makes the medium unavailable until it is started, after a flush', () => {
    const disk = new TestDisk(64)
    assert.equal(senseOf(disk.run(cdbOf('1b 00 00 00 00 00'))), 'status 0')
    assert.deepEqual(disk.store.calls, ['flush'])
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), '2/0402')
    assert.equal(senseOf(disk.run(blockCdb(Opcode.read10, 0, 1))), '2/0402')
    assert.equal(senseOf(disk.run(inquiryCdb(36))), 'status 0')
    const sense = disk.run(cdbOf('03 00 00 00 fc 00')).data
    assert.deepEqual([sense[2], sense[12], sense[13]], [2, 4, 2])
    assert.equal(senseOf(disk.run(cdbOf('1b 00 00 00 01 00'))), 'status 0')
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), 'status 0')
  })

  it('does not flush with NO_FLUSH, stays started where the flush fails, starts again at a reset', () => {
    const disk = new TestDisk(64)
    disk.store.failNext = { call: 'flush', error: { failure: 'medium' } }
    assert.equal(senseOf(disk.run(cdbOf('1b 00 00 00 00 00'))), '3/0c00')
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), 'status 0')
    disk.run(cdbOf('1b 00 00 00 04 00'))
    assert.deepEqual(disk.store.calls, ['flush'])
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), '2/0402')
    disk.unit.reset(() => undefined)
    disk.run(testUnitReadyCdb())
    assert.equal(senseOf(disk.run(testUnitReadyCdb())), 'status 0')
  })

  it('takes power conditions for what they are here: nothing', () => {
    const disk = new TestDisk(64)
    for (const byte of ['10', '30', '70']) {
      assert.equal(senseOf(disk.run(cdbOf(`1b 00 00 0f ${byte} 00`))), 'status 0', byte)
      assert.equal(senseOf(disk.run(testUnitReadyCdb())), 'status 0')
    }
  })

  it('refuses to eject and to load a fixed medium', () => {
    const disk = new TestDisk(64)
    for (const byte of ['02', '03']) {
      assert.equal(senseOf(disk.run(cdbOf(`1b 00 00 00 ${byte} 00`))), '5/2400', byte)
    }
    assert.equal(senseOf(disk.run(cdbOf('1e 00 00 00 01 00'))), '5/2000', 'nor is there removal to prevent')
  })
})

describe('SYNCHRONIZE CACHE and PRE-FETCH', () => {
  it('flush, wait for it, and report its failure', () => {
    const disk = new TestDisk(64)
    disk.store.deferred = true
    const task = disk.submit(cdbOf('91 00 0000000000000000 00000040 00 00'))
    assert.equal(task.isDone, false)
    disk.store.releaseAll()
    assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
    disk.store.deferred = false
    disk.store.failNext = { call: 'flush', error: { failure: 'no-space' } }
    assert.equal(senseOf(disk.run(cdbOf('35 00 00000000 00 0000 00'))), '7/2707')
  })

  it('check their range', () => {
    const disk = new TestDisk(64)
    for (const opcode of [
      Opcode.synchronizeCache10,
      Opcode.synchronizeCache16,
      Opcode.preFetch10,
      Opcode.preFetch16,
    ]) {
      assert.equal(senseOf(disk.run(blockCdb(opcode, 0, 64, 0x02))), 'status 0')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 63, 2))), '5/2100')
      assert.equal(senseOf(disk.run(blockCdb(opcode, 65, 0))), '5/2100')
    }
  })

  it('report a failed background flush with the next command, as a deferred error', () => {
    const disk = new TestDisk(64)
    disk.store.failNext = { call: 'flush', error: { failure: 'no-space' } }
    assert.equal(senseOf(disk.run(cdbOf('35 02 00000000 00 0000 00'))), 'status 0')
    const next = disk.run(blockCdb(Opcode.read10, 0, 1))
    assert.equal(senseOf(next), '7/2707')
    assert.equal(next.sense?.deferred, true)
    assert.equal(senseOf(disk.run(blockCdb(Opcode.read10, 0, 1))), 'status 0')
  })
})

describe('REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS', () => {
  it('names those that there are, at the protocol level of the session', () => {
    const disk = new TestDisk(64)
    const later = { ...nexusNamed('two'), protocolLevel: 2 }
    disk.attach(later)
    const cdb = cdbOf('a3 0d 00 00 00 00 00000010 00 00')
    assert.deepEqual([...disk.run(cdb).data], [0xf8, 0, 0, 0])
    assert.deepEqual([...disk.run(cdb, {}, later).data], [0xfc, 0x07, 0, 0])
    const extended = disk.run(cdbOf('a3 0d 80 00 00 00 00000010 00 00')).data
    assert.equal(extended.length, 16)
    assert.equal(extended[3], 12)
    assert.equal(senseOf(disk.run(cdbOf('a3 0d 00 00 00 00 00000003 00 00'))), '5/2400')
  })
})

describe('a LUN without a logical unit', () => {
  const run = (unit: NoUnit | ReportLunsUnit, cdb: Uint8Array) => {
    const transport = new TestTransport(unit)
    const nexus = nexusNamed('one')
    unit.attachNexus()
    const task = transport.task(nexus, cdb)
    unit.submit(task)
    return transport.outcome(task)
  }

  it('says so in INQUIRY and REQUEST SENSE, lists LUNs, refuses the rest', () => {
    const unit = new NoUnit()
    assert.equal(run(unit, inquiryCdb(36)).data[0], 0x7f)
    assert.deepEqual([...run(unit, inquiryCdb(36, 0)).data], [0x7f, 0, 0, 1, 0])
    assert.equal(decodeReportLuns(run(unit, cdbOf('a0 00 00 00 00 00 00 00 01 00 00 00')).data).length, 3)
    const sense = run(unit, cdbOf('03 00 00 00 12 00')).data
    assert.deepEqual([sense[2], sense[12], sense[13]], [5, 0x25, 0])
    for (const opcode of [0x00, 0x28, 0x9e, 0xc0])
      assert.equal(senseOf(run(unit, cdbOf(opcode.toString(16).padStart(2, '0')))), '5/2500')
    let done = 0
    unit.reset(() => done++)
    unit.close(() => done++)
    assert.equal(done, 2)
  })

  it('may be the REPORT LUNS well known logical unit', () => {
    const unit = new ReportLunsUnit()
    assert.equal(run(unit, inquiryCdb(36)).data[0], 0x1e)
    assert.equal(senseOf(run(unit, testUnitReadyCdb())), 'status 0')
    assert.equal(senseOf(run(unit, cdbOf('28'))), '5/2000')
    assert.equal(run(unit, cdbOf('03 00 00 00 12 00')).data[2], 0)
  })
})

describe('write protection', () => {
  it('covers every command that changes the medium', () => {
    const disk = new TestDisk(64, { readOnly: true })
    const writes = [
      Opcode.write16,
      Opcode.writeAndVerify10,
      Opcode.writeSame16,
      Opcode.unmap,
      Opcode.orWrite16,
      Opcode.compareAndWrite,
    ]
    for (const opcode of writes) {
      const outcome = disk.run(Uint8Array.of(opcode), { dataOut: pattern(512) })
      assert.equal(senseOf(outcome), '7/2700', opcode.toString(16))
    }
    assert.equal((disk.run(cdbOf('1a 00 3f 00 ff 00')).data[2] ?? 0) & 0x80, 0x80)
  })

  it('of an initiator that may only read keeps it from writing, stopping the unit and changing its modes', () => {
    const disk = new TestDisk(64)
    const reader = { ...nexusNamed('reader'), readOnly: true }
    disk.attach(reader)
    const refused = [
      cdbOf('2a 00 00 00 00 00 00 00 01 00'),
      cdbOf('1b 00 00 00 00 00'),
      cdbOf('15 10 00 00 0c 00'),
      cdbOf('55 10 00 00 00 00 00 00 10 00'),
    ]
    for (const cdb of refused) {
      assert.equal(senseOf(disk.run(cdb, { dataOut: pattern(512) }, reader)), '7/2700', cdb[0]?.toString(16))
    }
    for (const nexus of [reader, disk.nexus]) {
      assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, nexus)), 'status 0')
    }
    assert.equal(senseOf(disk.run(cdbOf('1b 00 00 00 00 00'))), 'status 0', 'others may')
  })
})
