import { MemoryBudget } from './target-role/memory-budget.ts'
import assert from 'node:assert/strict'
import type { Instant } from '../base/clock.ts'
import { BufferPool } from '../base/pool.ts'
import { type Digest, initiatorPreferences } from './initiator-role/initiator-preferences.ts'
import { FakeTarget, TARGET_NAME } from './target-role/fake-target.test-helper.ts'
import { InitiatorConnection } from './initiator-role/initiator-connection.ts'
import { RecordingOwner } from './initiator-role/initiator-owner.test-helper.ts'
import type { InitiatorEvent } from './initiator-role/initiator-events.ts'
import { defaultInitiatorLimits, type InitiatorLimits } from './initiator-role/initiator-limits.ts'
import type { InitiatorLoginOptions } from './initiator-role/initiator-login.ts'
import { noAuthentication } from './initiator-role/initiator-security.ts'
import { defaultTargetLimits, type TargetLimits } from './limits.ts'
import { type ConnectionEvent, TargetConnection } from './target-role/target-connection.ts'
import type { TransmitVector } from './transmit.ts'

export const HOST_NAME = 'iqn.2026-11.test:host'

export const digestsOf = (header: readonly Digest[], data: readonly Digest[]) => ({ header, data })

export const loginOptions = (
  limits: InitiatorLimits = defaultInitiatorLimits,
  more: Partial<InitiatorLoginOptions> = {},
): InitiatorLoginOptions => ({
  type: 'Normal',
  initiatorName: HOST_NAME,
  initiatorAlias: '',
  targetName: TARGET_NAME,
  isid: new Uint8Array([0x80, 1, 2, 3, 4, 5]),
  tsih: 0,
  cid: 1,
  initiatorTaskTag: 0xffff_0000,
  preferences: initiatorPreferences(limits, digestsOf(['None', 'CRC32C'], ['None', 'CRC32C'])),
  authentication: noAuthentication,
  ...more,
})

export interface BothRolesOptions {
  readonly login?: Partial<InitiatorLoginOptions>
  readonly initiatorLimits?: Partial<InitiatorLimits>
  readonly targetLimits?: Partial<TargetLimits>
  /** How many bytes arrive at a time; all where undefined. */
  readonly chunkBytes?: () => number
}

interface End {
  readonly hasOutput: boolean
  readonly state: string
  newTransmitVector(): TransmitVector
  pollTransmit(out: TransmitVector): boolean
  receive(segment: ReturnType<BufferPool['take']>, start: number, end: number, now: Instant): void
}

/** An initiator's and a target's connection, joined in memory. */
export class BothRoles {
  readonly pool = new BufferPool({ poison: true })
  readonly target = new FakeTarget(this.pool)
  readonly initiator: InitiatorConnection
  readonly peer: TargetConnection
  readonly events: InitiatorEvent[] = []
  readonly peerEvents: ConnectionEvent[] = []
  /** Bytes that each side sent. */
  sentBytes = 0
  now: Instant = 1000
  readonly #chunkBytes: () => number

  constructor(options: BothRolesOptions = {}) {
    this.#chunkBytes = options.chunkBytes ?? (() => Infinity)
    const limits = { ...defaultInitiatorLimits, ...options.initiatorLimits }
    this.initiator = new InitiatorConnection({
      login: loginOptions(limits, options.login),
      limits,
      pool: this.pool,
      now: this.now,
      owner: new RecordingOwner(this.events),
    })
    this.initiator.transportOpened(this.now)
    this.peer = new TargetConnection({
      host: this.target,
      pool: this.pool,
      limits: { ...defaultTargetLimits, ...options.targetLimits },
      budget: new MemoryBudget(2 ** 30),
      peerAddress: '127.0.0.1:50000',
      localAddress: '127.0.0.1:3260',
      now: this.now,
      wake: () => {},
    })
  }

  /** Moves bytes both ways until nobody has anything to say. */
  run(): this {
    for (let moved = true; moved; ) {
      moved = this.#move(this.initiator, this.peer)
      moved = this.#move(this.peer, this.initiator) || moved
    }
    return this
  }

  get lastEvent(): InitiatorEvent | undefined {
    return this.events.at(-1)
  }

  eventsOf<Kind extends InitiatorEvent['kind']>(kind: Kind): Extract<InitiatorEvent, { kind: Kind }>[] {
    return this.events.filter((event) => event.kind === kind) as Extract<InitiatorEvent, { kind: Kind }>[]
  }

  advance(ms: number): this {
    this.now += ms
    for (const end of [this.initiator, this.peer]) {
      const deadline = end.pollTimeout()
      if (deadline !== undefined && deadline <= this.now) end.handleTimeout(this.now)
    }
    return this.run()
  }

  /** The TCP connection ends; everything is back in the pool. */
  finish(): void {
    this.initiator.transportClosed('end of test', this.now)
    this.peer.transportClosed('end of test', this.now)
    this.#drainEvents()
    assert.equal(this.initiator.state, 'closed')
    assert.equal(this.peer.state, 'closed')
    assert.equal(this.pool.inUse, 0, 'buffers are left')
  }

  #move(from: End, to: End): boolean {
    const isClosing = from.state === 'closing'
    if (!from.hasOutput && !isClosing) return false
    const out = from.newTransmitVector()
    from.pollTransmit(out)
    const bytes = new Uint8Array(Buffer.concat(out.chunks))
    out.release()
    this.sentBytes += bytes.length
    for (let at = 0; at < bytes.length; ) {
      const chunk = bytes.subarray(at, at + this.#chunkBytes())
      const segment = this.pool.take(chunk.length)
      segment.bytes.set(chunk)
      to.receive(segment, 0, chunk.length, this.now)
      segment.release()
      at += chunk.length
    }
    this.#drainEvents()
    return true
  }

  #drainEvents(): void {
    for (let event = this.peer.pollEvent(); event; event = this.peer.pollEvent()) this.peerEvents.push(event)
  }
}
