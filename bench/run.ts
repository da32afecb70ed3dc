/**
 * `npm run bench [-- --quick]`: our target and Debian's tgt serve the same 1 GiB file, which is in the page cache, and `iscsi-perf`
 * reads from them in turn. Prints a table and appends one JSON line to `bench/results.jsonl` (not with `--quick`, which is only a
 * look). About two and a quarter minutes; `apt-get install tgt libiscsi-bin`.
 */
import { randomFillSync } from 'node:crypto'
import { appendFileSync, closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { findCommand } from '../test/support/peer.ts'
import { run, Scratch } from '../test/support/scratch.ts'
import { startCygnet, startTgt } from '../test/support/subject.ts'
import { type Measurement, measure, workloads } from './measure.ts'
import { compare, type Comparison, formatTable } from './report.ts'

const IMAGE_BYTES = 2 ** 30
const CHUNK_BYTES = 2 ** 24
const WARM_UP_SECONDS = 3
const results = fileURLToPath(new URL('results.jsonl', import.meta.url))

/** A file of noise, on the disk and in the page cache. */
function makeImage(path: string): void {
  const chunk = Buffer.alloc(CHUNK_BYTES)
  const file = openSync(path, 'w')
  for (let offset = 0; offset < IMAGE_BYTES; offset += CHUNK_BYTES) {
    writeSync(file, randomFillSync(chunk), 0, CHUNK_BYTES, offset)
  }
  fsyncSync(file)
  closeSync(file)
}

async function benchmark(scratch: Scratch, rounds: number, seconds: number): Promise<Comparison[]> {
  const image = scratch.path('image')
  makeImage(image)
  const cygnet = await startCygnet(scratch, { images: [image] })
  const tgt = await startTgt(scratch, { images: [image] })
  // Node compiles what has run often: its first seconds are another program's.
  for (const workload of workloads) {
    await measure(cygnet, workload, WARM_UP_SECONDS)
    await measure(tgt, workload, 1)
  }
  const comparisons: Comparison[] = []
  for (const workload of workloads) {
    const ours: Measurement[] = []
    const theirs: Measurement[] = []
    for (let round = 1; round <= rounds; round++) {
      process.stderr.write(`${workload.name}: round ${round} of ${rounds}\n`)
      ours.push(await measure(cygnet, workload, seconds))
      theirs.push(await measure(tgt, workload, seconds))
    }
    comparisons.push(compare(workload, ours, theirs))
  }
  return comparisons
}

async function commit(): Promise<string> {
  const head = await run('git', ['rev-parse', '--short', 'HEAD'])
  const changes = await run('git', ['status', '--porcelain', '--untracked-files=no'])
  return head.stdout.trim() + (changes.stdout === '' ? '' : '+changes')
}

const { quick } = parseArgs({ options: { quick: { type: 'boolean', default: false } } }).values
const missing = (['tgtd', 'tgtadm', 'iscsi-perf'] as const).filter((peer) => findCommand(peer) === undefined)
if (missing.length > 0) {
  process.stderr.write(`missing: ${missing.join(', ')} (apt-get install tgt libiscsi-bin)\n`)
  process.exit(1)
}
const scratch = new Scratch()
process.on('SIGINT', () => void scratch.end().finally(() => process.exit(130)))
try {
  const comparisons = await benchmark(scratch, quick ? 1 : 5, quick ? 2 : 4)
  const record = {
    date: new Date().toISOString(),
    commit: await commit(),
    cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    node: process.version,
    comparisons,
  }
  if (!quick) appendFileSync(results, `${JSON.stringify(record)}\n`)
  process.stdout.write(`${record.cpu}, Node ${record.node}, commit ${record.commit}\n`)
  process.stdout.write(`${formatTable(comparisons)}\n`)
} finally {
  await scratch.end()
}
