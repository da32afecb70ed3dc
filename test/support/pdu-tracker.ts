/**
 * Follows the PDU boundaries of a TCP connection that somebody else's bytes pass through. The login phase has no digests; which ones
 * the full feature phase has is read from the login's text (RFC 7143 §6.3.4, §13.1). Bytes are never held back.
 *
 *     | BHS | AHS | header digest | data | padding | data digest |
 *     '  'header' '               '     'data'     '
 */
import { BHS_BYTES, decodeTextPairs, type Digests, Op } from './raw-pdu.ts'

export const regions = ['header', 'header-digest', 'data', 'data-digest'] as const
export type Region = (typeof regions)[number]

/** A piece of one region of one PDU: bytes `start` to `end` of the chunk that was walked through. */
export interface Span {
  readonly region: Region
  /** Opcode of the PDU, without the I bit. */
  readonly opcode: number
  readonly start: number
  readonly end: number
}

const LOGIN_FINAL = 0x83
const OPCODE_MASK = 0x3f
const DIGEST_BYTES = 4

/** What both directions of a connection share. */
export class LoginWatch {
  readonly digests: Digests = { header: false, data: false }
  isFullFeature = false
  #text = Buffer.alloc(0)

  /** A whole PDU of the login phase. */
  took(bhs: Buffer, data: Buffer): void {
    this.#text = Buffer.concat([this.#text, data])
    const isLast = (bhs.readUInt8(1) & LOGIN_FINAL) === LOGIN_FINAL && bhs.readUInt8(36) === 0
    if ((bhs.readUInt8(0) & OPCODE_MASK) !== Op.loginResponse || !isLast) return
    this.isFullFeature = true
    // An offer is a list; the answer to it is one value, and comes later.
    const chosen = new Map(decodeTextPairs(this.#text).filter(([, value]) => !value.includes(',')))
    this.digests.header = chosen.get('HeaderDigest') === 'CRC32C'
    this.digests.data = chosen.get('DataDigest') === 'CRC32C'
  }
}

/** One direction. */
export class PduTracker {
  readonly #login: LoginWatch
  readonly #bhs = Buffer.alloc(BHS_BYTES)
  readonly #data: Buffer[] = []
  /** PDUs that have passed whole. */
  pdus = 0
  /** Index into `regions` of what comes next, and how many bytes of it have been here. */
  #region = 0
  #seen = 0

  constructor(login: LoginWatch) {
    this.#login = login
  }

  /** Calls `visit` for each piece of a region in `chunk`, in order. */
  walk(chunk: Buffer, visit: (span: Span) => void): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#region === 0 && this.#seen < BHS_BYTES) chunk.copy(this.#bhs, this.#seen, at)
      const region = regions[this.#region] as Region
      const length = Math.min(this.#lengthOf(region) - this.#seen, chunk.length - at)
      const opcode = this.#bhs.readUInt8(0) & OPCODE_MASK
      if (region === 'data' && !this.#login.isFullFeature)
        this.#data.push(Buffer.from(chunk.subarray(at, at + length)))
      visit({ region, opcode, start: at, end: at + length })
      at += length
      this.#seen += length
      while (this.#seen === this.#lengthOf(regions[this.#region] as Region)) {
        this.#seen = 0
        this.#region++
        if (this.#region < regions.length) continue
        this.#finish()
        break
      }
    }
  }

  #finish(): void {
    this.#region = 0
    this.pdus++
    if (this.#login.isFullFeature) return
    const length = this.#bhs.readUIntBE(5, 3)
    this.#login.took(this.#bhs, Buffer.concat(this.#data).subarray(0, length))
    this.#data.length = 0
  }

  /** Whole length of a region of the present PDU, as far as that is known. */
  #lengthOf(region: Region): number {
    const dataBytes = (this.#bhs.readUIntBE(5, 3) + 3) & ~3
    const { digests } = this.#login
    switch (region) {
      case 'header':
        return this.#seen < BHS_BYTES ? BHS_BYTES : BHS_BYTES + this.#bhs.readUInt8(4) * 4
      case 'header-digest':
        return digests.header ? DIGEST_BYTES : 0
      case 'data':
        return dataBytes
      case 'data-digest':
        return digests.data && dataBytes > 0 ? DIGEST_BYTES : 0
    }
  }
}
