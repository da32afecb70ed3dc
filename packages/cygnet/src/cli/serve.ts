import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Logger } from 'pino'
import { CygnetError } from '../base/errors.ts'
import { type Address, formatAddress, parseAddress } from '../daemon/address.ts'
import { DEFAULT_LISTEN, DEFAULT_TARGET, stateOfOptions } from '../daemon/config/options-state.ts'
import { Secrets } from '../daemon/config/secrets.ts'
import { type DesiredState, type UnitKind, unitKinds } from '../daemon/config/state.ts'
import { type LogLevel, logLevels } from '../daemon/log-level.ts'
import { type RunningServer, startServer } from '../daemon/server.ts'
import { parseShards } from '../daemon/shard-plan.ts'
import { parseSize } from '../daemon/size.ts'
import { parseIscsiName } from '../session/iscsi-name.ts'
import { formatAddressRange, parseAddressRange } from '../target/address-range.ts'
import { connectHelp } from './connect-help.ts'
import { createLog } from './log.ts'

const DEFAULT_IMAGE = 'data/disk0.img'
const DEFAULT_IMAGE_BYTES = 2 ** 30
/** `npm start` hands on the terminal's Ctrl-C: a second signal this soon is the same key press. */
const SAME_KEY_PRESS_MS = 500

interface ServeOptions {
  readonly config?: string
  readonly listen?: Address
  readonly advertise?: Address
  readonly allow?: readonly string[]
  readonly target?: string
  readonly kind?: UnitKind
  readonly size?: number
  readonly blockSize?: '512' | '4096'
  readonly readOnly?: true
  readonly memory?: number
  readonly state?: string
  readonly shards?: number | 'auto'
  readonly logLevel?: LogLevel
}

export function serveCommand(): Command {
  return new Command('serve')
    .description('Serve disk images as LUNs 0, 1, … of one target, or what a configuration file says.')
    .argument('[IMAGE...]', `image files or block devices (default: ./${DEFAULT_IMAGE}, created with 1 GiB)`)
    .option('-c, --config <FILE>', 'serve what this file says; see docs/guides/configuration.md')
    .option(
      '--listen <HOST:PORT>',
      `where to listen; 0.0.0.0 or [::] for every network (default: ${formatAddress(DEFAULT_LISTEN)})`,
      checked((text) => parseAddress(text, DEFAULT_LISTEN)),
    )
    .option(
      '--advertise <HOST:PORT>',
      'the address that discovery reports, where initiators see another one (NAT, guests)',
      checked((text) => parseAddress(text, { host: '', port: 0 })),
    )
    .option(
      '--allow <RANGES>',
      'addresses that may log in, such as 10.0.0.0/8,fd00::/8; 0.0.0.0/0,::/0 for all (default: this machine)',
      checked((text) => text.split(',').map((range) => formatAddressRange(parseAddressRange(range)))),
    )
    .option(
      '--target <IQN>',
      `iSCSI name of the target (default: ${DEFAULT_TARGET})`,
      checked(parseIscsiName),
    )
    .addOption(
      new Option(
        '--kind <KIND>',
        'what the images are (default: cdrom, a CD or DVD, for those that end in .iso, else disk)',
      ).choices(unitKinds),
    )
    .option('--size <SIZE>', 'create missing images with this size, sparse, such as 1G', checked(parseSize))
    .addOption(new Option('--block-size <BYTES>', 'bytes of a block (default: 512)').choices(['512', '4096']))
    .option('--read-only', 'refuse every write')
    .option(
      '--memory <SIZE>',
      'serve a disk in memory, after the images; it is gone at the end',
      checked(parseSize),
    )
    .option(
      '--state <FOLDER>',
      'where disks remember persistent reservations (default: in a file beside each image)',
    )
    .option(
      '--shards <N|auto>',
      'processes that share the targets; auto: one for each core (default: 1, or what the file says)',
      checked(parseShards),
    )
    .addOption(new Option('--log-level <LEVEL>', 'least level that is logged').choices(logLevels))
    .showHelpAfterError('(cygnet serve --help shows the options)')
    .action(serve)
}

