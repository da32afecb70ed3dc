import { createCipheriv, createDecipheriv } from 'node:crypto'
import { assert } from '../base/assert.ts'
import type { BackingStore, Done, Geometry, StoreCapabilities } from './backing-store.ts'
import { FilterStore } from './filter.ts'

/** AES-256-XTS has two keys of 32 bytes. */
export const ENCRYPTION_KEY_BYTES = 64
const ALGORITHM = 'aes-256-xts'
const TWEAK_BYTES = 16

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
  #key: Uint8Array

  constructor(inner: BackingStore, options: EncryptionOptions) {
    super(inner)
    assert(options.key.length === ENCRYPTION_KEY_BYTES, `a key of ${options.key.length} bytes`)
    this.#options = options
    this.#key = options.key
    this.#hole = new Uint8Array(options.blockBytes)
    this.can = { ...inner.can, renewKey: true }
  }

  override get geometry(): Geometry {
    return { ...this.inner.geometry, alignmentBytes: this.#options.blockBytes }
  }

  override read(into: Uint8Array, offset: number, done: Done): void {
    // Of the time of the request: a key that is renewed meanwhile is not that of the bytes.
    const key = this.#key
    this.inner.read(into, offset, (error) => {
      if (!error) this.#eachBlock(into, offset, (block, tweak) => decrypt(block, key, tweak))
      done(error)
    })
  }

  override write(slices: readonly Uint8Array[], offset: number, flags: number, done: Done): void {
    const bytes = Uint8Array.from(Buffer.concat(slices))
    this.#eachBlock(bytes, offset, (block, tweak) => encrypt(block, this.#key, tweak), true)
    this.inner.write([bytes], offset, flags, done)
  }

  #eachBlock(
    bytes: Uint8Array,
    offset: number,
    change: (block: Uint8Array, tweak: Uint8Array) => void,
    withHoles = false,
  ): void {
    const { blockBytes } = this.#options
    assert(offset % blockBytes === 0 && bytes.length % blockBytes === 0, 'part of an encrypted block')
    const tweak = new Uint8Array(TWEAK_BYTES)
    const view = new DataView(tweak.buffer)
    for (let at = 0; at < bytes.length; at += blockBytes) {
      const block = bytes.subarray(at, at + blockBytes)
      if (!withHoles && Buffer.compare(block, this.#hole) === 0) continue
      view.setBigUint64(0, BigInt((offset + at) / blockBytes), true)
      change(block, tweak)
    }
  }

  renewKey(done: Done): void {
    const { randomBytes, saveKey } = this.#options
    const key = randomBytes(ENCRYPTION_KEY_BYTES)
    saveKey(key, (error) => {
      if (!error) this.#key = key
      done(error)
    })
  }
}

const encrypt = (block: Uint8Array, key: Uint8Array, tweak: Uint8Array): void =>
  block.set(createCipheriv(ALGORITHM, key, tweak).update(block))

const decrypt = (block: Uint8Array, key: Uint8Array, tweak: Uint8Array): void =>
  block.set(createDecipheriv(ALGORITHM, key, tweak).update(block))
