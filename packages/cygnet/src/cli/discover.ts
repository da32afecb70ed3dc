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
  readonly json?: true
}

/** A login that was tried, in words of RFC 7143; or why it failed. */
type LoginReport = ReturnType<typeof factsOf> | { readonly error: { code: string; message: string } }

/** A portal of a target, as `--json` prints it. */
interface PortalReport extends PortalAddress {
  readonly portalGroup: number | null
  readonly login?: LoginReport
}

interface TargetReport {
  readonly target: string
  readonly portals: readonly PortalReport[]
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
    .option('--json', 'as JSON')
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
  if (targets.length === 0 && !options.json)
    process.stdout.write('There are no targets that this initiator may see.\n')
  const reports: TargetReport[] = []
  /* oxlint-disable no-await-in-loop -- one after the other: the lines belong together */
  for (const target of targets) {
    if (!options.json) process.stdout.write(`${target.name}\n`)
    const portals: PortalReport[] = []
    for (const { tag, portals: addresses } of target.portalGroups) {
      for (const { host, port } of addresses) {
        const portal = { host, port, portalGroup: tag ?? null }
        if (!options.json) process.stdout.write(describePortal(portal))
        const login = options.login && (await tryLogin(initiator, target, portal, settings))
        if (login && !options.json) process.stdout.write(describeLogin(login, portal))
        portals.push({ ...portal, ...(login && { login }) })
      }
    }
    reports.push({ target: target.name, portals })
  }
  /* oxlint-enable no-await-in-loop */
  if (options.json) process.stdout.write(`${JSON.stringify(reports, undefined, 2)}\n`)
  if (reports.some(({ portals }) => portals.some(({ login }) => login && 'error' in login)))
    process.exitCode = 1
}

const describePortal = (portal: PortalReport): string =>
  `  ${formatPortalAddress(portal)}${portal.portalGroup === null ? '' : `, portal group ${portal.portalGroup}`}\n`

/** Logs in and out. */
async function tryLogin(
  initiator: Initiator,
  { name }: DiscoveredTarget,
  { host, port, portalGroup }: PortalReport,
  settings: InitiatorOptions,
): Promise<LoginReport> {
  try {
    await using session = await initiator.openSession({
      ...settings,
      host,
      port,
      target: name,
      ...(portalGroup !== null && { portalGroupTag: portalGroup }),
    })
    return factsOf(session, await session.ping())
  } catch (error) {
    if (!(error instanceof CygnetError)) throw error
    return { error: { code: error.code, message: error.message } }
  }
}

const factsOf = (session: Session, pingMs: number) => ({
  pingMs: Math.round(pingMs * 100) / 100,
  /** After redirections. */
  portal: formatPortalAddress(session.portal),
  authenticatedAs: session.targetUser,
  alias: session.targetAlias,
  ...session.parameters,
  ...session.connectionParameters,
})

function describeLogin(login: LoginReport, asked: PortalAddress): string {
  if ('error' in login) return `    ${escapeControls(login.error.message)}\n`
  const yesNo = (value: boolean): string => (value ? 'Yes' : 'No')
  const digest = (isOn: boolean): string => (isOn ? 'CRC32C' : 'None')
  const wasRedirected = login.portal !== formatPortalAddress(asked)
  const rows: [name: string, value: string][] = [
    ['Login', `successful${wasRedirected ? `, after a redirection to ${login.portal}` : ''}`],
    ['Ping', `${login.pingMs.toFixed(1)} ms`],
    [
      'Target',
      login.authenticatedAs === '' ? 'not authenticated' : `authenticated as ${login.authenticatedAs}`,
    ],
    ['TargetAlias', login.alias],
    ['HeaderDigest', digest(login.headerDigest)],
    ['DataDigest', digest(login.dataDigest)],
    ['MaxRecvDataSegmentLength', formatSize(login.sendSegmentBytes)],
    ['MaxBurstLength', formatSize(login.maxBurstLength)],
    ['FirstBurstLength', formatSize(login.firstBurstLength)],
    ['InitialR2T', yesNo(login.initialR2T)],
    ['ImmediateData', yesNo(login.immediateData)],
    ['MaxOutstandingR2T', String(login.maxOutstandingR2T)],
    ['MaxConnections', String(login.maxConnections)],
    ['ErrorRecoveryLevel', String(login.errorRecoveryLevel)],
    ['DefaultTime2Wait', `${login.defaultTime2Wait} s`],
    ['DefaultTime2Retain', `${login.defaultTime2Retain} s`],
    ['TaskReporting', login.taskReporting],
    ['iSCSIProtocolLevel', String(login.iSCSIProtocolLevel)],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `    ${name.padEnd(width)}  ${escapeControls(value)}\n`)
    .join('')
}
