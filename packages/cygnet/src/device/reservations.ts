import { reservationRules } from '../scsi/persistent-reservation.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import type { TableEntry } from './command-table.ts'
import type { Step } from './operation.ts'
import type { PersistentReservationsOptions, ReservationHost } from './persistent-reservations.ts'
import { PersistentReservations } from './persistent-reservations.ts'
import { isHolder, registrationOf } from './persistent-state.ts'

/** What the dispatch of commands asks of a unit's reservations. */
export interface ReservationGate {
  /** Somebody holds a reservation: nothing conflicts otherwise. */
  readonly isClosed: boolean
  /** Whether the command ends with RESERVATION CONFLICT. */
  conflicts(entry: TableEntry, task: ScsiTask): boolean
  nexusLost(nexus: Nexus): void
  /** The unit is reset. */
  reset(): void
}

const nothing = (): void => undefined

/** Of a unit that cannot be reserved. */
export const openGate: ReservationGate = {
  isClosed: false,
  conflicts: () => false,
  nexusLost: nothing,
  reset: nothing,
}

/**
 * Both kinds of reservations of a logical unit: those of RESERVE and RELEASE, as SPC-2 has them, which last as long as
 * the nexus and until a reset, and persistent ones, which do not. The two exclude each other (SPC-2 §5.5.1), but for
 * what SPC-5 §5.13.3 makes of RESERVE and RELEASE from somebody who has a persistent reservation's access: nothing (CRH).
 */
export class Reservations implements ReservationGate {
  isClosed = false
  /** Who holds the unit by RESERVE. */
  #holder: Nexus | undefined
  readonly #persistent: PersistentReservations

  /** @throws {CygnetError} STATE_INVALID where the record of reservations cannot be understood */
  constructor(host: ReservationHost, options: PersistentReservationsOptions) {
    this.#persistent = new PersistentReservations(host, options, {
      changed: () => this.#changed(),
      isReserved: () => this.#holder !== undefined,
    })
    this.#changed()
  }

  #changed(): void {
    this.isClosed = this.#holder !== undefined || this.#persistent.state.reservation !== undefined
  }

  conflicts(entry: TableEntry, { cdb, nexus }: ScsiTask): boolean {
    const kind = entry.reservation
    if (kind === 'allowed' || kind === 'own' || entry.isHarmless?.(cdb) === true) return false
    if (this.#holder !== undefined) return this.#holder !== nexus
    const { reservation } = this.#persistent.state
    if (!reservation || kind === 'reserve' || this.#persistent.standing(nexus) === 'access') return false
    return kind === 'write' || reservationRules[reservation.type].excludesReading
  }

  /** The nexus is gone, and with it what it reserved. */
  nexusLost(nexus: Nexus): void {
    if (this.#holder === nexus) this.#release()
  }

  /** Any reset releases what RESERVE has reserved. */
  reset(): void {
    this.#release()
  }

  #release(): void {
    this.#holder = undefined
    this.#changed()
  }

  /** What becomes of RESERVE and RELEASE beside persistent reservations: no effect, conflict, or their own. */
  #beside(nexus: Nexus): 'nothing' | 'conflict' | 'effect' {
    const { state } = this.#persistent
    if (state.registrations.length === 0) return 'effect'
    const { reservation } = state
    const registration = registrationOf(state, nexus)
    if (!registration || !reservation) return 'conflict'
    const isOfRegistrants = reservationRules[reservation.type].registrants !== 'holder'
    return isOfRegistrants || isHolder(state, registration) ? 'nothing' : 'conflict'
  }

  readonly reserve: Step = (op) => {
    if (this.#persistent.waits(op, this.reserve)) return
    const { nexus } = op.task
    const beside = this.#beside(nexus)
    if (beside === 'nothing') return op.good()
    if (beside === 'conflict' || (this.#holder ?? nexus) !== nexus) return op.conflict()
    this.#holder = nexus
    this.#changed()
    op.good()
  }

  readonly release: Step = (op) => {
    const { nexus } = op.task
    if (this.#beside(nexus) === 'conflict') return op.conflict()
    if (this.#holder === nexus) this.#release()
    op.good()
  }

  /** A step of PERSISTENT RESERVE IN or OUT, which conflicts with RESERVE whoever sent that. */
  #unlessReserved(step: (persistent: PersistentReservations) => Step): Step {
    return (op) => (this.#holder === undefined ? step(this.#persistent)(op) : op.conflict())
  }

  readonly readKeys = this.#unlessReserved((persistent) => persistent.readKeys)
  readonly readReservation = this.#unlessReserved((persistent) => persistent.readReservation)
  readonly reportCapabilities = this.#unlessReserved((persistent) => persistent.reportCapabilities)
  readonly readFullStatus = this.#unlessReserved((persistent) => persistent.readFullStatus)
  readonly reserveOut = this.#unlessReserved((persistent) => persistent.reserveOut)
}
