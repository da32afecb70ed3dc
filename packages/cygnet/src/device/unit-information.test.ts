import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { get16, get48, set48 } from '../scsi/fields.ts'
import type { Done } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import { cdbOf, nexusNamed, senseOf, TestDisk } from './disk.test-helper.ts'

class Records implements DurableRecords {
  readonly values = new Map<string, unknown>()
  failNext = false
  get(name: string): unknown {
    return this.values.get(name)
  }
  set(name: string, value: unknown, done: Done): void {
    const fails = this.failNext
    this.failNext = false
    if (!fails) this.values.set(name, value)
    done(fails ? { failure: 'no-space' } : undefined)
  }
}

const READY = cdbOf('00 00 00 00 00 00')

describe('the timestamp', () => {
  const REPORT = cdbOf('a3 0f 00000000 000000ff 00 00')
  const SET = cdbOf('a4 0f 00000000 0000000c 00 00')

  it('is the clock of the unit until it is set, and goes on from there', () => {
    let nowMs = 1_800_000_000_123
    const disk = new TestDisk(8, { now: () => nowMs })
    const other = nexusNamed('two')
    disk.attach(other)
    const { data } = disk.run(REPORT)
    assert.deepEqual([get16(data, 0), data[2], get48(data, 4), data.length], [10, 3, nowMs, 12])
    const list = new Uint8Array(12)
    set48(list, 4, 1000)
    assert.equal(senseOf(disk.run(SET, { dataOut: list })), 'status 0')
    nowMs += 50
    const after = disk.run(REPORT).data
    assert.deepEqual([after[2], get48(after, 4)], [2, 1050])
    assert.equal(senseOf(disk.run(READY, {}, other)), '6/2a10')
    assert.equal(senseOf(disk.run(READY)), 'status 0')
  })

  it('is not set by a list of another length', () => {
    const disk = new TestDisk(8)
    assert.equal(
      senseOf(disk.run(cdbOf('a4 0f 00000000 0000000b 00 00'), { dataOut: new Uint8Array(11) })),
      '5/1a00',
    )
    assert.equal(senseOf(disk.run(SET, { dataOut: new Uint8Array(4) })), '5/1a00')
    assert.equal(senseOf(disk.run(cdbOf('a4 0f 00000000 00000000 00 00'))), 'status 0')
    assert.equal(disk.run(REPORT).data[2], 3)
  })
})

describe('identifying information', () => {
  const report = (disk: TestDisk, type = 0) => disk.run(cdbOf(`a3 05 00000000 000000ff 0${2 * type} 00`))
  const set = (disk: TestDisk, text: string, type = 0) => {
    const dataOut = new TextEncoder().encode(text)
    const cdb = cdbOf(`a4 06 00000000 00000000 0${2 * type} 00`)
    cdb[8] = dataOut.length >>> 8
    cdb[9] = dataOut.length
    return disk.run(cdb, { dataOut })
  }

  it('is kept by type, and over a restart where there are records', () => {
    const records = new Records()
    const disk = new TestDisk(8, { records })
    const other = nexusNamed('two')
    disk.attach(other)
    assert.deepEqual([...report(disk).data], [0, 0, 0, 0])
    assert.equal(senseOf(set(disk, 'rack 7')), 'status 0')
    assert.equal(senseOf(set(disk, 'the database', 2)), 'status 0')
    assert.equal(senseOf(disk.run(READY, {}, other)), '6/3f05')
    const again = new TestDisk(8, { records })
    assert.equal(Buffer.from(report(again).data.subarray(4)).toString(), 'rack 7')
    assert.equal(Buffer.from(report(again, 2).data.subarray(4)).toString(), 'the database')
  })

  it('has a greatest length for each type, and no other types', () => {
    const disk = new TestDisk(8)
    assert.equal(senseOf(set(disk, 'x'.repeat(64))), 'status 0')
    assert.deepEqual(set(disk, 'x'.repeat(65)).sense?.field, { in: 'cdb', byte: 6, bit: 7 })
    assert.equal(senseOf(set(disk, 'x'.repeat(256), 2)), 'status 0')
    assert.equal(senseOf(set(disk, '')), 'status 0')
    assert.equal(report(disk).data.length, 4)
    assert.deepEqual(report(disk, 1).sense?.field, { in: 'cdb', byte: 10, bit: 7 })
    assert.deepEqual(set(disk, 'x', 1).sense?.field, { in: 'cdb', byte: 10, bit: 7 })
  })

  it('has a list of its types', () => {
    const { data } = new TestDisk(8).run(cdbOf('a3 05 00000000 000000ff fe 00'))
    assert.deepEqual([...data], [0, 0, 0, 8, 0, 0, 0, 64, 4, 0, 1, 0])
  })

  it('that cannot be saved is an error', () => {
    const records = new Records()
    records.failNext = true
    assert.equal(senseOf(set(new TestDisk(8, { records }), 'x')), '5/5503')
  })
})

