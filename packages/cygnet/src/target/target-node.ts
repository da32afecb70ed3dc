import { AssertionError } from '../base/assert.ts'
import { LoginStatus } from '../pdu/login-status.ts'
import type { Nexus } from '../scsi/task.ts'
import type { Pair } from '../session/negotiator.ts'
import type {
  LoginAdmission,
  LoginIdentity,
  LoginRefusal,
  SessionClosure,
  SessionHome,
  TargetHost,
} from '../session/target-host.ts'
import { refuse } from '../session/target-host.ts'
import type { TargetSession } from '../session/target-session.ts'
import type { IscsiTarget } from './iscsi-target.ts'

export interface TargetNodeOptions {
  readonly targets: readonly IscsiTarget[]
  /**
   * `host:port` that SendTargets reports. Without it, the address that the initiator connected to: right unless
   * there is address translation in between.
   */
  readonly advertise?: string
}

/** The one portal group of a node. */
const PORTAL_GROUP_TAG = 1

/** The network entity's side of login and discovery: finds targets, says where they are. */
export class TargetNode implements TargetHost {
  readonly targets: ReadonlyMap<string, IscsiTarget>
  readonly #advertise: string | undefined
  readonly #discoverySessions = new Set<TargetSession>()
  #lastDiscoveryTsih = 0

  constructor(options: TargetNodeOptions) {
    this.targets = new Map(options.targets.map((target) => [target.name, target]))
    this.#advertise = options.advertise
  }

  /** Every session, of every kind. */
  *sessions(): Generator<TargetSession> {
    yield* this.#discoverySessions
    for (const target of this.targets.values()) yield* target.sessions
  }

  admit(identity: LoginIdentity): LoginAdmission | LoginRefusal {
    const target = this.targets.get(identity.targetName)
    if (identity.targetName !== '' && !target) {
      return refuse(LoginStatus.notFound, `there is no target ${identity.targetName}`)
    }
    return {
      ok: true,
      portalGroupTag: target ? PORTAL_GROUP_TAG : undefined,
      targetAlias: target?.alias ?? '',
      authMethods: ['None'],
      authenticator: () => {
        throw new AssertionError('no authentication method was offered')
      },
    }
  }

  establish(identity: LoginIdentity, session: TargetSession): SessionHome | LoginRefusal {
    const target = this.targets.get(identity.targetName)
    if (target) return target.establish(identity, session, PORTAL_GROUP_TAG)
    return this.#establishDiscovery(identity, session)
  }

  loginRefused(): void {}

  /** RFC 7143 Appendix C: `All` in discovery sessions only, a name anywhere, nothing for the session's own target. */
  sendTargets(session: TargetSession, value: string): Pair[] | undefined {
    const { type, targetName, localAddress } = session.identity
    if (value === 'All') {
      if (type !== 'Discovery') return undefined
      return [...this.targets.values()].flatMap((target) => this.#describe(target, localAddress))
    }
    const name = value === '' ? targetName : value
    if (name === '') return undefined
    const target = this.targets.get(name)
    return target ? this.#describe(target, localAddress) : []
  }

  sessionClosed(session: TargetSession, closure: SessionClosure): void {
    this.#discoverySessions.delete(session)
    this.targets.get(session.identity.targetName)?.closed(session, closure)
  }

  #describe(target: IscsiTarget, localAddress: string): Pair[] {
    return [
      ['TargetName', target.name],
      ['TargetAddress', `${this.#advertise ?? localAddress},${PORTAL_GROUP_TAG}`],
    ]
  }

  /** A discovery session that names no target is unique by initiator port and portal (RFC 7143 §7.4.2.1). */
  #establishDiscovery(identity: LoginIdentity, session: TargetSession): SessionHome | LoginRefusal {
    if (identity.tsih !== 0) {
      return refuse(LoginStatus.sessionDoesNotExist, 'a discovery session has one connection')
    }
    for (const other of this.#discoverySessions) {
      const { initiatorName, isid, localAddress } = other.identity
      if (initiatorName !== identity.initiatorName || isid !== identity.isid) continue
      if (localAddress !== identity.localAddress) continue
      other.close('reinstated')
      other.connection.drop('the initiator logged in again: session reinstatement')
    }
    this.#discoverySessions.add(session)
    const nexus: Nexus = {
      initiatorPortName: `${identity.initiatorName},i,0x${identity.isid}`,
      targetPortName: '',
      relativeTargetPortId: PORTAL_GROUP_TAG,
      reportLuns: () => [],
    }
    this.#lastDiscoveryTsih = (this.#lastDiscoveryTsih % 0xffff) + 1
    return { ok: true, tsih: this.#lastDiscoveryTsih, nexus, port: noPort }
  }
}

const noScsi = (): never => {
  throw new AssertionError('a SCSI request in a discovery session')
}
/** A discovery session has no SCSI side: its full feature phase takes no SCSI requests. */
const noPort: SessionHome['port'] = { submit: noScsi, resume: noScsi, abort: noScsi, manage: noScsi }
