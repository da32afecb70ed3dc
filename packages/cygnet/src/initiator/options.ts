import { CygnetError } from '../base/errors.ts'
import type { ChapAlgorithmName } from '../session/auth/chap-algorithms.ts'
import type { Closure, Notice } from '../session/initiator-role/initiator-events.ts'
import type { InitiatorLimits } from '../session/initiator-role/initiator-limits.ts'
import type { Spread } from '../session/initiator-role/initiator-policy.ts'
import type { Digest } from '../session/initiator-role/initiator-preferences.ts'
import { parseTargetAddress, type PortalAddress } from '../session/portal-address.ts'
import type { TlsSettings, Transport } from './ports.ts'

/** CHAP credentials (RFC 7143 §12.1.3). A secret is a text, taken as its UTF-8 bytes, or the bytes themselves. */
export interface ChapCredentials {
  readonly user: string
  readonly secret: string | Uint8Array
  /** The target must prove itself, with this secret and, where given, under this name. */
  readonly mutual?: { readonly user?: string; readonly secret: string | Uint8Array }
  /** Offered in this order. Default: all that we know, the strongest first. */
  readonly algorithms?: readonly ChapAlgorithmName[]
  /** Use secrets of less than 12 bytes, which RFC 7143 §9.2.1 forbids. Default: false. */
  readonly allowShortSecrets?: boolean
}

/** How to connect and log in. Everything has a default. */
export interface InitiatorOptions {
  /** iSCSI name that we log in with. Default: one made of this machine's host name. */
  readonly initiatorName?: string
  readonly initiatorAlias?: string
  /** 6 bytes. Default: random, so that sessions do not end each other. */
  readonly isid?: Uint8Array
  readonly chap?: ChapCredentials
  /** Offered, the best first. Default: None, CRC32C. */
  readonly headerDigest?: readonly Digest[]
  readonly dataDigest?: readonly Digest[]
  readonly limits?: Partial<InitiatorLimits>
  /** Time for the TCP connection (and TLS). Default: 10,000. */
  readonly connectTimeoutMs?: number
  /** How often a login may be sent elsewhere. 0..100, default 4. */
  readonly maxRedirections?: number
  /** Connect with TLS 1.3. Default: not. */
  readonly tls?: TlsSettings
  /** How portals are reached, in a way of your own. Default: TCP, or TLS where `tls` is given. */
  readonly transport?: Transport
}

/** What a session wants to be, and what it does when something goes wrong; all of it is also in `SessionPolicy`. */
export interface RecoveryOptions {
  /** Connections to open to the portal, 1..32; the target may agree to fewer. Default: 1. */
  readonly connections?: number
  /** How commands are spread over them. Default: `least-bytes`. */
  readonly spread?: Spread
  /** Offered; the target may agree to less. Default: 0. */
  readonly errorRecoveryLevel?: 0 | 1 | 2
  /** For how long a lost session is opened again before everything fails, in milliseconds. Default 0: it is not. */
  readonly reopenLimitMs?: number
  /** Until a command without an answer is aborted, in milliseconds; 0: never. Default: 60,000. */
  readonly taskTimeoutMs?: number
}

export interface SessionOptions extends InitiatorOptions, RecoveryOptions {
  /** Host name, IPv4 or IPv6 address of a portal. */
  readonly host: string
  /** Default: 3260. */
  readonly port?: number
  /** iSCSI name of the target. */
  readonly target: string
  /** The portal group that the portal belongs to, as discovery said: another one is refused. */
  readonly portalGroupTag?: number
  /** What the target says by itself. A logout that it asks for is done already. */
  readonly onNotice?: (notice: Notice) => void
  /** What becomes of the connections and of the session: lost, recovered, opened again. */
  readonly onRecovery?: (event: RecoveryEvent) => void
}

/** A step of recovery. */
export type RecoveryEvent =
  | {
      readonly kind: 'connection-added' | 'connection-removed' | 'connection-recovered'
      readonly cid: number
    }
  | { readonly kind: 'connection-lost'; readonly cid: number; readonly failure: Closure }
  | { readonly kind: 'session-lost'; readonly failure: Closure }
  | { readonly kind: 'session-reinstated' }

export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000
export const DEFAULT_REDIRECTIONS = 4

/**
 * Reads `HOST`, `HOST:PORT`, `IPv4`, `[IPv6]` or `[IPv6]:PORT`.
 * @throws {CygnetError} ADDRESS_INVALID
 */
export function parsePortal(text: string): PortalAddress {
  const portal = parseTargetAddress(text)
  if (portal !== undefined && portal.portalGroupTag === undefined)
    return { host: portal.host, port: portal.port }
  const remedy = parseTargetAddress(`[${text}]`)
    ? `put an IPv6 address in brackets, [${text}]`
    : 'write HOST or HOST:PORT, with a port from 1 to 65535'
  throw new CygnetError('ADDRESS_INVALID', `"${text}" is not an address: ${remedy}.`)
}
