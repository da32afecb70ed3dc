/**
 * Serial number arithmetic modulo 2^32 (RFC 1982, as RFC 7143 §4.2.2.1 requires of CmdSN, StatSN and DataSN).
 * Two numbers exactly 2^31 apart are not ordered: both comparisons are false.
 */
export type Serial32 = number

/** `serial + increment`, wrapped to 0..2^32-1. */
export const serialAdd = (serial: Serial32, increment: number): Serial32 => (serial + increment) >>> 0

/** Distance from `from` to `to`, -2^31..2^31-1: positive where `to` comes later. */
export const serialDistance = (from: Serial32, to: Serial32): number => (to - from) | 0

export const serialLess = (a: Serial32, b: Serial32): boolean => {
  const distance = (b - a) | 0
  return distance > 0
}

export const serialLessOrEqual = (a: Serial32, b: Serial32): boolean => a === b || serialLess(a, b)
