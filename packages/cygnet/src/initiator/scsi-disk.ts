import type { ScsiStatusResult } from '../session/initiator-role/scsi-request.ts'
import {
  type BlockDevice,
  checkAligned,
  type DeviceCapabilities,
  type DeviceEvent,
  DeviceEvents,
  type DeviceExtent,
  type RequestOptions,
  unknownExtent,
  type WriteOptions,
  type ZeroOptions,
} from './block-device.ts'
import { BlockDeviceError } from './block-device-error.ts'
import { checkBytes, checkFill, checkRequest, checkWritable, readLength } from './device-requests.ts'
import { DiskCommands } from './disk-commands.ts'
import {
  type DiskFacts,
  optional,
  readCapacity,
  readFacts,
  readIdentity,
  readModes,
  unitName,
} from './disk-facts.ts'
import { DirectTransfers } from './direct-transfers.ts'
import { DiskTransfers } from './disk-transfers.ts'
import { DiskZeroes } from './disk-zeroes.ts'
import { readRange, touched, within, writeRange } from './partial-blocks.ts'
import { RangeOrder } from './range-order.ts'
import { checkCommand } from './check-command.ts'
import type { ScsiCommand } from './scsi-executor.ts'
import { ScsiUnit, type ScsiUnitOptions, type UnitCommand } from './scsi-unit.ts'
import { eventOf, refreshOf } from './unit-attentions.ts'

export interface ScsiDiskOptions extends ScsiUnitOptions {
  /** Refuse to write. Default: as the unit says. */
  readonly readOnly?: boolean
  /** Most bytes of one command, 4 KiB or more. Default: 1 MiB, or less where the unit takes less. */
  readonly maxTransferBytes?: number
  /** Lets go of what carries the commands: those under way fail. Never rejects. */
  readonly release?: () => Promise<void>
  /** False while no way to the unit works, and commands wait for one. `ScsiDisk.report` tells of each change. Default: never. */
  readonly isUp?: () => boolean
}

const DEFAULT_TRANSFER_BYTES = 1024 * 1024
/** A unit that reports changes whenever it is asked about them is broken. */
const REFRESH_LIMIT = 8

/** A logical unit with direct access blocks, as a block device. */
export class ScsiDisk implements BlockDevice {
  readonly #options: ScsiDiskOptions
  readonly #unit: ScsiUnit
  readonly #commands: DiskCommands
  readonly #zeroes: DiskZeroes
  readonly #transfers: DiskTransfers
  readonly #direct: DirectTransfers
  readonly #order = new RangeOrder()
  readonly #events = new DeviceEvents()
  #facts: DiskFacts
  #knowsExtents = true
  #refreshing: Promise<void> | undefined
  #mustRefreshAgain = false
  #closing: Promise<void> | undefined
  /** Ends the wait of `close`. */
  #stopWaiting: (() => void) | undefined

