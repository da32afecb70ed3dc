/**
 * How the Data-In of a task is cut into PDUs from some point on (RFC 7143 §11.7.1): at the initiator's
 * MaxRecvDataSegmentLength, and at multiples of MaxBurstLength, where a sequence ends. A new cut begins where the data goes on with
 * another segment length, and where an R-Data SNACK or a TASK REASSIGN begins again.
 */
export class DataInCut {
  /** Number of the first PDU of this cut among the Data-In PDUs of its task. */
  readonly firstPdu: number
  readonly segmentBytes: number
  readonly #startBytes: number
  readonly #maxBurstLength: number
  readonly #totalBytes: number
  readonly #pdusOfBurst: number
  /** Of the burst that the cut begins in the middle of. */
  readonly #pdusOfFirstBurst: number
  readonly #firstBurstEndBytes: number

  constructor(
    firstPdu: number,
    startBytes: number,
    segmentBytes: number,
    maxBurstLength: number,
    totalBytes: number,
  ) {
    this.firstPdu = firstPdu
    this.segmentBytes = segmentBytes
    this.#startBytes = startBytes
    this.#maxBurstLength = maxBurstLength
    this.#totalBytes = totalBytes
    this.#pdusOfBurst = Math.ceil(maxBurstLength / segmentBytes)
    this.#firstBurstEndBytes = (Math.floor(startBytes / maxBurstLength) + 1) * maxBurstLength
    this.#pdusOfFirstBurst = Math.ceil((this.#firstBurstEndBytes - startBytes) / segmentBytes)
  }

  /** Offset of a PDU, 0 or more after `firstPdu`; the total where all have been cut. */
  offsetOf(pdu: number): number {
    const index = pdu - this.firstPdu
    if (index < this.#pdusOfFirstBurst) {
      return Math.min(this.#startBytes + index * this.segmentBytes, this.#totalBytes)
    }
    const rest = index - this.#pdusOfFirstBurst
    const bursts = Math.floor(rest / this.#pdusOfBurst)
    const within = rest % this.#pdusOfBurst
    const offset = this.#firstBurstEndBytes + bursts * this.#maxBurstLength + within * this.segmentBytes
    return Math.min(offset, this.#totalBytes)
  }
}
