import { AdditionalSense } from './additional-sense.ts'
import { get8, get16, get32, get64, set16, set32, set64 } from './fields.ts'
import type { SenseData } from './sense.ts'
import { illegalRequest, invalidParameterField, SenseKey } from './sense.ts'

/** Service actions of THIRD-PARTY COPY OUT (83h) and IN (84h) (SPC-5 §6.3). */
export const CopyOutAction = {
  extendedCopyLid1: 0x00,
  extendedCopyLid4: 0x01,
  populateToken: 0x10,
  writeUsingToken: 0x11,
  copyOperationAbort: 0x1c,
} as const
export const CopyInAction = {
  copyStatusLid1: 0x00,
  operatingParameters: 0x03,
  failedSegmentDetails: 0x04,
  copyStatusLid4: 0x05,
  rodTokenInformation: 0x07,
} as const

/** What one parameter list may have. */
export const COPY_TARGETS_LIMIT = 16
export const COPY_SEGMENTS_LIMIT = 64
const TARGET_BYTES = 32
const BLOCKS_BYTES = 28
const BYTES_BYTES = 32
/** Most bytes of descriptors in one list. */
export const COPY_DESCRIPTORS_BYTES = COPY_TARGETS_LIMIT * TARGET_BYTES + COPY_SEGMENTS_LIMIT * BLOCKS_BYTES

/** ROD types: access upon reference, and zeroes of any length (SPC-4 table 104). */
export const RodType = { any: 0, accessUponReference: 0x0001_0000, zero: 0xffff_0001 } as const
/** Most ranges of one list of POPULATE TOKEN or WRITE USING TOKEN. */
export const TOKEN_RANGES_LIMIT = 64
/** Most bytes that one token stands for. */
export const TOKEN_LIMIT_BYTES = 64 * 1024 * 1024 * 1024

/** Identification descriptor CSCD descriptor, and copies from block device to block device, of blocks or of bytes. */
export const IDENTIFICATION_TARGET = 0xe4
export const BLOCK_TO_BLOCK = 0x02
export const BLOCK_OFFSET_TO_BLOCK_OFFSET = 0x0a
/** What there is of descriptor types, in order. */
export const COPY_DESCRIPTOR_TYPES = [
  BLOCK_TO_BLOCK,
  BLOCK_OFFSET_TO_BLOCK_OFFSET,
  IDENTIFICATION_TARGET,
] as const

/** Identifies a logical unit. */
export interface CopyTarget {
  readonly designatorType: number
  readonly designator: Uint8Array
}

export interface CopySegment {
  /** Indexes of targets. */
  readonly source: number
  readonly destination: number
  readonly length: number
  /** What `length` counts: blocks of one side (DC), or bytes. */
  readonly unit: 'sourceBlocks' | 'destinationBlocks' | 'bytes'
  readonly sourceLba: number
  readonly destinationLba: number
  /** Where in these blocks it begins. */
  readonly sourceByteOffset: number
  readonly destinationByteOffset: number
}

export interface CopyList {
  readonly listId: number
  /** LIST ID USAGE: 0 and 2 with a list identifier, 3 without. */
  readonly hasListId: boolean
  readonly immediate: boolean
  readonly targets: readonly CopyTarget[]
  readonly segments: readonly CopySegment[]
}

const copyAborted = (additional: AdditionalSense): SenseData => ({ key: SenseKey.copyAborted, additional })

/** COPY ABORTED: a descriptor names what this copy manager cannot reach. */
export const UNREACHABLE = copyAborted(AdditionalSense.copyTargetDeviceNotReachable)
/** COPY ABORTED: a logical unit did not do what was asked of it. */
export const DEVICE_FAILURE = copyAborted(AdditionalSense.thirdPartyDeviceFailure)
/** COPY ABORTED: by COPY OPERATION ABORT. */
export const TERMINATED = copyAborted(AdditionalSense.commandsClearedByDeviceServer)

const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)
const NO_LIST_ID = 3
const RESERVED_USAGE = 1
const LID1_HEADER_BYTES = 16
const LID4_HEADER_BYTES = 48
const LID4_FORMAT = 1