async function serve(images: readonly string[], options: ServeOptions): Promise<void> {
  const { state, secrets, warnings } = await desired(images, options)
  const log = createLog(options.logLevel ?? state.log.level)
  for (const warning of warnings) log.warn(warning)
  const server = await startServer({ state, secrets, log })
  // Who closes the pipe behind stdout or the log does not end the service.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  stopOnSignals(server)
  process.on('SIGHUP', () => void reload(server, log, options))
  process.stdout.write(connectHelp(server))
}

/** What the file says now; the images' sizes are looked at in any case. */
async function reload(server: RunningServer, log: Logger, options: ServeOptions): Promise<void> {
  if (options.config === undefined) return server.reload()
  try {
    const { state, secrets, warnings } = await desired([], options)
    for (const warning of warnings) log.warn(warning)
    await server.reload({ state, secrets })
    log.info({ config: options.config }, 'configuration read again: done')
  } catch (error) {
    if (!(error instanceof CygnetError)) throw error
    for (const line of error.message.split('\n')) log.error(line)
    await server.reload()
    log.error({ config: options.config }, 'configuration read again: it changes nothing')
  }
}

/** What may be said beside a file. */
const besidesConfig: ReadonlySet<string> = new Set(['config', 'logLevel', 'shards'])

interface Desired {
  readonly state: DesiredState
  readonly secrets: Secrets
  readonly warnings: readonly string[]
}

/** The file's state, or that of the command line: the same thing with defaults. */
async function desired(images: readonly string[], options: ServeOptions): Promise<Desired> {
  const { config } = options
  if (config === undefined)
    return { state: stateOfImages(images, options), secrets: new Secrets(), warnings: [] }
  const also = [...images, ...Object.keys(options)].find((name) => !besidesConfig.has(name))
  if (also !== undefined) {
    throw new CygnetError('CONFIG_AND_OPTIONS', `With -c, the file says what is served: put "${also}" there.`)
  }
  const { loadConfig } = await import('../daemon/config/load.ts')
  const { formatProblem } = await import('../daemon/config/problem.ts')
  const { state, secrets, warnings } = loadConfig(config)
  const { shards = state.shards } = options
  return { state: { ...state, shards }, secrets, warnings: warnings.map(formatProblem) }
}

function stateOfImages(images: readonly string[], options: ServeOptions): DesiredState {
  const isDefault = images.length === 0 && options.memory === undefined
  if (isDefault && !options.readOnly) makeFolder(dirname(DEFAULT_IMAGE))
  const size = options.size ?? (isDefault ? DEFAULT_IMAGE_BYTES : undefined)
  return stateOfOptions({
    images: isDefault ? [DEFAULT_IMAGE] : images,
    ...(options.kind && { kind: options.kind }),
    ...(size !== undefined && { createSizeBytes: size }),
    ...(options.memory !== undefined && { memoryBytes: options.memory }),
    ...(options.listen && { listen: options.listen }),
    ...(options.advertise && { advertise: options.advertise }),
    ...(options.allow && { allow: options.allow }),
    ...(options.target !== undefined && { targetName: options.target }),
    blockSizeBytes: options.blockSize === '4096' ? 4096 : 512,
    readOnly: options.readOnly ?? false,
    ...(options.state !== undefined && { stateFolder: options.state }),
    ...(options.shards !== undefined && { shards: options.shards }),
    ...(options.logLevel && { logLevel: options.logLevel }),
  })
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true })
  } catch (cause) {
    const message = `The folder ${path} cannot be made here: name an image to serve, or start in another folder.`
    throw new CygnetError('FOLDER_FAILED', message, { cause })
  }
}

function stopOnSignals(server: RunningServer): void {
  let firstAt: number | undefined
  const stop = (): void => {
    if (firstAt !== undefined) {
      if (performance.now() - firstAt > SAME_KEY_PRESS_MS) process.exit(130)
      return
    }
    firstAt = performance.now()
    server.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`cygnet: ${error instanceof Error ? error.message : String(error)}\n`)
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
}

/** Lets commander name the option in front of a parser's own sentence. */
function checked<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      throw error instanceof CygnetError ? new InvalidArgumentError(error.message) : error
    }
  }
}
