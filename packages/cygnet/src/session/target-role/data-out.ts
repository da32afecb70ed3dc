import { firstSlices } from '../../base/bytes.ts'
import type { PooledBuffer } from '../../base/pool.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import type { DataOut } from '../../pdu/data.ts'
import type { DataOutRules } from '../parameters.ts'

/**
 * The data of one write command on its way in (RFC 7143 §4.2.5.2): immediate data, then one unsolicited burst if the
 * command left its F bit clear, then what R2Ts ask for. DataPDUInOrder and DataSequenceInOrder are always Yes here, so
 * the bytes arrive at strictly increasing offsets and the slices of the received segments are the data.
 *
 * A breach of the rules is noted as a fault and the rest of the data is discarded; the command may end only when every
 * burst that is owed has ended with its F bit (§7.8, §11.17.1).
 *
 * At ErrorRecoveryLevel 1 and 2, data that is lost is no breach (§7.1.4.1): what comes after it in its burst is
 * discarded, and when the burst has ended, or does not go on, a recovery R2T asks for the rest of it.
 */

/** Why the data of a command is unusable; reported as sense data (§11.4.7.2). */
export type DataOutFault = 'unexpected-unsolicited-data' | 'incorrect-amount-of-data' | 'digest-error'

/** A transfer may hold so many receive segments whatever it has received; beyond it, twice the size of its data. */
const SEGMENTS_HELD = 2
/** Pieces that were copied together grow to this size, in bytes, before there is another. */
const GATHERED_BYTES = 4096

/** Recovery R2Ts in a row that brought nothing, after which the data is given up. */
const RECOVERY_ATTEMPTS = 8
/** R2Ts that were given up; data that still comes for one of these is not looked at. */
const SUPERSEDED_KEPT = 8

/** An R2T that was sent and not yet answered in full. */
export interface OutstandingR2T {
  readonly targetTransferTag: number
  readonly r2tSN: number
  readonly bufferOffset: number
  readonly lengthBytes: number
  receivedBytes: number
  nextDataSN: number
  /** It has left: from here on its data can be waited for. */
  isSent: boolean
}

export class DataOutTransfer {
  readonly slices: Uint8Array[] = []
  fault: DataOutFault | undefined
  readonly #rules: DataOutRules
  /** Expected Data Transfer Length: nothing beyond it may come. */
  readonly #limitBytes: number
  /** The segments that `slices` from `#gatheredSlices` on lie in. */
  readonly #buffers: PooledBuffer[] = []
  #segmentBytes = 0
  /** Bytes of those slices. */
  #slicedBytes = 0
  /** Slices, from the first on, that are memory of their own. */
  #gatheredSlices = 0
  readonly #outstanding: OutstandingR2T[] = []
  #receivedBytes = 0
  #requestedBytes = 0
  #unsolicitedOpen = false
  #unsolicitedDataSN = 0
  #r2tSN = 0
  #discarding = false
  /** Something of the burst that is coming in was lost: the rest of it is discarded. */
  #isBroken = false
  /** The bytes from `#receivedBytes` on were asked for before. */
  #isRecovering = false
  #attempts = 0
  #attemptedBytes = -1
  /** Target transfer tags; `RESERVED_TAG` stands for the unsolicited burst. */
  readonly #superseded: number[] = []
  /** PDUs that have come in. */
  #progress = 0
  #seenProgress = -1
  /** Gaps in DataSN that were noticed. */
  sequenceErrors = 0

  constructor(rules: DataOutRules, limitBytes: number) {
    this.#rules = rules
    this.#limitBytes = limitBytes
  }

  /** Bytes here, contiguous from offset 0. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** The initiator still owes the end of a burst. */
  get isOwed(): boolean {
    return this.#unsolicitedOpen || this.#outstanding.length > 0
  }

  get isUnsolicitedOpen(): boolean {
    return this.#unsolicitedOpen
  }

  /** R2Ts sent so far. */
  get r2tCount(): number {
    return this.#r2tSN
  }

