import { get8, get16, get32, set16, set32, set64 } from './fields.ts'

/** Mode pages (SPC-5 §7.5, SBC-4 §6.5). */
export const ModePage = {
  readWriteErrorRecovery: 0x01,
  caching: 0x08,
  control: 0x0a,
  informationalExceptions: 0x1c,
  all: 0x3f,
} as const

/** Subpages: of informational exceptions. */
export const ModeSubpage = { logicalBlockProvisioning: 0x02 } as const

export const PageControl = { current: 0, changeable: 1, default: 2, saved: 3 } as const

/** Subpage FFh: every subpage. */
export const ALL_SUBPAGES = 0xff

/** Bits of the device-specific parameter of a block device (SBC-4 §6.5.1). */
export const ModeFlags = { writeProtected: 0x80, dpoFua: 0x10 } as const

/*
 * Mode parameter header (SPC-5 §7.5.6), then block descriptors, then pages:
 *   (6)   0  MODE DATA LENGTH       1  MEDIUM TYPE   2  DEVICE-SPECIFIC                    3  BLOCK DESCRIPTOR LENGTH
 *   (10)  0  MODE DATA LENGTH (2)   2  MEDIUM TYPE   3  DEVICE-SPECIFIC   4  LONGLBA(0)    6  BLOCK DESCRIPTOR LENGTH (2)
 * Short block descriptor:  0  NUMBER OF BLOCKS (4)   5  BLOCK LENGTH (3)
 * Long block descriptor:   0  NUMBER OF BLOCKS (8)  12  BLOCK LENGTH (4)
 * Page:                    0  PS(7) SPF(6) PAGE CODE(5-0)   1  PAGE LENGTH   2  parameters
 */
export interface ModeBlockDescriptor {
  /** In a short descriptor at most 2^32 - 1; more is written as that (SBC-4 §6.5.2.2). */
  readonly blocks: number
  readonly blockBytes: number
}

export interface ModeData {
  readonly deviceSpecific: number
  readonly block: ModeBlockDescriptor | undefined
  readonly longBlock: boolean
  readonly pages: readonly Uint8Array[]
}

/** `headerBytes` 4 answers MODE SENSE (6), 8 answers MODE SENSE (10). MODE DATA LENGTH says all that there is. */
export function encodeModeData(data: ModeData, headerBytes: 4 | 8): Uint8Array {
  const descriptorBytes = data.block ? (data.longBlock ? 16 : 8) : 0
  let lengthBytes = headerBytes + descriptorBytes
  for (const page of data.pages) lengthBytes += page.length
  const bytes = new Uint8Array(lengthBytes)
  if (headerBytes === 4) {
    bytes[0] = lengthBytes - 1
    bytes[2] = data.deviceSpecific
    bytes[3] = descriptorBytes
  } else {
    set16(bytes, 0, lengthBytes - 2)
    bytes[3] = data.deviceSpecific
    bytes[4] = data.longBlock && data.block ? 1 : 0
    set16(bytes, 6, descriptorBytes)
  }
  if (data.block) putBlockDescriptor(bytes, headerBytes, data.block, data.longBlock)
  let at = headerBytes + descriptorBytes
  for (const page of data.pages) {
    bytes.set(page, at)
    at += page.length
  }
  return bytes
}

function putBlockDescriptor(
  bytes: Uint8Array,
  at: number,
  block: ModeBlockDescriptor,
  longBlock: boolean,
): void {
  if (longBlock) {
    set64(bytes, at, block.blocks)
    set32(bytes, at + 12, block.blockBytes)
    return
  }
  set32(bytes, at, Math.min(block.blocks, 0xffff_ffff))
  set32(bytes, at + 4, block.blockBytes)
}

/** The parts of mode parameter data, for whoever receives it: an initiator, or MODE SELECT. */
export interface ModeParts {
  readonly deviceSpecific: number
  /** BLOCK LENGTH of the first block descriptor, where there is one. */
  readonly blockBytes: number | undefined
  /** Offset of the first block descriptor. */
  readonly descriptorAt: number
  /** Offset of the first page. */
  readonly pagesAt: number
}

/** Undefined where the header or the block descriptors are cut short. */
export function decodeModeHeader(bytes: Uint8Array, headerBytes: 4 | 8): ModeParts | undefined {
  if (bytes.length < headerBytes) return undefined
  const descriptorBytes = headerBytes === 4 ? get8(bytes, 3) : get16(bytes, 6)
  const long = headerBytes === 8 && (get8(bytes, 4) & 1) !== 0
  const pagesAt = headerBytes + descriptorBytes
  if (bytes.length < pagesAt) return undefined
  let blockBytes: number | undefined
  if (long && descriptorBytes >= 16) blockBytes = get32(bytes, headerBytes + 12)
  if (!long && descriptorBytes >= 8) blockBytes = get32(bytes, headerBytes + 4) & 0xff_ffff
  return {
    deviceSpecific: get8(bytes, headerBytes === 4 ? 2 : 3),
    blockBytes,
    descriptorAt: headerBytes,
    pagesAt,
  }
}

/** The pages that follow, as far as they are whole. */
export function decodeModePages(bytes: Uint8Array, pagesAt: number): Uint8Array[] {
  const pages: Uint8Array[] = []
  for (let at = pagesAt; at + 2 <= bytes.length; ) {
    const lengthBytes = modePageLength(bytes, at)
    if (lengthBytes === undefined || at + lengthBytes > bytes.length) break
    pages.push(bytes.subarray(at, at + lengthBytes))
    at += lengthBytes
  }
  return pages
}

/** Whole length of the page (or subpage) that begins at `at`; undefined where its header is cut short. */
export function modePageLength(bytes: Uint8Array, at: number): number | undefined {
  if (at + 2 > bytes.length) return undefined
  if (!(get8(bytes, at) & 0x40)) return 2 + get8(bytes, at + 1)
  return at + 4 > bytes.length ? undefined : 4 + get16(bytes, at + 2)
}
