import type { ScsiResult } from '../session/scsi-request.ts'
import {
  type BlockDevice,
  checkAligned,
  checkRange,
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
import { DiskZeroes } from './disk-zeroes.ts'
import { inParts } from './in-parts.ts'
import { RangeOrder } from './range-order.ts'
import type { ScsiCommand } from './scsi-executor.ts'
import { ScsiUnit, type ScsiUnitOptions } from './scsi-unit.ts'
import { eventOf, refreshOf } from './unit-attentions.ts'

export interface ScsiDiskOptions extends ScsiUnitOptions {
  /** Refuse to write. Default: as the unit says. */
  readonly readOnly?: boolean
  /** Most bytes of one command, 4 KiB or more. Default: 1 MiB, or less where the unit takes less. */
  readonly maxTransferBytes?: number
  /** Lets go of what carries the commands. Never rejects. */
  readonly release?: () => Promise<void>
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
  readonly #transferBlocks: number
  readonly #order = new RangeOrder()
  readonly #events = new DeviceEvents()
  #facts: DiskFacts
  #knowsExtents = true
  #failure: BlockDeviceError | undefined
  #refreshing: Promise<void> | undefined
  #mustRefreshAgain = false
  #closing: Promise<void> | undefined

  private constructor(options: ScsiDiskOptions, unit: ScsiUnit, facts: DiskFacts) {
    const { blockBytes } = facts.capacity
    this.#options = options
    this.#unit = unit
    this.#facts = facts
    this.#commands = new DiskCommands(unit, blockBytes)
    this.#zeroes = new DiskZeroes(this.#commands, facts)
    this.#transferBlocks = Math.max(
      1,
      Math.min(
        facts.limits?.transferBlocks || Infinity,
        Math.floor((options.maxTransferBytes ?? DEFAULT_TRANSFER_BYTES) / blockBytes),
      ),
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
      optimalBytes: Math.min(limits?.optimalTransferBlocks || Infinity, this.#transferBlocks) * block,
    }
  }

  async read(
    offset: number,
    target: number | Uint8Array,
    { signal }: RequestOptions = {},
  ): Promise<Uint8Array> {
    const lengthBytes = typeof target === 'number' ? target : target.length
    this.#check(offset, lengthBytes)
    const into = typeof target === 'number' ? new Uint8Array(lengthBytes) : target
    if (lengthBytes === 0) return into
    const { start, end } = this.#bounds(offset, lengthBytes)
    await this.#order.run(start, end, false, async () => {
      if (end - start === lengthBytes) return this.#readBlocks(start, into, signal)
      const whole = new Uint8Array(end - start)
      await this.#readBlocks(start, whole, signal)
      into.set(whole.subarray(offset - start, offset - start + lengthBytes))
    })
    return into
  }

  async write(offset: number, bytes: Uint8Array, { signal, fua = false }: WriteOptions = {}): Promise<void> {
    this.#check(offset, bytes.length)
    this.#checkWritable()
    if (bytes.length === 0) return
    const { start, end } = this.#bounds(offset, bytes.length)
    await this.#order.run(start, end, true, () => this.#writeRange(offset, bytes, fua, signal))
  }

  async flush({ signal }: RequestOptions = {}): Promise<void> {
    this.#check(0, 0)
    if (this.#facts.writeCache === false) return
    await optional(this.#commands.synchronizeCache(0, 0, signal))
  }

  async unmap(offset: number, lengthBytes: number, { signal }: RequestOptions = {}): Promise<void> {
    this.#check(offset, lengthBytes)
    this.#checkWritable()
    if (!this.can.unmap)
      throw new BlockDeviceError('NOT_SUPPORTED', 'The device cannot release space: it has no UNMAP.')
    const { lba, lbaEnd } = this.#wholeBlocks(offset, lengthBytes)
    if (lba >= lbaEnd) return
    await this.#order.run(offset, offset + lengthBytes, true, () => this.#zeroes.unmap(lba, lbaEnd, signal))
  }

  async writeZeroes(offset: number, lengthBytes: number, options: ZeroOptions = {}): Promise<void> {
    const { signal, fua = false, mayUnmap = true } = options
    this.#check(offset, lengthBytes)
    this.#checkWritable()
    if (lengthBytes === 0) return
    const { start, end } = this.#bounds(offset, lengthBytes)
    const { lba, lbaEnd } = this.#wholeBlocks(offset, lengthBytes)
    const block = this.blockSizeBytes
    await this.#order.run(start, end, true, async () => {
      if (lba >= lbaEnd) return this.#writeRange(offset, new Uint8Array(lengthBytes), fua, signal)
      await this.#zeroes.zero(lba, lbaEnd, mayUnmap, signal)
      const headBytes = lba * block - offset
      const tailBytes = offset + lengthBytes - lbaEnd * block
      if (headBytes > 0) await this.#writeRange(offset, new Uint8Array(headBytes), false, signal)
      if (tailBytes > 0) await this.#writeRange(lbaEnd * block, new Uint8Array(tailBytes), false, signal)
      if (fua) await this.#makeDurable(start, end, signal)
    })
  }

  async writeSame(
    offset: number,
    lengthBytes: number,
    block: Uint8Array,
    { signal, fua = false }: WriteOptions = {},
  ): Promise<void> {
    this.#check(offset, lengthBytes)
    this.#checkWritable()
    checkAligned(this.blockSizeBytes, offset, lengthBytes)
    if (block.length !== this.blockSizeBytes) {
      throw new BlockDeviceError(
        'ARGUMENT_INVALID',
        `A block of this device has ${this.blockSizeBytes} bytes, not ${block.length}.`,
      )
    }
    const { lba, lbaEnd } = this.#wholeBlocks(offset, lengthBytes)
    await this.#order.run(offset, offset + lengthBytes, true, async () => {
      await this.#zeroes.fill(lba, lbaEnd, block, false, signal)
      if (fua) await this.#makeDurable(offset, offset + lengthBytes, signal)
    })
  }

  async compareAndWrite(
    offset: number,
    expected: Uint8Array,
    bytes: Uint8Array,
    { signal }: RequestOptions = {},
  ): Promise<void> {
    this.#check(offset, bytes.length)
    this.#checkWritable()
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

  /** Any SCSI command to this unit. Nothing is sent again, and nothing is kept apart from the other requests. */
  async execute(command: Omit<ScsiCommand, 'lun'>): Promise<ScsiResult> {
    this.#check(0, 0)
    return this.#options.executor.execute({ ...command, lun: this.lun })
  }

  onEvent(listener: (event: DeviceEvent) => void): () => void {
    return this.#events.add(listener)
  }

  /** For what carries the commands: news of paths. */
  report(event: DeviceEvent): void {
    this.#events.emit(event)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await this.#order.idle()
    if (!this.readOnly && this.#failure === undefined && this.#facts.writeCache !== false) {
      // What was not flushed before may be lost, as it may by any crash: who must know calls flush.
      await this.#commands.synchronizeCache(0, 0, undefined).catch(() => undefined)
    }
    await this.#options.release?.()
  }

  /** @throws {BlockDeviceError} DEVICE_CLOSED, PAST_END, ARGUMENT_INVALID, and why the device failed */
  #check(offset: number, lengthBytes: number): void {
    if (this.#closing) throw new BlockDeviceError('DEVICE_CLOSED', 'The device was closed: open it again.')
    if (this.#failure) throw this.#failure
    checkRange(this.sizeBytes, offset, lengthBytes)
  }

  #checkWritable(): void {
    if (this.readOnly) throw new BlockDeviceError('READ_ONLY', 'The device cannot be written to.')
  }

  /** The blocks that a range touches, in bytes. */
  #bounds(offset: number, lengthBytes: number): { start: number; end: number } {
    const block = this.blockSizeBytes
    const end = offset + lengthBytes
    return { start: offset - (offset % block), end: Math.ceil(end / block) * block }
  }

  /** The blocks that lie in a range. */
  #wholeBlocks(offset: number, lengthBytes: number): { lba: number; lbaEnd: number } {
    const block = this.blockSizeBytes
    return { lba: Math.ceil(offset / block), lbaEnd: Math.floor((offset + lengthBytes) / block) }
  }

  async #readBlocks(start: number, into: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const block = this.blockSizeBytes
    const lba = start / block
    await inParts(lba, lba + into.length / block, this.#transferBlocks, (from, to) =>
      this.#commands.read(from, into.subarray((from - lba) * block, (to - lba) * block), signal),
    )
  }

  /** Writes any range: blocks that it covers in part are read, changed and written. Nobody else has them meanwhile. */
  async #writeRange(
    offset: number,
    bytes: Uint8Array,
    fua: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const block = this.blockSizeBytes
    const { start, end } = this.#bounds(offset, bytes.length)
    let whole = bytes
    if (end - start !== bytes.length) {
      whole = new Uint8Array(end - start)
      if (start < offset) await this.#readBlocks(start, whole.subarray(0, block), signal)
      const tail = end - start - block
      const isCutShort = offset + bytes.length < end
      if (isCutShort && (tail > 0 || start === offset))
        await this.#readBlocks(end - block, whole.subarray(tail), signal)
      whole.set(bytes, offset - start)
    }
    const hasFua = fua && this.#facts.fua
    const lba = start / block
    await inParts(lba, end / block, this.#transferBlocks, (from, to) =>
      this.#commands.write(from, whole.subarray((from - lba) * block, (to - lba) * block), hasFua, signal),
    )
    if (fua && !hasFua) await this.#makeDurable(start, end, signal)
  }

  async #makeDurable(start: number, end: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#facts.writeCache === false) return
    const block = this.blockSizeBytes
    await optional(this.#commands.synchronizeCache(start / block, (end - start) / block, signal))
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
      const modes = await readModes(this.#unit)
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
    this.#failure = error
    this.#events.emit({ kind: 'failed', error })
    throw error
  }
}
