/**
 * Compares a list of slices, from byte `from` of the whole, with `piece`. The index in `piece` of the first byte that
 * differs, or -1. The slices reach at least to the end of the piece.
 */
export function compareBytes(slices: readonly Uint8Array[], from: number, piece: Uint8Array): number {
  let sliceStart = 0
  let at = 0
  for (const slice of slices) {
    const begin = from + at - sliceStart
    if (begin < slice.length) {
      const lengthBytes = Math.min(slice.length - begin, piece.length - at)
      const differsAt = firstDifference(slice, begin, piece, at, lengthBytes)
      if (differsAt >= 0) return at + differsAt
      at += lengthBytes
      if (at === piece.length) break
    }
    sliceStart += slice.length
  }
  return -1
}

/** Compares every block of `piece` with the one block that the slices hold. */
export function repeats(slices: readonly Uint8Array[], blockBytes: number, piece: Uint8Array): number {
  for (let at = 0; at < piece.length; at += blockBytes) {
    const differsAt = compareBytes(slices, 0, piece.subarray(at, at + blockBytes))
    if (differsAt >= 0) return at + differsAt
  }
  return -1
}

function firstDifference(
  a: Uint8Array,
  aFrom: number,
  b: Uint8Array,
  bFrom: number,
  lengthBytes: number,
): number {
  const left = a.subarray(aFrom, aFrom + lengthBytes)
  const right = b.subarray(bFrom, bFrom + lengthBytes)
  // One native comparison; the byte is looked for only where there is a difference.
  if (Buffer.compare(left, right) === 0) return -1
  return left.findIndex((byte, i) => byte !== right[i])
}
