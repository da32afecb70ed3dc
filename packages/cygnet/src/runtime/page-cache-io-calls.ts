import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import type koffiApi from 'koffi'
import type { KoffiFunc } from 'koffi'

type Koffi = typeof koffiApi
type Completion = (error: unknown, result: number) => void

/**
 * The system calls that Node does not offer. The synchronous ones return -1 for an error, of which `errno` tells
 * more if asked at once; of a failed asynchronous one nothing more is known.
 */
export interface SystemCalls {
  preadv2(fd: number, vectorAddress: number, count: number, offset: number, flags: number): number
  pwritev2(fd: number, vectorAddress: number, count: number, offset: number, flags: number): number
  flock(fd: number, operation: number): number
  errno(): number
  /** Where a typed array's memory begins. It stays there as long as its ArrayBuffer is not transferred. */
  addressOf(bytes: Uint8Array | Uint32Array): number
  fallocate(fd: number, mode: number, offset: number, lengthBytes: number): number
  lseek(fd: number, offset: number, whence: number): number
  /** Off this thread, as those two may wait for the disk. */
  fallocateAsync(fd: number, mode: number, offset: number, lengthBytes: number, done: Completion): void
  lseekAsync(fd: number, offset: number, whence: number, done: Completion): void
}

export interface LoadedSystemCalls {
  readonly calls: SystemCalls | undefined
  /** Why there are none, for the log. */
  readonly reason: string
}

let loaded: LoadedSystemCalls | undefined

/** Loads `koffi`, an optional dependency, once; without it everything goes through Node's own calls. */
export function loadSystemCalls(): LoadedSystemCalls {
  loaded ??= load(() => createRequire(import.meta.url)('koffi') as Koffi)
  return loaded
}

/** Exported for tests: `importKoffi` may throw. */
export function load(importKoffi: () => Koffi): LoadedSystemCalls {
  if (process.platform !== 'linux')
    return { calls: undefined, reason: 'page-cache calls exist on Linux only' }
  if (endianness() !== 'LE')
    return { calls: undefined, reason: 'page-cache calls need a little-endian machine' }
  try {
    const koffi = importKoffi()
    if (koffi.sizeof('long') !== 8)
      return { calls: undefined, reason: 'page-cache calls need a 64-bit machine' }
    return { calls: bind(koffi), reason: '' }
  } catch (error) {
    return { calls: undefined, reason: `koffi is not available: ${(error as Error).message.split('\n')[0]}` }
  }
}

type VectorCall = KoffiFunc<
  (fd: number, vectorAddress: number, count: number, offset: number, flags: number) => number
>

function bind(koffi: Koffi): SystemCalls {
  const libc = koffi.load(null)
  const vectorArguments = ['int', 'uintptr_t', 'int', 'int64_t', 'int']
  const fallocate: KoffiFunc<(fd: number, mode: number, offset: number, lengthBytes: number) => number> =
    libc.func('fallocate', 'int', ['int', 'int', 'int64_t', 'int64_t'])
  const lseek: KoffiFunc<(fd: number, offset: number, whence: number) => number> = libc.func(
    'lseek',
    'int64_t',
    ['int', 'int64_t', 'int'],
  )
  const flock: KoffiFunc<(fd: number, operation: number) => number> = libc.func('flock', 'int', [
    'int',
    'int',
  ])
  const queue = new CallQueue()
  return {
    preadv2: libc.func('preadv2', 'int64_t', vectorArguments) as VectorCall,
    pwritev2: libc.func('pwritev2', 'int64_t', vectorArguments) as VectorCall,
    flock,
    errno: () => koffi.errno(),
    addressOf: (bytes) => Number(koffi.address(bytes)),
    fallocate,
    lseek,
    fallocateAsync: (fd, mode, offset, lengthBytes, done) =>
      queue.run((ended) => fallocate.async(fd, mode, offset, lengthBytes, ended), done),
    lseekAsync: (fd, offset, whence, done) =>
      queue.run((ended) => lseek.async(fd, offset, whence, ended), done),
  }
}

/** koffi throws where more than 256 asynchronous calls wait, and each takes 256 KiB; so the others wait here. */
const CALLS_UNDER_WAY_MAX = 16

class CallQueue {
  #underWay = 0
  readonly #waiting: (() => void)[] = []

  run(start: (ended: Completion) => void, done: Completion): void {
    const call = (): void => {
      this.#underWay++
      start((error, result) => {
        this.#underWay--
        this.#waiting.shift()?.()
        done(error, result)
      })
    }
    if (this.#underWay < CALLS_UNDER_WAY_MAX) call()
    else this.#waiting.push(call)
  }
}
