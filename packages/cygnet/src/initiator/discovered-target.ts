import { CygnetError } from '../base/errors.ts'
import { peerName } from '../session/iscsi-name.ts'
import type { Pair } from '../session/negotiator.ts'
import { parseTargetAddress, type PortalAddress } from '../session/portal-address.ts'

/** Portals that may serve one session together (RFC 7143 §4.2.6). */
export interface PortalGroup {
  /** Target portal group tag, 0..65535; undefined where the target did not say. */
  readonly tag: number | undefined
  readonly portals: readonly PortalAddress[]
}

export interface DiscoveredTarget {
  /** Normalised iSCSI name. */
  readonly name: string
  /** In the order of the answer. */
  readonly portalGroups: readonly PortalGroup[]
}

const invalid = (what: string): CygnetError =>
  new CygnetError(
    'DISCOVERY_ANSWER_INVALID',
    `The list of targets cannot be read (${what}): update or report the target's software.`,
  )

/**
 * Reads the answer to SendTargets (RFC 7143 Appendix C). `asked`: the portal that was asked, where a target without an
 * address of its own is.
 * @throws {CygnetError} DISCOVERY_REFUSED, DISCOVERY_ANSWER_INVALID
 */
export function readTargets(pairs: readonly Pair[], asked: PortalAddress): DiscoveredTarget[] {
  const targets: { name: string; groups: Map<number | undefined, PortalAddress[]> }[] = []
  for (const [key, value] of pairs) {
    if (key === 'TargetName') {
      const name = peerName(value)
      if (name === undefined) throw invalid(`"${value.slice(0, 80)}" is not an iSCSI name`)
      targets.push({ name, groups: new Map() })
    } else if (key === 'TargetAddress') {
      addPortal(targets.at(-1)?.groups, value)
    } else if (key === 'SendTargets') {
      throw new CygnetError(
        'DISCOVERY_REFUSED',
        `The target does not answer this question in this session (SendTargets=${value}): use discovery.`,
      )
    } else throw invalid(`${key} has no place in it`)
  }
  return targets.map(({ name, groups }) => ({
    name,
    portalGroups:
      groups.size === 0
        ? [{ tag: undefined, portals: [asked] }]
        : [...groups].map(([tag, portals]) => ({ tag, portals })),
  }))
}

function addPortal(groups: Map<number | undefined, PortalAddress[]> | undefined, value: string): void {
  const portal = parseTargetAddress(value)
  if (portal === undefined) throw invalid(`"${value.slice(0, 80)}" is not an address`)
  if (groups === undefined) throw invalid('an address comes before the first target')
  const { host, port, portalGroupTag } = portal
  const portals = groups.get(portalGroupTag) ?? []
  portals.push({ host, port })
  groups.set(portalGroupTag, portals)
}
