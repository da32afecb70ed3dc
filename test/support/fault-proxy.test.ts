import assert from 'node:assert/strict'
import { connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { type FaultLink, FaultProxy } from './fault-proxy.ts'
import { FaultSchedule } from './fault-schedule.ts'
import type { Region } from './pdu-tracker.ts'
import { buildBhs, cutPdu, type Digests, encodeText, frame, Op } from './raw-pdu.ts'
import { Scratch } from './scratch.ts'
import { Seeded } from './seeded.ts'
import { sleep, until } from './subject.ts'

const BOTH: Digests = { header: true, data: true }
const NONE: Digests = { header: false, data: false }
const TIMEOUT = { timeout: 20_000 }

/** One end of a connection, and what it has seen. */
class End {
  readonly socket: Socket
  chunks: Buffer[] = []
  length = 0
  error: string | undefined
  hasEnded = false
  isClosed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk)
      this.length += chunk.length
    })
    socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code))
    socket.on('end', () => (this.hasEnded = true))
    socket.on('close', () => (this.isClosed = true))
  }

  get received(): Buffer {
    return Buffer.concat(this.chunks)
  }

  async has(lengthBytes: number): Promise<void> {
    assert.ok(await until(() => this.length >= lengthBytes, 5000), `${this.length} bytes`)
  }

  forget(): void {
    this.chunks = []
    this.length = 0
  }
}

interface Set {
  readonly proxy: FaultProxy
  readonly link: FaultLink
  readonly initiator: End
  readonly target: End
}

