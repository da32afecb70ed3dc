import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BufferPool } from '../base/pool.ts'
import { BlockDeviceError } from '../initiator/block-device-error.ts'
import { MemoryDevice } from '../initiator/memory-device.test-helper.ts'
import { NbdClientConnection } from './client-connection.ts'
import { feed, MemoryStream, pack, settle } from './memory-stream.test-helper.ts'
import { NbdDevice } from './nbd-device.ts'
import { NbdServerConnection } from './server-connection.ts'

/** A client and a server, joined: what one writes the other receives, in pieces. */
async function joined(
  server: MemoryDevice,
  pieceBytes: number,
): Promise<{ device: NbdDevice; client: NbdClientConnection; toServer: MemoryStream; pool: BufferPool }> {
  const toClient = new MemoryStream()
  const toServer = new MemoryStream()
  const pool = new BufferPool({ poison: true })
  const client = new NbdClientConnection(toServer, 'disk')
  const exports = [{ name: 'disk', description: '', device: server }]
  const serving = new NbdServerConnection({ exports, stream: toClient, pool, onEvent: () => undefined })
  const state = { isOver: false }
  const pump = (): void => {
    if (state.isOver) return
    feed(client, toClient.taken(), pieceBytes)
    feed(serving, toServer.taken(), pieceBytes)
    if (toServer.isEnded || toServer.isDestroyed) {
      state.isOver = true
      serving.closed('closed')
      client.closed('closed')
    } else setImmediate(pump)
  }
  pump()
  return { device: new NbdDevice(client, await client.ready, 'test'), client, toServer, pool }
}

const filled = (lengthBytes: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length: lengthBytes }, (_, i) => (i * 7 + seed) & 0xff)

describe('against our own server', () => {
  for (const pieceBytes of [1, 13, 1 << 20]) {
    test(`everything that a block device does, in pieces of ${pieceBytes} bytes`, async () => {
      const memory = new MemoryDevice(100 * 512)
      const { device, pool } = await joined(memory, pieceBytes)
      assert.deepEqual([device.sizeBytes, device.blockSizeBytes, device.readOnly], [51_200, 512, false])
      await Promise.all([
        device.write(10, filled(3000)),
        device.write(1000, filled(100, 2)),
        device.write(8192, filled(512, 3), { fua: true }),
      ])
      const expected = filled(3000)
      expected.set(filled(100, 2), 990)
      assert.deepEqual(await device.read(10, 3000), expected)
      assert.ok(memory.log.includes('write-fua 8192+512'))
      await device.unmap(8192, 512)
      await device.writeZeroes(100, 50)
      assert.deepEqual(await device.read(100, 50), new Uint8Array(50))
      await device.writeSame(1024, 1024, filled(512, 9))
      assert.deepEqual(await device.read(1536, 512), filled(512, 9))
      await device.flush()
      assert.deepEqual(await device.extents(100, 10_000), [
        { offset: 100, lengthBytes: 2972, kind: 'data', isZero: false },
        { offset: 3072, lengthBytes: 7028, kind: 'hole', isZero: true },
      ])
      await assert.rejects(device.read(51_200, 1), { code: 'PAST_END' })
      await device.close()
      await assert.rejects(device.read(0, 1), { code: 'DEVICE_CLOSED' })
      assert.equal(pool.inUse, 0)
    })
  }

  test('errors come through, and the connection goes on', async () => {
    const memory = new MemoryDevice(1 << 16)
    const { device } = await joined(memory, 1 << 16)
    for (const [code, expected] of [
      ['NO_SPACE', 'NO_SPACE'],
      ['MEDIUM_ERROR', 'MEDIUM_ERROR'],
      ['RESERVATION_CONFLICT', 'READ_ONLY'],
      ['NOT_SUPPORTED', 'NOT_SUPPORTED'],
    ]) {
      memory.onRequest = () => Promise.reject(new BlockDeviceError(code ?? '', 'said so'))
      await assert.rejects(device.write(512, filled(512)), {
        code: expected,
        message: /said so/,
        offset: 512,
      })
    }
    memory.onRequest = undefined
    await device.read(0, 512)
    await device.close()
  })

  test('an abort ends the wait; the late answer goes nowhere', async () => {
    const memory = new MemoryDevice(1 << 16)
    const { device } = await joined(memory, 1 << 16)
    const { promise, resolve } = Promise.withResolvers<void>()
    memory.onRequest = () => promise
    const controller = new AbortController()
    const into = new Uint8Array(512).fill(7)
    const read = device.read(0, into, { signal: controller.signal })
    await settle()
    controller.abort(new Error('enough'))
    await assert.rejects(read, /enough/)
    memory.onRequest = undefined
    resolve()
    await device.read(512, 512)
    assert.ok(into.every((byte) => byte === 7))
    await device.close()
  })

  test('a lost connection ends what is under way and what comes later', async () => {
    const memory = new MemoryDevice(1 << 16)
    const { device, client } = await joined(memory, 1 << 16)
    memory.onRequest = () => new Promise(() => undefined)
    const kinds: string[] = []
    device.onEvent(({ kind }) => kinds.push(kind))
    const read = device.read(0, 512)
    await settle()
    client.closed('reset')
    await assert.rejects(read, { code: 'CONNECTION_LOST' })
    await assert.rejects(device.read(0, 512), { code: 'CONNECTION_LOST' })
    assert.deepEqual(kinds, ['failed'])
  })
})

