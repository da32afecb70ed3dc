import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AssertionError } from '../base/assert.ts'
import type { Done, Extent, StoreError } from './backing-store.ts'
import { BufferCheckerStore } from './buffer-checker.ts'
import { CheckerStore } from './checker.ts'
import { describeStoreContract, pattern } from './contract.test-helper.ts'
import { FilterStore } from './filter.ts'
import { MemoryStore } from './memory.ts'

describeStoreContract('memory behind the production checker', (sizeBytes) => ({
  store: new CheckerStore(new MemoryStore({ sizeBytes })),
}))

const SIZE_BYTES = 8192
const ignore = (): void => undefined
const broken = (message: RegExp) => (error: unknown) =>
  error instanceof AssertionError && message.test(error.message)

/** A store whose completions the test holds in its hands. */
class HeldStore extends FilterStore {
  readonly held: Done[] = []
  readonly buffers: Uint8Array[] = []
  found: readonly Extent[] = []

  constructor() {
    super(new MemoryStore({ sizeBytes: SIZE_BYTES }))
  }

  override read(into: Uint8Array, _offset: number, done: Done): void {
    this.buffers.push(into)
    this.held.push(done)
  }

  override write(slices: readonly Uint8Array[], _offset: number, _flags: number, done: Done): void {
    this.buffers.push(...slices)
    this.held.push(done)
  }

  override extents(
    _offset: number,
    _lengthBytes: number,
    done: (error: StoreError | undefined, extents: readonly Extent[]) => void,
  ): void {
    done(undefined, this.found)
  }

  complete(error?: StoreError): void {
    const done = this.held.shift()
    assert.ok(done)
    done(error)
  }
}

for (const Checker of [CheckerStore, BufferCheckerStore]) {
  describe(`${Checker.name} and the caller`, () => {
    const bytes = new Uint8Array(512)

    test('a range outside the store is refused', () => {
      const store = new Checker(new MemoryStore({ sizeBytes: SIZE_BYTES }))
      for (const offset of [-1, SIZE_BYTES - 511, SIZE_BYTES + 1, 0.5, NaN, 2 ** 53]) {
        assert.throws(() => store.read(bytes, offset, ignore), AssertionError)
        assert.throws(() => store.write([bytes], offset, 0, ignore), AssertionError)
        assert.throws(() => store.trim(offset, 512, ignore), AssertionError)
        assert.throws(() => store.zero(offset, 512, true, ignore), AssertionError)
        assert.throws(() => store.extents(offset, 512, ignore), AssertionError)
      }
      assert.throws(() => store.trim(0, -1, ignore), AssertionError)
      assert.equal(store.underWay, 0)
    })

    test('an unknown write flag is refused', () => {
      const store = new Checker(new MemoryStore({ sizeBytes: SIZE_BYTES }))
      assert.throws(() => store.write([bytes], 0, 2, ignore), broken(/flags 2/))
    })

    test('nothing may be called after close', () => {
      const store = new Checker(new MemoryStore({ sizeBytes: SIZE_BYTES }))
      store.close(ignore)
      assert.throws(() => store.read(bytes, 0, ignore), broken(/read after close/))
      assert.throws(() => store.flush(ignore), broken(/flush after close/))
      assert.throws(() => store.close(ignore), broken(/close after close/))
    })

    test('close waits for nothing: operations under way are the caller’s fault', () => {
      const held = new HeldStore()
      const store = new Checker(held)
      store.read(bytes, 0, ignore)
      assert.throws(() => store.close(ignore), broken(/1 operations under way/))
      held.complete()
      store.close(ignore)
    })
  })

  describe(`${Checker.name} and the store`, () => {
    test('a second done is refused', () => {
      const held = new HeldStore()
      const store = new Checker(held)
      store.read(new Uint8Array(1), 0, ignore)
      const [done] = held.held
      done?.(undefined)
      assert.throws(() => done?.(undefined), broken(/a read twice/))
      assert.equal(store.underWay, 0)
    })

    test('a failure without a name, or at a byte that nobody asked for, is refused', () => {
      const errors = [
        { failure: 'oops' },
        { failure: 'medium', offset: 99 },
        { failure: 'medium', offset: 612 },
      ]
      for (const error of errors) {
        const held = new HeldStore()
        new Checker(held).read(new Uint8Array(512), 100, ignore)
        assert.throws(() => held.complete(error as StoreError), AssertionError)
      }
      const held = new HeldStore()
      const seen: (StoreError | undefined)[] = []
      new Checker(held).read(new Uint8Array(512), 100, (error) => seen.push(error))
      held.complete({ failure: 'medium', offset: 611 })
      assert.deepEqual(seen, [{ failure: 'medium', offset: 611 }])
    })

    test('extents with gaps, overlaps, a wrong end or no length are refused', () => {
      const lists: [number, number][][] = [
        [],
        [[0, 4096]],
        [[0, 8193]],
        [[1, 8191]],
        [
          [0, 4096],
          [4097, 4095],
        ],
        [
          [0, 4096],
          [4000, 4192],
        ],
        [
          [0, 0],
          [0, 8192],
        ],
      ]
      const held = new HeldStore()
      const store = new Checker(held)
      for (const list of lists) {
        held.found = list.map(([offset, lengthBytes]) => ({ offset, lengthBytes, kind: 'data' }))
        assert.throws(() => store.extents(0, SIZE_BYTES, ignore), AssertionError, JSON.stringify(list))
      }
    })
  })
}

test('the production checker uses one record again and again', () => {
  const held = new HeldStore()
  const store = new CheckerStore(held)
  const dones = new Set<Done>()
  for (let i = 0; i < 10; i++) {
    store.read(new Uint8Array(1), 0, ignore)
    for (const done of held.held) dones.add(done)
    held.complete()
  }
  assert.equal(dones.size, 1)
})

describe('buffer checker', () => {
  test('a caller that reads its buffer early sees nonsense, and the bytes at done', () => {
    const held = new HeldStore()
    const store = new BufferCheckerStore(held)
    const into = new Uint8Array(4)
    store.read(into, 0, ignore)
    held.buffers[0]?.set([1, 2, 3, 4])
    assert.deepEqual([...into], [0xdb, 0xdb, 0xdb, 0xdb])
    held.complete()
    assert.deepEqual([...into], [1, 2, 3, 4])
  })

  test('a caller that changes a slice before done is found out', () => {
    const held = new HeldStore()
    const slice = pattern(16, 1)
    new BufferCheckerStore(held).write([slice], 0, 0, ignore)
    slice[3] = 0
    assert.throws(() => held.complete(), broken(/slice 0 of a write at 0 changed/))
  })

  test('a store that changes a slice is found out', () => {
    const held = new HeldStore()
    new BufferCheckerStore(held).write([pattern(16, 1)], 0, 0, ignore)
    held.buffers[0]?.fill(0)
    assert.throws(() => held.complete(), broken(/changed before it was done/))
  })

  test('a store that writes to a buffer after done is found out', () => {
    const held = new HeldStore()
    const store = new BufferCheckerStore(held)
    store.read(new Uint8Array(16), 0, ignore)
    held.complete()
    held.buffers[0]?.set([1], 5)
    assert.throws(() => store.read(new Uint8Array(1), 0, ignore), broken(/after it was done/))
  })

  test('a store that keeps slices sees nonsense after done', () => {
    const held = new HeldStore()
    new BufferCheckerStore(held).write([pattern(4, 1)], 0, 0, ignore)
    held.complete()
    assert.deepEqual([...(held.buffers[0] ?? [])], [0xdb, 0xdb, 0xdb, 0xdb])
  })
})
