import { CygnetError } from '../base/errors.ts'

/** Why a device did not do what it was asked for. Stable: programs may look at them. */
export type BlockDeviceErrorCode =
  /** The range leaves the device. */
  | 'PAST_END'
  /** Not whole blocks, where whole blocks are needed. */
  | 'UNALIGNED'
  | 'ARGUMENT_INVALID'
  /** `close` was called before. */
  | 'DEVICE_CLOSED'
  | 'READ_ONLY'
  /** The device cannot do this at all. */
  | 'NOT_SUPPORTED'
  /** The bytes cannot be read or written. */
  | 'MEDIUM_ERROR'
  /** There is no space left for what was written. */
  | 'NO_SPACE'
  /** `compareAndWrite` found something else. */
  | 'MISCOMPARE'
  /** Somebody else has reserved the device. */
  | 'RESERVATION_CONFLICT'
  | 'NOT_READY'
  /** Too busy for longer than we wait. */
  | 'DEVICE_BUSY'
  /** There is another device in its place now. */
  | 'DEVICE_CHANGED'
  /** No device there, or none that is a disk. */
  | 'NO_DEVICE'
  /** The request was ended by the device or somebody else. */
  | 'TASK_ABORTED'
  /** Any other failure that the device reports. */
  | 'DEVICE_ERROR'
  /** Its answer contradicts the standard. */
  | 'PROTOCOL_ERROR'
  /** The way to the device is lost. */
  | 'CONNECTION_LOST'

/** A request to a block device failed. */
export class BlockDeviceError extends CygnetError {
  override readonly name: string = 'BlockDeviceError'
  /** Byte that the error is about, where that is known. */
  readonly offset: number | undefined

  /** Any other code is one of the session's (`TASK_LOST`, `SESSION_CLOSED` …). */
  constructor(
    code: BlockDeviceErrorCode | (string & {}),
    message: string,
    offset?: number,
    options?: ErrorOptions,
  ) {
    super(code, message, options)
    this.offset = offset
  }
}
