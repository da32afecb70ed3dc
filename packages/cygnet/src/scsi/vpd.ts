import { hex } from '../base/bytes.ts'
import { get8, get16, get32, get64, getAscii, set16, set32, set64, setAscii } from './fields.ts'

/** Vital product data pages (SPC-5 §7.7, SBC-4 §6.6). */
export const VpdPage = {
  supportedPages: 0x00,
  unitSerialNumber: 0x80,
  deviceIdentification: 0x83,
  extendedInquiry: 0x86,
  modePagePolicy: 0x87,
  scsiPorts: 0x88,
  thirdPartyCopy: 0x8f,
  blockLimits: 0xb0,
  blockDeviceCharacteristics: 0xb1,
  logicalBlockProvisioning: 0xb2,
  referrals: 0xb3,
} as const
export type VpdPage = (typeof VpdPage)[keyof typeof VpdPage]

/** A page: peripheral byte, page code, length of the rest (2), the rest. */
export function newPage(peripheral: number, page: VpdPage, restBytes: number): Uint8Array {
  const bytes = new Uint8Array(4 + restBytes)
  bytes[0] = peripheral
  bytes[1] = page
  set16(bytes, 2, restBytes)
  return bytes
}

/** The rest of a page as received: what PAGE LENGTH promises and is there. Undefined where it is another page. */
export function vpdPayload(bytes: Uint8Array, page: VpdPage): Uint8Array | undefined {
  if (bytes.length < 4 || bytes[1] !== page) return undefined
  return bytes.subarray(4, Math.min(bytes.length, 4 + get16(bytes, 2)))
}

/** 00h, in ascending order as SPC-5 §7.7.15 requires. */
export function encodeSupportedPages(peripheral: number, pages: readonly number[]): Uint8Array {
  const bytes = newPage(peripheral, VpdPage.supportedPages, pages.length)
  bytes.set(
    pages.toSorted((a, b) => a - b),
    4,
  )
  return bytes
}

/** 80h. */
export function encodeSerialNumber(peripheral: number, serialNumber: string): Uint8Array {
  const bytes = newPage(peripheral, VpdPage.unitSerialNumber, serialNumber.length)
  setAscii(bytes, 4, serialNumber.length, serialNumber)
  return bytes
}

export function decodeSerialNumber(bytes: Uint8Array): string | undefined {
  const rest = vpdPayload(bytes, VpdPage.unitSerialNumber)
  return rest && getAscii(rest, 0, rest.length)
}

const CodeSet = { binary: 1, ascii: 2, utf8: 3 } as const
const DesignatorType = { t10Vendor: 1, naa: 3, relativePort: 4, targetPortGroup: 5, scsiName: 8 } as const
const Association = { logicalUnit: 0, targetPort: 1, targetDevice: 2 } as const
/** PROTOCOL IDENTIFIER of iSCSI (SPC-5 §7.6.1). */
const ISCSI_PROTOCOL = 5

/*
 * Designation descriptor (SPC-5 §7.7.6.1):
 *   0  PROTOCOL IDENTIFIER(7-4) CODE SET(3-0)   1  PIV(7) ASSOCIATION(5-4) TYPE(3-0)   3  LENGTH   4  DESIGNATOR
 */
export interface Designator {
  readonly association: number
  readonly type: number
  readonly codeSet: number
  readonly value: Uint8Array
}

/** A SCSI name string: UTF-8, a NUL, zeroes to a multiple of four (SPC-5 §7.7.6.11). */
function scsiName(association: number, name: string): Designator {
  const text = new TextEncoder().encode(name)
  const value = new Uint8Array((text.length + 4) & ~3)
  value.set(text)
  return { association, type: DesignatorType.scsiName, codeSet: CodeSet.utf8, value }
}

export interface UnitDesignation {
  /** 8 bytes, or 16 where the NAA field is 6: the logical unit's world wide name. */
  readonly naa: Uint8Array
  readonly vendor: string
  readonly serialNumber: string
}

export interface PortDesignation {
  readonly targetPortName: string
  /** iSCSI name of the target, the port name's first part. */
  readonly targetName: string
  /** Also the target port group that the port is in. */
  readonly relativeTargetPortId: number
}

/** What 83h says of the unit: by NAA, by vendor and serial number, by name. */
export function unitDesignators({ naa, vendor, serialNumber }: UnitDesignation): Designator[] {
  const vendorSpecific = new Uint8Array(8 + serialNumber.length)
  setAscii(vendorSpecific, 0, 8, vendor)
  setAscii(vendorSpecific, 8, serialNumber.length, serialNumber)
  const { logicalUnit } = Association
  return [
    { association: logicalUnit, type: DesignatorType.naa, codeSet: CodeSet.binary, value: naa },
    {
      association: logicalUnit,
      type: DesignatorType.t10Vendor,
      codeSet: CodeSet.ascii,
      value: vendorSpecific,
    },
    scsiName(logicalUnit, `naa.${hex(naa)}`),
  ]
}

