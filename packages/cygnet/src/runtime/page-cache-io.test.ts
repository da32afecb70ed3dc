import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pattern } from '../store/contract.test-helper.ts'
import { PageCache, WriteGuard } from './page-cache-io.ts'
import { TurnBudget } from './page-cache-io-budget.ts'
import type { SystemCalls } from './page-cache-io-calls.ts'
import { load, loadSystemCalls } from './page-cache-io-calls.ts'

const RWF_NOWAIT = 8
const EAGAIN = 11
const EOPNOTSUPP = 95
const EXT4 = 0xef53
const XFS = 0x58465342
const TMPFS = 0x01021994

/** A kernel whose answers are functions; its memory is the typed arrays whose addresses were asked for. */
class FakeCalls implements SystemCalls {
  readonly calls: string[] = []
  #errno = 0
  #nextAddress = 0x7f00_0000_0000
  #vector: Uint32Array | undefined
  answer = (_call: string, lengthBytes: number, _flags: number): number => lengthBytes

  addressOf(bytes: Uint8Array | Uint32Array): number {
    if (bytes instanceof Uint32Array) this.#vector = bytes
    this.calls.push(`address ${bytes.byteLength}`)
    this.#nextAddress += 0x1_0000_0000
    return this.#nextAddress
  }

  /** The iovec as pairs of address and length. */
  vector(count: number): [number, number][] {
    const words = this.#vector ?? new Uint32Array(0)
    return Array.from({ length: count }, (_, i) => [
      (words[i * 4] ?? 0) + (words[i * 4 + 1] ?? 0) * 2 ** 32,
      (words[i * 4 + 2] ?? 0) + (words[i * 4 + 3] ?? 0) * 2 ** 32,
    ])
  }

  readonly preadv2 = (_fd: number, _vector: number, count: number, offset: number, flags: number): number =>
    this.#transfer('read', count, offset, flags)
  readonly pwritev2 = (_fd: number, _vector: number, count: number, offset: number, flags: number): number =>
    this.#transfer('write', count, offset, flags)

  errno(): number {
    return this.#errno
  }

  flock(): number {
    return 0
  }

  fallocate(): number {
    return 0
  }

  lseek(): number {
    return 0
  }

  fallocateAsync(): never {
    throw new Error('not part of this test')
  }

  lseekAsync(): never {
    throw new Error('not part of this test')
  }

  #transfer(call: string, count: number, offset: number, flags: number): number {
    const lengthBytes = this.vector(count).reduce((sum, [, length]) => sum + length, 0)
    this.calls.push(`${call} ${offset}+${lengthBytes} flags ${flags}`)
    const result = this.answer(call, lengthBytes, flags)
    if (result >= 0) return result
    this.#errno = -result
    return -1
  }
}

function setUp(fileSystemType: number, answer?: FakeCalls['answer'], maxBytes = 1 << 30) {
  const calls = new FakeCalls()
  if (answer) calls.answer = answer
  let nowMs = 0
  const turnEnds: (() => void)[] = []
  const atTurnEnd = (run: () => void): void => void turnEnds.push(run)
  const cache = new PageCache(calls, {
    now: () => nowMs,
    readBudget: new TurnBudget(maxBytes, () => undefined),
    writeBudget: new TurnBudget(1, atTurnEnd),
  })
  const file = cache.attach(3, 'file', fileSystemType)
  calls.calls.length = 0
  const advance = (ms: number): void => {
    nowMs += ms
  }
  const endTurn = (): void => turnEnds.splice(0).forEach((run) => run())
  return { calls, file, advance, endTurn }
}

const page = pattern(4096, 1)
const refuseNowaitWrites: FakeCalls['answer'] = (call, lengthBytes, flags) =>
  call === 'write' && flags === RWF_NOWAIT ? -EOPNOTSUPP : lengthBytes

const refuseNowait: FakeCalls['answer'] = (_call, lengthBytes, flags) =>
  flags === RWF_NOWAIT ? -EOPNOTSUPP : lengthBytes
const writesTo = (calls: FakeCalls): string[] => calls.calls.filter((call) => call.startsWith('write'))

