import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inquiryCdb } from '../scsi/cdb.ts'
import { get16, get32 } from '../scsi/fields.ts'
import type { SpaceDone, StoreError } from '../store/backing-store.ts'
import { cdbOf, nexusNamed, senseOf, TestDisk, TestStore } from './disk.test-helper.ts'
import type { DiskUnitOptions } from './disk-unit.ts'
import { TestRecords } from './reservations.test-helper.ts'

const MIB = 1024 * 1024
const READY = cdbOf('00 00 00 00 00 00')
const REACHED = '6/3807'

/** A store in a file system of which the test says how much is left. */
class GrowingStore extends TestStore {
  override readonly can = {
    write: true,
    trim: true,
    volatileCache: true,
    extents: true,
    tellsSpace: true,
    reserves: true,
  }
  availableBytes = 100 * MIB
  usedBytes = 3 * MIB
  error: StoreError | undefined

  space(done: SpaceDone): void {
    const { availableBytes, error, usedBytes } = this
    done(error, error ? undefined : { availableBytes, usedBytes })
  }
}

function growing(options: Partial<DiskUnitOptions> = {}): { disk: TestDisk; store: GrowingStore } {
  const store = new GrowingStore(64 * 512)
  return { disk: new TestDisk(64, { spaceWarningBytes: 10 * MIB, ...options, store }), store }
}

const modePage = (disk: TestDisk, page: string, control = 0): Uint8Array => {
  const cdb = cdbOf(`5a 08 ${page} 00 00 00 01ff 00`)
  cdb[2] = (cdb[2] ?? 0) | (control << 6)
  return disk.run(cdb).data.subarray(8)
}

function select(disk: TestDisk, page: Uint8Array, save = false): string {
  const dataOut = Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, ...page])
  dataOut[8] = (dataOut[8] ?? 0) & 0x7f
  const cdb = cdbOf(`55 ${save ? '11' : '10'} 00 00 00 00 00 00 00 00`)
  cdb[8] = dataOut.length
  return senseOf(disk.run(cdb, { dataOut }))
}

describe('a threshold of the space that is left', () => {
  it('is told once to every nexus when it is reached, and again after there was more', () => {
    const { disk, store } = growing()
    const other = nexusNamed('two')
    disk.attach(other)
    const hear = () => [disk.nexus, other].map((nexus) => senseOf(disk.run(READY, {}, nexus)))
    assert.equal(disk.unit.checkSpace(), true)
    assert.deepEqual(hear(), ['status 0', 'status 0'])
    store.availableBytes = 10 * MIB
    disk.unit.checkSpace()
    assert.deepEqual(hear(), [REACHED, REACHED])
    store.availableBytes = 5 * MIB
    disk.unit.checkSpace()
    assert.deepEqual(hear(), ['status 0', 'status 0'], 'it has been told')
    store.availableBytes = 11 * MIB
    disk.unit.checkSpace()
    assert.deepEqual(hear(), ['status 0', 'status 0'])
    store.availableBytes = 0
    disk.unit.checkSpace()
    assert.deepEqual(hear(), [REACHED, REACHED])
  })

  it('is looked for once at a time, however long that takes, and every LOG SENSE has the answer', () => {
    const { disk, store } = growing()
    const answers: SpaceDone[] = []
    store.space = (done) => void answers.push(done)
    disk.unit.checkSpace()
    disk.unit.checkSpace()
    const tasks = [1, 2].map(() => disk.submit(cdbOf('4d 00 4c 00 00 00 00 00ff 00')))
    assert.equal(answers.length, 1)
    answers[0]?.(undefined, { availableBytes: 7 * MIB, usedBytes: MIB })
    for (const task of tasks) assert.equal(get32(disk.transport.outcome(task).data, 8), 7)
    assert.equal(senseOf(disk.run(READY)), REACHED)
    disk.unit.checkSpace()
    assert.equal(answers.length, 2)
  })

  it('is set by MODE SELECT, and judged at once', () => {
    const { disk, store } = growing({ spaceWarningBytes: 0 })
    store.availableBytes = 20 * MIB
    disk.unit.checkSpace()
    const page = Uint8Array.from(modePage(disk, '1c 02'))
    assert.deepEqual([page[16], page[17], get32(page, 20)], [0, 1, 0], 'none is enabled')
    page.set([0x80, 1, 0, 0, 0, 0, 0, 20], 16)
    assert.equal(select(disk, page), 'status 0')
    assert.equal(senseOf(disk.run(READY)), REACHED)
    page[23] = 19
    assert.equal(select(disk, page), 'status 0')
    assert.equal(senseOf(disk.run(READY)), 'status 0')
  })

  it('is not told without LBPERE', () => {
    const { disk, store } = growing()
    const recovery = Uint8Array.from(modePage(disk, '01 00'))
    assert.deepEqual([recovery.length, recovery[7]], [12, 0x80])
    recovery[7] = 0
    assert.equal(select(disk, recovery), 'status 0')
    store.availableBytes = 0
    disk.unit.checkSpace()
    assert.equal(senseOf(disk.run(READY)), 'status 0')
    recovery[7] = 0x80
    select(disk, recovery)
    assert.equal(senseOf(disk.run(READY)), REACHED)
  })

  it('is saved with SP, also its subpage', () => {
    const records = new TestRecords()
    const { disk } = growing({ records })
    const page = Uint8Array.from(modePage(disk, '1c 02'))
    page[23] = 77
    assert.equal(select(disk, page, true), 'status 0')
    const again = growing({ records }).disk
    assert.equal(modePage(again, '1c 02')[23], 77)
    assert.equal(modePage(again, '1c 00').length, 12, 'the page itself is another')
  })

  it('does not change what cannot be: its type, arming, resource, and SITUA', () => {
    const { disk } = growing()
    for (const at of [4, 16, 17]) {
      const page = Uint8Array.from(modePage(disk, '1c 02'))
      page[at] = (page[at] ?? 0) ^ 0x01
      assert.equal(select(disk, page), '5/2600', `byte ${at}`)
    }
  })

  it('has pages by subpage, by code, and among all', () => {
    const { disk } = growing()
    const codes = (text: string): string[] => {
      const data = modePage(disk, text)
      const found: string[] = []
      for (let at = 0; at < data.length; ) {
        const isLong = ((data[at] ?? 0) & 0x40) !== 0
        found.push(`${((data[at] ?? 0) & 0x3f).toString(16)}.${isLong ? data[at + 1] : 0}`)
        at += isLong ? 4 + get16(data, at + 2) : 2 + (data[at + 1] ?? 0)
      }
      return found
    }
    assert.deepEqual(codes('1c 02'), ['1c.2'])
    assert.deepEqual(codes('1c ff'), ['1c.0', '1c.2'])
    assert.deepEqual(codes('3f 00'), ['1.0', '8.0', 'a.0', '1c.0'])
    assert.deepEqual(codes('3f ff'), ['1.0', '8.0', 'a.0', '1c.0', '1c.2'])
    for (const cdb of ['5a 08 1c 01 00 00 00 01ff 00', '5a 08 3f 02 00 00 00 01ff 00']) {
      assert.deepEqual(disk.run(cdbOf(cdb)).sense?.field, { in: 'cdb', byte: 3, bit: 7 })
    }
  })

  it('is in page B2h and in the log: sets of a mebibyte', () => {
    const { disk, store } = growing()
    const b2 = disk.run(inquiryCdb(255, 0xb2)).data
    assert.deepEqual([b2[4], b2[5]], [11, 0xe6])
    store.availableBytes = 7.9 * MIB
    const log = () => disk.run(cdbOf('4d 00 4c 00 00 0000 0200 00'))
    const { data } = log()
    assert.equal(senseOf(disk.run(READY)), REACHED, 'who looks may find out')
    assert.deepEqual(
      [...data.subarray(4)],
      [0, 1, 3, 8, 0, 0, 0, 7, 2, 0, 0, 0, 0, 2, 3, 8, 0, 0, 0, 3, 1, 0, 0, 0],
    )
    store.error = { failure: 'medium' }
    assert.equal(senseOf(log()), '4/4400')
  })

  it('does not exist where the space is not known, or is not a thin disk’s', () => {
    for (const disk of [new TestDisk(64), growing({ thin: false }).disk]) {
      assert.equal(disk.unit.checkSpace(), false)
      assert.equal(disk.run(inquiryCdb(255, 0xb2)).data[4], 0)
      assert.equal(senseOf(disk.run(cdbOf('4d 00 4c 00 00 0000 0200 00'))), '5/2400')
      assert.equal(senseOf(disk.run(cdbOf('5a 08 1c 02 00 00 00 01ff 00'))), '5/2400')
    }
  })

  it('is not looked at any more when the disk is closed', () => {
    const { disk } = growing()
    disk.unit.close(() => undefined)
    assert.equal(disk.unit.checkSpace(), false)
  })
})

