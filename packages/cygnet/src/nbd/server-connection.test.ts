import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BufferPool } from '../base/pool.ts'
import { BlockDeviceError } from '../initiator/block-device-error.ts'
import { MemoryDevice } from '../initiator/memory-device.test-helper.ts'
import { feed, MemoryStream, pack, settle } from './memory-stream.test-helper.ts'
import { NbdServerConnection, type NbdServerEvent, type NbdServerLimits } from './server-connection.ts'

const IHAVEOPT = 0x49484156454f5054n
const REPLY_MAGIC = 0x0003e889045565a9n
const SIZE = 1 << 20
const option = (type: number, data: Uint8Array = new Uint8Array(0)): Uint8Array =>
  pack(IHAVEOPT, type, data.length, data)
const optionReply = (type: number, reply: number, data: Uint8Array = new Uint8Array(0)): Uint8Array =>
  pack(REPLY_MAGIC, type, reply, data.length, data)
const request = (type: number, offset: number, lengthBytes: number, flags = 0, cookie = 7n): Uint8Array =>
  pack(0x25609513, [flags], [type], cookie, BigInt(offset), lengthBytes)
const simple = (error: number, cookie = 7n): Uint8Array => pack(0x67446698, error, cookie)
const chunk = (type: number, data: Uint8Array = new Uint8Array(0), cookie = 7n): Uint8Array =>
  pack(0x668e33ef, [1], [type], cookie, data.length, data)
const go = option(7, pack(4, 'disk', [0]))
const structured = option(8)
const setContext = option(10, pack(4, 'disk', 1, 15, 'base:allocation'))
/** READ_ONLY is 2, TRIM 32, WRITE_ZEROES 64. */
const FLAGS = 1 | 4 | 8 | 32 | 64 | 128 | 256

class Server {
  readonly device = new MemoryDevice(SIZE)
  readonly stream = new MemoryStream()
  readonly pool = new BufferPool({ poison: true })
  readonly events: NbdServerEvent[] = []
  readonly connection: NbdServerConnection

  constructor(limits?: NbdServerLimits) {
    this.connection = new NbdServerConnection({
      exports: [{ name: 'disk', description: 'A disk', device: this.device }],
      stream: this.stream,
      pool: this.pool,
      ...(limits && { limits }),
      onEvent: (event) => this.events.push(event),
    })
  }

  send(...bytes: Uint8Array[]): void {
    for (const one of bytes) feed(this.connection, one)
  }

  /** What comes back after everything has settled. */
  async ask(...bytes: Uint8Array[]): Promise<Uint8Array> {
    this.stream.taken()
    this.send(...bytes)
    await settle()
    return this.stream.taken()
  }

  /** Through the handshake, with simple or structured replies. */
  async attach(...options: Uint8Array[]): Promise<this> {
    await this.ask(pack(3), ...options, go)
    assert.ok(this.connection.isAttached)
    return this
  }
}

