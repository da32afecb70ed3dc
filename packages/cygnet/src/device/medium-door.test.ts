import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { blockCdb, testUnitReadyCdb } from '../scsi/cdb.ts'
import { Opcode } from '../scsi/opcodes.ts'
import { ReserveOutAction } from '../scsi/persistent-reservation.ts'
import { cdbOf, nexusNamed, senseOf, TestDisk } from './disk.test-helper.ts'
import { SharedDisk } from './reservations.test-helper.ts'

const EJECT = cdbOf('1b 00 00 00 02 00')
const LOAD = cdbOf('1b 00 00 00 03 00')
const PREVENT = cdbOf('1e 00 00 00 01 00')
const ALLOW = cdbOf('1e 00 00 00 00 00')
const READY = testUnitReadyCdb()
const removable = (): TestDisk => new TestDisk(64, { removable: true })

describe('a removable medium', () => {
  it('is reported by INQUIRY, and a fixed one is not', () => {
    assert.equal(removable().run(cdbOf('12 00 00 00 24 00')).data[1], 0x80)
    assert.equal(new TestDisk(64).run(cdbOf('12 00 00 00 24 00')).data[1], 0)
  })

  it('is not there after it was ejected, and whole again after it was loaded', () => {
    const disk = removable()
    assert.equal(senseOf(disk.run(EJECT)), 'status 0')
    assert.deepEqual(disk.store.calls, ['flush'], 'nothing that was acknowledged stays behind')
    assert.equal(senseOf(disk.run(READY)), '2/3a00')
    assert.equal(senseOf(disk.run(blockCdb(Opcode.read10, 0, 1))), '2/3a00')
    assert.equal(senseOf(disk.run(cdbOf('25 00 00 00 00 00 00 00 00 00'))), '2/3a00')
    assert.equal(senseOf(disk.run(cdbOf('12 00 00 00 24 00'))), 'status 0', 'the drive is still there')
    const sense = disk.run(cdbOf('03 00 00 00 12 00')).data
    assert.deepEqual([sense[2], sense[12]], [0x02, 0x3a], 'REQUEST SENSE says so too')
    assert.equal(senseOf(disk.run(LOAD)), 'status 0')
    assert.equal(senseOf(disk.run(READY)), 'status 0')
  })

  it('tells everybody else when it comes in, and nobody when it was in', () => {
    const disk = removable()
    const other = nexusNamed('two')
    disk.attach(other)
    disk.run(LOAD)
    assert.equal(senseOf(disk.run(READY, {}, other)), 'status 0')
    disk.run(EJECT)
    assert.equal(senseOf(disk.run(READY, {}, other)), '2/3a00')
    disk.run(LOAD)
    assert.equal(senseOf(disk.run(READY)), 'status 0')
    assert.equal(senseOf(disk.run(READY, {}, other)), '6/2800')
    assert.equal(senseOf(disk.run(READY, {}, other)), 'status 0')
  })

  it('stays in when what it has in its cache cannot be written', () => {
    const disk = removable()
    disk.store.failNext = { call: 'flush', error: { failure: 'medium' } }
    assert.equal(senseOf(disk.run(EJECT)), '3/0c00')
    assert.equal(senseOf(disk.run(READY)), 'status 0')
  })

  it('is ejected at once with NO FLUSH, and needs no flush when it is out', () => {
    const disk = removable()
    disk.run(cdbOf('1b 00 00 00 06 00'))
    assert.equal(senseOf(disk.run(READY)), '2/3a00')
    disk.run(EJECT)
    assert.deepEqual(disk.store.calls, [])
  })

  it('that was stopped is flushed, and starts by itself', () => {
    const disk = removable()
    assert.equal(senseOf(disk.run(cdbOf('1b 00 00 00 00 00'))), 'status 0')
    assert.deepEqual(disk.store.calls, ['flush'])
    assert.equal(senseOf(disk.run(READY)), 'status 0')
  })
})

describe('PREVENT ALLOW MEDIUM REMOVAL', () => {
  it('keeps the door as it is, for everybody', () => {
    const disk = removable()
    const other = nexusNamed('two')
    disk.attach(other)
    disk.run(PREVENT)
    assert.equal(senseOf(disk.run(EJECT)), '5/5302')
    assert.equal(senseOf(disk.run(EJECT, {}, other)), '5/5302')
    assert.equal(senseOf(disk.run(READY)), 'status 0')
    disk.run(ALLOW, {}, other)
    assert.equal(senseOf(disk.run(EJECT, {}, other)), '5/5302', 'each nexus allows for itself')
    disk.run(ALLOW)
    assert.equal(senseOf(disk.run(EJECT)), 'status 0')
    disk.run(PREVENT)
    assert.equal(senseOf(disk.run(LOAD)), '5/5302')
    disk.run(ALLOW)
    assert.equal(senseOf(disk.run(LOAD)), 'status 0')
  })

  for (const [what, end] of [
    ['a reset', (disk: TestDisk) => disk.unit.reset(() => undefined)],
    ['the loss of the nexus', (disk: TestDisk) => disk.unit.detachNexus(disk.nexus, 'nexus-loss')],
    ['a logout', (disk: TestDisk) => disk.unit.detachNexus(disk.nexus, 'logout')],
  ] as const) {
    it(`ends with ${what}`, () => {
      const disk = removable()
      const other = nexusNamed('two')
      disk.attach(other)
      disk.run(PREVENT)
      end(disk)
      disk.run(READY, {}, other)
      assert.equal(senseOf(disk.run(EJECT, {}, other)), 'status 0')
    })
  }

  it('ends with PREEMPT AND ABORT of the nexus, and not with PREEMPT', () => {
    for (const [action, sense] of [
      [ReserveOutAction.preempt, '5/5302'],
      [ReserveOutAction.preemptAndAbort, 'status 0'],
    ] as const) {
      const shared = new SharedDisk({ removable: true })
      const { a, b, disk } = shared
      shared.register(a, 1)
      shared.register(b, 2)
      disk.run(PREVENT, {}, a)
      assert.equal(shared.out(b, action, { type: 1, key: 2, actionKey: 1 }), 'good')
      assert.equal(senseOf(disk.run(EJECT, {}, b)), sense)
    }
  })

  it('does not exist on a fixed disk, and is refused to who may only read', () => {
    assert.equal(senseOf(new TestDisk(64).run(PREVENT)), '5/2000')
    const disk = removable()
    const reader = { ...nexusNamed('reader'), readOnly: true }
    disk.attach(reader)
    assert.equal(senseOf(disk.run(PREVENT, {}, reader)), '7/2700')
  })
})
