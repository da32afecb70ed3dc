import { set16 } from './fields.ts'

/** Mode pages of a CD or DVD drive (MMC-6 §7), and the control page (SPC-5 §7.5.10). */
export const OpticalPage = {
  readErrorRecovery: 0x01,
  control: 0x0a,
  powerCondition: 0x1a,
  timeoutAndProtect: 0x1d,
  capabilities: 0x2a,
} as const

/** What a drive says of itself, where its page has a field for it. */
export interface DriveCapabilities {
  /** Nobody can eject the disc now. */
  readonly isLocked: boolean
  readonly kilobytesPerSecond: number
}

/** 0 PS(7) PAGE CODE(5-0)   1 PAGE LENGTH   2 parameters */
function newPage(code: number, lengthBytes: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  bytes[0] = code
  bytes[1] = lengthBytes - 2
  return bytes
}

/** 2 GLTSD(1)   3 QUEUE ALGORITHM MODIFIER(7-4) */
const NOTHING_IS_LOGGED = 0x02
const UNRESTRICTED_REORDERING = 0x10

function controlPage(): Uint8Array {
  const bytes = newPage(OpticalPage.control, 12)
  bytes[2] = NOTHING_IS_LOGGED
  bytes[3] = UNRESTRICTED_REORDERING
  return bytes
}

/** Timeouts that hosts should expect, in seconds: of commands that move the disc or go over it, and of others. */
const GROUP_1_TIMEOUT_S = 60
const GROUP_2_TIMEOUT_S = 60

/** 6 GROUP 1 MINIMUM TIMEOUT (2)   8 GROUP 2 MINIMUM TIMEOUT (2) */
function timeoutPage(): Uint8Array {
  const bytes = newPage(OpticalPage.timeoutAndProtect, 12)
  set16(bytes, 6, GROUP_1_TIMEOUT_S)
  set16(bytes, 8, GROUP_2_TIMEOUT_S)
  return bytes
}

const READS_DVD_ROM = 0x08
const MULTI_SESSION = 0x40
/** A tray, EJECT, LOCK; LOCK STATE. */
const TRAY = 0x20
const EJECT = 0x08
const LOCK = 0x01
const LOCK_STATE = 0x02

/*
 * Capabilities (MMC-3 §6.3.11, still what hosts read first): 2 what it reads: DVD-ROM(3)   3 what it writes: nothing
 *   4 MULTI SESSION(6)   6 LOADING MECHANISM(7-5) EJECT(3) LOCK STATE(1) LOCK(0)   8 and 14 read speed, most and now (2)
 */
function capabilitiesPage({ isLocked, kilobytesPerSecond }: DriveCapabilities): Uint8Array {
  const bytes = newPage(OpticalPage.capabilities, 32)
  bytes[2] = READS_DVD_ROM
  bytes[4] = MULTI_SESSION
  bytes[6] = TRAY | EJECT | LOCK | (isLocked ? LOCK_STATE : 0)
  set16(bytes, 8, kilobytesPerSecond)
  set16(bytes, 14, kilobytesPerSecond)
  return bytes
}

/** All pages, in ascending order. */
export const encodeOpticalPages = (drive: DriveCapabilities): readonly Uint8Array[] => [
  newPage(OpticalPage.readErrorRecovery, 12),
  controlPage(),
  newPage(OpticalPage.powerCondition, 12),
  timeoutPage(),
  capabilitiesPage(drive),
]
