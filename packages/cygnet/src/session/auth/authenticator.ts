import type { Pair } from '../negotiator.ts'

/**
 * One side of an authentication method, between the agreement on AuthMethod and the end of the SecurityNegotiation
 * stage (RFC 7143 §12). Security keys go in as they arrive, one logical text data segment at a time; keys to send come
 * out. Knows nothing of PDUs, stages and login statuses.
 */
export interface Authenticator {
  /** Keys to send before anything has come: an initiator's first step; a target waits and has none. */
  start(): readonly Pair[]
  /** The security keys of one request or response. Never throws, whatever is in them. */
  receive(pairs: readonly Pair[]): AuthStep
}

export type AuthStep =
  /** Another exchange is needed. */
  | { readonly kind: 'continue'; readonly send: readonly Pair[] }
  /** Everything that was to be proven is proven. `user`: who the peer is, for access rules and the log. */
  | { readonly kind: 'done'; readonly send: readonly Pair[]; readonly user: string }
  /**
   * The login fails. `reason` is for our own log alone: the peer must not learn whether the user or the secret was
   * wrong. A target answers with the status of the fault (RFC 7143 §9.2), or with Authentication failure, 0201, where
   * there is none; an initiator closes the connection.
   */
  | { readonly kind: 'failed'; readonly reason: string; readonly fault?: AuthFault }

/** Keys or values that the step does not allow, whatever the secrets are: names of login statuses. */
export type AuthFault = 'initiatorError' | 'missingParameter'

export type AuthFailure = Extract<AuthStep, { readonly kind: 'failed' }>

export const failed = (reason: string, fault?: AuthFault): AuthFailure =>
  fault === undefined ? { kind: 'failed', reason } : { kind: 'failed', reason, fault }

/** Keys that belong to an authentication method and go to its authenticator; all others are negotiated. */
export const isAuthenticationKey = (key: string): boolean => /^(?:CHAP|SRP|KRB)_|^TargetAuth$/.test(key)
