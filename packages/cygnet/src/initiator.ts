/** `cygnet/initiator`: discovers and uses iSCSI targets from Node. */
import { connectDisk, type DiskOptions } from './initiator/connect.ts'
import { Initiator } from './initiator/initiator.ts'
import type { ScsiDisk } from './initiator/scsi-disk.ts'
import { nodeInitiatorRuntime } from './runtime/initiator-runtime.ts'

export { CygnetError } from './base/errors.ts'
export type {
  BlockDevice,
  DeviceCapabilities,
  DeviceEvent,
  DeviceExtent,
  RequestOptions,
  WriteOptions,
  ZeroOptions,
} from './initiator/block-device.ts'
export { BlockDeviceError, type BlockDeviceErrorCode } from './initiator/block-device-error.ts'
export { readableOf, type StreamOptions, writableOf } from './initiator/block-streams.ts'
export type { DiskOptions } from './initiator/connect.ts'
export {
  compareDevices,
  copyDevice,
  type CopyOptions,
  type CopyResult,
} from './initiator/copy.ts'
export type { DiscoveredTarget, PortalGroup } from './initiator/discovered-target.ts'
export { Initiator } from './initiator/initiator.ts'
export type {
  ChapCredentials,
  InitiatorOptions,
  RecoveryEvent,
  RecoveryOptions,
  SessionOptions,
} from './initiator/options.ts'
export type {
  ByteStream,
  InitiatorRuntime,
  StreamHandler,
  TlsSettings,
  Transport,
} from './initiator/ports.ts'
export { Reservations } from './initiator/reservations.ts'
export { ScsiDisk } from './initiator/scsi-disk.ts'
export { ScsiError } from './initiator/scsi-error.ts'
export type { ExecuteOptions, Session, SessionFacts } from './initiator/session.ts'
export { type IscsiUrl, parseIscsiUrl } from './initiator/url.ts'
export { type OpenStream, SocketTransport, tlsTransport } from './runtime/initiator-socket.ts'
export type { TlsClientOptions } from './runtime/tls-connect.ts'
export type { Closure, Notice } from './session/initiator-role/initiator-events.ts'
export { defaultInitiatorLimits, type InitiatorLimits } from './session/initiator-role/initiator-limits.ts'
export type { Spread } from './session/initiator-role/initiator-policy.ts'
export type { ConnectionParameters, SessionParameters } from './session/parameters.ts'
export type { PortalAddress } from './session/portal-address.ts'
export { RecoveryCounters } from './session/recovery-counters.ts'
export type {
  ScsiFailure,
  ScsiRequestOptions,
  ScsiResult,
  ScsiStatusResult,
} from './session/initiator-role/scsi-request.ts'

const runtime = nodeInitiatorRuntime()
const initiator = new Initiator(runtime)

/** See {@link Initiator.discover}. */
export const discover: Initiator['discover'] = (address, options) => initiator.discover(address, options)

/** See {@link Initiator.openSession}. */
export const openSession: Initiator['openSession'] = (where, options) => initiator.openSession(where, options)

/**
 * Connects to a logical unit and brings it up as a disk, `iscsi://host[:port]/target/lun`.
 *
 *     await using disk = await connect('iscsi://127.0.0.1/iqn.2026-11.dev.example:demo/0')
 *     await disk.write(0, bytes)
 *     await disk.flush()
 * @throws {CygnetError} as `openSession`; NO_DEVICE, NOT_READY and the other codes of `BlockDeviceError`
 */
export async function connect(
  where: string | DiskOptions,
  options: Partial<DiskOptions> = {},
): Promise<ScsiDisk> {
  const { disk } = await connectDisk(runtime, initiator, where, options)
  return disk
}
