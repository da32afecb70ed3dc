import { DISC_BLOCK_BYTES } from '../../scsi/mmc-address.ts'
import type { SettableAccessState } from '../../scsi/target-port-groups.ts'
import type { ChapAlgorithmName } from '../../session/auth/chap-algorithms.ts'
import { matchesRange, parseAddressRange } from '../../target/address-range.ts'
import type { Address } from '../address.ts'
import type { BlockSize } from '../blocks.ts'
import type { LogLevel } from '../log-level.ts'
import type { LimitsState } from './limits.ts'

/*
 * What a server shall be: plain data that survives JSON, normalised, with every default filled in, so that two states
 * can be compared. Secrets are named, not held. `null` is "none"; lists are in the order of the file where that
 * decides something, and sorted otherwise.
 */

export interface DesiredState {
  readonly portals: readonly PortalState[]
  readonly discovery: {
    /** null: discovery asks for no authentication. */
    readonly auth: AuthState | null
  }
  /** By name. */
  readonly targets: readonly TargetState[]
  /** Folder for what units remember beside their data; null: a file beside each image. */
  readonly stateFolder: string | null
  /** Processes that share the targets; `auto`: one for each core. */
  readonly shards: number | 'auto'
  readonly limits: LimitsState
  readonly log: { readonly level: LogLevel }
}

export interface PortalState {
  readonly listen: Address
  /** What discovery reports instead of the address that it listens on. */
  readonly advertise: Address | null
  /** Portal group tag, 0..65535. */
  readonly group: number
  readonly tls: TlsState | null
  readonly moved: MovedState | null
}

export interface TlsState {
  readonly certificate: { readonly certFile: string; readonly keyFile: string } | null
  /** Clients must show a certificate that one of these has signed. */
  readonly clientCaFile: string | null
  /** Pre-shared keys. Without a certificate, at least one. */
  readonly psk: readonly { readonly identity: string; readonly keyFile: string }[]
}

/** Logins are redirected (RFC 7143 §11.13.5, status class 1). */
export interface MovedState {
  readonly to: Address
  readonly permanent: boolean
}

export interface TargetState {
  /** Normalised iSCSI name. */
  readonly name: string
  readonly alias: string
  /** Portal group tags, ascending. */
  readonly groups: readonly number[]
  /** Of each of these groups, in the same order. */
  readonly paths: readonly SettableAccessState[]
  /** Ascending. */
  readonly luns: readonly LunState[]
  /** null: nobody has to authenticate itself. */
  readonly auth: AuthState | null
  /** The first rule that fits decides; where none does, the login is refused. */
  readonly access: readonly AccessRuleState[]
  readonly moved: MovedState | null
  /** Logins are told that it is gone for good (status 0204). */
  readonly removed: boolean
}

/** What a LUN is to initiators. */
export const unitKinds = ['disk', 'cdrom'] as const
export type UnitKind = (typeof unitKinds)[number]

/** What an image is where nobody says it. */
export const kindOf = (path: string): UnitKind => (/\.iso$/i.test(path) ? 'cdrom' : 'disk')

export interface LunState {
  /** 0..16383. */
  readonly lun: number
  readonly kind: UnitKind
  readonly medium: MediumState
  readonly blockSizeBytes: BlockSize
  readonly readOnly: boolean
  readonly traits: TraitsState
}

/** A disc has blocks of its own size, and is only read. */
export const formatOf = (
  kind: UnitKind,
  blockSizeBytes: BlockSize,
  readOnly: boolean,
): Pick<LunState, 'kind' | 'blockSizeBytes' | 'readOnly'> =>
  kind === 'cdrom'
    ? { kind, blockSizeBytes: DISC_BLOCK_BYTES, readOnly: true }
    : { kind, blockSizeBytes, readOnly }

/** What kind of disk initiators see. */
export interface TraitsState {
  /** Unused space can be released (UNMAP), where the image's file system can do that. */
  readonly thin: boolean
  /** The medium can be ejected. */
  readonly removable: boolean
  /** Bytes of a physical block; null: as below the image. */
  readonly physicalBlockBytes: number | null
  /** Kept encrypted, with a key of its own. */
  readonly encrypted: boolean
  /** Initiators hear when less space is left in the image's file system; 0: they do not. */
  readonly spaceWarningBytes: number
}

