import { get8, get32, get64, set16, set32, set64 } from './fields.ts'
import { Opcode, ServiceAction } from './opcodes.ts'
import { VpdPage, vpdPayload } from './vpd.ts'

/** What the logical block provisioning page (B2h, SBC-4 §6.6.6) says. */
export interface Provisioning {
  /** LBPU: UNMAP works. */
  readonly unmap: boolean
  /** LBPWS: WRITE SAME (16) with its UNMAP bit works. */
  readonly writeSame16Unmap: boolean
  /** LBPRZ: unmapped blocks read as zeroes. */
  readonly unmappedReadsZero: boolean
  /** 0: not reported, 1: resource provisioned, 2: thin provisioned. */
  readonly type: number
}

/** Undefined where it is another page or cut short. */
export function decodeProvisioning(bytes: Uint8Array): Provisioning | undefined {
  if ((vpdPayload(bytes, VpdPage.logicalBlockProvisioning)?.length ?? 0) < 4) return undefined
  const flags = get8(bytes, 5)
  return {
    unmap: (flags & 0x80) !== 0,
    writeSame16Unmap: (flags & 0x40) !== 0,
    // Three bits since SBC-4, of which 001b (and its old one-bit form) means zeroes.
    unmappedReadsZero: ((flags >>> 2) & 0x07) === 1,
    type: get8(bytes, 6) & 0x07,
  }
}

/** Pages that the unit has (00h). */
export const decodeSupportedPages = (bytes: Uint8Array): readonly number[] => [
  ...(vpdPayload(bytes, VpdPage.supportedPages) ?? []),
]

/** MEDIUM ROTATION RATE of B1h: 0 not reported, 1 no rotation, else turns a minute. Undefined where it is another page. */
export function decodeRotationRate(bytes: Uint8Array): number | undefined {
  const rest = vpdPayload(bytes, VpdPage.blockDeviceCharacteristics)
  return rest === undefined || rest.length < 2 ? undefined : (get8(rest, 0) << 8) | get8(rest, 1)
}

/*
 * UNMAP (SBC-4 §5.33): 7 PARAMETER LIST LENGTH (2). The list:
 *   0  UNMAP DATA LENGTH (2)   2  BLOCK DESCRIPTOR DATA LENGTH (2)   8  LBA (8)   16  NUMBER OF BLOCKS (4)   20  reserved (4)
 */
const UNMAP_LIST_BYTES = 24

export function unmapCdb(): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = Opcode.unmap
  set16(cdb, 7, UNMAP_LIST_BYTES)
  return cdb
}

/** The parameter list of an UNMAP of one range. `blocks`: 0..2^32 - 1. */
export function unmapList(lba: number, blocks: number): Uint8Array {
  const list = new Uint8Array(UNMAP_LIST_BYTES)
  set16(list, 0, UNMAP_LIST_BYTES - 2)
  set16(list, 2, UNMAP_LIST_BYTES - 8)
  set64(list, 8, lba)
  set32(list, 16, blocks)
  return list
}

/** COMPARE AND WRITE (SBC-4 §5.3) of 1..255 blocks. */
export function compareAndWriteCdb(lba: number, blocks: number): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = Opcode.compareAndWrite
  set64(cdb, 2, lba)
  cdb[13] = blocks
  return cdb
}

/** GET LBA STATUS (SBC-4 §5.6). */
export function getLbaStatusCdb(lba: number, allocationBytes: number): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = Opcode.serviceActionIn16
  cdb[1] = ServiceAction.getLbaStatus
  set64(cdb, 2, lba)
  set32(cdb, 10, allocationBytes)
  return cdb
}

export interface LbaStatus {
  readonly lba: number
  readonly blocks: number
  /** PROVISIONING STATUS: 0 mapped, 1 deallocated, 2 anchored. */
  readonly status: number
}

/** The descriptors in GET LBA STATUS parameter data, as many as are there in full. */
export function decodeLbaStatus(bytes: Uint8Array): LbaStatus[] {
  if (bytes.length < 8) return []
  const end = Math.min(bytes.length, 4 + get32(bytes, 0))
  const list: LbaStatus[] = []
  for (let at = 8; at + 16 <= end; at += 16) {
    list.push({ lba: get64(bytes, at), blocks: get32(bytes, at + 8), status: get8(bytes, at + 12) & 0x0f })
  }
  return list
}
