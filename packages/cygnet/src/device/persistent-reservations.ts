import { CygnetError } from '../base/errors.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get16 } from '../scsi/fields.ts'
import {
  decodeReserveOut,
  encodeReadFullStatus,
  encodeReadKeys,
  encodeReadReservation,
  encodeReportCapabilities,
  ReserveOutAction,
  reserveOutListLength,
} from '../scsi/persistent-reservation.ts'
import type { SenseData } from '../scsi/sense.ts'
import { illegalRequest, SenseKey } from '../scsi/sense.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import type { Operation, Step } from './operation.ts'
import { gather } from './parameters.ts'
import type { PersistentChange, Surroundings } from './persistent-changes.ts'
import { applyReserveOut } from './persistent-changes.ts'
import type { NexusName, PersistentState, Standing } from './persistent-state.ts'
import {
  heldReservation,
  isHolder,
  isSameNexus,
  NO_RESERVATIONS,
  recordOf,
  standingOf,
  stateFromRecord,
} from './persistent-state.ts'
import type { UnitAttention } from './unit-attention.ts'

/** Registrations that a unit holds: with names of 223 bytes, its record stays below 512 KiB. */
export const REGISTRATION_LIMIT = 1024

/** Name of the record that outlives power loss. */
const RECORD = 'reservations'

const LENGTH_ERROR = illegalRequest(AdditionalSense.parameterListLengthError)
/** The state could not be made durable, and is as it was. */
const NOT_SAVED: SenseData = {
  key: SenseKey.hardwareError,
  additional: AdditionalSense.internalTargetFailure,
}

/** The unit's side of its reservations. */
export interface ReservationHost {
  /** Every nexus that is logged in. */
  nexuses(): Iterable<Nexus>
  wake(op: Operation): void
  attentionFor(nexus: Nexus, code: UnitAttention): void
  /** Ends all tasks of these nexuses but one, and their ACA conditions. `done` when the last has ended. */
  preemptTasks(nexuses: ReadonlySet<Nexus>, except: ScsiTask, done: () => void): void
}

export interface PersistentReservationsOptions {
  /** Where reservations outlive power loss; without it they cannot. */
  readonly records?: DurableRecords | undefined
  /** Every target port of the target device. */
  readonly relativeTargetPortIds: () => readonly number[]
}

/** What persistent reservations have to do with RESERVE and RELEASE. */
export interface BesidePersistent {
  /** Called after each change. */
  changed(): void
  /** Somebody holds the unit by RESERVE: nothing may change. */
  isReserved(): boolean
}

interface Waiting {
  readonly op: Operation
  readonly task: ScsiTask
}

/**
 * PERSISTENT RESERVE IN and OUT (SPC-5 §5.13). A request makes a new state of the present one, which takes effect as a
 * whole; where it is to outlive power loss it is durable before, and other requests wait meanwhile.
 */
export class PersistentReservations {
  readonly #host: ReservationHost
  readonly #options: PersistentReservationsOptions
  #state: PersistentState
  #standings = new WeakMap<Nexus, Standing>()
  #isSaving = false
  /** A save has failed: the record may hold what did not take effect. */
  #isUncertain = false
  #waiting: Waiting[] = []
  readonly #beside: BesidePersistent

  /** @throws {CygnetError} STATE_INVALID where the record holds no reservations */
  constructor(host: ReservationHost, options: PersistentReservationsOptions, beside: BesidePersistent) {
    this.#host = host
    this.#options = options
    this.#beside = beside
    this.#state = restored(options.records)
  }

  get state(): PersistentState {
    return this.#state
  }

