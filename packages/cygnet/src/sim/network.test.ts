import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../base/prng.ts'
import { EventQueue } from './event-queue.ts'
import { SimNetwork, type SimSocket, type Tap } from './network.ts'
import { newFaultCounts, type NetworkBehaviour } from './network-behaviour.ts'

const calm: NetworkBehaviour = {
  latencyMs: 1,
  segmentBytes: 1000,
  split: 0,
  coalesce: 0,
  delay: 0,
  stall: 0,
  longestStallMs: 5000,
  reset: 0,
  halfOpen: 0,
  refuse: 0,
  corruptHeader: 0,
  corruptData: 0,
  loss: 0,
}

class End {
  readonly received: number[] = []
  readonly sizes: number[] = []
  closed: string | undefined
  drained = 0
  readonly socket: SimSocket

  constructor(socket: SimSocket) {
    this.socket = socket
    socket.handler = {
      received: (bytes) => {
        this.sizes.push(bytes.length)
        this.received.push(...bytes)
      },
      drained: () => this.drained++,
      closed: (reason) => (this.closed = reason),
    }
  }
}

function setUp(behaviour: Partial<NetworkBehaviour> = {}, seed = 1) {
  const queue = new EventQueue()
  const counts = newFaultCounts()
  const failures: string[] = []
  const network = new SimNetwork(queue, new Prng(seed), { ...calm, ...behaviour }, counts, (what) =>
    failures.push(what),
  )
  const ends: End[] = []
  const run = (): void => {
    while (queue.step());
  }
  network.listen((socket) => ends.push(new End(socket)))
  let refused: string | undefined
  network.connect('A', (socket, reason) => {
    if (socket) ends.push(new End(socket))
    else refused = reason
  })
  run()
  return { queue, network, counts, failures, run, refused, far: ends[0] as End, near: ends[1] as End }
}

const numbers = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index & 0xff)
const tapAll: Tap = (bytes) => [
  { start: 0, end: bytes.length, header: [0, 48], data: [48, bytes.length], mayBeLost: true },
]

test('bytes arrive in order, however they are cut, delayed and stalled', () => {
  for (let seed = 1; seed < 20; seed++) {
    const { near, far, run, counts } = setUp({ split: 0.3, coalesce: 0.5, delay: 0.2, stall: 0.1 }, seed)
    let sent = 0
    for (let at = 0; at < 20; at++) near.socket.write([numbers(1500), numbers(333)], () => sent++)
    far.socket.write([numbers(100)], () => sent++)
    run()
    assert.deepEqual(
      Uint8Array.from(far.received),
      Uint8Array.from(Array.from({ length: 20 }, () => [...numbers(1500), ...numbers(333)]).flat()),
    )
    assert.deepEqual(Uint8Array.from(near.received), numbers(100))
    assert.equal(sent, 21)
    assert.ok(counts.segments > 20 && counts.disturbed.delay > 0 && counts.split > 0)
  }
})

test('an end is heard of after what was sent before it', () => {
  const { near, far, run } = setUp()
  near.socket.write([numbers(5000)], () => {})
  near.socket.end()
  run()
  assert.equal(far.received.length, 5000)
  assert.equal(far.closed, 'the other end closed it')
  assert.equal(near.closed, undefined)
})

test('a reset is heard of at both ends, and every callback is called', () => {
  const { near, far, run, counts } = setUp({ reset: 1 })
  let sent = 0
  near.socket.write([numbers(5000)], () => sent++)
  run()
  assert.deepEqual([near.closed, far.closed, sent], ['connection reset', 'connection reset', 1])
  assert.ok(far.received.length < 5000)
  assert.equal(counts.disturbed.reset, 1)
})

test('after a reset nothing more arrives, whatever an end that has not heard of it sends', () => {
  for (let seed = 1; seed < 40; seed++) {
    const { near, far, run, queue } = setUp({}, seed)
    near.socket.write([Uint8Array.of(1)], () => {})
    far.socket.reset()
    for (let at = 0; at < 20; at++)
      queue.at(queue.now() + at / 10, () => near.socket.write([Uint8Array.of(2)], () => {}))
    run()
    assert.ok(!far.received.includes(2))
  }
})

test('of a half-open connection nobody hears anything', () => {
  const { near, far, run, counts } = setUp({ halfOpen: 1 })
  let sent = 0
  near.socket.write([numbers(500)], () => sent++)
  run()
  assert.deepEqual([near.closed, far.closed, far.received.length, sent], [undefined, undefined, 0, 0])
  assert.equal(counts.disturbed.halfOpen, 1)
  near.socket.end()
  run()
  assert.deepEqual([far.closed, sent], [undefined, 1])
})

test('flipped bits are in the ranges that a digest covers, one to three of them', () => {
  for (let seed = 1; seed < 40; seed++) {
    const { near, far, run } = setUp({ corruptHeader: 1 }, seed)
    near.socket.tap = tapAll
    const bytes = numbers(500)
    near.socket.write([bytes], () => {})
    run()
    assert.deepEqual(far.received.slice(48), [...numbers(500).slice(48)])
    const changed = far.received.filter((byte, index) => byte !== (index & 0xff)).length
    assert.ok(changed >= 1 && changed <= 3)
    assert.deepEqual(bytes, numbers(500), "the sender's memory is its own")
  }
})

test('a PDU may be lost as a whole', () => {
  const { near, far, run } = setUp({ loss: 1 })
  near.socket.tap = (bytes) => (bytes.length === 60 ? tapAll(bytes) : [])
  near.socket.write([numbers(60)], () => {})
  near.socket.write([numbers(10)], () => {})
  run()
  assert.deepEqual(far.received, [...numbers(10)])
})

test('a reader that pauses holds up the sender', () => {
  const { near, far, run } = setUp()
  let sent = 0
  far.socket.pause()
  for (let at = 0; at < 10; at++) near.socket.write([new Uint8Array(100_000)], () => sent++)
  run()
  assert.ok(sent < 10 && near.socket.queuedBytes === 1_000_000)
  assert.equal(far.received.length, 0)
  near.socket.wantsDrained = true
  far.socket.resume()
  run()
  assert.deepEqual([sent, near.socket.queuedBytes, far.received.length], [10, 0, 1_000_000])
  assert.ok(near.drained > 0)
})

test('memory that changes before it is sent is a failure', () => {
  let found = false
  for (let seed = 1; seed < 20; seed++) {
    const { near, run, failures } = setUp({}, seed)
    const bytes = numbers(10)
    near.socket.write([bytes], () => {})
    bytes[3] = 99
    run()
    found ||= failures.length > 0
  }
  assert.ok(found)
})

test('a connection is refused where the network wants it or nobody listens', () => {
  assert.equal(setUp({ refuse: 1 }).refused, 'connection refused')
  const { network, run } = setUp()
  network.listen(undefined)
  let refused = ''
  network.connect('A', (_socket, reason) => (refused = reason))
  run()
  assert.equal(refused, 'connection refused')
})

test('a stream that is about to be reset has no holes', () => {
  for (let seed = 1; seed < 60; seed++) {
    const { near, far, run } = setUp({ reset: 0.2 }, seed)
    let value = 0
    for (let at = 0; at < 20; at++)
      near.socket.write([Uint8Array.from({ length: 2500 }, () => value++ & 0xff)], () => {})
    run()
    assert.ok(
      far.received.every((byte, index) => byte === (index & 0xff)),
      `seed ${seed}`,
    )
  }
})