describe('servers that lie', () => {
  const greeting = pack('NBDMAGIC', 'IHAVEOPT', [3])
  const reply = (option: number, kind: number, data: Uint8Array = new Uint8Array(0)): Uint8Array =>
    pack(0x0003e889045565a9n, option, kind, data.length, data)
  const ready = pack(
    greeting,
    reply(8, 1),
    reply(10, 1),
    reply(7, 3, pack([0], 65_536n, [0x1ff])),
    reply(7, 1),
  )
  const chunk = (type: number, data: Uint8Array, cookie = 1n): Uint8Array =>
    pack(0x668e33ef, [1], [type], cookie, data.length, data)

  for (const [what, bytes, code] of [
    ['no NBD', pack('SSH-2.0-OpenSSH_9.2 blah'), 'NBD_PROTOCOL_ERROR'],
    ['an unknown export', pack(greeting, reply(8, 0x8000_0001), reply(7, 0x8000_0006)), 'NBD_EXPORT_UNKNOWN'],
    ['TLS that is required', pack(greeting, reply(8, 0x8000_0005), reply(7, 0x8000_0005)), 'NBD_REFUSED'],
    ['another answer than asked for', pack(greeting, reply(7, 1)), 'NBD_PROTOCOL_ERROR'],
    ['no size', pack(greeting, reply(8, 1), reply(10, 1), reply(7, 1)), 'NBD_PROTOCOL_ERROR'],
    ['a long answer', pack(greeting, 0x0003e889045565a9n, 8, 1, 0xffff_ffff), 'NBD_PROTOCOL_ERROR'],
  ] as const) {
    test(`${what}: ${code}`, async () => {
      const stream = new MemoryStream()
      const client = new NbdClientConnection(stream, 'disk')
      feed(client, bytes)
      await assert.rejects(client.ready, { code })
      assert.ok(stream.isDestroyed)
    })
  }

  test('one that knows neither structure nor GO is used as it is', async () => {
    const client = new NbdClientConnection(new MemoryStream(), 'disk')
    const old = pack(greeting, reply(8, 0x8000_0001), reply(7, 0x8000_0001), 4096n, [1])
    feed(client, old, 5)
    const facts = await client.ready
    assert.deepEqual([facts.sizeBytes, facts.flags, facts.structuredReplies], [4096, 1, false])
    const device = new NbdDevice(client, facts, 'old')
    const read = device.read(0, 512)
    feed(client, pack(0x67446698, 0, 1n, filled(512)), 100)
    assert.deepEqual(await read, filled(512))
  })

  for (const [what, answer] of [
    ['data past what was asked for', chunk(1, pack(512n, new Uint8Array(512)))],
    ['too much data', chunk(1, pack(0n, new Uint8Array(1024)))],
    ['too little data', chunk(1, pack(0n, new Uint8Array(100)))],
    [
      'a part of the data twice, for another one',
      pack(0x668e33ef, [0], [1], 1n, 264, 0n, new Uint8Array(256), chunk(1, pack(0n, new Uint8Array(256)))),
    ],
    ['no data', chunk(0, new Uint8Array(0))],
    ['an answer to nobody', chunk(0, new Uint8Array(0), 99n)],
    ['no structure', pack(0x67446698, 0, 1n, new Uint8Array(512))],
    ['no reply at all', pack('HTTP/1.1 200 OK.')],
    ['a chunk of another command', chunk(5, pack(1, 512, 0))],
  ] as const) {
    test(`${what} is never taken for good`, async () => {
      const client = new NbdClientConnection(new MemoryStream(), 'disk')
      feed(client, ready)
      const device = new NbdDevice(client, await client.ready, 'liar')
      const read = device.read(0, 512)
      await settle()
      feed(client, answer)
      await assert.rejects(read, { code: 'PROTOCOL_ERROR' })
    })
  }

  test('data in several chunks, with a hole, in any order', async () => {
    const client = new NbdClientConnection(new MemoryStream(), 'disk')
    feed(client, ready)
    const device = new NbdDevice(client, await client.ready, 'test')
    const into = new Uint8Array(512).fill(1)
    const read = device.read(1024, into)
    await settle()
    const part = (type: number, flags: number, data: Uint8Array): Uint8Array =>
      pack(0x668e33ef, [flags], [type], 1n, data.length, data)
    feed(client, part(1, 0, pack(1324n, filled(212))), 7)
    feed(client, part(2, 1, pack(1024n, 300)), 7)
    await read
    assert.deepEqual(into, new Uint8Array([...new Uint8Array(300), ...filled(212)]))
  })
})
