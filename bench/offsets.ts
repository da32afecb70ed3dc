/** Where the next request of a load is. */
import type { Load } from './cases.ts'

/** The part of the disk that requests are in, and how. */
export interface Range {
  readonly beginBytes: number
  readonly endBytes: number
}

/**
 * Byte offsets, each call the next one: of any block in the range, or of one block after the other. A load that is read
 * once ends with undefined; others begin anew.
 */
export function offsetsOf({ pattern, blockBytes, isCold }: Load, range: Range): () => number | undefined {
  const blocks = Math.floor((range.endBytes - range.beginBytes) / blockBytes)
  if (pattern === 'randread' || pattern === 'randwrite' || pattern === 'mixed')
    return () => range.beginBytes + Math.floor(Math.random() * blocks) * blockBytes
  let next = 0
  return () => (isCold && next === blocks ? undefined : range.beginBytes + (next++ % blocks) * blockBytes)
}

/** The share of writes among the requests. */
export const writesOf = { randread: 0, read: 0, randwrite: 1, write: 1, mixed: 0.3 } as const
