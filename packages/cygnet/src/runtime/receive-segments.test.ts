import assert from 'node:assert/strict'
import type { OnReadOpts } from 'node:net'
import { test } from 'node:test'
import { BufferPool, type PooledBuffer } from '../base/pool.ts'
import { ReceiveSegments } from './receive-segments.ts'

const KIB = 1024
type Arrival = readonly [segment: PooledBuffer, start: number, end: number]

/** Reads `text` as a socket would. */
function read(socket: OnReadOpts, text: string): void {
  const room = typeof socket.buffer === 'function' ? socket.buffer() : socket.buffer
  room.set(Buffer.from(text))
  socket.callback(text.length, room)
}

const textOf = ([segment, start, end]: Arrival): string =>
  Buffer.from(segment.bytes.subarray(start, end)).toString()

test('memory that nobody keeps is used again, and what somebody keeps stays as it is', () => {
  const pool = new BufferPool({ poison: true })
  const arrivals: Arrival[] = []
  const segments = new ReceiveSegments(pool, 16 * KIB, (...arrival) => arrivals.push(arrival))
  read(segments.onRead, 'one')
  read(segments.onRead, 'two')
  assert.deepEqual(
    arrivals.map(([, start]) => start),
    [0, 0],
  )
  const kept = arrivals[1] as Arrival
  kept[0].retain()
  read(segments.onRead, 'three')
  read(segments.onRead, 'four')
  assert.deepEqual(arrivals.map(textOf).slice(1), ['two', 'three', 'four'])
  segments.close()
  kept[0].release()
  assert.equal(pool.inUse, 0)
})

test('segments are large while reads fill them, as far as that is allowed, and small again where little comes', () => {
  const pool = new BufferPool({ poison: true })
  const sizes: number[] = []
  const segments = new ReceiveSegments(pool, 16 * KIB, ({ bytes }) => sizes.push(bytes.length))
  const much = 'm'.repeat(8 * KIB)
  read(segments.onRead, 'login')
  read(segments.onRead, much)
  read(segments.onRead, 'm'.repeat(16 * KIB))
  segments.largestBytes = 256 * KIB
  read(segments.onRead, 'a command')
  read(segments.onRead, much)
  for (let i = 0; i < 8; i++) read(segments.onRead, 'ping')
  read(segments.onRead, 'ping')
  assert.deepEqual(
    sizes.map((size) => size / KIB),
    [8, 8, 16, 256, 256, ...Array.from({ length: 8 }, () => 256), 8],
  )
  segments.close()
  assert.equal(pool.inUse, 0)
})