describe('a write that finds no space', () => {
  it('is SPACE ALLOCATION FAILED WRITE PROTECT, and the disk can still be read', () => {
    const { disk, store } = growing()
    const write = (call: string, cdb: Uint8Array, dataOut?: Uint8Array) => {
      store.failNext = { call, error: { failure: 'no-space' } }
      return senseOf(disk.run(cdb, dataOut ? { dataOut } : {}))
    }
    const block = new Uint8Array(512).fill(7)
    assert.equal(write('write', cdbOf('2a 00 00000000 00 0001 00'), block), '7/2707')
    assert.equal(write('zero', cdbOf('93 01 0000000000000000 00000001 00 00')), '7/2707')
    assert.equal(write('write', cdbOf('2e 00 00000000 00 0001 00'), block), '7/2707')
    const list = cdbOf('0016 0010 00000000 0000000000000000 00000001 00000000')
    assert.equal(write('zero', cdbOf('42 01 00000000 00 0018 00'), list), '7/2707', 'to anchor takes space')
    assert.equal(senseOf(disk.run(cdbOf('28 00 00000000 00 0001 00'))), 'status 0')
  })
})

describe('ANCHOR', () => {
  it('keeps the space of what is unmapped', () => {
    const { disk, store } = growing()
    store.bytes.fill(1)
    const list = cdbOf('0016 0010 00000000 0000000000000002 00000003 00000000')
    assert.equal(senseOf(disk.run(cdbOf('42 01 00000000 00 0018 00'), { dataOut: list })), 'status 0')
    assert.equal(senseOf(disk.run(cdbOf('93 19 0000000000000008 00000002 00 00'))), 'status 0')
    assert.deepEqual(store.calls, ['zero 1024+1536', 'zero 4096+1024'])
  })

  it('goes with UNMAP only, and is refused where there is no space to keep', () => {
    const { disk } = growing()
    const dataOut = new Uint8Array(512)
    assert.deepEqual(disk.run(cdbOf('41 10 00000000 00 0001 00'), { dataOut }).sense?.field, {
      in: 'cdb',
      byte: 1,
      bit: 4,
    })
    const plain = new TestDisk(64)
    assert.equal(senseOf(plain.run(cdbOf('41 18 00000000 00 0001 00'), { dataOut })), '5/2400')
    assert.equal(senseOf(plain.run(cdbOf('42 01 00000000 00 0000 00'))), '5/2400')
  })
})
