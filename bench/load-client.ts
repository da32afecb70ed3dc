/**
 * A load by our own initiator, in a process of its own: `node load-client.ts JOB`. For what `cygnet bench` has no options
 * for: several sessions, a warm-up that does not count, a disk that is read once.
 */
import { connect, type ScsiDisk, tlsTransport } from '../packages/cygnet/src/initiator.ts'
import type { ClientJob } from './client-job.ts'
import { MeasuredWindow } from './measured-window.ts'
import { offsetsOf, writesOf } from './offsets.ts'

async function openDisks(job: ClientJob): Promise<ScsiDisk[]> {
  const { caFile, connections, url, secondUrl = url } = job
  const options = { connections, ...(caFile !== undefined && { transport: tlsTransport({ caFile }) }) }
  const disks: ScsiDisk[] = []
  for (let i = 0; i < (job.load.sessions ?? 1); i++) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other, as a target may refuse many at once
    disks.push(await connect(i % 2 === 0 ? url : secondUrl, options))
  }
  return disks
}

/** What all writes write. Zeroes might be stored as nothing. */
function noise(lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, () => Math.random() * 256)
}

async function work(disk: ScsiDisk, next: NextOffset, job: ClientJob, window: MeasuredWindow): Promise<void> {
  const { blockBytes, pattern } = job.load
  const writes = writesOf[pattern]
  const into = writes === 1 ? written : new Uint8Array(blockBytes)
  /* oxlint-disable no-await-in-loop -- the depth is the number of workers */
  while (!window.isOver) {
    const offset = next(window.hasBegun)
    if (offset === undefined) return window.close()
    const startMs = performance.now()
    if (writes > 0 && Math.random() < writes) await disk.write(offset, written)
    else await disk.read(offset, into)
    window.ended(startMs, blockBytes)
  }
  /* oxlint-enable no-await-in-loop */
}

type NextOffset = (hasBegun: boolean) => number | undefined

function nextOffset({ load, warmUpBytes, diskBytes }: ClientJob): NextOffset {
  const warmUp = offsetsOf({ ...load, isCold: false }, { beginBytes: 0, endBytes: warmUpBytes })
  const measured = offsetsOf(load, { beginBytes: warmUpBytes, endBytes: diskBytes })
  return (hasBegun) => (hasBegun ? measured() : warmUp())
}

const job = JSON.parse(process.argv[2] ?? '') as ClientJob
const written = noise(job.load.blockBytes)
const disks = await openDisks(job)
const window = new MeasuredWindow(job)
const workers = disks.flatMap((disk) => {
  const next = nextOffset(job)
  return Array.from({ length: job.load.depth }, () => work(disk, next, job, window))
})
await Promise.all(workers)
process.stdout.write(`${JSON.stringify(await window.report())}\n`)
// Not a proper end, which would flush and log out: the next measurement waits.
process.exit(0)
