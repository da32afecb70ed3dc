import { encodeCapacity10, encodeCapacity16 } from '../scsi/capacity.ts'
import { get32 } from '../scsi/fields.ts'
import { DeviceType, encodeInquiry, iscsiVersionDescriptor, VersionDescriptor } from '../scsi/inquiry.ts'
import type { Nexus } from '../scsi/task.ts'
import { encodeSupportedPages, VpdPage } from '../scsi/vpd.ts'
import { mayUseAca } from './disk-inquiry.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { UnitIdentity } from './identity-pages.ts'
import { identityPages } from './identity-pages.ts'
import type { Operation } from './operation.ts'
import type { InquirySource } from './primary-commands.ts'
import type { TargetPortGroups } from './target-port-groups.ts'

const PERIPHERAL = DeviceType.optical
/** TPGS. */
const IMPLICIT_AND_EXPLICIT = 3

/** What a CD/DVD drive says of itself and of the size of its disc. */
export class OpticalInquiry implements InquirySource {
  readonly #medium: DiskMedium
  readonly #identity: Required<UnitIdentity>
  readonly #portGroups: TargetPortGroups
  readonly #pages: ReadonlyMap<number, (nexus: Nexus) => Uint8Array>

  constructor(medium: DiskMedium, identity: UnitIdentity, portGroups: TargetPortGroups) {
    this.#medium = medium
    this.#portGroups = portGroups
    this.#identity = { vendor: 'CYGNET', product: 'Virtual CD/DVD', revision: '1', ...identity }
    this.#pages = new Map<number, (nexus: Nexus) => Uint8Array>([
      [VpdPage.supportedPages, () => encodeSupportedPages(PERIPHERAL, [...this.#pages.keys()])],
      ...identityPages(PERIPHERAL, identity, portGroups, false),
    ])
  }

  standard(nexus: Nexus): Uint8Array {
    const { vendor, product, revision } = this.#identity
    const { sam5, spc4, mmc6 } = VersionDescriptor
    return encodeInquiry({
      qualifier: 0,
      deviceType: PERIPHERAL,
      removable: true,
      normAca: mayUseAca(nexus),
      tpgs: IMPLICIT_AND_EXPLICIT,
      thirdPartyCopy: false,
      multiPort: this.#portGroups.groups.length > 1,
      version: 6,
      vendor,
      product,
      revision,
      versionDescriptors: [sam5, spc4, mmc6, iscsiVersionDescriptor(nexus.protocolLevel)],
    })
  }

  page(page: number, nexus: Nexus): Uint8Array | undefined {
    return this.#pages.get(page)?.(nexus)
  }

  readonly readCapacity10 = (op: Operation): void => op.reply(encodeCapacity10(this.#medium), 8)

  /** Not of MMC: for initiators that ask every device for it. */
  readonly readCapacity16 = (op: Operation): void => {
    const { blocks, blockBytes } = this.#medium
    const capacity = { blocks, blockBytes, physicalExponent: 0, thin: false, unmappedReadsZero: false }
    op.reply(encodeCapacity16(capacity), get32(op.task.cdb, 10))
  }
}
