import { Command, Option } from 'commander'
import type { Logger } from 'pino'
import { CygnetError } from '../base/errors.ts'
import { isLoopback, parseAddress } from '../daemon/address.ts'
import { type LogLevel, logLevels } from '../daemon/log-level.ts'
import { formatSize } from '../daemon/size.ts'
import type { BlockDevice, DeviceEvent } from '../initiator/block-device.ts'
import type { ScsiDisk } from '../initiator/scsi-disk.ts'
import { type NbdAddress, NBD_PORT } from '../nbd/nbd-url.ts'
import type { NbdServerEvent } from '../nbd/server-connection.ts'
import { formatNbdAddress, NbdServer } from '../runtime/nbd-server.ts'
import type { TlsPortalOptions } from '../runtime/tls.ts'
import { createLog } from './log.ts'
import { withLunOptions, wholeNumber } from './lun-options.ts'
import { type LunOptions, openLun } from './open-device.ts'
import { stopOnSignals } from './stop-on-signals.ts'

interface AttachOptions extends LunOptions {
  readonly nbd: string
  readonly exportName: string
  readonly readOnly?: true
  readonly maxConnections: number
  readonly nbdCert?: string
  readonly nbdKey?: string
  readonly nbdClientCa?: string
  readonly nbdPskFile?: string
  readonly logLevel: LogLevel
}

export function attachCommand(): Command {
  const command = new Command('attach')
    .description('Offer a LUN to programs that speak NBD: nbd-client, nbdfuse, QEMU, qemu-img, nbdcopy.')
    .argument('<LUN-URL>', 'iscsi://HOST[:PORT]/TARGET/LUN')
    .requiredOption(
      '--nbd <unix:PATH|HOST:PORT>',
      `where to listen: a Unix socket, or a TCP address; port ${NBD_PORT} by default`,
    )
    .option('--export-name <NAME>', 'the name of the export; clients that give none get it too', '')
    .option('--read-only', 'refuse every write')
    .option('--max-connections <N>', 'clients at once', wholeNumber(1, 1024), 16)
    .option('--nbd-cert <FILE>', 'clients must use TLS 1.3, and this is the certificate, PEM')
    .option('--nbd-key <FILE>', 'its private key, PEM')
    .option('--nbd-client-ca <FILE>', "the CA that must have signed clients' certificates, PEM")
    .option('--nbd-psk-file <FILE>', 'TLS with pre-shared keys: lines identity:hexadecimal-key')
  return withLunOptions(command)
    .addOption(
      new Option('--log-level <LEVEL>', 'least level that is logged').choices(logLevels).default('info'),
    )
    .showHelpAfterError('(cygnet attach --help shows the options)')
    .action(attach)
}

async function attach(url: string, options: AttachOptions): Promise<void> {
  const listen = parseNbdListen(options.nbd)
  const log = createLog(options.logLevel)
  const { disk } = await openLun(url, options, { readOnly: options.readOnly === true })
  const tls = nbdTls(options)
  let server: NbdServer
  try {
    server = new NbdServer({
      listen,
      exports: [{ name: options.exportName, description: disk.description, device: disk }],
      maxConnections: options.maxConnections,
      ...(tls && { tls }),
      onEvent: (peer, event) => recordClient(log, peer, event),
    })
    await server.listen()
  } catch (error) {
    await disk.close()
    throw error
  }
  if (listen.kind === 'tcp' && !isLoopback(listen.host) && !(tls?.clientCaFile ?? tls?.pskFile))
    log.warn('NBD has no passwords: whoever reaches this address reads and writes the disk')
  const stop = stopper(server, disk, log)
  stopOnSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], () => stop(0))
  disk.onEvent((event) => {
    recordDevice(log, event)
    if (event.kind === 'failed') stop(1)
  })
  process.stdout.write(readyText(disk, server.address, options.exportName, tls))
}

function nbdTls({ nbdCert, nbdKey, nbdClientCa, nbdPskFile }: AttachOptions): TlsPortalOptions | undefined {
  if ([nbdCert, nbdKey, nbdClientCa, nbdPskFile].every((value) => value === undefined)) return undefined
  return {
    ...(nbdCert !== undefined && { certFile: nbdCert }),
    ...(nbdKey !== undefined && { keyFile: nbdKey }),
    ...(nbdClientCa !== undefined && { clientCaFile: nbdClientCa }),
    ...(nbdPskFile !== undefined && { pskFile: nbdPskFile }),
  }
}

