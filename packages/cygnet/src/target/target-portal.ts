import { LoginStatus } from '../pdu/login-status.ts'
import { peerName } from '../session/iscsi-name.ts'
import { type Authenticator, failed } from '../session/auth/authenticator.ts'
import type { Pair } from '../session/negotiator.ts'
import type {
  LoginAdmission,
  LoginIdentity,
  LoginRefusal,
  SessionClosure,
  SessionHome,
  TargetHost,
} from '../session/target-role/target-host.ts'
import { redirect, refuse } from '../session/target-role/target-host.ts'
import type { TargetSession } from '../session/target-role/target-session.ts'
import { addressOf } from './access.ts'
import type { IscsiTarget } from './iscsi-target.ts'
import type { AuthPolicy } from './auth-policy.ts'
import type { DiscoverySessions } from './discovery-sessions.ts'

export interface PortalOptions {
  /** Portal group tag, 0..65535. */
  readonly group: number
  /**
   * `host:port` that discovery reports. Without it, the address that it listens on; where that is every address, the
   * one that the initiator connected to, which is right unless there is address translation in between.
   */
  readonly advertise?: string
  /** `host:port` that it listens on, known once it does. */
  readonly endpoint: () => string
  /** Logins of the whole group are sent elsewhere. */
  readonly moved?: { readonly address: string; readonly permanent: boolean }
}

/** What the portals of a node share. */
export interface PortalNode {
  readonly targets: ReadonlyMap<string, IscsiTarget>
  readonly portals: readonly TargetPortal[]
  readonly discoveryAuth: AuthPolicy
  readonly discoverySessions: DiscoverySessions
  /** Milliseconds that an address has to wait after failed authentications. */
  loginWaitMs(address: string): number
  authenticationFailed(address: string): void
}

/** A network portal's view of the node: login and discovery through one address. */
export class TargetPortal implements TargetHost {
  readonly options: PortalOptions
  readonly #node: PortalNode

  constructor(node: PortalNode, options: PortalOptions) {
    this.#node = node
    this.options = options
  }

  admit(identity: LoginIdentity): LoginAdmission | LoginRefusal {
    const address = addressOf(identity.peerAddress)
    const waitMs = this.#node.loginWaitMs(address)
    if (waitMs > 0) {
      const reason = `${address} has to wait ${Math.ceil(waitMs)} ms after failed authentications`
      return refuse(LoginStatus.serviceUnavailable, reason)
    }
    if (identity.targetName === '') return this.#admitDiscovery(address)
    const target = this.#node.targets.get(identity.targetName)
    if (!target?.isServedBy(this.options.group)) {
      return refuse(LoginStatus.notFound, `there is no target ${identity.targetName} at this portal`)
    }
    if (target.isRemoved) {
      return refuse(LoginStatus.targetRemoved, `the target ${identity.targetName} is removed`)
    }
    const moved = target.moved ?? this.options.moved
    if (moved) {
      const { targetMovedPermanently, targetMovedTemporarily } = LoginStatus
      return redirect(moved.permanent ? targetMovedPermanently : targetMovedTemporarily, moved.address)
    }
    if (!target.accessFor({ ...identity, address, user: undefined })) {
      return refuse(LoginStatus.authorizationFailure, 'no access rule of the target fits')
    }
    const { auth } = identity.type === 'Discovery' ? { auth: this.#node.discoveryAuth } : target
    return {
      ok: true,
      portalGroupTag: this.options.group,
      targetAlias: target.alias,
      authMethods: auth.methods,
      authenticator: (method) => this.#throttled(auth.authenticator(method), address),
    }
  }

  establish(identity: LoginIdentity, session: TargetSession): SessionHome | LoginRefusal {
    const target = this.#node.targets.get(identity.targetName)
    if (target) return target.establish(identity, session, this.options.group)
    return this.#node.discoverySessions.establish(identity, session, this.options.group)
  }

  join(identity: LoginIdentity): TargetSession | LoginRefusal {
    const target = this.#node.targets.get(identity.targetName)
    if (target) return target.findJoined(identity, this.options.group)
    return refuse(LoginStatus.sessionDoesNotExist, 'a discovery session has one connection')
  }

  authenticationFailed(peerAddress: string): void {
    this.#node.authenticationFailed(addressOf(peerAddress))
  }

  /**
   * RFC 7143 Appendix C: in discovery sessions, `All` targets or any one by name. A normal session is told of its own target and
   * no other, by name or by nothing; `All` must not be supported there. Undefined where it is no name at all. What an initiator
   * may not log in to it does not see.
   */
  sendTargets(session: TargetSession, value: string): Pair[] | undefined {
    const { identity } = session
    if (value === 'All') {
      if (identity.type !== 'Discovery') return undefined
      return [...this.#node.targets.values()].flatMap((target) => this.#describe(target, identity))
    }
    const name = value === '' ? identity.targetName : peerName(value)
    if (name === undefined || name === '') return undefined
    if (identity.type === 'Normal' && name !== identity.targetName) return []
    const target = this.#node.targets.get(name)
    return target ? this.#describe(target, identity) : []
  }

  sessionClosed(session: TargetSession, closure: SessionClosure): void {
    this.#node.discoverySessions.closed(session)
    this.#node.targets.get(session.identity.targetName)?.closed(session, closure)
  }

  #admitDiscovery(address: string): LoginAdmission {
    const auth = this.#node.discoveryAuth
    return {
      ok: true,
      portalGroupTag: undefined,
      targetAlias: '',
      authMethods: auth.methods,
      authenticator: (method) => this.#throttled(auth.authenticator(method), address),
    }
  }

  /** Many logins that began together may not each have a guess: the wait counts at the proof as well. */
  #throttled(inner: Authenticator, address: string): Authenticator {
    return {
      start: () => inner.start(),
      receive: (pairs) => {
        const waitMs = this.#node.loginWaitMs(address)
        return waitMs > 0 ? failed(`${address} has to wait ${Math.ceil(waitMs)} ms`) : inner.receive(pairs)
      },
    }
  }

  /** One target and the portals of its groups, nothing where the initiator may not log in to it. */
  #describe(target: IscsiTarget, identity: LoginIdentity): Pair[] {
    const address = addressOf(identity.peerAddress)
    if (target.isRemoved || !target.accessFor({ ...identity, address, user: undefined })) return []
    const addresses = this.#node.portals
      .filter(({ options }) => target.isServedBy(options.group))
      .map(({ options }): Pair => {
        return ['TargetAddress', `${portalAddress(options, identity.localAddress)},${options.group}`]
      })
    return addresses.length === 0 ? [] : [['TargetName', target.name], ...addresses]
  }
}

/** Where an initiator that has reached us at `localAddress` finds a portal. */
function portalAddress({ advertise, endpoint }: PortalOptions, localAddress: string): string {
  if (advertise !== undefined) return advertise
  const listening = endpoint()
  const host = addressOf(listening)
  if (host !== '0.0.0.0' && host !== '::') return listening
  const reachedHost = localAddress.slice(0, localAddress.lastIndexOf(':'))
  return `${reachedHost}${listening.slice(listening.lastIndexOf(':'))}`
}
