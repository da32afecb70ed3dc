/** How long and how often everything is measured: all of it, in one place. */
export interface Settings {
  /** How often each contender of a case is measured, in turn with the others. */
  readonly rounds: number
  /** One measurement by our own clients and by `qemu-img bench`. */
  readonly seconds: number
  /** One by `iscsi-perf`, which takes whole seconds. */
  readonly wholeSeconds: number
  /** Before each measurement by our own clients, which Node compiles meanwhile. */
  readonly warmUpSeconds: number
  /** With each target and kind of load once, before anything is measured. */
  readonly firstSeconds: number
  /** One measurement over the slow network, and before it. */
  readonly wanSeconds: number
  readonly wanWarmUpSeconds: number
  readonly wanRounds: number
  readonly idleSessions: number
  /** For how long memory under load is watched. */
  readonly memorySeconds: number
  /** Cases that are not marked as quick are left out. */
  readonly onlyQuick: boolean
}

/** About eleven minutes on two cores. */
export const full: Settings = {
  rounds: 3,
  seconds: 1,
  wholeSeconds: 2,
  warmUpSeconds: 0.4,
  firstSeconds: 0.8,
  wanSeconds: 2,
  wanWarmUpSeconds: 1,
  wanRounds: 2,
  idleSessions: 1000,
  memorySeconds: 8,
  onlyQuick: false,
}

/** A look, within a minute and a half. */
export const quick: Settings = {
  rounds: 1,
  seconds: 0.5,
  wholeSeconds: 1,
  warmUpSeconds: 0.3,
  firstSeconds: 0.3,
  wanSeconds: 1,
  wanWarmUpSeconds: 0.5,
  wanRounds: 1,
  idleSessions: 1000,
  memorySeconds: 1.5,
  onlyQuick: true,
}

/** The disk that every target serves. */
export const IMAGE_BYTES = 2 ** 30
/** Our own client warms up with the beginning of the disk, and measures with the rest. */
export const WARM_UP_BYTES = 2 ** 24
/** The slow network: its round trip, and what one TCP connection may have on its way. */
export const ROUND_TRIP_MS = 50
export const WINDOW_BYTES = 2 * 2 ** 20
/** Clients that hang are ended this long after they should have ended. */
export const CLIENT_GRACE_MS = 60_000
