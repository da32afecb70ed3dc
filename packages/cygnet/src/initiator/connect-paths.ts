import { formatPortalAddress } from '../session/portal-address.ts'
import type { DeviceEvent } from './block-device.ts'
import type { Initiator } from './initiator.ts'
import { parsePortal, type SessionOptions } from './options.ts'
import type { PathPlan } from './path.ts'
import { PathSet } from './path-set.ts'
import type { Timing } from './scsi-executor.ts'
import type { Session } from './session.ts'
import { parseIscsiUrl } from './url.ts'

/** More ways to the same logical unit. */
export interface PathOptions {
  /**
   * `discover`: all portals that the target tells. Or portals, `HOST[:PORT]`, of the same target; or URLs of other
   * targets, whose LUN is the first one's where they have none. Default: the one way that was named.
   */
  readonly paths?: 'discover' | readonly string[]
}

/** What this needs of an initiator. */
export type SessionOpener = Pick<Initiator, 'openSession'>

/** Where to log in, and the LUN there, where it is not the first place's. */
interface Place extends SessionOptions {
  readonly lun?: number
}

/** With another path to go, a silent one is given up soon: a pause of all I/O stays under five seconds. */
const IMPATIENT = {
  loginTimeoutMs: 3000,
  nopIntervalMs: 1000,
  nopTimeoutMs: 2000,
  requestTimeoutMs: 3000,
}
const CONNECT_TIMEOUT_MS = 3000

/**
 * Opens several paths to a logical unit.
 * @throws {CygnetError} as `PathSet.open`; ADDRESS_INVALID, URL_INVALID
 */
export async function openPaths(
  initiator: SessionOpener,
  timing: Timing,
  all: SessionOptions & PathOptions & { readonly lun: number; readonly reopenLimitMs: number },
  onEvent: (event: DeviceEvent) => void,
): Promise<PathSet<Session>> {
  const base: SessionOptions = {
    ...all,
    connectTimeoutMs: all.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    limits: { ...IMPATIENT, ...all.limits },
    // The other paths are what a lost session is made up for by.
    reopenLimitMs: 0,
  }
  const places =
    all.paths === 'discover' ? await discoverPlaces(initiator, base) : named(base, all.paths ?? [])
  const plans = [base, ...places].map((place: Place): PathPlan<Session> => {
    const { host, port = 3260, lun = all.lun, ...options } = place
    return {
      name: formatPortalAddress({ host, port }),
      lun,
      open: (isid) => initiator.openSession({ ...options, host, port, ...(isid && { isid }) }),
    }
  })
  return PathSet.open({ plans, timing, waitLimitMs: all.reopenLimitMs, onEvent })
}

/** @throws {CygnetError} ADDRESS_INVALID, URL_INVALID */
function named(base: SessionOptions, paths: readonly string[]): Place[] {
  return paths.map((text) => {
    if (!/^iscsi:\/\//i.test(text)) return elsewhere(base, parsePortal(text))
    const { host, port, target, lun } = parseIscsiUrl(text)
    return { ...elsewhere({ ...base, target }, { host, port }), ...(lun !== undefined && { lun }) }
  })
}

/** Every portal that the target tells, but for the one that it was asked at. */
async function discoverPlaces(initiator: SessionOpener, base: SessionOptions): Promise<SessionOptions[]> {
  await using session = await initiator.openSession(base)
  const asked = formatPortalAddress(session.portal)
  const targets = await session.sendTargets()
  return targets
    .filter(({ name }) => name === session.target)
    .flatMap(({ portalGroups }) => portalGroups)
    .flatMap(({ tag, portals }) => portals.map((portal) => ({ tag, portal })))
    .filter(({ portal }) => formatPortalAddress(portal) !== asked)
    .map(({ tag, portal }) => elsewhere(base, portal, tag))
}

/** The same login at another portal. */
function elsewhere(
  base: SessionOptions,
  { host, port }: { readonly host: string; readonly port: number },
  portalGroupTag?: number,
): SessionOptions {
  const { portalGroupTag: _, isid: __, ...rest } = base
  return { ...rest, host, port, ...(portalGroupTag !== undefined && { portalGroupTag }) }
}
