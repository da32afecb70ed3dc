import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { get64 } from '../scsi/fields.ts'
import { cdbOf, nexusNamed, senseOf, TestDisk } from './disk.test-helper.ts'

const READY = cdbOf('00 00 00 00 00 00')

/** A disk whose reads have failed twice and writes once. */
function failing(): TestDisk {
  const disk = new TestDisk(8)
  for (const [call, cdb] of [
    ['read', '28 00 00000000 00 0001 00'],
    ['read', '28 00 00000000 00 0001 00'],
    ['write', '2a 00 00000000 00 0001 00'],
  ] as const) {
    disk.store.failNext = { call, error: { failure: 'medium' } }
    disk.run(cdbOf(cdb), { dataOut: new Uint8Array(512) })
  }
  return disk
}

/** Errors of reading and writing, as LOG SENSE tells them. */
const counts = (disk: TestDisk): number[] =>
  ['43', '42'].map((page) => get64(disk.run(cdbOf(`4d 00 ${page} 00 00 0000 0200 00`)).data, 8))

const select = (disk: TestDisk, cdb: string, list = '') => disk.run(cdbOf(cdb), { dataOut: cdbOf(list) })

describe('LOG SELECT', () => {
  it('begins counters anew: all of them, or those of a page, and the others hear of it', () => {
    const disk = failing()
    const other = nexusNamed('two')
    disk.attach(other)
    assert.deepEqual(counts(disk), [2, 1])
    assert.equal(senseOf(select(disk, '4c 02 42 00 00 00 00 0000 00')), 'status 0')
    assert.deepEqual(counts(disk), [2, 0])
    assert.equal(senseOf(disk.run(READY, {}, other)), '6/2a02')
    assert.equal(senseOf(disk.run(READY)), 'status 0', 'who did it knows')
    assert.equal(senseOf(select(disk, '4c 00 c0 00 00 00 00 0000 00')), 'status 0', 'default values')
    assert.deepEqual(counts(disk), [0, 0])
  })

  it('without anything to do does nothing, and tells nobody', () => {
    const disk = failing()
    const other = nexusNamed('two')
    disk.attach(other)
    assert.equal(senseOf(select(disk, '4c 00 40 00 00 00 00 0000 00')), 'status 0')
    assert.deepEqual(counts(disk), [2, 1])
    assert.equal(senseOf(disk.run(READY, {}, other)), 'status 0')
  })

  it('takes no more than a counter holds', () => {
    const disk = failing()
    const list = '02 00 000c 0006 00 08 ffffffffffffffff'
    assert.equal(senseOf(select(disk, '4c 00 40 00 00 00 00 0010 00', list)), 'status 0')
    assert.deepEqual(counts(disk), [2, Number.MAX_SAFE_INTEGER])
    disk.store.failNext = { call: 'write', error: { failure: 'medium' } }
    disk.run(cdbOf('2a 00 00000000 00 0001 00'), { dataOut: new Uint8Array(512) })
    assert.ok((counts(disk)[1] ?? 0) >= Number.MAX_SAFE_INTEGER)
  })

  it('sets counters by a list of pages, all or none', () => {
    const disk = failing()
    const page = (code: string, count: string) => `${code} 00 000c 0006 00 08 ${count}`
    const good = page('03', '0000000000000009') + page('02', '0000000000000004')
    assert.equal(senseOf(select(disk, '4c 00 40 00 00 00 00 0020 00', good)), 'status 0')
    assert.deepEqual(counts(disk), [9, 4])
    const bad = page('03', '0000000000000001') + page('0e', '0000000000000001')
    const outcome = select(disk, '4c 00 40 00 00 00 00 0020 00', bad)
    assert.deepEqual(outcome.sense?.field, { in: 'parameters', byte: 16, bit: 5 })
    assert.deepEqual(counts(disk), [9, 4])
  })

  for (const [what, cdb, list, sense] of [
    ['thresholds', '4c 02 00 00 00 00 00 0000 00', '', '5/2400'],
    ['a page without counters', '4c 02 4d 00 00 00 00 0000 00', '', '5/2400'],
    ['a subpage', '4c 02 43 01 00 00 00 0000 00', '', '5/2400'],
    ['PCR with a list', '4c 02 40 00 00 00 00 0010 00', '00'.repeat(16), '5/2400'],
    ['a page in the CDB with a list', '4c 00 43 00 00 00 00 0010 00', '00'.repeat(16), '5/2400'],
    ['SP', '4c 01 40 00 00 00 00 0000 00', '', '5/2400'],
    ['a list that was not sent', '4c 00 40 00 00 00 00 0010 00', '03 00', '5/1a00'],
    ['a list that ends in a page', '4c 00 40 00 00 00 00 0008 00', '03 00 000c 0006 00 08', '5/1a00'],
    ['a list that is too long', '4c 00 40 00 00 00 00 0101 00', '00'.repeat(257), '5/1a00'],
    ['another parameter', '4c 00 40 00 00 00 00 0010 00', '03 00 000c 0005 00 08 0000000000000001', '5/2600'],
    [
      'a parameter of another length',
      '4c 00 40 00 00 00 00 0010 00',
      '03 00 000c 0006 00 04 00000001 00000000',
      '5/2600',
    ],
  ] as const) {
    it(`refuses ${what}`, () => {
      const disk = failing()
      assert.equal(senseOf(select(disk, cdb, list)), sense)
      assert.deepEqual(counts(disk), [2, 1])
    })
  }

  it('is for those who may write', () => {
    const disk = failing()
    const reader = { ...nexusNamed('reader'), readOnly: true }
    disk.attach(reader)
    assert.equal(senseOf(disk.run(cdbOf('4c 02 40 00 00 00 00 0000 00'), {}, reader)), '7/2700')
  })
})
