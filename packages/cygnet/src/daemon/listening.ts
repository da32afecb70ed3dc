import type { Logger } from 'pino'
import type { TcpServer } from '../runtime/tcp-server.ts'
import { parseAddress } from './address.ts'
import { type DesiredState, isLoopbackOnly, isOpenToAll } from './config/state.ts'
import type { RunningPortal, ServedTarget } from './server.ts'

/**
 * All of them, or none.
 * @throws {CygnetError} LISTEN_FAILED
 */
export async function listenAll(servers: readonly TcpServer[]): Promise<void> {
  const listening: TcpServer[] = []
  try {
    for (const server of servers) {
      await server.listen()
      listening.push(server)
    }
  } catch (error) {
    for (const server of listening) server.stopListening()
    throw error
  }
}

/** The portals with the addresses that they got. */
export const runningPortals = ({ portals }: DesiredState, servers: readonly TcpServer[]): RunningPortal[] =>
  portals.map((portal, index) => ({
    state: portal,
    address: parseAddress(servers[index]?.endpoint ?? '', portal.listen),
  }))

/** What is served where, and to whom. */
export function logStart(targets: readonly ServedTarget[], servers: readonly TcpServer[], log: Logger): void {
  for (const server of servers) log.info({ address: server.endpoint }, 'listening')
  for (const { state, disks } of targets) {
    log.info({ target: state.name, luns: disks.length }, 'serving')
    if (isLoopbackOnly(state)) {
      log.info({ target: state.name }, 'only this machine may log in: no access is configured beyond it')
    } else if (isOpenToAll(state)) {
      log.warn(
        { target: state.name },
        'there is no authentication: whoever reaches the portal can use the disks',
      )
    }
  }
}