describe('handshake', () => {
  test('TLS, where it is wanted: nothing before it, and nothing that was asked for before it counts', () => {
    const stream = new MemoryStream()
    let asked = 0
    const connection = new NbdServerConnection({
      exports: [{ name: 'disk', description: 'A disk', device: new MemoryDevice(SIZE) }],
      stream,
      pool: new BufferPool({ poison: true }),
      startTls: () => void asked++,
      onEvent: () => undefined,
    })
    const replyTo = (...bytes: Uint8Array[]): number[] => {
      stream.taken()
      for (const one of bytes) feed(connection, one)
      const view = new DataView(stream.taken().buffer)
      return view.byteLength < 20 ? [] : [view.getUint32(8), view.getUint32(12)]
    }
    const TLS_REQUIRED = 0x8000_0005
    assert.deepEqual(replyTo(pack(3), go), [7, TLS_REQUIRED])
    assert.deepEqual(replyTo(option(3)), [3, TLS_REQUIRED])
    assert.deepEqual(replyTo(structured), [8, TLS_REQUIRED])
    assert.deepEqual(replyTo(option(5, pack(1))), [5, 0x8000_0003])
    assert.deepEqual([replyTo(option(5)), asked], [[5, 1], 1])
    connection.secured()
    assert.deepEqual(replyTo(option(5)), [5, 0x8000_0003], 'twice')
    replyTo(go)
    assert.ok(connection.isAttached)
  })

  test('what a client sends before TLS, and after asking for it, ends the connection', () => {
    const stream = new MemoryStream()
    const events: NbdServerEvent[] = []
    const connection = new NbdServerConnection({
      exports: [{ name: 'disk', description: 'A disk', device: new MemoryDevice(SIZE) }],
      stream,
      pool: new BufferPool({ poison: true }),
      startTls: () => assert.fail('not any more'),
      onEvent: (event) => events.push(event),
    })
    feed(connection, pack(3, option(5), go))
    assert.deepEqual(events, [{ kind: 'dropped', reason: 'it went on without waiting for TLS' }])
    assert.ok(stream.isDestroyed)
  })

  test('the greeting offers fixed newstyle without zeroes', () => {
    assert.deepEqual(new Server().stream.taken(), pack('NBDMAGIC', 'IHAVEOPT', [3]))
  })

  test('GO tells size, flags and block sizes, byte by byte too', () => {
    const expected = pack(
      optionReply(7, 3, pack([0], BigInt(SIZE), [FLAGS])),
      optionReply(7, 3, pack([1], 'disk')),
      optionReply(7, 3, pack([2], 'A disk')),
      optionReply(7, 3, pack([3], 1, 4096, 32 << 20)),
      optionReply(7, 1),
    )
    const message = pack(pack(3), option(7, pack(4, 'disk', [2], [1], [2])))
    for (const pieceBytes of [message.length, 1, 3]) {
      const server = new Server()
      server.stream.taken()
      feed(server.connection, message, pieceBytes)
      assert.deepEqual(server.stream.taken(), expected)
      assert.deepEqual(server.events, [{ kind: 'attached', exportName: 'disk' }])
    }
  })

  test('INFO leaves the choice open; an empty name is the default; an unknown one an error', async () => {
    const server = new Server()
    const answer = await server.ask(pack(3), option(6, pack(0, [0])))
    assert.deepEqual(answer.subarray(-20), optionReply(6, 1))
    assert.equal(server.connection.isAttached, false)
    const unknown = await server.ask(option(7, pack(2, 'no', [0])))
    assert.deepEqual(unknown.subarray(0, 16), pack(REPLY_MAGIC, 7, 0x8000_0006))
    await server.ask(go)
    assert.ok(server.connection.isAttached)
  })

  test('LIST, ABORT, and options that nobody knows', async () => {
    const server = new Server()
    assert.deepEqual(
      await server.ask(pack(3), option(3)),
      pack(optionReply(3, 2, pack(4, 'disk', 'A disk')), optionReply(3, 1)),
    )
    const unknown = await server.ask(option(5))
    assert.deepEqual(unknown.subarray(0, 16), pack(REPLY_MAGIC, 5, 0x8000_0001))
    assert.deepEqual(await server.ask(option(2)), optionReply(2, 1))
    assert.ok(server.stream.isEnded)
  })

  test('EXPORT_NAME, with and without its zeroes; an unknown name ends it', async () => {
    const start = pack(BigInt(SIZE), [FLAGS])
    assert.deepEqual(await new Server().ask(pack(3), option(1, pack('disk'))), start)
    assert.deepEqual(
      await new Server().ask(pack(1), option(1, pack('disk'))),
      pack(start, new Uint8Array(124)),
    )
    const server = new Server()
    await server.ask(pack(3), option(1, pack('other')))
    assert.ok(server.stream.isDestroyed)
    assert.deepEqual(
      server.events.map(({ kind }) => kind),
      ['dropped'],
    )
  })

  test('contexts: listed by namespace, set after structured replies only', async () => {
    const server = new Server()
    const early = await server.ask(pack(3), setContext)
    assert.deepEqual(early.subarray(0, 16), pack(REPLY_MAGIC, 10, 0x8000_0003))
    assert.deepEqual(await server.ask(structured), optionReply(8, 1))
    const context = pack(1, 'base:allocation')
    assert.deepEqual(
      await server.ask(option(9, pack(4, 'disk', 1, 5, 'base:'))),
      pack(optionReply(9, 4, context), optionReply(9, 1)),
    )
    assert.deepEqual(await server.ask(setContext), pack(optionReply(10, 4, context), optionReply(10, 1)))
    assert.deepEqual(await server.ask(option(10, pack(4, 'disk', 1, 3, 'x:y'))), optionReply(10, 1))
  })

  for (const [what, bytes] of [
    ['flags that nobody knows', pack(4)],
    ['another protocol', pack(3, 'GET / HTTP/1.1\r\n')],
    ['an option without end', pack(3, IHAVEOPT, 7, 0xffff_ffff)],
  ] as const) {
    test(`${what} ends the connection with one line`, async () => {
      const server = new Server()
      await server.ask(bytes)
      assert.ok(server.stream.isDestroyed)
      assert.deepEqual(
        server.events.map(({ kind }) => kind),
        ['dropped'],
      )
    })
  }

  test('lengths that do not fit are refused, and haggling has an end', async () => {
    const server = new Server()
    server.send(pack(3))
    for (const data of [pack(99, 'disk', [0]), pack(4, 'disk', [9]), pack(0xffff_ffff), pack([0])])
      assert.deepEqual((await server.ask(option(7, data))).subarray(0, 16), pack(REPLY_MAGIC, 7, 0x8000_0003))
    await server.ask(structured)
    for (const data of [pack(4, 'disk', 2, 1, 'a'), pack(4, 'disk'), pack(4, 'disk', 0, 'x')])
      assert.deepEqual(
        (await server.ask(option(10, data))).subarray(0, 16),
        pack(REPLY_MAGIC, 10, 0x8000_0003),
      )
    for (let i = 0; i < 100; i++) server.send(option(3))
    assert.ok(server.stream.isDestroyed)
  })
})

