import { randomBytes } from 'node:crypto'
import { Command } from 'commander'
import { CygnetError } from '../base/errors.ts'
import { size } from './bench.ts'
import { formatCount, formatMs, type LoadResult } from './load.ts'
import { withLunOptions, wholeNumber } from './lun-options.ts'
import { type LunOptions, openLun } from './open-device.ts'
import { barLine, roundedSize } from './progress.ts'
import { SECTOR_BYTES, VerifyPattern } from './verify-pattern.ts'
import { VerifyRun, type Wrong } from './verify-run.ts'

interface VerifyCommandOptions extends LunOptions {
  readonly block: number
  readonly depth: number
  readonly time: number
  readonly span: number
  readonly json?: true
}

/** A byte was not what was written. */
const EXIT_WRONG = 3
const DEFAULT_SPAN_BYTES = 256 * 1024 * 1024
const SHOW_MS = 500

export function verifyCommand(): Command {
  const command = new Command('verify')
    .description(
      'Write self-describing blocks to a LUN and read them back: what is on it is lost. Exit code 0: all was right; 1: a request failed; 3: a byte was wrong.',
    )
    .argument('<LUN-URL>', 'iscsi://HOST[:PORT]/TARGET/LUN')
    .option('--time <SECONDS>', 'how long, before everything is read once more', wholeNumber(1, 86_400), 10)
    .option('--block <SIZE>', 'bytes of one request, a multiple of 512', size, 4096)
    .option('--depth <N>', 'requests under way together', wholeNumber(1, 4096), 32)
    .option('--span <SIZE>', 'use only the beginning of the LUN', size, DEFAULT_SPAN_BYTES)
    .option('--json', 'as JSON')
  return withLunOptions(command).showHelpAfterError('(cygnet verify --help shows the options)').action(verify)
}

async function verify(url: string, options: VerifyCommandOptions): Promise<void> {
  const { block, depth, time, span } = options
  if (block % SECTOR_BYTES !== 0)
    throw new CygnetError('VERIFY_OPTIONS', `--block must be a multiple of ${SECTOR_BYTES}.`)
  const { disk } = await openLun(url, options)
  await using device = disk
  const used = Math.min(span, device.sizeBytes)
  const spanBytes = used - (used % block)
  if (spanBytes === 0) throw new CygnetError('VERIFY_OPTIONS', 'The LUN has not even one block of that size.')
  const paths: string[] = []
  device.onEvent((event) => {
    if (event.kind === 'path-lost' || event.kind === 'path-restored') {
      paths.push(event.kind)
      if (!options.json)
        process.stderr.write(`${clearLine()}${event.kind}: ${event.path} (${event.reason})\n`)
    }
  })
  const state = { isOver: false }
  const stop = (): void => void (state.isOver = true)
  process.once('SIGINT', stop)
  const timer = setTimeout(stop, time * 1000)
  const run = new VerifyRun(device, {
    spanBytes,
    blockBytes: block,
    depth,
    pattern: new VerifyPattern(new Uint8Array(randomBytes(8))),
    random: Math.random,
    isOver: () => state.isOver,
  })
  const display = options.json ? undefined : showLive(run, time)
  try {
    const wrong = await run.run()
    print(run.meter.result(), run.checkedBytes, wrong, paths, options)
    if (wrong) process.exitCode = EXIT_WRONG
  } finally {
    clearTimeout(timer)
    clearInterval(display)
    process.off('SIGINT', stop)
  }
}

/** Takes away the line that shows how it goes. */
const clearLine = (): string => (process.stderr.isTTY ? '\r\u001b[K' : '')

function showLive(run: VerifyRun, seconds: number): NodeJS.Timeout | undefined {
  if (!process.stderr.isTTY) return undefined
  let readBackAtMs: number | undefined
  return setInterval(() => {
    const { columns } = process.stderr
    const { meter, readBackPart } = run
    const elapsedMs = meter.elapsedMs
    const rate = `${roundedSize((meter.bytes * 1000) / elapsedMs)}/s`
    const details = [`${formatCount(meter.requests)} requests`, rate]
    let line: string
    if (readBackPart === undefined) {
      const part = Math.min(1, elapsedMs / 1000 / seconds)
      line = barLine('verifying', part, details, (1 - part) * seconds, columns)
    } else {
      readBackAtMs ??= elapsedMs
      const doneSeconds = (elapsedMs - readBackAtMs) / 1000
      const left = readBackPart > 0 ? (doneSeconds / readBackPart) * (1 - readBackPart) : undefined
      line = barLine('reading back', readBackPart, details, left, columns)
    }
    process.stderr.write(`${clearLine()}${line.slice(0, columns - 1)}`)
  }, SHOW_MS)
}

function print(
  load: LoadResult,
  checkedBytes: number,
  wrong: Wrong | undefined,
  paths: readonly string[],
  { json }: VerifyCommandOptions,
): void {
  const pathsLost = paths.filter((kind) => kind === 'path-lost').length
  if (json) {
    process.stdout.write(`${JSON.stringify({ ...load, checkedBytes, pathsLost, wrong: wrong ?? null })}\n`)
    return
  }
  process.stderr.write(clearLine())
  process.stdout.write(
    `${formatCount(load.requests)} requests, ${roundedSize(load.bytes)}, in ${load.seconds.toFixed(1)} s; ${roundedSize(checkedBytes)} compared
longest stall ${formatMs(load.latencyMs.max)}${pathsLost > 0 ? `, paths lost ${pathsLost} times` : ''}
${wrong ? `WRONG at byte ${wrong.offset}: found ${wrong.found}; expected ${wrong.expected}` : 'no wrong byte'}
`,
  )
}
