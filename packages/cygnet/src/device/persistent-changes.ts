import { AdditionalSense } from '../scsi/additional-sense.ts'
import type { ReserveOut } from '../scsi/persistent-reservation.ts'
import { NO_KEY, ReserveOutAction, reservationRules } from '../scsi/persistent-reservation.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, invalidCdbField, invalidParameterField } from '../scsi/sense.ts'
import type { TransportId } from '../scsi/transport-id.ts'
import type { NexusName, PersistentState, Registration } from './persistent-state.ts'
import {
  isHolder,
  isSameNexus,
  registrationOf,
  withoutRegistrations,
  withRegistration,
  withReservation,
} from './persistent-state.ts'
import type { UnitAttention } from './unit-attention.ts'

/*
 * What each service action of PERSISTENT RESERVE OUT makes of the state (SPC-5 §5.13.7 to §5.13.11): functions of the
 * state, the request and the nexus that it came from, without effects of their own.
 */

/** What the unit knows beside its reservations. */
export interface Surroundings {
  /** The names of all initiator ports that are logged in. */
  readonly initiatorPortNames: readonly string[]
  /** Every target port of the target device. */
  readonly relativeTargetPortIds: readonly number[]
  /** Reservations can outlive power loss (PTPL_C). */
  readonly canPersist: boolean
  /** Most registrations that the unit holds. */
  readonly registrationLimit: number
}

export interface Notice {
  readonly code: UnitAttention
  readonly nexuses: readonly NexusName[]
}

export interface PersistentChange {
  readonly kind: 'change'
  readonly state: PersistentState
  /** Who hears of it, except the nexus that it came from. */
  readonly attentions: readonly Notice[]
  /** Whose commands PREEMPT AND ABORT aborts. */
  readonly preempted: readonly NexusName[]
}

export type PersistentOutcome =
  | PersistentChange
  /** RESERVATION CONFLICT. */
  | { readonly kind: 'conflict' }
  | { readonly kind: 'check'; readonly sense: SenseData }

const CONFLICT: PersistentOutcome = { kind: 'conflict' }
const check = (sense: SenseData): PersistentOutcome => ({ kind: 'check', sense })

const change = (
  state: PersistentState,
  more: Partial<Pick<PersistentChange, 'attentions' | 'preempted'>> = {},
): PersistentOutcome => ({ kind: 'change', attentions: [], preempted: [], ...more, state })

const INSUFFICIENT = check(illegalRequest(AdditionalSense.insufficientRegistrationResources))
const INVALID_RELEASE = check(illegalRequest(AdditionalSense.invalidReleaseOfPersistentReservation))
const { registrationsPreempted, reservationsPreempted, reservationsReleased } = AdditionalSense

/** Applies a request. PRGENERATION counts all that succeed but RESERVE and RELEASE (§6.16.2). */
export function applyReserveOut(
  state: PersistentState,
  request: ReserveOut,
  nexus: NexusName,
  surroundings: Surroundings,
): PersistentOutcome {
  const { action } = request
  const isRegistering =
    action === ReserveOutAction.register || action === ReserveOutAction.registerAndIgnoreExistingKey
  const outcome = isRegistering
    ? register(state, request, nexus, surroundings)
    : applyAsRegistrant(state, request, nexus, surroundings)
  if (outcome.kind !== 'change') return outcome
  if (outcome.state.registrations.length > surroundings.registrationLimit) return INSUFFICIENT
  if (action === ReserveOutAction.reserve || action === ReserveOutAction.release) return outcome
  return { ...outcome, state: { ...outcome.state, generation: (state.generation + 1) >>> 0 } }
}

function applyAsRegistrant(
  state: PersistentState,
  request: ReserveOut,
  nexus: NexusName,
  surroundings: Surroundings,
): PersistentOutcome {
  const own = registrationOf(state, nexus)
  if (own?.key !== request.key) return CONFLICT
  switch (request.action) {
    case ReserveOutAction.reserve:
      return reserve(state, request, own)
    case ReserveOutAction.release:
      return release(state, request, own)
    case ReserveOutAction.clear:
      return clear(state)
    case ReserveOutAction.registerAndMove:
      return move(state, request, own, surroundings)
    default:
      return preempt(state, request, own)
  }
}

// Registering (§5.13.7, §5.13.11.2.3).

function register(
  state: PersistentState,
  request: ReserveOut,
  nexus: NexusName,
  surroundings: Surroundings,
): PersistentOutcome {
  const { actionKey, aptpl, initiatorPorts } = request
  if (aptpl && !surroundings.canPersist) return check(invalidParameterField(20, 0))
  const own = registrationOf(state, nexus)
  const targetPorts = request.allTargetPorts
    ? new Set([nexus.relativeTargetPortId, ...surroundings.relativeTargetPortIds])
    : [nexus.relativeTargetPortId]
  let next: PersistentState | undefined = state
  for (const relativeTargetPortId of targetPorts) {
    next = registerOne(next, request, { ...nexus, relativeTargetPortId })
    // "As if received through each target port", and all or nothing.
    if (!next) return CONFLICT
  }
  // A list that is far too long costs no time beyond the limit.
  if (initiatorPorts && initiatorPorts.length > surroundings.registrationLimit) return INSUFFICIENT
  if (initiatorPorts && own) return check(invalidParameterField(20, 3))
  if (initiatorPorts && actionKey !== NO_KEY) {
    for (const initiatorPortName of namesOf(state, initiatorPorts, surroundings)) {
      for (const relativeTargetPortId of targetPorts) {
        const other = { initiatorPortName, relativeTargetPortId }
        if (registrationOf(state, other)) return check(invalidParameterField(28))
        next = withRegistration(next, other, actionKey)
        if (next.registrations.length > surroundings.registrationLimit) return INSUFFICIENT
      }
    }
  }
  const attentions =
    state.reservation && !next.reservation && reservationRules[state.reservation.type].registrants === 'only'
      ? [{ code: reservationsReleased, nexuses: next.registrations }]
      : []
  return change({ ...next, aptpl }, { attentions })
}

