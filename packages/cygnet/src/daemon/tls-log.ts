import type { Logger } from 'pino'
import type { TlsEvent, TlsPeer } from '../runtime/tls.ts'

/** Writes what a TLS portal has to say. `peer` is the `address:port` of the initiator's end. */
export function logTlsEvent(log: Logger, peer: string, event: TlsEvent): void {
  switch (event.kind) {
    case 'secured':
      log.info({ peer, identity: identityOf(event.peer), cipher: event.cipher }, 'TLS connection')
      break
    case 'refused':
      log.warn({ peer, reason: event.reason }, 'TLS connection refused')
      break
    case 'not-reloaded':
      log.error({ reason: event.reason }, 'changed TLS files cannot be used; the old ones go on')
      break
  }
}

function identityOf(peer: TlsPeer): string | undefined {
  if (peer.kind === 'psk') return peer.identity
  return peer.kind === 'certificate' ? peer.subject : undefined
}
