import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb } from '../scsi/cdb.ts'
import { get16 } from '../scsi/fields.ts'
import { decodeModeHeader, decodeModePages } from '../scsi/mode.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { Done } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import { cdbOf, nexusNamed, pattern, senseOf, TestDisk, TestStore } from './disk.test-helper.ts'
import { TestRecords } from './reservations.test-helper.ts'

/** MODE SENSE (10) of one page: its bytes. */
function page(disk: TestDisk, code: number, control = 0): Uint8Array {
  const cdb = cdbOf('5a 08 00 00 00 00 00 01ff 00')
  cdb[2] = (control << 6) | code
  const { data } = disk.run(cdb)
  return decodeModePages(data, 8)[0] ?? new Uint8Array(0)
}

/** MODE SELECT (6) with a header, no block descriptor and these pages. */
const select = (disk: TestDisk, ...pages: Uint8Array[]) => {
  const list = Uint8Array.from(Buffer.concat([new Uint8Array(4), ...pages]))
  const cdb = cdbOf('15 10 00 00 00 00')
  cdb[4] = list.length
  return disk.run(cdb, { dataOut: list })
}

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[at] = value
  return copy
}

describe('MODE SENSE', () => {
  it('gives all pages in order, with and without block descriptor, in both lengths', () => {
    const disk = new TestDisk(64)
    const six = disk.run(cdbOf('1a 00 3f 00 ff 00')).data
    const parts = decodeModeHeader(six, 4)
    assert.equal(parts?.blockBytes, 512)
    assert.equal(parts.deviceSpecific, 0x10, 'DPOFUA')
    assert.equal(six[0], six.length - 1)
    const codes = (data: Uint8Array, at: number) => decodeModePages(data, at).map((bytes) => bytes[0])
    assert.deepEqual(codes(six, parts.pagesAt), [0x08, 0x0a, 0x1c])
    const without = disk.run(cdbOf('1a 08 3f ff ff 00')).data
    assert.equal(without[3], 0)
    assert.deepEqual(codes(without, 4), [0x08, 0x0a, 0x1c])
    const long = disk.run(cdbOf('5a 10 3f 00 00 00 00 01ff 00')).data
    assert.equal(long[4], 1, 'LONGLBA')
    assert.equal(get16(long, 6), 16)
    assert.equal(decodeModeHeader(long, 8)?.blockBytes, 512)
    assert.equal(get16(long, 0), long.length - 2)
    assert.equal(disk.run(cdbOf('1a 00 3f 00 04 00')).data.length, 4)
  })

  it('gives current, changeable and default values, and has no saved ones', () => {
    const disk = new TestDisk(64)
    assert.equal(page(disk, 0x08)[2], 0x04)
    select(disk, changed(page(disk, 0x08), 2, 0))
    assert.equal(page(disk, 0x08)[2], 0)
    assert.equal(page(disk, 0x08, 2)[2], 0x04)
    assert.equal(page(disk, 0x08, 1)[2], 0x04)
    assert.deepEqual([...page(disk, 0x0a, 1)], [0x0a, 10, 0x04, 0x06, 0x08, 0, 0, 0, 0, 0, 0, 0])
    assert.deepEqual([...page(disk, 0x1c, 1)], [0x1c, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert.equal(senseOf(disk.run(cdbOf('1a 00 c8 00 ff 00'))), '5/3900')
  })

  it('refuses other pages and subpages', () => {
    const disk = new TestDisk(64)
    assert.deepEqual(disk.run(cdbOf('1a 00 02 00 ff 00')).sense?.field, { in: 'cdb', byte: 2, bit: 5 })
    assert.deepEqual(disk.run(cdbOf('1a 00 0a 01 ff 00')).sense?.field, { in: 'cdb', byte: 3, bit: 7 })
    assert.equal(senseOf(disk.run(cdbOf('1a 10 0a 00 ff 00'))), '5/2400', 'LLBAA is for the long CDB')
  })

  it('reports no write cache, and none to switch on, where the store has none', () => {
    const store = new TestStore(64 * 512)
    store.can.volatileCache = false
    const disk = new TestDisk(64, { store })
    assert.equal(page(disk, 0x08)[2], 0)
    assert.equal(page(disk, 0x08, 1)[2], 0)
    assert.equal(senseOf(select(disk, changed(page(disk, 0x08), 2, 4))), '5/2600')
    const started = new TestDisk(64, { writeCache: false })
    assert.equal(page(started, 0x08)[2], 0)
    assert.equal(page(started, 0x08, 1)[2], 0x04)
  })
})

describe('MODE SELECT', () => {
  it('switches the write cache, and tells the other nexuses only', () => {
    const disk = new TestDisk(64)
    const other = nexusNamed('two')
    disk.attach(other)
    assert.equal(senseOf(select(disk, changed(page(disk, 0x08), 2, 0))), 'status 0')
    disk.run(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })
    assert.deepEqual(disk.store.calls, ['flush', 'write 0+512 fua'])
    assert.equal(senseOf(disk.run(cdbOf('00'), {}, other)), '6/2a01')
    select(disk, changed(page(disk, 0x08), 2, 0))
    assert.equal(senseOf(disk.run(cdbOf('00'), {}, other)), 'status 0', 'nothing changed the second time')
  })

  it('makes durable what the write cache held before it is switched off', () => {
    const disk = new TestDisk(64)
    disk.run(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })
    const off = changed(page(disk, 0x08), 2, 0)
    disk.store.failNext = { call: 'flush', error: { failure: 'medium' } }
    assert.equal(senseOf(select(disk, off)), '3/0c00')
    select(disk, changed(off, 2, 0x04))
    assert.equal(senseOf(select(disk, off)), 'status 0')
    assert.deepEqual(disk.store.calls, ['write 0+512', 'flush', 'flush'])
  })

  it('switches the sense data format', () => {
    const disk = new TestDisk(64)
    const control = page(disk, 0x0a)
    select(disk, changed(control, 2, (control[2] ?? 0) | 0x04))
    const task = disk.submit(blockCdb(Opcode.read10, 99, 1))
    assert.equal(task.sense[0], 0x72)
    disk.unit.reset(() => undefined)
    disk.run(cdbOf('00'))
    assert.equal(disk.submit(blockCdb(Opcode.read10, 99, 1)).sense[0], 0x70)
  })

  it('switches software write protection', () => {
    const disk = new TestDisk(64)
    select(disk, changed(page(disk, 0x0a), 4, 0x08))
    assert.equal(senseOf(disk.run(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })), '7/2702')
    assert.equal(senseOf(disk.run(blockCdb(Opcode.read10, 0, 1))), 'status 0')
    assert.equal((disk.run(cdbOf('1a 00 3f 00 ff 00')).data[2] ?? 0) & 0x80, 0x80)
    select(disk, changed(page(disk, 0x0a), 4, 0))
    assert.equal(senseOf(disk.run(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })), 'status 0')
  })

  it('takes back what MODE SENSE gave, in both lengths, block descriptors and all', () => {
    const disk = new TestDisk(64)
    const six = disk.run(cdbOf('1a 00 3f 00 ff 00')).data
    six[0] = 0
    const cdb6 = cdbOf('15 10 00 00 00 00')
    cdb6[4] = six.length
    assert.equal(senseOf(disk.run(cdb6, { dataOut: [six.subarray(0, 7), six.subarray(7)] })), 'status 0')
    for (const flags of ['00', '10']) {
      const ten = disk.run(cdbOf(`5a ${flags} 3f 00 00 00 00 00ff 00`)).data
      const cdb10 = cdbOf('55 10 00 00 00 00 00 0000 00')
      cdb10[8] = ten.length
      assert.equal(senseOf(disk.run(cdb10, { dataOut: ten })), 'status 0')
    }
    assert.equal(senseOf(disk.run(cdbOf('15 10 00 00 00 00'))), 'status 0', 'an empty list')
  })

  it('changes nothing where any part is wrong, and points at it', () => {
    const disk = new TestDisk(64)
    const caching = changed(page(disk, 0x08), 2, 0)
    const control = page(disk, 0x0a)
    const fixed = select(disk, caching, changed(control, 3, 0))
    assert.equal(senseOf(fixed), '5/2600')
    assert.deepEqual(fixed.sense?.field, { in: 'parameters', byte: 4 + 20 + 3, bit: 4 })
    assert.equal(page(disk, 0x08)[2], 0x04)
    assert.equal(senseOf(select(disk, Uint8Array.of(0x02, 2, 0, 0))), '5/2600')
    assert.equal(senseOf(select(disk, changed(control, 1, 8))), '5/2600')
    assert.equal(senseOf(select(disk, control.subarray(0, 7))), '5/1a00')
    assert.equal(senseOf(select(disk, control.subarray(0, 1))), '5/1a00')
    const badBlock = cdbOf('00 00 00 08 00000000 00 001000')
    const cdb = cdbOf('15 10 00 00 0c 00')
    assert.equal(senseOf(disk.run(cdb, { dataOut: badBlock })), '5/2600')
    assert.equal(senseOf(disk.run(cdb, { dataOut: badBlock.subarray(0, 11) })), '5/1a00')
    assert.equal(senseOf(disk.run(cdbOf('15 10 00 00 02 00'), { dataOut: pattern(2) })), '5/1a00')
    assert.equal(senseOf(disk.run(cdbOf('15 00 00 00 04 00'), { dataOut: pattern(4) })), '5/2400', 'PF = 0')
    assert.equal(senseOf(disk.run(cdbOf('15 11 00 00 04 00'), { dataOut: pattern(4) })), '5/2400', 'SP = 1')
    const tooLong = cdbOf('55 10 00 00 00 00 00 0101 00')
    assert.equal(senseOf(disk.run(tooLong, { dataOut: pattern(257) })), '5/2400')
  })
})

