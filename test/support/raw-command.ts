/** One SCSI command of the raw test initiator: sends its data as the target asks for it, and checks every PDU that comes back. */
import type { RawInitiator } from './raw-initiator.ts'
import { NO_TAG, Op, type ReceivedPdu } from './raw-pdu.ts'

export interface CommandOptions {
  readonly lun?: number
  /** Most bytes to take: sets R and the expected data transfer length. */
  readonly read?: number
  /** Bytes to send: sets W and the expected data transfer length. */
  readonly write?: Uint8Array
  /** Expected data transfer length where it is to differ from the data. */
  readonly edtl?: number
  /** Immediate data in bytes; true (the default) is as much as negotiated, false none. */
  readonly immediate?: boolean | number
  /** Send the rest of the first burst unasked where InitialR2T=No. Default false. */
  readonly unsolicited?: boolean
  /** Task attribute; 1, simple, by default. */
  readonly attr?: number
  /** The I bit. */
  readonly immediateDelivery?: boolean
  readonly itt?: number
  readonly timeoutMs?: number
  /** Called with each R2T before it is answered; false leaves it unanswered. */
  readonly onR2t?: (pdu: ReceivedPdu) => boolean
}

export interface CommandResult {
  /** iSCSI service response: 0 is "completed at target". */
  readonly response: number
  /** SCSI status. */
  readonly status: number
  readonly sense: Buffer
  readonly senseKey: number
  /** ASC and ASCQ, as in 0x2400. */
  readonly asc: number
  readonly data: Buffer
  readonly overflow: boolean
  readonly underflow: boolean
  readonly residual: number
  readonly itt: number
  /** Everything that came for this command, in order. */
  readonly pdus: readonly ReceivedPdu[]
}

export class CommandExchange {
  readonly itt: number
  readonly result: Promise<CommandResult>
  readonly #initiator: RawInitiator
  readonly #cdb: Uint8Array
  readonly #options: CommandOptions
  readonly #pdus: ReceivedPdu[] = []
  readonly #dataIn: Uint8Array[] = []
  #dataInBytes = 0
  /** DataSN of Data-In and R2TSN share one count (RFC 7143 §4.2.2.4 and §11.8.3). */
  #nextDataSn = 0
  #resolve: (result: CommandResult) => void = () => undefined
  #reject: (error: Error) => void = () => undefined

