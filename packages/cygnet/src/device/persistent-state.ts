import type { HeldReservation, ReservationKey } from '../scsi/persistent-reservation.ts'
import { isReservationType, NO_KEY, reservationRules } from '../scsi/persistent-reservation.ts'
import type { ReservationType } from '../scsi/persistent-reservation.ts'
import type { Nexus } from '../scsi/task.ts'

/*
 * What a logical unit knows of persistent reservations (SPC-5 §5.13), as a value that never changes: a change makes
 * another one, so that it takes effect as a whole. Registrations belong to names, not to nexuses: they outlive these.
 */

/** An I_T nexus by the names of its ports; the target port's is its relative target port identifier. */
export interface NexusName {
  readonly initiatorPortName: string
  readonly relativeTargetPortId: number
}

export interface Registration extends NexusName {
  readonly key: ReservationKey
}

export interface Reservation {
  readonly type: ReservationType
  /** undefined: every registrant holds it. */
  readonly holder: NexusName | undefined
}

export interface PersistentState {
  /** PRGENERATION, since power on. */
  readonly generation: number
  /** It outlives power loss. */
  readonly aptpl: boolean
  readonly registrations: readonly Registration[]
  readonly reservation: Reservation | undefined
}

/** Of a new logical unit. */
export const NO_RESERVATIONS: PersistentState = {
  generation: 0,
  aptpl: false,
  registrations: [],
  reservation: undefined,
}

export const isSameNexus = (a: NexusName, b: NexusName): boolean =>
  a.relativeTargetPortId === b.relativeTargetPortId && a.initiatorPortName === b.initiatorPortName

export const registrationOf = (state: PersistentState, nexus: NexusName): Registration | undefined =>
  state.registrations.find((registration) => isSameNexus(registration, nexus))

/** Whether a registrant holds the reservation, alone or with all others (§5.13.10). */
export const isHolder = ({ reservation }: PersistentState, registration: Registration): boolean =>
  reservation !== undefined &&
  (reservation.holder === undefined || isSameNexus(reservation.holder, registration))

/** What READ RESERVATION tells. */
export function heldReservation(state: PersistentState): HeldReservation | undefined {
  const { reservation } = state
  if (!reservation) return undefined
  const { holder, type } = reservation
  return { type, key: (holder && registrationOf(state, holder)?.key) ?? NO_KEY }
}

/** How a nexus stands to the reservation: `none` where it holds no rights of it. */
export type Standing = 'access' | 'none'

export function standingOf(state: PersistentState, nexus: Nexus): Standing {
  const registration = registrationOf(state, nexus)
  if (!registration || !state.reservation) return 'none'
  if (reservationRules[state.reservation.type].registrants !== 'holder') return 'access'
  return isHolder(state, registration) ? 'access' : 'none'
}

/** Adds a registration, or gives the one that is there another key. */
export function withRegistration(
  state: PersistentState,
  nexus: NexusName,
  key: ReservationKey,
): PersistentState {
  const { initiatorPortName, relativeTargetPortId } = nexus
  const registration: Registration = { initiatorPortName, relativeTargetPortId, key }
  const index = state.registrations.findIndex((other) => isSameNexus(other, nexus))
  const registrations =
    index < 0 ? [...state.registrations, registration] : state.registrations.with(index, registration)
  return { ...state, registrations }
}

/** Removes registrations, and the reservation with that of its last holder (§5.13.10). */
export function withoutRegistrations(
  state: PersistentState,
  isRemoved: (registration: Registration) => boolean,
): PersistentState {
  const left = { ...state, registrations: state.registrations.filter((each) => !isRemoved(each)) }
  return left.registrations.some((each) => isHolder(left, each)) ? left : { ...left, reservation: undefined }
}

/** A reservation for a registrant, in place of one that is there. */
export const withReservation = (
  state: PersistentState,
  type: ReservationType,
  nexus: NexusName,
): PersistentState => {
  const { initiatorPortName, relativeTargetPortId } = nexus
  const isForAll = reservationRules[type].registrants === 'all'
  const holder = isForAll ? undefined : { initiatorPortName, relativeTargetPortId }
  return { ...state, reservation: { type, holder } }
}

/** What is kept for the time after power loss; PRGENERATION begins anew (§5.13.5.1). */
export const recordOf = ({ registrations, reservation }: PersistentState): unknown => ({
  registrations,
  reservation: reservation ? { type: reservation.type, holder: reservation.holder ?? null } : null,
})

/** The state that a record holds; undefined where it is none of ours. */
export function stateFromRecord(record: unknown): PersistentState | undefined {
  if (!isObject(record) || !Array.isArray(record['registrations'])) return undefined
  const registrations = record['registrations'] as readonly unknown[]
  if (!registrations.every(isRegistration)) return undefined
  const state: PersistentState = { ...NO_RESERVATIONS, aptpl: true, registrations }
  const reservation = record['reservation']
  if (reservation === null) return state
  if (!isObject(reservation)) return undefined
  const { type, holder } = reservation
  if (typeof type !== 'number' || !isReservationType(type)) return undefined
  const isForAll = reservationRules[type].registrants === 'all'
  if (isForAll)
    return registrations.length > 0 ? { ...state, reservation: { type, holder: undefined } } : undefined
  if (!isNexusName(holder) || !registrationOf(state, holder)) return undefined
  return withReservation(state, type, holder)
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

const isNexusName = (value: unknown): value is NexusName =>
  isObject(value) &&
  typeof value['initiatorPortName'] === 'string' &&
  typeof value['relativeTargetPortId'] === 'number'

const isRegistration = (value: unknown): value is Registration =>
  isNexusName(value) && 'key' in value && typeof value.key === 'string' && /^[0-9a-f]{16}$/.test(value.key)
