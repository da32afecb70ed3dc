import type { TargetLimits } from './limits.ts'
import type { Negotiator, Preferences } from './negotiator.ts'

/** What the session allows of Data-Out. */
export interface DataOutRules {
  readonly errorRecoveryLevel: number
  readonly immediateData: boolean
  readonly initialR2T: boolean
  readonly firstBurstLength: number
  readonly maxBurstLength: number
  readonly maxOutstandingR2T: number
}

/** The operational values of a session, as negotiated (RFC 7143 §13, scope SW). */
export interface SessionParameters extends DataOutRules {
  readonly maxConnections: number
  readonly errorRecoveryLevel: number
  /** Seconds. */
  readonly defaultTime2Wait: number
  readonly defaultTime2Retain: number
  readonly taskReporting: string
  readonly iSCSIProtocolLevel: number
}

/** The operational values of a connection (scope CO). */
export interface ConnectionParameters {
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  /** What the peer declared that it can receive. */
  readonly sendSegmentBytes: number
}

/** What this target wants of each negotiated key. */
export const targetPreferences = (limits: TargetLimits): Preferences => ({
  HeaderDigest: ['CRC32C', 'None'],
  DataDigest: ['CRC32C', 'None'],
  MaxConnections: limits.maxConnections,
  InitialR2T: false,
  ImmediateData: true,
  MaxBurstLength: limits.maxBurstLength,
  FirstBurstLength: limits.firstBurstLength,
  DefaultTime2Wait: limits.time2Wait,
  DefaultTime2Retain: limits.time2Retain,
  MaxOutstandingR2T: limits.maxOutstandingR2T,
  DataPDUInOrder: true,
  DataSequenceInOrder: true,
  ErrorRecoveryLevel: limits.errorRecoveryLevel,
  TaskReporting: ['FastAbort', 'ResponseFence', 'RFC3720'],
  iSCSIProtocolLevel: 2,
})

export const sessionParameters = (keys: Negotiator): SessionParameters => ({
  maxConnections: keys.number('MaxConnections'),
  initialR2T: keys.boolean('InitialR2T'),
  immediateData: keys.boolean('ImmediateData'),
  maxBurstLength: keys.number('MaxBurstLength'),
  firstBurstLength: keys.number('FirstBurstLength'),
  maxOutstandingR2T: keys.number('MaxOutstandingR2T'),
  errorRecoveryLevel: keys.number('ErrorRecoveryLevel'),
  defaultTime2Wait: keys.number('DefaultTime2Wait'),
  defaultTime2Retain: keys.number('DefaultTime2Retain'),
  taskReporting: keys.text('TaskReporting'),
  iSCSIProtocolLevel: keys.number('iSCSIProtocolLevel'),
})

export const connectionParameters = (keys: Negotiator): ConnectionParameters => ({
  headerDigest: keys.text('HeaderDigest') === 'CRC32C',
  dataDigest: keys.text('DataDigest') === 'CRC32C',
  sendSegmentBytes: keys.number('MaxRecvDataSegmentLength'),
})
