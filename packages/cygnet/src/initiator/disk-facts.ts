import { hex } from '../base/bytes.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { decodeCapacity10, decodeCapacity16, type Capacity16 } from '../scsi/capacity.ts'
import {
  inquiryCdb,
  modeSense10Cdb,
  readCapacity10Cdb,
  readCapacity16Cdb,
  testUnitReadyCdb,
} from '../scsi/cdb.ts'
import { get8 } from '../scsi/fields.ts'
import { decodeInquiry, DeviceType, type InquiryData } from '../scsi/inquiry.ts'
import { decodeModeHeader, decodeModePages, ModeFlags, ModePage, PageControl } from '../scsi/mode.ts'
import { Opcode } from '../scsi/opcodes.ts'
import {
  decodeProvisioning,
  decodeRotationRate,
  decodeSupportedPages,
  type Provisioning,
} from '../scsi/provisioning.ts'
import { SenseKey } from '../scsi/sense.ts'
import {
  type BlockLimits,
  decodeBlockLimits,
  decodeDeviceIdentification,
  decodeSerialNumber,
  type Designator,
  VpdPage,
} from '../scsi/vpd.ts'
import { BlockDeviceError } from './block-device-error.ts'
import { ScsiError } from './scsi-error.ts'
import type { ScsiUnit } from './scsi-unit.ts'

/** Who the logical unit is. */
export interface UnitIdentity {
  readonly inquiry: InquiryData
  /** Vital product data pages that there are. */
  readonly pages: readonly number[]
  readonly serialNumber: string | undefined
  readonly designators: readonly Designator[]
}

export interface DiskModes {
  readonly writeProtected: boolean
  /** WCE; undefined where the unit does not say. */
  readonly writeCache: boolean | undefined
  /** DPOFUA: force unit access works. */
  readonly fua: boolean
}

/** What a disk says about itself. */
export interface DiskFacts extends DiskModes {
  readonly identity: UnitIdentity
  readonly capacity: Capacity16
  readonly limits: BlockLimits | undefined
  readonly provisioning: Provisioning | undefined
  /** See `decodeRotationRate`. */
  readonly rotationRate: number | undefined
}

const INQUIRY_BYTES = 255
const PAGE_BYTES = 4096
const MODE_BYTES = 255
/** Blocks that can be used. The upper bound is one of memory: a part of a block is read and written as a whole one. */
const BLOCK_BYTES_MIN = 256
const BLOCK_BYTES_MAX = 1024 * 1024

const refreshing = { isRefresh: true, replay: 'safe' } as const

/**
 * Asks a logical unit for everything that a disk is used by.
 * @throws {BlockDeviceError} NO_DEVICE where there is none or it is no disk, and what else the unit answers
 */
export async function readFacts(unit: ScsiUnit, signal?: AbortSignal): Promise<DiskFacts> {
  const asked = { ...refreshing, ...(signal && { signal }) }
  const identity = await readIdentity(unit, asked)
  await waitUntilReady(unit, asked)
  const has = (page: VpdPage): boolean => identity.pages.includes(page)
  const page = async (code: VpdPage): Promise<Uint8Array> =>
    has(code) ? ((await readPage(unit, code, asked)) ?? NOTHING) : NOTHING
  const limits = decodeBlockLimits(await page(VpdPage.blockLimits))
  const rotationRate = decodeRotationRate(await page(VpdPage.blockDeviceCharacteristics))
  const provisioning = decodeProvisioning(await page(VpdPage.logicalBlockProvisioning))
  const capacity = await readCapacity(unit, asked)
  const modes = await readModes(unit, identity, asked)
  return { identity, limits, rotationRate, provisioning, capacity, ...modes }
}

const NOTHING = new Uint8Array(0)

interface Asked {
  readonly isRefresh: true
  readonly replay: 'safe'
  readonly signal?: AbortSignal
}