describe('saved pages', () => {
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

  /** MODE SELECT (6) of one page with SP. */
  const save = (disk: TestDisk, bytes: Uint8Array) => {
    const list = Uint8Array.from([0, 0, 0, 0, (bytes[0] ?? 0) & 0x7f, ...bytes.subarray(1)])
    return disk.run(Uint8Array.of(0x15, 0x11, 0, 0, list.length, 0), { dataOut: list })
  }

  it('outlive resets and restarts, and are told apart from current ones', () => {
    const records = new Records()
    const disk = new TestDisk(64, { records })
    assert.equal(page(disk, 0x08)[0], 0x88, 'PS')
    assert.equal(page(disk, 0x08, 3)[2], 0x04)
    assert.equal(senseOf(save(disk, changed(page(disk, 0x08), 2, 0))), 'status 0')
    assert.equal(page(disk, 0x08, 3)[2], 0)
    assert.equal(page(disk, 0x08, 2)[2], 0x04, 'the default')
    disk.unit.reset(() => undefined)
    disk.run(cdbOf('00 00 00 00 00 00'))
    assert.equal(page(disk, 0x08)[2], 0)
    const again = new TestDisk(64, { records })
    assert.equal(page(again, 0x08)[2], 0)
    again.run(blockCdb(Opcode.write10, 0, 1), { dataOut: pattern(512) })
    assert.deepEqual(again.store.calls, ['write 0+512 fua'], 'it is what it says')
  })

  it('are all kept where two are saved at the same time', () => {
    const records = new TestRecords()
    const disk = new TestDisk(64, { records })
    records.deferred = true
    const selectCdb = cdbOf('15 11 00 00 18 00')
    const caching = Uint8Array.from([0, 0, 0, 0, 0x08, ...changed(page(disk, 0x08), 2, 0).subarray(1)])
    const control = Uint8Array.from([0, 0, 0, 0, 0x0a, ...changed(page(disk, 0x0a), 2, 0x06).subarray(1)])
    const tasks = [
      disk.submit(selectCdb, { dataOut: caching }),
      disk.submit(cdbOf('15 11 00 00 10 00'), { dataOut: control }),
    ]
    while (records.waiting > 0) records.release()
    for (const task of tasks) assert.equal(senseOf(disk.transport.outcome(task)), 'status 0')
    const again = new TestDisk(64, { records })
    assert.equal(page(again, 0x08)[2], 0, 'the write cache')
    assert.equal(page(again, 0x0a)[2], 0x06, 'descriptor sense')
  })

  it('are not touched by MODE SELECT without SP, nor where they cannot be kept', () => {
    const records = new Records()
    const disk = new TestDisk(64, { records })
    select(disk, changed(page(disk, 0x0a), 2, 0x06))
    assert.equal(page(disk, 0x0a, 3)[2], 0x02)
    disk.unit.reset(() => undefined)
    disk.run(cdbOf('00 00 00 00 00 00'))
    records.failNext = true
    assert.equal(senseOf(save(disk, changed(page(disk, 0x08), 2, 0))), '4/4400')
    assert.equal(page(disk, 0x08)[2], 0x04)
    const without = new TestDisk(64)
    assert.equal(senseOf(save(without, page(without, 0x08))), '5/2400')
  })
})
