/** Our target in this process, with a disk whose reads and writes take a time of their own. */
import { BufferPool } from '../../packages/cygnet/src/base/pool.ts'
import { DiskUnit } from '../../packages/cygnet/src/device/disk-unit.ts'
import { systemClock } from '../../packages/cygnet/src/runtime/clock.ts'
import { ConnectionLimits } from '../../packages/cygnet/src/runtime/connection-limits.ts'
import { TcpServer } from '../../packages/cygnet/src/runtime/tcp-server.ts'
import { defaultTargetLimits } from '../../packages/cygnet/src/session/limits.ts'
import { RecoveryCounters } from '../../packages/cygnet/src/session/recovery-counters.ts'
import { MemoryBudget } from '../../packages/cygnet/src/session/target-role/memory-budget.ts'
import { DelayStore } from '../../packages/cygnet/src/store/delay.ts'
import type { StoreOperation } from '../../packages/cygnet/src/store/filter.ts'
import { MemoryStore } from '../../packages/cygnet/src/store/memory.ts'
import { IscsiTarget } from '../../packages/cygnet/src/target/iscsi-target.ts'
import { TargetNode } from '../../packages/cygnet/src/target/target-node.ts'
import type { Scratch } from './scratch.ts'

export interface SlowTargetOptions {
  readonly target: string
  readonly sizeBytes: number
  readonly delayMs: (operation: StoreOperation) => number
  /** Portal groups, from 1 on, with a portal each. Default: 1. */
  readonly groups?: number
  /** Pings of the target, when there is nothing else to say. Default: the usual. */
  readonly nopIntervalMs?: number
}

/** Ports on 127.0.0.1, of one portal group after the other. LUN 0 is removable. */
export async function startSlowTarget(scratch: Scratch, options: SlowTargetOptions): Promise<number[]> {
  const { target, sizeBytes, delayMs, groups = 1, nopIntervalMs } = options
  const after = (waitMs: number, run: () => void): void => void setTimeout(run, waitMs)
  const store = new DelayStore(new MemoryStore({ sizeBytes }), { after }, delayMs)
  const pool = new BufferPool()
  const identity = { serialNumber: 'SLOW', naa: Uint8Array.of(0x30, 0, 0, 0, 0, 0, 0, 1) }
  const units = new Map([[0, new DiskUnit({ store, pool, identity, removable: true })]])
  const node = new TargetNode({
    targets: [new IscsiTarget({ name: target, units, access: [{}] })],
    clock: systemClock,
  })
  const ports: number[] = []
  for (let group = 1; group <= groups; group++) {
    const server: TcpServer = new TcpServer({
      address: '127.0.0.1',
      port: 0,
      host: node.addPortal({ group, endpoint: () => server.endpoint }),
      pool,
      limits: { ...defaultTargetLimits, ...(nopIntervalMs !== undefined && { nopIntervalMs }) },
      budget: new MemoryBudget(256 * 1024 * 1024),
      counters: new RecoveryCounters(),
      connectionLimits: new ConnectionLimits(),
      onEvent: () => undefined,
      clock: systemClock,
    })
    await server.listen()
    scratch.defer(() => {
      server.stopListening()
      server.destroyConnections()
    })
    ports.push(Number(server.endpoint.split(':').at(-1)))
  }
  return ports
}
