import { encodeCapacity10, encodeCapacity16 } from '../scsi/capacity.ts'
import { get32 } from '../scsi/fields.ts'
import { DeviceType, encodeInquiry, iscsiVersionDescriptor, VersionDescriptor } from '../scsi/inquiry.ts'
import type { CopyActions } from '../scsi/third-party-copy-page.ts'
import { encodeThirdPartyCopy } from '../scsi/third-party-copy-page.ts'
import { encodeReferralsPage } from '../scsi/referrals.ts'
import type { BlockLimits } from '../scsi/vpd.ts'
import {
  encodeBlockCharacteristics,
  encodeBlockLimits,
  encodeExtendedInquiry,
  encodeProvisioning,
  encodeSupportedPages,
  VpdPage,
} from '../scsi/vpd.ts'
import type { Nexus } from '../scsi/task.ts'
import { ATOMIC_BLOCKS } from './atomic-writes.ts'
import type { DiskMedium } from './disk-medium.ts'
import type { UnitIdentity } from './identity-pages.ts'
import { identityPages } from './identity-pages.ts'
import type { Operation } from './operation.ts'
import type { InquirySource } from './primary-commands.ts'
import { thresholdExponent } from './space-threshold.ts'
import type { TargetPortGroups } from './target-port-groups.ts'

/** Most blocks of one COMPARE AND WRITE: the CDB's field has one byte. */
export const COMPARE_AND_WRITE_BLOCKS = 255
/** Most blocks over all descriptors of one UNMAP. */
export const UNMAP_BLOCKS = 1024 * 1024
export const UNMAP_DESCRIPTORS = 256
/** Most blocks of one WRITE SAME: bounds how long one command can keep the store writing. */
export const WRITE_SAME_BLOCKS = 32 * 1024
/** Where a longer transfer brings nothing more. */
const OPTIMAL_TRANSFER_BYTES = 1024 * 1024

const PERIPHERAL = DeviceType.block

/** TPGS. */
const IMPLICIT_AND_EXPLICIT = 3

/** An ACA condition stops everybody's tasks, and who may only read is not to do that. */
export const mayUseAca = (nexus: Nexus): boolean => nexus.readOnly !== true

/** What a disk says of itself: INQUIRY data and its capacity. */
export class DiskInquiry implements InquirySource {
  readonly #medium: DiskMedium
  readonly #identity: Required<UnitIdentity>
  readonly #portGroups: TargetPortGroups
  readonly #copyActions: () => CopyActions
  readonly #isRemovable: boolean
  readonly #canWriteAtomic: boolean
  readonly #pages: ReadonlyMap<number, (nexus: Nexus) => Uint8Array>

  constructor(
    medium: DiskMedium,
    identity: UnitIdentity,
    portGroups: TargetPortGroups,
    traits: { readonly isRemovable: boolean; readonly canWriteAtomic: boolean },
    copyActions: () => CopyActions,
  ) {
    this.#medium = medium
    this.#copyActions = copyActions
    this.#isRemovable = traits.isRemovable
    this.#canWriteAtomic = traits.canWriteAtomic
    this.#portGroups = portGroups
    this.#identity = { vendor: 'CYGNET', product: 'Virtual Disk', revision: '1', ...identity }
    const { store } = medium
    this.#pages = new Map<number, (nexus: Nexus) => Uint8Array>([
      [VpdPage.supportedPages, () => encodeSupportedPages(PERIPHERAL, [...this.#pages.keys()])],
      ...identityPages(PERIPHERAL, identity, portGroups, store.can.volatileCache),
      [VpdPage.extendedInquiry, () => encodeExtendedInquiry(PERIPHERAL, store.can.volatileCache, true)],
      [
        VpdPage.thirdPartyCopy,
        () => encodeThirdPartyCopy(PERIPHERAL, this.#copyActions(), Math.log2(medium.blockBytes)),
      ],
      [VpdPage.blockLimits, () => encodeBlockLimits(PERIPHERAL, this.#limits())],
      [
        VpdPage.blockDeviceCharacteristics,
        () => encodeBlockCharacteristics(PERIPHERAL, medium.isThin, store.can.renewKey === true),
      ],
      [
        VpdPage.logicalBlockProvisioning,
        () =>
          encodeProvisioning(PERIPHERAL, {
            thin: medium.isThin,
            anchors: medium.canAnchor,
            thresholdExponent: medium.tellsSpace ? thresholdExponent(medium.blockBytes) : 0,
          }),
      ],
      [VpdPage.referrals, () => encodeReferralsPage(PERIPHERAL)],
    ])
  }

  standard(nexus: Nexus): Uint8Array {
    const { sam5, spc4, sbc3 } = VersionDescriptor
    return encodeInquiry({
      qualifier: 0,
      deviceType: DeviceType.block,
      removable: this.#isRemovable,
      normAca: mayUseAca(nexus),
      tpgs: IMPLICIT_AND_EXPLICIT,
      thirdPartyCopy: true,
      multiPort: this.#portGroups.groups.length > 1,
      version: 6,
      vendor: this.#identity.vendor,
      product: this.#identity.product,
      revision: this.#identity.revision,
      versionDescriptors: [sam5, spc4, sbc3, iscsiVersionDescriptor(nexus.protocolLevel)],
    })
  }

  page(page: number, nexus: Nexus): Uint8Array | undefined {
    return this.#pages.get(page)?.(nexus)
  }

  #limits(): BlockLimits {
    const { blockBytes, transferBlocks, physicalExponent, store } = this.#medium
    const trim = this.#medium.isThin
    return {
      compareAndWriteBlocks: COMPARE_AND_WRITE_BLOCKS,
      transferGranularityBlocks: 2 ** physicalExponent,
      transferBlocks,
      optimalTransferBlocks: OPTIMAL_TRANSFER_BYTES / blockBytes,
      unmapBlocks: trim ? UNMAP_BLOCKS : 0,
      unmapDescriptors: trim ? UNMAP_DESCRIPTORS : 0,
      unmapGranularityBlocks: trim ? Math.max(1, store.geometry.trimGranularityBytes / blockBytes) : 0,
      writeSameBlocks: WRITE_SAME_BLOCKS,
      writeSameNonZero: this.#medium.isThin,
      atomicBlocks: this.#canWriteAtomic ? ATOMIC_BLOCKS : 0,
      atomicGranularityBlocks: this.#canWriteAtomic ? 2 ** physicalExponent : 0,
    }
  }

  readonly readCapacity10 = (op: Operation): void => {
    op.reply(encodeCapacity10(this.#medium), 8)
  }

  readonly readCapacity16 = (op: Operation): void => {
    const { blocks, blockBytes, physicalExponent, isThin: thin } = this.#medium
    op.reply(
      encodeCapacity16({ blocks, blockBytes, physicalExponent, thin, unmappedReadsZero: thin }),
      get32(op.task.cdb, 10),
    )
  }
}
