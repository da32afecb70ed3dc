import type { Response, Numbering, Outgoing, TransmitVector } from './transmit.ts'

/** Digests of what a connection sends. */
export interface Digests {
  readonly headerDigest: boolean
  readonly dataDigest: boolean
}

/** Encodes the BHS at an offset, with the numbers of the moment at which it leaves. */
export type EncodeWith<Numbers> = (view: DataView, at: number, numbers: Numbers) => void

/** A PDU that is not part of a data transfer: login, text, NOP, logout, task management, reject, async. */
abstract class SinglePdu<Numbers> implements Outgoing {
  readonly #digests: Digests
  readonly #encode: EncodeWith<Numbers>
  readonly #data: Uint8Array | undefined
  readonly #sent: (() => void) | undefined

  constructor(digests: Digests, encode: EncodeWith<Numbers>, data?: Uint8Array, sent?: () => void) {
    this.#digests = digests
    this.#encode = encode
    this.#data = data
    this.#sent = sent
  }

  get heldBytes(): number {
    return this.#data?.length ?? 0
  }

  protected abstract takeNumbers(): Numbers

  transmit(out: TransmitVector): boolean {
    this.encodeWith(out, this.takeNumbers())
    this.#sent?.()
    return true
  }

  protected encodeWith(out: TransmitVector, numbers: Numbers): void {
    const at = out.beginPdu()
    this.#encode(out.view, at, numbers)
    out.endPdu(at, this.#data, undefined, this.#digests.headerDigest, this.#digests.dataDigest)
  }

  discard(): void {}
}

/** What a control PDU needs of its connection. */
export interface ControlConnection extends Digests {
  readonly expCmdSN: number
  readonly maxCmdSN: number
  readonly statSN: number
  takeStatSN(response: Response): number
}

export type EncodeHeader = EncodeWith<Numbering>

/** One of a target's. */
export class ControlPdu extends SinglePdu<Numbering> implements Response {
  readonly isRepeatable = true
  readonly #connection: ControlConnection
  readonly #advances: boolean

  /**
   * `advances`: the PDU is a status, and the next one gets the next StatSN. `sent` runs when the PDU has been encoded:
   * digests and the end of the connection begin after a particular PDU.
   */
  constructor(
    connection: ControlConnection,
    encode: EncodeHeader,
    data?: Uint8Array,
    advances = true,
    sent?: () => void,
  ) {
    super(connection, encode, data, sent)
    this.#connection = connection
    this.#advances = advances
  }

  protected takeNumbers(): Numbering {
    const connection = this.#connection
    return {
      statSN: this.#advances ? connection.takeStatSN(this) : connection.statSN,
      expCmdSN: connection.expCmdSN,
      maxCmdSN: connection.maxCmdSN,
    }
  }

  repeat(out: TransmitVector, statSN: number): void {
    const { expCmdSN, maxCmdSN } = this.#connection
    this.encodeWith(out, { statSN, expCmdSN, maxCmdSN })
  }

  forget(): void {}
}

/** What a request needs of its connection. */
export interface RequestConnection extends Digests {
  /** The next StatSN to come: all before it have arrived. */
  readonly expStatSN: number
}

/** One of an initiator's. Its CmdSN is given when it is queued, since that is when the window is looked at. */
export class RequestPdu extends SinglePdu<number> {
  readonly #connection: RequestConnection

  constructor(connection: RequestConnection, encode: EncodeWith<number>, data?: Uint8Array) {
    super(connection, encode, data)
    this.#connection = connection
  }

  protected takeNumbers(): number {
    return this.#connection.expStatSN
  }
}