/** What 83h says of the port, by number, group and name, and of the device, by name. */
export function portDesignators(designation: PortDesignation): Designator[] {
  const port = new Uint8Array(4)
  set16(port, 2, designation.relativeTargetPortId)
  const { targetPort, targetDevice } = Association
  return [
    { association: targetPort, type: DesignatorType.relativePort, codeSet: CodeSet.binary, value: port },
    { association: targetPort, type: DesignatorType.targetPortGroup, codeSet: CodeSet.binary, value: port },
    scsiName(targetPort, designation.targetPortName),
    scsiName(targetDevice, designation.targetName),
  ]
}

/** 83h. */
export function encodeDeviceIdentification(peripheral: number, list: readonly Designator[]): Uint8Array {
  let restBytes = 0
  for (const { value } of list) restBytes += 4 + value.length
  const bytes = newPage(peripheral, VpdPage.deviceIdentification, restBytes)
  let at = 4
  for (const { association, type, codeSet, value } of list) {
    // PROTOCOL IDENTIFIER means something only where the designator is of a port or device.
    const hasProtocol = association !== Association.logicalUnit
    bytes[at] = (hasProtocol ? ISCSI_PROTOCOL << 4 : 0) | codeSet
    bytes[at + 1] = (hasProtocol ? 0x80 : 0) | (association << 4) | type
    bytes[at + 3] = value.length
    bytes.set(value, at + 4)
    at += 4 + value.length
  }
  return bytes
}

export function decodeDeviceIdentification(bytes: Uint8Array): Designator[] {
  const rest = vpdPayload(bytes, VpdPage.deviceIdentification) ?? new Uint8Array(0)
  const list: Designator[] = []
  for (
    let at = 0;
    at + 4 <= rest.length && at + 4 + get8(rest, at + 3) <= rest.length;
    at += 4 + get8(rest, at + 3)
  ) {
    list.push({
      association: (get8(rest, at + 1) >>> 4) & 3,
      type: get8(rest, at + 1) & 0x0f,
      codeSet: get8(rest, at) & 0x0f,
      value: rest.slice(at + 4, at + 4 + get8(rest, at + 3)),
    })
  }
  return list
}

/** 86h: PRIOR_SUP, HEADSUP, ORDSUP, SIMPSUP; V_SUP; LUICLR; R_SUP (SPC-5 §7.7.7). */
export function encodeExtendedInquiry(
  peripheral: number,
  volatileCache: boolean,
  referrals = false,
): Uint8Array {
  const bytes = newPage(peripheral, VpdPage.extendedInquiry, 0x3c)
  bytes[5] = 0x0f
  bytes[6] = volatileCache ? 0x01 : 0
  bytes[7] = 0x01
  bytes[8] = referrals ? 0x10 : 0
  return bytes
}

/** 87h: one descriptor for all pages and subpages: they are shared by every nexus (SPC-5 §7.7.9). */
export function encodeModePagePolicy(peripheral: number): Uint8Array {
  const bytes = newPage(peripheral, VpdPage.modePagePolicy, 4)
  bytes[4] = 0x3f
  bytes[5] = 0xff
  return bytes
}

/**
 * 88h: the target ports by number and name (SPC-5 §7.7.14): RELATIVE PORT (2) after two reserved bytes, initiator ports, none,
 * LENGTH OF TARGET PORT DESCRIPTORS (2) after two reserved bytes, a designation descriptor.
 */
export function encodeScsiPorts(peripheral: number, ports: ReadonlyMap<number, string>): Uint8Array {
  const { targetPort } = Association
  const names = [...ports].map(([port, name]) => [port, scsiName(targetPort, name)] as const)
  const bytes = newPage(
    peripheral,
    VpdPage.scsiPorts,
    names.reduce((sum, [, { value }]) => sum + 16 + value.length, 0),
  )
  let at = 4
  for (const [port, { association, type, codeSet, value }] of names) {
    set16(bytes, at + 2, port)
    set16(bytes, at + 10, 4 + value.length)
    bytes.set([(ISCSI_PROTOCOL << 4) | codeSet, 0x80 | (association << 4) | type, 0, value.length], at + 12)
    bytes.set(value, at + 16)
    at += 16 + value.length
  }
  return bytes
}