/** Tables 67 and 68; undefined: RESERVATION CONFLICT. */
function registerOne(
  state: PersistentState,
  request: ReserveOut,
  nexus: NexusName,
): PersistentState | undefined {
  const current = registrationOf(state, nexus)
  const ignoresKey = request.action === ReserveOutAction.registerAndIgnoreExistingKey
  if (!ignoresKey && request.key !== (current?.key ?? NO_KEY)) return undefined
  if (request.actionKey !== NO_KEY) return withRegistration(state, nexus, request.actionKey)
  return current ? withoutRegistrations(state, (each) => each === current) : state
}

/** The initiator ports that TransportIDs mean: one that names a device means all of its ports that are known (§7.6.4.6). */
function namesOf(
  state: PersistentState,
  ids: readonly TransportId[],
  { initiatorPortNames }: Surroundings,
): ReadonlySet<string> {
  const known = [...initiatorPortNames, ...state.registrations.map((each) => each.initiatorPortName)]
  return new Set(
    ids.flatMap(({ initiatorName, initiatorPortName }) =>
      initiatorPortName === undefined
        ? known.filter((name) => name.startsWith(`${initiatorName},`))
        : [initiatorPortName],
    ),
  )
}

// Reserving and releasing (§5.13.9, §5.13.11.2.2).

function reserve(state: PersistentState, { type }: ReserveOut, own: Registration): PersistentOutcome {
  const { reservation } = state
  if (!reservation) return change(withReservation(state, type, own))
  return isHolder(state, own) && reservation.type === type ? change(state) : CONFLICT
}

function release(state: PersistentState, { type }: ReserveOut, own: Registration): PersistentOutcome {
  const { reservation } = state
  if (!reservation || !isHolder(state, own)) return change(state)
  if (reservation.type !== type) return INVALID_RELEASE
  const hears = reservationRules[type].registrants !== 'holder'
  const attentions = hears ? [{ code: reservationsReleased, nexuses: state.registrations }] : []
  return change({ ...state, reservation: undefined }, { attentions })
}

/** §5.13.11.2.7. */
const clear = (state: PersistentState): PersistentOutcome =>
  change(
    { ...state, registrations: [], reservation: undefined },
    { attentions: [{ code: reservationsPreempted, nexuses: state.registrations }] },
  )

/** §5.13.8. */
function move(
  state: PersistentState,
  { actionKey, aptpl, destination }: ReserveOut,
  own: Registration,
  { canPersist, relativeTargetPortIds }: Surroundings,
): PersistentOutcome {
  const { reservation } = state
  if (!reservation) return check(invalidCdbField(1, 4))
  if (!destination || !reservation.holder || !isHolder(state, own)) return CONFLICT
  if (aptpl && !canPersist) return check(invalidParameterField(17, 0))
  if (actionKey === NO_KEY) return check(invalidParameterField(8))
  if (!relativeTargetPortIds.includes(destination.relativeTargetPortId))
    return check(invalidParameterField(18))
  if (destination.initiatorPortName === own.initiatorPortName) return check(invalidParameterField(24))
  const registered = withRegistration(state, destination, actionKey)
  const moved = withReservation(registered, reservation.type, destination)
  const next = destination.unregisters ? withoutRegistrations(moved, (each) => isSameNexus(each, own)) : moved
  return change({ ...next, aptpl })
}

// Preempting (§5.13.11.2.4 to §5.13.11.2.6).

function preempt(
  state: PersistentState,
  { type, actionKey }: ReserveOut,
  own: Registration,
): PersistentOutcome {
  const { reservation } = state
  const isForAll = reservation !== undefined && reservation.holder === undefined
  if (actionKey === NO_KEY && !isForAll) return check(invalidParameterField(8))
  const meant = state.registrations.filter(({ key }) => actionKey === NO_KEY || key === actionKey)
  if (meant.length === 0) return CONFLICT
  const replaces = isForAll ? actionKey === NO_KEY : meant.some((each) => isHolder(state, each))
  const isRemoved = (each: Registration): boolean =>
    meant.includes(each) && !(replaces && isSameNexus(each, own))
  const left = withoutRegistrations(state, isRemoved)
  const removed: Notice = { code: registrationsPreempted, nexuses: meant }
  if (!replaces || !reservation) return change(left, { attentions: [removed], preempted: meant })
  const attentions = [removed]
  if (reservation.type !== type) {
    attentions.push({ code: reservationsReleased, nexuses: left.registrations })
  }
  return change(withReservation(left, type, own), { attentions, preempted: meant })
}
