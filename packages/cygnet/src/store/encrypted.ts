import { assert } from '../base/assert.ts'
import type { BackingStore, Done, Geometry, StoreCapabilities } from './backing-store.ts'
import { FilterStore } from './filter.ts'
import { Xts, XTS_KEY_BYTES } from './xts.ts'

export const ENCRYPTION_KEY_BYTES = XTS_KEY_BYTES

export interface EncryptionOptions {
  /** Unit of encryption, and of every read and write: a power of two from 512. */
  readonly blockBytes: number
  readonly key: Uint8Array
  /** Random bytes, of which nobody can guess one. */
  readonly randomBytes: (lengthBytes: number) => Uint8Array
  /** Puts a key in the place of the one before, on stable storage, such that the old one cannot be had any more. */
  readonly saveKey: (key: Uint8Array, done: Done) => void
}

/**
 * A filter that keeps everything encrypted (AES-256-XTS, IEEE 1619, a block's number is its tweak). A block of zeroes below
 * is one that was never written, and reads as zeroes: no block that was encrypted looks like that, but for one in 2^4096.
 * With the key, all that was written is gone.
 */
export class EncryptedStore extends FilterStore {
  override readonly can: StoreCapabilities
  readonly #options: EncryptionOptions
  readonly #hole: Uint8Array
  #cipher: Xts

  constructor(inner: BackingStore, options: EncryptionOptions) {
    super(inner)
    this.#options = options
    this.#cipher = new Xts(options.key, options.blockBytes)
    this.#hole = new Uint8Array(options.blockBytes)
    this.can = { ...inner.can, renewKey: true }
  }

  override get geometry(): Geometry {
    return { ...this.inner.geometry, alignmentBytes: this.#options.blockBytes }
  }

  override read(into: Uint8Array, offset: number, done: Done): void {
    const first = this.#blockAt(offset, into.length)
    // Of the time of the request: a key that is renewed meanwhile is not that of the bytes.
    const cipher = this.#cipher
    this.inner.read(into, offset, (error) => {
      if (!error) this.#decrypt(into, first, cipher)
      done(error)
    })
  }

  override write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    let lengthBytes = 0
    for (const slice of slices) lengthBytes += slice.length
    const first = this.#blockAt(offset, lengthBytes)
    const bytes = new Uint8Array(lengthBytes)
    let at = 0
    for (const slice of slices) {
      bytes.set(slice, at)
      at += slice.length
    }
    this.#cipher.encrypt(bytes, first)
    this.inner.write([bytes], offset, flags, done)
  }

  #blockAt(offset: number, lengthBytes: number): number {
    const { blockBytes } = this.#options
    assert(offset % blockBytes === 0 && lengthBytes % blockBytes === 0, 'part of an encrypted block')
    return offset / blockBytes
  }

  /** Run after run of blocks that were written. */
  #decrypt(bytes: Uint8Array, first: number, cipher: Xts): void {
    const { blockBytes } = this.#options
    let run = 0
    for (let at = 0; at <= bytes.length; at += blockBytes) {
      const isWritten =
        at < bytes.length && Buffer.compare(bytes.subarray(at, at + blockBytes), this.#hole) !== 0
      if (isWritten) continue
      if (at > run) cipher.decrypt(bytes.subarray(run, at), first + run / blockBytes)
      run = at + blockBytes
    }
  }

  renewKey(done: Done): void {
    const { randomBytes, saveKey } = this.#options
    const key = randomBytes(ENCRYPTION_KEY_BYTES)
    saveKey(key, (error) => {
      if (!error) this.#cipher = new Xts(key, this.#options.blockBytes)
      done(error)
    })
  }
}
