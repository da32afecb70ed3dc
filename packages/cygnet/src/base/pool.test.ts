import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { AssertionError } from './assert.ts'
import type { PooledBuffer } from './pool.ts'
import { BufferPool } from './pool.ts'

test('a block is a power of two of at least 4 KiB and holds what was asked for', () => {
  const pool = new BufferPool()
  const sizes = [1, 4095, 4096, 4097, 8192, 65536, 65537, 32 * 1024 * 1024]
  const blocks = sizes.map((size) => pool.take(size).bytes.length)
  assert.deepEqual(blocks, [4096, 4096, 4096, 8192, 8192, 65536, 131072, 32 * 1024 * 1024])
})

test('lengths outside 1 byte to 32 MiB are refused', () => {
  const pool = new BufferPool()
  for (const length of [0, -1, 32 * 1024 * 1024 + 1]) assert.throws(() => pool.take(length), AssertionError)
  assert.equal(pool.inUse, 0)
})

test('a block returns to the pool with its last reference, and is lent again', () => {
  const pool = new BufferPool()
  const block = pool.take(5000)
  block.retain()
  assert.equal(block.references, 2)
  block.release()
  assert.equal(pool.inUse, 1)
  assert.equal(pool.inUseBytes, 8192)
  block.release()
  assert.equal(pool.inUse, 0)
  assert.equal(pool.inUseBytes, 0)
  assert.equal(pool.take(8192), block)
  assert.equal(block.references, 1)
})

test('a block of another size is not lent in its place', () => {
  const pool = new BufferPool()
  const small = pool.take(4096)
  small.release()
  assert.notEqual(pool.take(8192), small)
})

test('releasing twice and retaining after release are assertion failures', () => {
  const pool = new BufferPool()
  const block = pool.take(1)
  block.release()
  assert.throws(() => block.release(), AssertionError)
  assert.throws(() => block.retain(), AssertionError)
  assert.equal(pool.inUse, 0)
})

test('with poison, returned memory is overwritten', () => {
  const pool = new BufferPool({ poison: true })
  const block = pool.take(4096)
  block.bytes.fill(1)
  block.release()
  assert.ok(block.bytes.every((byte) => byte === 0xdb))
})

test('idle memory beyond the limit is dropped', () => {
  const pool = new BufferPool({ keepBytes: 4096 })
  const kept = pool.take(4096)
  const dropped = pool.take(4096)
  kept.release()
  dropped.release()
  const next = [pool.take(4096), pool.take(4096)]
  assert.ok(next.includes(kept))
  assert.ok(!next.includes(dropped))
})

test('the view and the bytes are of the same memory', () => {
  const block = new BufferPool().take(1)
  block.view.setUint16(4094, 0x1234)
  assert.deepEqual([...block.bytes.subarray(4094)], [0x12, 0x34])
})

test('whatever is taken, retained and released, no block is lent twice and the counts are right', () => {
  const step = fc.record({ action: fc.constantFrom('take', 'retain', 'release'), number: fc.nat(70_000) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(100_000), (steps, keepBytes) => {
      const pool = new BufferPool({ keepBytes, poison: true })
      const held: PooledBuffer[] = []
      for (const { action, number } of steps) {
        const some = held[number % held.length]
        if (action === 'take') {
          const block = pool.take(number + 1)
          assert.ok(!held.includes(block))
          assert.ok(block.bytes.length > number)
          held.push(block)
        } else if (some !== undefined && action === 'retain') {
          held.push(some.retain())
        } else if (some !== undefined) {
          held.splice(held.indexOf(some), 1)
          some.release()
        }
        const blocks = new Set(held)
        assert.equal(pool.inUse, blocks.size)
        assert.equal(
          pool.inUseBytes,
          [...blocks].reduce((sum, block) => sum + block.bytes.length, 0),
        )
      }
      for (const block of held) block.release()
      assert.equal(pool.inUse, 0)
      assert.equal(pool.inUseBytes, 0)
    }),
  )
})
