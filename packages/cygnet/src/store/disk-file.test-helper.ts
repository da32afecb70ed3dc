import type { Done, Extent, StoreError } from './backing-store.ts'
import type { DiskFile, DiskIO } from './disk-io.ts'

/** One call that a `FakeDiskFile` has not answered yet. */
export interface PendingCall {
  readonly call: string
  answer(error?: StoreError): void
}

/**
 * A disk in an array, whose calls are answered at once, or in `manual` mode when the test says so. A write changes
 * the bytes when it is answered.
 */
export class FakeDiskFile implements DiskFile {
  readonly kind = 'file'
  readonly sizeBytes: number
  readonly blockBytes: number
  readonly canPunchHoles: boolean
  readonly canSeekHoles = false
  readonly bytes: Uint8Array
  /** Every call so far, as text: `write 0+4096`. */
  readonly calls: string[] = []
  readonly pending: PendingCall[] = []
  manual = false

  constructor(options: { sizeBytes: number; blockBytes?: number; canPunchHoles?: boolean }) {
    this.sizeBytes = options.sizeBytes
    this.blockBytes = options.blockBytes ?? 4096
    this.canPunchHoles = options.canPunchHoles ?? true
    this.bytes = new Uint8Array(options.sizeBytes)
  }

  read(into: Uint8Array, offset: number, done: Done): void {
    this.#do(`read ${offset}+${into.length}`, done, () =>
      into.set(this.bytes.subarray(offset, offset + into.length)),
    )
  }

  write(slices: readonly Uint8Array[], offset: number, done: Done): void {
    const whole = Buffer.concat(slices)
    this.#do(`write ${offset}+${whole.length}`, done, () => this.bytes.set(whole, offset))
  }

  sync(done: Done): void {
    this.#do('sync', done, () => undefined)
  }

  punchHole(offset: number, lengthBytes: number, done: Done): void {
    this.#do(`punch ${offset}+${lengthBytes}`, done, () => this.bytes.fill(0, offset, offset + lengthBytes))
  }

  extents(
    _offset: number,
    _lengthBytes: number,
    _done: (error: undefined, extents: readonly Extent[]) => void,
  ): never {
    throw new Error('this disk cannot seek holes')
  }

  close(done: Done): void {
    this.#do('close', done, () => undefined)
  }

  #do(call: string, done: Done, effect: () => void): void {
    this.calls.push(call)
    const answer = (error?: StoreError): void => {
      this.pending.splice(
        this.pending.findIndex((pending) => pending.answer === answer),
        1,
      )
      if (error === undefined) effect()
      done(error)
    }
    this.pending.push({ call, answer })
    if (!this.manual) answer()
  }
}

/** A disk port on which every path is this file. */
export const ioOf = (file: DiskFile): DiskIO => ({ open: (_path, _options, done) => done(undefined, file) })