describe('LOG SENSE', () => {
  const log = (disk: TestDisk, page: string, pointer = '0000') =>
    disk.run(cdbOf(`4d 00 ${page} 00 ${pointer} 0200 00`))

  it('lists its pages, with and without subpages', () => {
    const disk = new TestDisk(8)
    const { data } = log(disk, '40 00')
    assert.equal(get16(data, 2), data.length - 4)
    assert.deepEqual([...data.subarray(4)], [0x00, 0x02, 0x03, 0x05, 0x0d, 0x0e, 0x11, 0x2f])
    const all = log(disk, '40 ff').data
    assert.deepEqual([...all.subarray(0, 2), ...all.subarray(4, 10)], [0xc0, 0xff, 0, 0, 0, 0xff, 0x02, 0])
    for (const code of data.subarray(4)) {
      const page = log(disk, `${(0x40 | code).toString(16)} 00`).data
      assert.equal((page[0] ?? 0) & 0x3f, code)
      assert.equal(get16(page, 2), page.length - 4)
    }
  })

  it('counts failures of the medium, and stops', () => {
    const disk = new TestDisk(8)
    disk.store.failNext = { call: 'read', error: { failure: 'medium' } }
    disk.run(cdbOf('28 00 00000000 00 0001 00'))
    disk.run(cdbOf('1b 00 00 00 00 00'))
    assert.equal(log(disk, '43 00').data.at(-1), 1)
    assert.equal(log(disk, '42 00').data.at(-1), 0)
    assert.equal(log(disk, '4e 00').data.at(-1), 1)
  })

  it('refuses what it has not, and points at it', () => {
    const disk = new TestDisk(8)
    const byte = (text: string) => disk.run(cdbOf(text)).sense?.field?.byte
    assert.equal(byte('4d 01 40 00 00 0000 0200 00'), 1)
    assert.equal(byte('4d 00 00 00 00 0000 0200 00'), 2, 'thresholds')
    assert.equal(byte('4d 00 50 00 00 0000 0200 00'), 2)
    assert.equal(byte('4d 00 4d 01 00 0000 0200 00'), 3)
    assert.equal(byte('4d 00 4d 00 00 0001 0200 00'), 5)
  })
})

describe('READ BUFFER and WRITE BUFFER', () => {
  it('read what was written, at an offset', () => {
    const disk = new TestDisk(8)
    assert.deepEqual([...disk.run(cdbOf('3c 03 00 000000 000004 00')).data], [0, 0, 0x10, 0])
    assert.deepEqual([...disk.run(cdbOf('3c 03 01 000000 000004 00')).data], [0, 0, 0, 0])
    disk.run(cdbOf('3b 02 00 000ffe 000002 00'), { dataOut: Uint8Array.of(7, 8) })
    assert.deepEqual([...disk.run(cdbOf('3c 02 00 000ffd 000010 00')).data], [0, 7, 8])
    assert.equal(
      disk.run(cdbOf('3b 02 00 000fff 000002 00'), { dataOut: Uint8Array.of(7, 8) }).sense?.field?.byte,
      6,
    )
    assert.equal(disk.run(cdbOf('3c 02 00 001001 000002 00')).sense?.field?.byte, 3)
    assert.equal(disk.run(cdbOf('3b 02 00 001001 000000 00')).sense?.field?.byte, 3)
    assert.equal(disk.run(cdbOf('3c 02 01 000000 000002 00')).sense?.field?.byte, 2)
    assert.equal(disk.run(cdbOf('3b 02 01 000000 000000 00')).sense?.field?.byte, 2)
    assert.equal(disk.run(cdbOf('3c 05 00 000000 000002 00')).sense?.field?.byte, 1)
    assert.equal(disk.run(cdbOf('3b 05 00 000000 000000 00')).sense?.field?.byte, 1)
  })

  it('echo to the nexus that wrote', () => {
    const disk = new TestDisk(8)
    const other = nexusNamed('two')
    disk.attach(other)
    assert.equal(senseOf(disk.run(cdbOf('3c 0a 00 000000 000010 00'))), '5/2c00')
    disk.run(cdbOf('3b 0a 00 000000 000003 00'), { dataOut: Uint8Array.of(1, 2, 3) })
    assert.deepEqual([...disk.run(cdbOf('3c 0a 00 000000 000010 00')).data], [1, 2, 3])
    assert.equal(senseOf(disk.run(cdbOf('3c 0a 00 000000 000010 00'), {}, other)), '5/2c00')
    assert.deepEqual([...disk.run(cdbOf('3c 0b 00 000000 000010 00')).data], [0, 0, 0x10, 0])
  })
})

describe('SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS', () => {
  it('have the default self-test, and the page of pages', () => {
    const disk = new TestDisk(8)
    assert.equal(senseOf(disk.run(cdbOf('1d 04 00 0000 00'))), 'status 0')
    assert.equal(senseOf(disk.run(cdbOf('1d 10 00 0004 00'), { dataOut: new Uint8Array(4) })), 'status 0')
    assert.deepEqual([...disk.run(cdbOf('1c 01 00 00ff 00')).data], [0, 0, 0, 1, 0])
    assert.equal(disk.run(cdbOf('1c 01 01 00ff 00')).sense?.field?.byte, 2)
    assert.equal(disk.run(cdbOf('1d 20 00 0000 00')).sense?.field?.byte, 1, 'self-test codes')
    assert.equal(disk.run(cdbOf('1d 14 00 0004 00'), { dataOut: new Uint8Array(4) }).sense?.field?.byte, 3)
    assert.equal(disk.run(cdbOf('1d 00 00 0004 00'), { dataOut: new Uint8Array(4) }).sense?.field?.byte, 1)
    const page = (...bytes: number[]) =>
      senseOf(disk.run(cdbOf('1d 10 00 0004 00'), { dataOut: Uint8Array.from(bytes) }))
    assert.equal(page(1, 0, 0, 0), '5/2600')
    assert.equal(page(0, 0, 0, 1), '5/1a00')
    assert.equal(
      senseOf(disk.run(cdbOf('1d 10 00 0005 00'), { dataOut: Uint8Array.of(0, 0, 0, 1, 9) })),
      '5/2600',
    )
  })
})
