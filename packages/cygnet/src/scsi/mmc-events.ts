import { set16 } from './fields.ts'

/** Notification classes of GET EVENT STATUS NOTIFICATION, the most important first (MMC-6 §6.6). */
export const EventClass = { operationalChange: 1, powerManagement: 2, media: 4, deviceBusy: 6 } as const
export type EventClass = (typeof EventClass)[keyof typeof EventClass]

export const eventClasses: readonly EventClass[] = Object.values(EventClass)

/** Of every class: nothing happened. */
export const NO_CHANGE = 0
export const OperationalChange = { changed: 0x02 } as const
export const MediaEvent = { newMedia: 0x02, mediaRemoval: 0x03 } as const

/** MEDIA STATUS: DOOR OPEN(0), MEDIA PRESENT(1). */
export const mediaStatus = (isPresent: boolean): number => (isPresent ? 0x02 : 0x01)

/** POWER STATUS: active. */
export const POWER_ACTIVE = 0x01
/** Behind OPERATIONAL CHANGE, in the last byte: features have changed. */
export const FEATURES_CHANGED = 0x01

/*
 * 0 EVENT DESCRIPTOR LENGTH (2), behind this header   2 NEA(7) NOTIFICATION CLASS(2-0)   3 SUPPORTED CLASSES   4 EVENT CODE(3-0), then three bytes
 * that the class defines
 */
const NO_EVENT_AVAILABLE = 0x80

const SUPPORTED = eventClasses.reduce((bits, each) => bits | (1 << each), 0)

/** NEA: none of the classes that were asked for is known. */
export const encodeNoEvent = (): Uint8Array => Uint8Array.of(0, 0, NO_EVENT_AVAILABLE, SUPPORTED)

export function encodeEvent(
  of: EventClass,
  event: number,
  rest: readonly [number, number, number],
): Uint8Array {
  const bytes = Uint8Array.of(0, 0, of, SUPPORTED, event, ...rest)
  set16(bytes, 0, bytes.length - 4)
  return bytes
}

/**
 * MECHANISM STATUS (MMC-6 §6.9): 0 FAULT(7) CHANGER STATE(6-5) SLOT(4-0)   1 MECHANISM STATE(7-5) DOOR OPEN(4)
 * 2 CURRENT LBA (3)   5 NUMBER OF SLOTS   6 LENGTH OF SLOT TABLES (2). The drive is idle, and no changer.
 */
export const encodeMechanismStatus = (isDoorOpen: boolean): Uint8Array =>
  Uint8Array.of(0, isDoorOpen ? 0x10 : 0, 0, 0, 0, 0, 0, 0)
