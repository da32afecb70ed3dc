import assert from 'node:assert/strict'
import { BufferPool } from '../../base/pool.ts'
import { serialLess } from '../../base/serial32.ts'
import { FakeTarget } from './fake-target.test-helper.ts'
import type { TargetLimits } from '../limits.ts'
import { MemoryBudget } from './memory-budget.ts'
import type { Pair } from '../negotiator.ts'
import { namesPairs, TestPeer } from './peer.test-helper.ts'
import type { TargetHost } from './target-host.ts'
import { type Answer, asLogin } from '../wire.test-helper.ts'

export interface PeerSessionOptions {
  /** With CIDs from 1 on. */
  readonly connections?: number
  readonly level?: 0 | 1 | 2
  readonly keys?: readonly Pair[]
  readonly limits?: Partial<TargetLimits>
  readonly pool?: BufferPool
  /** A fake one where not given. */
  readonly host?: TargetHost
}

/** One session of several raw connections, whose commands are numbered together. */
export class PeerSession {
  readonly pool: BufferPool
  /** Where no other host was given. */
  readonly target: FakeTarget
  readonly peers: TestPeer[] = []
  readonly #host: TargetHost
  readonly #limits: Partial<TargetLimits>
  readonly #budget = new MemoryBudget(2 ** 30)

  constructor(options: PeerSessionOptions = {}) {
    const { connections = 2, level = 0, keys = [], limits = {} } = options
    this.pool = options.pool ?? new BufferPool({ poison: true })
    this.target = options.host instanceof FakeTarget ? options.host : new FakeTarget(this.pool)
    this.#host = options.host ?? this.target
    this.#limits = limits
    const leading = this.#connect()
    leading.tsih = asLogin(
      leading.logIn([['MaxConnections', '32'], ['ErrorRecoveryLevel', String(level)], ...keys]),
    ).tsih
    for (let cid = 2; cid <= connections; cid++) {
      const [answer] = this.join(cid)
      assert.equal(asLogin(answer).statusClass, 0, `CID ${cid}: ${this.at(cid).lastReason}`)
    }
  }

  /** The latest connection that logged in as this CID, with the CmdSN that is the session's turn. */
  at(cid: number): TestPeer {
    const peer = this.peers[cid - 1]
    assert.ok(peer, `no connection ${cid}`)
    peer.cmdSN = this.cmdSN
    peer.tag = Math.max(...this.peers.map(({ tag }) => tag))
    return peer
  }

  get cmdSN(): number {
    return this.peers.map(({ cmdSN }) => cmdSN).reduce((a, b) => (serialLess(a, b) ? b : a))
  }

  /** A connection that is about to join this session. */
  connect(cid: number): TestPeer {
    const leading = this.at(1)
    const peer = this.#connect(cid)
    peer.tsih = leading.tsih
    peer.cmdSN = leading.cmdSN
    peer.tag = leading.tag
    return peer
  }

  /** A login to this session. */
  join(cid: number): Answer[] {
    return this.connect(cid).login(namesPairs(), { cid })
  }

  /** What all connections have to send now, in the order of their CIDs. */
  poll(): Answer[] {
    return this.peers.flatMap((peer) => peer.poll())
  }

  /** Time passes on every connection. */
  advance(ms: number): Answer[] {
    return this.peers.flatMap((peer) => peer.advance(ms))
  }

  /** The connection is lost. */
  lose(cid: number, reason = 'reset'): void {
    const peer = this.at(cid)
    peer.connection.transportClosed(reason, peer.now)
    this.poll()
  }

  /** Nothing of the session is left, once every connection is gone and every time over. */
  finish(): void {
    for (const peer of this.peers) {
      if (peer.state !== 'closed') peer.connection.transportClosed('end of test', peer.now)
    }
    this.target.finishHeld()
    this.advance(3_600_000 * 2)
    this.target.finishHeld()
    this.poll()
    assert.equal(this.pool.inUse, 0, 'buffers are left')
    assert.equal(this.target.sessions.size, 0, 'sessions are left')
  }

  #connect(cid = 1): TestPeer {
    const peer = new TestPeer({
      host: this.#host,
      pool: this.pool,
      limits: this.#limits,
      budget: this.#budget,
    })
    const now = this.peers[0]?.now
    if (now !== undefined) peer.now = now
    this.peers[cid - 1] = peer
    return peer
  }
}
