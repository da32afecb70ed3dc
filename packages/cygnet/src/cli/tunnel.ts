import { Command, InvalidArgumentError, Option } from 'commander'
import type { Logger } from 'pino'
import { CygnetError } from '../base/errors.ts'
import { type Address, formatAddress, ISCSI_PORT, parseAddress } from '../daemon/address.ts'
import { ConnectionLog } from '../daemon/connection-log.ts'
import { type LogLevel, logLevels } from '../daemon/log-level.ts'
import { Tunnel, type TunnelEvent, type TunnelSide } from '../runtime/tunnel.ts'
import { createLog } from './log.ts'
import { stopOnSignals } from './stop-on-signals.ts'

/** Beside a target, on the port after iSCSI's own. */
const TLS_PORT = 3261

interface TunnelCommandOptions {
  readonly listen: string
  readonly to: string
  readonly acceptTls?: true
  readonly ca?: string
  readonly serverName?: string
  readonly cert?: string
  readonly key?: string
  readonly clientCa?: string
  readonly pskFile?: string
  readonly maxConnections: number
  readonly idleTimeout: number
  readonly logLevel: LogLevel
}

export function tunnelCommand(): Command {
  return new Command('tunnel')
    .description(
      'Carry iSCSI over TLS 1.3 for initiators and targets that cannot: plain in and TLS out, or TLS in and plain out.',
    )
    .requiredOption('--listen <HOST:PORT>', 'where to take connections')
    .requiredOption('--to <HOST:PORT>', 'where to carry them')
    .option('--accept-tls', 'beside a target: take TLS connections, and carry them on plain')
    .option(
      '--ca <FILE>',
      "the CA that has signed the target side's certificate (default: the well-known ones)",
    )
    .option(
      '--server-name <NAME>',
      "the name in the target side's certificate, where it is not the host of --to",
    )
    .option('--cert <FILE>', 'own certificate, PEM')
    .option('--key <FILE>', 'its private key, PEM')
    .option('--client-ca <FILE>', 'with --accept-tls: the CA that must have signed the clients’ certificates')
    .option('--psk-file <FILE>', 'pre-shared keys, lines identity:hexadecimal-key, instead of certificates')
    .option('--max-connections <N>', 'connections at once', count, 256)
    .option('--idle-timeout <SECONDS>', 'end a connection without a byte for so long; 0: never', count, 0)
    .addOption(
      new Option('--log-level <LEVEL>', 'least level that is logged').choices(logLevels).default('info'),
    )
    .showHelpAfterError('(cygnet tunnel --help shows the options)')
    .action(tunnel)
}

async function tunnel(options: TunnelCommandOptions): Promise<void> {
  const log = createLog(options.logLevel)
  const tlsLog = new ConnectionLog(log)
  const port = options.acceptTls ? [TLS_PORT, ISCSI_PORT] : [ISCSI_PORT, TLS_PORT]
  const to = parseAddress(options.to, { host: '', port: port[1] ?? TLS_PORT })
  const bridge = new Tunnel({
    listen: parseAddress(options.listen, { host: '127.0.0.1', port: port[0] ?? ISCSI_PORT }),
    to,
    side: sideOf(options),
    limits: { maxConnections: options.maxConnections, idleTimeoutMs: options.idleTimeout * 1000 },
    onEvent: (peer, event) => record(log, peer, event),
    onTlsEvent: (peer, event) => tlsLog.recordTls(peer, event),
  })
  await bridge.listen()
  if (options.acceptTls && options.clientCa === undefined && options.pskFile === undefined) {
    log.warn(
      'whoever reaches this tunnel gets to the target, which sees only the address of this machine: ask for proof with --client-ca or --psk-file',
    )
  } else if (options.acceptTls && options.cert !== undefined && options.clientCa === undefined) {
    log.warn(
      'with a certificate beside the keys, clients without a key come in too: leave out --cert and --key',
    )
  }
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  stopOnSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], () => {
    log.info('stopping')
    void bridge.stop().then(() => process.exit(0))
  })
  process.stdout.write(readyText(bridge.endpoint, to, options))
}

/** @throws {CygnetError} TUNNEL_OPTIONS */
function sideOf(options: TunnelCommandOptions): TunnelSide {
  const { acceptTls, ca, cert, key, clientCa, serverName, pskFile } = options
  const wrong = acceptTls
    ? (ca !== undefined && '--ca') || (serverName !== undefined && '--server-name')
    : clientCa !== undefined && '--client-ca'
  if (wrong) {
    const message = acceptTls
      ? `${wrong} is of the side without --accept-tls.`
      : `${wrong} needs --accept-tls.`
    throw new CygnetError('TUNNEL_OPTIONS', message)
  }
  const own = {
    ...(cert !== undefined && { certFile: cert }),
    ...(key !== undefined && { keyFile: key }),
    ...(pskFile !== undefined && { pskFile }),
  }
  if (acceptTls)
    return { kind: 'tls-in', tls: { ...own, ...(clientCa !== undefined && { clientCaFile: clientCa }) } }
  return {
    kind: 'tls-out',
    tls: {
      ...own,
      ...(ca !== undefined && { caFile: ca }),
      ...(serverName !== undefined && { serverName }),
    },
  }
}

const readyText = (listen: Address, to: Address, { acceptTls }: TunnelCommandOptions): string => `
${acceptTls ? 'TLS' : 'Plain'} connections to ${formatAddress(listen)} go to ${formatAddress(to)}${acceptTls ? '' : ', over TLS 1.3'}.
Ctrl-C ends it.
Ready: ${formatAddress(listen)}
`

function record(log: Logger, peer: string, event: TunnelEvent): void {
  switch (event.kind) {
    case 'opened':
      log.info({ peer }, 'tunnel opened')
      break
    case 'closed':
      log.info({ peer, sentBytes: event.sentBytes, receivedBytes: event.receivedBytes }, 'tunnel closed')
      break
    case 'failed':
      log.warn({ peer, reason: event.reason }, 'tunnel failed')
      break
  }
}

function count(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number.')
}
