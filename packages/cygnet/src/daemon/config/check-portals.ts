import { formatAddress } from '../address.ts'
import { errorAt, type Finding } from './finding.ts'
import { formatPath, type Path } from './problem.ts'
import type { SoundPart } from './prune.ts'
import type { PortalConfig } from './schema.ts'
import { advertisedAddress } from './state.ts'

/** What is wrong with portals although each of their settings fits the schema. */
export const checkPortals = (part: SoundPart): Finding[] =>
  part.config.portals.flatMap((portal, i) => checkAddresses(part, portal, i))

function checkAddresses(part: SoundPart, { listen, advertise }: PortalConfig, i: number): Finding[] {
  const { portals } = part.config
  const path: Path = ['portals', i]
  const findings: Finding[] = []
  const same = portals.slice(0, i).findIndex((other) => overlap(other.listen, listen))
  if (same !== -1) {
    const other = formatPath(part.inFile(['portals', same]))
    findings.push(
      errorAt([...path, 'listen'], {
        expected: 'an address that no other portal listens on',
        found: `${formatAddress(listen)}, which ${other} listens on`,
        remedy: 'remove one of the two, or choose another port',
      }),
    )
  }
  if (advertise && !advertisedAddress(advertise, listen)) {
    findings.push(
      errorAt([...path, 'advertise'], {
        expected: 'an address with a port',
        found: `"${advertise.host}"`,
        remedy: 'add the port, since the listening port is not fixed',
      }),
    )
  }
  return findings
}

/** Whether the second to listen there would be refused. Port 0 is a free one each time. */
function overlap(a: PortalConfig['listen'], b: PortalConfig['listen']): boolean {
  if (a.port !== b.port || a.port === 0) return false
  return a.host === b.host || covers(a.host, b.host) || covers(b.host, a.host)
}

/** An IPv6 socket for every network takes IPv4 connections too. */
const covers = (wildcard: string, host: string): boolean =>
  wildcard === '::' || (wildcard === '0.0.0.0' && /^[\d.]+$/.test(host))
