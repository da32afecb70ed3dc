import { Command } from 'commander'
import { CygnetError } from '../base/errors.ts'
import { readSecret } from '../daemon/config/secrets.ts'
import type { SecretSource } from '../daemon/config/state.ts'
import type { DiscoveredTarget } from '../initiator/discovered-target.ts'
import { Initiator } from '../initiator/initiator.ts'
import type { ChapCredentials, InitiatorOptions } from '../initiator/options.ts'
import type { Transport } from '../initiator/ports.ts'
import type { Session } from '../initiator/session.ts'
import { escapeControls } from './log.ts'
import { nodeInitiatorRuntime } from '../runtime/initiator-runtime.ts'
import { tlsTransport } from '../runtime/initiator-socket.ts'
import { formatPortalAddress, type PortalAddress } from '../session/portal-address.ts'
import { formatSize } from '../daemon/size.ts'

interface DiscoverOptions {
  readonly user?: string
  readonly secretFile?: string
  readonly secretEnv?: string
  readonly mutualUser?: string
  readonly mutualSecretFile?: string
  readonly mutualSecretEnv?: string
  readonly initiatorName?: string
  readonly anonymousDiscovery?: true
  readonly login?: true
  readonly tls?: true
  readonly ca?: string
  readonly serverName?: string
  readonly cert?: string
  readonly key?: string
  readonly pskFile?: string
}

export function discoverCommand(): Command {
  return new Command('discover')
    .description('List the targets at an address, and the portals that they are reached through.')
    .argument(
      '<HOST[:PORT]>',
      'a portal: a host name, an IPv4 address or an [IPv6] address; port 3260 by default',
    )
    .option('--user <NAME>', 'CHAP: log in as this user')
    .option('--secret-file <FILE>', 'CHAP: a file with the secret in one line')
    .option('--secret-env <VARIABLE>', 'CHAP: an environment variable with the secret')
    .option('--mutual-user <NAME>', 'CHAP: the target must prove to be this user')
    .option('--mutual-secret-file <FILE>', 'CHAP: a file with the secret of the target in one line')
    .option('--mutual-secret-env <VARIABLE>', 'CHAP: an environment variable with the secret of the target')
    .option('--initiator-name <IQN>', 'the iSCSI name to log in with (default: made of the host name)')
    .option('--anonymous-discovery', 'authenticate for logins alone, not for the list of targets')
    .option('--login', 'log in to every target through each of its portals, and print what was negotiated')
    .option('--tls', 'connect with TLS 1.3; implied by the options that follow')
    .option(
      '--ca <FILE>',
      "TLS: the CA that has signed the target's certificate (default: the well-known ones)",
    )
    .option('--server-name <NAME>', 'TLS: the name in that certificate, where it is not the host')
    .option('--cert <FILE>', 'TLS: own certificate, PEM')
    .option('--key <FILE>', 'TLS: its private key, PEM')
    .option('--psk-file <FILE>', 'TLS: a pre-shared key, identity:hexadecimal-key, instead of certificates')
    .showHelpAfterError('(cygnet discover --help shows the options)')
    .action(discover)
}

async function discover(address: string, options: DiscoverOptions): Promise<void> {
  const runtime = nodeInitiatorRuntime()
  const initiator = new Initiator(runtime)
  const chap = credentialsOf(options)
  const transport = transportOf(options)
  const anonymous: InitiatorOptions = {
    ...(options.initiatorName !== undefined && { initiatorName: options.initiatorName }),
    ...(transport && { transport }),
  }
  const settings: InitiatorOptions = { ...anonymous, ...(chap && { chap }) }
  const targets = await initiator.discover(address, options.anonymousDiscovery ? anonymous : settings)
  if (targets.length === 0) process.stdout.write('There are no targets that this initiator may see.\n')
  let failures = 0
  for (const target of targets) {
    process.stdout.write(`${target.name}\n`)
    for (const { tag, portals } of target.portalGroups) {
      for (const portal of portals) {
        process.stdout.write(
          `  ${formatPortalAddress(portal)}${tag === undefined ? '' : `, portal group ${tag}`}\n`,
        )
        // oxlint-disable-next-line no-await-in-loop -- one after the other: the lines belong together
        if (options.login && !(await tryLogin(initiator, target, tag, portal, settings))) failures++
      }
    }
  }
  if (failures > 0) process.exitCode = 1
}

