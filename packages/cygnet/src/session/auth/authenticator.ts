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
   * The login fails: Authentication failure, 0201. `reason` is for our own log alone: the peer must not learn whether
   * the user or the secret was wrong.
   */
  | { readonly kind: 'failed'; readonly reason: string }
