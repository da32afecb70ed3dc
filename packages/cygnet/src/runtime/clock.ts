import type { Clock } from '../base/clock.ts'

/** The machine's monotonic clock, in milliseconds. */
export const systemClock: Clock = { now: () => performance.now() }
