import { BlockDeviceError, type BlockDeviceErrorCode } from '../initiator/block-device-error.ts'
import { NbdError } from './nbd-protocol.ts'

/** What a client is told: the protocol has few errors, and names EINVAL for reads past the end, ENOSPC for writes. */
const errors: Readonly<Partial<Record<BlockDeviceErrorCode, NbdError>>> = {
  PAST_END: NbdError.invalid,
  ARGUMENT_INVALID: NbdError.invalid,
  UNALIGNED: NbdError.invalid,
  READ_ONLY: NbdError.notPermitted,
  RESERVATION_CONFLICT: NbdError.notPermitted,
  NO_SPACE: NbdError.noSpace,
  NOT_SUPPORTED: NbdError.notSupported,
  DEVICE_CLOSED: NbdError.shutdown,
}

/** Any other failure is EIO. */
export const nbdErrorOf = (error: unknown): NbdError =>
  (error instanceof BlockDeviceError && errors[error.code as BlockDeviceErrorCode]) || NbdError.io
