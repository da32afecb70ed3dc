/** The most memory that a target takes while many sessions write much, against the sum of its limits. */
import { totalmem } from 'node:os'
import { defaultTargetLimits } from '../packages/cygnet/src/session/limits.ts'
import type { Scratch } from '../test/support/scratch.ts'
import { startCygnet } from '../test/support/subject.ts'
import type { Load } from './cases.ts'
import { measure } from './clients.ts'
import { memoryOf, pinTarget } from './process-figures.ts'
import { IMAGE_BYTES, type Settings } from './settings.ts'

export interface MemoryUnderLoad {
  readonly peakBytes: number
  readonly boundBytes: number
  readonly bytesPerSecond: number
}

const MIB = 2 ** 20
const SESSIONS = 64
const load: Load = { pattern: 'write', blockBytes: MIB, depth: 128, sessions: SESSIONS }

/** ARCHITECTURE.md, "Memory": what all sessions of a server share for the data of commands in work. */
const SHARED_BYTES = Math.min(2 ** 30, totalmem() / 4)
/** The socket's segment and what is written ahead of it (runtime/tcp-connection.ts). */
const CONNECTION_BYTES = 2.25 * MIB
/** Received data holds the segments that it lies in: at most twice its size. */
const SEGMENT_FACTOR = 2

/**
 * The sum that session/limits.ts and session/target-role/memory-budget.ts state, in bytes: data in work of all sessions and
 * one command more for each; the first bursts of a full command window; what each connection has.
 */
export function documentedBoundBytes(sessions: number, transferBytes: number, idleBytes: number): number {
  const { commandDepth, firstBurstLength } = defaultTargetLimits
  const inWork = SHARED_BYTES + sessions * transferBytes
  const firstBursts = sessions * commandDepth * Math.min(firstBurstLength, transferBytes)
  return idleBytes + SEGMENT_FACTOR * (inWork + firstBursts) + sessions * CONNECTION_BYTES
}

export async function measureMemoryUnderLoad(scratch: Scratch, settings: Settings): Promise<MemoryUnderLoad> {
  const images = [scratch.path('memory-under-load')]
  const subject = await startCygnet(scratch, { images, size: String(IMAGE_BYTES) })
  try {
    await pinTarget(subject.pid)
    const idleBytes = memoryOf(subject.pid).residentBytes
    const { peakBytes, bytesPerSecond } = await measure({
      load,
      contender: { name: 'cygnet', served: 'cygnet', client: 'ours' },
      target: { pid: subject.pid, url: subject.url() },
      settings: { ...settings, warmUpSeconds: 1, seconds: settings.memorySeconds },
      expectedIops: undefined,
    })
    return {
      peakBytes,
      boundBytes: documentedBoundBytes(SESSIONS, load.blockBytes, idleBytes),
      bytesPerSecond,
    }
  } finally {
    await subject.crash()
  }
}
