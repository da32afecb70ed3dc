import type { BufferPool } from '../base/pool.ts'
import { systemClock } from '../runtime/clock.ts'
import type { ConnectionRegister } from '../runtime/connection-limits.ts'
import type { Handover } from '../runtime/shard-login.ts'
import { TcpServer } from '../runtime/tcp-server.ts'
import { TlsPortal } from '../runtime/tls.ts'
import type { MemoryBudget } from '../session/target-role/memory-budget.ts'
import type { RecoveryCounters } from '../session/recovery-counters.ts'
import type { TargetLimits } from '../session/limits.ts'
import type { TargetNode } from '../target/target-node.ts'
import { formatAddress } from './address.ts'
import type { PortalState, TlsState } from './config/state.ts'
import type { ConnectionLog } from './connection-log.ts'
import { movedTo } from './targets.ts'

/** What all portals of a server share. */
export interface PortalSurroundings {
  readonly node: TargetNode
  readonly pool: BufferPool
  readonly limits: TargetLimits
  readonly budget: MemoryBudget
  readonly counters: RecoveryCounters
  readonly connectionLimits: ConnectionRegister
  readonly connectionLog: Pick<ConnectionLog, 'record' | 'recordTls'>
}

/** What a portal does together with other processes. */
export interface PortalOfMany {
  /** It accepts for others, too. */
  readonly handover?: Handover
  /** Another process accepts for it: where that listens. It never listens itself, and needs no TLS. */
  readonly acceptor?: { readonly endpoint: string }
}

/**
 * A portal of the settings, not listening yet.
 * @throws {CygnetError} TLS_FILE, TLS_PSK, TLS_OPTIONS
 */
export function newPortal(
  state: PortalState,
  shared: PortalSurroundings,
  { handover, acceptor }: PortalOfMany = {},
): TcpServer {
  const { node, pool, limits, budget, counters, connectionLimits, connectionLog } = shared
  const { listen, advertise, group, moved, tls } = state
  const server: TcpServer = new TcpServer({
    address: listen.host,
    port: listen.port,
    host: node.addPortal({
      group,
      endpoint: () => acceptor?.endpoint ?? server.endpoint,
      ...(advertise && { advertise: formatAddress(advertise) }),
      ...(moved && { moved: movedTo(moved) }),
    }),
    pool,
    limits,
    budget,
    counters,
    connectionLimits,
    clock: systemClock,
    ...(tls && !acceptor && { tls: tlsPortal(tls, connectionLog) }),
    ...(handover && { handover }),
    onEvent: (peerAddress, event) => connectionLog.record(peerAddress, event),
  })
  return server
}

const tlsPortal = (
  { certificate, clientCaFile, psk }: TlsState,
  log: PortalSurroundings['connectionLog'],
): TlsPortal =>
  new TlsPortal(
    { ...certificate, ...(clientCaFile !== null && { clientCaFile }), psk },
    (peerAddress, event) => log.recordTls(peerAddress, event),
  )
