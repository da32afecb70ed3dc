import type { LogicalUnit } from '../device/logical-unit.ts'
import type { TargetPortGroups } from '../device/target-port-groups.ts'
import { LoginStatus } from '../pdu/login-status.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { AccessState } from '../scsi/target-port-groups.ts'
import type { Nexus } from '../scsi/task.ts'
import type {
  LoginIdentity,
  LoginRefusal,
  SessionClosure,
  SessionHome,
} from '../session/target-role/target-host.ts'
import { refuse } from '../session/target-role/target-host.ts'
import type { TargetSession } from '../session/target-role/target-session.ts'
import { type AccessRule, type Applicant, addressOf, findAccess } from './access.ts'
import { type AuthPolicy, noAuthentication } from './auth-policy.ts'
import { NexusPort } from './nexus-port.ts'

/** What a target serves, and to whom. */
export interface TargetOptions {
  /** iSCSI name, normalised (RFC 7143 §4.2.7). */
  readonly name: string
  readonly alias?: string
  /** LUN (0..16383) to logical unit. */
  readonly units: ReadonlyMap<number, LogicalUnit>
  /** Portal groups that it is reached through; all where not given. */
  readonly groups?: ReadonlySet<number>
  /** How good the path through each portal group is; the same object as its units have. */
  readonly portGroups?: TargetPortGroups
  readonly auth?: AuthPolicy
  /** The first rule that fits decides. */
  readonly access: readonly AccessRule[]
  /** Sessions at the same time, 1..65535. */
  readonly maxSessions?: number
  /** Logins are sent elsewhere (RFC 7143 §11.13.5, class 1). */
  readonly moved?: { readonly address: string; readonly permanent: boolean }
  /** It is gone for good, and logins are told so (0204). */
  readonly removed?: boolean
}

const LARGEST_TSIH = 0xffff
/** Sessions without a connection, beyond which a login ends the oldest before Time2Retain is over. */
const LOST_SESSIONS_KEPT = 64

/** What may change while initiators are logged in. */
export type TargetChange = Partial<Pick<TargetOptions, 'alias' | 'units' | 'auth' | 'access'>>

/** What a session has here. */
interface Place {
  readonly nexus: { -readonly [key in keyof Nexus]: Nexus[key] }
  readonly port: NexusPort
  /** The rule that lets it in. */
  rule: AccessRule
}

/** One iSCSI target: who may log in, its sessions, its logical units. */
export class IscsiTarget {
  readonly name: string
  #alias: string
  #units: ReadonlyMap<number, LogicalUnit>
  #auth: AuthPolicy
  readonly moved: TargetOptions['moved']
  readonly isRemoved: boolean
  readonly #groups: ReadonlySet<number> | undefined
  readonly #portGroups: TargetPortGroups | undefined
  #access: readonly AccessRule[]
  readonly #maxSessions: number
  readonly #sessions = new Map<TargetSession, Place>()
  #lastTsih = 0

  constructor(options: TargetOptions) {
    this.name = options.name
    this.#alias = options.alias ?? ''
    this.#units = options.units
    this.#auth = options.auth ?? noAuthentication
    this.moved = options.moved
    this.isRemoved = options.removed ?? false
    this.#maxSessions = options.maxSessions ?? LARGEST_TSIH
    this.#groups = options.groups
    this.#portGroups = options.portGroups
    this.#access = options.access
  }

  get alias(): string {
    return this.#alias
  }

  get auth(): AuthPolicy {
    return this.#auth
  }

