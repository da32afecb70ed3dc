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

test('longer segments are taken as soon as nobody keeps the shorter one', () => {
  const pool = new BufferPool({ poison: true })
  const arrivals: Arrival[] = []
  const segments = new ReceiveSegments(pool, 16 * KIB, (...arrival) => arrivals.push(arrival))
  read(segments.onRead, 'login')
  segments.segmentBytes = 256 * KIB
  read(segments.onRead, 'more')
  assert.deepEqual(
    arrivals.map(([{ bytes }]) => bytes.length),
    [16 * KIB, 256 * KIB],
  )
  segments.close()
  assert.equal(pool.inUse, 0)
})
