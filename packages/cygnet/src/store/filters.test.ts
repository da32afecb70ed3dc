import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { StoreError } from './backing-store.ts'
import {
  closeStore,
  describeStoreContract,
  flush,
  pattern,
  readBytes,
  StoreRejection,
  trim,
  writeBytes,
} from './contract.test-helper.ts'
import type { Scheduler } from './delay.ts'
import { DelayStore } from './delay.ts'
import { ErrorStore } from './error.ts'
import { MemoryStore } from './memory.ts'

/** Virtual time: runs what was scheduled in the order of its time. */
class TestScheduler implements Scheduler {
  nowMs = 0
  readonly #waiting: { atMs: number; run: () => void }[] = []

  after(delayMs: number, run: () => void): void {
    this.#waiting.push({ atMs: this.nowMs + delayMs, run })
    this.#waiting.sort((a, b) => a.atMs - b.atMs)
  }

  advance(toMs: number): void {
    while (this.#waiting[0] && this.#waiting[0].atMs <= toMs) {
      const next = this.#waiting.shift()
      this.nowMs = next?.atMs ?? toMs
      next?.run()
    }
    this.nowMs = toMs
  }
}

describeStoreContract('memory, delayed by turns of the event loop', (sizeBytes) => {
  let turns = 0
  const scheduler: Scheduler = { after: (_delayMs, run) => void setImmediate(run) }
  return { store: new DelayStore(new MemoryStore({ sizeBytes }), scheduler, () => turns++ % 3) }
})
describeStoreContract('memory behind an error filter without rows', (sizeBytes) => ({
  store: new ErrorStore(new MemoryStore({ sizeBytes }), []),
}))

const failsWith = (expected: StoreError) => (error: unknown) => {
  assert.ok(error instanceof StoreRejection)
  assert.deepEqual(error.error, expected)
  return true
}

describe('delay', () => {
  test('a completion comes when its delay is over, in the order of the delays', () => {
    const scheduler = new TestScheduler()
    const store = new DelayStore(new MemoryStore({ sizeBytes: 4096 }), scheduler, (operation) =>
      operation === 'read' ? 5 : 20,
    )
    const order: string[] = []
    store.write([pattern(10, 1)], 0, 0, () => order.push(`write at ${scheduler.nowMs}`))
    store.read(new Uint8Array(10), 0, () => order.push(`read at ${scheduler.nowMs}`))
    scheduler.advance(4)
    assert.deepEqual(order, [])
    scheduler.advance(100)
    assert.deepEqual(order, ['read at 5', 'write at 20'])
  })
})

describe('error', () => {
  test('only the named operation on the named range fails, at the first bad byte', async () => {
    const store = new ErrorStore(new MemoryStore({ sizeBytes: 4096 }), [
      { operation: 'read', failure: 'medium', range: { offset: 1000, lengthBytes: 10 } },
    ])
    await writeBytes(store, 0, [pattern(4096, 1)])
    await readBytes(store, 0, 1000)
    await readBytes(store, 1010, 100)
    await assert.rejects(readBytes(store, 0, 1001), failsWith({ failure: 'medium', offset: 1000 }))
    await assert.rejects(readBytes(store, 1005, 10), failsWith({ failure: 'medium', offset: 1005 }))
  })

  test('a failed write does not reach the store', async () => {
    const store = new ErrorStore(new MemoryStore({ sizeBytes: 4096 }), [
      { operation: 'write', failure: 'no-space', times: 1 },
    ])
    await assert.rejects(writeBytes(store, 0, [pattern(8, 1)]), failsWith({ failure: 'no-space', offset: 0 }))
    assert.deepEqual(await readBytes(store, 0, 8), new Uint8Array(8))
    await writeBytes(store, 0, [pattern(8, 1)])
    assert.deepEqual(await readBytes(store, 0, 8), pattern(8, 1))
  })

  test('a row can skip some operations and end after some', async () => {
    const store = new ErrorStore(new MemoryStore({ sizeBytes: 4096 }), [
      { operation: 'flush', failure: 'gone', skip: 2, times: 1 },
    ])
    await flush(store)
    await flush(store)
    await assert.rejects(flush(store), failsWith({ failure: 'gone' }))
    await flush(store)
  })

  test('the first matching row decides, and the others do not count', async () => {
    const store = new ErrorStore(new MemoryStore({ sizeBytes: 4096 }), [
      { operation: 'trim', failure: 'medium', times: 1 },
      { operation: 'trim', failure: 'no-space', times: 1 },
    ])
    await assert.rejects(trim(store, 0, 512), failsWith({ failure: 'medium', offset: 0 }))
    await assert.rejects(trim(store, 0, 512), failsWith({ failure: 'no-space', offset: 0 }))
    await trim(store, 0, 512)
  })

  test('a store that fails to close is closed all the same', async () => {
    const memory = new MemoryStore({ sizeBytes: 4096 })
    const store = new ErrorStore(memory, [{ operation: 'close', failure: 'medium' }])
    await writeBytes(store, 0, [pattern(8, 1)])
    await assert.rejects(closeStore(store), failsWith({ failure: 'medium' }))
    assert.equal(memory.allocatedBytes, 0)
  })
})
