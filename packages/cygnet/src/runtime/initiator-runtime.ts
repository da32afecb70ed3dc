import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { BufferPool } from '../base/pool.ts'
import type { InitiatorRuntime } from '../initiator/ports.ts'
import { systemClock } from './clock.ts'
import { SocketTransport, tlsTransport } from './initiator-socket.ts'

/** Longest part of the host name that goes into an iSCSI name. */
const HOST_PART_LENGTH = 63

/** `iqn.2026-11.dev.cygnet:` and what of the host name an iSCSI name may hold. */
export function defaultInitiatorName(host = hostname()): string {
  const part = host
    .toLowerCase()
    .replaceAll(/[^a-z\d.-]/g, '-')
    .slice(0, HOST_PART_LENGTH)
  return `iqn.2026-11.dev.cygnet:${part === '' ? 'host' : part}`
}

const settled = Promise.resolve()

/** This machine, as initiators use it. One for a process: its pool of buffers is shared by all sessions. */
export function nodeInitiatorRuntime(): InitiatorRuntime {
  const pool = new BufferPool()
  return {
    transport: new SocketTransport({ pool }),
    secured: (tls) => tlsTransport(tls, pool),
    clock: systemClock,
    pool,
    hostName: defaultInitiatorName(),
    random: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
    // `queueMicrotask` does more than that, for asynchronous hooks.
    // oxlint-disable-next-line promise/no-callback-in-promise -- as with `queueMicrotask`, nobody waits for it
    defer: (callback) => void settled.then(callback),
    schedule: (callback, delayMs) => {
      const timer = setTimeout(callback, delayMs)
      return () => clearTimeout(timer)
    },
  }
}
