import { get8 } from '../scsi/fields.ts'

/** Which bits are set afterwards: those of either side, or those that differ. */
export type Combination = 'or' | 'exclusive-or'

const WORD_BYTES = 4

/** Combines `bytes` in place with a list of slices that is as long: by words, as one transfer may have 16 MiB. */
export function combineBytes(
  bytes: Uint8Array,
  slices: readonly Uint8Array[],
  combination: Combination,
): void {
  let at = 0
  for (const slice of slices) {
    const done = combineWords(bytes, at, slice, combination)
    for (let i = done; i < slice.length; i++) {
      bytes[at + i] = combine(get8(bytes, at + i), get8(slice, i), combination)
    }
    at += slice.length
  }
}

/** How many bytes of the slice it did: all whole words, or none where its place in `bytes` does not begin at a word. */
function combineWords(bytes: Uint8Array, at: number, slice: Uint8Array, combination: Combination): number {
  const count = Math.floor(slice.length / WORD_BYTES)
  if (count === 0 || (bytes.byteOffset + at) % WORD_BYTES !== 0) return 0
  // A copy begins at a word.
  const { buffer, byteOffset } = slice.byteOffset % WORD_BYTES === 0 ? slice : slice.slice()
  const from = new Uint32Array(buffer, byteOffset, count)
  const to = new Uint32Array(bytes.buffer, bytes.byteOffset + at, count)
  // One loop for each: asked at every word, the question would cost more than the answer.
  if (combination === 'or') for (let i = 0; i < count; i++) to[i] = (to[i] ?? 0) | (from[i] ?? 0)
  else for (let i = 0; i < count; i++) to[i] = (to[i] ?? 0) ^ (from[i] ?? 0)
  return count * WORD_BYTES
}

const combine = (a: number, b: number, combination: Combination): number =>
  combination === 'or' ? a | b : a ^ b
