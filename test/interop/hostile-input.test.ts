/**
 * Peers that mean harm, or are broken. Throughout, another initiator goes on reading, the process stays alive and its memory stays
 * within `MEMORY_LIMIT_BYTES` of what it was; and each time the log names the peer and the reason, once.
 */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { peerPath, requirePeers } from '../support/peer.ts'
import { buildBhs, encodeText, frame, NO_TAG, Op, RawInitiator } from '../support/raw-initiator.ts'
import { rw10 } from '../support/recording-writer.ts'
import { runOk, Scratch } from '../support/scratch.ts'
import { Seeded } from '../support/seeded.ts'
import { sleep, startSubject, type Subject, until } from '../support/subject.ts'

/** A thousand connections may have a receive buffer of 64 KiB each, and the collector needs room; 16 MiB for each liar is too much. */
const MEMORY_LIMIT_BYTES = 192 << 20
const SILENT_CONNECTIONS = 1000
/** Our login phase must be over in 15 s; anything still open long after that is a leak. */
const SILENCE_TIMEOUT_MS = 40_000
const LATENCY_LIMIT_MS = 2000
const NO_DIGESTS = { header: false, data: false }

/** An honest initiator that reads all the while and checks what it gets. */
class Bystander {
  reads = 0
  slowestMs = 0
  readonly #initiator: RawInitiator
  readonly #lun: number
  #failure: unknown
  #stopped = false
  readonly #loop: Promise<void>

  constructor(initiator: RawInitiator, lun: number) {
    this.#initiator = initiator
    this.#lun = lun
    this.#loop = this.#read().catch((error: unknown) => {
      this.#failure = error
    })
  }

  async #read(): Promise<void> {
    while (!this.#stopped) {
      const start = performance.now()
      const result = await this.#initiator.command(rw10(0x28, this.reads % 128, 8), {
        lun: this.#lun,
        read: 4096,
      })
      this.slowestMs = Math.max(this.slowestMs, performance.now() - start)
      assert.equal(result.status, 0)
      assert.equal(result.data.length, 4096)
      assert.ok(result.data.every((byte) => byte === 0x5a))
      this.reads++
      await sleep(1)
    }
  }

  /** Checks that I/O went on since `before` reads. */
  check(before: number): void {
    assert.equal(this.#failure, undefined, 'the other initiator goes on')
    assert.ok(this.reads - before >= 5, `${this.reads - before} reads meanwhile`)
    assert.ok(this.slowestMs < LATENCY_LIMIT_MS, `a read took ${this.slowestMs} ms`)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loop
    await this.#initiator.logout()
  }
}

/** A raw connection, its local port, and when it has ended. */
interface Wire {
  readonly socket: Socket
  readonly localPort: number
  readonly closed: Promise<void>
}

function openWire(port: number): Promise<Wire> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const closed = new Promise<void>((done) => {
      socket.on('close', () => done())
    })
    // Resets are an answer too.
    socket.on('error', reject)
    socket.on('connect', () => {
      socket.resume()
      resolve({ socket, localPort: socket.localPort ?? 0, closed })
    })
  })
}

async function closedIn(closed: Promise<void>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs)
  })
  const result = await Promise.race([closed.then(() => true), late])
  clearTimeout(timer)
  return result
}

/** How many log lines from the given one on give a reason and name each peer. */
function complaints(subject: Subject, from: number): Map<unknown, number> {
  const counts = new Map<unknown, number>()
  for (const { peer, reason } of subject.log.slice(from)) {
    if (typeof reason === 'string' && reason !== '') counts.set(peer, (counts.get(peer) ?? 0) + 1)
  }
  return counts
}

/**
 * Checks the log from a line on, where the subject has one, for exactly one complaint about each peer. (From a line on, for a port
 * may have been someone else's before.)
 */
async function namedOnce(subject: Subject, from: number, localPorts: readonly number[]): Promise<void> {
  if (subject.name === 'tgt') return
  const peers = localPorts.map((port) => `127.0.0.1:${port}`)
  const except = (times: number): string[] => {
    const counts = complaints(subject, from)
    return peers.filter((peer) => (counts.get(peer) ?? 0) !== times)
  }
  await until(() => except(1).length === 0, 3000)
  assert.deepEqual(except(1), [], `peers that the log names not once:\n${subject.stderr.slice(-2000)}`)
}

