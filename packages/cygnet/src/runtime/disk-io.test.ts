import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { CygnetError } from '../base/errors.ts'
import type { Done, StoreSpace } from '../store/backing-store.ts'
import type { DiskFile, OpenOptions } from '../store/disk-io.ts'
import {
  closeStore,
  describeStoreContract,
  flush,
  pattern,
  readBytes,
  StoreRejection,
  trim,
  writeBytes,
  zero,
} from '../store/contract.test-helper.ts'
import type { FileStore } from '../store/file.ts'
import { openFileStore } from '../store/file.ts'
import { NodeDiskIO } from './disk-io.ts'
import { PageCache } from './page-cache-io.ts'
import { TurnBudget } from './page-cache-io-budget.ts'
import { loadSystemCalls } from './page-cache-io-calls.ts'

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'cygnet-disk-io-'))
after(() => fs.rmSync(directory, { recursive: true }))

const { calls, reason } = loadSystemCalls()
const pooled = new NodeDiskIO(undefined)
const inline = new NodeDiskIO(calls)

let files = 0
const freshPath = (): string => path.join(directory, `image-${++files}`)

const open = (io: NodeDiskIO, file: string, options: OpenOptions): Promise<FileStore> =>
  new Promise((resolve, reject) => {
    openFileStore(io, file, options, (error, store) =>
      store ? resolve(store) : reject(error ?? new Error('no store')),
    )
  })

const openBlank =
  (io: NodeDiskIO, freshName: () => string) =>
  async (sizeBytes: number): Promise<{ store: FileStore; dispose: () => void }> => {
    const file = freshName()
    const store = await open(io, file, { readOnly: false, createSizeBytes: sizeBytes })
    return { store, dispose: () => fs.rmSync(file) }
  }

describeStoreContract('file through the thread pool', openBlank(pooled, freshPath))
describeStoreContract('file past the thread pool', openBlank(inline, freshPath))

const MEMORY_FILE_SYSTEM = '/dev/shm'
if (fs.existsSync(MEMORY_FILE_SYSTEM)) {
  const memoryDirectory = fs.mkdtempSync(path.join(MEMORY_FILE_SYSTEM, 'cygnet-disk-io-'))
  after(() => fs.rmSync(memoryDirectory, { recursive: true }))
  describeStoreContract(
    'file in a memory file system',
    openBlank(inline, () => path.join(memoryDirectory, `image-${++files}`)),
  )
}

test('the optional system calls are there to be tested', () => assert.ok(calls, reason))

const hasCode = (code: string) => (error: unknown) => error instanceof CygnetError && error.code === code

const refused = (error: unknown): boolean =>
  error instanceof StoreRejection && error.error.failure === 'read-only'

describe('opening an image', () => {
  test('a missing image is created sparse, with its size', async () => {
    const file = freshPath()
    const store = await open(inline, file, { readOnly: false, createSizeBytes: 1 << 30 })
    const stat = fs.statSync(file)
    assert.equal(stat.size, 1 << 30)
    assert.ok(stat.blocks * 512 < 1 << 20, 'the image takes space before it is written')
    await closeStore(store)
  })

  test('an existing image keeps its size and bytes', async () => {
    const file = freshPath()
    fs.writeFileSync(file, pattern(5000, 1))
    const store = await open(inline, file, { readOnly: false, createSizeBytes: 1 << 30 })
    assert.equal(store.geometry.sizeBytes, 5000)
    assert.deepEqual(await readBytes(store, 0, 5000), pattern(5000, 1))
    await closeStore(store)
  })

  test('a missing image without a size, or to be read only, is refused and not created', async () => {
    const file = freshPath()
    await assert.rejects(open(inline, file, { readOnly: false }), hasCode('STORE_MISSING'))
    await assert.rejects(open(inline, file, { readOnly: true, createSizeBytes: 1 }), hasCode('STORE_MISSING'))
    assert.equal(fs.existsSync(file), false)
  })

  test('an empty file, a directory and a path through a file are refused', async () => {
    const empty = freshPath()
    fs.writeFileSync(empty, '')
    await assert.rejects(open(inline, empty, { readOnly: false }), hasCode('STORE_EMPTY'))
    await assert.rejects(open(inline, directory, { readOnly: false }), hasCode('STORE_UNSUITABLE'))
    await assert.rejects(
      open(inline, path.join(empty, 'x'), { readOnly: false, createSizeBytes: 1 }),
      hasCode('STORE_OPEN_FAILED'),
    )
  })

  test('an image that cannot be given its size leaves no file behind', async () => {
    const file = freshPath()
    const options = { readOnly: false, createSizeBytes: Number.MAX_SAFE_INTEGER }
    await assert.rejects(open(inline, file, options), hasCode('STORE_OPEN_FAILED'))
    assert.equal(fs.existsSync(file), false)
  })

  test('a read-only image is read, and refuses every change', async () => {
    const file = freshPath()
    fs.writeFileSync(file, pattern(8192, 2))
    const store = await open(inline, file, { readOnly: true })
    assert.equal(store.can.write, false)
    assert.equal(store.can.trim, false)
    assert.deepEqual(await readBytes(store, 100, 200), pattern(8192, 2).subarray(100, 300))
    await assert.rejects(writeBytes(store, 0, [pattern(512, 1)]), refused)
    await assert.rejects(trim(store, 0, 4096), refused)
    await assert.rejects(zero(store, 0, 4096, false), refused)
    await flush(store)
    await closeStore(store)
    assert.deepEqual(new Uint8Array(fs.readFileSync(file)), pattern(8192, 2))
  })

  test('an image has one writer or many readers', async () => {
    const file = freshPath()
    const writer = await open(inline, file, { readOnly: false, createSizeBytes: 4096 })
    await assert.rejects(open(inline, file, { readOnly: false }), hasCode('STORE_IN_USE'))
    await assert.rejects(open(inline, file, { readOnly: true }), hasCode('STORE_IN_USE'))
    await closeStore(writer)
    const readers = [
      await open(inline, file, { readOnly: true }),
      await open(inline, file, { readOnly: true }),
    ]
    await assert.rejects(open(inline, file, { readOnly: false }), hasCode('STORE_IN_USE'))
    for (const reader of readers) await closeStore(reader)
    await closeStore(await open(inline, file, { readOnly: false }))
  })
})