/** @throws {CygnetError} ADDRESS_INVALID */
export function parseNbdListen(text: string): NbdAddress {
  if (!text.startsWith('unix:'))
    return { kind: 'tcp', ...parseAddress(text, { host: '127.0.0.1', port: NBD_PORT }) }
  const path = text.slice('unix:'.length)
  if (path === '' || Buffer.byteLength(path) > 107)
    throw new CygnetError('ADDRESS_INVALID', `A Unix socket's path has 1 to 107 bytes: "${path}" does not.`)
  return { kind: 'unix', path }
}

/**
 * Ends once: what clients have under way is answered, the disk flushed, the session closed. With no way to the disk, nothing of
 * that is waited for.
 */
function stopper(server: NbdServer, disk: ScsiDisk, log: Logger): (exitCode: number) => void {
  let isStopping = false
  return (exitCode) => {
    if (isStopping) return
    isStopping = true
    log.info('stopping')
    const stopped = server.stop()
    void Promise.race([stopped, cutOff(disk)])
      .then(() => disk.close())
      .then(() => stopped)
      .then(() => process.exit(exitCode))
  }
}

/** When no way to the disk works. */
const cutOff = (disk: ScsiDisk): Promise<void> =>
  new Promise((resolve) => {
    const look = (): void => void (disk.isUp || resolve())
    disk.onEvent(look)
    look()
  })

function readyText(
  disk: BlockDevice,
  address: NbdAddress,
  exportName: string,
  tls: TlsPortalOptions | undefined,
): string {
  const url = nbdUrl(address, exportName, tls !== undefined)
  const place = `${disk.description}, ${formatSize(disk.sizeBytes)}, ${disk.blockSizeBytes}-byte blocks${disk.readOnly ? ', read-only' : ''}, is at ${formatNbdAddress(address)}`
  const use = tls
    ? `TLS is wanted: with libnbd's tools, add ?tls-certificates=FOLDER (of ca-cert.pem) or ?tls-psk-file=FILE to
nbdinfo '${url}'`
    : howToUse(address, exportName, `'${url}'`)
  return `
${place}.

${use}

Ctrl-C ends it.
Ready: ${url}
`
}

const howToUse = (address: NbdAddress, exportName: string, quoted: string): string =>
  `Look at it:          nbdinfo ${quoted}
Copy it:             nbdcopy ${quoted} disk.img
QEMU:                qemu-system-x86_64 -drive file=${quoted},format=raw
A block device, with the nbd module, as root:
                     nbd-client ${address.kind === 'unix' ? `-unix ${address.path}` : `${address.host} ${address.port}`} /dev/nbd0${exportName === '' ? '' : ` -name ${exportName}`}
Without it, by FUSE: mkdir -p mnt && nbdfuse mnt/disk ${quoted} &`

/** The form that libnbd and QEMU read. */
export function nbdUrl(address: NbdAddress, exportName: string, isTls = false): string {
  const path = encodeURIComponent(exportName)
  const scheme = isTls ? 'nbds' : 'nbd'
  return address.kind === 'unix'
    ? `${scheme}+unix:///${path}?socket=${address.path}`
    : `${scheme}://${formatNbdAddress(address)}/${path}`
}

function recordClient(log: Logger, peer: string, event: NbdServerEvent): void {
  switch (event.kind) {
    case 'attached':
      log.info({ peer }, 'NBD client attached')
      break
    case 'detached':
      log.info({ peer }, 'NBD client detached')
      break
    case 'dropped':
      log.warn({ peer, reason: event.reason }, 'NBD client dropped')
      break
    case 'failed':
      log.error({ peer, request: event.request, reason: event.error.message }, 'NBD request failed')
      break
  }
}

function recordDevice(log: Logger, event: DeviceEvent): void {
  switch (event.kind) {
    case 'path-lost':
      log.warn({ path: event.path, reason: event.reason }, 'path lost')
      break
    case 'path-restored':
      log.info({ path: event.path, reason: event.reason }, 'path restored')
      break
    case 'capacity-changed':
      log.warn({ sizeBytes: event.sizeBytes }, 'capacity changed: NBD clients have to attach again to see it')
      break
    case 'luns-changed':
      log.info('the target has other LUNs than before')
      break
    case 'reservation-lost':
      log.warn({ reason: event.reason }, 'reservation lost')
      break
    case 'attention':
      log.info({ reason: event.reason }, 'unit attention')
      break
    case 'failed':
      log.error({ reason: event.error.message }, 'the disk cannot be used any more')
      break
  }
}
