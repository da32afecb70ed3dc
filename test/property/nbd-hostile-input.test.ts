/** Whatever an NBD client or server sends: nothing is thrown, nothing hangs, and no memory stays behind. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { BufferPool } from '../../packages/cygnet/src/base/pool.ts'
import { MemoryDevice } from '../../packages/cygnet/src/initiator/memory-device.test-helper.ts'
import { NbdClientConnection } from '../../packages/cygnet/src/nbd/client-connection.ts'
import { feed, MemoryStream, pack, settle } from '../../packages/cygnet/src/nbd/memory-stream.test-helper.ts'
import { NbdDevice } from '../../packages/cygnet/src/nbd/nbd-device.ts'
import { NbdServerConnection } from '../../packages/cygnet/src/nbd/server-connection.ts'

const SIZE = 1 << 16
const IHAVEOPT = 0x49484156454f5054n

/** A session of a client that behaves, as one piece. */
const goodClient = pack(
  3,
  pack(IHAVEOPT, 8, 0),
  pack(IHAVEOPT, 10, 27, 4, 'disk', 1, 15, 'base:allocation'),
  pack(IHAVEOPT, 7, 10, 4, 'disk', [0]),
  ...Array.from({ length: 8 }, (_, i) =>
    pack(
      pack(0x25609513, [0], [1], BigInt(i), BigInt(512 * i), 512, new Uint8Array(512).fill(i)),
      pack(0x25609513, [0], [[0, 3, 4, 6, 7][i % 5] ?? 0], BigInt(100 + i), BigInt(512 * i), 1024),
    ),
  ),
)

const reply = (option: number, kind: number, data: Uint8Array = new Uint8Array(0)): Uint8Array =>
  pack(0x0003e889045565a9n, option, kind, data.length, data)
const goodServer = pack(
  'NBDMAGIC',
  'IHAVEOPT',
  [3],
  reply(8, 1),
  reply(10, 4, pack(1, 'base:allocation')),
  reply(10, 1),
  reply(7, 3, pack([0], BigInt(SIZE), [0x1ff])),
  reply(7, 1),
  pack(0x668e33ef, [1], [1], 1n, 520, 0n, new Uint8Array(512)),
  pack(0x668e33ef, [1], [0], 2n, 0),
  pack(0x668e33ef, [1], [5], 3n, 12, 1, 512, 3),
)

/** Bytes of a good stream with some of them changed, taken out or put in; and how it is cut. */
const spoilt = (good: Uint8Array) =>
  fc.record({
    changes: fc.array(
      fc.record({
        at: fc.nat(good.length - 1),
        kind: fc.constantFrom('change', 'remove', 'insert'),
        value: fc.nat(255),
      }),
      { maxLength: 4 },
    ),
    pieceBytes: fc.integer({ min: 1, max: 600 }),
  })

function spoil(
  good: Uint8Array,
  changes: readonly { at: number; kind: string; value: number }[],
): Uint8Array {
  const bytes = [...good]
  for (const { at, kind, value } of changes) {
    if (kind === 'change') bytes[at] = value
    else if (kind === 'remove') bytes.splice(at, 1)
    else bytes.splice(at, 0, value)
  }
  return Uint8Array.from(bytes)
}

test('a server survives any client', async () => {
  await fc.assert(
    fc.asyncProperty(spoilt(goodClient), async ({ changes, pieceBytes }) => {
      const device = new MemoryDevice(SIZE)
      const pool = new BufferPool({ poison: true })
      let drops = 0
      const server = new NbdServerConnection({
        exports: [{ name: 'disk', description: '', device }],
        stream: new MemoryStream(),
        pool,
        limits: { requests: 3, bufferBytes: 2048 },
        onEvent: ({ kind }) => (drops += kind === 'dropped' ? 1 : 0),
      })
      feed(server, spoil(goodClient, changes), pieceBytes)
      for (let i = 0; i < 20; i++) await settle()
      server.closed('the client went away')
      await settle()
      assert.deepEqual([pool.inUse, server.requests], [0, 0])
      assert.ok(drops <= 1, 'one line for each client')
    }),
    { numRuns: 300 },
  )
})

test('a client survives any server, and no request is left without an end', async () => {
  await fc.assert(
    fc.asyncProperty(spoilt(goodServer), async ({ changes, pieceBytes }) => {
      const bytes = spoil(goodServer, changes)
      const client = new NbdClientConnection(new MemoryStream(), 'disk')
      const outcomes: Promise<PromiseSettledResult<unknown>[]>[] = [Promise.allSettled([client.ready])]
      const ask = async (): Promise<void> => {
        const device = new NbdDevice(client, await client.ready, 'test')
        outcomes.push(Promise.allSettled([device.read(0, 512), device.flush(), device.extents(0, 512)]))
      }
      const asked = ask().catch(() => undefined)
      // The answers come after the questions.
      const handshake = goodServer.length - 20 - 520 - 20 - 32
      feed(client, bytes.subarray(0, handshake), pieceBytes)
      await settle()
      feed(client, bytes.subarray(handshake), pieceBytes)
      client.closed('the server went away')
      await asked
      for (const end of (await Promise.all(outcomes)).flat())
        if (end.status === 'rejected') assert.ok(end.reason.code !== undefined, String(end.reason))
    }),
    { numRuns: 300 },
  )
})
