import type { InitiatorLimits } from './initiator-limits.ts'
import { type KeyName, type KeySpec, keys } from './keys.ts'
import type { Preferences } from './negotiator.ts'

/** A digest, or its absence. */
export type Digest = 'CRC32C' | 'None'

/** Digests that an initiator offers, the best first. */
export interface DigestPreferences {
  readonly header: readonly Digest[]
  readonly data: readonly Digest[]
}

/** What this initiator wants of each negotiated key; AuthMethod follows from the credentials. */
export const initiatorPreferences = (limits: InitiatorLimits, digests: DigestPreferences): Preferences => ({
  HeaderDigest: digests.header,
  DataDigest: digests.data,
  MaxConnections: 1,
  InitialR2T: false,
  ImmediateData: true,
  MaxBurstLength: limits.maxBurstLength,
  FirstBurstLength: Math.min(limits.firstBurstLength, limits.maxBurstLength),
  DefaultTime2Wait: 2,
  DefaultTime2Retain: 20,
  MaxOutstandingR2T: limits.maxOutstandingR2T,
  DataPDUInOrder: true,
  DataSequenceInOrder: true,
  ErrorRecoveryLevel: 0,
  TaskReporting: ['ResponseFence', 'RFC3720'],
  iSCSIProtocolLevel: 1,
})

/**
 * Keys that targets of RFC 3720 do not know: NotUnderstood then means the default (§4.2.3.4 says so of TaskReporting,
 * and iSCSIProtocolLevel is a later key of RFC 7144). On every other standard key it is a protocol error.
 */
export const laterKeys: ReadonlySet<string> = new Set(['TaskReporting', 'iSCSIProtocolLevel'])

/** The operational keys that a login of this kind offers, in the order of the table. */
export function operationalKeys(isDiscovery: boolean, leading: boolean): KeyName[] {
  const entries = Object.entries(keys) as [KeyName, KeySpec][]
  return entries
    .filter(([, spec]) => 'result' in spec && !spec.securityStage)
    .filter(([, spec]) => leading || spec.use !== 'LO')
    .filter(([, spec]) => !(isDiscovery && spec.irrelevantInDiscovery))
    .map(([name]) => name)
}
