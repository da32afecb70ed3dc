import { createReadStream, createWriteStream, statSync } from 'node:fs'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Command } from 'commander'
import { CygnetError } from '../base/errors.ts'
import type { BlockDevice } from '../initiator/block-device.ts'
import { readableOf, writableOf } from '../initiator/block-streams.ts'
import { compareDevices, copyDevice } from '../initiator/copy.ts'
import { installNativeCrc32c } from '../runtime/crc32c-native.ts'
import { withLunOptions } from './lun-options.ts'
import { checkUnused, isPath, type LunOptions, openDestination, openSource } from './open-device.ts'
import { PieceSums } from './piece-sums.ts'
import { Progress, summary } from './progress.ts'

interface CopyCommandOptions extends LunOptions {
  readonly verify?: true
  readonly sparse?: true
  readonly resume?: true
  readonly json?: true
  readonly quiet?: true
}

/** The two sides are not the same after all. */
const EXIT_DIFFERENT = 3
const EXIT_INTERRUPTED = 130

/** What was done, as `--json` prints it. */
interface Report {
  readonly lengthBytes: number
  readonly writtenBytes: number
  readonly zeroBytes: number
  readonly sameBytes: number
  readonly seconds: number
  /** Whether the destination was read back and compared. */
  readonly verified: boolean
  /** The first byte that differs (with "-" as SRC: of the MiB with it); null where there is none. */
  readonly differsAt: number | null
}

export function copyCommand(): Command {
  const place =
    'a file or block device, - (standard input or output), iscsi://HOST/TARGET/LUN or nbd://HOST/EXPORT'
  const command = new Command('copy')
    .description(
      'Copy a disk: images into and out of LUNs. Exit code 0: done; 1: failed; 3: --verify found a difference.',
    )
    .argument('<SRC>', place)
    .argument('<DST>', 'the same; a file is made as long as the source')
    .option('--verify', 'read both sides again at the end and compare them')
    .option('--sparse', 'release zeroes in the destination instead of writing them')
    .option('--resume', 'write only what differs from what is there already')
    .option('--json', 'print what was done as JSON')
    .option('--quiet', 'show no progress')
  return withLunOptions(command).showHelpAfterError('(cygnet copy --help shows the options)').action(copy)
}

async function copy(source: string, destination: string, options: CopyCommandOptions): Promise<void> {
  installNativeCrc32c()
  check(source, destination, options)
  const controller = new AbortController()
  const stop = (): void => controller.abort(new CygnetError('INTERRUPTED', 'The copy was broken off.'))
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, stop)
  try {
    const report = await run(source, destination, options, controller.signal)
    print(report, options)
    if (report.differsAt !== null) process.exitCode = EXIT_DIFFERENT
  } catch (error) {
    if (!controller.signal.aborted) throw error
    process.stderr.write('cygnet: The copy was broken off: --resume takes it up where both ends are disks.\n')
    process.exitCode = EXIT_INTERRUPTED
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, stop)
  }
}

/** @throws {CygnetError} COPY_OPTIONS */
function check(source: string, destination: string, options: CopyCommandOptions): void {
  const wrong = (message: string): CygnetError => new CygnetError('COPY_OPTIONS', message)
  if (source === '-' && destination === '-') throw wrong('Standard input to standard output needs no copy.')
  if (isSame(source, destination)) throw wrong('SRC and DST are the same.')
  if (destination === '-' && (options.verify ?? options.sparse ?? options.resume ?? options.json))
    throw wrong('What went to standard output cannot be looked at again: leave out the options.')
  if (source === '-' && (options.sparse ?? options.resume))
    throw wrong('--sparse and --resume need a source that can be looked into: copy it to a file first.')
}

/** A file that is made as long as its source must not be the source, by whatever name. */
function isSame(source: string, destination: string): boolean {
  if (source === destination) return true
  const [one, other] = [source, destination].map((place) =>
    isPath(place) ? statSync(place, { throwIfNoEntry: false }) : undefined,
  )
  return one !== undefined && one.dev === other?.dev && one.ino === other.ino
}

function run(
  source: string,
  destination: string,
  options: CopyCommandOptions,
  signal: AbortSignal,
): Promise<Report> {
  if (source === '-') return fromStandardInput(destination, options, signal)
  return destination === '-'
    ? toStandardOutput(source, options, signal)
    : betweenDevices(source, destination, options, signal)
}

