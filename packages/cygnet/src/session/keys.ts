/**
 * The keys of RFC 7143 §13 (and RFC 7144's protocol level, §12's AuthMethod) as data: the negotiator reads this table and knows no
 * key by name, except for the integrity rules of `negotiator.ts`.
 */

/** Who may send a key. */
export type Senders = 'initiator' | 'target' | 'both'

/**
 * When a key may be used (§13): LO leading login only, IO any login, ALL login and full feature phase, FFPO full
 * feature phase only.
 */
export type KeyUse = 'LO' | 'IO' | 'ALL' | 'FFPO'

/** The function that the acceptor's selection must satisfy (§13). `first`: the first supported value of a list. */
export type ResultFunction = 'minimum' | 'maximum' | 'and' | 'or' | 'first'

interface KeyBase {
  readonly use: KeyUse
  readonly senders: Senders
  readonly scope: 'session' | 'connection'
  /** May also appear in the SecurityNegotiation stage. */
  readonly anyStage?: true
  /** Belongs to the SecurityNegotiation stage alone (§12). */
  readonly securityStage?: true
  /** Answered with Irrelevant in a discovery session. */
  readonly irrelevantInDiscovery?: true
  /** May be declared more than once in a negotiation. */
  readonly repeatable?: true
}

export interface NumericKey extends KeyBase {
  readonly type: 'numeric'
  readonly minimum: number
  readonly maximum: number
  readonly default: number
  /** Undefined: declarative. */
  readonly result?: 'minimum' | 'maximum'
}

export interface BooleanKey extends KeyBase {
  readonly type: 'boolean'
  readonly default: boolean
  readonly result: 'and' | 'or'
}

export interface ListKey extends KeyBase {
  readonly type: 'list'
  readonly default: string
  readonly result: 'first'
}

/** A declarative text value; no answer is expected. */
export interface TextKey extends KeyBase {
  readonly type: 'text'
  /** Most bytes of the value (§6.1: 255 where nothing else is said). */
  readonly maxBytes: number
  /** The only values allowed, where they are few. */
  readonly oneOf?: readonly string[]
}

/** Obsolete since RFC 7143 (§13.25): always answered with Reject. */
export interface ObsoleteKey extends KeyBase {
  readonly type: 'obsolete'
}

export type KeySpec = NumericKey | BooleanKey | ListKey | TextKey | ObsoleteKey

const SEGMENT_LIMIT = 2 ** 24 - 1
const NAME_BYTES = 223

const numeric = (
  use: KeyUse,
  scope: KeyBase['scope'],
  minimum: number,
  maximum: number,
  defaultValue: number,
  result: 'minimum' | 'maximum' | undefined,
  irrelevantInDiscovery = true,
): NumericKey => ({
  type: 'numeric',
  use,
  senders: 'both',
  scope,
  minimum,
  maximum,
  default: defaultValue,
  ...(result && { result }),
  ...(irrelevantInDiscovery && { irrelevantInDiscovery }),
})

const boolean = (defaultValue: boolean, result: 'and' | 'or'): BooleanKey => ({
  type: 'boolean',
  use: 'LO',
  senders: 'both',
  scope: 'session',
  default: defaultValue,
  result,
  irrelevantInDiscovery: true,
})

const text = (use: KeyUse, senders: Senders, maxBytes: number, more: Partial<TextKey> = {}): TextKey => ({
  type: 'text',
  use,
  senders,
  scope: 'session',
  maxBytes,
  ...more,
})

const digest: ListKey = {
  type: 'list',
  use: 'IO',
  senders: 'both',
  scope: 'connection',
  default: 'None',
  result: 'first',
}
const obsolete: ObsoleteKey = { type: 'obsolete', use: 'LO', senders: 'both', scope: 'connection' }
const anyStage = { anyStage: true } as const

