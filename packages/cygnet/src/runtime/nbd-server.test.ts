import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BufferPool } from '../base/pool.ts'
import { MemoryDevice } from '../initiator/memory-device.test-helper.ts'
import type { NbdServerEvent } from '../nbd/server-connection.ts'
import { connectNbd } from './nbd-connect.ts'
import { NbdServer, type NbdServerOptions } from './nbd-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'cygnet-nbd-'))
after(() => rmSync(folder, { recursive: true }))
let sockets = 0
const newPath = (): string => join(folder, `${sockets++}.sock`)
const urlOf = (path: string): string => `nbd+unix:///?socket=${path}`

interface Started {
  readonly server: NbdServer
  readonly device: MemoryDevice
  readonly pool: BufferPool
  readonly path: string
  readonly events: NbdServerEvent[]
}

async function start(path = newPath(), options: Partial<NbdServerOptions> = {}): Promise<Started> {
  const device = new MemoryDevice(4 << 20)
  const pool = new BufferPool({ poison: true })
  const events: NbdServerEvent[] = []
  const server = new NbdServer({
    listen: { kind: 'unix', path },
    exports: [{ name: 'disk', description: '', device }],
    pool,
    onEvent: (_, event) => events.push(event),
    ...options,
  })
  await server.listen()
  return { server, device, pool, path, events }
}

/** Connects and waits until the other end hangs up. */
async function untilHungUp(path: string): Promise<void> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  socket.resume()
  await once(socket, 'close', { signal: AbortSignal.timeout(5000) })
}

test('many requests of several clients, through real sockets, leave nothing behind', async () => {
  const { server, device, pool, path } = await start()
  const clients = await Promise.all([1, 2, 3].map(() => connectNbd(urlOf(path))))
  const piece = 64 * 1024
  const write = async (i: number): Promise<void> => {
    await clients[i % 3]?.write(i * piece, new Uint8Array(piece).fill(i + 1))
  }
  await Promise.all(Array.from({ length: 48 }, (_, i) => write(i)))
  const all = await clients[0]?.read(0, 48 * piece)
  assert.ok(all?.every((byte, i) => byte === Math.floor(i / piece) + 1))
  assert.deepEqual(all, device.bytes.slice(0, 48 * piece))
  await Promise.all(clients.map((client) => client.close()))
  await server.stop()
  assert.deepEqual([server.connections, pool.inUse], [0, 0])
  assert.equal(existsSync(path), false)
})

test('TCP, on a port that the system picks', async () => {
  const { server } = await start('', { listen: { kind: 'tcp', host: '127.0.0.1', port: 0 } })
  const { address } = server
  assert.equal(address.kind, 'tcp')
  const client = await connectNbd({ address, exportName: 'disk' })
  assert.equal(client.sizeBytes, 4 << 20)
  await client.close()
  await server.stop()
})

describe('where it listens', () => {
  test('a socket that is in use is left alone', async () => {
    const { server, path } = await start()
    await assert.rejects(start(path), { code: 'NBD_LISTEN_FAILED', message: /is in use/ })
    const client = await connectNbd(urlOf(path))
    await client.close()
    await server.stop()
  })

  test('a socket that a killed server left is taken over', async () => {
    const path = newPath()
    const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
    await once(spawn(process.execPath, ['-e', script]), 'exit')
    assert.ok(existsSync(path))
    const { server } = await start(path)
    await server.stop()
  })

  test('a folder that is missing is named', async () => {
    await assert.rejects(start(join(folder, 'no', 'x')), {
      code: 'NBD_LISTEN_FAILED',
      message: /the folder of .* does not exist/,
    })
  })
})

test('a client that chooses no export in time is turned away', async () => {
  const { server, path, events } = await start(newPath(), { handshakeTimeoutMs: 50 })
  await untilHungUp(path)
  assert.deepEqual(events, [{ kind: 'dropped', reason: 'it chose no export within 50 ms' }])
  await server.stop()
})

test('no more clients than the limit', async () => {
  const { server, path, events } = await start(newPath(), { maxConnections: 1 })
  const first = await connectNbd(urlOf(path))
  await untilHungUp(path)
  assert.deepEqual(events.at(-1), { kind: 'dropped', reason: 'there are 1 connections already' })
  await first.close()
  await server.stop()
})

test('a stop does not wait for a client that reads no answers', async () => {
  const { server, device, pool, path, events } = await start(undefined, { unreadTimeoutMs: 50 })
  const socket = connect(path)
  socket.on('error', () => undefined)
  await once(socket, 'readable')
  const option = Buffer.from('\0\0\0\u0003IHAVEOPT\0\0\0\u0001\0\0\0\0')
  const read = Buffer.alloc(28)
  read.writeUInt32BE(0x2560_9513)
  read.writeUInt32BE(device.sizeBytes, 24)
  socket.write(Buffer.concat([option, read]))
  while (device.log.length === 0) await nextTurn()
  await server.stop()
  assert.deepEqual(events.at(-1), { kind: 'dropped', reason: 'it has not read its answers for 50 ms' })
  assert.deepEqual([server.connections, pool.inUse], [0, 0])
  socket.destroy()
})

test('a stop answers what is under way', async () => {
  const { server, device, path } = await start()
  const client = await connectNbd(urlOf(path))
  const { promise, resolve } = Promise.withResolvers<void>()
  device.onRequest = () => promise
  const read = client.read(0, 512)
  while (device.log.length === 0) await new Promise((next) => setImmediate(next))
  const stopped = server.stop()
  resolve()
  assert.equal((await read).length, 512)
  await stopped
  await assert.rejects(client.read(0, 512), { code: 'CONNECTION_LOST' })
})

describe('connecting', () => {
  test('to nothing', async () => {
    await assert.rejects(connectNbd(urlOf(join(folder, 'none'))), {
      code: 'CONNECT_FAILED',
      message: /no such socket/,
    })
  })

  for (const [what, behave, code] of [
    ['a server that says nothing', () => undefined, 'CONNECT_TIMEOUT'],
    ['a server that hangs up', (socket: Socket) => socket.end(), 'CONNECTION_LOST'],
    [
      'a server that speaks something else',
      (socket: Socket) => socket.write('220 smtp.example.com ESMTP\r\n'),
      'NBD_PROTOCOL_ERROR',
    ],
  ] as const) {
    test(`to ${what}`, async () => {
      const path = newPath()
      const open = new Set<Socket>()
      const server = createServer((socket) => {
        open.add(socket)
        socket.on('error', () => undefined)
        behave(socket)
      }).listen(path)
      await once(server, 'listening')
      await assert.rejects(connectNbd(urlOf(path), { timeoutMs: 300 }), { code })
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    })
  }
})
