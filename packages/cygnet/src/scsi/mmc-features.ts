import { set16, set32 } from './fields.ts'
import { DISC_BLOCK_BYTES } from './mmc-address.ts'

/** Profiles (MMC-6 §5.4): what a drive can be, by the disc that is in. */
export const Profile = { none: 0x0000, cdRom: 0x0008, dvdRom: 0x0010 } as const
export type Profile = (typeof Profile)[keyof typeof Profile]

/** Features (MMC-6 §5.3). */
export const Feature = {
  profileList: 0x0000,
  core: 0x0001,
  morphing: 0x0002,
  removableMedium: 0x0003,
  randomReadable: 0x0010,
  multiRead: 0x001d,
  cdRead: 0x001e,
  dvdRead: 0x001f,
  powerManagement: 0x0100,
  timeout: 0x0105,
  realTimeStreaming: 0x0107,
} as const
export type Feature = (typeof Feature)[keyof typeof Feature]

/** Which features GET CONFIGURATION shall report: RT. */
export const RequestedFeatures = { all: 0, current: 1, one: 2 } as const

interface FeatureDescriptor {
  readonly code: Feature
  readonly version: number
  /** Profiles with which it is current; all, and without a disc, where none are given: then it is persistent. */
  readonly with?: readonly Profile[]
  /** A multiple of four bytes. */
  readonly data: (profile: Profile) => readonly number[]
}

const { cdRom, dvdRom } = Profile
const nothing = (): readonly number[] => []
/** The preferred profile first: 0 NUMBER (2)   2 CURRENT(0) */
const PROFILES = [dvdRom, cdRom]
const profileList = (current: Profile): readonly number[] =>
  PROFILES.flatMap((profile) => [profile >>> 8, profile & 0xff, profile === current ? 1 : 0, 0])

/** PHYSICAL INTERFACE STANDARD: the SCSI family. INQ2(1): INQUIRY works as in SPC-3. DBE(0): device busy events. */
const CORE = [0, 0, 0, 1, 0x03, 0, 0, 0]
/** OCEVENT(1): operational change events. */
const MORPHING = [0x02, 0, 0, 0]
/** LOADING MECHANISM(7-5) = 1, a tray; LOAD(4) EJECT(3) LOCK(0). */
const REMOVABLE_MEDIUM = [0x39, 0, 0, 0]
/** LOGICAL BLOCK SIZE (4), BLOCKING (2): blocks of an error correction block; PP(0): the read error recovery page is there. */
const randomReadable = (profile: Profile): readonly number[] => [
  ...[0, 0, DISC_BLOCK_BYTES >>> 8, DISC_BLOCK_BYTES & 0xff],
  ...[0, profile === dvdRom ? 16 : 1, 0x01, 0],
]
/** SCS(3): SET CD SPEED. */
const REAL_TIME_STREAMING = [0x08, 0, 0, 0]
const ZEROES = [0, 0, 0, 0]

/** In ascending order. */
const features: readonly FeatureDescriptor[] = [
  { code: Feature.profileList, version: 0, data: profileList },
  { code: Feature.core, version: 2, data: () => CORE },
  { code: Feature.morphing, version: 1, data: () => MORPHING },
  { code: Feature.removableMedium, version: 2, data: () => REMOVABLE_MEDIUM },
  { code: Feature.randomReadable, version: 0, with: [cdRom, dvdRom], data: randomReadable },
  { code: Feature.multiRead, version: 0, with: [cdRom], data: nothing },
  { code: Feature.cdRead, version: 2, with: [cdRom], data: () => ZEROES },
  { code: Feature.dvdRead, version: 1, with: [dvdRom], data: () => ZEROES },
  { code: Feature.powerManagement, version: 0, data: nothing },
  { code: Feature.timeout, version: 1, data: () => ZEROES },
  { code: Feature.realTimeStreaming, version: 5, with: [dvdRom], data: () => REAL_TIME_STREAMING },
]

/*
 * GET CONFIGURATION (MMC-6 §6.5): 0 DATA LENGTH (4), of all behind it   6 CURRENT PROFILE (2), then for each feature
 *   0 FEATURE CODE (2)   2 VERSION(5-2) PERSISTENT(1) CURRENT(0)   3 ADDITIONAL LENGTH   4 its data
 */
export function encodeConfiguration(profile: Profile, requested: number, first: number): Uint8Array {
  const isCurrent = (feature: FeatureDescriptor): boolean => feature.with?.includes(profile) ?? true
  const bytes = features
    .filter(({ code }) => (requested === RequestedFeatures.one ? code === first : code >= first))
    .filter((feature) => requested !== RequestedFeatures.current || isCurrent(feature))
    .flatMap((feature) => {
      const data = feature.data(profile)
      const state = (feature.with ? 0 : 0x02) | (isCurrent(feature) ? 0x01 : 0)
      return [feature.code >>> 8, feature.code & 0xff, (feature.version << 2) | state, data.length, ...data]
    })
  const header = new Uint8Array(8)
  set32(header, 0, 4 + bytes.length)
  set16(header, 6, profile)
  return Uint8Array.of(...header, ...bytes)
}
