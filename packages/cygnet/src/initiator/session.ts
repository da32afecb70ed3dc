import type { CygnetError } from '../base/errors.ts'
import type { Closure, Notice } from '../session/initiator-role/initiator-events.ts'
import type { InitiatorSession } from '../session/initiator-role/initiator-session.ts'
import type { SessionEvent } from '../session/initiator-role/initiator-session-events.ts'
import type { Pair } from '../session/negotiator.ts'
import type { ConnectionParameters, SessionParameters } from '../session/parameters.ts'
import { parsePortalGroupTag, type PortalAddress } from '../session/portal-address.ts'
import type { RecoveryCounters } from '../session/recovery-counters.ts'
import {
  ScsiRequest,
  type ScsiRequestOptions,
  type ScsiResult,
  type ScsiStatusResult,
} from '../session/initiator-role/scsi-request.ts'
import { checkCommand } from './check-command.ts'
import { type DiscoveredTarget, readTargets } from './discovered-target.ts'
import type { RecoveryEvent } from './options.ts'
import { errorOf } from './scsi-executor.ts'

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

/** What `Session.execute` takes. */
export interface ExecuteOptions extends ScsiRequestOptions {
  /** Aborts the command; the promise then rejects with what the signal says. */
  readonly signal?: AbortSignal
}

/** Who hears of what a session does by itself. */
export interface SessionListener {
  readonly onNotice: ((notice: Notice) => void) | undefined
  readonly onRecovery: ((event: RecoveryEvent) => void) | undefined
}

/**
 * A session with a target, in its full feature phase. Commands outlive what its options provide for: a lost connection
 * or, where `reopenLimitMs` is given, a lost session. Where recovery fails, everything on it ends with a CygnetError.
 */
export class Session implements SessionFacts, AsyncDisposable {
  readonly target: string
  readonly initiatorName: string
  readonly isid: Uint8Array
  readonly portal: PortalAddress
  readonly redirections: SessionFacts['redirections']
  /** How the session ended: undefined after a logout, or why it was lost. */
  readonly ended: Promise<CygnetError | undefined>
  readonly #protocol: InitiatorSession
  readonly #listener: SessionListener
  readonly #now: () => number
  readonly #resolveEnded: (failure: CygnetError | undefined) => void

  constructor(protocol: InitiatorSession, facts: SessionFacts, now: () => number, listener: SessionListener) {
    this.target = facts.target
    this.initiatorName = facts.initiatorName
    this.isid = facts.isid
    this.portal = facts.portal
    this.redirections = facts.redirections
    this.#protocol = protocol
    this.#now = now
    this.#listener = listener
    const { promise, resolve } = Promise.withResolvers<CygnetError | undefined>()
    this.ended = promise
    this.#resolveEnded = resolve
  }

  /** The target's name of the session, 1..65535. */
  get tsih(): number {
    return this.#protocol.tsih
  }

  /** What both sides agreed on for the session, the last time that it was opened. */
  get parameters(): SessionParameters {
    return this.#leading.sessionParameters
  }

  /** And for its first connection: digests, and the most bytes of a PDU that we send. */
  get connectionParameters(): ConnectionParameters {
    return this.#leading.connectionParameters
  }

  /** How many connections are open or being opened. */
  get connectionCount(): number {
    return this.#protocol.connections.length
  }

  /** How often each path of error recovery ran. */
  get counters(): RecoveryCounters {
    return this.#protocol.counters
  }