async function betweenDevices(
  source: string,
  destination: string,
  options: CopyCommandOptions,
  signal: AbortSignal,
): Promise<Report> {
  const { sparse = false, resume = false, verify = false } = options
  await using from = await openSource(source, destination, options)
  const { device, isBlank } = await openDestination(destination, from.sizeBytes, resume, options)
  await using to = device
  const progress = new Progress('copying', from.sizeBytes, options.quiet)
  const onProgress = progress.update
  let seconds: number
  let result: Awaited<ReturnType<typeof copyDevice>>
  try {
    result = await copyDevice(from, to, { sparse, resume, isBlank, signal, onProgress })
    seconds = progress.seconds
  } finally {
    progress.end()
  }
  const differsAt = verify ? await verified(from, to, options, signal) : undefined
  return { ...result, seconds, verified: verify, differsAt: differsAt ?? null }
}

async function verified(
  from: BlockDevice,
  to: BlockDevice,
  options: CopyCommandOptions,
  signal: AbortSignal,
): Promise<number | undefined> {
  const progress = new Progress('verifying', from.sizeBytes, options.quiet)
  try {
    return await compareDevices(from, to, { signal, onProgress: progress.update })
  } finally {
    progress.end()
  }
}

/** How long it is shows at its end: a file grows with it, a disk must have room. */
async function fromStandardInput(
  destination: string,
  options: CopyCommandOptions,
  signal: AbortSignal,
): Promise<Report> {
  const isFile = isPath(destination)
  if (isFile) await checkUnused(destination)
  const device = isFile ? undefined : await openDestination(destination, undefined, true, options)
  await using to = device?.device
  const sums = new PieceSums()
  const progress = new Progress('copying', undefined, options.quiet)
  const input = Readable.toWeb(process.stdin) as ReadableStream<Uint8Array>
  const output = to
    ? writableOf(to, { signal })
    : (Writable.toWeb(createWriteStream(destination, { flush: true })) as WritableStream<Uint8Array>)
  try {
    await input.pipeThrough(sums.tap(progress.update)).pipeTo(output, { signal })
  } finally {
    progress.end()
  }
  const { lengthBytes } = sums
  const { seconds } = progress
  const again = new PieceSums()
  if (options.verify) {
    const back = to ? readableOf(to, { end: lengthBytes, signal }) : createReadStream(destination)
    for await (const chunk of back as AsyncIterable<Uint8Array>) again.add(chunk)
  }
  const differsAt = options.verify ? sums.differsFrom(again) : undefined
  return {
    lengthBytes,
    writtenBytes: lengthBytes,
    zeroBytes: 0,
    sameBytes: 0,
    seconds,
    verified: options.verify === true,
    differsAt: differsAt ?? null,
  }
}

async function toStandardOutput(
  source: string,
  options: CopyCommandOptions,
  signal: AbortSignal,
): Promise<Report> {
  await using from = await openSource(source, '-', options)
  const progress = new Progress('copying', from.sizeBytes, options.quiet)
  const sums = { lengthBytes: 0 }
  const counted = readableOf(from, { signal }).pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        sums.lengthBytes += chunk.length
        progress.update(sums.lengthBytes)
        controller.enqueue(chunk)
      },
    }),
  )
  try {
    await pipeline(counted, process.stdout, { signal })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
    throw new CygnetError(
      'OUTPUT_CLOSED',
      'Whoever read standard output has closed it: the copy is not complete.',
    )
  } finally {
    progress.end()
  }
  const { lengthBytes } = sums
  const { seconds } = progress
  return {
    lengthBytes,
    writtenBytes: lengthBytes,
    zeroBytes: 0,
    sameBytes: 0,
    seconds,
    verified: false,
    differsAt: null,
  }
}

function print(report: Report, options: CopyCommandOptions): void {
  if (options.json) {
    process.stdout.write(`${JSON.stringify(report)}\n`)
    return
  }
  const { lengthBytes, zeroBytes, sameBytes, seconds, verified: isVerified, differsAt } = report
  const parts = [
    summary(lengthBytes, seconds),
    ...(zeroBytes > 0 ? [`${summaryShare(zeroBytes, lengthBytes)} of it zeroes that were not written`] : []),
    ...(sameBytes > 0 ? [`${summaryShare(sameBytes, lengthBytes)} of it there already`] : []),
    ...(isVerified && differsAt === null ? ['verified'] : []),
  ]
  process.stderr.write(`${parts.join('; ')}\n`)
  if (differsAt !== null)
    process.stderr.write(`cygnet: The copy differs from its source at byte ${differsAt}.\n`)
}

const summaryShare = (part: number, whole: number): string =>
  `${((100 * part) / Math.max(1, whole)).toFixed(0)}%`
