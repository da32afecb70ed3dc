import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, describe, test } from 'node:test'
import { CygnetError } from '../base/errors.ts'
import type { OpenOptions } from '../store/disk-io.ts'
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
