/**
 * A second, deliberately plain reading of RFC 7143 §11 for tests. It shares no code with the codec under test, so that a mistake
 * there is not repeated by its judge. Numbers are read and written at the byte offsets of the RFC's figures.
 */

/** Opcodes as they stand in byte 0, without the I bit. */
export const Op = {
  nopOut: 0x00,
  scsiCommand: 0x01,
  taskManagement: 0x02,
  login: 0x03,
  text: 0x04,
  dataOut: 0x05,
  logout: 0x06,
  snack: 0x10,
  nopIn: 0x20,
  scsiResponse: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  r2t: 0x31,
  asyncMessage: 0x32,
  reject: 0x3f,
} as const

export const BHS_BYTES = 48
/** "No tag": ITT of a target's own NOP-In, TTT of an unsolicited Data-Out. */
export const NO_TAG = 0xffffffff

export type Bytes = Buffer

/** Fields that most PDUs share; the rest is set by offset with `Buffer` methods on the result. */
export interface BhsFields {
  /** Bit 6 of byte 0. */
  readonly immediate?: boolean
  /** Byte 1: F, T, C, R, W, ATTR, CSG, NSG, reason or function. */
  readonly flags?: number
  readonly lun?: number
  readonly itt?: number
  /** Bytes 20..23: TTT, expected data transfer length, CID or referenced task tag. */
  readonly word20?: number
  readonly cmdSn?: number
  readonly expStatSn?: number
}

/** Bytes 8..15 for a single-level LUN: peripheral addressing below 256, flat above (SAM-5 §4.7). */
export function encodeLun(lun: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16BE(lun < 256 ? lun : 0x4000 | lun, 0)
  return bytes
}

export function buildBhs(opcode: number, fields: BhsFields = {}): Buffer {
  const bhs = Buffer.alloc(BHS_BYTES)
  bhs[0] = opcode | (fields.immediate ? 0x40 : 0)
  bhs[1] = fields.flags ?? 0x80
  encodeLun(fields.lun ?? 0).copy(bhs, 8)
  bhs.writeUInt32BE(fields.itt ?? NO_TAG, 16)
  bhs.writeUInt32BE(fields.word20 ?? 0, 20)
  bhs.writeUInt32BE((fields.cmdSn ?? 0) >>> 0, 24)
  bhs.writeUInt32BE((fields.expStatSn ?? 0) >>> 0, 28)
  return bhs
}

/** `Key=Value` pairs, each ended by a zero byte (RFC 7143 §6.1). */
export function encodeText(keys: Readonly<Record<string, string>>): Buffer {
  return Buffer.from(
    Object.entries(keys)
      .map(([key, value]) => `${key}=${value}\0`)
      .join(''),
    'utf8',
  )
}

/** Repeated keys (TargetAddress in SendTargets) keep their last value here; see `decodeTextPairs`. */
export function decodeText(data: Uint8Array): Map<string, string> {
  return new Map(decodeTextPairs(data))
}

export function decodeTextPairs(data: Uint8Array): [string, string][] {
  return Buffer.from(data)
    .toString('utf8')
    .split('\0')
    .filter((pair) => pair !== '')
    .map((pair): [string, string] => {
      const equals = pair.indexOf('=')
      return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
    })
}

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value
})

/** CRC32C of `parts` in turn, in the four-byte order in which it goes on the wire (RFC 7143 §13.1). */
export function digestOf(...parts: readonly Uint8Array[]): Buffer {
  let crc = 0xffffffff
  for (const part of parts) {
    for (const byte of part) crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 0xff] ?? 0)
  }
  const digest = Buffer.alloc(4)
  digest.writeUInt32LE(~crc >>> 0)
  return digest
}

export interface Digests {
  header: boolean
  data: boolean
}

export interface FrameOptions {
  readonly ahs?: Uint8Array
  /** Written to the header instead of the true data length: for lies. */
  readonly dataSegmentLength?: number
  readonly corruptHeaderDigest?: boolean
  readonly corruptDataDigest?: boolean
}

const pad = (length: number): Buffer => Buffer.alloc((4 - (length & 3)) & 3)

