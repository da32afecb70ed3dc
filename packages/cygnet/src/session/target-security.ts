import { LoginStatus } from '../pdu/login-status.ts'
import type { Authenticator } from './auth/authenticator.ts'
import type { Pair } from './negotiator.ts'
import { type LoginAdmission, type LoginRefusal, refuse } from './target-host.ts'

/** Keys of the authentication methods (RFC 7143 §12.1); AuthMethod itself is negotiated like any other key. */
const SECURITY_KEY = /^(?:CHAP|SRP|KRB)_/

export const isSecurityKey = (key: string): boolean => SECURITY_KEY.test(key)

/** The authentication of one login at the target: from the choice of a method to the proof. */
export class TargetSecurity {
  readonly #admission: LoginAdmission
  #method: string | undefined
  #authenticator: Authenticator | undefined
  #user: string | undefined

  constructor(admission: LoginAdmission) {
    this.#admission = admission
  }

  /** Who the initiator proved to be; '' where it did not have to. Undefined: the security stage may not end yet. */
  get user(): string | undefined {
    if (this.#authenticator) return this.#user
    return this.#admission.authMethods.includes('None') ? '' : undefined
  }

  /** A method was agreed on, or offered and not accepted. */
  get isChosen(): boolean {
    return this.#method !== undefined
  }

  choose(method: string): void {
    this.#method = method
    if (method !== 'None') this.#authenticator = this.#admission.authenticator(method)
  }

  /** Security keys came; the answer's keys, or the end of the login. */
  receive(pairs: readonly Pair[]): readonly Pair[] | LoginRefusal {
    if (pairs.length === 0) return []
    if (!this.#authenticator || this.#user !== undefined) {
      return refuse(LoginStatus.initiatorError, `${pairs[0]?.[0]} outside an authentication`)
    }
    const step = this.#authenticator.receive(pairs)
    if (step.kind === 'failed') {
      return { ...refuse(LoginStatus.authenticationFailure, step.reason), isFailedProof: true }
    }
    if (step.kind === 'done') this.#user = step.user
    return step.send
  }
}
