import { AdditionalSense, additionalSenseName } from './additional-sense.ts'
import { get8, get16, get32, set16 } from './fields.ts'

/** Sense keys (SPC-5 §4.4.8). */
export const SenseKey = {
  noSense: 0x0,
  recoveredError: 0x1,
  notReady: 0x2,
  mediumError: 0x3,
  hardwareError: 0x4,
  illegalRequest: 0x5,
  unitAttention: 0x6,
  dataProtect: 0x7,
  blankCheck: 0x8,
  copyAborted: 0xa,
  abortedCommand: 0xb,
  volumeOverflow: 0xd,
  miscompare: 0xe,
  completed: 0xf,
} as const
export type SenseKey = (typeof SenseKey)[keyof typeof SenseKey]

const KEY_NAMES: readonly string[] = [
  'no sense',
  'recovered error',
  'not ready',
  'medium error',
  'hardware error',
  'illegal request',
  'unit attention',
  'data protect',
  'blank check',
  'vendor specific',
  'copy aborted',
  'aborted command',
  'reserved',
  'volume overflow',
  'miscompare',
  'completed',
]

/** Which byte, and where known which bit, of a CDB or parameter list was wrong (SPC-5 §4.4.2.4.2). */
export interface FieldPointer {
  readonly in: 'cdb' | 'parameters'
  readonly byte: number
  /** 7..0: the most significant bit of the field. */
  readonly bit?: number
}

export interface SenseData {
  /** 0..15. */
  readonly key: number
  /** `ASC << 8 | ASCQ`. */
  readonly additional: number
  /** INFORMATION: an LBA or a byte offset. 0..2^53. */
  readonly information?: number
  readonly field?: FieldPointer
  /** How far a command in the background has come, in 65536ths: 0..65535. With NO SENSE and NOT READY (SPC-5 §4.4.2.4.4). */
  readonly progress?: number
  /** Of an earlier command (response codes 71h and 73h). */
  readonly deferred?: boolean
}

export const illegalRequest = (additional: AdditionalSense): SenseData => ({
  key: SenseKey.illegalRequest,
  additional,
})

/** INVALID FIELD IN CDB, pointing at it. `bit` is the field's most significant bit. */
export function invalidCdbField(byte: number, bit?: number): SenseData {
  const field: FieldPointer = bit === undefined ? { in: 'cdb', byte } : { in: 'cdb', byte, bit }
  return { key: SenseKey.illegalRequest, additional: AdditionalSense.invalidFieldInCdb, field }
}

/** INVALID FIELD IN PARAMETER LIST, pointing at it. */
export function invalidParameterField(byte: number, bit?: number): SenseData {
  const field: FieldPointer = bit === undefined ? { in: 'parameters', byte } : { in: 'parameters', byte, bit }
  return { key: SenseKey.illegalRequest, additional: AdditionalSense.invalidFieldInParameterList, field }
}

/** Length of fixed format sense data as built here. */
export const FIXED_SENSE_BYTES = 18

/** Sense data in fixed (70h) or descriptor (72h) format. */
export const encodeSense = (sense: SenseData, descriptorFormat: boolean): Uint8Array =>
  descriptorFormat ? encodeDescriptorSense(sense) : encodeFixedSense(sense)

/*
 * Fixed format (SPC-5 §4.4.3):
 *    0  VALID(7) RESPONSE CODE 70h/71h(6-0)   1  obsolete          2  FILEMARK EOM ILI SDAT_OVFL SENSE KEY(3-0)
 *    3  INFORMATION (4)                       7  ADDITIONAL SENSE LENGTH    8  COMMAND-SPECIFIC INFORMATION (4)
 *   12  ASC      13  ASCQ      14  FRU CODE  15  SKSV(7) SENSE KEY SPECIFIC (3)
 */
function encodeFixedSense(sense: SenseData): Uint8Array {
  const bytes = new Uint8Array(FIXED_SENSE_BYTES)
  bytes[0] = sense.deferred === true ? 0x71 : 0x70
  bytes[2] = sense.key
  // The field has four bytes: a larger value is left out, VALID clear (SPC-5 §4.4.3.4).
  if (sense.information !== undefined && sense.information <= 0xffff_ffff) {
    bytes[0] |= 0x80
    putInformation(bytes, 3, 4, sense.information)
  }
  bytes[7] = FIXED_SENSE_BYTES - 8
  set16(bytes, 12, sense.additional)
  putKeySpecific(bytes, 15, sense)
  return bytes
}

/*
 * Descriptor format (SPC-5 §4.4.2):
 *    0  RESPONSE CODE 72h/73h   1  SENSE KEY(3-0)   2  ASC   3  ASCQ   7  ADDITIONAL SENSE LENGTH   8  descriptors
 *   information:        0  00h   1  0Ah   2  VALID(7)    4  INFORMATION (8)
 *   sense key specific: 0  02h   1  06h   4  SKSV(7) SENSE KEY SPECIFIC (3)
 */
