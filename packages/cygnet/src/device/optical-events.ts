import { get8, get16 } from '../scsi/fields.ts'
import type { EventClass as NotificationClass } from '../scsi/mmc-events.ts'
import {
  encodeEvent,
  encodeMechanismStatus,
  encodeNoEvent,
  EventClass,
  eventClasses,
  FEATURES_CHANGED,
  MediaEvent,
  mediaStatus,
  NO_CHANGE,
  OperationalChange,
  POWER_ACTIVE,
} from '../scsi/mmc-events.ts'
import { invalidCdbField } from '../scsi/sense.ts'
import type { Nexus } from '../scsi/task.ts'
import type { MediumDoor } from './medium-door.ts'
import type { Operation } from './operation.ts'

/** How often the disc had moved when a nexus last heard of a class. */
type Heard = Partial<Record<NotificationClass, number>>

/**
 * GET EVENT STATUS NOTIFICATION, polled, and MECHANISM STATUS (MMC-6 §6.6, §6.9). A disc that comes in or goes out is an event
 * of two classes: of the media, and, as other features are current now, an operational change. Each nexus hears of the latest
 * once; to a new one, the disc that is in is new. Nothing happens in the other classes.
 */
export class OpticalEvents {
  readonly #door: MediumDoor
  readonly #heard = new WeakMap<Nexus, Heard>()

  constructor(door: MediumDoor) {
    this.#door = door
  }

  /** 1 POLLED(0)   4 NOTIFICATION CLASS REQUEST, a bit for each   7 ALLOCATION LENGTH (2) */
  readonly getEventStatus = (op: Operation): void => {
    const { cdb, nexus } = op.task
    if (!(get8(cdb, 1) & 1)) return op.check(invalidCdbField(1, 0))
    const requested = eventClasses.filter((each) => get8(cdb, 4) & (1 << each))
    const heard = this.#heard.get(nexus) ?? {}
    const reported = requested.find((each) => this.#hasEvent(each, heard)) ?? requested[0]
    const allocationBytes = get16(cdb, 7)
    if (reported === undefined) return op.reply(encodeNoEvent(), allocationBytes)
    const bytes = this.#encode(reported, this.#hasEvent(reported, heard))
    // An event that does not fit was not heard of (MMC-6 §6.6.2.6).
    if (allocationBytes >= bytes.length) this.#heard.set(nexus, { ...heard, [reported]: this.#door.moves })
    op.reply(bytes, allocationBytes)
  }

  #hasEvent(of: NotificationClass, heard: Heard): boolean {
    const { moves } = this.#door
    if (of === EventClass.media) return heard[of] !== moves
    return of === EventClass.operationalChange && (heard[of] ?? 0) !== moves
  }

  #encode(of: NotificationClass, hasEvent: boolean): Uint8Array {
    const { isLoaded } = this.#door
    switch (of) {
      case EventClass.operationalChange:
        return encodeEvent(of, hasEvent ? OperationalChange.changed : NO_CHANGE, [
          0,
          0,
          hasEvent ? FEATURES_CHANGED : 0,
        ])
      case EventClass.powerManagement:
        return encodeEvent(of, NO_CHANGE, [POWER_ACTIVE, 0, 0])
      case EventClass.media: {
        const event = isLoaded ? MediaEvent.newMedia : MediaEvent.mediaRemoval
        return encodeEvent(of, hasEvent ? event : NO_CHANGE, [mediaStatus(isLoaded), 0, 0])
      }
      case EventClass.deviceBusy:
        return encodeEvent(of, NO_CHANGE, [0, 0, 0])
    }
  }

  /** 8 ALLOCATION LENGTH (2) */
  readonly mechanismStatus = (op: Operation): void =>
    op.reply(encodeMechanismStatus(!this.#door.isLoaded), get16(op.task.cdb, 8))
}
