import { get32, get64, set16, set32, set64 } from './fields.ts'

export interface Capacity {
  readonly blocks: number
  readonly blockBytes: number
}

/** READ CAPACITY (10) data: last LBA, or FFFFFFFFh where READ CAPACITY (16) must be asked (SBC-4 §5.20). */
export function encodeCapacity10(capacity: Capacity): Uint8Array {
  const bytes = new Uint8Array(8)
  set32(bytes, 0, Math.min(capacity.blocks - 1, 0xffff_ffff))
  set32(bytes, 4, capacity.blockBytes)
  return bytes
}

/** Undefined where the answer is too short, or says to ask READ CAPACITY (16). */
export function decodeCapacity10(bytes: Uint8Array): Capacity | undefined {
  if (bytes.length < 8) return undefined
  const lastLba = get32(bytes, 0)
  return lastLba === 0xffff_ffff ? undefined : { blocks: lastLba + 1, blockBytes: get32(bytes, 4) }
}

export interface Capacity16 extends Capacity {
  /** Logical blocks in a physical block, as a power of two: 0..15. */
  readonly physicalExponent: number
  /** LBPME: the unit is thin provisioned. */
  readonly thin: boolean
  /** LBPRZ: unmapped blocks read as zeroes. */
  readonly unmappedReadsZero: boolean
}

/*
 * READ CAPACITY (16) data (SBC-4 §5.21.2):
 *   0  LAST LBA (8)   8  BLOCK LENGTH (4)   12  P_TYPE(3-1) PROT_EN(0)   13  P_I_EXPONENT(7-4) LBPPBE(3-0)
 *  14  LBPME(7) LBPRZ(6) LOWEST ALIGNED LBA (14 bits)   16  reserved (16)
 */
export function encodeCapacity16(capacity: Capacity16): Uint8Array {
  const bytes = new Uint8Array(32)
  set64(bytes, 0, capacity.blocks - 1)
  set32(bytes, 8, capacity.blockBytes)
  bytes[13] = capacity.physicalExponent
  set16(bytes, 14, (capacity.thin ? 0x8000 : 0) | (capacity.unmappedReadsZero ? 0x4000 : 0))
  return bytes
}

/** Undefined where the answer is too short. */
export function decodeCapacity16(bytes: Uint8Array): Capacity16 | undefined {
  if (bytes.length < 12) return undefined
  return {
    blocks: get64(bytes, 0) + 1,
    blockBytes: get32(bytes, 8),
    physicalExponent: (bytes[13] ?? 0) & 0x0f,
    thin: ((bytes[14] ?? 0) & 0x80) !== 0,
    unmappedReadsZero: ((bytes[14] ?? 0) & 0x40) !== 0,
  }
}