describe('the space of an image', () => {
  test('is what the file takes, and what its file system has left', async () => {
    const file = freshPath()
    const store = await open(pooled, file, { readOnly: false, createSizeBytes: 64 * 1024 * 1024 })
    assert.equal(store.can.tellsSpace, true)
    const space = () =>
      new Promise<StoreSpace | undefined>((resolve) => store.space((_error, found) => resolve(found)))
    const before = await space()
    await writeBytes(store, 0, [pattern(1024 * 1024, 1)])
    await flush(store)
    const later = await space()
    assert.ok(before && later)
    assert.ok(before.usedBytes < 1024 * 1024, 'sparse')
    assert.ok(later.usedBytes >= 1024 * 1024)
    assert.ok(later.availableBytes > 0)
    fs.renameSync(file, `${file}-elsewhere`)
    assert.ok(await space(), 'wherever the file is now')
    await closeStore(store)
    const reader = await open(pooled, `${file}-elsewhere`, { readOnly: true })
    assert.equal(reader.can.tellsSpace || reader.can.reserves, false, 'it does not grow')
    await closeStore(reader)
  })
})

describe('the path past the thread pool', () => {
  /** A disk whose inline path never pauses, on whatever file system the test runs. */
  const openInline = async (sizeBytes: number): Promise<DiskFile> => {
    assert.ok(calls, reason)
    const cache = new PageCache(
      {
        ...calls,
        preadv2: (fd, vector, count, offset) => calls.preadv2(fd, vector, count, offset, 0),
        pwritev2: (fd, vector, count, offset) => calls.pwritev2(fd, vector, count, offset, 0),
      },
      { now: () => 0, readBudget: new TurnBudget(Infinity) },
    )
    return new Promise((resolve, reject) => {
      new NodeDiskIO(calls, cache).open(
        freshPath(),
        { readOnly: false, createSizeBytes: sizeBytes },
        (error, file) => (file ? resolve(file) : reject(error ?? new Error('no file'))),
      )
    })
  }
  /** Starts an operation; tells whether it completed inside the call, and when it has completed. */
  const start = (operation: (done: Done) => void) => {
    let inCall = true
    let completedInCall = false
    const completed = new Promise<void>((resolve, reject) => {
      operation((error) => {
        completedInCall = inCall
        if (error) reject(new StoreRejection(error))
        else resolve()
      })
    })
    inCall = false
    return { completedInCall, completed }
  }
  const page = pattern(4096, 3)

  test('cached reads and small writes complete inside the call', async () => {
    const file = await openInline(1 << 20)
    const write = start((done) => file.write([page], 8192, done))
    assert.equal(write.completedInCall, true)
    const into = new Uint8Array(4096)
    assert.equal(start((done) => file.read(into, 8192, done)).completedInCall, true)
    assert.deepEqual(into, page)
    await start((done) => file.close(done)).completed
  })

  test('a write that meets a sync or a write of the thread pool goes there too', async () => {
    const file = await openInline(1 << 20)
    for (const operation of [
      (done: Done) => file.sync(done),
      (done: Done) => file.write([new Uint8Array(128 * 1024)], 65536, done),
    ]) {
      const other = start(operation)
      assert.equal(other.completedInCall, false)
      const write = start((done) => file.write([page], 0, done))
      assert.equal(write.completedInCall, false)
      await Promise.all([other.completed, write.completed])
    }
    assert.equal(start((done) => file.write([page], 0, done)).completedInCall, true)
    await start((done) => file.close(done)).completed
  })

  test('bytes that are not in the page cache are read from the disk', async () => {
    const bytes = pattern(4 << 20, 4)
    const file = freshPath()
    fs.writeFileSync(file, bytes)
    const forget = [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0']
    execFileSync('dd', forget, { stdio: 'ignore' })
    const store = await open(inline, file, { readOnly: true })
    for (let offset = 0; offset < bytes.length; offset += 300_000) {
      const lengthBytes = Math.min(70_000, bytes.length - offset)
      assert.deepEqual(
        await readBytes(store, offset, lengthBytes),
        bytes.subarray(offset, offset + lengthBytes),
      )
    }
    await closeStore(store)
  })

  test('an image that is cut while it is served gives an error, not zeroes', async () => {
    const file = freshPath()
    fs.writeFileSync(file, pattern(65_536, 5))
    const store = await open(inline, file, { readOnly: true })
    fs.truncateSync(file, 10_000)
    await assert.rejects(
      readBytes(store, 8192, 4096),
      (error) =>
        error instanceof StoreRejection && error.error.failure === 'medium' && error.error.offset === 10_000,
    )
    await closeStore(store)
  })
})