/** The bytes of one PDU: BHS, AHS, header digest, data, padding, data digest. Fills in both length fields of a copy of `bhs`. */
export function frame(
  bhs: Uint8Array,
  data: Uint8Array,
  digests: Digests,
  options: FrameOptions = {},
): Buffer {
  const header = Buffer.from(bhs)
  const ahs = options.ahs ?? Buffer.alloc(0)
  header[4] = ahs.length >>> 2
  header.writeUIntBE(options.dataSegmentLength ?? data.length, 5, 3)
  const parts: Uint8Array[] = [header, ahs]
  if (digests.header) {
    const digest = digestOf(header, ahs)
    if (options.corruptHeaderDigest) digest[0] = (digest[0] ?? 0) ^ 1
    parts.push(digest)
  }
  if (data.length > 0) {
    const padding = pad(data.length)
    parts.push(data, padding)
    if (digests.data) {
      const digest = digestOf(data, padding)
      if (options.corruptDataDigest) digest[0] = (digest[0] ?? 0) ^ 1
      parts.push(digest)
    }
  }
  return Buffer.concat(parts)
}

/** A PDU from the target. */
export class ReceivedPdu {
  readonly bhs: Bytes
  readonly ahs: Bytes
  readonly data: Bytes

  constructor(bhs: Bytes, ahs: Bytes, data: Bytes) {
    this.bhs = bhs
    this.ahs = ahs
    this.data = data
  }

  get opcode(): number {
    return this.bhs.readUInt8(0) & 0x3f
  }
  /** Byte 1. */
  get flags(): number {
    return this.bhs.readUInt8(1)
  }
  get final(): boolean {
    return (this.flags & 0x80) !== 0
  }
  get itt(): number {
    return this.bhs.readUInt32BE(16)
  }
  get ttt(): number {
    return this.bhs.readUInt32BE(20)
  }
  get statSn(): number {
    return this.bhs.readUInt32BE(24)
  }
  get expCmdSn(): number {
    return this.bhs.readUInt32BE(28)
  }
  get maxCmdSn(): number {
    return this.bhs.readUInt32BE(32)
  }
  get text(): Map<string, string> {
    return decodeText(this.data)
  }

  /** Whether this PDU used up a StatSN (RFC 7143 §4.2.2.2; a ping of the target's own and an R2T only show the next one). */
  get takesStatSn(): boolean {
    switch (this.opcode) {
      case Op.r2t:
        return false
      case Op.nopIn:
        return this.itt !== NO_TAG
      case Op.dataIn:
        return (this.flags & 0x01) !== 0
      default:
        return true
    }
  }
}

/** Cuts the first whole PDU from `bytes`, checking its digests; undefined while it is incomplete. */
export function cutPdu(bytes: Bytes, digests: Digests): { pdu: ReceivedPdu; used: number } | undefined {
  if (bytes.length < BHS_BYTES) return undefined
  const ahsEnd = BHS_BYTES + bytes.readUInt8(4) * 4
  const dataStart = ahsEnd + (digests.header ? 4 : 0)
  const length = bytes.readUIntBE(5, 3)
  const paddedEnd = dataStart + length + ((4 - (length & 3)) & 3)
  const end = paddedEnd + (digests.data && length > 0 ? 4 : 0)
  if (bytes.length < end) return undefined
  if (digests.header && !digestOf(bytes.subarray(0, ahsEnd)).equals(bytes.subarray(ahsEnd, dataStart))) {
    throw new Error(`bad header digest in ${bytes.subarray(0, dataStart).toString('hex')}`)
  }
  if (
    end !== paddedEnd &&
    !digestOf(bytes.subarray(dataStart, paddedEnd)).equals(bytes.subarray(paddedEnd, end))
  ) {
    throw new Error(`bad data digest in the PDU ${bytes.subarray(0, BHS_BYTES).toString('hex')}`)
  }
  if (bytes.subarray(dataStart + length, paddedEnd).some((byte) => byte !== 0)) {
    throw new Error(`padding is not zero in the PDU ${bytes.subarray(0, BHS_BYTES).toString('hex')}`)
  }
  const pdu = new ReceivedPdu(
    Buffer.from(bytes.subarray(0, BHS_BYTES)),
    Buffer.from(bytes.subarray(BHS_BYTES, ahsEnd)),
    Buffer.from(bytes.subarray(dataStart, dataStart + length)),
  )
  return { pdu, used: end }
}