/** All counts in logical blocks; 0 says "not reported" except for `unmapBlocks` and `unmapDescriptors`, where it says "no UNMAP". */
export interface BlockLimits {
  readonly compareAndWriteBlocks: number
  readonly transferGranularityBlocks: number
  readonly transferBlocks: number
  readonly optimalTransferBlocks: number
  readonly unmapBlocks: number
  readonly unmapDescriptors: number
  readonly unmapGranularityBlocks: number
  readonly writeSameBlocks: number
  /** WSNZ: WRITE SAME of zero blocks (up to the last) is refused. */
  readonly writeSameNonZero: boolean
  /** 0: there is no WRITE ATOMIC (16). */
  readonly atomicBlocks: number
  /** Of its LBA and length. */
  readonly atomicGranularityBlocks: number
}

/** B0h (SBC-4 §6.6.4). */
export function encodeBlockLimits(peripheral: number, limits: BlockLimits): Uint8Array {
  const bytes = newPage(peripheral, VpdPage.blockLimits, 0x3c)
  bytes[4] = limits.writeSameNonZero ? 1 : 0
  bytes[5] = limits.compareAndWriteBlocks
  set16(bytes, 6, limits.transferGranularityBlocks)
  set32(bytes, 8, limits.transferBlocks)
  set32(bytes, 12, limits.optimalTransferBlocks)
  set32(bytes, 20, limits.unmapBlocks)
  set32(bytes, 24, limits.unmapDescriptors)
  set32(bytes, 28, limits.unmapGranularityBlocks)
  // UGAVALID: the granules begin at LBA 0.
  set32(bytes, 32, limits.unmapGranularityBlocks > 0 ? 0x8000_0000 : 0)
  set64(bytes, 36, limits.writeSameBlocks)
  set32(bytes, 44, limits.atomicBlocks)
  set32(bytes, 48, limits.atomicGranularityBlocks)
  set32(bytes, 52, limits.atomicGranularityBlocks)
  return bytes
}

/** Undefined where it is another page or shorter than SBC-3's. */
export function decodeBlockLimits(bytes: Uint8Array): BlockLimits | undefined {
  if ((vpdPayload(bytes, VpdPage.blockLimits)?.length ?? 0) < 0x3c) return undefined
  return {
    writeSameNonZero: (get8(bytes, 4) & 1) !== 0,
    compareAndWriteBlocks: get8(bytes, 5),
    transferGranularityBlocks: get16(bytes, 6),
    transferBlocks: get32(bytes, 8),
    optimalTransferBlocks: get32(bytes, 12),
    unmapBlocks: get32(bytes, 20),
    unmapDescriptors: get32(bytes, 24),
    unmapGranularityBlocks: get32(bytes, 28),
    writeSameBlocks: get64(bytes, 36),
    atomicBlocks: get32(bytes, 44),
    atomicGranularityBlocks: get32(bytes, 52),
  }
}

/**
 * B1h: MEDIUM ROTATION RATE 1, a non-rotating medium; WABEREQ and WACEREQ 01b, reads work after those kinds of SANITIZE
 * (SBC-4 §6.6.2); FUAB and VBULS: FUA and SYNCHRONIZE CACHE mean stable storage, and unmapped blocks can be verified.
 */
export function encodeBlockCharacteristics(
  peripheral: number,
  blockErase: boolean,
  cryptographicErase: boolean,
): Uint8Array {
  const bytes = newPage(peripheral, VpdPage.blockDeviceCharacteristics, 0x3c)
  set16(bytes, 4, 1)
  bytes[7] = (blockErase ? 0x40 : 0) | (cryptographicErase ? 0x10 : 0)
  bytes[8] = 0x03
  return bytes
}

export interface Provisioning {
  readonly thin: boolean
  /** ANC_SUP: blocks can be anchored. */
  readonly anchors: boolean
  /** Blocks of a threshold set, as a power of two; 0 where there are no thresholds. */
  readonly thresholdExponent: number
}

/** B2h: LBPU, LBPWS, LBPWS10, LBPRZ = 1, thin provisioning, all or none of them; ANC_SUP (SBC-4 §6.6.6). */
export function encodeProvisioning(peripheral: number, { thin, ...more }: Provisioning): Uint8Array {
  const bytes = newPage(peripheral, VpdPage.logicalBlockProvisioning, 4)
  bytes[4] = more.thresholdExponent
  bytes[5] = (thin ? 0xe4 : 0) | (more.anchors ? 0x02 : 0)
  bytes[6] = thin ? 0x02 : 0
  return bytes
}