function encodeDescriptorSense(sense: SenseData): Uint8Array {
  const informationBytes = sense.information === undefined ? 0 : 12
  const hasKeySpecific = sense.field !== undefined || sense.progress !== undefined
  const bytes = new Uint8Array(8 + informationBytes + (hasKeySpecific ? 8 : 0))
  bytes[0] = sense.deferred === true ? 0x73 : 0x72
  bytes[1] = sense.key
  set16(bytes, 2, sense.additional)
  bytes[7] = bytes.length - 8
  if (sense.information !== undefined) {
    bytes[9] = 0x0a
    bytes[10] = 0x80
    putInformation(bytes, 12, 8, sense.information)
  }
  if (hasKeySpecific) {
    const at = 8 + informationBytes
    bytes[at] = 0x02
    bytes[at + 1] = 0x06
    putKeySpecific(bytes, at + 4, sense)
  }
  return bytes
}

function putKeySpecific(bytes: Uint8Array, at: number, { field, progress }: SenseData): void {
  if (field) return putFieldPointer(bytes, at, field)
  if (progress === undefined) return
  bytes[at] = 0x80
  set16(bytes, at + 1, progress)
}

function putInformation(bytes: Uint8Array, at: number, lengthBytes: number, value: number): void {
  for (let i = lengthBytes - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) {
    bytes[at + i] = rest % 256
  }
}

function putFieldPointer(bytes: Uint8Array, at: number, field: FieldPointer): void {
  bytes[at] = 0x80 | (field.in === 'cdb' ? 0x40 : 0) | (field.bit === undefined ? 0 : 0x08 | field.bit)
  set16(bytes, at + 1, field.byte)
}

/** Reads both formats; undefined where the bytes are neither or too short to hold a sense key. */
export function decodeSense(bytes: Uint8Array): SenseData | undefined {
  const responseCode = (bytes[0] ?? 0) & 0x7f
  if ((responseCode === 0x70 || responseCode === 0x71) && bytes.length >= 3) return decodeFixed(bytes)
  if ((responseCode === 0x72 || responseCode === 0x73) && bytes.length >= 4) return decodeDescriptors(bytes)
  return undefined
}

function decodeFixed(bytes: Uint8Array): SenseData {
  const end = bytes.length > 7 ? Math.min(bytes.length, 8 + get8(bytes, 7)) : bytes.length
  const key = get8(bytes, 2) & 0x0f
  const field = end >= 18 ? getFieldPointer(bytes, 15, key) : undefined
  const progress = end >= 18 ? getProgress(bytes, 15, key) : undefined
  return {
    key,
    additional: end >= 14 ? get16(bytes, 12) : 0,
    ...(get8(bytes, 0) & 0x80 && end >= 7 ? { information: get32(bytes, 3) } : {}),
    ...(field ? { field } : {}),
    ...(progress === undefined ? {} : { progress }),
    ...((get8(bytes, 0) & 0x7f) === 0x71 ? { deferred: true } : {}),
  }
}

function decodeDescriptors(bytes: Uint8Array): SenseData {
  const key = get8(bytes, 1) & 0x0f
  let information: number | undefined
  let field: FieldPointer | undefined
  let progress: number | undefined
  const end = Math.min(bytes.length, 8 + (bytes[7] ?? 0))
  for (let at = 8; at + 2 <= end; at += 2 + get8(bytes, at + 1)) {
    const next = at + 2 + get8(bytes, at + 1)
    if (next > end) break
    if (bytes[at] === 0x00 && next - at >= 12 && get8(bytes, at + 2) & 0x80) {
      information = get32(bytes, at + 4) * 0x1_0000_0000 + get32(bytes, at + 8)
    }
    if (bytes[at] === 0x02 && next - at >= 8) {
      field = getFieldPointer(bytes, at + 4, key)
      progress = getProgress(bytes, at + 4, key)
    }
  }
  return {
    key,
    additional: get16(bytes, 2),
    ...(information === undefined ? {} : { information }),
    ...(field ? { field } : {}),
    ...(progress === undefined ? {} : { progress }),
    ...(bytes[0] === 0x73 ? { deferred: true } : {}),
  }
}

function getFieldPointer(bytes: Uint8Array, at: number, key: number): FieldPointer | undefined {
  const flags = get8(bytes, at)
  if (!(flags & 0x80) || key !== SenseKey.illegalRequest) return undefined
  const where = flags & 0x40 ? 'cdb' : 'parameters'
  const byte = get16(bytes, at + 1)
  return flags & 0x08 ? { in: where, byte, bit: flags & 0x07 } : { in: where, byte }
}

const getProgress = (bytes: Uint8Array, at: number, key: number): number | undefined =>
  get8(bytes, at) & 0x80 && (key === SenseKey.noSense || key === SenseKey.notReady)
    ? get16(bytes, at + 1)
    : undefined

/** One line for people: `illegal request: invalid field in CDB (byte 1, bit 5 of the CDB)`. */
export function describeSense(sense: SenseData): string {
  let text = `${KEY_NAMES[sense.key] ?? 'reserved'}: ${additionalSenseName(sense.additional)}`
  if (sense.field) {
    const bit = sense.field.bit === undefined ? '' : `, bit ${sense.field.bit}`
    const where = sense.field.in === 'cdb' ? 'CDB' : 'parameter list'
    text += ` (byte ${sense.field.byte}${bit} of the ${where})`
  }
  if (sense.progress !== undefined) text += ` (${Math.floor((sense.progress * 100) / 65_536)} % done)`
  if (sense.information !== undefined) text += ` (information ${sense.information})`
  return sense.deferred === true ? `deferred ${text}` : text
}
