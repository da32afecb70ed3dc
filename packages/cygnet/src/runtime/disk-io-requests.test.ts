import assert from 'node:assert/strict'
import fs from 'node:fs'
import { afterEach, describe, mock, test } from 'node:test'
import { pattern } from '../store/contract.test-helper.ts'
import { DiskRequests, withoutFirst } from './disk-io-requests.ts'
import { storeErrorOf } from './disk-io-errors.ts'
import type { StoreError } from '../store/backing-store.ts'

type Callback = (error: NodeJS.ErrnoException | null, bytes: number) => void

const errno = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code })

/** Answers each read with the next of `answers`: bytes to give at most, or an error; then with all that is asked. */
function mockRead(image: Uint8Array, answers: (number | NodeJS.ErrnoException)[]): void {
  const read = (
    _fd: number,
    into: Uint8Array,
    at: number,
    length: number,
    offset: number,
    done: Callback,
  ): void => {
    const answer = answers.shift() ?? length
    if (typeof answer !== 'number') return void setImmediate(done, answer, 0)
    const part = image.subarray(offset, offset + Math.min(answer, length))
    into.set(part, at)
    setImmediate(done, null, part.length)
  }
  mock.method(fs, 'read', read as typeof fs.read)
}

/** The same for writes: bytes to take at most. */
function mockWrite(image: Uint8Array, answers: (number | NodeJS.ErrnoException)[]): void {
  const take = (slices: Uint8Array[], offset: number, done: Callback): void => {
    const whole = Buffer.concat(slices)
    const answer = answers.shift() ?? whole.length
    if (typeof answer !== 'number') return void setImmediate(done, answer, 0)
    image.set(whole.subarray(0, answer), offset)
    setImmediate(done, null, Math.min(answer, whole.length))
  }
  const write = (
    _fd: number,
    from: Uint8Array,
    at: number,
    length: number,
    offset: number,
    done: Callback,
  ): void => take([from.subarray(at, at + length)], offset, done)
  mock.method(fs, 'write', write as typeof fs.write)
  mock.method(fs, 'writev', ((_fd: number, slices: Uint8Array[], offset: number, done: Callback): void =>
    take(slices, offset, done)) as typeof fs.writev)
}

const read = (into: Uint8Array, filled: number, offset: number): Promise<StoreError | undefined> =>
  new Promise((resolve) => new DiskRequests(3).read(into, filled, offset, resolve))

const write = (slices: Uint8Array[], written: number, offset: number): Promise<StoreError | undefined> =>
  new Promise((resolve) => new DiskRequests(3).write(slices, written, offset, resolve))

afterEach(() => mock.restoreAll())

describe('reads through the thread pool', () => {
  const image = pattern(10_000, 1)

  test('a short read is completed', async () => {
    mockRead(image, [100, 1, 4000])
    const into = new Uint8Array(9000)
    assert.equal(await read(into, 0, 500), undefined)
    assert.deepEqual(into, image.subarray(500, 9500))
  })

  test('what was read before is not read again', async () => {
    mockRead(image, [])
    const into = new Uint8Array(1000)
    assert.equal(await read(into, 600, 0), undefined)
    assert.ok(into.subarray(0, 600).every((byte) => byte === 0))
    assert.deepEqual(into.subarray(600), image.subarray(600, 1000))
  })

  test('interruptions are tried again, but not for ever', async () => {
    mockRead(image, [errno('EINTR'), 10, errno('EAGAIN'), errno('EAGAIN')])
    const into = new Uint8Array(100)
    assert.equal(await read(into, 0, 0), undefined)
    assert.deepEqual(into, image.subarray(0, 100))
    mockRead(image, Array<NodeJS.ErrnoException>(1000).fill(errno('EAGAIN')))
    assert.equal((await read(into, 0, 0))?.failure, 'medium')
  })

  test('an error names the first byte that was not read', async () => {
    const cause = errno('EIO')
    mockRead(image, [512, cause])
    assert.deepEqual(await read(new Uint8Array(4096), 0, 1024), { failure: 'medium', offset: 1536, cause })
  })

  test('an image that has become shorter is a medium error, not zeroes', async () => {
    mockRead(image, [])
    const error = await read(new Uint8Array(4096), 0, 8192)
    assert.equal(error?.failure, 'medium')
    assert.equal(error?.offset, 10_000)
  })
})

describe('writes through the thread pool', () => {
  const bytes = pattern(9000, 2)
  const slices = [
    bytes.subarray(0, 10),
    bytes.subarray(10, 10),
    bytes.subarray(10, 5000),
    bytes.subarray(5000),
  ]

  test('short writes are completed, wherever in the slices they end', async () => {
    for (const taken of [[1], [10], [11, 4989, 1], [8999], [0, 100, 0]]) {
      const image = new Uint8Array(10_000)
      mockWrite(image, [...taken])
      assert.equal(await write(slices, 0, 7), undefined)
      assert.deepEqual(image.subarray(7, 9007), bytes)
      mock.restoreAll()
    }
  })

  test('what was written before is not written again', async () => {
    const image = new Uint8Array(10_000)
    mockWrite(image, [])
    assert.equal(await write(slices, 6000, 0), undefined)
    assert.ok(image.subarray(0, 6000).every((byte) => byte === 0))
    assert.deepEqual(image.subarray(6000, 9000), bytes.subarray(6000))
  })

  test('an error names the first byte that was not written', async () => {
    const cause = errno('ENOSPC')
    mockWrite(new Uint8Array(10_000), [4096, cause])
    assert.deepEqual(await write(slices, 0, 100), { failure: 'no-space', offset: 4196, cause })
  })

  test('a write that never gets on ends', async () => {
    mockWrite(new Uint8Array(10_000), Array<number>(1000).fill(0))
    assert.equal((await write(slices, 0, 100))?.failure, 'medium')
  })
})

test('dropping the first bytes of slices keeps the rest, in order', () => {
  const slices = [Uint8Array.of(1, 2), Uint8Array.of(), Uint8Array.of(3), Uint8Array.of(4, 5)]
  const left = [0, 1, 2, 3, 4, 5].map((count) => Buffer.concat(withoutFirst(slices, count)).toString('hex'))
  assert.deepEqual(left, ['0102030405', '02030405', '030405', '0405', '05', ''])
})

test('system errors are given the disk’s names', () => {
  const failures = ['EIO', 'ENOSPC', 'EDQUOT', 'EROFS', 'ENODEV', 'ESTALE', 'EWHATEVER'].map(
    (code) => storeErrorOf(errno(code)).failure,
  )
  assert.deepEqual(failures, ['medium', 'no-space', 'no-space', 'read-only', 'gone', 'gone', 'medium'])
})
