import { CygnetError } from '../base/errors.ts'
import type { BufferPool } from '../base/pool.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { DISC_BLOCK_BYTES } from '../scsi/mmc-address.ts'
import type { SenseData } from '../scsi/sense.ts'
import { SenseKey } from '../scsi/sense.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import type { BackingStore, StoreError } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import type { TableEntry } from './command-table.ts'
import { CommandFlag, CommandTable } from './command-table.ts'
import { DeviceServer, QueueError } from './device-server.ts'
import { DiskCache } from './disk-cache.ts'
import { mayUseAca } from './disk-inquiry.ts'
import { DiskMedium } from './disk-medium.ts'
import { DiskReadWrite } from './disk-read-write.ts'
import type { UnitIdentity } from './identity-pages.ts'
import { checkIdentity } from './identity-pages.ts'
import type { NexusLoss } from './logical-unit.ts'
import { MediumDoor } from './medium-door.ts'
import { opticalCommands } from './optical-commands.ts'
import { OpticalDisc } from './optical-disc.ts'
import { OpticalEvents } from './optical-events.ts'
import { OpticalInformation } from './optical-information.ts'
import { OpticalInquiry } from './optical-inquiry.ts'
import { OpticalModes } from './optical-modes.ts'
import { OpticalRead } from './optical-read.ts'
import { reportLuns, requestSense } from './primary-commands.ts'
import { Reservations } from './reservations.ts'
import { reportSupportedOperationCodes } from './supported-opcodes.ts'
import { TargetPortGroups } from './target-port-groups.ts'

export interface OpticalUnitOptions {
  /** The image of a disc: whole blocks of 2048 bytes. It is only read. */
  readonly store: BackingStore
  /** Memory for Data-In; its blocks go with the task to the transport. */
  readonly pool: BufferPool
  readonly identity: UnitIdentity
  /** Tasks held before TASK SET FULL. Default 1024. */
  readonly taskLimit?: number
  /** What outlives power loss; without it, persistent reservations do not. */
  readonly records?: DurableRecords
  /** How the target is reached, shared by its units. Default: portal group 1, active and optimized. */
  readonly portGroups?: TargetPortGroups
}

const WRITE_PROTECTED: SenseData = { key: SenseKey.dataProtect, additional: AdditionalSense.writeProtected }

/**
 * A drive with a CD-ROM or DVD-ROM in it (MMC-6, SPC-4). The disc is the image; which of the two it is, its size says. It can be
 * ejected and loaded again, with the door of removable disks.
 */
export class OpticalUnit extends DeviceServer {
  protected readonly table: CommandTable
  readonly descriptorSense = false
  readonly queueError = QueueError.none
  readonly #medium: DiskMedium
  readonly #door: MediumDoor
  readonly #cache: DiskCache
  readonly #portGroups: TargetPortGroups
  readonly #unlist: () => void

  /**
   * @throws CygnetError `ERR_DISC_SIZE` where the store is empty or no whole number of blocks, `ERR_DISK_IDENTITY` where the
   * identity does not fit its fields, `STATE_INVALID` where the records are not understood.
   */
  constructor(options: OpticalUnitOptions) {
    super(options.taskLimit)
    const { store, pool, identity } = options
    checkSize(store.geometry.sizeBytes)
    checkIdentity(identity)
    const medium = new DiskMedium(store, pool, this.locks, { blockBytes: DISC_BLOCK_BYTES, thin: false })
    this.#medium = medium
    // Not for who loads a disc: Linux, which does when a file system is to be mounted, would then refuse to read it.
    this.#door = new MediumDoor(true, (cause) => this.attention(AdditionalSense.mediumMayHaveChanged, cause))
    this.#cache = new DiskCache(medium, this.#door)
    const portGroups = options.portGroups ?? new TargetPortGroups([[1, 'optimized']])
    this.#portGroups = portGroups
    this.#unlist = portGroups.onChange((cause) =>
      this.attention(AdditionalSense.asymmetricAccessStateChanged, cause),
    )
    const reservations = new Reservations(this, {
      records: options.records,
      relativeTargetPortIds: () => portGroups.groups,
    })
    this.gate = reservations
    const disc = new OpticalDisc(medium, this.#door)
    const readWrite = new DiskReadWrite(medium)
    this.table = new CommandTable(
      opticalCommands({
        about: new OpticalInquiry(medium, identity, portGroups),
        modes: new OpticalModes(disc),
        cache: this.#cache,
        door: this.#door,
        information: new OpticalInformation(disc),
        events: new OpticalEvents(this.#door),
        readWrite,
        discRead: new OpticalRead(medium, readWrite),
        reservations,
        portGroups,
        reportLuns: reportLuns(this.lunsReported),
        requestSense: requestSense((nexus) => this.takeAttention(nexus) ?? this.#door.refusal),
        reportOpcodes: reportSupportedOperationCodes(() => this.table),
      }),
    )
  }

  get blockSizeBytes(): number {
    return this.#medium.blockBytes
  }

  /** Capacity in logical blocks. */
  get blocks(): number {
    return this.#medium.blocks
  }

  /** As for a disk; a disc never grows. */
  remeasure(done: (error: StoreError | undefined, hasGrown: boolean) => void): void {
    done(undefined, false)
  }

  protected mayUseAca(nexus: Nexus): boolean {
    return mayUseAca(nexus)
  }

  protected refuse(entry: TableEntry, nexus: Nexus): SenseData | undefined {
    const { flags } = entry
    if (!this.#portGroups.isAllActive) {
      const refusal = this.#portGroups.refuse(entry, nexus)
      if (refusal) return refusal
    }
    if (nexus.readOnly && flags & CommandFlag.governs) return WRITE_PROTECTED
    return flags & CommandFlag.medium ? this.#door.refusal : undefined
  }

  protected onReset(): void {
    this.#door.reset()
  }

  override detachNexus(nexus: Nexus, loss: NexusLoss): void {
    super.detachNexus(nexus, loss)
    this.#door.nexusLost(nexus)
  }

  /** It also allows what the preempted prevented (SPC-5 §5.13.11.2.6). */
  override preemptTasks(nexuses: ReadonlySet<Nexus>, except: ScsiTask, done: () => void): void {
    for (const nexus of nexuses) this.#door.nexusLost(nexus)
    super.preemptTasks(nexuses, except, done)
  }

  close(done: () => void): void {
    this.#unlist()
    this.#cache.whenIdle(() => this.#medium.store.close(() => done()))
  }
}

function checkSize(sizeBytes: number): void {
  if (sizeBytes > 0 && sizeBytes % DISC_BLOCK_BYTES === 0) return
  throw new CygnetError(
    'ERR_DISC_SIZE',
    `The image is ${sizeBytes} bytes, which is not a whole number of ${DISC_BLOCK_BYTES}-byte blocks: it is no image of a CD or DVD, or was cut short.`,
  )
}
