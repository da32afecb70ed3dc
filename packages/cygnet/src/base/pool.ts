import { assert } from './assert.ts'
import { viewOf } from './bytes.ts'

/**
 * A block of memory with a reference count: the taker holds one reference, everyone who keeps a view of the bytes
 * holds another, and the block returns to its pool when the last is released.
 */
export class PooledBuffer {
  /** The whole block; at least as long as was asked for. */
  readonly bytes: Uint8Array
  /** One view for the life of the block (a view of each field costs more than the field). */
  readonly view: DataView
  readonly #pool: BufferPool
  #references = 0

  constructor(pool: BufferPool, capacityBytes: number) {
    this.#pool = pool
    // A block of its own: never a slice of Node's shared 8 KiB slab.
    this.bytes = new Uint8Array(new ArrayBuffer(capacityBytes))
    this.view = viewOf(this.bytes)
  }

  get references(): number {
    return this.#references
  }

  retain(): this {
    assert(this.#references > 0, 'a released buffer was retained')
    this.#references++
    return this
  }

  release(): void {
    assert(this.#references > 0, 'a buffer was released twice')
    if (--this.#references === 0) this.#pool.give(this)
  }

  /** For the pool only: the first reference. */
  lend(): this {
    assert(this.#references === 0, 'a buffer in use was lent')
    this.#references = 1
    return this
  }
}

export interface BufferPoolOptions {
  /** Bytes kept idle for reuse, over all sizes; what is returned beyond it goes to the garbage collector. Default 64 MiB. */
  readonly keepBytes?: number
  /** Fill returned blocks with 0xDB, so that a use after release shows. For tests. */
  readonly poison?: boolean
}

const SMALLEST_LOG2 = 12 // 4 KiB
const LARGEST_LOG2 = 25 // 32 MiB

/** Blocks of power-of-two sizes, 4 KiB to 32 MiB, reused last in, first out. */
export class BufferPool {
  readonly #free: PooledBuffer[][] = []
  readonly #keepBytes: number
  readonly #poison: boolean
  #idleBytes = 0
  #inUse = 0
  #inUseBytes = 0

  constructor(options: BufferPoolOptions = {}) {
    this.#keepBytes = options.keepBytes ?? 64 * 1024 * 1024
    this.#poison = options.poison ?? false
    for (let i = SMALLEST_LOG2; i <= LARGEST_LOG2; i++) this.#free.push([])
  }

  /** Blocks lent and not yet returned; zero at rest. */
  get inUse(): number {
    return this.#inUse
  }

  get inUseBytes(): number {
    return this.#inUseBytes
  }

  /** A block of at least `lengthBytes` (1..32 MiB), its content undefined. */
  take(lengthBytes: number): PooledBuffer {
    const log2 = Math.max(SMALLEST_LOG2, 32 - Math.clz32(lengthBytes - 1))
    if (lengthBytes <= 0 || log2 > LARGEST_LOG2) assert(false, `no buffer of ${lengthBytes} bytes`)
    const idle = this.#free[log2 - SMALLEST_LOG2]?.pop()
    const buffer = idle ?? new PooledBuffer(this, 2 ** log2)
    if (idle) this.#idleBytes -= idle.bytes.length
    this.#inUse++
    this.#inUseBytes += buffer.bytes.length
    return buffer.lend()
  }

  /** Called by the last `release()`. */
  give(buffer: PooledBuffer): void {
    this.#inUse--
    this.#inUseBytes -= buffer.bytes.length
    if (this.#poison) buffer.bytes.fill(0xdb)
    if (this.#idleBytes + buffer.bytes.length > this.#keepBytes) return
    this.#idleBytes += buffer.bytes.length
    this.#free[31 - Math.clz32(buffer.bytes.length) - SMALLEST_LOG2]?.push(buffer)
  }
}
