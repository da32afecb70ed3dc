import { Profile } from '../scsi/mmc-features.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { MediumDoor } from './medium-door.ts'

/** A CD of 80 minutes: an image with more blocks is a DVD. */
export const CD_BLOCKS = 80 * 60 * 75

/** What the drive claims to read with, in units of 1000 bytes a second: a DVD at 16 times its speed. */
export const DRIVE_KILOBYTES_PER_SECOND = 22_160

/** The disc in a drive: an image of one session with one data track. */
export class OpticalDisc {
  readonly medium: DiskMedium
  readonly #door: MediumDoor

  constructor(medium: DiskMedium, door: MediumDoor) {
    this.medium = medium
    this.#door = door
  }

  get isIn(): boolean {
    return this.#door.isLoaded
  }

  get isLocked(): boolean {
    return this.#door.isPrevented
  }

  get isCd(): boolean {
    return this.medium.blocks <= CD_BLOCKS
  }

  /** What the drive is with the disc that is in. */
  get profile(): Profile {
    if (!this.isIn) return Profile.none
    return this.isCd ? Profile.cdRom : Profile.dvdRom
  }
}
