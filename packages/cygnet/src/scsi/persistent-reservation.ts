import { hex } from '../base/bytes.ts'
import { AdditionalSense } from './additional-sense.ts'
import { get8, get16, get32, set16, set32 } from './fields.ts'
import type { SenseData } from './sense.ts'
import { illegalRequest, invalidCdbField, invalidParameterField } from './sense.ts'
import type { TransportId } from './transport-id.ts'
import { decodeTransportId, encodeTransportId } from './transport-id.ts'

/** A reservation key: 16 hexadecimal digits in lower case. */
export type ReservationKey = string
/** The key of a nexus that is not registered. */
export const NO_KEY: ReservationKey = '0'.repeat(16)

/** Types of persistent reservations (SPC-5 §6.16.3.4). */
export const ReservationType = {
  writeExclusive: 1,
  exclusiveAccess: 3,
  writeExclusiveRegistrantsOnly: 5,
  exclusiveAccessRegistrantsOnly: 6,
  writeExclusiveAllRegistrants: 7,
  exclusiveAccessAllRegistrants: 8,
} as const
export type ReservationType = (typeof ReservationType)[keyof typeof ReservationType]

export interface ReservationRule {
  /** Others may not even read. */
  readonly excludesReading: boolean
  /** Who has access: the holder, or every registrant, of whom one holds it (`only`) or all do (`all`). */
  readonly registrants: 'holder' | 'only' | 'all'
}

export const reservationRules: Readonly<Record<ReservationType, ReservationRule>> = {
  1: { excludesReading: false, registrants: 'holder' },
  3: { excludesReading: true, registrants: 'holder' },
  5: { excludesReading: false, registrants: 'only' },
  6: { excludesReading: true, registrants: 'only' },
  7: { excludesReading: false, registrants: 'all' },
  8: { excludesReading: true, registrants: 'all' },
}

export const isReservationType = (code: number): code is ReservationType => code in reservationRules

// PERSISTENT RESERVE IN (SPC-5 §6.16).

export const ReserveInAction = {
  readKeys: 0,
  readReservation: 1,
  reportCapabilities: 2,
  readFullStatus: 3,
} as const

/** PRGENERATION (4), ADDITIONAL LENGTH (4), then what differs. */
function newStatus(generation: number, additionalBytes: number): Uint8Array {
  const bytes = new Uint8Array(8 + additionalBytes)
  set32(bytes, 0, generation)
  set32(bytes, 4, additionalBytes)
  return bytes
}

function setKey(bytes: Uint8Array, at: number, key: ReservationKey): void {
  for (let i = 0; i < 8; i++) bytes[at + i] = Number.parseInt(key.slice(2 * i, 2 * i + 2), 16)
}

const getKey = (bytes: Uint8Array, at: number): ReservationKey => hex(bytes.subarray(at, at + 8))

export function encodeReadKeys(generation: number, keys: readonly ReservationKey[]): Uint8Array {
  const bytes = newStatus(generation, 8 * keys.length)
  for (const [i, key] of keys.entries()) setKey(bytes, 8 + 8 * i, key)
  return bytes
}

/** `key`: the holder's, or `NO_KEY` where all registrants hold it. */
export interface HeldReservation {
  readonly key: ReservationKey
  readonly type: ReservationType
}

/** 8  RESERVATION KEY (8)   21  SCOPE(7-4) = LU_SCOPE TYPE(3-0) */
export function encodeReadReservation(generation: number, held: HeldReservation | undefined): Uint8Array {
  if (!held) return newStatus(generation, 0)
  const bytes = newStatus(generation, 16)
  setKey(bytes, 8, held.key)
  bytes[21] = held.type
  return bytes
}

/**
 * ALLOW COMMANDS (SPC-5 §6.16.4): every type lets TEST UNIT READY and RECEIVE COPY RESULTS through; Write Exclusive also
 * MODE SENSE, READ ATTRIBUTE, READ BUFFER, RECEIVE DIAGNOSTIC RESULTS, REPORT SUPPORTED OPERATION CODES, REPORT SUPPORTED
 * TASK MANAGEMENT FUNCTIONS and READ DEFECT DATA.
 */
const ALLOW_COMMANDS = 4

