import { formatAddress } from '../address.ts'
import { errorAt, errorAtKey, type Finding } from './finding.ts'
import type { Path } from './problem.ts'
import type { SoundPart } from './prune.ts'
import type { PortalConfig, TlsConfig } from './schema.ts'
import { advertisedAddress } from './state.ts'

/** What is wrong with portals although each of their settings fits the schema. */
export function checkPortals({ config }: SoundPart): Finding[] {
  const { portals } = config
  return portals.flatMap((portal, i) => {
    const path = ['portals', i]
    return [
      ...checkAddresses(portal, portals.slice(0, i), path),
      ...(portal.tls ? checkTls(portal.tls, [...path, 'tls']) : []),
    ]
  })
}

function checkAddresses(portal: PortalConfig, before: readonly PortalConfig[], path: Path): Finding[] {
  const { listen, advertise } = portal
  const findings: Finding[] = []
  const same = before.findIndex((other) => overlap(other.listen, listen))
  if (same !== -1) {
    findings.push(
      errorAt([...path, 'listen'], {
        expected: 'an address that no other portal listens on',
        found: `${formatAddress(listen)}, which portals[${same}] listens on`,
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

function checkTls({ certFile, keyFile, clientCaFile, psk }: TlsConfig, path: Path): Finding[] {
  const findings: Finding[] = []
  const expected = 'certFile and keyFile, or psk'
  if (certFile !== undefined && keyFile === undefined) {
    findings.push(errorAtKey(path, { expected, found: 'certFile alone', remedy: 'add keyFile' }))
  } else if (certFile === undefined && keyFile !== undefined) {
    findings.push(errorAtKey(path, { expected, found: 'keyFile alone', remedy: 'add certFile' }))
  } else if (certFile === undefined && psk.length === 0) {
    findings.push(errorAtKey(path, { expected, found: 'neither', remedy: 'add certFile and keyFile' }))
  }
  if (clientCaFile !== undefined && certFile === undefined) {
    findings.push(
      errorAtKey([...path, 'clientCaFile'], {
        expected: 'clientCaFile with certFile and keyFile',
        found: 'clientCaFile without them',
        remedy: 'clients show certificates only to a server that has one: add certFile and keyFile',
      }),
    )
  }
  const identities = psk.map(({ identity }) => identity)
  for (const [i, identity] of identities.entries()) {
    if (identities.indexOf(identity) === i) continue
    findings.push(
      errorAt([...path, 'psk', i, 'identity'], {
        expected: 'an identity of its own for each key',
        found: `"${identity}" again`,
        remedy: 'remove one of the two, or rename it',
      }),
    )
  }
  return findings
}
