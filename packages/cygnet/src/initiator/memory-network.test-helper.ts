import { MemoryBudget } from '../session/target-role/memory-budget.ts'
import type { Instant } from '../base/clock.ts'
import { CygnetError } from '../base/errors.ts'
import { BufferPool } from '../base/pool.ts'
import { defaultTargetLimits } from '../session/limits.ts'
import { formatPortalAddress, type PortalAddress } from '../session/portal-address.ts'
import { TargetConnection } from '../session/target-role/target-connection.ts'
import type { TargetHost } from '../session/target-role/target-host.ts'
import type { ByteStream, InitiatorRuntime, StreamHandler, TlsSettings, Transport } from './ports.ts'

/** Targets at addresses, reached without sockets: a runtime whose time stands still until it is told to move. */
export class MemoryNetwork implements InitiatorRuntime, Transport {
  readonly pool = new BufferPool({ poison: true })
  readonly hosts = new Map<string, TargetHost>()
  readonly hostName = 'iqn.2026-11.test:host'
  readonly transport = this
  /** Addresses that were connected to, in order. */
  readonly visited: string[] = []
  /** What TLS was asked for with. */
  readonly tls: TlsSettings[] = []
  readonly clock = { now: (): Instant => this.#now }
  #now: Instant = 0
  #random = 1
  readonly #timers = new Map<() => void, Instant>()

  secured(tls: TlsSettings): Transport {
    this.tls.push(tls)
    return this
  }

  random(lengthBytes: number): Uint8Array {
    return Uint8Array.from(
      { length: lengthBytes },
      () => (this.#random = (this.#random * 75 + 74) % 65_537) & 0xff,
    )
  }

  defer(callback: () => void): void {
    queueMicrotask(callback)
  }

  schedule(callback: () => void, delayMs: number): () => void {
    this.#timers.set(callback, this.#now + delayMs)
    return () => void this.#timers.delete(callback)
  }

  get timers(): number {
    return this.#timers.size
  }

  advance(ms: number): void {
    this.#now += ms
    for (const [callback, at] of [...this.#timers]) {
      if (at <= this.#now && this.#timers.delete(callback)) callback()
    }
  }

  connect(portal: PortalAddress, _timeoutMs: number, handler: StreamHandler): Promise<ByteStream> {
    const address = formatPortalAddress(portal)
    this.visited.push(address)
    const host = this.hosts.get(address)
    if (host === undefined)
      return Promise.reject(new CygnetError('CONNECT_FAILED', `Nothing listens at ${address}.`))
    return Promise.resolve(this.#join(portal, address, host, handler))
  }

  #join(portal: PortalAddress, address: string, host: TargetHost, handler: StreamHandler): ByteStream {
    const target = new TargetConnection({
      host,
      pool: this.pool,
      limits: defaultTargetLimits,
      budget: new MemoryBudget(2 ** 30),
      peerAddress: '127.0.0.1:50000',
      localAddress: address,
      now: this.#now,
      wake: () => queueMicrotask(answer),
    })
    const copied = (chunks: readonly Uint8Array[], take: (bytes: Uint8Array) => void): void => {
      take(new Uint8Array(Buffer.concat(chunks)))
    }
    const answer = (): void => {
      while (target.pollEvent());
      while (target.hasOutput || target.state === 'closing') {
        const out = target.newTransmitVector()
        target.pollTransmit(out)
        copied(out.chunks, (bytes) => {
          if (bytes.length === 0) return
          const segment = this.pool.take(bytes.length)
          segment.bytes.set(bytes)
          handler.received(segment, 0, bytes.length)
          segment.release()
        })
        out.release()
      }
      if (target.state === 'closed') handler.closed('the target closed it')
    }
    return {
      peer: portal,
      queuedBytes: 0,
      write: (chunks, sent) => {
        copied(chunks, (bytes) => {
          const segment = this.pool.take(bytes.length)
          segment.bytes.set(bytes)
          target.receive(segment, 0, bytes.length, this.#now)
          segment.release()
        })
        sent()
        queueMicrotask(answer)
      },
      end: () => target.transportClosed('the initiator closed it', this.#now),
      reset: () => target.transportClosed('the initiator reset it', this.#now),
    }
  }
}
