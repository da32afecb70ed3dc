import { set16, set24, set32 } from './fields.ts'
import { msfOf, setAddress } from './mmc-address.ts'

/*
 * What is told of a read-only disc with one session of one data track, which begins at LBA 0 (MMC-6 §6.21 to §6.26).
 */

/** The one track, and the one session. */
export const FIRST_TRACK = 1
/** What begins behind the last track. */
export const LEAD_OUT = 0xaa
/** ADR 1: the Q sub-channel holds a position. CONTROL 4: a data track, recorded without interruption. */
const ADR_CONTROL = 0x14

/** FORMAT of READ TOC/PMA/ATIP. */
export const TocFormat = { toc: 0, sessions: 1, full: 2 } as const

/*
 * READ TOC, formats 0 and 1: 0 DATA LENGTH (2)   2 FIRST TRACK or SESSION   3 LAST, then for each track
 *   1 ADR(7-4) CONTROL(3-0)   2 TRACK NUMBER   4 START ADDRESS (4)
 */
function encodeTracks(
  tracks: readonly (readonly [track: number, lba: number])[],
  asMsf: boolean,
): Uint8Array {
  const bytes = new Uint8Array(4 + 8 * tracks.length)
  set16(bytes, 0, bytes.length - 2)
  bytes[2] = bytes[3] = FIRST_TRACK
  for (const [i, [track, lba]] of tracks.entries()) {
    const at = 4 + 8 * i
    bytes[at + 1] = ADR_CONTROL
    bytes[at + 2] = track
    setAddress(bytes, at + 4, lba, asMsf)
  }
  return bytes
}

/** Format 0: tracks from `firstTrack` on, and the lead-out. */
export function encodeToc(blocks: number, firstTrack: number, asMsf: boolean): Uint8Array {
  const track = firstTrack <= FIRST_TRACK ? [[FIRST_TRACK, 0] as const] : []
  return encodeTracks([...track, [LEAD_OUT, blocks]], asMsf)
}

/** Format 1: the first track of the last session. */
export const encodeSessions = (asMsf: boolean): Uint8Array => encodeTracks([[FIRST_TRACK, 0]], asMsf)

/*
 * Format 2, as the lead-in of a CD says it: 0 DATA LENGTH (2)   2 FIRST SESSION   3 LAST SESSION, then for each entry
 *   0 SESSION   1 ADR(7-4) CONTROL(3-0)   2 TNO   3 POINT   4 MIN SEC FRAME (3)   8 PMIN PSEC PFRAME (3)
 * Point A0h has the first track in PMIN (and the disc type in PSEC), A1h the last one, A2h the start of the lead-out.
 */
const FULL_ENTRY_BYTES = 11

export function encodeFullToc(blocks: number): Uint8Array {
  const entries: readonly (readonly [point: number, address: readonly number[]])[] = [
    [0xa0, [FIRST_TRACK, 0, 0]],
    [0xa1, [FIRST_TRACK, 0, 0]],
    [0xa2, msfOf(blocks)],
    [FIRST_TRACK, msfOf(0)],
  ]
  const bytes = new Uint8Array(4 + FULL_ENTRY_BYTES * entries.length)
  set16(bytes, 0, bytes.length - 2)
  bytes[2] = bytes[3] = FIRST_TRACK
  for (const [i, [point, address]] of entries.entries()) {
    const at = 4 + FULL_ENTRY_BYTES * i
    bytes[at] = FIRST_TRACK
    bytes[at + 1] = ADR_CONTROL
    bytes[at + 3] = point
    bytes.set(address, at + 8)
  }
  return bytes
}

/*
 * READ DISC INFORMATION, data type 0: 0 LENGTH (2)   2 ERASABLE(4) LAST SESSION(3-2) DISC STATUS(1-0)   3 FIRST TRACK
 *   4 SESSIONS   5 FIRST TRACK IN LAST SESSION   6 LAST TRACK IN LAST SESSION   7 URU(5)   8 DISC TYPE
 *  16 LAST SESSION LEAD-IN START (4)   20 LAST POSSIBLE LEAD-OUT START (4): neither, of a complete disc
 */
const DISC_INFORMATION_BYTES = 34
/** The last session is complete, and the disc finalized. */
const COMPLETE = 0x0e
const UNRESTRICTED_USE = 0x20

export function encodeDiscInformation(): Uint8Array {
  const bytes = new Uint8Array(DISC_INFORMATION_BYTES)
  set16(bytes, 0, bytes.length - 2)
  bytes[2] = COMPLETE
  bytes.fill(FIRST_TRACK, 3, 7)
  bytes[7] = UNRESTRICTED_USE
  bytes.fill(0xff, 16, 24)
  return bytes
}