describe('requests', () => {
  const data = Uint8Array.from({ length: 4096 }, (_, i) => i & 0xff)

  for (const pieceBytes of [1, 7, 100_000]) {
    test(`write and read, in pieces of ${pieceBytes} bytes`, async () => {
      const server = await new Server().attach()
      feed(server.connection, pack(request(1, 512, data.length), data, request(3, 0, 0, 0, 8n)), pieceBytes)
      await settle()
      assert.deepEqual(await server.ask(request(0, 512, data.length)), pack(simple(0), data))
      assert.deepEqual(server.device.log, ['write 512+4096', 'flush 0+0', 'read 512+4096'])
      assert.equal(server.pool.inUse, 0)
    })
  }

  test('structured replies: data, acknowledgements, errors with words', async () => {
    const server = await new Server().attach(structured)
    assert.deepEqual(await server.ask(pack(request(1, 0, 4096, 1), data)), chunk(0))
    assert.equal(server.device.log.at(-1), 'write-fua 0+4096')
    assert.deepEqual(await server.ask(request(0, 0, 4096, 4)), chunk(1, pack(0n, data)))
    const text = 'READ: it leaves the device, which has 1048576 bytes'
    assert.deepEqual(await server.ask(request(0, SIZE, 1)), chunk(0x8001, pack(22, [text.length], text)))
  })

  test('trim and zeroes with their flags', async () => {
    const server = await new Server().attach()
    await server.ask(request(4, 512, 1024), request(6, 0, 512), request(6, 0, 512, 3), request(4, 0, 512, 1))
    assert.deepEqual(server.device.log, [
      'unmap 512+1024',
      'zero-unmap 0+512',
      'zero-fua 0+512',
      'unmap 0+512',
      'flush 0+0',
    ])
  })

  test('block status: neighbours as one, the first alone where asked', async () => {
    const server = await new Server().attach(structured, setContext)
    await server.device.write(1024, data)
    const status = (...pairs: number[]): Uint8Array => chunk(5, pack(1, ...pairs))
    assert.deepEqual(await server.ask(request(7, 0, 8192)), status(1024, 3, 4096, 0, 3072, 3))
    assert.deepEqual(await server.ask(request(7, 100, 8192, 8)), status(412, 3))
    const without = await new Server().attach(structured)
    assert.deepEqual((await without.ask(request(7, 0, 8192))).subarray(6, 8), pack([0x8001]))
  })

  for (const [what, error, expected] of [
    ['no space', new BlockDeviceError('NO_SPACE', 'full'), 28],
    ['a reservation', new BlockDeviceError('RESERVATION_CONFLICT', 'no'), 1],
    ['a medium error', new BlockDeviceError('MEDIUM_ERROR', 'bad'), 5],
    ['a lost session', new BlockDeviceError('SESSION_LOST', 'gone'), 5],
    ['anything else', new Error('?'), 5],
  ] as const) {
    test(`${what} is error ${expected}`, async () => {
      const server = await new Server().attach()
      server.device.onRequest = () => Promise.reject(error)
      assert.deepEqual(await server.ask(request(0, 0, 512)), simple(expected))
      assert.deepEqual(server.events.at(-1), { kind: 'failed', request: 'READ', error })
      assert.equal(server.pool.inUse, 0)
    })
  }

  test('what cannot be served is refused, and the stream stays in step', async () => {
    const server = await new Server().attach()
    const answers = await server.ask(
      request(99, 0, 0),
      request(0, 0, 512, 0x80),
      request(0, 0, (32 << 20) + 1),
      pack(request(1, 0, 512, 0x40), data.subarray(0, 512)),
      pack(request(1, SIZE - 100, 512), data.subarray(0, 512)),
      request(4, SIZE, 1),
      request(0, 0, 0),
    )
    assert.deepEqual(
      answers,
      pack(simple(22), simple(22), simple(22), simple(22), simple(28), simple(28), simple(0)),
    )
    assert.deepEqual(server.device.log, ['read 0+0'])
  })

  test('a read-only export says so and is not written to', async () => {
    const server = new Server()
    server.device.readOnly = true
    const answer = await server.ask(pack(3), go)
    assert.deepEqual(answer.subarray(20, 32), pack([0], BigInt(SIZE), [1 | 2 | 4 | 8 | 128 | 256]))
  })

  for (const [what, bytes] of [
    ['no request', pack(0x1111_1111, new Uint8Array(24))],
    ['a write that is too long', request(1, 0, (32 << 20) + 1)],
  ] as const) {
    test(`${what} ends the connection with one line`, async () => {
      const server = await new Server().attach()
      await server.ask(bytes)
      assert.ok(server.stream.isDestroyed)
      assert.deepEqual(
        server.events.map(({ kind }) => kind),
        ['attached', 'dropped'],
      )
    })
  }
})

