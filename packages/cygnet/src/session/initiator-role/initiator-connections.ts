import type { Serial32 } from '../../base/serial32.ts'
import { LogoutReason } from '../../pdu/codes.ts'
import { ConnectionChoice } from './connection-choice.ts'
import type { ConnectionOwner } from './connection-owner.ts'
import { InitiatorConnection } from './initiator-connection.ts'
import { initiatorPreferences } from './initiator-preferences.ts'
import type { InitiatorSessionOptions } from './initiator-session-options.ts'
import type { PortalAddress } from '../portal-address.ts'
import type { Instant } from '../../base/clock.ts'
import type { TaskManagementRequests } from './task-management-requests.ts'

const MAX_CONNECTIONS = 32
/** Of the first connection that a session opens. */
export const FIRST_CID = 1

/** What the connections need of their session. */
export interface ConnectionsOwner extends ConnectionOwner {
  readonly now: Instant
  /** 0 before the first login, and when the session is opened again. */
  readonly tsih: number
}

/** The connections of an initiator's session that are not closed, and those of them that are to go. */
export class InitiatorConnections {
  readonly #owner: ConnectionsOwner
  readonly #options: InitiatorSessionOptions
  readonly #choice: ConnectionChoice
  #list: readonly InitiatorConnection[] = []
  /** To be logged out when their tasks are done. */
  readonly #draining = new Set<InitiatorConnection>()
  /** How many there are to be, if the target agrees. */
  #wanted: number

  constructor(owner: ConnectionsOwner, options: InitiatorSessionOptions) {
    this.#owner = owner
    this.#options = options
    this.#wanted = Math.min(options.policy.connections, MAX_CONNECTIONS)
    this.#choice = new ConnectionChoice(options.policy.spread)
  }

  get list(): readonly InitiatorConnection[] {
    return this.#list
  }

  get(cid: number): InitiatorConnection | undefined {
    return this.#list.find((one) => one.cid === cid)
  }

  /** One is in the full feature phase. */
  get isAnyLoggedIn(): boolean {
    return this.#list.some(({ state }) => state === 'full-feature')
  }

  /** A connection that is to log in. `oldExpStatSN`: of the one whose place it takes. */
  open(cid: number, portal: PortalAddress | undefined, oldExpStatSN: Serial32): InitiatorConnection {
    const { login, limits, policy, digests, pool } = this.#options
    const { type, initiatorName, initiatorAlias, targetName, isid, portalGroupTag } = login
    const connection = new InitiatorConnection({
      pool,
      limits,
      now: this.#owner.now,
      owner: this.#owner,
      login: {
        type,
        initiatorName,
        initiatorAlias,
        targetName,
        isid,
        tsih: this.#owner.tsih,
        cid,
        oldExpStatSN,
        initiatorTaskTag: this.#owner.takeTag(),
        preferences: initiatorPreferences(limits, digests, policy),
        authentication: login.authentication(),
        // A redirection leads to another portal group.
        ...(portalGroupTag !== undefined && portal === undefined && { portalGroupTag }),
      },
    })
    this.#list = [...this.#list, connection]
    return connection
  }

  /** Takes it off the list: what it says from now on does not count. */
  forget(connection: InitiatorConnection): void {
    this.#list = this.#list.filter((one) => one !== connection)
    this.#draining.delete(connection)
  }

  /** Ends all of them. */
  abandon(): void {
    const connections = this.#list
    this.#list = []
    this.#draining.clear()
    for (const connection of connections) connection.abandon()
  }

  /** The lowest CID that none of them has. */
  freeCid(): number {
    let cid = FIRST_CID
    while (this.get(cid) !== undefined) cid++
    return cid
  }

  /**
   * Pings those that owe an answer and are silent, from ErrorRecoveryLevel 1 on: what is lost last shows only in what
   * comes after it.
   */
  probe(management: TaskManagementRequests, now: Instant): void {
    if ((this.#owner.parameters?.errorRecoveryLevel ?? 0) === 0) return
    for (const connection of this.#list) {
      const isOwed = connection.taskCount > 0 || management.isUsing(connection)
      if (isOwed && connection.canRequest) connection.probe(now)
    }
  }

  // How many

  get #most(): number {
    return Math.min(this.#owner.parameters?.maxConnections ?? 1, MAX_CONNECTIONS)
  }

  /** There are fewer than are wanted and agreed on. */
  get isShort(): boolean {
    return this.#list.length < Math.min(this.#wanted, this.#most)
  }

  /** One more is wanted; false where the target did not agree to so many. */
  want(): boolean {
    if (this.#wanted >= this.#most) return false
    this.#wanted++
    return true
  }

  /** The target has no place for more than there are. */
  wantNoMore(): void {
    this.#wanted = Math.max(1, this.#list.length)
  }

  /** One is to go, unless it is the last. */
  remove(cid: number): void {
    const connection = this.get(cid)
    if (connection === undefined || !connection.canBegin || this.#wanted <= 1) return
    this.#wanted--
    this.drain(connection)
  }

  readonly #mayTake = (connection: InitiatorConnection): boolean =>
    connection.canBegin && !this.#draining.has(connection)

  /** Where the next command goes. */
  choose(): InitiatorConnection | undefined {
    return this.#choice.choose(this.#list, this.#mayTake)
  }

  /** One on which requests can be made. */
  anyForRequests(): InitiatorConnection | undefined {
    return this.#list.find((connection) => connection.canBegin)
  }

  // Those that are to go

  isDraining(connection: InitiatorConnection): boolean {
    return this.#draining.has(connection)
  }

  /** Logs it out when its tasks are done, or when the target waits no longer. */
  drain(connection: InitiatorConnection): void {
    this.#draining.add(connection)
    if (connection.taskCount === 0) this.#logOut(connection)
  }

  /** It has one task less. */
  taskLeft(connection: InitiatorConnection): void {
    if (connection.taskCount === 0 && this.#draining.has(connection)) this.#logOut(connection)
  }

  /** Logs out what is to go, with its tasks. */
  logOutDraining(): void {
    for (const connection of this.#draining) this.#logOut(connection)
  }

  #logOut(connection: InitiatorConnection): void {
    const isLast = this.#list.every((one) => one === connection || !one.canBegin)
    connection.logOut(isLast ? LogoutReason.closeSession : LogoutReason.closeConnection)
  }
}
