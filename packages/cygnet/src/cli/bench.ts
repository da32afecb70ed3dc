import { randomFillSync } from 'node:crypto'
import { Command, InvalidArgumentError, Option } from 'commander'
import { CygnetError } from '../base/errors.ts'
import { parseSize } from '../daemon/size.ts'
import type { BlockDevice } from '../initiator/block-device.ts'
import { formatCount, formatMs, LoadMeter, type LoadResult } from './load.ts'
import { withLunOptions, wholeNumber } from './lun-options.ts'
import { type LunOptions, openLun } from './open-device.ts'
import { roundedSize } from './progress.ts'
import { sparkline } from './sparkline.ts'

/** What the workers do: where the next request is, and the share of writes among them. */
const patterns = {
  randread: { isRandom: true, writes: 0 },
  randwrite: { isRandom: true, writes: 1 },
  read: { isRandom: false, writes: 0 },
  write: { isRandom: false, writes: 1 },
  mixed: { isRandom: true, writes: 0.3 },
} as const
type Pattern = keyof typeof patterns

interface BenchOptions extends LunOptions {
  readonly pattern: Pattern
  readonly block: number
  readonly depth: number
  readonly time: number
  readonly warmUp: number
  readonly span?: number
  readonly json?: true
}

const SAMPLE_MS = 250
const SPARKLINE_WIDTH = 40

export function benchCommand(): Command {
  const command = new Command('bench')
    .description('Measure a LUN. Patterns that write overwrite what is on it.')
    .argument('<LUN-URL>', 'iscsi://HOST[:PORT]/TARGET/LUN')
    .addOption(
      new Option('--pattern <PATTERN>', 'mixed: random, 70% reads')
        .choices(Object.keys(patterns))
        .default('randread'),
    )
    .option('--block <SIZE>', 'bytes of one request', size, 4096)
    .option('--depth <N>', 'requests under way together', wholeNumber(1, 4096), 32)
    .option('--time <SECONDS>', 'how long', wholeNumber(1, 86_400), 10)
    .option('--warm-up <SECONDS>', 'how long before that, while Node compiles', wholeNumber(0, 3600), 1)
    .option('--span <SIZE>', 'use only the beginning of the LUN (default: all of it)', size)
    .option('--json', 'as JSON')
  return withLunOptions(command).showHelpAfterError('(cygnet bench --help shows the options)').action(bench)
}

/** A size, with commander's words around an error. */
export function size(text: string): number {
  try {
    return parseSize(text)
  } catch (error) {
    throw error instanceof CygnetError ? new InvalidArgumentError(error.message) : error
  }
}

async function bench(url: string, options: BenchOptions): Promise<void> {
  const { pattern, block, depth, time, warmUp } = options
  const isReading = patterns[pattern].writes === 0
  const { disk } = await openLun(url, options, { readOnly: isReading })
  await using device = disk
  const blocks = Math.floor(Math.min(options.span ?? Infinity, device.sizeBytes) / block)
  if (blocks === 0) throw new CygnetError('BENCH_OPTIONS', 'The LUN has not even one block of that size.')
  const state = { isOver: false }
  const stop = (): void => void (state.isOver = true)
  process.once('SIGINT', stop)
  const meter = new LoadMeter()
  const warm = setTimeout(() => meter.restart(), warmUp * 1000)
  const timer = setTimeout(stop, (warmUp + time) * 1000)
  const display = options.json ? undefined : showLive(meter)
  try {
    const offsets = offsetsOf(patterns[pattern].isRandom, blocks, block)
    const workers = Array.from({ length: depth }, () =>
      work(device, patterns[pattern].writes, block, offsets, meter, state),
    )
    await Promise.all(workers)
  } finally {
    stop()
    clearTimeout(warm)
    clearTimeout(timer)
    clearInterval(display)
    if (display) process.stderr.write('\r\u001b[K')
    process.off('SIGINT', stop)
  }
  print(meter.result(), options)
}

/** Byte offsets of blocks: any, or one after the other, from the beginning again after the last. */
function offsetsOf(isRandom: boolean, blocks: number, block: number): () => number {
  if (isRandom) return () => Math.floor(Math.random() * blocks) * block
  let next = 0
  return () => (next++ % blocks) * block
}

async function work(
  device: BlockDevice,
  writes: number,
  block: number,
  nextOffset: () => number,
  meter: LoadMeter,
  state: { readonly isOver: boolean },
): Promise<void> {
  const bytes = new Uint8Array(block)
  // Zeroes might be stored as nothing.
  randomFillSync(bytes)
  /* oxlint-disable no-await-in-loop -- the depth is the number of workers */
  let nowMs = performance.now()
  while (!state.isOver) {
    if (writes > 0 && Math.random() < writes) await device.write(nextOffset(), bytes)
    else await device.read(nextOffset(), bytes)
    nowMs = meter.ended(nowMs, block)
  }
  /* oxlint-enable no-await-in-loop */
}

function showLive(meter: LoadMeter): NodeJS.Timeout | undefined {
  if (!process.stderr.isTTY) return undefined
  const samples: number[] = []
  let before = 0
  return setInterval(() => {
    // Less than before, where the warm-up has ended.
    const rate = (Math.max(0, meter.requests - before) * 1000) / SAMPLE_MS
    before = meter.requests
    samples.push(rate)
    const seconds = (meter.elapsedMs / 1000).toFixed(0)
    process.stderr.write(
      `\r\u001b[K${sparkline(samples, SPARKLINE_WIDTH)}  ${formatCount(rate)} IOPS  ${seconds} s`,
    )
  }, SAMPLE_MS)
}

function print(result: LoadResult, { pattern, block, depth, json }: BenchOptions): void {
  if (json) {
    process.stdout.write(`${JSON.stringify({ pattern, blockBytes: block, depth, ...result })}\n`)
    return
  }
  const { latencyMs, cpuPerRequestUs } = result
  const latencies = (['p50', 'p90', 'p99', 'p999', 'max'] as const).map(
    (name) => `${name === 'p999' ? 'p99.9' : name} ${formatMs(latencyMs[name])}`,
  )
  process.stdout.write(
    `${pattern}, ${roundedSize(block)}, depth ${depth}: ${formatCount(result.requestsPerSecond)} IOPS, ${(result.bytesPerSecond / 1e6).toFixed(1)} MB/s
latency: mean ${formatMs(latencyMs.mean)}, ${latencies.join(', ')}
CPU: ${cpuPerRequestUs.toFixed(1)} µs for each request
`,
  )
}
