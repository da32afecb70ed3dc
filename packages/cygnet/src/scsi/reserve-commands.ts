import { hex } from '../base/bytes.ts'
import { get8, get16, get32, set16, set32 } from './fields.ts'
import { Opcode } from './opcodes.ts'
import {
  isReservationType,
  type ReservationKey,
  type ReservationType,
  type ReserveOutAction,
} from './persistent-reservation.ts'
import { decodeTransportId } from './transport-id.ts'

// What an initiator sends and reads: SPC-5 §6.16, §6.17. The layouts are drawn in persistent-reservation.ts.

const LIST_BYTES = 24
const STATUS_BYTES = 24
const getKey = (bytes: Uint8Array, at: number): ReservationKey => hex(bytes.subarray(at, at + 8))

/** PERSISTENT RESERVE IN. `action`: `ReserveInAction`. */
export function persistentReserveInCdb(action: number, allocationBytes: number): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = Opcode.persistentReserveIn
  cdb[1] = action
  set16(cdb, 7, allocationBytes)
  return cdb
}

export function persistentReserveOutCdb(action: ReserveOutAction, type: ReservationType | 0): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = Opcode.persistentReserveOut
  cdb[1] = action
  cdb[2] = type
  set32(cdb, 5, LIST_BYTES)
  return cdb
}

/** The basic parameter list. `aptpl`: the registrations outlive a loss of power. */
export function encodeReserveOut(key: ReservationKey, actionKey: ReservationKey, aptpl: boolean): Uint8Array {
  const list = new Uint8Array(LIST_BYTES)
  for (let i = 0; i < 8; i++) {
    list[i] = Number.parseInt(key.slice(2 * i, 2 * i + 2), 16)
    list[8 + i] = Number.parseInt(actionKey.slice(2 * i, 2 * i + 2), 16)
  }
  list[20] = aptpl ? 1 : 0
  return list
}

/** A registered nexus. */
export interface Registration {
  readonly key: ReservationKey
  /** The type of the reservation that it holds. */
  readonly holds: ReservationType | undefined
  /** Who it is; undefined where the unit does not tell. */
  readonly initiator: string | undefined
  readonly relativeTargetPortId: number | undefined
}

export interface ReservationStatus {
  /** PRGENERATION: counts the changes of registrations. */
  readonly generation: number
  readonly registrations: readonly Registration[]
}

/** READ FULL STATUS data; undefined where it is cut short. */
export function decodeFullStatus(bytes: Uint8Array): ReservationStatus | undefined {
  if (bytes.length < 8) return undefined
  const end = 8 + get32(bytes, 4)
  if (bytes.length < end) return undefined
  const registrations: Registration[] = []
  for (let at = 8; at + STATUS_BYTES <= end; ) {
    const next = at + STATUS_BYTES + get32(bytes, at + 20)
    if (next > end) return undefined
    const type = get8(bytes, at + 13) & 0x0f
    const isHolder = (get8(bytes, at + 12) & 1) !== 0
    const id = decodeTransportId(bytes, at + STATUS_BYTES, next)
    registrations.push({
      key: getKey(bytes, at),
      holds: isHolder && isReservationType(type) ? type : undefined,
      initiator: id.kind === 'id' ? (id.id.initiatorPortName ?? id.id.initiatorName) : undefined,
      relativeTargetPortId: get16(bytes, at + 18),
    })
    at = next
  }
  return { generation: get32(bytes, 0), registrations }
}

/** READ KEYS and READ RESERVATION data together, from units that know no more. */
export function decodeKeysAndReservation(
  keys: Uint8Array,
  reservation: Uint8Array,
): ReservationStatus | undefined {
  if (keys.length < 8 || reservation.length < 8) return undefined
  const isHeld = get32(reservation, 4) >= 16 && reservation.length >= 24
  const type = isHeld ? get8(reservation, 21) & 0x0f : 0
  const holder = isHeld ? getKey(reservation, 8) : undefined
  const registrations: Registration[] = []
  for (let at = 8; at + 8 <= Math.min(keys.length, 8 + get32(keys, 4)); at += 8) {
    const key = getKey(keys, at)
    registrations.push({
      key,
      holds: key === holder && isReservationType(type) ? type : undefined,
      initiator: undefined,
      relativeTargetPortId: undefined,
    })
  }
  return { generation: get32(keys, 0), registrations }
}
