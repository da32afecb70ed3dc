import {
  type BlockDevice,
  checkRange,
  type DeviceCapabilities,
  type DeviceEvent,
  DeviceEvents,
  type DeviceExtent,
} from './block-device.ts'
import { BlockDeviceError } from './block-device-error.ts'

/** A block device in memory, which can be slow, full of errors, or read-only. */
export class MemoryDevice implements BlockDevice {
  readonly bytes: Uint8Array
  readonly blockSizeBytes: number
  readonly #events = new DeviceEvents()
  /** Units of `blockSizeBytes` that hold data. */
  readonly allocated = new Set<number>()
  readonly log: string[] = []
  description = 'memory'
  readOnly = false
  isClosed = false
  can: DeviceCapabilities
  /** Runs before every request; its error is the request's. */
  onRequest: ((what: string, offset: number, lengthBytes: number) => Promise<void> | void) | undefined

  constructor(sizeBytes: number, blockSizeBytes = 512) {
    this.bytes = new Uint8Array(sizeBytes)
    this.blockSizeBytes = blockSizeBytes
    this.can = {
      volatileCache: true,
      unmap: true,
      writeZeroes: true,
      extents: true,
      compareAndWriteBytes: 0,
      unmapGranularityBytes: blockSizeBytes,
      optimalBytes: 65_536,
    }
  }

  get sizeBytes(): number {
    return this.bytes.length
  }

  async #request(what: string, offset: number, lengthBytes: number): Promise<void> {
    if (this.isClosed) throw new BlockDeviceError('DEVICE_CLOSED', 'closed')
    checkRange(this.sizeBytes, offset, lengthBytes)
    this.log.push(`${what} ${offset}+${lengthBytes}`)
    await this.onRequest?.(what, offset, lengthBytes)
  }

  #mark(offset: number, lengthBytes: number, isData: boolean): void {
    const first = isData ? Math.floor(offset / this.blockSizeBytes) : Math.ceil(offset / this.blockSizeBytes)
    const end = isData
      ? Math.ceil((offset + lengthBytes) / this.blockSizeBytes)
      : Math.floor((offset + lengthBytes) / this.blockSizeBytes)
    for (let block = first; block < end; block++) {
      if (isData) this.allocated.add(block)
      else this.allocated.delete(block)
    }
  }

  async read(offset: number, target: number | Uint8Array): Promise<Uint8Array> {
    const lengthBytes = typeof target === 'number' ? target : target.length
    await this.#request('read', offset, lengthBytes)
    const into = typeof target === 'number' ? new Uint8Array(lengthBytes) : target
    into.set(this.bytes.subarray(offset, offset + lengthBytes))
    return into
  }

  async write(offset: number, bytes: Uint8Array, options: { fua?: boolean } = {}): Promise<void> {
    await this.#request(options.fua ? 'write-fua' : 'write', offset, bytes.length)
    this.bytes.set(bytes, offset)
    this.#mark(offset, bytes.length, true)
  }

  async flush(): Promise<void> {
    await this.#request('flush', 0, 0)
  }

  async unmap(offset: number, lengthBytes: number): Promise<void> {
    await this.#request('unmap', offset, lengthBytes)
    this.bytes.fill(0, offset, offset + lengthBytes)
    this.#mark(offset, lengthBytes, false)
  }

  async writeZeroes(
    offset: number,
    lengthBytes: number,
    { mayUnmap = true, fua = false }: { mayUnmap?: boolean; fua?: boolean } = {},
  ): Promise<void> {
    await this.#request(`zero${mayUnmap ? '-unmap' : ''}${fua ? '-fua' : ''}`, offset, lengthBytes)
    this.bytes.fill(0, offset, offset + lengthBytes)
    if (mayUnmap) this.#mark(offset, lengthBytes, false)
  }

  async writeSame(offset: number, lengthBytes: number, block: Uint8Array): Promise<void> {
    await this.#request('same', offset, lengthBytes)
    for (let at = 0; at < lengthBytes; at += block.length) this.bytes.set(block, offset + at)
    this.#mark(offset, lengthBytes, true)
  }

  compareAndWrite(): Promise<void> {
    return Promise.reject(new BlockDeviceError('NOT_SUPPORTED', 'no'))
  }

  async extents(offset: number, lengthBytes: number): Promise<readonly DeviceExtent[]> {
    await this.#request('extents', offset, lengthBytes)
    const extents: DeviceExtent[] = []
    const end = offset + lengthBytes
    for (let at = offset; at < end; ) {
      const block = Math.floor(at / this.blockSizeBytes)
      const next = Math.min(end, (block + 1) * this.blockSizeBytes)
      const isData = this.allocated.has(block)
      extents.push({
        offset: at,
        lengthBytes: next - at,
        kind: isData ? 'data' : 'hole',
        isZero: !isData,
      })
      at = next
    }
    return extents
  }

  onEvent(listener: (event: DeviceEvent) => void): () => void {
    return this.#events.add(listener)
  }

  close(): Promise<void> {
    this.isClosed = true
    return Promise.resolve()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
