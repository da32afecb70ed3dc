import type { Clock } from '../base/clock.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import type { TargetSession } from '../session/target-role/target-session.ts'
import { type AuthPolicy, noAuthentication } from './auth-policy.ts'
import { DiscoverySessions } from './discovery-sessions.ts'
import type { IscsiTarget } from './iscsi-target.ts'
import { LoginThrottle, type LoginThrottleLimits } from './login-throttle.ts'
import { type PortalNode, type PortalOptions, TargetPortal } from './target-portal.ts'

export interface TargetNodeOptions {
  readonly targets: readonly IscsiTarget[]
  readonly clock: Clock
  /** How initiators authenticate themselves for discovery. */
  readonly discoveryAuth?: AuthPolicy
  readonly throttle?: LoginThrottleLimits
}

/** Everything that logs in somewhere here: the targets, the portals, and what they share. */
export class TargetNode implements PortalNode {
  readonly targets: ReadonlyMap<string, IscsiTarget>
  readonly discoveryAuth: AuthPolicy
  readonly discoverySessions = new DiscoverySessions()
  readonly #portals: TargetPortal[] = []
  readonly #throttle: LoginThrottle

  constructor(options: TargetNodeOptions) {
    this.targets = new Map(options.targets.map((target) => [target.name, target]))
    this.discoveryAuth = options.discoveryAuth ?? noAuthentication
    this.#throttle = new LoginThrottle(options.clock, options.throttle)
  }

  get portals(): readonly TargetPortal[] {
    return this.#portals
  }

  /** A portal through which the targets of its group are reached. */
  addPortal(options: PortalOptions): TargetHost {
    const portal = new TargetPortal(this, options)
    this.#portals.push(portal)
    return portal
  }

  /** Every session, of every kind. */
  *sessions(): Generator<TargetSession> {
    yield* this.discoverySessions
    for (const target of this.targets.values()) yield* target.sessions
  }

  loginWaitMs(address: string): number {
    return this.#throttle.waitMs(address)
  }

  authenticationFailed(address: string): void {
    this.#throttle.failed(address)
  }
}