/*
 * LID1 (SPC-4 §6.4.3.1): 0 LIST IDENTIFIER   1 STR(5) LIST ID USAGE(4-3) PRIORITY(2-0)   2 CSCD DESCRIPTOR LIST LENGTH (2)
 *   8 SEGMENT DESCRIPTOR LIST LENGTH (4)   12 INLINE DATA LENGTH (4)   16 descriptors
 */
export function decodeCopyLid1(list: Uint8Array): CopyList | SenseData {
  if (list.length < LID1_HEADER_BYTES) return LENGTH_ERROR
  const header = { listId: get8(list, 0), usageAt: 1, immediate: false }
  return decodeDescriptors(list, header, {
    at: LID1_HEADER_BYTES,
    targetBytes: get16(list, 2),
    segmentBytes: get32(list, 8),
    inlineBytes: get32(list, 12),
  })
}

/*
 * LID4 (SPC-4 §6.5.3): 0 FORMAT (01h)   1 STR(5) LIST ID USAGE(4-3) PRIORITY(2-0)   2 HEADER CSCD DESCRIPTOR LIST LENGTH (2) = 20h
 *   15 IMMED(1) G_SENSE(0)   16 HEADER CSCD DESCRIPTOR TYPE CODE = FFh   20 LIST IDENTIFIER (4)
 *   42 CSCD DESCRIPTOR LIST LENGTH (2)   44 SEGMENT DESCRIPTOR LIST LENGTH (2)   46 INLINE DATA LENGTH (2)   48 descriptors
 */
export function decodeCopyLid4(list: Uint8Array): CopyList | SenseData {
  if (list.length < LID4_HEADER_BYTES) return LENGTH_ERROR
  if (list[0] !== LID4_FORMAT) return invalidParameterField(0, 7)
  if (get16(list, 2) !== 0x20) return invalidParameterField(2, 7)
  if (list[16] !== 0xff) return invalidParameterField(16, 7)
  const header = { listId: get32(list, 20), usageAt: 1, immediate: (get8(list, 15) & 2) !== 0 }
  return decodeDescriptors(list, header, {
    at: LID4_HEADER_BYTES,
    targetBytes: get16(list, 42),
    segmentBytes: get16(list, 44),
    inlineBytes: get16(list, 46),
  })
}

interface Parts {
  readonly at: number
  readonly targetBytes: number
  readonly segmentBytes: number
  readonly inlineBytes: number
}

function decodeDescriptors(
  list: Uint8Array,
  header: { listId: number; usageAt: number; immediate: boolean },
  { at, targetBytes, segmentBytes, inlineBytes }: Parts,
): CopyList | SenseData {
  const usage = (get8(list, header.usageAt) >>> 3) & 3
  if (usage === RESERVED_USAGE) return invalidParameterField(header.usageAt, 4)
  if (inlineBytes !== 0) return LENGTH_ERROR
  if (targetBytes + segmentBytes > COPY_DESCRIPTORS_BYTES) return LENGTH_ERROR
  if (at + targetBytes + segmentBytes > list.length) return LENGTH_ERROR
  const targets = decodeTargets(list, at, at + targetBytes)
  if ('key' in targets) return targets
  const segmentsAt = at + targetBytes
  const segments = decodeSegments(list, segmentsAt, segmentsAt + segmentBytes)
  if ('key' in segments) return segments
  const { listId, immediate } = header
  return { listId, hasListId: usage !== NO_LIST_ID, immediate, targets, segments }
}

/*
 * Identification descriptor CSCD descriptor (SPC-4 §6.4.5.2): 0 E4h   1 DEVICE TYPE(4-0), what is left of it obsolete   4 CODE SET(3-0)
 *   5 ASSOCIATION(5-4) DESIGNATOR TYPE(3-0)   7 DESIGNATOR LENGTH   8 DESIGNATOR (20)   29 DISK BLOCK LENGTH (3)
 */
