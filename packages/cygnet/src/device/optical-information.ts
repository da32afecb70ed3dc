import { AdditionalSense } from '../scsi/additional-sense.ts'
import { get8, get16, get32 } from '../scsi/fields.ts'
import {
  encodeDiscInformation,
  encodeDiscStructure,
  encodeFullToc,
  encodePerformance,
  encodeSessions,
  encodeToc,
  encodeTrackInformation,
  FIRST_TRACK,
  LEAD_OUT,
  TocFormat,
} from '../scsi/mmc-disc.ts'
import { encodeConfiguration, RequestedFeatures } from '../scsi/mmc-features.ts'
import { illegalRequest, invalidCdbField } from '../scsi/sense.ts'
import type { Operation } from './operation.ts'
import type { OpticalDisc } from './optical-disc.ts'
import { DRIVE_KILOBYTES_PER_SECOND } from './optical-disc.ts'

const OUT_OF_RANGE = illegalRequest(AdditionalSense.lbaOutOfRange)
const INCOMPATIBLE = illegalRequest(AdditionalSense.incompatibleMedium)
/** ADDRESS/NUMBER TYPE of READ TRACK INFORMATION. */
const Addressed = { lba: 0, track: 1, session: 2 } as const
/** MEDIA TYPE of READ DISC STRUCTURE. */
const MEDIA_TYPE_DVD = 0
/** WRITE, EXCEPT and TOLERANCE of GET PERFORMANCE. */
const Performance = { write: 0x04, except: 0x03 } as const

/** What a drive tells of its disc, and of itself with that disc. */
export class OpticalInformation {
  readonly #disc: OpticalDisc

  constructor(disc: OpticalDisc) {
    this.#disc = disc
  }

  get #blocks(): number {
    return this.#disc.medium.blocks
  }

  /** 1 RT(1-0)   2 STARTING FEATURE NUMBER (2)   7 ALLOCATION LENGTH (2) */
  readonly getConfiguration = (op: Operation): void => {
    const { cdb } = op.task
    const requested = get8(cdb, 1) & 0x03
    if (requested > RequestedFeatures.one) return op.check(invalidCdbField(1, 1))
    op.reply(encodeConfiguration(this.#disc.profile, requested, get16(cdb, 2)), get16(cdb, 7))
  }

  /**
   * READ TOC/PMA/ATIP: 1 MSF(1)   2 FORMAT(3-0)   6 TRACK or SESSION   7 ALLOCATION LENGTH (2)   9 FORMAT(7-6), where byte 2
   * says none: that is where drives once had it, and Linux still has.
   */
  readonly readToc = (op: Operation): void => {
    const { cdb } = op.task
    const format = get8(cdb, 2) & 0x0f || get8(cdb, 9) >>> 6
    const asMsf = (get8(cdb, 1) & 0x02) !== 0
    const number = get8(cdb, 6)
    const allocationBytes = get16(cdb, 7)
    switch (format) {
      case TocFormat.toc:
        if (number > FIRST_TRACK && number !== LEAD_OUT) return op.check(invalidCdbField(6, 7))
        return op.reply(encodeToc(this.#blocks, number, asMsf), allocationBytes)
      case TocFormat.sessions:
        return op.reply(encodeSessions(asMsf), allocationBytes)
      case TocFormat.full:
        // Only a CD has such a lead-in.
        if (!this.#disc.isCd) return op.check(invalidCdbField(2, 3))
        if (number > FIRST_TRACK) return op.check(invalidCdbField(6, 7))
        return op.reply(encodeFullToc(this.#blocks), allocationBytes)
      default:
        return op.check(invalidCdbField(2, 3))
    }
  }

  /** 1 DATA TYPE(2-0)   7 ALLOCATION LENGTH (2). A disc that cannot be written has no track resources or POW resources. */
  readonly readDiscInformation = (op: Operation): void => {
    const { cdb } = op.task
    if (get8(cdb, 1) !== 0) return op.check(invalidCdbField(1, 2))
    op.reply(encodeDiscInformation(), get16(cdb, 7))
  }

  /** 1 ADDRESS TYPE(1-0)   2 LBA, TRACK or SESSION (4)   7 ALLOCATION LENGTH (2) */
  readonly readTrackInformation = (op: Operation): void => {
    const { cdb } = op.task
    const type = get8(cdb, 1) & 0x03
    const number = get32(cdb, 2)
    if (type > Addressed.session) return op.check(invalidCdbField(1, 1))
    if (type === Addressed.lba && number >= this.#blocks) return op.check(OUT_OF_RANGE)
    if (type !== Addressed.lba && number !== FIRST_TRACK) return op.check(invalidCdbField(2, 7))
    op.reply(encodeTrackInformation(this.#blocks), get16(cdb, 7))
  }

  /** 1 MEDIA TYPE(3-0)   2 ADDRESS (4)   6 LAYER NUMBER   7 FORMAT   8 ALLOCATION LENGTH (2) */
  readonly readDiscStructure = (op: Operation): void => {
    const { cdb } = op.task
    if (get8(cdb, 1) !== MEDIA_TYPE_DVD) return op.check(invalidCdbField(1, 3))
    if (this.#disc.isCd) return op.check(INCOMPATIBLE)
    const bytes = encodeDiscStructure(get8(cdb, 7), this.#blocks)
    if (!bytes) return op.check(invalidCdbField(7, 7))
    if (get8(cdb, 6) !== 0) return op.check(invalidCdbField(6, 7))
    op.reply(bytes, get16(cdb, 8))
  }

  /**
   * 1 TOLERANCE(4-3) WRITE(2) EXCEPT(1-0)   2 STARTING LBA (4)   8 MAXIMUM NUMBER OF DESCRIPTORS (2)   10 TYPE. There are no
   * exceptions to the one speed.
   */
  readonly getPerformance = (op: Operation): void => {
    const { cdb } = op.task
    const flags = get8(cdb, 1)
    if (get8(cdb, 10) !== 0) return op.check(invalidCdbField(10, 7))
    if (flags & Performance.write) return op.check(invalidCdbField(1, 2))
    if (get32(cdb, 2) >= this.#blocks) return op.check(OUT_OF_RANGE)
    const descriptors = flags & Performance.except ? 0 : Math.min(1, get16(cdb, 8))
    const bytes = encodePerformance(this.#blocks, DRIVE_KILOBYTES_PER_SECOND, descriptors)
    op.reply(bytes, bytes.length)
  }
}
