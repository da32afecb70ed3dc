import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as fc from 'fast-check'
import type { BackingStore, Extent, StoreError } from './backing-store.ts'
import { WriteFlags } from './backing-store.ts'
import { BufferCheckerStore } from './buffer-checker.ts'

/** A store under test; `dispose` removes what it left behind after `close`. */
export interface OpenedStore {
  readonly store: BackingStore
  readonly dispose?: () => void
}

/** Opens a fresh blank store of the given size. */
export type OpenBlank = (sizeBytes: number) => OpenedStore | Promise<OpenedStore>

export const readBytes = (store: BackingStore, offset: number, lengthBytes: number): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    // A view with an odd offset in a larger block, as a pooled buffer's views are.
    const into = new Uint8Array(lengthBytes + 24).subarray(7, 7 + lengthBytes)
    store.read(into, offset, (error) => (error ? reject(new StoreRejection(error)) : resolve(into)))
  })

export const writeBytes = (
  store: BackingStore,
  offset: number,
  slices: readonly Uint8Array[],
  flags: number = WriteFlags.none,
): Promise<void> => settle((done) => store.write(slices, offset, flags, done))

export const flush = (store: BackingStore): Promise<void> => settle((done) => store.flush(done))

export const closeStore = (store: BackingStore): Promise<void> => settle((done) => store.close(done))

export const trim = (store: BackingStore, offset: number, lengthBytes: number): Promise<void> =>
  settle((done) => store.trim(offset, lengthBytes, done))

export const zero = (
  store: BackingStore,
  offset: number,
  lengthBytes: number,
  mayTrim: boolean,
): Promise<void> => settle((done) => store.zero(offset, lengthBytes, mayTrim, done))

export const extentsOf = (
  store: BackingStore,
  offset: number,
  lengthBytes: number,
): Promise<readonly Extent[]> =>
  new Promise((resolve, reject) => {
    store.extents(offset, lengthBytes, (error, extents) =>
      error ? reject(new StoreRejection(error)) : resolve(extents),
    )
  })

/** A store's error value as a throwable, for tests written with promises. */
export class StoreRejection extends Error {
  readonly error: StoreError

  constructor(error: StoreError) {
    super(`${error.failure} at ${error.offset}: ${error.cause?.message}`)
    this.error = error
  }
}

function settle(start: (done: (error: StoreError | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error ? reject(new StoreRejection(error)) : resolve()))
  })
}

/** Bytes that differ from their neighbours and from zero. */
export function pattern(lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  let state = (seed * 2654435761 + 12345) >>> 0
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = (state >>> 24) | 1
  }
  return bytes
}

/** Cuts `bytes` in up to `pieces` slices, some of them empty. */
function cut(bytes: Uint8Array, pieces: number): Uint8Array[] {
  const slices: Uint8Array[] = []
  for (let i = 0; i < pieces; i++) {
    const from = Math.floor((bytes.length * i * i) / (pieces * pieces))
    const to = Math.floor((bytes.length * (i + 1) * (i + 1)) / (pieces * pieces))
    slices.push(bytes.subarray(from, to))
  }
  return slices
}

type Step =
  | { readonly kind: 'read'; readonly offset: number; readonly lengthBytes: number }
  | {
      readonly kind: 'write'
      readonly offset: number
      readonly lengthBytes: number
      readonly seed: number
      readonly pieces: number
      readonly fua: boolean
    }
  | { readonly kind: 'trim'; readonly offset: number; readonly lengthBytes: number }
  | {
      readonly kind: 'zero'
      readonly offset: number
      readonly lengthBytes: number
      readonly mayTrim: boolean
    }
  | { readonly kind: 'extents'; readonly offset: number; readonly lengthBytes: number }
  | { readonly kind: 'flush' }

