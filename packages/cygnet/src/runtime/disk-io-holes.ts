import type { Done, Extent, StoreError } from '../store/backing-store.ts'
import type { SystemCalls } from './page-cache-io-calls.ts'

/** Of <linux/falloc.h> and <unistd.h>. */
const FALLOC_FL_KEEP_SIZE = 1
const FALLOC_FL_PUNCH_HOLE = 2
const SEEK_DATA = 3
const SEEK_HOLE = 4

/**
 * Releases a range, which then reads as zeroes. On a block device the kernel turns this into a discard that is known
 * to zero, or into a "write zeroes" command, and keeps the page cache in step; where the device can do neither, it
 * fails and nothing has changed. (BLKDISCARD promises no zeroes.)
 */
export function punchHole(
  calls: SystemCalls,
  fd: number,
  offset: number,
  lengthBytes: number,
  done: Done,
): void {
  calls.fallocateAsync(
    fd,
    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
    offset,
    lengthBytes,
    (error, result) => {
      if (result === 0 && !error) done(undefined)
      else
        done({ failure: 'medium', offset, cause: new Error(`fallocate at ${offset}+${lengthBytes} failed`) })
    },
  )
}

/** Whether a regular file's file system can punch holes, tried behind the end of the file. */
export function probePunchHole(
  calls: SystemCalls,
  fd: number,
  sizeBytes: number,
  blockBytes: number,
): boolean {
  const offset = Math.ceil(sizeBytes / blockBytes) * blockBytes
  return calls.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, blockBytes) === 0
}

/** Whether holes can be found: every file has one at its end, at the latest. */
export const probeSeekHole = (calls: SystemCalls, fd: number, sizeBytes: number): boolean =>
  sizeBytes > 0 && calls.lseek(fd, 0, SEEK_HOLE) >= 0

/** The data and holes of a range. A hole made meanwhile may be missed, data written meanwhile too. */
export function findExtents(
  calls: SystemCalls,
  fd: number,
  offset: number,
  lengthBytes: number,
  done: (error: StoreError | undefined, extents: readonly Extent[]) => void,
): void {
  const end = offset + lengthBytes
  const extents: Extent[] = []
  const fail = (at: number): void =>
    done({ failure: 'medium', offset: at, cause: new Error(`lseek at ${at} failed`) }, [])
  /** What starts at `at`, of which only `kind` can be: the other kind ends there or the range begins. */
  const next = (at: number, kind: Extent['kind']): void => {
    if (at >= end) return done(undefined, extents)
    calls.lseekAsync(fd, at, kind === 'hole' ? SEEK_DATA : SEEK_HOLE, (error, found) => {
      if (error || (found < at && kind === 'data')) return fail(at)
      if (found < at) return lastHole(at)
      push(at, Math.min(found, end), kind)
      next(Math.min(found, end), kind === 'hole' ? 'data' : 'hole')
    })
  }
  /** No data follows, or the call failed for another reason: then it fails for a hole as well. */
  const lastHole = (at: number): void =>
    calls.lseekAsync(fd, at, SEEK_HOLE, (error, found) => {
      if (error || found !== at) return fail(at)
      push(at, end, 'hole')
      done(undefined, extents)
    })
  const push = (from: number, to: number, kind: Extent['kind']): void => {
    if (to > from) extents.push({ offset: from, lengthBytes: to - from, kind })
  }
  next(offset, 'hole')
}
