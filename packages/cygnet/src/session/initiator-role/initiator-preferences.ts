import type { InitiatorLimits } from './initiator-limits.ts'
import { defaultSessionPolicy, type SessionPolicy } from './initiator-policy.ts'
import { type KeyName, type KeySpec, keys } from '../keys.ts'
import type { Preferences } from '../negotiator.ts'

/** A digest, or its absence. */
export type Digest = 'CRC32C' | 'None'

/** Digests that an initiator offers, the best first. */
export interface DigestPreferences {
  readonly header: readonly Digest[]
  readonly data: readonly Digest[]
}

/** The part of a session's policy that is negotiated. */
export type NegotiatedPolicy = Pick<
  SessionPolicy,
  | 'connections'
  | 'maxConnections'
  | 'errorRecoveryLevel'
  | 'time2WaitSeconds'
  | 'time2RetainSeconds'
  | 'taskReporting'
>

/** What this initiator wants of each negotiated key; AuthMethod follows from the credentials. */
export const initiatorPreferences = (
  limits: InitiatorLimits,
  digests: DigestPreferences,
  policy: NegotiatedPolicy = defaultSessionPolicy,
): Preferences => ({
  HeaderDigest: digests.header,
  DataDigest: digests.data,
  MaxConnections: policy.maxConnections ?? policy.connections,
  InitialR2T: false,
  ImmediateData: true,
  MaxBurstLength: limits.maxBurstLength,
  FirstBurstLength: Math.min(limits.firstBurstLength, limits.maxBurstLength),
  DefaultTime2Wait: policy.time2WaitSeconds,
  DefaultTime2Retain: policy.time2RetainSeconds,
  // §13.19: more are not allowed with what we offer else.
  MaxOutstandingR2T: policy.errorRecoveryLevel > 0 ? 1 : limits.maxOutstandingR2T,
  DataPDUInOrder: true,
  DataSequenceInOrder: true,
  ErrorRecoveryLevel: policy.errorRecoveryLevel,
  TaskReporting: policy.taskReporting,
  iSCSIProtocolLevel: 2,
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
