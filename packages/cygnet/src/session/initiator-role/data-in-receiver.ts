/** What became of a PDU of a command's input sequence. */
export type InputArrival =
  /** Taken. */
  | 'taken'
  /** Taken, and numbers before it are missing: `newGap` has those that were not known to be. */
  | 'ahead'
  /** It has been here, or is of a series that we gave up: nothing was done. */
  | 'repeated'

/** The target broke a rule of data transfer. */
export interface InputViolation {
  readonly violation: string
}

/** Consecutive DataSNs or R2TSNs. */
export interface InputRun {
  readonly first: number
  readonly count: number
}

/** A PDU that came ahead of a gap; an R2T has no bytes. */
interface Piece {
  readonly offset: number
  readonly lengthBytes: number
}

const NO_BUFFER = new Uint8Array(0)
const NOTHING_MISSING: InputRun = { first: 0, count: 0 }
const R2T_PIECE: Piece = { offset: -1, lengthBytes: 0 }

const violated = (violation: string): InputViolation => ({ violation })

/**
 * The input sequence of one command: its Data-In PDUs and R2Ts, which share their numbers (RFC 7143 §4.2.2.4). Data is
 * copied once, to its place in the caller's buffer. DataPDUInOrder and DataSequenceInOrder are always agreed on, so the
 * place of each PDU follows from those before it; one that comes ahead of a gap is checked when the gap is filled.
 */
export class DataInReceiver {
  readonly #buffer: Uint8Array
  readonly #aheadLimit: number
  #expDataSN = 0
  #contiguousBytes = 0
  #dataPdus = 0
  /** One past the highest number that came or was asked for. */
  #end = 0
  #ahead: Map<number, Piece> | undefined
  // Where the target resumes after an R-Data SNACK or a reassignment.
  #ackDataSN = 0
  #ackBytes = 0
  #ackPdus = 0
  #awaitsResend = false
  #takesAnyStart = false
  #takesResentR2Ts = false
  #hasData = false
  #newGap = NOTHING_MISSING

  /** `aheadLimit`: most PDUs that are taken ahead of a gap. */
  constructor(buffer: Uint8Array | undefined, aheadLimit: number) {
    this.#buffer = buffer ?? NO_BUFFER
    this.#aheadLimit = aheadLimit
  }

  /** The number that comes next. */
  get expDataSN(): number {
    return this.#expDataSN
  }

  /** Bytes from the start of the buffer that have come without a gap. */
  get contiguousBytes(): number {
    return this.#contiguousBytes
  }

  /** Data-In PDUs that have come, each counted once. */
  get dataPdus(): number {
    return this.#dataPdus
  }

  /** Numbers are missing that were seen to exist, or that were asked for again. */
  get hasGap(): boolean {
    return this.#awaitsResend || this.#expDataSN < this.#end
  }

  /** Data-In is known to have been sent: what is missing may be data, and not only R2Ts. */
  get hasData(): boolean {
    return this.#hasData
  }

  /** After an arrival `ahead`: the numbers that are first seen to be missing, none where they all were known. */
  get newGap(): InputRun {
    return this.#newGap
  }