/** @throws {BlockDeviceError} NO_DEVICE, PROTOCOL_ERROR */
export async function readIdentity(unit: ScsiUnit, asked: Asked = refreshing): Promise<UnitIdentity> {
  const dataIn = new Uint8Array(INQUIRY_BYTES)
  const answer = await unit.run({ what: 'INQUIRY', cdb: inquiryCdb(INQUIRY_BYTES), dataIn, ...asked })
  const inquiry = decodeInquiry(dataIn.subarray(0, answer.dataInBytes))
  if (inquiry === undefined) throw malformed('INQUIRY')
  if (inquiry.qualifier !== 0 || inquiry.deviceType === DeviceType.unknown) {
    throw new BlockDeviceError(
      'NO_DEVICE',
      `There is no logical unit at LUN ${unit.lun}: look at the target's list of LUNs.`,
    )
  }
  if (inquiry.deviceType !== DeviceType.block && inquiry.deviceType !== DeviceType.optical) {
    throw new BlockDeviceError(
      'NO_DEVICE',
      `LUN ${unit.lun} is no disk (its device type is ${inquiry.deviceType}): choose another LUN.`,
    )
  }
  const pages = decodeSupportedPages((await readPage(unit, VpdPage.supportedPages, asked)) ?? NOTHING)
  const page = async (code: VpdPage): Promise<Uint8Array> =>
    pages.includes(code) ? ((await readPage(unit, code, asked)) ?? NOTHING) : NOTHING
  return {
    inquiry,
    pages,
    serialNumber: decodeSerialNumber(await page(VpdPage.unitSerialNumber)),
    designators: decodeDeviceIdentification(await page(VpdPage.deviceIdentification)),
  }
}

/** @throws {BlockDeviceError} PROTOCOL_ERROR */
export async function readCapacity(unit: ScsiUnit, asked: Asked = refreshing): Promise<Capacity16> {
  const long = new Uint8Array(32)
  const command = { what: 'READ CAPACITY (16)', cdb: readCapacity16Cdb(long.length), dataIn: long, ...asked }
  const answer = await optional(unit.run(command))
  if (answer) {
    const capacity = decodeCapacity16(long.subarray(0, answer.dataInBytes))
    if (capacity === undefined) throw malformed('READ CAPACITY (16)')
    return checked(capacity)
  }
  const short = new Uint8Array(8)
  const { dataInBytes } = await unit.run({
    what: 'READ CAPACITY (10)',
    cdb: readCapacity10Cdb(),
    dataIn: short,
    ...asked,
  })
  const capacity = decodeCapacity10(short.subarray(0, dataInBytes))
  if (capacity === undefined) throw malformed('READ CAPACITY (10)')
  return checked({ ...capacity, physicalExponent: 0, thin: false, unmappedReadsZero: false })
}

function checked(capacity: Capacity16): Capacity16 {
  const { blocks, blockBytes } = capacity
  const isPowerOfTwo = blockBytes > 0 && Number.isInteger(Math.log2(blockBytes))
  const isUsual = blockBytes >= BLOCK_BYTES_MIN && blockBytes <= BLOCK_BYTES_MAX
  if (!isPowerOfTwo || !isUsual || !Number.isSafeInteger(blocks * blockBytes)) {
    throw new BlockDeviceError(
      'NOT_SUPPORTED',
      `The device has ${blocks} blocks of ${blockBytes} bytes: such a one cannot be used here.`,
    )
  }
  return capacity
}

/** MODE SENSE of the caching page, in the forms that targets know. */
export async function readModes(
  unit: ScsiUnit,
  { inquiry }: UnitIdentity,
  asked: Asked = refreshing,
): Promise<DiskModes> {
  if (inquiry.deviceType === DeviceType.optical) return DISC_MODES
  for (const page of [ModePage.caching, ModePage.all]) {
    for (const headerBytes of [8, 4] as const) {
      const dataIn = new Uint8Array(MODE_BYTES)
      const cdb =
        headerBytes === 8
          ? modeSense10Cdb(page, 0, PageControl.current, MODE_BYTES)
          : modeSense6Cdb(page, MODE_BYTES)
      const what = `MODE SENSE (${headerBytes === 8 ? 10 : 6})`
      // oxlint-disable-next-line no-await-in-loop -- the next form is for targets that refuse this one
      const answer = await unlessReserved(optional(unit.run({ what, cdb, dataIn, ...asked })))
      if (answer === 'reserved') return UNKNOWN_MODES
      const modes = answer && decodeModes(dataIn.subarray(0, answer.dataInBytes), headerBytes)
      if (modes) return modes
    }
  }
  return UNKNOWN_MODES
}

