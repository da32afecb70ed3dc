import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { CygnetError } from '../base/errors.ts'
import { type Address, ISCSI_PORT, parseAddress } from '../daemon/address.ts'
import type { DiskOptions } from '../daemon/disks.ts'
import { type LogLevel, logLevels } from '../daemon/log-level.ts'
import { parseIscsiName } from '../session/iscsi-name.ts'
import { type RunningServer, startServer } from '../daemon/server.ts'
import { connectHelp } from './connect-help.ts'
import { createLog } from './log.ts'
import { parseSize } from '../daemon/size.ts'

const DEFAULT_TARGET = 'iqn.2026-11.dev.cygnet:disk'
const DEFAULT_IMAGE = 'data/disk0.img'
const DEFAULT_IMAGE_BYTES = 2 ** 30
const DEFAULT_LISTEN: Address = { host: '127.0.0.1', port: ISCSI_PORT }
/** `npm start` hands on the terminal's Ctrl-C: a second signal this soon is the same key press. */
const SAME_KEY_PRESS_MS = 500

interface ServeOptions {
  readonly listen: Address
  readonly advertise?: { readonly host: string; readonly port: number }
  readonly target: string
  readonly size?: number
  readonly blockSize: '512' | '4096'
  readonly readOnly?: true
  readonly memory?: number
  readonly logLevel: LogLevel
}

export function serveCommand(): Command {
  return new Command('serve')
    .description('Serve disk images as LUNs 0, 1, … of one target.')
    .argument('[IMAGE...]', `image files or block devices (default: ./${DEFAULT_IMAGE}, created with 1 GiB)`)
    .addOption(
      new Option('--listen <HOST:PORT>', 'where to listen; 0.0.0.0 or [::] for every network')
        .argParser(checked((text) => parseAddress(text, DEFAULT_LISTEN)))
        .default(DEFAULT_LISTEN, '127.0.0.1:3260'),
    )
    .option(
      '--advertise <HOST:PORT>',
      'the address that discovery reports, where initiators see another one (NAT, guests)',
      checked((text) => parseAddress(text, { host: '', port: 0 })),
    )
    .option('--target <IQN>', 'iSCSI name of the target', checked(parseIscsiName), DEFAULT_TARGET)
    .option('--size <SIZE>', 'create missing images with this size, sparse, such as 1G', checked(parseSize))
    .addOption(new Option('--block-size <BYTES>', 'bytes of a block').choices(['512', '4096']).default('512'))
    .option('--read-only', 'refuse every write')
    .option(
      '--memory <SIZE>',
      'serve a disk in memory, after the images; it is gone at the end',
      checked(parseSize),
    )
    .addOption(
      new Option('--log-level <LEVEL>', 'least level that is logged').choices(logLevels).default('info'),
    )
    .showHelpAfterError('(cygnet serve --help shows the options)')
    .action(serve)
}

async function serve(images: readonly string[], options: ServeOptions): Promise<void> {
  const log = createLog(options.logLevel)
  const server = await startServer({
    listen: options.listen,
    ...(options.advertise && { advertise: options.advertise }),
    targetName: options.target,
    blockSizeBytes: options.blockSize === '512' ? 512 : 4096,
    readOnly: options.readOnly ?? false,
    disks: disksOf(images, options),
    log,
  })
  // Who closes the pipe behind stdout or the log does not end the service.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  stopOnSignals(server)
  process.stdout.write(connectHelp(server))
}

function disksOf(images: readonly string[], options: ServeOptions): DiskOptions[] {
  const createSizeBytes = options.size
  const disks: DiskOptions[] = images.map((path) => ({
    kind: 'file',
    path,
    ...(createSizeBytes !== undefined && { createSizeBytes }),
  }))
  if (options.memory !== undefined) disks.push({ kind: 'memory', sizeBytes: options.memory })
  if (disks.length > 0) return disks
  if (!options.readOnly) makeFolder(dirname(DEFAULT_IMAGE))
  return [{ kind: 'file', path: DEFAULT_IMAGE, createSizeBytes: createSizeBytes ?? DEFAULT_IMAGE_BYTES }]
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
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
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
