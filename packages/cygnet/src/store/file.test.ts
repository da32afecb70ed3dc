import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CygnetError } from '../base/errors.ts'
import type { SpaceDone, StoreError } from './backing-store.ts'
import { WriteFlags } from './backing-store.ts'
import { CheckerStore } from './checker.ts'
import { describeStoreContract, pattern } from './contract.test-helper.ts'
import { FakeDiskFile, ioOf } from './disk-file.test-helper.ts'
import { FileStore, openFileStore } from './file.ts'

describeStoreContract('file on a disk that punches holes', (sizeBytes) => ({
  store: new FileStore(new FakeDiskFile({ sizeBytes }), false),
}))
describeStoreContract('file on a disk that does not', (sizeBytes) => ({
  store: new FileStore(new FakeDiskFile({ sizeBytes, canPunchHoles: false }), false),
}))

const ok = (error: StoreError | undefined): void => assert.equal(error, undefined)
const geometryOf = (blockBytes: number) =>
  new FileStore(new FakeDiskFile({ sizeBytes: 4096, blockBytes }), false).geometry
const IO_ERROR: StoreError = { failure: 'medium', offset: 512, cause: new Error('EIO') }

describe('space', () => {
  test('is told, and kept by zeroes, only where the disk says so and can be written', () => {
    const space = (done: SpaceDone): void => done(undefined, { usedBytes: 1, availableBytes: 2 })
    const disk = Object.assign(new FakeDiskFile({ sizeBytes: 8192 }), { space, writesInPlace: true })
    const store = new FileStore(disk, false)
    assert.deepEqual([store.can.tellsSpace, store.can.reserves], [true, true])
    new CheckerStore(store).space((_error, found) =>
      assert.deepEqual(found, { usedBytes: 1, availableBytes: 2 }),
    )
    const others = [new FileStore(disk, true), new FileStore(new FakeDiskFile({ sizeBytes: 8192 }), false)]
    for (const { can } of others) assert.deepEqual([can.tellsSpace, can.reserves], [false, false])
    others[1]?.space((error, found) => assert.deepEqual([error, found], [undefined, undefined]))
  })
})