function decodeTargets(list: Uint8Array, from: number, end: number): readonly CopyTarget[] | SenseData {
  if ((end - from) / TARGET_BYTES > COPY_TARGETS_LIMIT)
    return illegalRequest(AdditionalSense.tooManyCopyTargets)
  const targets: CopyTarget[] = []
  for (let at = from; at < end; at += TARGET_BYTES) {
    if (list[at] !== IDENTIFICATION_TARGET) return illegalRequest(AdditionalSense.unsupportedCopyTargetType)
    if (at + TARGET_BYTES > end) return LENGTH_ERROR
    const lengthBytes = get8(list, at + 7)
    if (lengthBytes > 20) return invalidParameterField(at + 7, 7)
    targets.push({
      designatorType: get8(list, at + 5) & 0x0f,
      designator: list.slice(at + 8, at + 8 + lengthBytes),
    })
  }
  return targets
}

/*
 * Block device to block device (SPC-4 §6.4.6.3): 0 02h   1 DC(1) CAT(0)   2 LENGTH (2) = 18h   4 SOURCE (2)   6 DESTINATION (2)
 *   10 NUMBER OF BLOCKS (2)   12 SOURCE LBA (8)   20 DESTINATION LBA (8)
 * Block device with offset to the like (§6.4.6.12): 0 0Ah   1 CAT(0)   2 LENGTH (2) = 1Ch   4 SOURCE (2)   6 DESTINATION (2)
 *   8 NUMBER OF BYTES (4)   12 SOURCE LBA (8)   20 DESTINATION LBA (8)   28 SOURCE BYTE OFFSET (2)   30 DESTINATION BYTE OFFSET (2)
 */
function decodeSegments(list: Uint8Array, from: number, end: number): readonly CopySegment[] | SenseData {
  const segments: CopySegment[] = []
  let sizeBytes = 0
  for (let at = from; at < end; at += sizeBytes) {
    if (segments.length === COPY_SEGMENTS_LIMIT) {
      return illegalRequest(AdditionalSense.tooManySegmentDescriptors)
    }
    const type = get8(list, at)
    const isOfBytes = type === BLOCK_OFFSET_TO_BLOCK_OFFSET
    if (type !== BLOCK_TO_BLOCK && !isOfBytes) return illegalRequest(AdditionalSense.unsupportedSegmentType)
    sizeBytes = isOfBytes ? BYTES_BYTES : BLOCKS_BYTES
    if (at + sizeBytes > end) return LENGTH_ERROR
    if (get16(list, at + 2) !== sizeBytes - 4) return invalidParameterField(at + 2, 7)
    const countsDestination = (get8(list, at + 1) & 2) !== 0
    segments.push({
      source: get16(list, at + 4),
      destination: get16(list, at + 6),
      length: isOfBytes ? get32(list, at + 8) : get16(list, at + 10),
      unit: isOfBytes ? 'bytes' : countsDestination ? 'destinationBlocks' : 'sourceBlocks',
      sourceLba: get64(list, at + 12),
      destinationLba: get64(list, at + 20),
      sourceByteOffset: isOfBytes ? get16(list, at + 28) : 0,
      destinationByteOffset: isOfBytes ? get16(list, at + 30) : 0,
    })
  }
  return segments
}

/** How far a copy is, or how it ended. */
export interface CopyProgress {
  readonly state: 'running' | 'good' | 'failed' | 'terminated'
  /** Its command has ended already. */
  readonly isInBackground: boolean
  /** Status of the command that the copy was, or would have ended with. */
  readonly status: number
  readonly sense: Uint8Array
  readonly segmentsDone: number
  readonly bytesDone: number
}

const STATE_LID1 = { running: 0, good: 1, failed: 2, terminated: 2 } as const
/** COPY OPERATION STATUS (SPC-4 table 156); in progress in the foreground, and in the background. */
const STATE_LID4 = { running: 0x11, good: 0x01, failed: 0x02, terminated: 0x60 } as const
const RUNNING_IN_BACKGROUND = 0x12