  private constructor(options: ScsiDiskOptions, unit: ScsiUnit, facts: DiskFacts) {
    const { blockBytes } = facts.capacity
    this.#options = options
    this.#unit = unit
    this.#facts = facts
    this.#commands = new DiskCommands(unit, blockBytes)
    this.#zeroes = new DiskZeroes(this.#commands, facts)
    const ownLimit = Math.floor((options.maxTransferBytes ?? DEFAULT_TRANSFER_BYTES) / blockBytes)
    const transferBlocks = Math.max(1, Math.min(facts.limits?.transferBlocks || Infinity, ownLimit))
    this.#transfers = new DiskTransfers(this.#commands, blockBytes, transferBlocks, () => this.#facts)
    this.#direct = new DirectTransfers(
      unit,
      this.#commands,
      this.#order,
      blockBytes,
      transferBlocks * blockBytes,
    )
    unit.onAttention = (additional, isRefresh) => this.#attention(additional, isRefresh)
  }

  /**
   * Waits until the unit is ready and asks what it is.
   * @throws {BlockDeviceError} NO_DEVICE, NOT_READY, and as every request
   */
  static async open(options: ScsiDiskOptions, signal?: AbortSignal): Promise<ScsiDisk> {
    const unit = new ScsiUnit(options)
    return new ScsiDisk(options, unit, await readFacts(unit, signal))
  }

  /** All that the unit says about itself. */
  get facts(): DiskFacts {
    return this.#facts
  }
  get lun(): number {
    return this.#unit.lun
  }
  get sizeBytes(): number {
    return this.#facts.capacity.blocks * this.blockSizeBytes
  }
  get blockSizeBytes(): number {
    return this.#facts.capacity.blockBytes
  }
  /** False while no way to the unit works: requests wait for one. */
  get isUp(): boolean {
    return this.#options.isUp?.() ?? true
  }
  get readOnly(): boolean {
    return this.#options.readOnly === true || this.#facts.writeProtected
  }
  get description(): string {
    const { vendor, product } = this.#facts.identity.inquiry
    return `${vendor} ${product}`.trim()
  }
  get can(): DeviceCapabilities {
    const { limits, provisioning, writeCache } = this.#facts
    const block = this.blockSizeBytes
    return {
      volatileCache: writeCache !== false,
      unmap: provisioning?.unmap === true,
      writeZeroes: this.#zeroes.isCheap,
      extents: this.#knowsExtents,
      compareAndWriteBytes: (limits?.compareAndWriteBlocks ?? 0) * block,
      unmapGranularityBytes: (limits?.unmapGranularityBlocks || 1) * block,
      optimalBytes:
        Math.min(limits?.optimalTransferBlocks || Infinity, this.#transfers.transferBlocks) * block,
    }
  }

  read(offset: number, target: number | Uint8Array, options: RequestOptions = {}): Promise<Uint8Array> {
    const lengthBytes = typeof target === 'number' ? target : bytesOf(target)
    if (options.signal !== undefined || !this.#direct.takes(offset, lengthBytes))
      return this.#readRange(offset, target, options)
    return new Promise((resolve, reject) => {
      this.#check(offset, lengthBytes)
      const into = typeof target === 'number' ? new Uint8Array(lengthBytes) : target
      this.#direct.transfer(offset, into, false, resolve, reject)
    })
  }

  write(offset: number, bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    if (options.signal !== undefined || options.fua === true || !this.#direct.takes(offset, bytesOf(bytes)))
      return this.#writeRange(offset, bytes, options)
    return new Promise((resolve, reject) => {
      checkBytes(bytes, 'What is written')
      this.#check(offset, bytes.length)
      checkWritable(this)
      this.#direct.transfer(offset, bytes, true, () => resolve(), reject)
    })
  }

  async #readRange(
    offset: number,
    target: number | Uint8Array,
    { signal }: RequestOptions,
  ): Promise<Uint8Array> {
    const lengthBytes = readLength(target)
    this.#check(offset, lengthBytes)
    const into = typeof target === 'number' ? new Uint8Array(lengthBytes) : target
    if (lengthBytes === 0) return into
    const { start, end } = touched(this.blockSizeBytes, offset, lengthBytes)
    await this.#order.run(start, end, false, () => readRange(this.#transfers, offset, into, signal))
    return into
  }

  async #writeRange(offset: number, bytes: Uint8Array, { signal, fua = false }: WriteOptions): Promise<void> {
    checkBytes(bytes, 'What is written')
    this.#check(offset, bytes.length)
    checkWritable(this)
    if (bytes.length === 0) return
    const { start, end } = touched(this.blockSizeBytes, offset, bytes.length)
    await this.#order.run(start, end, true, () => writeRange(this.#transfers, offset, bytes, fua, signal))
  }

  async flush({ signal }: RequestOptions = {}): Promise<void> {
    this.#check(0, 0)
    await this.#transfers.makeDurable(0, 0, signal)
  }

  async unmap(offset: number, lengthBytes: number, { signal }: RequestOptions = {}): Promise<void> {
    this.#check(offset, lengthBytes)
    checkWritable(this)
    if (!this.can.unmap)
      throw new BlockDeviceError('NOT_SUPPORTED', 'The device cannot release space: it has no UNMAP.')
    const block = this.blockSizeBytes
    const { start, end } = within(block, offset, lengthBytes)
    if (start >= end) return
    await this.#order.run(start, end, true, () => this.#zeroes.unmap(start / block, end / block, signal))
  }

  async writeZeroes(offset: number, lengthBytes: number, options: ZeroOptions = {}): Promise<void> {
    const { signal, fua = false, mayUnmap = true } = options
    this.#check(offset, lengthBytes)
    checkWritable(this)
    if (lengthBytes === 0) return
    const block = this.blockSizeBytes
    const transfers = this.#transfers
    const whole = within(block, offset, lengthBytes)
    const { start, end } = touched(block, offset, lengthBytes)
    await this.#order.run(start, end, true, async () => {
      if (whole.start >= whole.end)
        return writeRange(transfers, offset, new Uint8Array(lengthBytes), fua, signal)
      await this.#zeroes.zero(whole.start / block, whole.end / block, mayUnmap, signal)
      const head = new Uint8Array(whole.start - offset)
      const tail = new Uint8Array(offset + lengthBytes - whole.end)
      if (head.length > 0) await writeRange(transfers, offset, head, false, signal)
      if (tail.length > 0) await writeRange(transfers, whole.end, tail, false, signal)
      if (fua) await transfers.makeDurable(start, end, signal)
    })
  }

  async writeSame(
    offset: number,
    lengthBytes: number,
    block: Uint8Array,
    { signal, fua = false }: WriteOptions = {},
  ): Promise<void> {
    this.#check(offset, lengthBytes)
    checkWritable(this)
    checkFill(this, offset, lengthBytes, block)
    if (lengthBytes === 0) return
    const [lba, lbaEnd] = [offset / block.length, (offset + lengthBytes) / block.length]
    await this.#order.run(offset, offset + lengthBytes, true, async () => {
      await this.#zeroes.fill(lba, lbaEnd, block, false, signal)
      if (fua) await this.#transfers.makeDurable(offset, offset + lengthBytes, signal)
    })
  }

  async compareAndWrite(
    offset: number,
    expected: Uint8Array,
    bytes: Uint8Array,
    { signal }: RequestOptions = {},
  ): Promise<void> {
    checkBytes(expected, 'What is compared with')
    checkBytes(bytes, 'What is written')
    this.#check(offset, bytes.length)
    checkWritable(this)
    checkAligned(this.blockSizeBytes, offset, bytes.length)
    const most = this.can.compareAndWriteBytes
    if (expected.length !== bytes.length || bytes.length > most) {
      throw most === 0
        ? new BlockDeviceError('NOT_SUPPORTED', 'The device has no COMPARE AND WRITE.')
        : new BlockDeviceError('ARGUMENT_INVALID', `Give twice the same length, of at most ${most} bytes.`)
    }
    if (bytes.length === 0) return
    const lba = offset / this.blockSizeBytes
    await this.#order.run(offset, offset + bytes.length, true, () =>
      this.#commands.compareAndWrite(lba, expected, bytes, signal),
    )
  }

  async extents(
    offset: number,
    lengthBytes: number,
    { signal }: RequestOptions = {},
  ): Promise<readonly DeviceExtent[]> {
    this.#check(offset, lengthBytes)
    if (!this.#knowsExtents || lengthBytes === 0) return unknownExtent(offset, lengthBytes)
    const block = this.blockSizeBytes
    const runs = await optional(this.#commands.lbaStatus(Math.floor(offset / block), signal))
    if (runs === undefined) {
      this.#knowsExtents = false
      return unknownExtent(offset, lengthBytes)
    }
    const isZero = this.#facts.provisioning?.unmappedReadsZero ?? this.#facts.capacity.unmappedReadsZero
    const extents: DeviceExtent[] = []
    let at = offset
    for (const { lba, blocks, status } of runs) {
      const to = Math.min((lba + blocks) * block, offset + lengthBytes)
      // A run that does not go on where the last one ended says nothing.
      if (lba * block > at || to <= at) break
      const kind = status === 0 ? 'data' : 'hole'
      extents.push({ offset: at, lengthBytes: to - at, kind, isZero: kind === 'hole' && isZero })
      at = to
    }
    return extents.length > 0 ? extents : unknownExtent(offset, lengthBytes)
  }

  /**
   * Any SCSI command to this unit. Whatever status the unit answers with is a result, and so is data of another length than was
   * expected (the residuals tell). Nothing is sent again, and nothing is kept apart from the other requests.
   * @throws {CygnetError} ARGUMENT_INVALID where it cannot be sent, DEVICE_CLOSED; what `Session.execute` throws
   */
  async execute(command: Omit<ScsiCommand, 'lun'>): Promise<ScsiStatusResult> {
    this.#check(0, 0)
    checkCommand(command)
    return this.#options.executor.execute({ ...command, lun: this.lun })
  }

  /**
   * Any SCSI command to this unit, sent again after unit attentions and while the unit is busy, as all others are.
   * @throws {BlockDeviceError} what the unit or the session said
   */
  async command(command: UnitCommand): Promise<ScsiStatusResult> {
    this.#check(0, 0)
    return this.#unit.run(command)
  }

  onEvent(listener: (event: DeviceEvent) => void): () => void {
    return this.#events.add(listener)
  }

  /** For what carries the commands: news of paths. */
  report(event: DeviceEvent): void {
    if (!this.isUp) this.#stopWaiting?.()
    this.#events.emit(event)
  }

  /** As `BlockDevice.close`. Requests that wait for a lost way to the unit are not waited for: they fail with SESSION_CLOSED. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    const settled = this.#settle()
    await Promise.race([settled, new Promise<void>((resolve) => this.#waitNoLongerThan(resolve))])
    await this.#options.release?.()
    await settled
  }

  /** Until what is under way has ended, and what was written is durable. Never rejects. */
  async #settle(): Promise<void> {
    await this.#order.idle()
    // What was not flushed before may be lost, as it may by any crash: who must know calls flush.
    if (!this.readOnly && this.#unit.failure === undefined)
      await this.#transfers.makeDurable(0, 0, undefined).catch(() => undefined)
  }

  /** Calls back when there is no way to the unit. */
  #waitNoLongerThan(isLost: () => void): void {
    this.#stopWaiting = isLost
    if (!this.isUp) isLost()
  }

  /** @throws {BlockDeviceError} DEVICE_CLOSED, PAST_END, ARGUMENT_INVALID, and why the device failed */
  #check(offset: number, lengthBytes: number): void {
    if (this.#unit.failure && !this.#closing) throw this.#unit.failure
    checkRequest(this, this.#closing !== undefined, offset, lengthBytes)
  }

  /** A unit attention: told, and looked into before anything goes on. */
  async #attention(additional: number, isRefresh: boolean): Promise<void> {
    this.#events.emit(eventOf(additional))
    if (refreshOf(additional) === 'nothing') return
    this.#mustRefreshAgain = true
    // The refresh that met it begins anew when it is through.
    if (isRefresh) return
    this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = undefined))
    await this.#refreshing
  }

  /** Asks again what may have changed. Another unit in the place of this one ends its use. */
  async #refresh(): Promise<void> {
    /* oxlint-disable no-await-in-loop -- another round where something changed meanwhile */
    for (let round = 0; this.#mustRefreshAgain && round < REFRESH_LIMIT; round++) {
      this.#mustRefreshAgain = false
      const identity = await readIdentity(this.#unit)
      const capacity = await readCapacity(this.#unit)
      const modes = await readModes(this.#unit, identity)
      const isOther = unitName(identity) !== unitName(this.#facts.identity)
      if (isOther || capacity.blockBytes !== this.blockSizeBytes) this.#fail(isOther)
      const { sizeBytes } = this
      this.#facts = { ...this.#facts, ...modes, identity, capacity }
      if (this.sizeBytes !== sizeBytes)
        this.#events.emit({ kind: 'capacity-changed', sizeBytes: this.sizeBytes })
    }
    /* oxlint-enable no-await-in-loop */
  }

  #fail(isOther: boolean): never {
    const error = new BlockDeviceError(
      'DEVICE_CHANGED',
      isOther
        ? `There is another disk at LUN ${this.lun} now: look at the target's configuration, and connect again.`
        : 'The size of its blocks has changed: connect again.',
    )
    this.#unit.failure = error
    this.#events.emit({ kind: 'failed', error })
    throw error
  }
}

/** Of what is no Uint8Array, 0: the long way refuses it. */
const bytesOf = (bytes: unknown): number => (bytes instanceof Uint8Array ? bytes.length : 0)