const UNKNOWN_MODES: DiskModes = { writeProtected: false, writeCache: undefined, fua: false }
/** Of CDs and DVDs, which have no such page: even where a drive could write them, that takes more than WRITE. */
const DISC_MODES: DiskModes = { ...UNKNOWN_MODES, writeProtected: true }

/** Another initiator's reservation may forbid this: the disk can still be looked at. */
async function unlessReserved<T>(answer: Promise<T>): Promise<T | 'reserved'> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ScsiError && error.code === 'RESERVATION_CONFLICT') return 'reserved'
    throw error
  }
}

function decodeModes(bytes: Uint8Array, headerBytes: 4 | 8): DiskModes | undefined {
  const header = decodeModeHeader(bytes, headerBytes)
  if (header === undefined) return undefined
  const caching = decodeModePages(bytes, header.pagesAt).find(
    (page) => (get8(page, 0) & 0x3f) === ModePage.caching && page.length > 2,
  )
  return {
    writeProtected: (header.deviceSpecific & ModeFlags.writeProtected) !== 0,
    writeCache: caching && (get8(caching, 2) & 0x04) !== 0,
    fua: (header.deviceSpecific & ModeFlags.dpoFua) !== 0,
  }
}

/** MODE SENSE (6) (SPC-5 §6.12), current values. */
function modeSense6Cdb(page: number, allocationBytes: number): Uint8Array {
  const cdb = new Uint8Array(16)
  cdb[0] = Opcode.modeSense6
  cdb[2] = page
  cdb[4] = allocationBytes
  return cdb
}

/** Waits while the unit becomes ready; starts it where it says that it wants that. */
async function waitUntilReady(unit: ScsiUnit, asked: Asked): Promise<void> {
  const test = { what: 'TEST UNIT READY', cdb: testUnitReadyCdb(), ...asked }
  try {
    await unit.run(test)
  } catch (error) {
    const wantsStart =
      error instanceof ScsiError &&
      error.sense?.additional === AdditionalSense.notReadyInitializingCommandRequired
    if (!wantsStart) throw error
    const cdb = new Uint8Array(16)
    cdb[0] = Opcode.startStopUnit
    cdb[4] = 0x01
    await unit.run({ what: 'START STOP UNIT', cdb, ...asked })
    await unit.run(test)
  }
}

async function readPage(unit: ScsiUnit, page: VpdPage, asked: Asked): Promise<Uint8Array | undefined> {
  const dataIn = new Uint8Array(PAGE_BYTES)
  const what = `INQUIRY of page ${page.toString(16)}h`
  const answer = await optional(unit.run({ what, cdb: inquiryCdb(PAGE_BYTES, page), dataIn, ...asked }))
  return answer && dataIn.subarray(0, answer.dataInBytes)
}

/** Undefined where the unit does not know the command or what was asked in it. */
export async function optional<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (isRefusal(error)) return undefined
    throw error
  }
}

/** The unit does not know the command, or a field in it. */
export const isRefusal = (error: unknown): boolean =>
  error instanceof ScsiError &&
  error.sense?.key === SenseKey.illegalRequest &&
  (error.sense.additional === AdditionalSense.invalidOperationCode ||
    error.sense.additional === AdditionalSense.invalidFieldInCdb ||
    error.sense.additional === AdditionalSense.invalidFieldInParameterList)

const malformed = (what: string): BlockDeviceError =>
  new BlockDeviceError(
    'PROTOCOL_ERROR',
    `The answer to ${what} is not one: update or report the target's software.`,
  )

/** The name of the unit among all others, as text: what proves that two paths lead to one, or that it is still the same. */
export function unitName({ inquiry, serialNumber, designators }: UnitIdentity): string {
  const LOGICAL_UNIT = 0
  // NAA, EUI-64, SCSI name string, T10 vendor: the order in which their uniqueness can be relied upon.
  for (const type of [3, 2, 8, 1]) {
    const found = designators.find((one) => one.association === LOGICAL_UNIT && one.type === type)
    if (found) return `${type}:${hex(found.value)}`
  }
  return `${inquiry.vendor}:${inquiry.product}:${serialNumber ?? ''}`
}
