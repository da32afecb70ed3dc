import { get8, get16, getAscii, set16, setAscii } from './fields.ts'

/** Peripheral device types (SPC-5 §6.7.2). */
export const DeviceType = {
  block: 0x00,
  tape: 0x01,
  optical: 0x05,
  mediumChanger: 0x08,
  enclosure: 0x0d,
  wellKnown: 0x1e,
  unknown: 0x1f,
} as const
export type DeviceType = (typeof DeviceType)[keyof typeof DeviceType]

/** Version descriptors (SPC-5 §6.7.2): what a unit claims to follow, without naming a revision. */
export const VersionDescriptor = {
  sam5: 0x00a0,
  spc4: 0x0460,
  sbc3: 0x04c0,
  mmc6: 0x04e0,
  iscsi: 0x0960,
} as const

/** The version descriptor of iSCSI at the protocol level that a session agreed on (RFC 7144 §4.2). */
export const iscsiVersionDescriptor = (protocolLevel = 1): number => VersionDescriptor.iscsi + protocolLevel

export interface InquiryData {
  /** Peripheral qualifier, 0..7: 0 is a connected unit, 3 says that the LUN can have none. */
  readonly qualifier: number
  readonly deviceType: number
  readonly removable: boolean
  /** NORMACA: a CDB may have NACA, and a task the ACA attribute. */
  readonly normAca: boolean
  /** TPGS: 0 knows no asymmetric access, 1 changes it implicitly, 2 explicitly, 3 both. */
  readonly tpgs: number
  /** MULTIP: the device has more than one port. */
  readonly multiPort: boolean
  /** 3PC: EXTENDED COPY and its kin. */
  readonly thirdPartyCopy: boolean
  /** VERSION: 6 is SPC-4. */
  readonly version: number
  /** 8, 16 and 4 characters of ASCII. */
  readonly vendor: string
  readonly product: string
  readonly revision: string
  readonly versionDescriptors: readonly number[]
}

/*
 * Standard INQUIRY data (SPC-5 §6.7.2):
 *    0  QUALIFIER(7-5) DEVICE TYPE(4-0)   1  RMB(7)   2  VERSION   3  NORMACA(5) HISUP(4) RESPONSE DATA FORMAT(3-0) = 2
 *    4  ADDITIONAL LENGTH   5  TPGS(5-4) 3PC(3) PROTECT(0)   6  ENCSERV(6) MULTIP(4)   7  CMDQUE(1)
 *    8  VENDOR (8)   16  PRODUCT (16)   32  REVISION (4)   58  VERSION DESCRIPTORS (8 x 2)
 */
const STANDARD_INQUIRY_BYTES = 74

export function encodeInquiry(data: InquiryData): Uint8Array {
  const bytes = new Uint8Array(STANDARD_INQUIRY_BYTES)
  bytes[0] = (data.qualifier << 5) | data.deviceType
  bytes[1] = data.removable ? 0x80 : 0
  bytes[2] = data.version
  bytes[3] = data.normAca ? 0x32 : 0x12
  bytes[4] = STANDARD_INQUIRY_BYTES - 5
  bytes[5] = (data.tpgs << 4) | (data.thirdPartyCopy ? 0x08 : 0)
  bytes[6] = data.multiPort ? 0x10 : 0
  bytes[7] = 0x02
  setAscii(bytes, 8, 8, data.vendor)
  setAscii(bytes, 16, 16, data.product)
  setAscii(bytes, 32, 4, data.revision)
  for (const [i, descriptor] of data.versionDescriptors.slice(0, 8).entries()) {
    set16(bytes, 58 + 2 * i, descriptor)
  }
  return bytes
}

/** Undefined where less than the 36 mandatory bytes came. */
export function decodeInquiry(bytes: Uint8Array): InquiryData | undefined {
  if (bytes.length < 36) return undefined
  const versionDescriptors: number[] = []
  for (let at = 58; at + 2 <= Math.min(bytes.length, STANDARD_INQUIRY_BYTES, 5 + get8(bytes, 4)); at += 2) {
    if (get16(bytes, at) !== 0) versionDescriptors.push(get16(bytes, at))
  }
  return {
    qualifier: get8(bytes, 0) >>> 5,
    deviceType: get8(bytes, 0) & 0x1f,
    removable: (get8(bytes, 1) & 0x80) !== 0,
    normAca: (get8(bytes, 3) & 0x20) !== 0,
    tpgs: (get8(bytes, 5) >>> 4) & 3,
    thirdPartyCopy: (get8(bytes, 5) & 0x08) !== 0,
    multiPort: (get8(bytes, 6) & 0x10) !== 0,
    version: get8(bytes, 2),
    vendor: getAscii(bytes, 8, 8),
    product: getAscii(bytes, 16, 16),
    revision: getAscii(bytes, 32, 4),
    versionDescriptors,
  }
}
