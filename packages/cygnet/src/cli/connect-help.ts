import { networkInterfaces } from 'node:os'
import { type Address, formatAddress, isWildcard } from '../daemon/address.ts'
import type { RunningServer } from '../daemon/server.ts'
import { formatSize } from '../daemon/size.ts'

/** What to type on Linux, Windows and QEMU to use the disks, ending in a line that programs can look for. */
export function connectHelp(server: RunningServer): string {
  const { targetName, disks } = server
  const portal = portalFor(server)
  const portalText = formatAddress(portal)
  const rows = disks.map(
    ({ lun, sizeBytes, blockSizeBytes, readOnly, name }) =>
      `  LUN ${lun}   ${formatSize(sizeBytes)}, ${blockSizeBytes}-byte blocks${readOnly ? ', read-only' : ''}   ${name}`,
  )
  const qemu = disks.map(({ lun }) => `  qemu-img info ${iscsiUrl(portal, targetName, lun)}`)
  return `
Serving ${targetName} on ${formatAddress(server.address)}
${rows.join('\n')}

Linux, as root, with open-iscsi:
  iscsiadm -m discovery -t sendtargets -p ${portalText}
  iscsiadm -m node -T ${targetName} -p ${portalText} --login
  iscsiadm -m node -T ${targetName} -p ${portalText} --logout

Windows, in PowerShell as administrator:
  Start-Service MSiSCSI
  New-IscsiTargetPortal -TargetPortalAddress ${portal.host} -TargetPortalPortNumber ${portal.port}
  Connect-IscsiTarget -NodeAddress ${targetName}
  Disconnect-IscsiTarget -NodeAddress ${targetName}

QEMU:
${qemu.join('\n')}

Ctrl-C ends it.
Ready: ${iscsiUrl(localAddress(server.address), targetName, disks[0]?.lun ?? 0)}
`
}

/** The URL form that libiscsi and QEMU read. */
const iscsiUrl = (portal: Address, targetName: string, lun: number): string =>
  `iscsi://${formatAddress(portal)}/${targetName}/${lun}`

/** Where others should connect: what is advertised, or an address of this machine. */
function portalFor(server: RunningServer): Address {
  if (server.advertise !== undefined) return server.advertise
  const { host, port } = server.address
  if (!isWildcard(host)) return server.address
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')
  return outside === undefined ? localAddress(server.address) : { host: outside.address, port }
}

/** The address as this machine itself can use it. */
function localAddress({ host, port }: Address): Address {
  if (!isWildcard(host)) return { host, port }
  return { host: host === '::' ? '::1' : '127.0.0.1', port }
}