describe('reading from the page cache', () => {
  test('the iovec points at the view, wherever in its buffer it lies', () => {
    const { calls, file } = setUp(EXT4)
    const buffer = new ArrayBuffer(10_000)
    assert.equal(file.read(new Uint8Array(buffer, 0, 100), 0), 100)
    const [[base, length] = [0, 0]] = calls.vector(1)
    assert.equal(length, 100)
    assert.equal(file.read(new Uint8Array(buffer, 777, 4096), 8192), 4096)
    assert.deepEqual(calls.vector(1), [[base + 777, 4096]])
  })

  test('the address of a buffer is looked up once', () => {
    const { calls, file } = setUp(EXT4)
    const buffer = new ArrayBuffer(10_000)
    for (let i = 0; i < 5; i++) file.read(new Uint8Array(buffer, i, 1), 0)
    assert.equal(calls.calls.filter((call) => call.startsWith('address')).length, 1)
  })

  test('what is cached of a range is told, nothing where none is', () => {
    const answers = [100, 0, -EAGAIN, -5]
    const { file } = setUp(EXT4, (_call, lengthBytes) => (lengthBytes === 1 ? 1 : (answers.shift() ?? 0)))
    assert.deepEqual(
      [1, 2, 3, 4].map(() => file.read(new Uint8Array(512), 0)),
      [100, 0, 0, 0],
    )
  })

  test('a file system without RWF_NOWAIT is not asked again, a memory file system is read plainly', () => {
    const other = setUp(XFS, refuseNowait)
    assert.equal(other.file.read(new Uint8Array(512), 0), 0)
    assert.deepEqual(other.calls.calls, [])
    const memory = setUp(TMPFS, refuseNowait)
    assert.equal(memory.file.read(new Uint8Array(512), 0), 512)
    assert.equal(memory.calls.calls.at(-1), 'read 0+512 flags 0')
  })

  test('nothing cached at the first byte does not rule the file out', () => {
    let first = true
    const { file } = setUp(EXT4, (_call, lengthBytes) => {
      const result = first ? -EAGAIN : lengthBytes
      first = false
      return result
    })
    assert.equal(file.read(new Uint8Array(512), 0), 512)
  })

  test('a file that misses again and again is tried at every eighth read, until one hits', () => {
    let cached = false
    const { calls, file } = setUp(EXT4, (_call, lengthBytes) =>
      cached || lengthBytes === 1 ? lengthBytes : -EAGAIN,
    )
    const read = (times: number): number => {
      calls.calls.length = 0
      for (let i = 0; i < times; i++) file.read(new Uint8Array(512), 0)
      return calls.calls.filter((call) => call.startsWith('read')).length
    }
    assert.equal(read(8), 8)
    assert.equal(read(32), 4)
    cached = true
    assert.equal(read(8), 1)
    assert.equal(read(8), 8)
    cached = false
    assert.equal(read(8), 8)
    assert.equal(read(7), 0)
  })

  test('a very large read is left to the thread pool', () => {
    const { file } = setUp(EXT4)
    assert.equal(file.read(new Uint8Array(512 * 1024), 0), 512 * 1024)
    assert.equal(file.read(new Uint8Array(512 * 1024 + 1), 0), 0)
  })
})

describe('writing to the page cache', () => {
  test('a file system that takes RWF_NOWAIT writes gets them', () => {
    const { calls, file } = setUp(XFS)
    assert.equal(file.write([page], 4096, 8192), 4096)
    assert.deepEqual(writesTo(calls), ['write 8192+4096 flags 8'])
  })

  test('a local file system that refuses RWF_NOWAIT is written plainly from then on', () => {
    const { calls, file } = setUp(EXT4, refuseNowaitWrites)
    assert.deepEqual([file.write([page], 4096, 0), file.write([page], 4096, 0)], [0, 4096])
    assert.deepEqual(writesTo(calls), ['write 0+4096 flags 8', 'write 0+4096 flags 0'])
  })

  test('any other that refuses it is left to the thread pool', () => {
    const { calls, file } = setUp(0x6969, refuseNowaitWrites)
    for (let i = 0; i < 3; i++) assert.equal(file.write([page], 4096, 0), 0)
    assert.equal(writesTo(calls).length, 1)
  })

  test('a write that would block is left to the thread pool, the next one is tried', () => {
    const answers = [-EAGAIN, 4096]
    const { file } = setUp(XFS, (call) => (call === 'write' ? (answers.shift() ?? 0) : 1))
    assert.deepEqual([file.write([page], 4096, 0), file.write([page], 4096, 0)], [0, 4096])
  })

  test('parts of pages, large writes and very many slices are left to the thread pool', () => {
    const { calls, file } = setUp(XFS)
    assert.equal(file.write([page], 4096, 512), 0)
    assert.equal(file.write([page.subarray(0, 512)], 512, 0), 0)
    assert.equal(file.write([new Uint8Array(68 * 1024)], 68 * 1024, 0), 0)
    const slices = Array.from({ length: 64 }, (_, i) => page.subarray(i * 64, (i + 1) * 64))
    assert.equal(file.write(slices, 4096, 0), 0)
    assert.deepEqual(calls.calls, [])
  })

  test('the slices follow one another in the iovec, without the empty ones', () => {
    const { calls, file } = setUp(XFS)
    const slices = [page.subarray(0, 1000), page.subarray(5, 5), page.subarray(1000)]
    assert.equal(file.write(slices, 4096, 0), 4096)
    const [[base] = [0]] = calls.vector(1)
    assert.deepEqual(calls.vector(2), [
      [base, 1000],
      [base + 1000, 3096],
    ])
  })

  test('after a slow write the inline ones pause', () => {
    const { calls, file, advance, endTurn } = setUp(XFS, (call, lengthBytes) => {
      if (call === 'write') advance(slowMs)
      return lengthBytes
    })
    let slowMs = 50
    assert.equal(file.write([page], 4096, 0), 4096)
    slowMs = 0
    endTurn()
    advance(90)
    assert.equal(file.write([page], 4096, 0), 0)
    advance(20)
    assert.equal(file.write([page], 4096, 0), 4096)
    assert.equal(writesTo(calls).length, 2)
  })
})