/** A connection through a proxy, on which a login has settled both digests. */
async function setUp(t: TestContext, seed = 1): Promise<Set> {
  const scratch = new Scratch(t)
  const accepted: End[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => accepted.push(new End(socket)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  scratch.defer(() => {
    for (const { socket } of accepted) socket.destroy()
    server.close()
  })
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const proxy = await FaultProxy.start(scratch, address.port, { random: new Seeded(seed) })
  const initiator = new End(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }))
  scratch.defer(() => initiator.socket.destroy())
  const request = frame(buildBhs(Op.login, { flags: 0x87 }), encodeText({ HeaderDigest: 'CRC32C' }), NONE)
  initiator.socket.write(request)
  assert.ok(await until(() => accepted[0]?.length === request.length, 5000))
  const target = accepted[0] as End
  const keys = encodeText({ HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' })
  const response = frame(buildBhs(Op.loginResponse, { flags: 0x87 }), keys, NONE)
  target.socket.write(response)
  await initiator.has(response.length)
  target.forget()
  initiator.forget()
  const [link] = proxy.links
  assert.ok(link?.isFullFeature)
  return { proxy, link, initiator, target }
}

const dataOut = (data: Buffer): Buffer => frame(buildBhs(Op.dataOut), data, BOTH)

test('bytes pass unchanged, split and late as they may be', TIMEOUT, async (t) => {
  const { link, initiator, target, proxy } = await setUp(t)
  link.split(7)
  link.delay(40, 'to-target')
  const bytes = Buffer.concat([1, 500, 70_000].map((length) => dataOut(new Seeded(length).bytes(length))))
  const start = performance.now()
  initiator.socket.write(bytes)
  target.socket.write(bytes)
  await initiator.has(bytes.length)
  await target.has(bytes.length)
  assert.ok(performance.now() - start >= 39)
  assert.ok(target.received.equals(bytes) && initiator.received.equals(bytes))
  assert.ok(target.chunks.length > 10, 'in pieces')
  assert.deepEqual([proxy.counts.split, proxy.counts.delay], [1, 1])
})

for (const region of ['header', 'header-digest', 'data', 'data-digest'] as const satisfies Region[]) {
  test(`one bit of the ${region} of one PDU is flipped`, TIMEOUT, async (t) => {
    const { link, initiator, target, proxy } = await setUp(t)
    link.corrupt({ region, opcode: Op.dataOut, direction: 'to-target' })
    const spared = frame(buildBhs(Op.scsiCommand), Buffer.alloc(99), BOTH)
    const meant = dataOut(new Seeded(5).bytes(300))
    initiator.socket.write(Buffer.concat([spared, meant, meant]))
    target.socket.write(meant)
    await initiator.has(meant.length)
    await target.has(spared.length + 2 * meant.length)
    assert.ok(initiator.received.equals(meant), 'the other direction is spared')
    assert.ok(cutPdu(target.received, BOTH))
    const spoilt = target.received.subarray(spared.length)
    const bits = meant.reduce((sum, byte, index) => sum + count(byte ^ spoilt.readUInt8(index)), 0)
    assert.equal(bits, 1)
    const which = region.startsWith('header') ? /bad header digest/ : /bad data digest/
    assert.throws(() => cutPdu(spoilt, BOTH), which)
    assert.ok(cutPdu(spoilt.subarray(meant.length), BOTH), 'the next one is spared')
    assert.equal(proxy.counts[region], 1)
  })
}

test('a stall holds back one direction, and ends by itself or by healing', TIMEOUT, async (t) => {
  const { link, initiator, target, proxy } = await setUp(t)
  link.stall(60_000, 'to-target')
  initiator.socket.write('forth')
  target.socket.write('back')
  await initiator.has(4)
  await sleep(50)
  assert.equal(target.length, 0)
  proxy.heal()
  await target.has(5)
  link.stall(100)
  const start = performance.now()
  target.socket.write('again')
  await initiator.has(9)
  assert.ok(performance.now() - start >= 98)
})

test('what a stall holds back is bounded', TIMEOUT, async (t) => {
  const { link, initiator, target } = await setUp(t)
  link.stall(60_000)
  const bytes = Buffer.alloc(32 << 20)
  const wasTaken = new Promise((resolve) => initiator.socket.write(bytes, resolve))
  assert.equal(await Promise.race([wasTaken.then(() => 'taken'), sleep(500).then(() => 'waits')]), 'waits')
  link.heal()
  await wasTaken
  assert.ok(await until(() => target.length === bytes.length, 10_000))
})

test('a reset reaches both ends', TIMEOUT, async (t) => {
  const { link, initiator, target, proxy } = await setUp(t)
  link.cut('reset')
  assert.ok(await until(() => initiator.isClosed && target.isClosed, 5000))
  assert.deepEqual([initiator.error, target.error], ['ECONNRESET', 'ECONNRESET'])
  assert.deepEqual([proxy.links, proxy.counts.reset], [[], 1])
})

test('a FIN reaches both ends, even with bytes on their way', TIMEOUT, async (t) => {
  const { link, initiator, target } = await setUp(t)
  link.stall(60_000)
  initiator.socket.write(Buffer.alloc(1000))
  await sleep(20)
  link.cut('fin')
  assert.ok(await until(() => initiator.hasEnded && target.hasEnded, 5000))
  initiator.socket.end()
  target.socket.end()
  assert.ok(await until(() => initiator.isClosed && target.isClosed, 5000))
  assert.deepEqual([initiator.error, target.error, target.length], [undefined, undefined, 0])
})

test('of a half-open connection the initiator hears nothing', TIMEOUT, async (t) => {
  const { link, initiator, target, proxy } = await setUp(t)
  link.cut('half-open')
  assert.ok(await until(() => target.isClosed, 5000))
  initiator.socket.write('anybody there?')
  await sleep(100)
  assert.deepEqual([initiator.isClosed, initiator.hasEnded, initiator.error], [false, false, undefined])
  assert.deepEqual(proxy.links, [])
})

test('an end of either peer is passed on', TIMEOUT, async (t) => {
  const { initiator, target, proxy } = await setUp(t)
  initiator.socket.end('last words')
  await target.has(10)
  assert.ok(await until(() => target.hasEnded, 5000))
  target.socket.write('an answer')
  await initiator.has(9)
  target.socket.resetAndDestroy()
  assert.ok(await until(() => initiator.isClosed, 5000))
  assert.ok(await until(() => proxy.links.length === 0, 5000))
})

test('while it is down, new connections are reset', TIMEOUT, async (t) => {
  const { proxy } = await setUp(t)
  proxy.isDown = true
  const other = new End(connect(proxy.port, '127.0.0.1'))
  assert.ok(await until(() => other.isClosed, 5000))
  assert.equal(proxy.accepted, 1)
})

test(
  'a schedule does what its plan says, the same for the same seed, and no more than it may',
  TIMEOUT,
  async (t) => {
    const runs: string[][] = []
    for (const seed of [3, 3, 4]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { proxy, initiator } = await setUp(t, seed)
      const mix = { stall: 1, split: 1, delay: 1, corrupt: 2 }
      const schedule = new FaultSchedule(proxy, { mix, everyMs: [1, 3], lastsMs: [1, 5], most: 12 })
      // oxlint-disable-next-line no-await-in-loop
      assert.ok(await until(() => schedule.done.length === 12, 5000))
      // oxlint-disable-next-line no-await-in-loop
      await sleep(30)
      assert.equal(schedule.done.length, 12)
      schedule.stop()
      assert.equal(initiator.isClosed, false)
      runs.push(schedule.done)
    }
    assert.deepEqual(runs[0], runs[1])
    assert.notDeepEqual(runs[0], runs[2])
  },
)

test('a schedule cuts connections that have logged in', TIMEOUT, async (t) => {
  const { proxy, initiator } = await setUp(t)
  const schedule = new FaultSchedule(proxy, { mix: { reset: 1 }, everyMs: [5, 5], lastsMs: [0, 0], most: 9 })
  assert.ok(await until(() => initiator.isClosed, 5000))
  schedule.stop()
  assert.deepEqual(schedule.done, ['reset on 0'])
})

function count(byte: number): number {
  let bits = 0
  for (let rest = byte; rest > 0; rest >>>= 1) bits += rest & 1
  return bits
}
