import { CygnetError } from '../base/errors.ts'
import type { BufferPool } from '../base/pool.ts'
import { AdditionalSense } from '../scsi/additional-sense.ts'
import { Opcode } from '../scsi/opcodes.ts'
import type { SenseData } from '../scsi/sense.ts'
import { SenseKey } from '../scsi/sense.ts'
import type { Nexus, ScsiTask } from '../scsi/task.ts'
import type { CopyActions } from '../scsi/third-party-copy-page.ts'
import type { BackingStore, StoreError } from '../store/backing-store.ts'
import type { DurableRecords } from '../store/durable-records.ts'
import { AtomicWrites } from './atomic-writes.ts'
import type { TableEntry } from './command-table.ts'
import type { NexusLoss } from './logical-unit.ts'
import { CommandFlag, CommandTable } from './command-table.ts'
import type { QueueError } from './device-server.ts'
import { DeviceServer } from './device-server.ts'
import { DiskAtomic } from './disk-atomic.ts'
import { DiskCache } from './disk-cache.ts'
import { diskCommands } from './disk-commands.ts'
import { CopyTokens } from './copy-tokens.ts'
import { CopyUnits } from './copy-units.ts'
import { ExtendedCopy } from './extended-copy.ts'
import { DiskInquiry, mayUseAca } from './disk-inquiry.ts'
import { DiskLbaStatus } from './disk-lba-status.ts'
import { DiskMedium } from './disk-medium.ts'
import { DiskModes } from './disk-modes.ts'
import { DiskProvisioning } from './disk-provisioning.ts'
import { DiskReadWrite } from './disk-read-write.ts'
import { DiskVerify } from './disk-verify.ts'
import { DiskXor } from './disk-xor.ts'
import { LogPages } from './log-pages.ts'
import { LogSelect } from './log-select.ts'
import { FormatUnit } from './format-unit.ts'
import type { UnitIdentity } from './identity-pages.ts'
import { checkIdentity, designatorsOf } from './identity-pages.ts'
import { MediumChanges } from './medium-changes.ts'
import { MediumDoor } from './medium-door.ts'
import { reportLuns, requestSense } from './primary-commands.ts'
import { Reservations } from './reservations.ts'
import { Sanitize } from './sanitize.ts'
import { SpaceThreshold, thresholdCount } from './space-threshold.ts'
import { reportSupportedOperationCodes } from './supported-opcodes.ts'
import { TargetPortGroups } from './target-port-groups.ts'
import { UnitInformation } from './unit-information.ts'
import { WholeMediumJob } from './whole-medium-job.ts'

export interface DiskUnitOptions {
  readonly store: BackingStore
  /** Memory for Data-In; its blocks go with the task to the transport. */
  readonly pool: BufferPool
  readonly identity: UnitIdentity
  /** Default 512. */
  readonly blockSizeBytes?: 512 | 2048 | 4096
  /** Refuse writes. Also where the store cannot write. Default false. */
  readonly readOnly?: boolean
  /** Start with WCE = 1 where the store has a volatile cache; otherwise every write is on stable storage. Default true. */
  readonly writeCache?: boolean
  /** Initiators of a thin disk hear when less is left for it to grow into. Default 0: only where they ask for it. */
  readonly spaceWarningBytes?: number
  /** False: UNMAP is not offered, even where the store can release space. Default true. */
  readonly thin?: boolean
  /** Bytes of a physical block, a power of two from the logical block's size. Default: what the store says. */
  readonly physicalBlockBytes?: number
  /** The medium can be ejected and loaded again. Default false. */
  readonly removable?: boolean
  /** Milliseconds since 1970, for REPORT TIMESTAMP. Default: always 0. */
  readonly now?: () => number
  /** With whom third-party copies can be. Default: itself only, and without tokens. */
  readonly copyUnits?: CopyUnits
  /** Tasks held before TASK SET FULL. Default 1024. */
  readonly taskLimit?: number
  /** What outlives power loss beside the data; without it, persistent reservations do not. */
  readonly records?: DurableRecords
  /** How the target is reached, shared by its units. Default: portal group 1, active and optimized. */
  readonly portGroups?: TargetPortGroups
}

const NOT_STARTED: SenseData = {
  key: SenseKey.notReady,
  additional: AdditionalSense.notReadyInitializingCommandRequired,
}
const WRITE_PROTECTED: SenseData = { key: SenseKey.dataProtect, additional: AdditionalSense.writeProtected }
const SOFTWARE_PROTECTED: SenseData = {
  key: SenseKey.dataProtect,
  additional: AdditionalSense.softwareWriteProtected,
}