export const defaultTraits: TraitsState = {
  thin: true,
  removable: false,
  physicalBlockBytes: null,
  encrypted: false,
  spaceWarningBytes: 0,
}

export type MediumState =
  /** A regular file or a block device. `createSizeBytes`: a missing file is created sparse with this size. */
  | { readonly kind: 'file'; readonly path: string; readonly createSizeBytes: number | null }
  | { readonly kind: 'memory'; readonly sizeBytes: number }

export interface AuthState {
  /** At least one: who they are is what the target finds out. */
  readonly users: readonly CredentialState[]
  /** How the target shows who it is, where an initiator asks. */
  readonly mutual: CredentialState | null
  /** In the order of preference. */
  readonly algorithms: readonly ChapAlgorithmName[]
  /** Whose order of algorithms decides. */
  readonly preference: 'target' | 'initiator'
  /** The login fails unless the initiator asks the target to authenticate itself. */
  readonly requireMutual: boolean
  /** Takes secrets of less than 12 bytes (RFC 7143 §9.2.1). */
  readonly allowShortSecrets: boolean
}

export interface CredentialState {
  readonly user: string
  readonly secret: SecretSource
}

/** Where a secret is to be had. */
export type SecretSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'environment'; readonly name: string }
  | { readonly kind: 'inline'; readonly text: string }

/** Every condition must hold. */
export interface AccessRuleState {
  /** Normalised patterns of initiator names. */
  readonly initiators: readonly string[] | 'any'
  /** Address ranges in their shortest form. */
  readonly addresses: readonly string[] | 'any'
  /** CHAP users of the target. */
  readonly users: readonly string[] | 'any'
  /** What the initiator sees, ascending by its `lun`. */
  readonly luns: readonly LunMappingState[] | 'all'
  readonly readOnly: boolean
}

export interface LunMappingState {
  /** LUN that the initiator sees. */
  readonly lun: number
  /** LUN of the target. */
  readonly targetLun: number
}

const anyone: AccessRuleState = {
  initiators: 'any',
  addresses: 'any',
  users: 'any',
  luns: 'all',
  readOnly: false,
}
const loopback: AccessRuleState = { ...anyone, addresses: ['127.0.0.0/8', '::1'] }

/** Without rules, whoever knows a secret may log in from anywhere; without secrets too, only this machine may. */
export const defaultAccess = (auth: AuthState | null): readonly AccessRuleState[] =>
  auth === null ? [loopback] : [anyone]

/** Whether no other machine can log in to the target, for a log that says so. */
export const isLoopbackOnly = ({ access }: TargetState): boolean =>
  access.every(({ addresses }) => addresses !== 'any' && addresses.every(isLoopbackRange))

/** Whether anybody, from anywhere, can log in to the target without a proof, for a log that says so. */
export const isOpenToAll = ({ auth, access }: TargetState): boolean =>
  auth === null &&
  access.some(({ addresses }) => addresses === 'any' || addresses.some((range) => range.endsWith('/0')))

function isLoopbackRange(text: string): boolean {
  const [first = ''] = text.split('/')
  const { family, prefixBits } = parseAddressRange(text)
  const [loopbackRange, bits] = family === 4 ? ['127.0.0.0/8', 104] : ['::1', 128]
  return prefixBits >= bits && matchesRange(parseAddressRange(loopbackRange), first)
}

/** The machine's own iSCSI port, for `serve IMAGE` and for a file that names no portal. */
export const defaultPortal = '127.0.0.1:3260'
export const defaultGroup = 1
export const MAX_SHARDS = 64

/**
 * The address that discovery reports, its port the listening one where it names none.
 * undefined: that one is not fixed either.
 */
export function advertisedAddress(advertise: Address, listen: Address): Address | undefined {
  if (advertise.port !== 0) return advertise
  return listen.port === 0 ? undefined : { host: advertise.host, port: listen.port }
}
