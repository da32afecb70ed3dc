import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { CygnetError } from '../base/errors.ts'
import { BufferPool } from '../base/pool.ts'
import { DiskUnit } from '../device/disk-unit.ts'
import { ConnectionLimits } from '../runtime/connection-limits.ts'
import { systemClock } from '../runtime/clock.ts'
import { installNativeCrc32c } from '../runtime/crc32c-native.ts'
import { NodeDiskIO } from '../runtime/disk-io.ts'
import { loadSystemCalls } from '../runtime/page-cache-io-calls.ts'
import { TcpServer } from '../runtime/tcp-server.ts'
import { defaultTargetLimits } from '../session/limits.ts'
import type { StoreError } from '../store/backing-store.ts'
import { IscsiTarget } from '../target/iscsi-target.ts'
import { TargetNode } from '../target/target-node.ts'
import { type Address, formatAddress, isLoopback, parseAddress } from './address.ts'
import type { BlockSize } from './blocks.ts'
import { ConnectionLog } from './connection-log.ts'
import { closeDisks, type DiskOptions, type OpenDisk, openDisks } from './disks.ts'
import { unitIdentity } from './identity.ts'

/** How long initiators have to log out, and commands in flight to finish, once the server stops. */
const STOP_TIMEOUT_S = 10
/** After this long, an initiator that has no command in flight and has not logged out is not waited for. */
const LOGOUT_GRACE_MS = 3000
const POLL_MS = 20

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
   * Stops listening, asks initiators to log out, lets commands in flight finish (10 s at most), flushes and closes
   * the disks. Once.
   * @throws {CygnetError} FLUSH_FAILED
   */
  stop(): Promise<void>
}

/**
 * Opens the disks and serves them as LUNs of one target.
 * @throws {CygnetError} LISTEN_FAILED, ADVERTISE_PORT, or what `openDisks` throws
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { listen, targetName, log } = options
  const advertise = advertisedAddress(options)
  const { calls, reason } = loadSystemCalls()
  if (calls === undefined) log.info(`no page cache calls, holes or locks: ${reason}`)
  const noNativeCrc = installNativeCrc32c()
  if (noNativeCrc !== undefined) log.info(`digests are computed in JavaScript: ${noNativeCrc}`)

  const pool = new BufferPool()
  const disks = await openDisks(new NodeDiskIO(calls), options.disks, options)
  const units = new Map(disks.map((disk) => [disk.lun, unitOf(disk, targetName, pool)]))
  const target = new IscsiTarget({ name: targetName, units, access: [{}] })
  const node = new TargetNode({ targets: [target], clock: systemClock })
  const connectionLog = new ConnectionLog(log)
  const tcp: TcpServer = new TcpServer({
    address: listen.host,
    port: listen.port,
    host: node.addPortal({
      group: 1,
      endpoint: () => tcp.endpoint,
      ...(advertise && { advertise: formatAddress(advertise) }),
    }),
    pool,
    limits: defaultTargetLimits,
    connectionLimits: new ConnectionLimits(),
    clock: systemClock,
    onEvent: (peerAddress, event) => connectionLog.record(peerAddress, event),
  })
  try {
    await tcp.listen()
  } catch (error) {
    await closeDisks(disks)
    throw error
  }
  const address = parseAddress(tcp.endpoint, listen)
  log.info({ address: tcp.endpoint, target: targetName, luns: disks.length }, 'listening')
  if (!isLoopback(address.host)) {
    log.warn('there is no authentication: whoever reaches this address can use the disks')
  }

  return {
    address,
    advertise,
    targetName,
    disks,
    async stop() {
      log.info('stopping')
      tcp.stopListening()
      await drain(tcp)
      tcp.destroyConnections()
      const errors = await Promise.all(disks.map((disk) => flush(disk)))
      // A reset ends what a lost connection has left behind; then no task is left.
      for (const unit of units.values()) await new Promise<void>((resolve) => unit.reset(resolve))
      for (const unit of units.values()) await new Promise<void>((resolve) => unit.close(resolve))
      const failed = disks.filter((_, lun) => errors[lun] !== undefined)
      for (const { lun, name } of failed) log.error({ lun, name, err: errors[lun]?.cause }, 'flush failed')
      if (failed.length > 0) {
        const names = failed.map(({ name }) => name).join(', ')
        throw new CygnetError(
          'FLUSH_FAILED',
          `Not everything could be written to ${names}: check the medium.`,
        )
      }
      log.info('stopped')
    },
  }
}

function unitOf(disk: OpenDisk, targetName: string, pool: BufferPool): DiskUnit {
  const { store, blockSizeBytes, readOnly, lun } = disk
  return new DiskUnit({ store, pool, blockSizeBytes, readOnly, identity: unitIdentity(targetName, lun) })
}

function advertisedAddress({ advertise, listen }: ServerOptions): Address | undefined {
  if (advertise === undefined || advertise.port !== 0) return advertise
  if (listen.port !== 0) return { host: advertise.host, port: listen.port }
  throw new CygnetError(
    'ADVERTISE_PORT',
    `Which port should ${formatAddress(advertise)} advertise? Name one, since the listening port is not fixed.`,
  )
}

/** Asks every initiator to log out, and waits for it and its commands. */
async function drain(tcp: TcpServer): Promise<void> {
  const start = systemClock.now()
  for (const { protocol } of tcp.connections) protocol.requestLogout(STOP_TIMEOUT_S, start)
  while (tcp.connections.size > 0) {
    const elapsedMs = systemClock.now() - start
    if (elapsedMs > STOP_TIMEOUT_S * 1000 || (elapsedMs > LOGOUT_GRACE_MS && isIdle(tcp))) return
    await sleep(POLL_MS)
  }
}

function isIdle(tcp: TcpServer): boolean {
  for (const { protocol } of tcp.connections)
    if (protocol.queuedPdus > 0 || (protocol.session?.taskCount ?? 0) > 0) return false
  return true
}

function flush({ store }: OpenDisk): Promise<StoreError | undefined> {
  return new Promise((resolve) => store.flush(resolve))
}
