import {
  type BlockDevice,
  type DeviceCapabilities,
  type DeviceEvent,
  DeviceEvents,
  type DeviceExtent,
  type RequestOptions,
  type WriteOptions,
  type ZeroOptions,
} from '../initiator/block-device.ts'
import { BlockDeviceError, type BlockDeviceErrorCode } from '../initiator/block-device-error.ts'
import {
  checkBytes,
  checkFill,
  checkRequest,
  checkWritable,
  fillByWriting,
} from '../initiator/device-requests.ts'
import { RangeOrder } from '../initiator/range-order.ts'
import {
  type BackingStore,
  type Extent,
  type StoreError,
  type StoreFailure,
  WriteFlags,
} from '../store/backing-store.ts'

const codes: Readonly<Record<StoreFailure, BlockDeviceErrorCode>> = {
  medium: 'MEDIUM_ERROR',
  'no-space': 'NO_SPACE',
  'read-only': 'READ_ONLY',
  gone: 'DEVICE_CLOSED',
}
const BLOCK_BYTES = 512

/** A backing store (an image file, a disk of this machine) as a block device. */
export class StoreDevice implements BlockDevice {
  readonly blockSizeBytes = BLOCK_BYTES
  readonly description: string
  readonly can: DeviceCapabilities
  readonly #store: BackingStore
  readonly #order = new RangeOrder()
  readonly #events = new DeviceEvents()
  #closing: Promise<void> | undefined

  /** `store` becomes the device's own: `close` closes it. */
  constructor(store: BackingStore, description: string) {
    this.#store = store
    this.description = description
    this.can = {
      volatileCache: store.can.volatileCache,
      unmap: store.can.trim,
      writeZeroes: store.can.trim,
      extents: store.can.extents,
      compareAndWriteBytes: 0,
      unmapGranularityBytes: store.geometry.trimGranularityBytes,
      optimalBytes: 1024 * 1024,
    }
  }

  get sizeBytes(): number {
    return this.#store.geometry.sizeBytes
  }
  get readOnly(): boolean {
    return !this.#store.can.write
  }

  async read(
    offset: number,
    target: number | Uint8Array,
    { signal }: RequestOptions = {},
  ): Promise<Uint8Array> {
    const lengthBytes = typeof target === 'number' ? target : target.length
    this.#check(offset, lengthBytes, signal)
    const into = typeof target === 'number' ? new Uint8Array(lengthBytes) : target
    await this.#run('read', offset, lengthBytes, false, (done) => this.#store.read(into, offset, done))
    return into
  }

  async write(offset: number, bytes: Uint8Array, { signal, fua = false }: WriteOptions = {}): Promise<void> {
    checkBytes(bytes, 'What is written')
    this.#checkWrite(offset, bytes.length, signal)
    const flags = fua ? WriteFlags.fua : WriteFlags.none
    await this.#run('write', offset, bytes.length, true, (done) =>
      this.#store.write([bytes], offset, flags, done),
    )
  }

  async flush({ signal }: RequestOptions = {}): Promise<void> {
    this.#check(0, 0, signal)
    await this.#call('flush', (done) => this.#store.flush(done))
  }

  async unmap(offset: number, lengthBytes: number, { signal }: RequestOptions = {}): Promise<void> {
    this.#checkWrite(offset, lengthBytes, signal)
    if (!this.can.unmap) throw new BlockDeviceError('NOT_SUPPORTED', 'The file system cannot release space.')
    await this.#run('unmap', offset, lengthBytes, true, (done) => this.#store.trim(offset, lengthBytes, done))
  }

  async writeZeroes(offset: number, lengthBytes: number, options: ZeroOptions = {}): Promise<void> {
    const { signal, fua = false, mayUnmap = true } = options
    this.#checkWrite(offset, lengthBytes, signal)
    await this.#run('zero', offset, lengthBytes, true, (done) =>
      this.#store.zero(offset, lengthBytes, mayUnmap, done),
    )
    if (fua) await this.flush()
  }

  async writeSame(
    offset: number,
    lengthBytes: number,
    block: Uint8Array,
    options: WriteOptions = {},
  ): Promise<void> {
    this.#checkWrite(offset, lengthBytes, options.signal)
    checkFill(this, offset, lengthBytes, block)
    await fillByWriting(this, offset, lengthBytes, block, options)
  }

  compareAndWrite(): Promise<void> {
    return Promise.reject(new BlockDeviceError('NOT_SUPPORTED', 'A file has no compare and write.'))
  }

  async extents(
    offset: number,
    lengthBytes: number,
    { signal }: RequestOptions = {},
  ): Promise<readonly DeviceExtent[]> {
    this.#check(offset, lengthBytes, signal)
    if (lengthBytes === 0) return []
    let found: readonly Extent[] = []
    await this.#call('search for holes', (done) =>
      this.#store.extents(offset, lengthBytes, (error, extents) => {
        found = extents
        done(error)
      }),
    )
    return found.map((extent) => ({ ...extent, isZero: extent.kind === 'hole' }))
  }

  onEvent(listener: (event: DeviceEvent) => void): () => void {
    return this.#events.add(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#order.idle().then(() => this.#closeStore())
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #closeStore(): Promise<void> {
    return new Promise((resolve) => this.#store.close(() => resolve()))
  }

  async #run(
    what: string,
    offset: number,
    lengthBytes: number,
    isWrite: boolean,
    start: (done: (error: StoreError | undefined) => void) => void,
  ): Promise<void> {
    if (lengthBytes === 0) return
    await this.#order.run(offset, offset + lengthBytes, isWrite, () => this.#call(what, start))
  }

  #call(what: string, start: (done: (error: StoreError | undefined) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      start((error) => {
        if (error === undefined) return resolve()
        const message = `${this.description}: ${what} failed${error.cause ? `: ${error.cause.message}` : ''}.`
        reject(new BlockDeviceError(codes[error.failure], message, error.offset, { cause: error.cause }))
      })
    })
  }

  #check(offset: number, lengthBytes: number, signal: AbortSignal | undefined): void {
    checkRequest(this, this.#closing !== undefined, offset, lengthBytes, signal)
  }

  #checkWrite(offset: number, lengthBytes: number, signal: AbortSignal | undefined): void {
    this.#check(offset, lengthBytes, signal)
    checkWritable(this)
  }
}