/**
 *   0  LENGTH (2) = 8   2  RLR_C(7) CRH(4) SIP_C(3) ATP_C(2) PTPL_C(0)   3  TMV(7) ALLOW COMMANDS(6-4) PTPL_A(0)
 *   4  PERSISTENT RESERVATION TYPE MASK (2)
 * `canPersist`: PTPL_C, reservations can outlive power loss; `persists`: PTPL_A, these do.
 */
export const encodeReportCapabilities = (canPersist: boolean, persists: boolean): Uint8Array =>
  Uint8Array.of(
    0,
    8,
    canPersist ? 0x1d : 0x1c,
    0x80 | (ALLOW_COMMANDS << 4) | (persists ? 1 : 0),
    0xea,
    0x01,
    0,
    0,
  )

export interface FullStatus {
  readonly key: ReservationKey
  /** The type of the reservation that it holds. */
  readonly holds: ReservationType | undefined
  readonly initiatorPortName: string
  readonly relativeTargetPortId: number
}

/**
 * Full status descriptor (SPC-5 §6.16.5):
 *    0  RESERVATION KEY (8)   12  ALL_TG_PT(1) R_HOLDER(0)   13  SCOPE(7-4) TYPE(3-0)   18  RELATIVE TARGET PORT IDENTIFIER (2)
 *   20  ADDITIONAL DESCRIPTOR LENGTH (4)   24  TransportID
 */
const DESCRIPTOR_BYTES = 24

export function encodeReadFullStatus(generation: number, list: readonly FullStatus[]): Uint8Array {
  const ids = list.map(({ initiatorPortName }) => encodeTransportId(initiatorPortName))
  const bytes = newStatus(
    generation,
    ids.reduce((sum, id) => sum + DESCRIPTOR_BYTES + id.length, 0),
  )
  let at = 8
  for (const [i, { key, holds, relativeTargetPortId }] of list.entries()) {
    const id = ids[i] ?? new Uint8Array(0)
    setKey(bytes, at, key)
    bytes[at + 12] = holds === undefined ? 0 : 1
    bytes[at + 13] = holds ?? 0
    set16(bytes, at + 18, relativeTargetPortId)
    set32(bytes, at + 20, id.length)
    bytes.set(id, at + DESCRIPTOR_BYTES)
    at += DESCRIPTOR_BYTES + id.length
  }
  return bytes
}

// PERSISTENT RESERVE OUT (SPC-5 §6.17).

export const ReserveOutAction = {
  register: 0,
  reserve: 1,
  release: 2,
  clear: 3,
  preempt: 4,
  preemptAndAbort: 5,
  registerAndIgnoreExistingKey: 6,
  registerAndMove: 7,
} as const
export type ReserveOutAction = (typeof ReserveOutAction)[keyof typeof ReserveOutAction]

export interface ReserveOut {
  readonly action: ReserveOutAction
  /** Meaningful for `reserve`, `release`, `preempt` and `preemptAndAbort`. */
  readonly type: ReservationType
  /** RESERVATION KEY. */
  readonly key: ReservationKey
  /** SERVICE ACTION RESERVATION KEY. */
  readonly actionKey: ReservationKey
  readonly aptpl: boolean
  readonly allTargetPorts: boolean
  /** The initiator ports of SPEC_I_PT; undefined without it. */
  readonly initiatorPorts: readonly TransportId[] | undefined
  /** Where REGISTER AND MOVE moves the reservation to. */
  readonly destination: MoveDestination | undefined
}

export interface MoveDestination {
  /** UNREG: whoever moves it away gives up its registration. */
  readonly unregisters: boolean
  readonly relativeTargetPortId: number
  readonly initiatorPortName: string
}

export type DecodedReserveOut =
  | { readonly ok: true; readonly request: ReserveOut }
  | { readonly ok: false; readonly sense: SenseData }

/** Most bytes of a parameter list: room for more TransportIDs than there can be registrations to make at once. */
export const RESERVE_OUT_LIST_BYTES = 256 * 1024
const BASIC_LIST_BYTES = 24

const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)
const wrong = (sense: SenseData): DecodedReserveOut => ({ ok: false, sense })

/** PARAMETER LIST LENGTH (bytes 5 to 8), or why it cannot be right. */
export function reserveOutListLength(cdb: Uint8Array): number | SenseData {
  const lengthBytes = get32(cdb, 5)
  return lengthBytes < BASIC_LIST_BYTES || lengthBytes > RESERVE_OUT_LIST_BYTES ? LENGTH_ERROR : lengthBytes
}

