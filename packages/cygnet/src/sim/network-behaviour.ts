/** How a network carries bytes, and how often what goes wrong: probabilities, 0..1. */
export interface NetworkBehaviour {
  /** Usual time from one end to the other. */
  readonly latencyMs: number
  readonly segmentBytes: number
  /** Of a segment: to be a few bytes long. */
  readonly split: number
  /** Of segments that have arrived together: to be received as one. */
  readonly coalesce: number
  /** Of a segment: to take much longer than usual. */
  readonly delay: number
  /** Of a segment: to take half a second to `longestStallMs`, as where TCP has lost and repeats it. */
  readonly stall: number
  readonly longestStallMs: number
  /** Of a segment: to be where the connection breaks, and both ends hear of it. */
  readonly reset: number
  /** Of a segment: to be where the connection breaks, and nobody hears of it. */
  readonly halfOpen: number
  /** Of a connection: to be refused. */
  readonly refuse: number
  /** Of a PDU: bits of its header are flipped, where it has a header digest. */
  readonly corruptHeader: number
  /** Of a PDU: bits of its data segment are flipped, where it has a data digest. */
  readonly corruptData: number
  /** Of a PDU, at ErrorRecoveryLevel 1 and 2: it is lost as a whole, as by a gateway that cannot buffer it (RFC 7143 §7.1.1). */
  readonly loss: number
}

export const networkFaults = [
  'delay',
  'stall',
  'reset',
  'halfOpen',
  'refuse',
  'corruptHeader',
  'corruptData',
  'loss',
] as const satisfies readonly (keyof NetworkBehaviour)[]
export type NetworkFault = (typeof networkFaults)[number]

const noFaults = Object.fromEntries(networkFaults.map((fault) => [fault, 0])) as Record<NetworkFault, number>

/** What it was like, without anything that goes wrong. */
export const healed = (behaviour: NetworkBehaviour): NetworkBehaviour => ({ ...behaviour, ...noFaults })

/** What has been carried and what happened to it. */
export interface FaultCounts {
  segments: number
  split: number
  readonly disturbed: Record<NetworkFault, number>
}

export const newFaultCounts = (): FaultCounts => ({ segments: 0, split: 0, disturbed: { ...noFaults } })
