import { get8, get16, set16 } from './fields.ts'

/*
 * TransportID of iSCSI (SPC-5 §7.6.4.6):
 *   0  TPID FORMAT(7-6) PROTOCOL IDENTIFIER(3-0) = 5   2  ADDITIONAL LENGTH (2)   4  name, a NUL, zeroes to a multiple of four
 * TPID FORMAT 00b names an initiator device, `iqn.…`, and with it all of its ports; 01b one port, `iqn.…,i,0x` and its ISID.
 */
const ISCSI_PROTOCOL = 5
const FORMAT_DEVICE = 0x00
const FORMAT_PORT = 0x40
const HEADER_BYTES = 4
const LEAST_ADDITIONAL_BYTES = 20
const PORT_SEPARATOR = ',i,0x'
const ISID_DIGITS = 12

/** Whom a TransportID means. */
export interface TransportId {
  /** iSCSI name, in lower case. */
  readonly initiatorName: string
  /** `<iSCSI name>,i,0x<ISID>` where it names one port; undefined: every port of the initiator. */
  readonly initiatorPortName: string | undefined
}

/** A TransportID and its place, or why there is none. */
export type DecodedTransportId =
  | { readonly kind: 'id'; readonly id: TransportId; readonly lengthBytes: number }
  | { readonly kind: 'truncated' }
  | { readonly kind: 'invalid' }

/** The TransportID of one port, `initiatorPortName` as in `Nexus`. */
export function encodeTransportId(initiatorPortName: string): Uint8Array {
  const name = new TextEncoder().encode(initiatorPortName)
  const additionalBytes = Math.max(LEAST_ADDITIONAL_BYTES, (name.length + 4) & ~3)
  const bytes = new Uint8Array(HEADER_BYTES + additionalBytes)
  bytes[0] = FORMAT_PORT | ISCSI_PROTOCOL
  set16(bytes, 2, additionalBytes)
  bytes.set(name, HEADER_BYTES)
  return bytes
}

/** The TransportID that begins at `at` and must end at `end` at the latest. */
export function decodeTransportId(bytes: Uint8Array, at: number, end: number): DecodedTransportId {
  if (at + HEADER_BYTES > end) return { kind: 'truncated' }
  const additionalBytes = get16(bytes, at + 2)
  const lengthBytes = HEADER_BYTES + additionalBytes
  if (at + lengthBytes > end) return { kind: 'truncated' }
  const format = get8(bytes, at) & 0xc0
  const isOurs = (get8(bytes, at) & 0x0f) === ISCSI_PROTOCOL
  if (!isOurs || additionalBytes < LEAST_ADDITIONAL_BYTES || additionalBytes % 4 !== 0)
    return { kind: 'invalid' }
  const field = bytes.subarray(at + HEADER_BYTES, at + lengthBytes)
  const nameBytes = field.indexOf(0)
  if (nameBytes < 0) return { kind: 'invalid' }
  const text = new TextDecoder().decode(field.subarray(0, nameBytes)).toLowerCase()
  const id = format === FORMAT_DEVICE ? deviceOf(text) : format === FORMAT_PORT ? portOf(text) : undefined
  return id ? { kind: 'id', id, lengthBytes } : { kind: 'invalid' }
}

const isName = (text: string): boolean => /^(iqn|eui|naa)\.[^,\s]+$/.test(text)

const deviceOf = (text: string): TransportId | undefined =>
  isName(text) ? { initiatorName: text, initiatorPortName: undefined } : undefined

function portOf(text: string): TransportId | undefined {
  const [initiatorName = '', isid = '', ...rest] = text.split(PORT_SEPARATOR)
  if (!isName(initiatorName) || rest.length > 0 || !/^[0-9a-f]{1,12}$/.test(isid)) return undefined
  const initiatorPortName = `${initiatorName}${PORT_SEPARATOR}${isid.padStart(ISID_DIGITS, '0')}`
  return { initiatorName, initiatorPortName }
}
