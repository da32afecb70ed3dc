import type { Authenticator } from '../auth/authenticator.ts'
import { type LoginFailure, protocolFailure } from './initiator-login-failure.ts'
import type { Pair } from '../negotiator.ts'

/** How an initiator proves who it is. */
export interface InitiatorAuthentication {
  /** AuthMethod as it is offered, the best first; `None` where the login may go on without. */
  readonly methods: readonly string[]
  /** Our side of a method that the target has chosen, other than `None`. */
  authenticator(method: string): Authenticator
}

/** No credentials: the target must let us in without. */
export const noAuthentication: InitiatorAuthentication = {
  methods: ['None'],
  authenticator(method) {
    throw new Error(`${method} was not offered`)
  },
}

/** What to send next, and whether the stage may end with it. */
export interface SecurityStep {
  readonly send: readonly Pair[]
  readonly mayTransit: boolean
}

const NOTHING_TO_SEND: SecurityStep = { send: [], mayTransit: true }

const failure = (message: string): LoginFailure => ({
  kind: 'failed',
  code: 'LOGIN_AUTHENTICATION_FAILED',
  message,
  status: undefined,
})

/** The authentication of one login at the initiator: from the target's choice of a method to the proof (§6.3.2). */
export class InitiatorSecurity {
  readonly #authentication: InitiatorAuthentication
  #authenticator: Authenticator | undefined
  #isDone = false
  #peer = ''

  constructor(authentication: InitiatorAuthentication) {
    this.#authentication = authentication
  }

  /** Whom the target proved to be; '' where it did not have to. */
  get peer(): string {
    return this.#peer
  }

  /** The target has chosen a method, and seen something of our credentials. */
  get isTried(): boolean {
    return this.#authenticator !== undefined
  }

  /** A response of the security stage: the method agreed on so far, and the keys of that method that came. */
  receive(method: string | undefined, pairs: readonly Pair[]): SecurityStep | LoginFailure {
    if (this.#authenticator) return this.#continue(this.#authenticator, pairs)
    if (pairs[0]) return protocolFailure(`${pairs[0][0]} came before a method was agreed on`)
    if (method === undefined || method === 'None') return NOTHING_TO_SEND
    this.#authenticator = this.#authentication.authenticator(method)
    return { send: this.#authenticator.start(), mayTransit: false }
  }

  /** The target accepts nothing of what we offer. */
  refused(): LoginFailure {
    const offered = this.#authentication.methods.join(', ')
    return failure(
      offered === 'None'
        ? 'The target wants authentication: give a user and a secret.'
        : `The target accepts none of the authentication methods ${offered}: allow one there, or give other credentials.`,
    )
  }

  /** The stage ends. `owesKeys`: we have something to send that will not be sent. */
  checkEnd(owesKeys: boolean): LoginFailure | undefined {
    if (!this.#authenticator || (this.#isDone && !owesKeys)) return undefined
    return failure(
      'The target ended the authentication before it was complete: it asks for none, has no credentials set, or is not the one that it claims to be.',
    )
  }

  #continue(authenticator: Authenticator, pairs: readonly Pair[]): SecurityStep | LoginFailure {
    if (pairs.length === 0) return NOTHING_TO_SEND
    if (this.#isDone) return protocolFailure(`${pairs[0]?.[0]} came after the end of the authentication`)
    const step = authenticator.receive(pairs)
    if (step.kind === 'failed') {
      return failure(`The authentication of the target failed: ${step.reason}.`)
    }
    if (step.kind === 'done') {
      this.#isDone = true
      this.#peer = step.user
    }
    return { send: step.send, mayTransit: true }
  }
}