/** Logs in and out, and says what came of it; false where the login failed. */
async function tryLogin(
  initiator: Initiator,
  { name }: DiscoveredTarget,
  portalGroupTag: number | undefined,
  { host, port }: PortalAddress,
  settings: InitiatorOptions,
): Promise<boolean> {
  try {
    await using session = await initiator.openSession({
      ...settings,
      host,
      port,
      target: name,
      ...(portalGroupTag !== undefined && { portalGroupTag }),
    })
    process.stdout.write(describe(session, await session.ping()))
    return true
  } catch (error) {
    if (!(error instanceof CygnetError)) throw error
    process.stdout.write(`    ${escapeControls(error.message)}\n`)
    return false
  }
}

function describe(session: Session, pingMs: number): string {
  const { parameters, connectionParameters, targetAlias, targetUser, redirections, portal } = session
  const yesNo = (value: boolean): string => (value ? 'Yes' : 'No')
  const digest = (isOn: boolean): string => (isOn ? 'CRC32C' : 'None')
  const rows: [name: string, value: string][] = [
    [
      'Login',
      `successful${redirections.length > 0 ? `, after a redirection to ${formatPortalAddress(portal)}` : ''}`,
    ],
    ['Ping', `${pingMs.toFixed(1)} ms`],
    ['Target', targetUser === '' ? 'not authenticated' : `authenticated as ${targetUser}`],
    ['TargetAlias', targetAlias],
    ['HeaderDigest', digest(connectionParameters.headerDigest)],
    ['DataDigest', digest(connectionParameters.dataDigest)],
    ['MaxRecvDataSegmentLength', formatSize(connectionParameters.sendSegmentBytes)],
    ['MaxBurstLength', formatSize(parameters.maxBurstLength)],
    ['FirstBurstLength', formatSize(parameters.firstBurstLength)],
    ['InitialR2T', yesNo(parameters.initialR2T)],
    ['ImmediateData', yesNo(parameters.immediateData)],
    ['MaxOutstandingR2T', String(parameters.maxOutstandingR2T)],
    ['MaxConnections', String(parameters.maxConnections)],
    ['ErrorRecoveryLevel', String(parameters.errorRecoveryLevel)],
    ['DefaultTime2Wait', `${parameters.defaultTime2Wait} s`],
    ['DefaultTime2Retain', `${parameters.defaultTime2Retain} s`],
    ['TaskReporting', parameters.taskReporting],
    ['iSCSIProtocolLevel', String(parameters.iSCSIProtocolLevel)],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `    ${name.padEnd(width)}  ${escapeControls(value)}\n`)
    .join('')
}

function credentialsOf(options: DiscoverOptions): ChapCredentials | undefined {
  const { user, mutualUser } = options
  const secret = secretOf('secret', options.secretFile, options.secretEnv)
  const ofTarget = secretOf('mutual-secret', options.mutualSecretFile, options.mutualSecretEnv)
  if (user === undefined) {
    if (secret === undefined && ofTarget === undefined && mutualUser === undefined) return undefined
    throw new CygnetError('CREDENTIALS_INVALID', 'CHAP needs a user: give --user.')
  }
  if (secret === undefined)
    throw new CygnetError('CREDENTIALS_INVALID', 'CHAP needs a secret: give --secret-file or --secret-env.')
  if (mutualUser !== undefined && ofTarget === undefined) {
    const message =
      '--mutual-user needs the secret of the target: give --mutual-secret-file or --mutual-secret-env.'
    throw new CygnetError('CREDENTIALS_INVALID', message)
  }
  return {
    user,
    secret,
    ...(ofTarget && { mutual: { ...(mutualUser !== undefined && { user: mutualUser }), secret: ofTarget } }),
  }
}

function secretOf(
  option: string,
  path: string | undefined,
  name: string | undefined,
): Uint8Array | undefined {
  if (path !== undefined && name !== undefined)
    throw new CygnetError('CREDENTIALS_INVALID', `Give --${option}-file or --${option}-env, not both.`)
  let source: SecretSource
  if (path !== undefined) source = { kind: 'file', path }
  else if (name !== undefined) source = { kind: 'environment', name }
  else return undefined
  const read = readSecret(source, process.env)
  if (read.ok) return read.secret
  const what = path === undefined ? `--${option}-env` : `--${option}-file`
  throw new CygnetError('CREDENTIALS_INVALID', `${what} needs ${read.expected}, and there is ${read.found}.`)
}

function transportOf(options: DiscoverOptions): Transport | undefined {
  const { tls, ca, serverName, cert, key, pskFile } = options
  const isWanted = [tls, ca, serverName, cert, key, pskFile].some((value) => value !== undefined)
  if (!isWanted) return undefined
  return tlsTransport({
    ...(ca !== undefined && { caFile: ca }),
    ...(serverName !== undefined && { serverName }),
    ...(cert !== undefined && { certFile: cert }),
    ...(key !== undefined && { keyFile: key }),
    ...(pskFile !== undefined && { pskFile }),
  })
}
