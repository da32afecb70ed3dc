import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../runtime/clock.ts'
import type { TcpConnection } from '../runtime/tcp-connection.ts'
import type { TcpServer } from '../runtime/tcp-server.ts'

/** How long initiators have to log out, and commands in flight to finish, once the server stops. */
const STOP_TIMEOUT_S = 10
/** After this long, an initiator that has no command in flight and has not logged out is not waited for. */
const LOGOUT_GRACE_MS = 3000
const POLL_MS = 20

/** Asks every initiator to log out, and waits for it and its commands. */
export async function drain(servers: readonly TcpServer[]): Promise<void> {
  const start = systemClock.now()
  const connections = (): TcpConnection[] => servers.flatMap((server) => [...server.connections])
  for (const { protocol } of connections()) protocol.requestLogout(STOP_TIMEOUT_S, start)
  for (let open = connections(); open.length > 0; open = connections()) {
    const elapsedMs = systemClock.now() - start
    if (elapsedMs > STOP_TIMEOUT_S * 1000 || (elapsedMs > LOGOUT_GRACE_MS && open.every(isIdle))) return
    await sleep(POLL_MS)
  }
}

const isIdle = ({ protocol }: TcpConnection): boolean =>
  protocol.queuedPdus === 0 && (protocol.session?.taskCount ?? 0) === 0
