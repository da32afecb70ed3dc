import type { DesiredState } from './config/state.ts'
import type { ServedTarget } from './server.ts'
import type { CounterValues } from './shard-counters.ts'

/*
 * What the process that listens and its shards say to each other. Never for one I/O: a shard owns its connections.
 * Messages arrive in the order in which they were sent.
 */

/** To a shard. */
export type ToShard =
  | {
      readonly kind: 'start'
      /** With the shard's targets only. */
      readonly state: DesiredState
      /** All of them, as `Secrets.entries` gives them. */
      readonly secrets: readonly (readonly [key: string, secret: Uint8Array])[]
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
  | { readonly kind: 'ask'; readonly id: number; readonly question: 'remeasure' | 'counters' }
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
  | { readonly kind: 'answer'; readonly id: number; readonly counters?: CounterValues }
  | { readonly kind: 'stopped' }