  /** The data segment of a Data-In. */
  data(
    dataSN: number,
    offset: number,
    lengthBytes: number,
    slices: readonly Uint8Array[],
  ): InputArrival | InputViolation {
    const buffer = this.#buffer
    this.#hasData = true
    if (this.#awaitsResend && this.#takesAnyStart && offset === this.#contiguousBytes) this.#startAt(dataSN)
    if (this.#isKnown(dataSN)) return 'repeated'
    if (offset + lengthBytes > buffer.length)
      return violated(`it sent bytes up to ${offset + lengthBytes} where ${buffer.length} were asked for`)
    if (dataSN === this.#expDataSN) {
      if (offset !== this.#contiguousBytes)
        return violated(`Data-In ${dataSN} has the offset ${offset} where ${this.#contiguousBytes} was due`)
      copyIn(buffer, offset, slices)
      this.#dataPdus++
      this.#contiguousBytes += lengthBytes
      return this.#next()
    }
    if (offset < this.#contiguousBytes) return violated(`Data-In ${dataSN} goes back to the offset ${offset}`)
    const full = this.#keepAhead(dataSN, { offset, lengthBytes })
    if (full) return full
    copyIn(buffer, offset, slices)
    this.#dataPdus++
    return 'ahead'
  }

  /** An R2T. */
  r2t(r2tSN: number): InputArrival | InputViolation {
    // The data that was asked for again comes after it, whatever its numbers are.
    if (this.#awaitsResend && this.#takesAnyStart) return 'taken'
    if (this.#takesAnyStart) this.#startAt(r2tSN)
    if (this.#takesResentR2Ts && r2tSN < this.#expDataSN && !this.#hasData) return 'taken'
    if (this.#isKnown(r2tSN)) return 'repeated'
    if (r2tSN === this.#expDataSN) return this.#next()
    return this.#keepAhead(r2tSN, R2T_PIECE) ?? 'ahead'
  }

  /**
   * The target has sent so many Data-In PDUs in all. Returns what to ask for: those after all that were seen. Where all
   * are here, only R2Ts can be missing, which do not matter any more.
   */
  expectPdus(dataPdus: number): InputRun | InputViolation {
    if (this.#dataPdus >= dataPdus) return this.#closeGaps() ?? NOTHING_MISSING
    let known = this.#dataPdus
    for (const { count } of this.gaps()) known += count
    const run = { first: this.#end, count: Math.max(0, dataPdus - known) }
    this.#hasData = true
    if (this.#end + run.count - this.#expDataSN > this.#aheadLimit)
      return violated(`its SCSI Response counts ${dataPdus} Data-In PDUs where ${known} are known`)
    this.#end += run.count
    return run
  }

  #closeGaps(): InputViolation | undefined {
    while (this.#expDataSN < this.#end) {
      const result = this.#next()
      if (typeof result === 'object') return result
    }
    return undefined
  }

  /** A number is known to exist, and its PDU is not usable or did not come. Returns what to ask for; 0 of them: nothing new. */
  missing(dataSN: number): InputRun {
    this.#hasData = true
    // Most likely of the series from before; if it was the first of the new one, that is asked for again in time.
    if (this.#awaitsResend) return NOTHING_MISSING
    if (dataSN < this.#end) {
      const isMissing = dataSN >= this.#expDataSN && this.#ahead?.has(dataSN) !== true
      return { first: dataSN, count: isMissing ? 1 : 0 }
    }
    const first = this.#end
    this.#end = dataSN + 1
    return { first, count: this.#end - first }
  }

  /** All that is known to be missing. */
  gaps(): InputRun[] {
    const runs: { first: number; count: number }[] = []
    let last: { first: number; count: number } | undefined
    for (let dataSN = this.#expDataSN; dataSN < this.#end; dataSN++) {
      if (this.#ahead?.has(dataSN)) last = undefined
      else if (last !== undefined) last.count++
      else {
        last = { first: dataSN, count: 1 }
        runs.push(last)
      }
    }
    return runs
  }

  /** What has come is acknowledged: the target does not send it again (§11.16.2). Only without a gap. */
  acknowledge(): void {
    this.#ackDataSN = this.#expDataSN
    this.#ackBytes = this.#contiguousBytes
    this.#ackPdus = this.#dataPdus
  }

  /**
   * Gives up what is not acknowledged: the target sends it again, perhaps cut differently (§11.16.3). `isBidirectional`:
   * its numbers begin after those of R2Ts that may not have come.
   */
  restart(isBidirectional: boolean): void {
    this.#ahead = undefined
    this.#expDataSN = this.#ackDataSN
    this.#contiguousBytes = this.#ackBytes
    this.#dataPdus = this.#ackPdus
    this.#end = this.#expDataSN
    this.#awaitsResend = true
    this.#takesAnyStart = isBidirectional
  }

  /**
   * The task goes on at another connection (§7.2.2), from `expDataSN`: what came without a gap stays. R2Ts without an
   * answer come again: those of a write may start anywhere, those of a bidirectional command (`isRead`) begin with
   * `expDataSN` or are some that have been here.
   */
  reassign(isRead: boolean): void {
    if (this.#ahead !== undefined)
      for (const { offset } of this.#ahead.values()) if (offset >= 0) this.#dataPdus--
    this.#ahead = undefined
    this.#end = this.#expDataSN
    this.#awaitsResend = false
    this.#takesAnyStart = !isRead
    this.#takesResentR2Ts = isRead
    if (isRead) this.acknowledge()
  }

  /** The next number is whatever has come now. */
  #startAt(number: number): void {
    this.#takesAnyStart = false
    this.#expDataSN = number
  }

  #isKnown(number: number): boolean {
    if (number < this.#expDataSN || this.#ahead?.has(number)) return true
    if (!this.#awaitsResend) return false
    // Still the series from before: the new one begins where we asked for it.
    if (number !== this.#expDataSN) return true
    this.#awaitsResend = false
    return false
  }

  #keepAhead(number: number, piece: Piece): InputViolation | undefined {
    this.#ahead ??= new Map()
    if (number - this.#expDataSN > this.#aheadLimit)
      return violated(`number ${number} came where ${this.#expDataSN} was due`)
    this.#ahead.set(number, piece)
    this.#newGap = { first: this.#end, count: Math.max(0, number - this.#end) }
    this.#end = Math.max(this.#end, number + 1)
    return undefined
  }

  /** The number that was due has come, and with it perhaps the end of a gap. */
  #next(): InputArrival | InputViolation {
    this.#expDataSN++
    const ahead = this.#ahead
    if (ahead !== undefined) {
      for (let piece = ahead.get(this.#expDataSN); piece; piece = ahead.get(this.#expDataSN)) {
        if (piece.offset >= 0 && piece.offset !== this.#contiguousBytes)
          return violated(
            `Data-In ${this.#expDataSN} has the offset ${piece.offset} where ${this.#contiguousBytes} was due`,
          )
        this.#contiguousBytes += piece.lengthBytes
        ahead.delete(this.#expDataSN)
        this.#expDataSN++
      }
      if (ahead.size === 0) this.#ahead = undefined
    }
    if (this.#end < this.#expDataSN) this.#end = this.#expDataSN
    return 'taken'
  }
}

function copyIn(buffer: Uint8Array, offset: number, slices: readonly Uint8Array[]): void {
  let at = offset
  for (const slice of slices) {
    buffer.set(slice, at)
    at += slice.length
  }
}