  /** Tag of the portal group that we are logged in to; undefined in a discovery session that names no target. */
  get portalGroupTag(): number | undefined {
    return parsePortalGroupTag(this.#leading.keys.text('TargetPortalGroupTag'))
  }

  /** What the target calls itself to people; '' where it does not. */
  get targetAlias(): string {
    return this.#leading.keys.text('TargetAlias')
  }

  /** Whom the target proved to be (mutual CHAP); '' where it did not have to. */
  get targetUser(): string {
    return this.#leading.targetUser
  }

  /** False once the session is closing or lost for good. */
  get isOpen(): boolean {
    return this.#protocol.isOpen
  }

  /**
   * Carries out a SCSI command. Whatever status the device server answers with is a result; there is none where the
   * promise rejects.
   * @throws {CygnetError} ARGUMENT_INVALID, TASK_ABORTED, TASK_TIMEOUT, TASK_LOST, DATA_LOST, TARGET_FAILURE, REQUEST_REJECTED,
   * PROTOCOL_ERROR, CONNECTION_LOST, SESSION_LOST, SESSION_CLOSED; or the reason of `signal`
   */
  execute(options: ExecuteOptions): Promise<ScsiStatusResult> {
    const { signal } = options
    const { promise, resolve, reject } = Promise.withResolvers<ScsiStatusResult>()
    try {
      checkCommand(options)
      signal?.throwIfAborted()
    } catch (error) {
      reject(error)
      return promise
    }
    const abort = (): void => this.#protocol.abort(request)
    const request = new ScsiRequest(options, (result) => {
      signal?.removeEventListener('abort', abort)
      if (result.kind === 'status') resolve(result)
      else reject(signal?.aborted ? signal.reason : errorOf(result))
    })
    signal?.addEventListener('abort', abort, { once: true })
    this.#protocol.execute(request)
    return promise
  }

  /**
   * The same without a promise and a signal, which costs less. `done` is called once, with the answer or with what
   * `execute` throws as a value, never before this has returned; it must not throw.
   */
  submit(options: ScsiRequestOptions, done: (result: ScsiResult) => void): void {
    this.#protocol.execute(new ScsiRequest(options, done))
  }

  /**
   * Asks for a task management function (RFC 7143 §11.5.1) on a LUN or the whole target. The response code (§11.6.1).
   * @throws {CygnetError} TASK_MANAGEMENT_TIMEOUT, REQUEST_REJECTED, CONNECTION_LOST, SESSION_CLOSED
   */
  manage(taskManagementFunction: number, lun: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#protocol.manage(taskManagementFunction, lun, (response, failure) => {
        if (response === undefined) reject(errorOf(failure ?? NO_ANSWER))
        else resolve(response)
      })
    })
  }

  /** One more connection, up to what the target agreed to; false where that is reached. */
  addConnection(): boolean {
    return this.#protocol.addConnection()
  }

  /**
   * Has the target echo `data`. Milliseconds until the echo was here.
   * @throws {CygnetError} SESSION_CLOSED, CONNECTION_LOST, PROTOCOL_ERROR, REQUEST_REJECTED
   */
  ping(data?: Uint8Array): Promise<number> {
    const start = this.#now()
    return new Promise((resolve, reject) => {
      this.#protocol.ping((failure) => {
        if (failure) reject(errorOf(failure))
        else resolve(this.#now() - start)
      }, data)
    })
  }

  /**
   * Asks for the portals of the session's target or, in a discovery session, of another one or of `All` (RFC 7143
   * Appendix C). By name: a session's own target may go without, but LIO ends the connection then.
   * @throws {CygnetError} DISCOVERY_REFUSED, DISCOVERY_ANSWER_INVALID, and as `ping`
   */
  async sendTargets(name = this.target): Promise<DiscoveredTarget[]> {
    return readTargets(await this.#text([['SendTargets', name]]), this.portal)
  }

  /** Logs out. Returns when the target has confirmed it or the connection is gone; never throws. */
  async close(): Promise<void> {
    this.#protocol.logOut()
    await this.ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** For whoever opened the session: what happens to it from now on. */
  handle(event: SessionEvent): void {
    switch (event.kind) {
      case 'ended':
        this.#resolveEnded(event.failure && errorOf(event.failure))
        return
      case 'notice':
        this.#listener.onNotice?.(event.notice)
        return
      case 'connect':
      case 'logged-in':
        return
      default:
        this.#listener.onRecovery?.(event)
    }
  }

  get #leading(): NonNullable<InitiatorSession['leading']> {
    const { leading } = this.#protocol
    if (leading === undefined) throw new Error('a session before its login')
    return leading
  }

  #text(pairs: readonly Pair[]): Promise<readonly Pair[]> {
    return new Promise((resolve, reject) => {
      this.#protocol.text(pairs, (answer, failure) => {
        if (failure) reject(errorOf(failure))
        else resolve(answer ?? [])
      })
    })
  }
}

const NO_ANSWER: Closure = { code: 'CONNECTION_LOST', message: 'There was no answer.' }