/** The table. Section numbers are RFC 7143's. */
export const keys = {
  /** §12.1 */
  AuthMethod: {
    type: 'list',
    use: 'IO',
    senders: 'both',
    scope: 'connection',
    default: 'None',
    result: 'first',
    securityStage: true,
  },
  /** §13.1 */
  HeaderDigest: digest,
  DataDigest: digest,
  /** §13.2 */
  MaxConnections: numeric('LO', 'session', 1, 65535, 1, 'minimum'),
  /** §13.3: not negotiated; the full feature phase answers it with its own keys. */
  SendTargets: text('FFPO', 'initiator', NAME_BYTES),
  /** §13.4: the target sends it only as part of a SendTargets answer. */
  TargetName: text('IO', 'initiator', NAME_BYTES, anyStage),
  /** §13.5 */
  InitiatorName: text('IO', 'initiator', NAME_BYTES, anyStage),
  /** §13.6 */
  TargetAlias: text('ALL', 'target', 255, anyStage),
  /** §13.7 */
  InitiatorAlias: text('ALL', 'initiator', 255, anyStage),
  /** §13.8 */
  TargetAddress: text('ALL', 'target', 255 + 16, { ...anyStage, repeatable: true }),
  /** §13.9 */
  TargetPortalGroupTag: text('IO', 'target', 8, anyStage),
  /** §13.10 */
  InitialR2T: boolean(true, 'or'),
  /** §13.11 */
  ImmediateData: boolean(true, 'and'),
  /** §13.12: each side declares what it can receive. */
  MaxRecvDataSegmentLength: numeric('ALL', 'connection', 512, SEGMENT_LIMIT, 8192, undefined, false),
  /** §13.13 */
  MaxBurstLength: numeric('LO', 'session', 512, SEGMENT_LIMIT, 262144, 'minimum'),
  /** §13.14 */
  FirstBurstLength: numeric('LO', 'session', 512, SEGMENT_LIMIT, 65536, 'minimum'),
  /** §13.15, seconds */
  DefaultTime2Wait: numeric('LO', 'session', 0, 3600, 2, 'maximum', false),
  /** §13.16, seconds */
  DefaultTime2Retain: numeric('LO', 'session', 0, 3600, 20, 'minimum', false),
  /** §13.17 */
  MaxOutstandingR2T: numeric('LO', 'session', 1, 65535, 1, 'minimum'),
  /** §13.18 */
  DataPDUInOrder: boolean(true, 'or'),
  /** §13.19 */
  DataSequenceInOrder: boolean(true, 'or'),
  /** §13.20; discovery sessions are always at level 0 (§7.4.1). */
  ErrorRecoveryLevel: numeric('LO', 'session', 0, 2, 0, 'minimum', false),
  /** §13.21 */
  SessionType: text('LO', 'initiator', 16, { ...anyStage, oneOf: ['Normal', 'Discovery'] }),
  /** §13.23 */
  TaskReporting: {
    type: 'list',
    use: 'LO',
    senders: 'both',
    scope: 'session',
    default: 'RFC3720',
    result: 'first',
    irrelevantInDiscovery: true,
  },
  /** RFC 7144 §7.1.1; level 1 is RFC 7143 (§13.24), level 2 adds RFC 7144. */
  iSCSIProtocolLevel: numeric('LO', 'session', 0, 31, 1, 'minimum'),
  /** §13.25 */
  IFMarker: obsolete,
  OFMarker: obsolete,
  IFMarkInt: obsolete,
  OFMarkInt: obsolete,
  /** §13.26: received and ignored, never sent. */
  'X#NodeArchitecture': text('LO', 'both', 255),
} as const satisfies Record<string, KeySpec>

export type KeyName = keyof typeof keys

/** The table's entry for a name, or undefined for a key that no standard defines. */
export const keySpec = (name: string): KeySpec | undefined =>
  Object.hasOwn(keys, name) ? keys[name as KeyName] : undefined

/** Constants that answer a proposal and may never be proposed (§6.2). */
export const reservedAnswers: ReadonlySet<string> = new Set(['NotUnderstood', 'Irrelevant', 'Reject'])
