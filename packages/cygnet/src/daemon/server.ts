import type { Logger } from 'pino'
import { BufferPool } from '../base/pool.ts'
import { DiskUnit } from '../device/disk.ts'
import type { LogicalUnit } from '../device/logical-unit.ts'
import { NodeDiskIO } from '../runtime/disk-io.ts'
import { TcpServer } from '../runtime/tcp-server.ts'
import type { StoreError } from '../store/backing-store.ts'
import { TargetNode } from '../target/target-node.ts'
import { type Address, formatAddress, isLoopback } from './address.ts'
import type { BlockSize } from './blocks.ts'
import { type DiskOptions, type OpenDisk, openDisks } from './disks.ts'
import { unitIdentity } from './identity.ts'
import { listenError } from './listen-error.ts'

/** How long commands in flight may take to finish once the server stops. */
const STOP_TIMEOUT_MS = 10_000

export interface ServerOptions {
  readonly listen: Address
  /** What SendTargets reports instead of the address that an initiator has connected to; port 0 is the listening port. */
  readonly advertise?: Address
  /** Normalised iSCSI name. */
  readonly targetName: string
  readonly blockSizeBytes: BlockSize
  readonly readOnly: boolean
  /** LUNs 0, 1, … */
  readonly disks: readonly DiskOptions[]
  readonly log: Logger
}

export interface RunningServer {
  /** Where it listens, with the port that it got. */
  readonly address: Address
  readonly advertise: Address | undefined
  readonly targetName: string
  readonly disks: readonly OpenDisk[]
  /**
   * Stops listening, asks initiators to log out, lets commands in flight finish (for at most 10 s), flushes and closes the disks.
   * @throws {Error} where data could not be flushed
   */
  stop(): Promise<void>
}