/** COPY STATUS (LID1): 4 STATUS   5 SEGMENTS PROCESSED (2)   7 UNITS   8 TRANSFER COUNT (4): in KiB where bytes do not fit. */
export function encodeCopyStatusLid1(progress: CopyProgress): Uint8Array {
  const bytes = new Uint8Array(12)
  set32(bytes, 0, 8)
  bytes[4] = STATE_LID1[progress.state]
  set16(bytes, 5, progress.segmentsDone)
  const inKiB = progress.bytesDone > 0xffff_ffff
  bytes[7] = inKiB ? 1 : 0
  set32(bytes, 8, inKiB ? Math.floor(progress.bytesDone / 1024) : progress.bytesDone)
  return bytes
}

/** FAILED SEGMENT DETAILS: 56 STATUS   58 SENSE DATA LENGTH (2)   60 SENSE DATA */
export function encodeFailedSegment({ status, sense }: CopyProgress): Uint8Array {
  const bytes = new Uint8Array(60 + sense.length)
  set32(bytes, 0, bytes.length - 4)
  bytes[56] = status
  set16(bytes, 58, sense.length)
  bytes.set(sense, 60)
  return bytes
}

/*
 * COPY STATUS (LID4) and ROD TOKEN INFORMATION (SPC-4 §6.30): 0 AVAILABLE DATA (4)   4 RESPONSE TO SERVICE ACTION   5 STATUS
 *   12 COMPLETION STATUS   13 LENGTH OF SENSE DATA FIELD   14 SENSE DATA LENGTH   15 UNITS   16 TRANSFER COUNT (8)
 *   24 SEGMENTS PROCESSED (2)   32 sense data; of tokens: ROD TOKEN DESCRIPTORS LENGTH (4), descriptors of 2 + 512 bytes
 */
export function encodeCopyStatusLid4(
  progress: CopyProgress,
  {
    action,
    asked,
    unitBytes,
    token,
  }: {
    readonly action: number
    /** Service action of the command that it is about. */
    readonly asked: number
    /** What the transfer count counts. */
    readonly unitBytes: number
    readonly token: Uint8Array | undefined
  },
): Uint8Array {
  const { sense } = progress
  const tail = action === CopyInAction.rodTokenInformation ? 4 + (token ? 2 + token.length : 0) : 0
  const bytes = new Uint8Array(32 + sense.length + tail)
  set32(bytes, 0, bytes.length - 4)
  bytes[4] = asked
  const runsInBackground = progress.state === 'running' && progress.isInBackground
  bytes[5] = runsInBackground ? RUNNING_IN_BACKGROUND : STATE_LID4[progress.state]
  bytes[12] = progress.status
  bytes[13] = sense.length
  bytes[14] = sense.length
  bytes[15] = unitBytes === 1 ? 0 : 0xf1
  set64(bytes, 16, Math.floor(progress.bytesDone / unitBytes))
  set16(bytes, 24, progress.segmentsDone)
  bytes.set(sense, 32)
  if (token) {
    set32(bytes, 32 + sense.length, 2 + token.length)
    bytes.set(token, 32 + sense.length + 6)
  }
  return bytes
}

/** OPERATING PARAMETERS (SPC-4 §6.28). `concurrent`: copies at the same time. `granularityExponent`: of bytes, as a power of two. */
export function encodeCopyParameters(concurrent: number, granularityExponent: number): Uint8Array {
  const bytes = new Uint8Array(44 + COPY_DESCRIPTOR_TYPES.length)
  set32(bytes, 0, bytes.length - 4)
  // SNLID: a command may have no list identifier.
  bytes[4] = 1
  set16(bytes, 8, COPY_TARGETS_LIMIT)
  set16(bytes, 10, COPY_SEGMENTS_LIMIT)
  set32(bytes, 12, COPY_DESCRIPTORS_BYTES)
  set32(bytes, 16, 0xffff * 4096)
  set16(bytes, 34, concurrent)
  bytes[36] = Math.min(concurrent, 0xff)
  bytes[37] = granularityExponent
  bytes[43] = COPY_DESCRIPTOR_TYPES.length
  bytes.set(COPY_DESCRIPTOR_TYPES, 44)
  return bytes
}