const takesType: readonly ReserveOutAction[] = [
  ReserveOutAction.reserve,
  ReserveOutAction.release,
  ReserveOutAction.preempt,
  ReserveOutAction.preemptAndAbort,
]

/**
 * CDB:                 1  SERVICE ACTION(4-0)   2  SCOPE(7-4) TYPE(3-0)   5  PARAMETER LIST LENGTH (4)
 * Parameter list:      0  RESERVATION KEY (8)   8  SERVICE ACTION RESERVATION KEY (8)   20  SPEC_I_PT(3) ALL_TG_PT(2) APTPL(0)
 *                     24  with SPEC_I_PT: TRANSPORTID PARAMETER DATA LENGTH (4), TransportIDs
 * REGISTER AND MOVE:   0 and 8 as above   17  UNREG(1) APTPL(0)   18  RELATIVE TARGET PORT IDENTIFIER (2)
 *                     20  TRANSPORTID PARAMETER DATA LENGTH (4)   24  TransportID
 */
export function decodeReserveOut(cdb: Uint8Array, list: Uint8Array): DecodedReserveOut {
  const action = (get8(cdb, 1) & 0x1f) as ReserveOutAction
  const type = get8(cdb, 2) & 0x0f
  if (takesType.includes(action)) {
    if (get8(cdb, 2) >>> 4 !== 0) return wrong(invalidCdbField(2, 7))
    if (!isReservationType(type)) return wrong(invalidCdbField(2, 3))
  }
  if (action === ReserveOutAction.registerAndMove) return decodeMove(list)
  const flags = get8(list, 20)
  const isSpecific = (flags & 0x08) !== 0
  if (isSpecific && action !== ReserveOutAction.register) return wrong(invalidParameterField(20, 3))
  if (!isSpecific && list.length !== BASIC_LIST_BYTES) return wrong(LENGTH_ERROR)
  const ports = isSpecific ? decodePorts(list) : undefined
  if (ports && !Array.isArray(ports)) return wrong(ports)
  const request: ReserveOut = {
    action,
    type: type as ReservationType,
    key: getKey(list, 0),
    actionKey: getKey(list, 8),
    aptpl: (flags & 0x01) !== 0,
    allTargetPorts: (flags & 0x04) !== 0,
    initiatorPorts: ports,
    destination: undefined,
  }
  return { ok: true, request }
}

function decodePorts(list: Uint8Array): TransportId[] | SenseData {
  const start = BASIC_LIST_BYTES + 4
  if (list.length < start || get32(list, BASIC_LIST_BYTES) !== list.length - start) return LENGTH_ERROR
  const ports: TransportId[] = []
  for (let at = start; at < list.length; ) {
    const decoded = decodeTransportId(list, at, list.length)
    if (decoded.kind === 'truncated') return LENGTH_ERROR
    if (decoded.kind === 'invalid') return invalidParameterField(at)
    ports.push(decoded.id)
    at += decoded.lengthBytes
  }
  return ports
}

function decodeMove(list: Uint8Array): DecodedReserveOut {
  if (get32(list, 20) !== list.length - BASIC_LIST_BYTES) return wrong(LENGTH_ERROR)
  const decoded = decodeTransportId(list, BASIC_LIST_BYTES, list.length)
  if (decoded.kind === 'truncated') return wrong(LENGTH_ERROR)
  // The reservation moves to one port; a TransportID of a whole initiator device does not say to which.
  if (decoded.kind === 'invalid' || decoded.id.initiatorPortName === undefined) {
    return wrong(invalidParameterField(BASIC_LIST_BYTES))
  }
  if (decoded.lengthBytes !== list.length - BASIC_LIST_BYTES) return wrong(LENGTH_ERROR)
  const flags = get8(list, 17)
  const request: ReserveOut = {
    action: ReserveOutAction.registerAndMove,
    type: ReservationType.writeExclusive,
    key: getKey(list, 0),
    actionKey: getKey(list, 8),
    aptpl: (flags & 0x01) !== 0,
    allTargetPorts: false,
    initiatorPorts: undefined,
    destination: {
      unregisters: (flags & 0x02) !== 0,
      relativeTargetPortId: get16(list, 18),
      initiatorPortName: decoded.id.initiatorPortName,
    },
  }
  return { ok: true, request }
}
