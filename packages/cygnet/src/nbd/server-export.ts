import type { BlockDevice } from '../initiator/block-device.ts'
import { MAX_PAYLOAD_BYTES, TransmissionFlag } from './nbd-protocol.ts'

/** A device under a name. */
export interface NbdExport {
  /** May be empty: what clients ask for that name none. */
  readonly name: string
  readonly description: string
  readonly device: BlockDevice
}

/** What a good request is aligned to, where the device does not want more. */
const PREFERRED_BYTES = 4096

/** Transmission flags of an export. Every device's flush covers the writes of all connections: they may be many. */
export function transmissionFlags({ device }: NbdExport): number {
  const flag = TransmissionFlag
  const always = flag.hasFlags | flag.sendFlush | flag.sendFua | flag.sendDf | flag.canMultiConn
  if (device.readOnly) return always | flag.readOnly
  return always | flag.sendWriteZeroes | (device.can.unmap ? flag.sendTrim : 0)
}

/** Smallest, preferred and largest request, in bytes: partial blocks are the device's business. */
export function blockSizes({ device }: NbdExport): readonly [number, number, number] {
  return [1, Math.max(PREFERRED_BYTES, device.blockSizeBytes), MAX_PAYLOAD_BYTES]
}
