/**
 * A session of 32 connections over TCP. One of them asks for megabytes and stops reading: what the target holds for it is bounded,
 * and the others of its session, and of another one, go on.
 */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Op, RawInitiator } from '../support/raw-initiator.ts'
import { rw10 } from '../support/recording-writer.ts'
import { Scratch } from '../support/scratch.ts'
import { sleep, startSubject, type Subject, until } from '../support/subject.ts'

const CONNECTIONS = 32
const MEMORY_LIMIT_BYTES = 192 << 20
const SLOWEST_MS = 2000
/** Of 1 MiB each: far more than the socket buffers of both sides hold, and less than the session's command window. */
const STALLED_READS = 48
const MEASURE_MS = 1500
const READ = 0x28
const WRITE = 0x2a
const identity = {
  initiatorName: 'iqn.2026-11.dev.example:many',
  isid: Buffer.from([0x80, 0, 0, 0, 3, 2]),
}

interface Session {
  readonly tsih: number
  readonly connections: readonly [leading: RawInitiator, ...others: RawInitiator[]]
}

/** A connection that joins a session. */
async function join(
  { port, iqn }: Subject,
  leading: RawInitiator,
  tsih: number,
  cid: number,
): Promise<{ connection: RawInitiator; status: string }> {
  const connection = await RawInitiator.connect(port)
  connection.joinSession(leading)
  const { statusClass, statusDetail } = await connection.login({ ...identity, target: iqn, tsih, cid })
  return { connection, status: `${statusClass}/${statusDetail}` }
}

/** One session, its connections numbered together. */
async function openSession(subject: Subject, count: number, level: number): Promise<Session> {
  const leading = await RawInitiator.connect(subject.port)
  const keys = { MaxConnections: String(count), ErrorRecoveryLevel: String(level) }
  const result = await leading.login({ ...identity, target: subject.iqn, keys })
  assert.equal(result.statusClass, 0)
  assert.equal(result.keys.get('MaxConnections'), String(count))
  const connections: [RawInitiator, ...RawInitiator[]] = [leading]
  for (let cid = 1; cid < count; cid++) {
    const { connection, status } = await join(subject, leading, result.tsih, cid)
    assert.equal(status, '0/0', `connection ${cid}`)
    connections.push(connection)
  }
  return { tsih: result.tsih, connections }
}

/** Reads and checks 4 KiB again and again on each connection; the reads of each, and the slowest of all. */
class Load {
  readonly reads: number[]
  slowestMs = 0
  #isStopped = false
  readonly #loops: Promise<unknown>

  constructor(connections: readonly RawInitiator[]) {
    this.reads = connections.map(() => 0)
    this.#loops = Promise.all(connections.map((connection, index) => this.#run(connection, index)))
    this.#loops.catch(() => undefined)
  }

  async #run(connection: RawInitiator, index: number): Promise<void> {
    for (let turn = 0; !this.#isStopped; turn++) {
      const start = performance.now()
      const { status, data } = await connection.command(rw10(READ, (index * 8 + turn) % 1024, 8), {
        read: 4096,
      })
      this.slowestMs = Math.max(this.slowestMs, performance.now() - start)
      assert.equal(status, 0)
      assert.ok(data.length === 4096 && data.every((byte) => byte === 0x5a))
      this.reads[index] = (this.reads[index] ?? 0) + 1
      await sleep(5)
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#loops
  }
}

async function measure(connections: readonly RawInitiator[]): Promise<Load> {
  const load = new Load(connections)
  await sleep(MEASURE_MS)
  await load.stop()
  return load
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

/** Past unit attentions. */
async function ready(connection: RawInitiator): Promise<void> {
  while ((await connection.command([0, 0, 0, 0, 0, 0])).status !== 0);
}

async function oneStopsReading(t: TestContext, level: number): Promise<void> {
  const scratch = new Scratch(t)
  const subject = await startSubject(scratch, { images: [scratch.path('disk')], size: '64M' })
  if (subject.name !== 'cygnet') {
    t.diagnostic('tgt has one connection for each session')
    return
  }
  const { connections, tsih } = await openSession(subject, CONNECTIONS, level)
  const other = await RawInitiator.open(subject.port, { target: subject.iqn })
  t.after(() => {
    for (const connection of [other, ...connections]) connection.close()
  })
  const [leading] = connections
  const reading = connections.slice(0, -1)
  const stalled = connections.at(-1)
  assert.ok(stalled)
  await ready(leading)
  await ready(other)
  const fill = Buffer.alloc(1 << 20, 0x5a)
  assert.equal((await leading.command(rw10(WRITE, 0, 2048), { write: fill })).status, 0)
  const before = await measure([...reading, other])
  const atRest = subject.memory().residentBytes

  await t.test('a 33rd connection is one too many', async () => {
    const { connection, status } = await join(subject, leading, tsih, CONNECTIONS)
    connection.close()
    assert.equal(status, '2/6')
  })

  await t.test('the others of its session, and of another one, keep their speed', async () => {
    stalled.socket.pause()
    for (let index = 0; index < STALLED_READS; index++) {
      stalled.command(rw10(READ, 0, 2048), { read: 1 << 20, timeoutMs: 100_000 }).catch(() => undefined)
    }
    await until(() => stalled.socket.writableLength === 0, 1000)
    const meanwhile = await measure([...reading, other])
    t.diagnostic(`reads: ${sum(before.reads)} before, ${sum(meanwhile.reads)} meanwhile`)
    t.diagnostic(
      `slowest: ${before.slowestMs.toFixed()} ms before, ${meanwhile.slowestMs.toFixed()} ms meanwhile`,
    )
    for (const [index, count] of meanwhile.reads.entries()) assert.ok(count > 0, `connection ${index}`)
    assert.ok(sum(meanwhile.reads) > sum(before.reads) / 3)
    assert.ok(meanwhile.slowestMs < SLOWEST_MS, `a read took ${meanwhile.slowestMs} ms`)
  })

  await t.test('what is held for it is bounded', () => {
    const grownBytes = subject.memory().peakBytes - atRest
    t.diagnostic(`memory grew by ${grownBytes >> 20} MiB`)
    assert.ok(grownBytes < MEMORY_LIMIT_BYTES, `memory grew by ${grownBytes >> 20} MiB`)
  })

  await t.test('once it is gone, the whole window is there for the others', async () => {
    stalled.reset()
    // Closes that connection; the target may have noticed by itself that it is gone.
    const fields = { immediate: true, flags: 0x81, word20: (CONNECTIONS - 1) << 16 }
    const answer = await leading.request(Op.logout, fields)
    assert.ok([0, 1].includes(answer.bhs.readUInt8(2)), `logout response ${answer.bhs.readUInt8(2)}`)
    assert.ok(await until(() => leading.maxCmdSn - leading.expCmdSn + 1 >= 100, 5000))
    // §11.14.5: its commands were cleared, which the next one is told.
    await ready(leading)
    const after = await measure([...reading, other])
    assert.ok(sum(after.reads) > sum(before.reads) / 3)
    assert.ok(subject.isRunning)
  })
}

for (const level of [0, 2]) {
  test(
    `a session of 32 connections at ErrorRecoveryLevel ${level}, one of which stops reading`,
    {
      timeout: 120_000,
    },
    (t) => oneStopsReading(t, level),
  )
}
