import {
  type BlockDevice,
  type DeviceCapabilities,
  type DeviceEvent,
  DeviceEvents,
  type DeviceExtent,
  type RequestOptions,
  unknownExtent,
  type WriteOptions,
  type ZeroOptions,
} from '../initiator/block-device.ts'
import { BlockDeviceError } from '../initiator/block-device-error.ts'
import {
  checkBytes,
  checkFill,
  checkRequest,
  checkWritable,
  fillByWriting,
} from '../initiator/device-requests.ts'
import { inParts } from '../initiator/in-parts.ts'
import { readRange, touched, type WholeBlocks, within, writeRange } from '../initiator/partial-blocks.ts'
import { RangeOrder } from '../initiator/range-order.ts'
import type { NbdClientConnection } from './client-connection.ts'
import type { ExportFacts } from './client-handshake.ts'
import { AllocationFlag, Command, CommandFlag, TransmissionFlag } from './nbd-protocol.ts'

/** Longest request that we make: longer ones keep others waiting. */
const REQUEST_BYTES_MAX = 2 * 1024 * 1024
/** A length has 32 bits; what is released at once is a multiple of any block. */
const RANGE_BYTES_MAX = 2 ** 30
/** Servers take any alignment where they do not say otherwise; disks do not. */
const BLOCK_BYTES = 512

/** An export of an NBD server, as a block device. */
export class NbdDevice implements BlockDevice {
  readonly description: string
  readonly #connection: NbdClientConnection
  readonly #facts: ExportFacts
  readonly #order = new RangeOrder()
  readonly #events = new DeviceEvents()
  readonly #blocks: WholeBlocks
  #closing: Promise<void> | undefined

  constructor(connection: NbdClientConnection, facts: ExportFacts, description: string) {
    this.#connection = connection
    this.#facts = facts
    this.description = description
    const maximum = Math.min(facts.maximumBytes, REQUEST_BYTES_MAX)
    const partBytes = maximum - (maximum % facts.minimumBytes)
    this.#blocks = {
      blockSizeBytes: facts.minimumBytes,
      readBlocks: (start, into, signal) =>
        inParts(start, start + into.length, partBytes, (from, to) =>
          connection.request(Command.read, from, to - from, {
            into: into.subarray(from - start, to - start),
            signal,
          }),
        ),
      writeBlocks: (start, bytes, fua, signal) =>
        inParts(start, start + bytes.length, partBytes, (from, to) =>
          connection.request(Command.write, from, to - from, {
            data: bytes.subarray(from - start, to - start),
            flags: this.#fuaFlag(fua),
            signal,
          }),
        ),
    }
    void connection.ended.then((error) => error && this.#events.emit({ kind: 'failed', error }))
  }

