import { Command } from 'commander'
import { CygnetError } from '../base/errors.ts'
import type { DiscoveredTarget } from '../initiator/discovered-target.ts'
import { Initiator } from '../initiator/initiator.ts'
import type { InitiatorOptions } from '../initiator/options.ts'
import type { Session } from '../initiator/session.ts'
import { escapeControls } from './log.ts'
import {
  anonymousLogin,
  type LoginOptions,
  loginSettings,
  withLoginOptions,
  withTlsOptions,
} from './login-options.ts'
import { nodeInitiatorRuntime } from '../runtime/initiator-runtime.ts'
import { formatPortalAddress, type PortalAddress } from '../session/portal-address.ts'
import { formatSize } from '../daemon/size.ts'

interface DiscoverOptions extends LoginOptions {
  readonly anonymousDiscovery?: true
  readonly login?: true
}

export function discoverCommand(): Command {
  const command = new Command('discover')
    .description('List the targets at an address, and the portals that they are reached through.')
    .argument(
      '<HOST[:PORT]>',
      'a portal: a host name, an IPv4 address or an [IPv6] address; port 3260 by default',
    )
  withLoginOptions(command)
    .option('--anonymous-discovery', 'authenticate for logins alone, not for the list of targets')
    .option('--login', 'log in to every target through each of its portals, and print what was negotiated')
  return withTlsOptions(command)
    .showHelpAfterError('(cygnet discover --help shows the options)')
    .action(discover)
}

async function discover(address: string, options: DiscoverOptions): Promise<void> {
  const initiator = new Initiator(nodeInitiatorRuntime())
  const settings = loginSettings(options)
  const targets = await initiator.discover(
    address,
    options.anonymousDiscovery ? anonymousLogin(options) : settings,
  )
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
