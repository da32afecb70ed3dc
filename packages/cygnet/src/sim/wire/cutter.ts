import { pad4, viewOf } from '../../base/bytes.ts'
import { ahsLengthOf, BHS_BYTES, dataSegmentLengthOf } from '../../pdu/bhs.ts'
import { DIGEST_BYTES } from '../../pdu/digest.ts'

/** A PDU in a batch of them, by offsets: header, header digest, data segment with padding, data digest. */
export interface WirePdu {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly start: number
  /** End of BHS, AHS and header digest. */
  readonly headerEnd: number
  readonly dataLengthBytes: number
  readonly end: number
}

export interface WireDigests {
  header: boolean
  data: boolean
}

/**
 * Cuts a batch of whole PDUs into them. `digests` is looked at before each, so that it may change in between. Independent of
 * the assembler that both roles use, and able to be this simple because a batch never ends within a PDU.
 */
export function cutPdus(bytes: Uint8Array, digests: WireDigests, each: (pdu: WirePdu) => void): void {
  const view = viewOf(bytes)
  for (let start = 0; start < bytes.length; ) {
    if (start + BHS_BYTES > bytes.length) throw new RangeError('a batch ends within a header')
    const headerEnd = start + BHS_BYTES + ahsLengthOf(view, start) + (digests.header ? DIGEST_BYTES : 0)
    const dataLengthBytes = dataSegmentLengthOf(view, start)
    const digestBytes = digests.data && dataLengthBytes > 0 ? DIGEST_BYTES : 0
    const end = headerEnd + pad4(dataLengthBytes) + digestBytes
    if (end > bytes.length) throw new RangeError('a batch ends within a PDU')
    each({ bytes, view, start, headerEnd, dataLengthBytes, end })
    start = end
  }
}

/** The data segment, without padding. */
export const dataOf = (pdu: WirePdu): Uint8Array =>
  pdu.bytes.subarray(pdu.headerEnd, pdu.headerEnd + pdu.dataLengthBytes)