/** The first login request that an ordinary initiator sends. */
function loginRequest(iqn: string): Buffer {
  const bhs = buildBhs(Op.login, { immediate: true, flags: 0x87, itt: 1, cmdSn: 1 })
  Buffer.from([0x80, 0, 0, 0, 0, 9]).copy(bhs, 8)
  const keys = { InitiatorName: 'iqn.2026-11.dev.example:cut', SessionType: 'Normal', TargetName: iqn }
  return frame(bhs, encodeText(keys), NO_DIGESTS)
}

test('hostile input', { timeout: 180_000 }, async (t) => {
  if (!requirePeers(t, 'qemu-io')) return
  const scratch = new Scratch(t)
  const random = new Seeded()
  t.diagnostic(`CYGNET_SEED=${random.seed}`)
  const subject = await startSubject(scratch, { images: [scratch.path('disk')], size: '64M' })
  const lun = subject.lun()
  await runOk(peerPath('qemu-io'), ['-f', 'raw', '-c', 'write -P 0x5a 0 1M', subject.url()])
  const logIn = async (keys: Record<string, string> = {}): Promise<RawInitiator> => {
    const initiator = await RawInitiator.open(subject.port, { target: subject.iqn, keys })
    await initiator.command([0, 0, 0, 0, 0, 0], { lun })
    return initiator
  }
  const bystander = new Bystander(await logIn(), lun)
  const atRest = subject.memory().residentBytes

  const assertAlive = (): void => {
    assert.ok(subject.isRunning, `the target died:\n${subject.stderr.slice(-4000)}`)
  }

  /** One attack as a subtest, with what must hold after each. */
  const attack = (name: string, body: () => Promise<readonly number[]>): Promise<void> =>
    t.test(name, async () => {
      const before = bystander.reads
      const from = subject.log.length
      const localPorts = await body().finally(assertAlive)
      await until(() => bystander.reads - before >= 5, 5000)
      assertAlive()
      bystander.check(before)
      const grown = subject.memory().peakBytes - atRest
      assert.ok(grown < MEMORY_LIMIT_BYTES, `memory grew by ${grown >> 20} MiB`)
      await namedOnce(subject, from, localPorts)
    })

  /** Sends bytes on new connections, sees the target close each within the time, or hangs up. Returns the local ports. */
  async function throwAt(payloads: readonly Uint8Array[], mustClose: boolean): Promise<number[]> {
    const ports: number[] = []
    for (let first = 0; first < payloads.length; first += 25) {
      const batch = payloads.slice(first, first + 25).map(async (payload) => {
        const wire = await openWire(subject.port)
        wire.socket.on('error', () => undefined)
        ports.push(wire.localPort)
        if (mustClose) wire.socket.write(payload)
        else wire.socket.end(payload)
        const closed = await closedIn(wire.closed, 5000)
        wire.socket.destroy()
        assert.ok(
          closed,
          `the target keeps the connection after ${Buffer.from(payload).toString('hex', 0, 48)}`,
        )
      })
      await Promise.all(batch)
    }
    return ports
  }

  await attack('random bytes', () =>
    throwAt(
      Array.from({ length: 100 }, () => random.bytes(random.between(1, 5000))),
      false,
    ),
  )

  await attack('a login request cut after each of its bytes', () => {
    const login = loginRequest(subject.iqn)
    return throwAt(
      Array.from({ length: login.length - 1 }, (_, index) => login.subarray(0, index + 1)),
      false,
    )
  })

  await attack('a text segment in the login phase beyond its limit of 8192 bytes', () => {
    const bhs = buildBhs(Op.login, { immediate: true, flags: 0x87, itt: 1, cmdSn: 1 })
    return throwAt([frame(bhs, Buffer.alloc(20_000, 0x41), NO_DIGESTS)], true)
  })

  await attack('a length of 16 MiB with nothing after it, before login', () => {
    const bhs = buildBhs(Op.login, { immediate: true, flags: 0x87, itt: 1, cmdSn: 1 })
    const lie = frame(bhs, Buffer.alloc(0), NO_DIGESTS, { dataSegmentLength: 0xffffff })
    return throwAt(Array<Buffer>(50).fill(lie), subject.name === 'cygnet')
  })

  await attack('a length of 16 MiB with nothing after it, in the full-feature phase', async () => {
    const liars = await Promise.all(Array.from({ length: 50 }, () => logIn()))
    return Promise.all(
      liars.map(async (liar) => {
        const port = liar.socket.localPort ?? 0
        const bhs = liar.bhs(Op.nopOut, { immediate: true, itt: liar.allocateItt(), word20: NO_TAG })
        liar.send(bhs, Buffer.alloc(0), { dataSegmentLength: 0xffffff })
        if (subject.name === 'cygnet') assert.ok(await liar.closesWithin(5000), 'the connection is ended')
        liar.close()
        return port
      }),
    )
  })

  await attack('a data segment longer than the target has declared to take', async () => {
    const liar = await logIn()
    const port = liar.socket.localPort ?? 0
    const tooMuch = Buffer.alloc(liar.negotiated.targetMaxRecvDataSegmentLength + 4)
    liar.send(liar.bhs(Op.nopOut, { immediate: true, itt: liar.allocateItt(), word20: NO_TAG }), tooMuch)
    if (subject.name === 'cygnet') assert.ok(await liar.closesWithin(5000), 'the connection is ended')
    liar.close()
    return [port]
  })

  /** Sends Data-Out that nobody asked for: it is rejected, or ends the connection; the target must not answer with R2T or status. */
  async function strayDataOut(initiator: RawInitiator, itt: number, ttt: number): Promise<number> {
    const port = initiator.socket.localPort ?? 0
    const bhs = initiator.bhs(Op.dataOut, { lun, itt, word20: ttt })
    initiator.send(bhs, Buffer.alloc(512, 0xee))
    const answer = await Promise.race([
      initiator.receive(5000).then(({ opcode }) => opcode),
      initiator.closed.then(() => 'closed' as const),
    ]).catch(() => 'closed' as const)
    if (subject.name === 'cygnet')
      assert.ok(answer === 'closed' || answer === Op.reject, `answered by ${answer}`)
    // A polite end, so that there is nothing else to complain about.
    if (answer === Op.reject) await initiator.logout()
    else initiator.close()
    return port
  }

  await attack('Data-Out for an unknown initiator task tag', async () => [
    await strayDataOut(await logIn(), 0x7777, NO_TAG),
    await strayDataOut(await logIn(), 0x7778, 5),
  ])

  await attack('Data-Out for an unknown target transfer tag', async () => {
    const initiator = await logIn()
    initiator.timeoutMs = 6000
    const itt = initiator.allocateItt()
    const asked = new Promise<number>((resolve) => {
      const options = { lun, itt, write: Buffer.alloc(8192), immediate: false }
      const write = initiator.command(rw10(0x2a, 1024, 16), {
        ...options,
        onR2t: (pdu) => {
          resolve(pdu.ttt)
          return false
        },
      })
      // It ends with the connection.
      write.catch(() => undefined)
    })
    return [await strayDataOut(initiator, itt, (await asked) ^ 0x55555555)]
  })

  await attack('a SCSI command before login', () => {
    const bhs = buildBhs(Op.scsiCommand, { flags: 0xc1, lun, itt: 1, word20: 512, cmdSn: 1 })
    rw10(0x28, 0, 1).copy(bhs, 32)
    return throwAt([frame(bhs, Buffer.alloc(0), NO_DIGESTS)], true)
  })

  await attack('a thousand connections that say nothing', async () => {
    const wires: Wire[] = []
    for (let index = 0; index < SILENT_CONNECTIONS; index++) {
      const wire = await openWire(subject.port)
      wire.socket.on('error', () => undefined)
      wires.push(wire)
    }
    // Someone new gets in nevertheless.
    await (await logIn()).logout()
    if (subject.name === 'cygnet') {
      const all = Promise.all(wires.map(({ closed }) => closed)).then(() => undefined)
      assert.ok(await closedIn(all, SILENCE_TIMEOUT_MS), 'the target gives up on each')
    }
    for (const { socket } of wires) socket.destroy()
    return wires.map(({ localPort }) => localPort)
  })

  await t.test('afterwards the disk is as it was', async () => {
    await bystander.stop()
    await runOk(peerPath('qemu-io'), [
      '-f',
      'raw',
      '-c',
      'read -P 0x5a 0 1M',
      '-c',
      'read -P 0 1M 63M',
      subject.url(),
    ])
    const { residentBytes } = subject.memory()
    t.diagnostic(`memory: ${atRest >> 20} MiB before, ${residentBytes >> 20} MiB after`)
    t.diagnostic(
      `peak ${subject.memory().peakBytes >> 20} MiB; slowest read ${bystander.slowestMs.toFixed(1)} ms`,
    )
  })
})
