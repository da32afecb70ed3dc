import type { DesiredState, TargetState } from './config/state.ts'
import type { ServedTarget } from './server.ts'
import type { CounterValues } from './shard-counters.ts'

/*
 * What the process that listens and its shards say to each other. Never for one I/O: a shard owns its connections.
 * Messages arrive in the order in which they were sent.
 */

/** All secrets, as `Secrets.entries` gives them. */
export type SecretEntries = readonly (readonly [key: string, secret: Uint8Array])[]

/** What the targets of a shard are to be. */
export interface WantedOfShard {
  readonly targets: readonly TargetState[]
  readonly secrets: SecretEntries
}

/** What a shard answers. */
export interface Answer {
  readonly kind: 'answer'
  readonly id: number
  readonly counters?: CounterValues
  /** What its targets are after `reload`. */
  readonly targets?: readonly TargetState[]
}

/** To a shard. */
export type ToShard =
  | {
      readonly kind: 'start'
      /** With the shard's targets only. */
      readonly state: DesiredState
      readonly secrets: SecretEntries
      readonly logLevel: string
      /** How many shards share the memory. */
      readonly shards: number
    }
  /** Where the portals listen, in their order: before the first connection. */
  | { readonly kind: 'endpoints'; readonly endpoints: readonly string[] }
  /** The socket comes with it. */
  | {
      readonly kind: 'connection'
      readonly id: number
      /** Index of the portal. */
      readonly portal: number
      readonly targetName: string
      readonly peerAddress: string
      readonly localAddress: string
      readonly received: Uint8Array
      readonly answeredBytes: number
      readonly ageMs: number
    }
  /** It makes room for another. */
  | { readonly kind: 'evict'; readonly id: number; readonly reason: string }
  /** An address has failed to authenticate itself, with this shard or elsewhere. */
  | { readonly kind: 'authentication-failed'; readonly address: string }
  | { readonly kind: 'ask'; readonly id: number; readonly question: 'counters' }
  | {
      readonly kind: 'ask'
      readonly id: number
      readonly question: 'reload'
      /** undefined: the images alone are looked at. */
      readonly wanted: WantedOfShard | undefined
    }
  | { readonly kind: 'stop' }

/** From a shard. */
export type FromShard =
  | { readonly kind: 'ready'; readonly targets: readonly ServedTarget[] }
  /** It could not start, or could not stop well, and ends. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  /** A line of the log, JSON. */
  | { readonly kind: 'log'; readonly line: string }
  | { readonly kind: 'logged-in'; readonly id: number; readonly isDiscovery: boolean }
  | { readonly kind: 'closed'; readonly id: number }
  | { readonly kind: 'authentication-failed'; readonly address: string }
  | Answer
  | { readonly kind: 'stopped' }