  /** What came with the command itself, and whether (F bit clear) an unsolicited burst follows. */
  begin(
    data: readonly Uint8Array[],
    lengthBytes: number,
    buffers: readonly PooledBuffer[],
    final: boolean,
  ): void {
    this.#unsolicitedOpen = !final
    if (
      (lengthBytes > 0 && !this.#rules.immediateData) ||
      (!final && this.#rules.initialR2T) ||
      lengthBytes > this.#firstBurstLimit
    ) {
      this.fault = 'unexpected-unsolicited-data'
      this.#discarding = true
    }
    this.#keep(data, lengthBytes, buffers)
  }

  /**
   * One Data-Out PDU. False where its tag names no burst of this task: the PDU is to be rejected and changes nothing.
   */
  receive(
    pdu: DataOut,
    data: readonly Uint8Array[],
    lengthBytes: number,
    buffers: readonly PooledBuffer[],
    digestOk: boolean,
  ): boolean {
    this.#progress++
    if (pdu.targetTransferTag === RESERVED_TAG) {
      if (!this.#unsolicitedOpen) return this.#superseded.includes(RESERVED_TAG)
      if (this.#isLost(pdu.dataSN, this.#unsolicitedDataSN, digestOk)) this.#isBroken = true
      else this.#checkUnsolicited(pdu, lengthBytes, digestOk)
      this.#unsolicitedDataSN++
      if (pdu.final) this.#unsolicitedOpen = false
    } else {
      // Outstanding R2Ts are answered in the order in which they were sent (§11.8).
      const r2t = this.#outstanding[0]
      if (r2t?.targetTransferTag !== pdu.targetTransferTag) {
        return this.#superseded.includes(pdu.targetTransferTag)
      }
      if (this.#isLost(pdu.dataSN, r2t.nextDataSN, digestOk)) this.#isBroken = true
      else this.#checkSolicited(r2t, pdu, lengthBytes, digestOk)
      r2t.receivedBytes += lengthBytes
      r2t.nextDataSN++
      if (pdu.final) this.#outstanding.shift()
    }
    if (!this.#isBroken) this.#keep(data, lengthBytes, buffers)
    else if (pdu.final) this.#recover()
    return true
  }

  /** Whether this PDU, or one before it in its burst, was lost in a way that is recovered from (§7.8, §7.9). */
  #isLost(dataSN: number, expectedDataSN: number, digestOk: boolean): boolean {
    if (this.#rules.errorRecoveryLevel === 0 || this.#discarding) return false
    if (!this.#isBroken && digestOk && dataSN !== expectedDataSN) this.sequenceErrors++
    return this.#isBroken || !digestOk || dataSN !== expectedDataSN
  }

  /** The burst is over without all of its data. */
  #recover(): void {
    this.#isBroken = false
    this.#isRecovering = true
    this.#requestedBytes = this.#receivedBytes
    if (this.#receivedBytes > this.#attemptedBytes) this.#attempts = 0
    this.#attemptedBytes = this.#receivedBytes
    this.#attempts++
    if (this.#attempts > RECOVERY_ATTEMPTS) this.#fail('digest-error')
  }

  #supersede(targetTransferTag: number): void {
    this.#superseded.push(targetTransferTag)
    if (this.#superseded.length > SUPERSEDED_KEPT) this.#superseded.shift()
  }

  /** The oldest R2T that is waited for; the only one at ErrorRecoveryLevel 1 and 2 (§13.19). */
  get firstOutstanding(): OutstandingR2T | undefined {
    return this.#outstanding[0]
  }

  /** Whether nothing has come since the last call, although it was asked for (an R2T may still be in our own queue). */
  isSilent(): boolean {
    const isExpected = this.#unsolicitedOpen || this.#outstanding[0]?.isSent === true
    const progress = this.#progress + this.#r2tSN
    const isSilent = isExpected && progress === this.#seenProgress
    this.#seenProgress = isExpected ? progress : -1
    return isSilent
  }

  /** The burst that is owed does not go on: what is missing of it will be asked for again, or the data is given up. */
  burstTimedOut(): void {
    if (this.#unsolicitedOpen) this.#supersede(RESERVED_TAG)
    const r2t = this.#outstanding.shift()
    if (r2t) this.#supersede(r2t.targetTransferTag)
    this.#unsolicitedOpen = false
    if (this.fault === undefined && !this.#discarding) this.#recover()
  }

  /** It goes on with another connection, whose R2Ts begin with `nextR2TSN` where that is one that was sent (§7.2.2). */
  resume(nextR2TSN: number): void {
    if (nextR2TSN < this.#r2tSN) this.#r2tSN = nextR2TSN
    this.#attempts = 0
  }

  /** The connection that it came in over is gone: nothing is owed any more, what is missing has to be asked for again. */
  abandonOwed(): void {
    this.#unsolicitedOpen = false
    this.#outstanding.length = 0
    this.#superseded.length = 0
    this.#isBroken = false
    this.#isRecovering = this.#requestedBytes > this.#receivedBytes
    this.#requestedBytes = this.#receivedBytes
  }

  /** Whether the R2T that comes next asks for data for a second time. */
  get isRecovering(): boolean {
    return this.#isRecovering
  }

  /** The next R2T to send for a command that wants `wantedBytes`, or undefined where there is none to send now. */
  nextR2T(wantedBytes: number, allocateTag: () => number): OutstandingR2T | undefined {
    if (this.#unsolicitedOpen || this.fault !== undefined || this.#discarding) return undefined
    if (this.#outstanding.length >= this.#rules.maxOutstandingR2T) return undefined
    const offset = Math.max(this.#requestedBytes, this.#receivedBytes)
    if (offset >= wantedBytes) return undefined
    const lengthBytes = Math.min(this.#rules.maxBurstLength, wantedBytes - offset)
    const r2t: OutstandingR2T = {
      targetTransferTag: allocateTag(),
      r2tSN: this.#r2tSN++,
      bufferOffset: offset,
      lengthBytes,
      receivedBytes: 0,
      nextDataSN: 0,
      isSent: false,
    }
    this.#isRecovering = false
    this.#requestedBytes = offset + lengthBytes
    this.#outstanding.push(r2t)
    return r2t
  }

  /** The first `lengthBytes` of the data. */
  slicesUpTo(lengthBytes: number): readonly Uint8Array[] {
    return firstSlices(this.slices, lengthBytes)
  }

  /** From here on data is only counted: its command was aborted, or failed without it. */
  discard(): void {
    this.#discarding = true
    this.release()
  }

  /** Nobody needs the received bytes any more. */
  release(): void {
    this.slices.length = 0
    this.#gatheredSlices = 0
    this.#releaseSegments()
  }

  get #firstBurstLimit(): number {
    return Math.min(this.#rules.firstBurstLength, this.#limitBytes)
  }

  #checkUnsolicited(pdu: DataOut, lengthBytes: number, digestOk: boolean): void {
    if (!digestOk || pdu.dataSN !== this.#unsolicitedDataSN) this.#fail('digest-error')
    else if (pdu.bufferOffset !== this.#receivedBytes) this.#fail('incorrect-amount-of-data')
    else {
      const endBytes = this.#receivedBytes + lengthBytes
      if (endBytes > this.#firstBurstLimit) this.#fail('unexpected-unsolicited-data')
      // A separate burst is FirstBurstLength in all, or all of the data where that is less (§4.2.5.2).
      else if (pdu.final && endBytes < this.#firstBurstLimit) this.#fail('incorrect-amount-of-data')
    }
  }

  #checkSolicited(r2t: OutstandingR2T, pdu: DataOut, lengthBytes: number, digestOk: boolean): void {
    const endBytes = r2t.receivedBytes + lengthBytes
    if (!digestOk || pdu.dataSN !== r2t.nextDataSN) this.#fail('digest-error')
    else if (pdu.bufferOffset !== r2t.bufferOffset + r2t.receivedBytes || endBytes > r2t.lengthBytes) {
      this.#fail('incorrect-amount-of-data')
    } else if (pdu.final && endBytes < r2t.lengthBytes) this.#fail('incorrect-amount-of-data')
  }

  #fail(fault: DataOutFault): void {
    this.fault ??= fault
    this.discard()
  }

  #keep(data: readonly Uint8Array[], lengthBytes: number, buffers: readonly PooledBuffer[]): void {
    this.#receivedBytes += lengthBytes
    if (this.#discarding) return
    for (const slice of data) this.slices.push(slice)
    this.#slicedBytes += lengthBytes
    for (const buffer of buffers) {
      if (buffer === this.#buffers.at(-1)) continue
      this.#buffers.push(buffer.retain())
      this.#segmentBytes += buffer.bytes.length
    }
    if (this.#buffers.length > SEGMENTS_HELD && this.#slicedBytes * 2 < this.#segmentBytes) this.#gather()
  }

  /** Tiny pieces with other PDUs between them would hold many times their size: copies them together. */
  #gather(): void {
    const last = this.slices[this.#gatheredSlices - 1]
    if (last !== undefined && last.length < GATHERED_BYTES) {
      this.#gatheredSlices--
      this.#slicedBytes += last.length
    }
    const gathered = new Uint8Array(this.#slicedBytes)
    let at = 0
    for (const slice of this.slices.splice(this.#gatheredSlices)) {
      gathered.set(slice, at)
      at += slice.length
    }
    this.slices.push(gathered)
    this.#gatheredSlices++
    this.#releaseSegments()
  }

  #releaseSegments(): void {
    for (const buffer of this.#buffers) buffer.release()
    this.#buffers.length = 0
    this.#segmentBytes = 0
    this.#slicedBytes = 0
  }
}
