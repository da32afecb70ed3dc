import { Command } from 'commander'
import { hex } from '../base/bytes.ts'
import { CygnetError } from '../base/errors.ts'
import { formatSize } from '../daemon/size.ts'
import { unitName } from '../initiator/disk-facts.ts'
import type { PathReport } from '../initiator/path-set.ts'
import type { ScsiDisk } from '../initiator/scsi-disk.ts'
import type { Session } from '../initiator/session.ts'
import type { Designator } from '../scsi/vpd.ts'
import { formatPortalAddress } from '../session/portal-address.ts'
import { escapeControls } from './log.ts'
import { withLunOptions } from './lun-options.ts'
import { type LunOptions, openLun } from './open-device.ts'
import { heading } from './progress.ts'

interface InfoOptions extends LunOptions {
  readonly json?: true
}

export function infoCommand(): Command {
  const command = new Command('info')
    .description('Say what a LUN is: identity, capacity, features, session and paths, on one screen.')
    .argument('<LUN-URL>', 'iscsi://HOST[:PORT]/TARGET/LUN')
    .option('--json', 'as JSON')
  return withLunOptions(command).showHelpAfterError('(cygnet info --help shows the options)').action(info)
}

async function info(url: string, options: InfoOptions): Promise<void> {
  const { disk, session, paths } = await openLun(url, options, { readOnly: true })
  await using open = disk
  const facts = { ...(await describe(open, session)), usedPaths: paths() }
  if (options.json) {
    process.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`)
    return
  }
  process.stdout.write(screen(facts))
}

type Facts = Awaited<ReturnType<typeof describe>> & { readonly usedPaths: readonly PathReport[] }

async function describe(disk: ScsiDisk, session: Session) {
  const { identity, capacity, limits, provisioning, rotationRate, writeCache, writeProtected, fua } =
    disk.facts
  const { inquiry } = identity
  const block = capacity.blockBytes
  const pingMs = await session.ping()
  return {
    identity: {
      vendor: inquiry.vendor,
      product: inquiry.product,
      revision: inquiry.revision,
      serialNumber: identity.serialNumber ?? null,
      name: unitName(identity),
      designators: identity.designators.map(formatDesignator),
      pages: [...identity.pages],
    },
    capacity: {
      sizeBytes: disk.sizeBytes,
      blocks: capacity.blocks,
      blockBytes: block,
      physicalBlockBytes: block * 2 ** capacity.physicalExponent,
    },
    features: {
      readOnly: writeProtected,
      writeCache: writeCache ?? null,
      fua,
      thin: capacity.thin,
      unmap: provisioning?.unmap ?? false,
      unmappedReadsZero: provisioning?.unmappedReadsZero ?? capacity.unmappedReadsZero,
      compareAndWriteBytes: disk.can.compareAndWriteBytes,
      rotationRate: rotationRate ?? null,
      maximumTransferBytes: (limits?.transferBlocks ?? 0) * block,
      optimalTransferBytes: (limits?.optimalTransferBlocks ?? 0) * block,
      maximumUnmapBytes: (limits?.unmapBlocks ?? 0) * block,
      maximumWriteSameBytes: (limits?.writeSameBlocks ?? 0) * block,
    },
    session: {
      target: session.target,
      alias: session.targetAlias,
      portal: formatPortalAddress(session.portal),
      portalGroup: session.portalGroupTag ?? null,
      initiator: session.initiatorName,
      authenticatedAs: session.targetUser,
      tsih: session.tsih,
      pingMs: Math.round(pingMs * 100) / 100,
      ...session.parameters,
      ...session.connectionParameters,
    },
    paths: await pathsOf(session),
  }
}

/** Other ways to the target, as far as it tells. */
async function pathsOf(session: Session): Promise<string[]> {
  try {
    const targets = await session.sendTargets()
    return targets.flatMap(({ portalGroups }) =>
      portalGroups.flatMap(({ tag, portals }) =>
        portals.map(
          (portal) => `${formatPortalAddress(portal)}${tag === undefined ? '' : `, portal group ${tag}`}`,
        ),
      ),
    )
  } catch (error) {
    // Not every target answers this in a session that does more than discovery.
    if (error instanceof CygnetError) return []
    throw error
  }
}

const associations = ['unit', 'port', 'device', 'reserved']
const types: Readonly<Record<number, string>> = {
  0: 'vendor',
  1: 't10',
  2: 'eui',
  3: 'naa',
  4: 'relative port',
  5: 'target port group',
  6: 'unit group',
  8: 'name',
}

/** `unit naa 6001405…`: binary ones in hexadecimal, the others as they are. */
function formatDesignator({ association, type, codeSet, value }: Designator): string {
  const isText = codeSet === 2 || codeSet === 3
  const text = isText ? new TextDecoder().decode(value).replace(/[\0 ]+$/, '') : hex(value)
  return `${associations[association]} ${types[type] ?? `type ${type}`} ${escapeControls(text)}`
}

function screen({ identity, capacity, features, session, paths, usedPaths }: Facts): string {
  const yesNo = (value: boolean): string => (value ? 'yes' : 'no')
  const size = (bytes: number): string => (bytes === 0 ? '' : formatSize(bytes))
  const digest = (isOn: boolean): string => (isOn ? 'CRC32C' : 'None')
  const sections: [title: string, rows: [name: string, value: string][]][] = [
    [
      `${identity.vendor} ${identity.product}, revision ${identity.revision}`,
      [
        ['Serial number', identity.serialNumber ?? ''],
        ...identity.designators.map((text): [string, string] => ['Designator', text]),
        ['VPD pages', identity.pages.map((page) => `${page.toString(16).padStart(2, '0')}h`).join(' ')],
      ],
    ],
    [
      'Disk',
      [
        [
          'Capacity',
          `${formatSize(capacity.sizeBytes)}: ${capacity.blocks} blocks of ${capacity.blockBytes} bytes`,
        ],
        ['Physical block', size(capacity.physicalBlockBytes)],
        ['Rotation', rotation(features.rotationRate)],
        ['Write-protected', yesNo(features.readOnly)],
        ['Write cache', features.writeCache === null ? 'not told' : features.writeCache ? 'on' : 'off'],
        ['Force unit access', yesNo(features.fua)],
        ['Thin provisioning', yesNo(features.thin)],
        ['UNMAP', `${yesNo(features.unmap)}${features.unmappedReadsZero ? ', reads as zeroes' : ''}`],
        ['Compare and write', size(features.compareAndWriteBytes) || 'no'],
        ['Largest transfer', size(features.maximumTransferBytes) || 'not told'],
        ['Best transfer', size(features.optimalTransferBytes) || 'not told'],
      ],
    ],
    [
      'Session',
      [
        ['Target', session.target],
        ['Alias', session.alias],
        [
          'Portal',
          `${session.portal}${session.portalGroup === null ? '' : `, portal group ${session.portalGroup}`}`,
        ],
        [
          'Authenticated',
          session.authenticatedAs === '' ? 'the target did not have to' : `as ${session.authenticatedAs}`,
        ],
        ['Ping', `${session.pingMs} ms`],
        ['Digests', `header ${digest(session.headerDigest)}, data ${digest(session.dataDigest)}`],
        [
          'Bursts',
          `first ${formatSize(session.firstBurstLength)}, largest ${formatSize(session.maxBurstLength)}`,
        ],
        ['Connections', `${session.maxConnections} at most`],
        ['Error recovery', `level ${session.errorRecoveryLevel}`],
        ['Initiator', session.initiator],
      ],
    ],
    ['Portals', paths.map((path, index): [string, string] => [`Portal ${index + 1}`, path])],
    [
      'Paths',
      usedPaths.map(({ path, lun, isUp, state = 'unknown' }): [string, string] => [
        path,
        `${isUp ? state : 'down'}, LUN ${lun}`,
      ]),
    ],
  ]
  return sections
    .map(([title, rows]) => {
      const shown = rows.filter(([, value]) => value !== '')
      const lines = shown.map(([name, value]) => `  ${name.padEnd(18)} ${escapeControls(value)}\n`)
      return shown.length === 0 ? '' : `${heading(escapeControls(title))}\n${lines.join('')}`
    })
    .join('')
}

function rotation(rate: number | null): string {
  if (rate === null || rate === 0) return ''
  return rate === 1 ? 'none (solid state)' : `${rate} a minute`
}