/** Ranges of all alignments: bytes, sectors, pages and 64 KiB, empty ones and ones up to the end included. */
function rangeIn(sizeBytes: number): fc.Arbitrary<{ offset: number; lengthBytes: number }> {
  return fc
    .tuple(
      fc.nat({ max: sizeBytes }),
      fc.nat({ max: sizeBytes }),
      fc.constantFrom(1, 512, 4096, 65536),
      fc.boolean(),
    )
    .map(([a, b, unit, short]) => {
      const offset = Math.floor(a / unit) * unit
      const asked = Math.ceil((short ? b % 9000 : b) / unit) * unit
      return { offset, lengthBytes: Math.min(asked, sizeBytes - offset) }
    })
}

function stepIn(sizeBytes: number): fc.Arbitrary<Step> {
  const range = rangeIn(sizeBytes)
  return fc.oneof(
    range.map((r): Step => ({ kind: 'read', ...r })),
    fc
      .record({ range, seed: fc.nat(), pieces: fc.integer({ min: 1, max: 5 }), fua: fc.boolean() })
      .map(({ range: r, ...rest }): Step => ({ kind: 'write', ...r, ...rest })),
    range.map((r): Step => ({ kind: 'trim', ...r })),
    fc
      .record({ range, mayTrim: fc.boolean() })
      .map(({ range: r, mayTrim }): Step => ({ kind: 'zero', ...r, mayTrim })),
    range.map((r): Step => ({ kind: 'extents', ...r })),
    fc.constant<Step>({ kind: 'flush' }),
  )
}

async function runStep(store: BackingStore, model: Uint8Array, step: Step): Promise<void> {
  switch (step.kind) {
    case 'read':
      assertSameBytes(await readBytes(store, step.offset, step.lengthBytes), model, step.offset)
      break
    case 'write': {
      const bytes = pattern(step.lengthBytes, step.seed)
      const flags = step.fua ? WriteFlags.fua : WriteFlags.none
      await writeBytes(store, step.offset, cut(bytes, step.pieces), flags)
      model.set(bytes, step.offset)
      break
    }
    case 'trim':
      await trim(store, step.offset, step.lengthBytes)
      model.fill(0, step.offset, step.offset + step.lengthBytes)
      break
    case 'zero':
      await zero(store, step.offset, step.lengthBytes, step.mayTrim)
      model.fill(0, step.offset, step.offset + step.lengthBytes)
      break
    case 'extents':
      for (const extent of await extentsOf(store, step.offset, step.lengthBytes)) {
        if (extent.kind === 'data') continue
        const hole = model.subarray(extent.offset, extent.offset + extent.lengthBytes)
        assert.ok(
          hole.every((byte) => byte === 0),
          `a hole at ${extent.offset} over written bytes`,
        )
      }
      break
    case 'flush':
      await flush(store)
      break
  }
}

function assertSameBytes(actual: Uint8Array, model: Uint8Array, offset: number): void {
  const expected = model.subarray(offset, offset + actual.length)
  if (Buffer.compare(actual, expected) === 0) return
  const at = actual.findIndex((byte, i) => byte !== expected[i])
  assert.fail(`byte ${offset + at} is ${actual[at]}, not ${expected[at]}`)
}

/**
 * The one suite that every store passes. Each test opens its own blank store, works through the contract checker, and
 * closes it with nothing under way.
 */