  get sizeBytes(): number {
    return this.#facts.sizeBytes
  }
  get blockSizeBytes(): number {
    return Math.max(this.#facts.minimumBytes, BLOCK_BYTES)
  }
  get readOnly(): boolean {
    return this.#has(TransmissionFlag.readOnly)
  }
  get can(): DeviceCapabilities {
    return {
      volatileCache: this.#has(TransmissionFlag.sendFlush),
      unmap: this.#has(TransmissionFlag.sendTrim),
      writeZeroes: this.#has(TransmissionFlag.sendWriteZeroes),
      extents: this.#facts.allocationContext !== undefined,
      compareAndWriteBytes: 0,
      unmapGranularityBytes: Math.max(this.#facts.minimumBytes, BLOCK_BYTES),
      optimalBytes: Math.min(this.#facts.maximumBytes, REQUEST_BYTES_MAX),
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
    await this.#run(offset, lengthBytes, false, () => readRange(this.#blocks, offset, into, signal))
    return into
  }

  async write(offset: number, bytes: Uint8Array, { signal, fua = false }: WriteOptions = {}): Promise<void> {
    checkBytes(bytes, 'What is written')
    this.#checkWrite(offset, bytes.length)
    if (bytes.length === 0) return
    await this.#run(offset, bytes.length, true, async () => {
      await writeRange(this.#blocks, offset, bytes, fua, signal)
      await this.#makeUpForFua(fua, signal)
    })
  }

  async flush({ signal }: RequestOptions = {}): Promise<void> {
    this.#check(0, 0)
    if (this.#has(TransmissionFlag.sendFlush)) await this.#connection.request(Command.flush, 0, 0, { signal })
  }

  async unmap(offset: number, lengthBytes: number, { signal }: RequestOptions = {}): Promise<void> {
    this.#checkWrite(offset, lengthBytes)
    if (!this.can.unmap) throw new BlockDeviceError('NOT_SUPPORTED', 'The NBD server cannot release space.')
    const { start, end } = within(this.#facts.minimumBytes, offset, lengthBytes)
    if (start >= end) return
    await this.#run(start, end - start, true, () =>
      inParts(start, end, RANGE_BYTES_MAX, (from, to) =>
        this.#connection.request(Command.trim, from, to - from, { signal }),
      ),
    )
  }

  async writeZeroes(offset: number, lengthBytes: number, options: ZeroOptions = {}): Promise<void> {
    const { signal, fua = false, mayUnmap = true } = options
    this.#checkWrite(offset, lengthBytes)
    if (lengthBytes === 0) return
    const whole = within(this.#facts.minimumBytes, offset, lengthBytes)
    const isCheap = this.can.writeZeroes && whole.start < whole.end
    const flags = this.#fuaFlag(fua) | (mayUnmap ? 0 : CommandFlag.noHole)
    await this.#run(offset, lengthBytes, true, async () => {
      if (isCheap) {
        await inParts(whole.start, whole.end, RANGE_BYTES_MAX, (from, to) =>
          this.#connection.request(Command.writeZeroes, from, to - from, { flags, signal }),
        )
        await this.#writeZeroBytes(offset, whole.start, fua, signal)
        await this.#writeZeroBytes(whole.end, offset + lengthBytes, fua, signal)
      } else await this.#writeZeroBytes(offset, offset + lengthBytes, fua, signal)
      await this.#makeUpForFua(fua, signal)
    })
  }

  async writeSame(
    offset: number,
    lengthBytes: number,
    block: Uint8Array,
    options: WriteOptions = {},
  ): Promise<void> {
    this.#checkWrite(offset, lengthBytes)
    checkFill(this, offset, lengthBytes, block)
    await fillByWriting(this, offset, lengthBytes, block, options)
  }

  compareAndWrite(): Promise<void> {
    return Promise.reject(new BlockDeviceError('NOT_SUPPORTED', 'NBD has no compare and write.'))
  }

  async extents(
    offset: number,
    lengthBytes: number,
    { signal }: RequestOptions = {},
  ): Promise<readonly DeviceExtent[]> {
    this.#check(offset, lengthBytes)
    if (!this.can.extents || lengthBytes === 0) return unknownExtent(offset, lengthBytes)
    const { start, end } = touched(this.#facts.minimumBytes, offset, Math.min(lengthBytes, RANGE_BYTES_MAX))
    const { runs } = await this.#connection.request(Command.blockStatus, start, end - start, { signal })
    const extents: DeviceExtent[] = []
    let at = start
    for (const { lengthBytes: runBytes, flags } of runs) {
      const from = Math.max(at, offset)
      at += runBytes
      const to = Math.min(at, offset + lengthBytes)
      if (to <= from) continue
      const kind = (flags & AllocationFlag.hole) === 0 ? 'data' : 'hole'
      extents.push({
        offset: from,
        lengthBytes: to - from,
        kind,
        isZero: (flags & AllocationFlag.zero) !== 0,
      })
    }
    return extents.length > 0 ? extents : unknownExtent(offset, lengthBytes)
  }

  onEvent(listener: (event: DeviceEvent) => void): () => void {
    return this.#events.add(listener)
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
    if (!this.readOnly && this.#has(TransmissionFlag.sendFlush))
      await this.#connection.request(Command.flush, 0, 0).catch(() => undefined)
    this.#connection.close()
    await this.#connection.ended
  }

  async #writeZeroBytes(
    from: number,
    to: number,
    fua: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (from >= to) return
    const zeroes = new Uint8Array(Math.min(to - from, REQUEST_BYTES_MAX))
    await inParts(from, to, zeroes.length, (start, end) =>
      writeRange(this.#blocks, start, zeroes.subarray(0, end - start), fua, signal),
    )
  }

  async #makeUpForFua(fua: boolean, signal: AbortSignal | undefined): Promise<void> {
    if (fua && !this.#has(TransmissionFlag.sendFua) && this.#has(TransmissionFlag.sendFlush))
      await this.#connection.request(Command.flush, 0, 0, { signal })
  }

  #fuaFlag(fua: boolean): number {
    return fua && this.#has(TransmissionFlag.sendFua) ? CommandFlag.fua : 0
  }

  #has(flag: number): boolean {
    return (this.#facts.flags & flag) !== 0
  }

  #run(offset: number, lengthBytes: number, isWrite: boolean, action: () => Promise<void>): Promise<void> {
    const { start, end } = touched(this.#facts.minimumBytes, offset, lengthBytes)
    return this.#order.run(start, end, isWrite, action)
  }

  #check(offset: number, lengthBytes: number): void {
    checkRequest(this, this.#closing !== undefined, offset, lengthBytes)
  }

  #checkWrite(offset: number, lengthBytes: number): void {
    this.#check(offset, lengthBytes)
    checkWritable(this)
  }
}
