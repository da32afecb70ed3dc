import { viewOf } from '../base/bytes.ts'
import { BlockDeviceError, type BlockDeviceErrorCode } from '../initiator/block-device-error.ts'
import { Command, NbdError, REQUEST_BYTES, REQUEST_MAGIC, setU64 } from './nbd-protocol.ts'

/** Allocation of a part of a range, as the server told. */
export interface StatusRun {
  readonly lengthBytes: number
  /** `AllocationFlag`s. */
  readonly flags: number
}

const names: Readonly<Record<number, string>> = {
  [Command.read]: 'READ',
  [Command.write]: 'WRITE',
  [Command.flush]: 'FLUSH',
  [Command.trim]: 'TRIM',
  [Command.writeZeroes]: 'WRITE_ZEROES',
  [Command.blockStatus]: 'BLOCK_STATUS',
}

const codes: Readonly<Record<number, readonly [code: BlockDeviceErrorCode, what: string]>> = {
  [NbdError.notPermitted]: ['READ_ONLY', 'the server does not permit it'],
  [NbdError.io]: ['MEDIUM_ERROR', 'input/output error'],
  [NbdError.noMemory]: ['DEVICE_BUSY', 'the server is short of memory'],
  [NbdError.invalid]: ['DEVICE_ERROR', 'the server takes it for wrong'],
  [NbdError.noSpace]: ['NO_SPACE', 'no space left'],
  [NbdError.notSupported]: ['NOT_SUPPORTED', 'the server cannot do that'],
  [NbdError.shutdown]: ['DEVICE_CLOSED', 'the server shuts down'],
}

/** A request under way. */
export class ClientRequest {
  readonly type: number
  readonly offset: number
  readonly lengthBytes: number
  /** Where the data of a READ goes; undefined: nobody wants it any more. */
  into: Uint8Array | undefined
  /** Bytes of a READ that have come. */
  readBytes = 0
  /** Where its parts begin, and how long they are, where it comes in several. */
  readonly #parts: [start: number, lengthBytes: number][] = []
  runs: StatusRun[] = []
  error: BlockDeviceError | undefined
  readonly done: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void

  constructor(type: number, offset: number, lengthBytes: number, into?: Uint8Array) {
    this.type = type
    this.offset = offset
    this.lengthBytes = lengthBytes
    this.into = into
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.done = promise
    this.resolve = resolve
    this.reject = reject
  }

  /** A part of a READ's data comes; false where that is more than was asked for. */
  takes(start: number, lengthBytes: number): boolean {
    this.readBytes += lengthBytes
    if (lengthBytes < this.lengthBytes) this.#parts.push([start, lengthBytes])
    return this.readBytes <= this.lengthBytes
  }

  /** Each byte of a READ has come once. */
  get isFilled(): boolean {
    let end = 0
    const isGapless = this.#parts
      .toSorted(([one], [other]) => one - other)
      .every(([start, lengthBytes]) => {
        const goesOn = start === end
        end += lengthBytes
        return goesOn
      })
    return isGapless && this.readBytes === this.lengthBytes
  }

  encode(cookie: number, flags: number): Uint8Array {
    const bytes = new Uint8Array(REQUEST_BYTES)
    const view = viewOf(bytes)
    view.setUint32(0, REQUEST_MAGIC)
    view.setUint16(4, flags)
    view.setUint16(6, this.type)
    setU64(view, 8, cookie)
    setU64(view, 16, this.offset)
    view.setUint32(24, this.lengthBytes)
    return bytes
  }

  /** The server's error; the first one counts. `message`: its words, where it has any. */
  failed(error: number, message = '', offset = this.offset): void {
    const [code, what] = codes[error] ?? ['DEVICE_ERROR', `error ${error}`]
    const words = message === '' ? what : `${what} (${message})`
    this.error ??= new BlockDeviceError(code, `${names[this.type]}: ${words}.`, offset)
  }

  /** The reply is complete. */
  finish(): void {
    if (this.error) this.reject(this.error)
    else this.resolve()
  }
}