  get unitCount(): number {
    return new Set(this.#units.values()).size
  }

  get sessions(): Iterable<TargetSession> {
    return this.#sessions.keys()
  }

  isServedBy(group: number): boolean {
    return this.#groups === undefined || this.#groups.has(group)
  }

  /** How good the path through a portal group is. */
  accessState(group: number): AccessState {
    return this.#portGroups?.stateOf(group) ?? 'optimized'
  }

  /**
   * Changes how good the path through a portal group is, for all units (SPC-5 §5.18): every initiator hears of it.
   * @throws {RangeError} for a portal group that does not serve the target
   */
  setAccessState(group: number, state: AccessState): void {
    if (!this.#portGroups) throw new RangeError('the target was made without port groups')
    this.#portGroups.set(new Map([[group, state]]))
  }

  /**
   * Who may log in, how, and what to: for those who come, and what is seen for those who are here. A session that no rule
   * fits any more ends; one whose LUNs are others now hears so, once.
   */
  change({ alias, units, auth, access }: TargetChange): void {
    if (alias !== undefined) this.#alias = alias
    if (units) this.#units = units
    if (auth) this.#auth = auth
    if (access) this.#access = access
    for (const [session, place] of [...this.#sessions]) {
      const rule = this.#ruleFor(session.identity)
      if (!rule) {
        session.drop('no access rule of the target fits any more')
        continue
      }
      place.rule = rule
      place.nexus.readOnly = rule.readOnly ?? false
      place.port.setUnits(this.#unitsFor(rule))
    }
  }

  accessFor(applicant: Applicant): AccessRule | undefined {
    return findAccess(this.#access, applicant)
  }

  /** The session that a connection wants to join, or to be reinstated in (§4.3, §6.3.4), where it may. */
  findJoined(identity: LoginIdentity, group: number): TargetSession | LoginRefusal {
    const session = this.#find(identity, group)
    if (session === undefined || session.tsih !== identity.tsih) {
      if (this.#isElsewhere(identity)) {
        const reason = `the session with TSIH ${identity.tsih} belongs to another portal group`
        return refuse(LoginStatus.cannotIncludeInSession, reason)
      }
      return refuse(LoginStatus.sessionDoesNotExist, `there is no session with TSIH ${identity.tsih}`)
    }
    // From another address, another rule may decide: the session would keep what the old one allowed.
    if (this.#ruleFor(identity) === this.#sessions.get(session)?.rule) return session
    return refuse(LoginStatus.authorizationFailure, "another access rule decides than the session's")
  }

  /** Makes a place for a new session, ending the one that it reinstates (RFC 7143 §6.3.1, §6.3.5). */
  establish(identity: LoginIdentity, session: TargetSession, group: number): SessionHome | LoginRefusal {
    const rule = this.#ruleFor(identity)
    if (!rule) return refuse(LoginStatus.authorizationFailure, 'no access rule of the target fits')
    const existing = this.#find(identity, group)
    if (existing) {
      if (!mayReinstate(existing.identity, identity)) {
        return refuse(LoginStatus.authorizationFailure, 'the initiator port has a session of another user')
      }
      existing.end('reinstated', 'the initiator logged in again: session reinstatement')
    }
    this.#endOldestLost()
    if (this.#sessions.size >= this.#maxSessions && !this.#endDiscovery()) {
      return refuse(LoginStatus.outOfResources, `the target has its ${this.#maxSessions} sessions`)
    }
    const tsih = this.#takeTsih()
    const nexus: Place['nexus'] = {
      initiatorPortName: `${identity.initiatorName},i,0x${identity.isid}`,
      targetPortName: `${this.name},t,0x${group.toString(16).padStart(4, '0')}`,
      relativeTargetPortId: group,
      readOnly: rule.readOnly ?? false,
      get protocolLevel() {
        return session.parameters.iSCSIProtocolLevel
      },
      reportLuns: () => port.reportLuns(),
      lunsChangeHeard: () => port.clearAttention(AdditionalSense.reportedLunsDataChanged),
    }
    const port = new NexusPort(this, nexus, this.#unitsFor(rule))
    this.#sessions.set(session, { nexus, port, rule })
    if (identity.type === 'Normal') port.attach()
    return { ok: true, tsih, nexus, port }
  }

  closed(session: TargetSession, closure: SessionClosure): void {
    const port = this.#sessions.get(session)?.port
    if (!port) return
    this.#sessions.delete(session)
    port.detach(closure === 'logout' ? 'logout' : 'nexus-loss')
  }

  /** TARGET COLD RESET: as at power on, nobody is logged in (§11.5.1). */
  dropAllSessions(reason: string): void {
    for (const session of [...this.#sessions.keys()]) session.drop(reason)
  }

  /** I_T NEXUS RESET: its connections count as timed out (RFC 7144 §6.3). */
  dropSession(nexus: Nexus, reason: string): void {
    for (const [session, { port }] of this.#sessions) {
      if (port.nexus !== nexus) continue
      session.endAfterSending('connection-lost', reason)
      return
    }
  }

  #ruleFor(identity: LoginIdentity): AccessRule | undefined {
    return this.accessFor({ ...identity, address: addressOf(identity.peerAddress) })
  }

  /** Keeps those sessions few that have lost all of their connections: nothing else limits how many there are. */
  #endOldestLost(): void {
    const lost = [...this.#sessions.keys()].filter(({ connections }) => connections.state === 'FAILED')
    if (lost.length > LOST_SESSIONS_KEPT) lost[0]?.end('connection-lost', 'others need its place')
  }

  /** Ends the oldest discovery session, which need not have proven anything: those keep nobody out. */
  #endDiscovery(): boolean {
    const session = [...this.#sessions.keys()].find(({ identity }) => identity.type === 'Discovery')
    session?.end('reinstated', 'another session needs its place')
    return session !== undefined
  }

  #unitsFor(rule: AccessRule): ReadonlyMap<number, LogicalUnit> {
    if (!rule.luns) return this.#units
    const units = new Map<number, LogicalUnit>()
    for (const [seen, lun] of rule.luns) {
      const unit = this.#units.get(lun)
      if (unit) units.set(seen, unit)
    }
    return units
  }

  /** The session of the same initiator port to the same portal group (the ISID rule, RFC 7143 §4.4.3). */
  #find(identity: LoginIdentity, group: number): TargetSession | undefined {
    for (const [session, { port }] of this.#sessions) {
      const other = session.identity
      if (port.nexus.relativeTargetPortId !== group) continue
      if (other.initiatorName === identity.initiatorName && other.isid === identity.isid) return session
    }
    return undefined
  }

  /** The initiator port has the session that it names, in another portal group: sessions do not span groups (§4.4.1). */
  #isElsewhere({ initiatorName, isid, tsih }: LoginIdentity): boolean {
    for (const session of this.#sessions.keys()) {
      const { identity } = session
      if (session.tsih !== tsih) continue
      return identity.initiatorName === initiatorName && identity.isid === isid
    }
    return false
  }

  /** There are fewer sessions than TSIHs: one is free. */
  #takeTsih(): number {
    const used = new Set<number>()
    for (const session of this.#sessions.keys()) used.add(session.tsih)
    do this.#lastTsih = (this.#lastTsih % LARGEST_TSIH) + 1
    while (used.has(this.#lastTsih))
    return this.#lastTsih
  }
}

/**
 * Whether a login may end the session of the same initiator port. Names and ISIDs are no secrets: without this, whoever
 * has credentials of its own, or needs none for discovery, could end the sessions of others.
 */
const mayReinstate = (existing: LoginIdentity, login: LoginIdentity): boolean =>
  existing.type === 'Discovery' || (login.type === 'Normal' && existing.user === login.user)
