import type { Logger } from 'pino'
import type { TlsEvent } from '../runtime/tls.ts'
import type { ConnectionEvent } from '../session/target-role/target-connection.ts'

/** Peers whose first protocol error is remembered. */
const MAX_REJECTED_PEERS = 1024

/** Writes what happens to connections: who came, who went, and why; a peer's protocol errors once. */
export class ConnectionLog {
  readonly #log: Logger
  readonly #rejectedPeers = new Set<string>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** `peer` is the `address:port` of the initiator's end. */
  record(peer: string, event: ConnectionEvent): void {
    const log = this.#log
    switch (event.kind) {
      case 'logged-in': {
        const { initiatorName, targetName, type, user } = event.session.identity
        log.info(
          {
            peer,
            initiator: initiatorName,
            type,
            ...(targetName && { target: targetName }),
            ...(user && { user }),
          },
          'login',
        )
        break
      }
      case 'login-failed':
        log.warn({ peer, initiator: event.identity?.initiatorName, reason: event.reason }, 'login failed')
        break
      case 'logged-out':
        this.#rejectedPeers.delete(peer)
        log.info({ peer }, 'logout')
        break
      case 'dropped':
        this.#rejectedPeers.delete(peer)
        log.warn({ peer, reason: event.reason }, 'connection dropped')
        break
      case 'rejected':
        log[this.#isFirstReject(peer) ? 'warn' : 'debug']({ peer, reason: event.explanation }, 'PDU rejected')
        break
    }
  }

  /** What happens before a connection reaches the iSCSI layer of a TLS portal. */
  recordTls(peer: string, event: TlsEvent): void {
    const log = this.#log
    switch (event.kind) {
      case 'secured':
        log.info({ peer, client: event.peer, cipher: event.cipher }, 'TLS')
        break
      case 'refused':
        log.warn({ peer, reason: event.reason }, 'TLS refused')
        break
      case 'not-reloaded':
        log.error({ reason: event.reason }, 'TLS files not reloaded: the old ones go on')
        break
    }
  }

  #isFirstReject(peer: string): boolean {
    const peers = this.#rejectedPeers
    if (peers.has(peer)) return false
    for (const oldest of peers) {
      if (peers.size < MAX_REJECTED_PEERS) break
      peers.delete(oldest)
    }
    peers.add(peer)
    return true
  }
}