  constructor(initiator: RawInitiator, cdb: Uint8Array, options: CommandOptions) {
    this.#initiator = initiator
    this.#cdb = cdb
    this.#options = options
    this.itt = options.itt ?? initiator.allocateItt()
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  start(): void {
    const { write, read, lun = 0 } = this.#options
    const { negotiated } = this.#initiator
    const data = write ?? new Uint8Array(0)
    const unasked = Math.min(data.length, negotiated.firstBurstLength)
    const immediate = this.#immediateBytes(Math.min(unasked, negotiated.targetMaxRecvDataSegmentLength))
    const alsoUnsolicited =
      (this.#options.unsolicited ?? false) && !negotiated.initialR2T && unasked > immediate
    let flags = this.#options.attr ?? 1
    if (read !== undefined) flags |= 0x40
    if (write !== undefined) flags |= 0x20
    if (!alsoUnsolicited) flags |= 0x80
    const bhs = this.#initiator.bhs(Op.scsiCommand, {
      immediate: this.#options.immediateDelivery ?? false,
      flags,
      lun,
      itt: this.itt,
      word20: this.#options.edtl ?? (write === undefined ? (read ?? 0) : data.length),
    })
    Buffer.from(this.#cdb).copy(bhs, 32, 0, 16)
    this.#initiator.send(bhs, data.subarray(0, immediate))
    if (alsoUnsolicited) this.#sendDataOut(NO_TAG, immediate, unasked)
  }

  receive(pdu: ReceivedPdu): boolean {
    this.#pdus.push(pdu)
    try {
      switch (pdu.opcode) {
        case Op.r2t:
          this.#onR2t(pdu)
          return false
        case Op.dataIn:
          return this.#onDataIn(pdu)
        case Op.scsiResponse:
          this.#onResponse(pdu)
          return true
        default:
          throw new Error(`opcode 0x${pdu.opcode.toString(16)} answers a SCSI command`)
      }
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)))
      return true
    }
  }

  fail(error: Error): void {
    this.#reject(
      new Error(`command ${Buffer.from(this.#cdb).toString('hex')}: ${error.message}`, { cause: error }),
    )
  }

  #immediateBytes(most: number): number {
    const { immediate = true } = this.#options
    if (typeof immediate === 'number') return immediate
    return immediate && this.#initiator.negotiated.immediateData ? most : 0
  }

  #onR2t(pdu: ReceivedPdu): void {
    const offset = pdu.bhs.readUInt32BE(40)
    const length = pdu.bhs.readUInt32BE(44)
    const total = this.#options.edtl ?? this.#options.write?.length ?? 0
    this.#expect(pdu.bhs.readUInt32BE(36) === this.#nextDataSn++, 'R2TSN out of order', pdu)
    this.#expect(pdu.ttt !== NO_TAG, 'R2T without a target transfer tag', pdu)
    this.#expect(length > 0 && length <= this.#initiator.negotiated.maxBurstLength, 'R2T length', pdu)
    this.#expect(offset + length <= total, 'R2T past the expected data transfer length', pdu)
    if (this.#options.onR2t?.(pdu) ?? true) this.#sendDataOut(pdu.ttt, offset, offset + length)
  }

  #sendDataOut(ttt: number, start: number, end: number): void {
    const data = this.#options.write ?? new Uint8Array(0)
    const limit = this.#initiator.negotiated.targetMaxRecvDataSegmentLength
    let dataSn = 0
    for (let offset = start; offset < end; offset += limit) {
      const stop = Math.min(offset + limit, end)
      const flags = stop === end ? 0x80 : 0
      const bhs = this.#initiator.bhs(Op.dataOut, {
        flags,
        lun: this.#options.lun ?? 0,
        itt: this.itt,
        word20: ttt,
      })
      bhs.writeUInt32BE(dataSn++, 36)
      bhs.writeUInt32BE(offset, 40)
      this.#initiator.send(bhs, data.subarray(offset, stop))
    }
  }

  #onDataIn(pdu: ReceivedPdu): boolean {
    this.#expect(pdu.bhs.readUInt32BE(36) === this.#nextDataSn++, 'DataSN out of order', pdu)
    this.#expect(pdu.bhs.readUInt32BE(40) === this.#dataInBytes, 'Data-In out of order', pdu)
    this.#dataIn.push(pdu.data)
    this.#dataInBytes += pdu.data.length
    this.#expect(
      this.#dataInBytes <= (this.#options.edtl ?? this.#options.read ?? 0),
      'more Data-In than expected',
      pdu,
    )
    if ((pdu.flags & 0x01) === 0) return false
    this.#expect(pdu.final, 'status on a Data-In that is not final', pdu)
    this.#finish(pdu, 0, Buffer.alloc(0))
    return true
  }

  #onResponse(pdu: ReceivedPdu): void {
    const senseLength = pdu.data.length >= 2 ? pdu.data.readUInt16BE(0) : 0
    this.#expect(pdu.data.length === 0 || pdu.data.length >= 2 + senseLength, 'SenseLength', pdu)
    if (this.#dataIn.length > 0) this.#expect(pdu.bhs.readUInt32BE(36) === this.#nextDataSn, 'ExpDataSN', pdu)
    this.#finish(pdu, pdu.bhs.readUInt8(2), pdu.data.subarray(2, 2 + senseLength))
  }

  #finish(pdu: ReceivedPdu, response: number, sense: Buffer): void {
    const descriptorFormat = ((sense[0] ?? 0) & 0x7e) === 0x72
    const [keyAt, ascAt] = descriptorFormat ? [1, 2] : [2, 12]
    this.#resolve({
      response,
      status: pdu.bhs.readUInt8(3),
      sense,
      senseKey: (sense[keyAt] ?? 0) & 0x0f,
      asc: ((sense[ascAt] ?? 0) << 8) | (sense[ascAt + 1] ?? 0),
      data: Buffer.concat(this.#dataIn),
      overflow: (pdu.flags & 0x04) !== 0,
      underflow: (pdu.flags & 0x02) !== 0,
      residual: pdu.bhs.readUInt32BE(44),
      itt: this.itt,
      pdus: this.#pdus,
    })
  }

  #expect(ok: boolean, what: string, pdu: ReceivedPdu): void {
    if (!ok) throw new Error(`${what}: ${pdu.bhs.toString('hex')}`)
  }
}
