import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blockCdb, testUnitReadyCdb } from '../scsi/cdb.ts'
import { get32 } from '../scsi/fields.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { Done, Geometry, StoreError } from '../store/backing-store.ts'
import { cdbOf, nexusNamed, pattern, senseOf, TestDisk, TestStore } from './disk.test-helper.ts'

/** A store that is found to have another size. */
class GrowingStore extends TestStore {
  override geometry: Geometry = { ...this.sizes, sizeBytes: 64 * 512 }
  nextBytes = 64 * 512
  failure: StoreError | undefined

  constructor() {
    super(256 * 512)
  }

  get sizes(): Omit<Geometry, 'sizeBytes'> {
    return { alignmentBytes: 1, physicalBlockBytes: 512, trimGranularityBytes: 4096 }
  }

  remeasure(done: Done): void {
    if (!this.failure) this.geometry = { ...this.geometry, sizeBytes: this.nextBytes }
    done(this.failure)
  }
}

function growing(): { disk: TestDisk; store: GrowingStore; remeasure: () => boolean | StoreError } {
  const store = new GrowingStore()
  const disk = new TestDisk(64, { store })
  const remeasure = (): boolean | StoreError => {
    let result: boolean | StoreError | undefined
    disk.unit.remeasure((error, hasGrown) => (result = error ?? hasGrown))
    assert.notEqual(result, undefined)
    return result ?? false
  }
  return { disk, store, remeasure }
}

const capacity = (disk: TestDisk): number =>
  get32(disk.run(cdbOf('25 00 00 00 00 00 00 00 00 00')).data, 0) + 1

test('a disk that has grown tells every nexus once, and gives room', () => {
  const { disk, store, remeasure } = growing()
  const other = nexusNamed('two')
  disk.attach(other)
  assert.equal(senseOf(disk.run(blockCdb(Opcode.write10, 64, 1), { dataOut: pattern(512) })), '5/2100')
  store.nextBytes = 128 * 512
  assert.equal(remeasure(), true)
  for (const nexus of [disk.nexus, other]) {
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, nexus)), '6/2a09')
    assert.equal(senseOf(disk.run(testUnitReadyCdb(), {}, nexus)), 'status 0')
  }
  assert.equal(capacity(disk), 128)
  assert.equal(disk.unit.blocks, 128)
  assert.equal(senseOf(disk.run(blockCdb(Opcode.write10, 127, 1), { dataOut: pattern(512) })), 'status 0')
})

test('a disk that is as large as before says nothing, and part of a block is no growth', () => {
  const { disk, store, remeasure } = growing()
  assert.equal(remeasure(), false)
  store.nextBytes += 511
  assert.equal(remeasure(), false)
  assert.equal(senseOf(disk.run(testUnitReadyCdb())), 'status 0')
  assert.equal(capacity(disk), 64)
})

test('a size that cannot be read changes nothing', () => {
  const { disk, store, remeasure } = growing()
  store.nextBytes *= 2
  store.failure = { failure: 'gone' }
  assert.deepEqual(remeasure(), { failure: 'gone' })
  assert.equal(capacity(disk), 64)
})

test('a store that cannot grow never does', () => {
  const disk = new TestDisk(64)
  let answer: unknown
  disk.unit.remeasure((error, hasGrown) => (answer = [error, hasGrown]))
  assert.deepEqual(answer, [undefined, false])
})
