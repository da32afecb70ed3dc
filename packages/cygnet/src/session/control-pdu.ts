import type { Numbering, Outgoing, TransmitVector } from './transmit.ts'

/** What a control PDU needs of its connection. */
export interface ControlConnection {
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  readonly expCmdSN: number
  readonly maxCmdSN: number
  readonly statSN: number
  takeStatSN(): number
}

/** Encodes the BHS at an offset, with the numbers of the moment at which it leaves. */
export type EncodeHeader = (view: DataView, at: number, numbering: Numbering) => void

/** A PDU that is not part of a data transfer: login, text, NOP, logout, task management, reject, async. */
export class ControlPdu implements Outgoing {
  readonly #connection: ControlConnection
  readonly #encode: EncodeHeader
  readonly #data: Uint8Array | undefined
  readonly #advances: boolean
  readonly #sent: (() => void) | undefined

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
    this.#connection = connection
    this.#encode = encode
    this.#data = data
    this.#advances = advances
    this.#sent = sent
  }

  transmit(out: TransmitVector): boolean {
    const connection = this.#connection
    const at = out.beginPdu()
    this.#encode(out.view, at, {
      statSN: this.#advances ? connection.takeStatSN() : connection.statSN,
      expCmdSN: connection.expCmdSN,
      maxCmdSN: connection.maxCmdSN,
    })
    out.endPdu(at, this.#data, undefined, connection.headerDigest, connection.dataDigest)
    this.#sent?.()
    return true
  }

  discard(): void {}
}
