import { networkInterfaces } from 'node:os'
import { type Address, formatAddress, ISCSI_PORT, isWildcard } from '../daemon/address.ts'
import type { RunningPortal, RunningServer, ServedTarget } from '../daemon/server.ts'
import { formatSize } from '../daemon/size.ts'

/** What to type on Linux, Windows and QEMU to use the disks, ending in lines that programs can look for. */
export function connectHelp(server: RunningServer): string {
  // Most initiators cannot do TLS: a plain portal is the one to show.
  const portal = server.portals.find(({ state }) => state.tls === null) ?? server.portals[0]
  const [first] = server.targets
  if (!portal || !first) return 'Nothing is served: the configuration has no portal or no target.\n'
  const isTls = portal.state.tls !== null
  const reached = isTls ? TUNNEL_ADDRESS : portalFor(portal)
  const local = localAddress(portal.address)
  const names = server.targets.map(({ state }) => state.name)
  const portalText = formatAddress(reached)
  const urls = (address: Address): string[] =>
    server.targets.flatMap(({ state, disks }) => disks.map(({ lun }) => iscsiUrl(address, state.name, lun)))
  return `
${server.targets.map((target) => describeTarget(target, server.portals)).join('\n')}
${isTls ? tunnelHelp(portalFor(portal)) : ''}
Linux, as root, with open-iscsi:
  iscsiadm -m discovery -t sendtargets -p ${portalText}
${lines(names, (name) => `iscsiadm -m node -T ${name} -p ${portalText} --login`)}
${lines(names, (name) => `iscsiadm -m node -T ${name} -p ${portalText} --logout`)}

Windows, in PowerShell as administrator:
  Start-Service MSiSCSI
  New-IscsiTargetPortal -TargetPortalAddress ${reached.host} -TargetPortalPortNumber ${reached.port}
${lines(names, (name) => `Connect-IscsiTarget -NodeAddress ${name}`)}
${lines(names, (name) => `Disconnect-IscsiTarget -NodeAddress ${name}`)}

QEMU:
${lines(urls(reached), (url) => `qemu-img info ${url}`)}

Ctrl-C ends it.
${urls(local)
  .map((url) => `Ready: ${url}`)
  .join('\n')}
`
}

/** Where a tunnel on the initiator's machine listens. */
const TUNNEL_ADDRESS: Address = { host: '127.0.0.1', port: ISCSI_PORT }

const tunnelHelp = (portal: Address): string => `
The portal speaks TLS. Where the initiator does not, run this beside it (more in docs/guides/tls.md):
  cygnet tunnel --listen ${formatAddress(TUNNEL_ADDRESS)} --to ${formatAddress(portal)} --ca CA_FILE
`

const lines = (items: readonly string[], line: (item: string) => string): string =>
  items.map((item) => `  ${line(item)}`).join('\n')

function describeTarget({ state, disks }: ServedTarget, portals: readonly RunningPortal[]): string {
  const addresses = portals
    .filter((portal) => state.groups.includes(portal.state.group))
    .map(({ address }) => formatAddress(address))
  const rows = disks.map(
    ({ lun, kind, sizeBytes, blockSizeBytes, readOnly, name }) =>
      `  LUN ${lun}   ${formatSize(sizeBytes)}${kind === 'cdrom' ? ' CD/DVD' : ''}, ${blockSizeBytes}-byte blocks${readOnly ? ', read-only' : ''}   ${name}`,
  )
  return [`Serving ${state.name} on ${addresses.join(', ')}`, ...rows].join('\n')
}

/** The URL form that libiscsi and QEMU read. */
const iscsiUrl = (portal: Address, targetName: string, lun: number): string =>
  `iscsi://${formatAddress(portal)}/${targetName}/${lun}`

/** Where others should connect: what is advertised, or an address of this machine. */
function portalFor({ state, address }: RunningPortal): Address {
  if (state.advertise !== null) return state.advertise
  const { host, port } = address
  if (!isWildcard(host)) return address
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')
  return outside === undefined ? localAddress(address) : { host: outside.address, port }
}

/** The address as this machine itself can use it. */
function localAddress({ host, port }: Address): Address {
  if (!isWildcard(host)) return { host, port }
  return { host: host === '::' ? '::1' : '127.0.0.1', port }
}
