import type { Done } from '../store/backing-store.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { Operation } from './operation.ts'

/** One pass over the whole medium: bytes that repeat from block to block, or zeroes, whose space may be released. */
export type Pass =
  | { readonly kind: 'pattern'; readonly block: Uint8Array }
  | { readonly kind: 'zero'; readonly mayTrim: boolean }
  | { readonly kind: 'new-key' }

/** Piece of a pattern, of which there is one for each unit. */
const PATTERN_BYTES = 1024 * 1024

/** Zeroes take no memory here, so that only the time between two looks at `stop` bounds a piece. */
const ZERO_BYTES = 64 * 1024 * 1024

/**
 * Goes over the whole medium, pass after pass, and makes it durable: the work of SANITIZE and FORMAT UNIT. It is no
 * task's own, so nothing that ends tasks ends it. It has an operation of its own, to hold an exclusive lock on the medium:
 * whatever else writes has written before, or waits.
 */
export class WholeMediumJob {
  readonly #medium: DiskMedium
  readonly #op: Operation
  #passes: readonly Pass[] = []
  #pass = 0
  #finished: Done | undefined
  #stopped: (() => void) | undefined

  /** `op`: for this alone. */
  constructor(medium: DiskMedium, op: Operation) {
    this.#medium = medium
    this.#op = op
  }

  get isRunning(): boolean {
    return this.#finished !== undefined
  }

  /** In 65536ths, never all of them while it runs. */
  get progress(): number {
    const total = this.#passes.length * this.#medium.sizeBytes
    const done = this.#pass * this.#medium.sizeBytes + this.#op.position
    return total === 0 ? 0 : Math.min(65_535, Math.floor((done / total) * 65_536))
  }

  /** Begins, when no writing command is under way any more. */
  start(passes: readonly Pass[], finished: Done): void {
    const op = this.#op
    this.#passes = passes
    this.#pass = 0
    this.#finished = finished
    op.error = undefined
    op.position = 0
    op.offset = 0
    op.lengthBytes = this.#medium.sizeBytes
    this.#medium.locks.acquire(op, 'exclusive', this.#next)
  }

  /** Stops where it is, for good: the store is about to close. */
  stop(stopped: () => void): void {
    if (this.isRunning) this.#stopped = stopped
    else stopped()
  }

  readonly #next = (op: Operation): void => {
    if (op.error || this.#stopped) return this.#end(op)
    const pass = this.#passes[this.#pass]
    if (pass === undefined) {
      op.awaitStore(this.#flushed)
      return this.#medium.store.flush(op.done)
    }
    if (op.position === this.#medium.sizeBytes) return this.#nextPass(op)
    const { store } = this.#medium
    const rest = this.#medium.sizeBytes - op.position
    op.awaitStore(this.#advance)
    if (pass.kind === 'new-key') {
      op.stepBytes = rest
      return store.renewKey ? store.renewKey(op.done) : op.done({ failure: 'medium' })
    }
    if (pass.kind === 'zero') {
      op.stepBytes = Math.min(rest, ZERO_BYTES)
      return store.zero(op.position, op.stepBytes, pass.mayTrim, op.done)
    }
    op.buffer ??= this.#filled(pass.block)
    op.stepBytes = Math.min(rest, PATTERN_BYTES)
    store.write([op.buffer.bytes.subarray(0, op.stepBytes)], op.position, 0, op.done)
  }

  #filled(block: Uint8Array): NonNullable<Operation['buffer']> {
    const buffer = this.#medium.pool.take(PATTERN_BYTES)
    for (let at = 0; at < PATTERN_BYTES; at += block.length) buffer.bytes.set(block, at)
    return buffer
  }

  readonly #advance = (op: Operation): void => {
    op.position += op.stepBytes
    this.#next(op)
  }

  #nextPass(op: Operation): void {
    this.#dropBuffer(op)
    this.#pass++
    op.position = 0
    this.#next(op)
  }

  readonly #flushed = (op: Operation): void => this.#end(op)

  #end(op: Operation): void {
    const { error } = op
    const finished = this.#finished
    const stopped = this.#stopped
    this.#finished = undefined
    this.#dropBuffer(op)
    op.phase = 'idle'
    this.#medium.locks.release(op)
    if (stopped) stopped()
    else finished?.(error)
  }

  #dropBuffer(op: Operation): void {
    op.buffer?.release()
    op.buffer = undefined
  }
}
