import { LoginStatus } from '../../pdu/login-status.ts'
import { type Closure, lostConnection } from './initiator-events.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import type { InitiatorConnections } from './initiator-connections.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import type { LoginRedirection } from './initiator-login.ts'
import type { LoginFailure } from './initiator-login-failure.ts'
import type { PortalAddress } from '../portal-address.ts'

/** What opening further connections needs of its session. */
export interface WideningSession {
  readonly limits: InitiatorLimits
  connect(cid: number, portal: PortalAddress | undefined): void
  /** Calls `AdditionalConnections.open` after `delayMs`. */
  openMoreLater(delayMs: number): void
  /** No connection is left, nor one that could take its place: only a new session helps. */
  giveUpSession(failure: Closure): void
}

/**
 * Opens the connections that a session is to have beside its first, where that was opened. One that the target sends
 * elsewhere goes there (RFC 7143 §11.13.5), a limited number of times; one that fails is tried again later.
 */
export class AdditionalConnections {
  /** Where the target sent us when the session was opened. */
  portal: PortalAddress | undefined
  readonly #session: WideningSession
  readonly #connections: InitiatorConnections
  #redirections = 0

  constructor(session: WideningSession, connections: InitiatorConnections) {
    this.#session = session
    this.#connections = connections
  }

  /** As many as are wanted, and as the target agreed to. */
  open(): void {
    while (this.#connections.isShort) this.#session.connect(this.#connections.freeCid(), this.portal)
  }

  loggedIn(): void {
    this.#redirections = 0
  }

  /**
   * One could not be had: elsewhere or later perhaps, unless the target has no place for it. `isLast`: there is none
   * that lives, and none that is being recovered.
   */
  failed({ cid }: InitiatorConnection, event: LoginFailure | LoginRedirection, isLast: boolean): void {
    const { limits } = this.#session
    if (event.kind === 'redirected' && this.#redirections++ < limits.reopenRedirections) {
      this.#session.connect(cid, event.portals[0])
      return
    }
    this.#redirections = 0
    if (event.kind === 'failed' && event.status === LoginStatus.tooManyConnections)
      this.#connections.wantNoMore()
    else if (isLast) {
      this.#session.giveUpSession(
        event.kind === 'failed'
          ? { code: event.code, message: event.message }
          : lostConnection('the target sends us elsewhere again and again'),
      )
    } else this.#session.openMoreLater(limits.reopenLastDelayMs)
  }
}
