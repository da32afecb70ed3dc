import {
  NO_KEY,
  type ReservationKey,
  type ReservationType,
  ReserveInAction,
  ReserveOutAction,
} from '../scsi/persistent-reservation.ts'
import {
  decodeFullStatus,
  decodeKeysAndReservation,
  encodeReserveOut,
  persistentReserveInCdb,
  persistentReserveOutCdb,
  type ReservationStatus,
} from '../scsi/reserve-commands.ts'
import { BlockDeviceError } from './block-device-error.ts'
import { optional } from './disk-facts.ts'
import type { ScsiDisk } from './scsi-disk.ts'
import { ScsiError } from './scsi-error.ts'

const STATUS_BYTES = 32 * 1024

/**
 * The persistent reservations of a disk (SPC-5 §5.14), as the session of this disk sees and makes them. A registration
 * belongs to the initiator's name, the session's ISID and the target's port: who comes back with the same ones has it
 * still. All methods throw `BlockDeviceError`; RESERVATION_CONFLICT says that the key is not right.
 */
export class Reservations {
  readonly #disk: ScsiDisk

  constructor(disk: ScsiDisk) {
    this.#disk = disk
  }

  /** Who is registered, and who holds the reservation. */
  async status(): Promise<ReservationStatus> {
    const full = await optional(this.#in('READ FULL STATUS', ReserveInAction.readFullStatus))
    const status =
      full === undefined
        ? decodeKeysAndReservation(
            await this.#in('READ KEYS', ReserveInAction.readKeys),
            await this.#in('READ RESERVATION', ReserveInAction.readReservation),
          )
        : decodeFullStatus(full)
    if (status === undefined)
      throw new BlockDeviceError('PROTOCOL_ERROR', 'The status of the reservations cannot be read.')
    return status
  }

  /** Registers this session with a key, whatever key it had. `persist`: beyond a loss of power. */
  register(key: ReservationKey, persist = false): Promise<void> {
    return this.#out('REGISTER', ReserveOutAction.registerAndIgnoreExistingKey, 0, NO_KEY, key, persist)
  }

  unregister(key: ReservationKey): Promise<void> {
    return this.#out('UNREGISTER', ReserveOutAction.register, 0, key, NO_KEY)
  }

  /** Takes the reservation; this session must be registered with the key. */
  take(key: ReservationKey, type: ReservationType): Promise<void> {
    return this.#out('RESERVE', ReserveOutAction.reserve, type, key, NO_KEY)
  }

  release(key: ReservationKey, type: ReservationType): Promise<void> {
    return this.#out('RELEASE', ReserveOutAction.release, type, key, NO_KEY)
  }

  /** Takes a registration away, and the reservation where it holds it; with `abort` its commands end too. */
  preempt(key: ReservationKey, victim: ReservationKey, type: ReservationType, abort = false): Promise<void> {
    const action = abort ? ReserveOutAction.preemptAndAbort : ReserveOutAction.preempt
    return this.#out(abort ? 'PREEMPT AND ABORT' : 'PREEMPT', action, type, key, victim)
  }

  /** Takes the reservation and all registrations away. */
  clear(key: ReservationKey): Promise<void> {
    return this.#out('CLEAR', ReserveOutAction.clear, 0, key, NO_KEY)
  }

  async #in(what: string, action: number): Promise<Uint8Array> {
    const dataIn = new Uint8Array(STATUS_BYTES)
    const cdb = persistentReserveInCdb(action, STATUS_BYTES)
    const { dataInBytes } = await this.#disk.command({ what, cdb, dataIn, replay: 'safe' })
    return dataIn.subarray(0, dataInBytes)
  }

  async #out(
    what: string,
    action: ReserveOutAction,
    type: ReservationType | 0,
    key: ReservationKey,
    actionKey: ReservationKey,
    aptpl = false,
  ): Promise<void> {
    const cdb = persistentReserveOutCdb(action, type)
    try {
      await this.#disk.command({ what, cdb, dataOut: [encodeReserveOut(key, actionKey, aptpl)] })
    } catch (error) {
      if (!(error instanceof ScsiError) || error.code !== 'RESERVATION_CONFLICT') throw error
      throw new ScsiError(error.code, `${what}: ${conflict(action, key)}.`, error.status, error.sense)
    }
  }
}

/** What a reservation conflict means for a service action (SPC-5 §5.14). */
function conflict(action: ReserveOutAction, key: ReservationKey): string {
  if (action === ReserveOutAction.registerAndIgnoreExistingKey)
    return 'somebody else has reserved the device in the old way (RESERVE): let them release it'
  const unregistered = `this initiator, with this ISID, is not registered with the key ${key}: register it first`
  switch (action) {
    case ReserveOutAction.reserve:
      return `${unregistered}; or somebody else holds a reservation: let them release it, or pre-empt it`
    case ReserveOutAction.preempt:
    case ReserveOutAction.preemptAndAbort:
      return `${unregistered}; or nobody is registered with the key that is to be taken away`
    default:
      return unregistered
  }
}