describe('limits and ends', () => {
  test('requests beyond the limits wait, and run when there is room', async () => {
    const server = await new Server({ requests: 4, bufferBytes: 8192 }).attach()
    server.stream.holdsBack = true
    server.stream.taken()
    // One segment holds them all.
    feed(
      server.connection,
      pack(...Array.from({ length: 20 }, (_, i) => request(0, i * 4096, 4096, 0, BigInt(i)))),
    )
    await settle()
    assert.equal(server.device.log.length, 2)
    assert.ok(server.stream.isPaused)
    assert.equal(server.pool.inUseBytes, 8192)
    for (let i = 0; i < 20; i++) {
      server.stream.release()
      await settle()
    }
    assert.equal(server.device.log.length, 20)
    assert.equal(server.stream.isPaused, false)
    assert.equal(server.stream.taken().length, 20 * (16 + 4096))
    assert.equal(server.pool.inUse, 0)
  })

  test('the number of requests is a limit too, and a large one passes alone', async () => {
    const server = await new Server({ requests: 2, bufferBytes: 1024 }).attach()
    server.stream.holdsBack = true
    server.send(request(3, 0, 0), request(3, 0, 0), request(0, 0, 65_536))
    await settle()
    assert.deepEqual(server.device.log, ['flush 0+0', 'flush 0+0'])
    server.stream.release()
    await settle()
    assert.equal(server.device.log.at(-1), 'read 0+65536')
  })

  test('DISC: what is under way is answered first', async () => {
    const server = await new Server().attach()
    const { promise, resolve } = Promise.withResolvers<void>()
    server.device.onRequest = () => promise
    server.send(request(0, 0, 512), request(2, 0, 0), request(0, 0, 512))
    await settle()
    assert.equal(server.stream.isEnded, false)
    resolve()
    await settle()
    assert.ok(server.stream.isEnded)
    assert.equal(server.device.log.length, 1)
    server.connection.closed('the client closed it')
    assert.deepEqual(
      server.events.map(({ kind }) => kind),
      ['attached', 'detached'],
    )
  })

  test('a client that goes away in the middle leaves nothing behind', async () => {
    const server = await new Server({ requests: 4, bufferBytes: 4096 }).attach()
    const { promise, resolve } = Promise.withResolvers<void>()
    server.device.onRequest = () => promise
    server.send(request(0, 0, 4096), request(0, 0, 4096), request(0, 0, 4096))
    server.connection.closed('reset')
    resolve()
    await settle()
    assert.deepEqual([server.pool.inUse, server.connection.requests], [0, 0])
    assert.deepEqual(server.events.at(-1), { kind: 'dropped', reason: 'reset' })
    const half = await new Server().attach()
    half.send(pack(request(1, 0, 4096), new Uint8Array(100)))
    half.connection.closed('reset')
    assert.deepEqual([half.pool.inUse, half.connection.requests, half.device.log.length], [0, 0, 0])
  })

  test('stop answers what is under way and takes nothing more', async () => {
    const server = await new Server().attach()
    server.send(request(0, 0, 512))
    server.connection.stop()
    server.send(request(0, 0, 512))
    await settle()
    assert.equal(server.device.log.length, 1)
    assert.ok(server.stream.isEnded)
  })
})
