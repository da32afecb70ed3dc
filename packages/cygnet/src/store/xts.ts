import { createCipheriv, createDecipheriv } from 'node:crypto'
import { assert } from '../base/assert.ts'

/** AES-256-XTS has two keys of 32 bytes. */
export const XTS_KEY_BYTES = 64
const UNIT_BYTES = 16
const UNIT_WORDS = UNIT_BYTES / 4
/** What is worked on in one go. */
const PIECE_BYTES = 64 * 1024
/** Of GF(2^128): x^128 = x^7 + x^2 + x + 1. */
const REDUCTION = 0x87

/** A cipher that needs no tweak, and so lives as long as its key. */
interface Codebook {
  update(bytes: Uint8Array): Uint8Array
}

/** Words of a piece in memory; numbers in it are little-endian, as in XTS, and on x64 and arm64. */
const words = new Uint32Array(PIECE_BYTES / 4)
const bytesOfWords = new Uint8Array(words.buffer)
const tweaks = new Uint32Array(PIECE_BYTES / 4)

/**
 * AES-256-XTS (IEEE 1619) of whole blocks, whose numbers are their tweaks. It is made of AES-256-ECB, as that serves many blocks in
 * one call: Node makes a new cipher for each tweak, which takes fifteen times as long as to encrypt 512 bytes.
 */
export class Xts {
  readonly #blockBytes: number
  readonly #encrypt: Codebook
  readonly #decrypt: Codebook
  readonly #tweak: Codebook

  /** `blockBytes`: a power of two from 16 to 64 KiB. */
  constructor(key: Uint8Array, blockBytes: number) {
    assert(key.length === XTS_KEY_BYTES, `a key of ${key.length} bytes`)
    assert(blockBytes <= PIECE_BYTES, `blocks of ${blockBytes} bytes`)
    const [dataKey, tweakKey] = [key.subarray(0, XTS_KEY_BYTES / 2), key.subarray(XTS_KEY_BYTES / 2)]
    this.#blockBytes = blockBytes
    this.#encrypt = createCipheriv('aes-256-ecb', dataKey, null).setAutoPadding(false)
    this.#decrypt = createDecipheriv('aes-256-ecb', dataKey, null).setAutoPadding(false)
    this.#tweak = createCipheriv('aes-256-ecb', tweakKey, null).setAutoPadding(false)
  }

  /** In place, from this block on. */
  encrypt(bytes: Uint8Array, firstBlock: number): void {
    this.#change(bytes, firstBlock, this.#encrypt)
  }

  decrypt(bytes: Uint8Array, firstBlock: number): void {
    this.#change(bytes, firstBlock, this.#decrypt)
  }

  #change(bytes: Uint8Array, firstBlock: number, codebook: Codebook): void {
    let block = firstBlock
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES)
      const blocks = piece.length / this.#blockBytes
      this.#prepareTweaks(block, blocks)
      block += blocks
      const unpadded = bytesOfWords.subarray(0, piece.length)
      unpadded.set(piece)
      mask(piece.length / 4)
      unpadded.set(codebook.update(unpadded))
      mask(piece.length / 4)
      piece.set(unpadded)
    }
  }

  /** A block's first tweak is its encrypted number; each following one is the one before, times x. */
  #prepareTweaks(firstBlock: number, blocks: number): void {
    for (let i = 0; i < blocks; i++) {
      const number = firstBlock + i
      words[UNIT_WORDS * i] = number >>> 0
      words[UNIT_WORDS * i + 1] = Math.floor(number / 2 ** 32)
      words[UNIT_WORDS * i + 2] = 0
      words[UNIT_WORDS * i + 3] = 0
    }
    bytesOfWords.set(this.#tweak.update(bytesOfWords.subarray(0, UNIT_BYTES * blocks)))
    const units = this.#blockBytes / UNIT_BYTES
    let at = 0
    for (let i = 0; i < blocks; i++) {
      let a = words[UNIT_WORDS * i] ?? 0
      let b = words[UNIT_WORDS * i + 1] ?? 0
      let c = words[UNIT_WORDS * i + 2] ?? 0
      let d = words[UNIT_WORDS * i + 3] ?? 0
      for (let unit = 0; unit < units; unit++) {
        tweaks[at++] = a
        tweaks[at++] = b
        tweaks[at++] = c
        tweaks[at++] = d
        const carry = d >>> 31
        d = (d << 1) | (c >>> 31)
        c = (c << 1) | (b >>> 31)
        b = (b << 1) | (a >>> 31)
        a = (a << 1) ^ (carry === 0 ? 0 : REDUCTION)
      }
    }
  }
}

/** What is in `words`, with the tweaks over it. */
function mask(count: number): void {
  for (let i = 0; i < count; i++) words[i] = (words[i] ?? 0) ^ (tweaks[i] ?? 0)
}
