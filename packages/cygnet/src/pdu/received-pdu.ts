import type { PooledBuffer } from '../base/pool.ts'

const NO_BYTES = new DataView(new ArrayBuffer(0))

/** The data of a PDU without a data segment. */
export const NO_DATA: readonly Uint8Array[] = Object.freeze([])
/** The buffers of a PDU without a data segment. */
export const NO_BUFFERS: readonly PooledBuffer[] = Object.freeze([])

/**
 * A complete PDU as the assembler hands it over: one object for all of them, valid until `onPdu` returns.
 * What may be kept: the two arrays (where not empty) and, once its buffers are retained, the bytes of `data`.
 */
export class ReceivedPdu {
  /** Holds the BHS at `at` and right after it the AHS. */
  view: DataView = NO_BYTES
  /** Offset of the BHS in `view`. */
  at = 0
  /** Length of the AHS, 0 where there is none; it starts at `at + 48`. */
  ahsLengthBytes = 0
  /** The data segment as slices of the received segments, padding excluded. */
  data: readonly Uint8Array[] = NO_DATA
  /** DataSegmentLength: the sum of the lengths of `data`. */
  dataLengthBytes = 0
  /** The memory behind `data`, one for each slice: who keeps slices retains these, and releases them when done. */
  buffers: readonly PooledBuffer[] = NO_BUFFERS
  /** False where a data digest was due and did not match the received bytes. */
  dataDigestOk = true
}

/** Why a connection cannot go on: after one of these the start of the next PDU is unknown. */
export type PduFault = {
  /** The header as it was received, BHS and AHS; valid until `onFault` returns. Of a PDU with too long an AHS, the BHS only. */
  readonly view: DataView
  readonly at: number
  readonly headerLengthBytes: number
} & (
  | { readonly kind: 'header-digest'; readonly received: number; readonly computed: number }
  | { readonly kind: 'data-segment-too-long'; readonly lengthBytes: number; readonly limitBytes: number }
  | { readonly kind: 'ahs-too-long'; readonly lengthBytes: number; readonly limitBytes: number }
)

/** Who takes what the assembler makes of the bytes. Both may set the assembler's options, and may stop it. */
export interface PduSink {
  onPdu(pdu: ReceivedPdu): void
  /** The assembler has stopped. */
  onFault(fault: PduFault): void
}