/*
 * READ TRACK INFORMATION: 0 LENGTH (2)   2 TRACK   3 SESSION   5 TRACK MODE(3-0)   6 DATA MODE(3-0)
 *   8 TRACK START (4)   24 TRACK SIZE (4)   28 LAST RECORDED ADDRESS (4), not said
 */
const TRACK_INFORMATION_BYTES = 36
const DATA_TRACK = 0x04
const DATA_MODE_1 = 0x01

export function encodeTrackInformation(blocks: number): Uint8Array {
  const bytes = new Uint8Array(TRACK_INFORMATION_BYTES)
  set16(bytes, 0, bytes.length - 2)
  bytes[2] = bytes[3] = FIRST_TRACK
  bytes[5] = DATA_TRACK
  bytes[6] = DATA_MODE_1
  set32(bytes, 24, blocks)
  return bytes
}

/** FORMAT of READ DISC STRUCTURE, with MEDIA TYPE 0, DVD. */
export const DiscStructure = { physical: 0x00, copyright: 0x01, manufacturing: 0x04, list: 0xff } as const

/** Sector number of LBA 0 on a DVD-ROM, and the last one that its fields hold. */
const FIRST_SECTOR = 0x3_0000
const LAST_SECTOR = 0xff_ffff
/** Bytes behind the header of four. */
const LAYER_BYTES = 2048
const COPYRIGHT_BYTES = 4
/** RDS of the list: can be read. */
const READABLE = 0x40

/** 0 LENGTH (2), of all behind it   4 the structure */
function newStructure(structureBytes: number): Uint8Array {
  const bytes = new Uint8Array(4 + structureBytes)
  set16(bytes, 0, bytes.length - 2)
  return bytes
}

/*
 * Format 0, of one embossed layer: 4 DISK CATEGORY(7-4) = 0, DVD-ROM, PART VERSION(3-0)   5 SIZE(7-4) = 0, 120 mm, MAXIMUM RATE(3-0)
 *   6 LAYERS(6-5) TRACK PATH(4) LAYER TYPE(3-0)   8 STARTING SECTOR (4)   12 END SECTOR (4)
 */
const PART_VERSION = 1
const RATE_NOT_SPECIFIED = 0x0f
const EMBOSSED = 0x01

function encodePhysical(blocks: number): Uint8Array {
  const bytes = newStructure(LAYER_BYTES)
  bytes[4] = PART_VERSION
  bytes[5] = RATE_NOT_SPECIFIED
  bytes[6] = EMBOSSED
  set24(bytes, 9, FIRST_SECTOR)
  set24(bytes, 13, Math.min(FIRST_SECTOR + blocks - 1, LAST_SECTOR))
  return bytes
}

/** The list: 0 FORMAT   1 SDS(7) RDS(6)   2 LENGTH (2), for each. */
function encodeList(): Uint8Array {
  const structures = [
    [DiscStructure.physical, LAYER_BYTES],
    [DiscStructure.copyright, COPYRIGHT_BYTES],
    [DiscStructure.manufacturing, LAYER_BYTES],
  ] as const
  const bytes = newStructure(4 * structures.length)
  for (const [i, [format, lengthBytes]] of structures.entries()) {
    bytes[4 + 4 * i] = format
    bytes[5 + 4 * i] = READABLE
    set16(bytes, 6 + 4 * i, 4 + lengthBytes)
  }
  return bytes
}

/** Undefined where there is no such structure. A disc without copy protection has zeroes in format 1; nothing is known for format 4. */
export function encodeDiscStructure(format: number, blocks: number): Uint8Array | undefined {
  switch (format) {
    case DiscStructure.physical:
      return encodePhysical(blocks)
    case DiscStructure.copyright:
      return newStructure(COPYRIGHT_BYTES)
    case DiscStructure.manufacturing:
      return newStructure(LAYER_BYTES)
    case DiscStructure.list:
      return encodeList()
    default:
      return undefined
  }
}

/**
 * GET PERFORMANCE, type 0: 0 LENGTH (4), of all behind it   4 WRITE(1) EXCEPT(0)   8 for each range of blocks: START LBA (4),
 * SPEED (4), END LBA (4), SPEED (4). There is one range, with one speed.
 */
export function encodePerformance(
  blocks: number,
  kilobytesPerSecond: number,
  descriptors: number,
): Uint8Array {
  const bytes = new Uint8Array(8 + 16 * descriptors)
  set32(bytes, 0, bytes.length - 4)
  if (descriptors === 0) return bytes
  set32(bytes, 12, kilobytesPerSecond)
  set32(bytes, 16, blocks - 1)
  set32(bytes, 20, kilobytesPerSecond)
  return bytes
}
