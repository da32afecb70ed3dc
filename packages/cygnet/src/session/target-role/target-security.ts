import { LoginStatus } from '../../pdu/login-status.ts'
import type { Authenticator } from '../auth/authenticator.ts'
import type { Pair } from '../negotiator.ts'
import { type LoginAdmission, type LoginRefusal, refuse } from './target-host.ts'

/** The authentication of one login at the target: from the choice of a method to the proof. */
export class TargetSecurity {
  readonly #admission: LoginAdmission
  #method: string | undefined
  #authenticator: Authenticator | undefined
  #user: string | undefined
  /** The method was chosen by an earlier request: its keys are due. */
  #hasBegun = false

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

  /** The security keys of one request, perhaps none; the answer's keys, or the end of the login. */
  receive(pairs: readonly Pair[]): readonly Pair[] | LoginRefusal {
    const authenticator = this.#user === undefined ? this.#authenticator : undefined
    if (!authenticator || !this.#hasBegun) {
      // The request that only chose the method has none.
      this.#hasBegun = authenticator !== undefined
      if (pairs.length === 0) return []
    }
    if (!authenticator)
      return refuse(LoginStatus.initiatorError, `${pairs[0]?.[0]} outside an authentication`)
    const step = authenticator.receive(pairs)
    if (step.kind === 'failed') {
      if (step.fault) return refuse(LoginStatus[step.fault], step.reason)
      return { ...refuse(LoginStatus.authenticationFailure, step.reason), isFailedProof: true }
    }
    if (step.kind === 'done') this.#user = step.user
    return step.send
  }
}
