import { AssertionError } from '../base/assert.ts'
import type { Authenticator } from '../session/auth/authenticator.ts'

/** How initiators authenticate themselves to a target, or for discovery. */
export interface AuthPolicy {
  /** Values of AuthMethod that are accepted; `None`: they need not. */
  readonly methods: readonly string[]
  /** A fresh exchange of one of the methods other than `None`. */
  authenticator(method: string): Authenticator
}

export const noAuthentication: AuthPolicy = {
  methods: ['None'],
  authenticator: (method) => {
    throw new AssertionError(`the authentication method ${method} was not offered`)
  },
}