describe('file store', () => {
  test('a FUA write is answered after a sync that began when it was written', () => {
    const disk = new FakeDiskFile({ sizeBytes: 8192 })
    const store = new FileStore(disk, false)
    disk.manual = true
    let done = 0
    store.write([pattern(512, 1)], 0, WriteFlags.fua, () => done++)
    assert.deepEqual(disk.calls, ['write 0+512'])
    disk.pending[0]?.answer()
    assert.deepEqual(disk.calls, ['write 0+512', 'sync'])
    assert.equal(done, 0)
    disk.pending[0]?.answer()
    assert.equal(done, 1)
  })

  test('an ordinary write is answered without a sync', () => {
    const disk = new FakeDiskFile({ sizeBytes: 8192 })
    const store = new FileStore(disk, false)
    store.write([pattern(512, 1)], 0, WriteFlags.none, ok)
    assert.deepEqual(disk.calls, ['write 0+512'])
  })

  test('a write that is acknowledged during a sync needs another one', () => {
    const disk = new FakeDiskFile({ sizeBytes: 8192 })
    const store = new FileStore(disk, false)
    disk.manual = true
    const answered: string[] = []
    store.flush(() => answered.push('first'))
    store.write([pattern(512, 1)], 0, WriteFlags.none, ok)
    const [sync, write] = disk.pending
    write?.answer()
    store.flush(() => answered.push('second'))
    sync?.answer()
    assert.deepEqual(answered, ['first'])
    assert.deepEqual(disk.calls, ['sync', 'write 0+512', 'sync'])
    disk.pending[0]?.answer()
    assert.deepEqual(answered, ['first', 'second'])
  })

  test('thirty-two concurrent FUA writes take two syncs', () => {
    const disk = new FakeDiskFile({ sizeBytes: 32 * 512 })
    const store = new FileStore(disk, false)
    disk.manual = true
    let done = 0
    for (let i = 0; i < 32; i++) store.write([pattern(512, i)], i * 512, WriteFlags.fua, () => done++)
    while (disk.pending.length > 0) disk.pending[0]?.answer()
    assert.equal(done, 32)
    assert.equal(disk.calls.filter((call) => call === 'sync').length, 2)
  })

  test('after a failed sync no flush or FUA write is acknowledged any more, until the file is opened again', () => {
    const disk = new FakeDiskFile({ sizeBytes: 8192 })
    const store = new FileStore(disk, false)
    disk.manual = true
    const errors: (StoreError | undefined)[] = []
    store.flush((error) => errors.push(error))
    disk.pending[0]?.answer({ failure: 'medium' })
    disk.manual = false
    store.flush((error) => errors.push(error))
    store.write([pattern(512, 1)], 0, WriteFlags.fua, (error) => errors.push(error))
    store.write([pattern(512, 1)], 0, WriteFlags.none, ok)
    store.flush((error) => errors.push(error))
    assert.deepEqual(
      errors.map((error) => error?.failure),
      ['medium', 'medium', 'medium', 'medium'],
    )
    assert.equal(disk.calls.filter((call) => call === 'sync').length, 1)
    new FileStore(disk, false).flush(ok)
  })

  test('a write that fails is reported as the disk reported it, without a sync', () => {
    const disk = new FakeDiskFile({ sizeBytes: 8192 })
    const store = new FileStore(disk, false)
    disk.manual = true
    const errors: (StoreError | undefined)[] = []
    store.write([pattern(1024, 1)], 0, WriteFlags.fua, (error) => errors.push(error))
    disk.pending[0]?.answer(IO_ERROR)
    assert.deepEqual(errors, [IO_ERROR])
    assert.deepEqual(disk.pending, [])
  })

  test('trim punches whole blocks and writes zeroes at the edges', () => {
    const disk = new FakeDiskFile({ sizeBytes: 40_000 })
    disk.bytes.fill(1)
    new FileStore(disk, false).trim(1000, 20_000, ok)
    assert.deepEqual(disk.calls, ['write 1000+3096', 'write 20480+520', 'punch 4096+16384'])
    assert.ok(disk.bytes.subarray(1000, 21_000).every((byte) => byte === 0))
    assert.deepEqual([disk.bytes[999], disk.bytes[21_000]], [1, 1])
  })

  test('the short block at the end of the image is punched too', () => {
    const disk = new FakeDiskFile({ sizeBytes: 8192 + 700 })
    new FileStore(disk, false).trim(8192, 700, ok)
    assert.deepEqual(disk.calls, ['punch 8192+700'])
  })

  test('zeroes are written where the space must stay, and where punching fails', () => {
    const disk = new FakeDiskFile({ sizeBytes: 16_384 })
    const store = new FileStore(disk, false)
    store.zero(0, 8192, false, ok)
    assert.deepEqual(disk.calls, ['write 0+8192'])
    disk.manual = true
    let done = 0
    store.zero(0, 8192, true, (error) => {
      ok(error)
      done++
    })
    disk.pending[0]?.answer({ failure: 'medium' })
    disk.pending[0]?.answer()
    assert.deepEqual(disk.calls.slice(1), ['punch 0+8192', 'write 0+8192'])
    assert.equal(done, 1)
  })

  test('zeroing makes a later flush sync', () => {
    const disk = new FakeDiskFile({ sizeBytes: 16_384 })
    const store = new FileStore(disk, false)
    store.flush(ok)
    store.trim(0, 4096, ok)
    store.flush(ok)
    store.flush(ok)
    assert.deepEqual(disk.calls, ['sync', 'punch 0+4096', 'sync'])
  })

  test('a large range of zeroes is written piece by piece, and an error ends it', () => {
    const sizeBytes = 20 << 20
    const disk = new FakeDiskFile({ sizeBytes, canPunchHoles: false })
    const store = new FileStore(disk, false)
    store.zero(0, sizeBytes, true, ok)
    assert.equal(disk.calls.length, 5)
    disk.manual = true
    const errors: (StoreError | undefined)[] = []
    store.zero(0, sizeBytes, true, (error) => errors.push(error))
    disk.pending[0]?.answer()
    disk.pending[0]?.answer(IO_ERROR)
    assert.deepEqual(errors, [IO_ERROR])
    assert.deepEqual(disk.pending, [])
  })

  test('close syncs, closes, and tells of either error', () => {
    const disk = new FakeDiskFile({ sizeBytes: 4096 })
    disk.manual = true
    const errors: (StoreError | undefined)[] = []
    new FileStore(disk, false).close((error) => errors.push(error))
    disk.pending[0]?.answer(IO_ERROR)
    assert.deepEqual(disk.calls, ['sync', 'close'])
    disk.pending[0]?.answer()
    assert.deepEqual(errors, [IO_ERROR])
  })

  test('a read-only file is neither synced nor changed', () => {
    const disk = new FakeDiskFile({ sizeBytes: 4096 })
    const store = new FileStore(disk, true)
    const failures: (string | undefined)[] = []
    store.write([pattern(1, 1)], 0, WriteFlags.none, (error) => failures.push(error?.failure))
    store.trim(0, 1, (error) => failures.push(error?.failure))
    store.zero(0, 1, false, (error) => failures.push(error?.failure))
    assert.deepEqual(failures, ['read-only', 'read-only', 'read-only'])
    store.flush(ok)
    store.close(ok)
    assert.deepEqual(disk.calls, ['close'])
    assert.equal(store.can.write || store.can.trim || store.can.volatileCache, false)
  })

  test('a file without a byte is closed and refused with advice', () => {
    const disk = new FakeDiskFile({ sizeBytes: 0 })
    let refused: Error | undefined
    openFileStore(ioOf(disk), 'disk.img', { readOnly: false }, (error) => {
      refused = error
    })
    assert.ok(refused instanceof CygnetError)
    assert.equal(refused.code, 'STORE_EMPTY')
    assert.deepEqual(disk.calls, ['close'])
  })

  test('block sizes that are no disk blocks are made into some', () => {
    assert.deepEqual(geometryOf(1 << 20).physicalBlockBytes, 4096)
    assert.deepEqual(geometryOf(1 << 20).trimGranularityBytes, 1 << 20)
    assert.deepEqual(geometryOf(1).physicalBlockBytes, 512)
    assert.deepEqual(geometryOf(3000).trimGranularityBytes, 4096)
  })
})
