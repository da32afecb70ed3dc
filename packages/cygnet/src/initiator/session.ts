import { CygnetError } from '../base/errors.ts'
import type { Closure, InitiatorEvent, Notice, RequestId } from '../session/initiator-events.ts'
import type { ConnectionParameters, SessionParameters } from '../session/parameters.ts'
import { parsePortalGroupTag, type PortalAddress } from '../session/portal-address.ts'
import { type DiscoveredTarget, readTargets } from './discovered-target.ts'
import type { Link } from './link.ts'

/** What a session is about, as its login settled it. */
export interface SessionFacts {
  /** Normalised name of the target; '' in a discovery session that names none. */
  readonly target: string
  readonly initiatorName: string
  readonly isid: Uint8Array
  /** Where we are logged in, after all redirections. */
  readonly portal: PortalAddress
  /** Where the target sent us before, in order. */
  readonly redirections: readonly { readonly portal: PortalAddress; readonly permanent: boolean }[]
}

interface Waiter {
  resolve(event: InitiatorEvent): void
  reject(error: CygnetError): void
}

const errorOf = ({ code, message }: Closure): CygnetError => new CygnetError(code, message)

/**
 * A session with a target, in its full feature phase. Everything on it ends with a CygnetError when the connection is
 * lost; nothing is retried.
 */
export class Session implements SessionFacts, AsyncDisposable {
  readonly target: string
  readonly initiatorName: string
  readonly isid: Uint8Array
  readonly portal: PortalAddress
  readonly redirections: SessionFacts['redirections']
  /** How the session ended: undefined after a logout, or why the connection was lost. */
  readonly ended: Promise<CygnetError | undefined>
  readonly #link: Link
  readonly #onNotice: ((notice: Notice) => void) | undefined
  readonly #now: () => number
  readonly #waiters = new Map<RequestId, Waiter>()
  readonly #resolveEnded: (failure: CygnetError | undefined) => void

  constructor(
    link: Link,
    facts: SessionFacts,
    now: () => number,
    onNotice: ((notice: Notice) => void) | undefined,
  ) {
    this.target = facts.target
    this.initiatorName = facts.initiatorName
    this.isid = facts.isid
    this.portal = facts.portal
    this.redirections = facts.redirections
    this.#link = link
    this.#now = now
    this.#onNotice = onNotice
    const { promise, resolve } = Promise.withResolvers<CygnetError | undefined>()
    this.ended = promise
    this.#resolveEnded = resolve
  }

  /** The target's name of the session, 1..65535. */
  get tsih(): number {
    return this.#link.protocol.tsih
  }

  /** What both sides agreed on for the session. */
  get parameters(): SessionParameters {
    return this.#link.protocol.sessionParameters
  }

  /** And for its connection: digests, and the most bytes of a PDU that we send. */
  get connectionParameters(): ConnectionParameters {
    return this.#link.protocol.connectionParameters
  }

  /** Tag of the portal group that we are logged in to; undefined in a discovery session that names no target. */
  get portalGroupTag(): number | undefined {
    return parsePortalGroupTag(this.#link.protocol.keys.text('TargetPortalGroupTag'))
  }

  /** What the target calls itself to people; '' where it does not. */
  get targetAlias(): string {
    return this.#link.protocol.keys.text('TargetAlias')
  }

  /** Whom the target proved to be (mutual CHAP); '' where it did not have to. */
  get targetUser(): string {
    return this.#link.protocol.targetUser
  }

  /** False once the session is closing or lost. */
  get isOpen(): boolean {
    return this.#link.protocol.canRequest
  }

  /**
   * Has the target echo `data`. Milliseconds until the echo was here.
   * @throws {CygnetError} SESSION_CLOSED, CONNECTION_LOST, PROTOCOL_ERROR, REQUEST_REJECTED
   */
  async ping(data?: Uint8Array): Promise<number> {
    const start = this.#now()
    await this.#request(() => this.#link.protocol.ping(data))
    return this.#now() - start
  }

  /**
   * Asks for the portals of the session's target or, in a discovery session, of another one or of `All` (RFC 7143
   * Appendix C). By name: a session's own target may go without, but LIO ends the connection then.
   * @throws {CygnetError} DISCOVERY_REFUSED, DISCOVERY_ANSWER_INVALID, and as `ping`
   */
  async sendTargets(name = this.target): Promise<DiscoveredTarget[]> {
    const event = await this.#request(() => this.#link.protocol.text([['SendTargets', name]]))
    return readTargets(event.kind === 'text' ? event.pairs : [], this.portal)
  }

  /** Logs out. Returns when the target has confirmed it or the connection is gone; never throws. */
  async close(): Promise<void> {
    this.#link.protocol.logOut()
    await this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** For whoever opened the session: what happens on its link from now on. */
  handle(event: InitiatorEvent): void {
    switch (event.kind) {
      case 'pong':
      case 'text':
        this.#take(event.request)?.resolve(event)
        return
      case 'request-failed':
        this.#take(event.request)?.reject(errorOf(event.failure))
        return
      case 'notice':
        this.#onNotice?.(event.notice)
        return
      case 'logged-out':
        this.#resolveEnded(undefined)
        return
      case 'dropped':
        this.#resolveEnded(errorOf(event.failure))
        return
      case 'logged-in':
      case 'failed':
      case 'redirected':
    }
  }

  #take(request: RequestId): Waiter | undefined {
    const waiter = this.#waiters.get(request)
    this.#waiters.delete(request)
    return waiter
  }

  #request(send: () => RequestId): Promise<InitiatorEvent> {
    const { promise, resolve, reject } = Promise.withResolvers<InitiatorEvent>()
    if (this.isOpen) this.#waiters.set(send(), { resolve, reject })
    else reject(new CygnetError('SESSION_CLOSED', 'The session is closed: open another one.'))
    return promise
  }
}