const setUpGuard = () => {
  const clock = { nowMs: 0 }
  const guard = new WriteGuard(() => clock.nowMs, new TurnBudget(Infinity))
  const write = (durationMs: number): boolean => {
    if (!guard.begin()) return false
    clock.nowMs += durationMs
    guard.end()
    return true
  }
  /** Milliseconds until a write is let in again, to within 100. */
  const pauseMs = (): number => {
    const fromMs = clock.nowMs
    while (!guard.begin()) clock.nowMs += 100
    return clock.nowMs - fromMs
  }
  return { clock, write, pauseMs }
}

describe('write guard', () => {
  test('each slow write doubles the pause, to half a minute at most, and a good while forgets it', () => {
    const { clock, write, pauseMs } = setUpGuard()
    const pauses: number[] = []
    for (let i = 0; i < 11; i++) {
      assert.ok(write(5))
      pauses.push(pauseMs())
    }
    assert.deepEqual(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000])
    clock.nowMs += 301_000
    assert.ok(write(5))
    assert.equal(pauseMs(), 100)
  })

  test('writes that are fast enough never pause', () => {
    const { write } = setUpGuard()
    for (let i = 0; i < 100; i++) assert.ok(write(4.9))
  })

  test('a turn’s time for writes is spent only once', () => {
    const clock = { nowMs: 0 }
    const turnEnds: (() => void)[] = []
    const budget = new TurnBudget(0.1, (run) => turnEnds.push(run))
    const guards = [new WriteGuard(() => clock.nowMs, budget), new WriteGuard(() => clock.nowMs, budget)]
    const begun = (): boolean[] =>
      guards.map((guard) => {
        const begins = guard.begin()
        clock.nowMs += 0.06
        if (begins) guard.end()
        return begins
      })
    assert.deepEqual(begun(), [true, true])
    assert.deepEqual(begun(), [false, false])
    turnEnds.shift()?.()
    assert.deepEqual(begun(), [true, true])
  })
})

describe('turn budget', () => {
  test('what a turn may do is bounded, and renewed at its end', () => {
    const turnEnds: (() => void)[] = []
    const budget = new TurnBudget(100, (run) => turnEnds.push(run))
    budget.charge(40)
    budget.charge(40)
    assert.deepEqual([budget.has(21), budget.has(20), budget.has(0)], [false, true, true])
    assert.equal(turnEnds.length, 1)
    budget.charge(21)
    assert.equal(budget.has(0), false)
    assert.equal(turnEnds.length, 1)
    turnEnds.shift()?.()
    assert.equal(budget.has(100), true)
  })

  test('light load asks for no immediate', () => {
    let asked = 0
    const budget = new TurnBudget(100, () => asked++)
    for (let i = 0; i < 5; i++) budget.charge(10)
    assert.equal(asked, 0)
    budget.charge(1)
    budget.charge(1)
    assert.equal(asked, 1)
  })

  test('the event loop renews it', async () => {
    const budget = new TurnBudget(100)
    budget.charge(100)
    assert.equal(budget.has(1), false)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(budget.has(100), true)
  })

  test('reads beyond it are left to the thread pool, small ones count as a page', () => {
    const { file } = setUp(XFS, undefined, 12_288)
    assert.equal(file.read(new Uint8Array(512), 0), 512)
    assert.equal(file.read(new Uint8Array(4096), 0), 4096)
    assert.equal(file.read(new Uint8Array(8192), 0), 0)
    assert.equal(file.read(new Uint8Array(1), 0), 1)
    assert.equal(file.read(new Uint8Array(1), 0), 0)
  })

  test('writes beyond it are left to the thread pool', () => {
    const { file, advance } = setUp(XFS, (call, lengthBytes) => {
      if (call === 'write') advance(0.6)
      return lengthBytes
    })
    const written = [1, 2, 3].map(() => file.write([page], 4096, 0))
    assert.deepEqual(written, [4096, 4096, 0])
  })
})

describe('loading the system calls', () => {
  test('without koffi there are none, and a reason for the log', () => {
    const { calls, reason } = load(() => {
      throw new Error("Cannot find package 'koffi'\nRequire stack:")
    })
    assert.equal(calls, undefined)
    assert.equal(reason, "koffi is not available: Cannot find package 'koffi'")
  })

  test('more asynchronous calls than koffi queues all complete', async () => {
    const { calls, reason } = loadSystemCalls()
    assert.ok(calls, reason)
    const results = await Promise.all(
      Array.from(
        { length: 1000 },
        () =>
          new Promise<number>((resolve) => calls.lseekAsync(-1, 0, 0, (_error, result) => resolve(result))),
      ),
    )
    assert.ok(results.every((result) => result === -1))
  })
})