/** A direct access block device (SBC-3, SPC-4) over a store. */
export class DiskUnit extends DeviceServer {
  protected readonly table: CommandTable
  readonly #medium: DiskMedium
  readonly #modes: DiskModes
  readonly #space: SpaceThreshold
  readonly #cache: DiskCache
  readonly #door: MediumDoor
  readonly #changes: MediumChanges
  readonly #atomicWrites: AtomicWrites
  readonly #portGroups: TargetPortGroups
  readonly #unlist: () => void
  readonly #readOnly: boolean
  #isClosed = false

  /**
   * @throws CygnetError `ERR_DISK_SIZE` where the store is empty or no whole number of blocks, `ERR_DISK_IDENTITY` where
   * the identity does not fit its fields, `STATE_INVALID` where the records are not understood.
   */
  constructor(options: DiskUnitOptions) {
    super(options.taskLimit)
    const { store, blockSizeBytes = 512 } = options
    checkSize(store.geometry.sizeBytes, blockSizeBytes)
    checkIdentity(options.identity)
    this.#readOnly = options.readOnly === true || !store.can.write
    const medium = new DiskMedium(store, options.pool, this.locks, {
      ...options,
      blockBytes: blockSizeBytes,
    })
    if (options.writeCache === false) medium.writeCache = false
    this.#medium = medium
    this.#modes = new DiskModes(
      medium,
      this.#readOnly,
      options.records,
      (cause) => {
        this.attention(AdditionalSense.modeParametersChanged, cause)
        this.#space.judge()
      },
      medium.tellsSpace ? thresholdCount(options.spaceWarningBytes ?? 0) : undefined,
    )
    this.#space = new SpaceThreshold(
      medium,
      () => this.#modes.thresholdCount,
      () => this.attention(AdditionalSense.softThresholdReached),
    )
    this.#door = new MediumDoor(options.removable === true, (cause) =>
      this.attention(AdditionalSense.mediumMayHaveChanged, cause),
    )
    this.#cache = new DiskCache(medium, this.#door)
    this.#changes = new MediumChanges(
      medium,
      new WholeMediumJob(medium, this.newOperation()),
      options.records,
    )
    this.#atomicWrites = new AtomicWrites(medium, this.newOperation(), options.records)
    const canWriteAtomic = store.can.atomicWrites === true || options.records !== undefined
    const portGroups = options.portGroups ?? new TargetPortGroups([[1, 'optimized']])
    this.#portGroups = portGroups
    const unhear = portGroups.onChange((cause) =>
      this.attention(AdditionalSense.asymmetricAccessStateChanged, cause),
    )
    const reservations = new Reservations(this, {
      records: options.records,
      relativeTargetPortIds: () => portGroups.groups,
    })
    this.gate = reservations
    const copyUnits = options.copyUnits ?? new CopyUnits(() => new Uint8Array(0))
    const copy = new ExtendedCopy(copyUnits, Math.log2(blockSizeBytes))
    const about = new DiskInquiry(
      medium,
      options.identity,
      portGroups,
      { isRemovable: this.#door.isRemovable, canWriteAtomic },
      () => copyActionsOf(this.table),
    )
    copyUnits.add(this, designatorsOf(options.identity))
    this.#unlist = () => {
      unhear()
      copyUnits.remove(this)
    }
    this.table = new CommandTable(
      diskCommands({
        medium,
        about,
        modes: this.#modes,
        cache: this.#cache,
        readWrite: new DiskReadWrite(medium),
        verify: new DiskVerify(medium),
        atomic: new DiskAtomic(medium),
        provisioning: new DiskProvisioning(medium),
        lbaStatus: new DiskLbaStatus(medium),
        xor: new DiskXor(medium),
        door: this.#door,
        sanitize: new Sanitize(medium, this.#changes),
        format: new FormatUnit(medium, this.#changes),
        atomicWrites: canWriteAtomic ? this.#atomicWrites : undefined,
        copy,
        tokens: options.copyUnits && new CopyTokens(this, copyUnits, copy),
        logs: new LogPages(medium.counters, medium.tellsSpace ? this.#space : undefined),
        logSelect: new LogSelect(medium.counters, (cause) =>
          this.attention(AdditionalSense.logParametersChanged, cause),
        ),
        information: new UnitInformation(options.now ?? (() => 0), options.records, (what, cause) =>
          this.attention(what, cause),
        ),
        canRenewKey: store.can.renewKey === true,
        canUnmap: medium.isThin,
        canAnchor: medium.canAnchor,
        reservations,
        portGroups,
        reportLuns: reportLuns(this.lunsReported),
        requestSense: requestSense((nexus) => this.#currentSense(nexus)),
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

  /**
   * Looks whether the store has grown, and tells every initiator where it has (CAPACITY DATA HAS CHANGED). `done` with
   * whether it has.
   */
  remeasure(done: (error: StoreError | undefined, hasGrown: boolean) => void): void {
    const { store } = this.#medium
    if (!store.remeasure) return done(undefined, false)
    store.remeasure((error) => {
      const hasGrown = !error && this.#medium.grow()
      if (hasGrown) this.attention(AdditionalSense.capacityDataChanged)
      done(error, hasGrown)
    })
  }

  /**
   * Looks how much space a thin disk has left, and tells every initiator where a threshold is reached. False where nobody can
   * tell, or the disk is closed.
   */
  checkSpace(): boolean {
    if (!this.#medium.tellsSpace || this.#isClosed) return false
    this.#space.look(() => undefined)
    return true
  }

  get descriptorSense(): boolean {
    return this.#modes.descriptorSense
  }

  get queueError(): QueueError {
    return this.#modes.queueError
  }

  protected mayUseAca(nexus: Nexus): boolean {
    return mayUseAca(nexus)
  }

  protected override deferredError(): SenseData | undefined {
    return this.#cache.deferredError
  }

  protected refuse(entry: TableEntry, nexus: Nexus): SenseData | undefined {
    const { flags } = entry
    if (!this.#portGroups.isAllActive) {
      const refusal = this.#portGroups.refuse(entry, nexus)
      if (refusal) return refusal
    }
    if (nexus.readOnly && flags & CommandFlag.governs) return WRITE_PROTECTED
    if (!this.#changes.isOrdinary) {
      const refusal = this.#changes.refuse(flags)
      if (refusal) return refusal
    }
    if (!(flags & CommandFlag.medium)) return undefined
    if (!this.#door.isLoaded) return this.#door.refusal
    if (this.#cache.stopped) return NOT_STARTED
    const deferred = this.#cache.takeDeferredError()
    if (deferred) return deferred
    if (!(flags & CommandFlag.write)) return undefined
    if (this.#readOnly || nexus.readOnly) return WRITE_PROTECTED
    return this.#modes.softwareProtect ? SOFTWARE_PROTECTED : undefined
  }

  #currentSense(nexus: Nexus): SenseData | undefined {
    const attention = this.takeAttention(nexus)
    if (attention) return attention
    const refusal = this.#changes.refusal ?? this.#door.refusal
    if (refusal) return refusal
    return this.#cache.stopped ? NOT_STARTED : this.#cache.takeDeferredError()
  }

  protected onReset(): void {
    this.#modes.reset()
    this.#door.reset()
    this.#cache.stopped = false
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
    this.#isClosed = true
    this.#unlist()
    const closeStore = (): void => this.#medium.store.close(() => done())
    this.#changes.close(() => this.#atomicWrites.close(() => this.#cache.whenIdle(closeStore)))
  }
}

/** What the third-party copy page says of the commands for it. */
function copyActionsOf({ entries }: CommandTable): CopyActions {
  const actions = new Map<number, number[]>()
  for (const { opcode, serviceAction } of entries) {
    if (opcode !== Opcode.thirdPartyCopyOut && opcode !== Opcode.thirdPartyCopyIn) continue
    actions.set(opcode, [...(actions.get(opcode) ?? []), serviceAction ?? 0])
  }
  return actions
}

function checkSize(sizeBytes: number, blockBytes: number): void {
  if (sizeBytes > 0 && sizeBytes % blockBytes === 0) return
  const nextBytes = Math.max(1, Math.ceil(sizeBytes / blockBytes)) * blockBytes
  throw new CygnetError(
    'ERR_DISK_SIZE',
    `The image is ${sizeBytes} bytes, which is not a whole number of ${blockBytes}-byte blocks: make it a multiple ` +
      `with "truncate -s ${nextBytes} IMAGE"${blockBytes > 512 ? ', or use 512-byte blocks' : ''}.`,
  )
}