  /** How a nexus stands to the reservation that is in force. */
  standing(nexus: Nexus): Standing {
    let standing = this.#standings.get(nexus)
    if (standing === undefined) {
      standing = standingOf(this.#state, nexus)
      this.#standings.set(nexus, standing)
    }
    return standing
  }

  // PERSISTENT RESERVE IN: 7 ALLOCATION LENGTH (2).

  readonly readKeys: Step = (op) => {
    const { generation, registrations } = this.#state
    const keys = registrations.map(({ key }) => key)
    op.reply(encodeReadKeys(generation, keys), get16(op.task.cdb, 7))
  }

  readonly readReservation: Step = (op) => {
    const { generation } = this.#state
    op.reply(encodeReadReservation(generation, heldReservation(this.#state)), get16(op.task.cdb, 7))
  }

  readonly reportCapabilities: Step = (op) => {
    const bytes = encodeReportCapabilities(this.#options.records !== undefined, this.#state.aptpl)
    op.reply(bytes, get16(op.task.cdb, 7))
  }

  readonly readFullStatus: Step = (op) => {
    const { generation, registrations, reservation } = this.#state
    const list = registrations.map((registration) => ({
      ...registration,
      holds: isHolder(this.#state, registration) ? reservation?.type : undefined,
    }))
    op.reply(encodeReadFullStatus(generation, list), get16(op.task.cdb, 7))
  }

  // PERSISTENT RESERVE OUT.

  readonly reserveOut: Step = (op) => {
    const lengthBytes = reserveOutListLength(op.task.cdb)
    if (typeof lengthBytes !== 'number') return op.check(lengthBytes)
    op.receive(lengthBytes, this.#received)
  }

  /** While a change is being saved, the operation waits, and goes on with `step`: true. */
  waits(op: Operation, step: Step): boolean {
    if (!this.#isSaving) return false
    op.next = step
    op.phase = 'locked'
    this.#waiting.push({ op, task: op.task })
    return true
  }

  readonly #received: Step = (op) => {
    if (this.waits(op, this.#received)) return
    // Since the command began, and the data was on its way.
    if (this.#beside.isReserved()) return op.conflict()
    const { task } = op
    const list = gather(task)
    if (!list) return op.check(LENGTH_ERROR)
    const decoded = decodeReserveOut(task.cdb, list)
    if (!decoded.ok) return op.check(decoded.sense)
    const { request } = decoded
    const outcome = applyReserveOut(this.#state, request, task.nexus, this.#surroundings())
    if (outcome.kind === 'conflict') return op.conflict()
    if (outcome.kind === 'check') return op.check(outcome.sense)
    const aborts = request.action === ReserveOutAction.preemptAndAbort
    this.#save(op, outcome, aborts)
  }

  #surroundings(): Surroundings {
    const { records, relativeTargetPortIds } = this.#options
    return {
      initiatorPortNames: [...this.#host.nexuses()].map(({ initiatorPortName }) => initiatorPortName),
      relativeTargetPortIds: relativeTargetPortIds(),
      canPersist: records !== undefined,
      registrationLimit: REGISTRATION_LIMIT,
    }
  }

  /** The change takes effect once it is durable, even where its task is aborted meanwhile. */
  #save(op: Operation, change: PersistentChange, aborts: boolean): void {
    const { records } = this.#options
    const { task } = op
    op.awaitStore(this.#finished)
    const isDurable = this.#state.aptpl || change.state.aptpl || this.#isUncertain
    if (!records || !isDurable) return this.#install(op, task, change, aborts)
    this.#isSaving = true
    records.set(RECORD, change.state.aptpl ? recordOf(change.state) : undefined, (error) => {
      this.#isSaving = false
      this.#isUncertain = error !== undefined
      if (error) op.done(error)
      else this.#install(op, task, change, aborts)
      const waiting = this.#waiting
      this.#waiting = []
      for (const { op: other, task: itsTask } of waiting) if (!itsTask.isDone) this.#host.wake(other)
    })
  }

  #install(op: Operation, task: ScsiTask, change: PersistentChange, aborts: boolean): void {
    this.#state = change.state
    this.#standings = new WeakMap()
    this.#beside.changed()
    for (const { code, nexuses } of change.attentions) {
      for (const nexus of this.#named(nexuses)) {
        if (!isSameNexus(nexus, task.nexus)) this.#host.attentionFor(nexus, code)
      }
    }
    if (!aborts) return op.done(undefined)
    this.#host.preemptTasks(this.#named(change.preempted), task, () => op.done(undefined))
  }

  /** The nexuses of these names that are logged in. */
  #named(names: readonly NexusName[]): Set<Nexus> {
    const named = new Set<Nexus>()
    for (const nexus of this.#host.nexuses()) {
      if (names.some((name) => isSameNexus(name, nexus))) named.add(nexus)
    }
    return named
  }

  readonly #finished: Step = (op) => {
    if (op.error) op.check(NOT_SAVED)
    else op.good()
  }
}

function restored(records: DurableRecords | undefined): PersistentState {
  const record = records?.get(RECORD)
  if (record === undefined) return NO_RESERVATIONS
  const state = stateFromRecord(record)
  if (state) return state
  throw new CygnetError(
    'STATE_INVALID',
    'The record of persistent reservations cannot be understood: restore it, or delete it to give them up.',
  )
}