export function describeStoreContract(name: string, openBlank: OpenBlank): void {
  const withStore = async (
    sizeBytes: number,
    body: (store: BufferCheckerStore) => Promise<void>,
  ): Promise<void> => {
    const opened = await openBlank(sizeBytes)
    const store = new BufferCheckerStore(opened.store)
    try {
      assert.equal(store.geometry.sizeBytes, sizeBytes)
      await body(store)
      assert.equal(store.underWay, 0)
      await closeStore(store)
    } finally {
      opened.dispose?.()
    }
  }

  void describe(`store contract: ${name}`, () => {
    void test('a blank store reads as zeroes to its last byte', () =>
      withStore(100_001, async (store) => {
        const bytes = await readBytes(store, 0, 100_001)
        assert.ok(bytes.every((byte) => byte === 0))
      }))

    void test('the last, partial page is written and read like any other', () =>
      withStore(65536 + 700, async (store) => {
        const bytes = pattern(900, 1)
        await writeBytes(store, 65536 - 200, [bytes])
        assert.deepEqual(await readBytes(store, 65536 - 200, 900), bytes)
        await trim(store, 65536, 700)
        assert.deepEqual(await readBytes(store, 65536 - 200, 200), bytes.subarray(0, 200))
        assert.ok((await readBytes(store, 65536, 700)).every((byte) => byte === 0))
      }))

    void test('many slices of a write follow one another', () =>
      withStore(1 << 20, async (store) => {
        const bytes = pattern(3000 * 17, 2)
        const slices = Array.from({ length: 3000 }, (_, i) => bytes.subarray(i * 17, (i + 1) * 17))
        await writeBytes(store, 4099, slices)
        assert.deepEqual(await readBytes(store, 4099, bytes.length), bytes)
      }))

    void test('operations on an empty range succeed and change nothing', () =>
      withStore(8192, async (store) => {
        const bytes = pattern(8192, 3)
        await writeBytes(store, 0, [bytes])
        for (const offset of [0, 100, 8192]) {
          await readBytes(store, offset, 0)
          await writeBytes(store, offset, [])
          await writeBytes(store, offset, [new Uint8Array(0)])
          await trim(store, offset, 0)
          await zero(store, offset, 0, true)
          assert.deepEqual(await extentsOf(store, offset, 0), [])
        }
        assert.deepEqual(await readBytes(store, 0, 8192), bytes)
      }))

    void test('trimmed space shows as a hole where the store can do both', () =>
      withStore(4 << 20, async (store) => {
        await writeBytes(store, 0, [pattern(4 << 20, 4)])
        await trim(store, 1 << 20, 1 << 20)
        const extents = await extentsOf(store, 0, 4 << 20)
        const kinds = extents.map((extent) => [extent.kind, extent.offset, extent.lengthBytes])
        const holed = [
          ['data', 0, 1 << 20],
          ['hole', 1 << 20, 1 << 20],
          ['data', 2 << 20, 2 << 20],
        ]
        const solid = [['data', 0, 4 << 20]]
        assert.deepEqual(kinds, store.can.trim && store.can.extents ? holed : solid)
      }))

    void test('concurrent operations on separate ranges do not disturb one another', () =>
      withStore(4 << 20, async (store) => {
        const pieceBytes = 41_000
        const pieces = Array.from({ length: 64 }, (_, i) => pattern(pieceBytes, 100 + i))
        await Promise.all(
          pieces.map(async (bytes, i) => {
            await writeBytes(
              store,
              i * pieceBytes,
              cut(bytes, 3),
              i % 8 === 0 ? WriteFlags.fua : WriteFlags.none,
            )
            if (i % 5 === 0) await flush(store)
            if (i % 4 === 0) await zero(store, i * pieceBytes, 1000, i % 8 === 0)
          }),
        )
        await Promise.all(
          pieces.map(async (bytes, i) => {
            if (i % 4 === 0) bytes.fill(0, 0, 1000)
            assert.deepEqual(await readBytes(store, i * pieceBytes, pieceBytes), bytes)
          }),
        )
      }))

    void test('any sequence of operations does what it does to an array', () =>
      fc.assert(
        fc.asyncProperty(
          fc
            .constantFrom(512, 4096, 70_001, 300_000)
            .chain((sizeBytes) =>
              fc.tuple(fc.constant(sizeBytes), fc.array(stepIn(sizeBytes), { minLength: 1, maxLength: 25 })),
            ),
          ([sizeBytes, steps]) =>
            withStore(sizeBytes, async (store) => {
              const model = new Uint8Array(sizeBytes)
              for (const step of steps) await runStep(store, model, step)
              assertSameBytes(await readBytes(store, 0, sizeBytes), model, 0)
            }),
        ),
        { numRuns: 60 },
      ))
  })
}
