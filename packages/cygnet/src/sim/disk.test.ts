import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../base/prng.ts'
import type { StoreError } from '../store/backing-store.ts'
import type { DiskFile } from '../store/disk-io.ts'
import { type DiskBehaviour, SECTOR_BYTES, SimDisk } from './disk.ts'
import { EventQueue } from './event-queue.ts'

const SECTORS = 64

function setUp(behaviour: Partial<DiskBehaviour> = {}) {
  const queue = new EventQueue()
  const disk = new SimDisk(queue, new Prng(1), SECTORS * SECTOR_BYTES, {
    latencyMs: 1,
    slow: 0,
    readErrors: 0,
    writeErrors: 0,
    syncErrors: 0,
    ...behaviour,
  })
  return { queue, disk, file: open(disk) }
}

function open(disk: SimDisk): DiskFile {
  let opened: DiskFile | undefined
  disk.open('disk', { readOnly: false }, (_error, file) => (opened = file))
  assert.ok(opened)
  return opened
}

const filled = (value: number, sectors = SECTORS): Uint8Array =>
  new Uint8Array(sectors * SECTOR_BYTES).fill(value)

const run = (queue: EventQueue): void => {
  while (queue.step());
}

/** The first byte of each sector. */
function contents(queue: EventQueue, file: DiskFile): number[] {
  const bytes = filled(0xff)
  file.read(bytes, 0, () => {})
  run(queue)
  return Array.from({ length: SECTORS }, (_, sector) => bytes[sector * SECTOR_BYTES] as number)
}

test('a crash loses any of the sectors that were not synced, and no others', () => {
  const { queue, disk, file } = setUp()
  file.write([filled(1)], 0, () => {})
  run(queue)
  file.sync(() => {})
  run(queue)
  file.write([filled(2, SECTORS / 2)], 0, () => {})
  run(queue)
  disk.crash()
  const found = contents(queue, open(disk))
  assert.deepEqual(new Set(found.slice(0, SECTORS / 2)), new Set([1, 2]))
  assert.deepEqual(new Set(found.slice(SECTORS / 2)), new Set([1]))
})

test('a sync covers what was written before it began, as it was then', () => {
  const { queue, disk, file } = setUp()
  file.write([filled(1)], 0, () => {})
  run(queue)
  disk.behaviour = { ...disk.behaviour, latencyMs: 10 }
  file.sync(() => {})
  disk.behaviour = { ...disk.behaviour, latencyMs: 1 }
  file.write([filled(2)], 0, () => {})
  run(queue)
  disk.crash()
  assert.deepEqual(new Set(contents(queue, open(disk))), new Set([1, 2]))
})

test('what was under way at a crash never completes', () => {
  const { queue, disk, file } = setUp()
  let done = false
  file.write([filled(1)], 0, () => (done = true))
  disk.crash()
  run(queue)
  assert.equal(done, false)
  assert.deepEqual(new Set(contents(queue, open(disk))), new Set([0]))
})

test('a slow operation is overtaken', () => {
  const { queue, file } = setUp({ slow: 0.5 })
  const order: number[] = []
  for (let i = 0; i < 20; i++) file.read(new Uint8Array(16), 0, () => order.push(i))
  run(queue)
  assert.equal(order.length, 20)
  assert.notDeepEqual(
    order,
    order.toSorted((a, b) => a - b),
  )
})

test('without latency, operations complete before the call returns', () => {
  const { file } = setUp({ latencyMs: 0 })
  let done = false
  file.sync(() => (done = true))
  assert.ok(done)
})

test('a failed write may have written some of its sectors', () => {
  const { queue, disk, file } = setUp({ writeErrors: 1 })
  let error: StoreError | undefined
  file.write([filled(1)], 0, (result) => (error = result))
  run(queue)
  assert.equal(error?.failure, 'medium')
  assert.equal(disk.failures, 1)
  assert.deepEqual(new Set(contents(queue, file)), new Set([0, 1]))
})

test('a punched hole reads as zeroes and is an extent', () => {
  const { queue, file } = setUp()
  file.write([filled(1)], 0, () => {})
  run(queue)
  file.punchHole(4096, 8192, () => {})
  run(queue)
  assert.deepEqual(new Set(contents(queue, file).slice(8, 24)), new Set([0]))
  let kinds: string[] = []
  file.extents(0, 16384, (_error, extents) => {
    kinds = extents.map(({ offset, lengthBytes, kind }) => `${kind} ${offset}+${lengthBytes}`)
  })
  run(queue)
  assert.deepEqual(kinds, ['data 0+4096', 'hole 4096+8192', 'data 12288+4096'])
})
