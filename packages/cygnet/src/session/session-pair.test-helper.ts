import assert from 'node:assert/strict'
import { pad4, viewOf } from '../base/bytes.ts'
import type { Instant } from '../base/clock.ts'
import { BufferPool } from '../base/pool.ts'
import { ahsLengthOf, BHS_BYTES, dataSegmentLengthOf, opcodeOf } from '../pdu/bhs.ts'
import { Opcode, opcodeName } from '../pdu/opcodes.ts'
import { HOST_NAME } from './both-roles.test-helper.ts'
import { FakeTarget, TARGET_NAME } from './target-role/fake-target.test-helper.ts'
import type { InitiatorConnection } from './initiator-role/initiator-connection.ts'
import { defaultInitiatorLimits, type InitiatorLimits } from './initiator-role/initiator-limits.ts'
import { defaultSessionPolicy, type SessionPolicy } from './initiator-role/initiator-policy.ts'
import type { DigestPreferences } from './initiator-role/initiator-preferences.ts'
import { noAuthentication } from './initiator-role/initiator-security.ts'
import { InitiatorSession } from './initiator-role/initiator-session.ts'
import type { SessionEvent } from './initiator-role/initiator-session-events.ts'
import { defaultTargetLimits, type TargetLimits } from './limits.ts'
import { MemoryBudget } from './target-role/memory-budget.ts'
import { ScsiRequest, type ScsiRequestOptions, type ScsiResult } from './initiator-role/scsi-request.ts'
import { TargetConnection } from './target-role/target-connection.ts'
import type { TransmitVector } from './transmit.ts'

/** A PDU on its way. */
export interface Passing {
  readonly cid: number
  readonly name: string
  readonly fromTarget: boolean
  readonly view: DataView
  readonly bytes: Uint8Array
  readonly dataAt: number
  readonly dataBytes: number
}

/** `spoil` changes a bit of its data; `cut` ends its connection instead. */
export type Fate = 'pass' | 'drop' | 'spoil' | 'cut'

export interface SessionPairOptions {
  readonly policy?: Partial<SessionPolicy>
  readonly limits?: Partial<InitiatorLimits>
  readonly targetLimits?: Partial<TargetLimits>
  readonly digests?: DigestPreferences
}

interface End {
  readonly hasOutput: boolean
  readonly state: string
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  newTransmitVector(): TransmitVector
  pollTransmit(out: TransmitVector): boolean
  receive(segment: ReturnType<BufferPool['take']>, start: number, end: number, now: Instant): void
}

interface Joint {
  readonly initiator: InitiatorConnection
  readonly target: TargetConnection
  isOpen: boolean
}

/** What a request ended with; undefined while it has not. */
export interface Pending {
  readonly request: ScsiRequest
  result: ScsiResult | undefined
}

/** An initiator's session and a target, joined in memory PDU by PDU, with the time in our hands. */
export class SessionPair {
  readonly pool = new BufferPool({ poison: true })
  readonly target = new FakeTarget(this.pool)
  readonly session: InitiatorSession
  readonly events: SessionEvent[] = []
  /** Names of the PDUs that were sent, with the direction: `> SCSI Command`. */
  readonly log: string[] = []
  readonly joints: Joint[] = []
  /** Login requests, in order. */
  readonly logins: Passing[] = []
  now: Instant = 1000
  /** Decides about each PDU of the full feature phase. */
  fate: (pdu: Passing) => Fate = () => 'pass'
  /** New connections are refused. */
  isUnreachable = false
  readonly #targetLimits: TargetLimits

  constructor(options: SessionPairOptions = {}) {
    this.#targetLimits = { ...defaultTargetLimits, ...options.targetLimits }
    let random = 7
    this.session = new InitiatorSession({
      pool: this.pool,
      now: this.now,
      wake: () => {},
      random: (lengthBytes) =>
        Uint8Array.from({ length: lengthBytes }, () => (random = (random * 75 + 74) % 65_537) & 0xff),
      login: {
        type: 'Normal',
        initiatorName: HOST_NAME,
        initiatorAlias: '',
        targetName: TARGET_NAME,
        isid: new Uint8Array([0x80, 1, 2, 3, 4, 5]),
        authentication: () => noAuthentication,
      },
      limits: { ...defaultInitiatorLimits, ...options.limits },
      policy: { ...defaultSessionPolicy, ...options.policy },
      digests: options.digests ?? { header: ['None'], data: ['None'] },
    })
  }

  /** Opens the session with all of its connections. */
  open(): this {
    this.session.start(this.now)
    this.run()
    assert.ok(this.kinds.includes('logged-in'), JSON.stringify(this.events))
    return this
  }

  get kinds(): string[] {
    return this.events.map(({ kind }) => kind)
  }

  execute(options: Partial<ScsiRequestOptions> & Pick<ScsiRequestOptions, 'cdb'>): Pending {
    const pending: Pending = {
      request: new ScsiRequest({ lun: 0, ...options }, (result) => {
        assert.equal(pending.result, undefined, 'a request ended twice')
        pending.result = result
      }),
      result: undefined,
    }
    this.session.execute(pending.request)
    assert.equal(pending.result, undefined, 'a request ended within execute')
    return pending
  }

  /** Moves PDUs until nobody has anything to say. */
  run(): this {
    for (let rounds = 0; ; rounds++) {
      assert.ok(rounds < 10_000, 'the two do not come to rest')
      this.#takeEvents()
      let moved = false
      for (const joint of [...this.joints]) {
        moved = this.#move(joint, joint.initiator, joint.target, false) || moved
        moved = this.#move(joint, joint.target, joint.initiator, true) || moved
        if (joint.initiator.state === 'closed' || joint.target.state === 'closed')
          moved = this.cut(joint) || moved
      }
      this.#takeEvents()
      if (!moved && !this.session.hasEvents) return this
    }
  }

  /** Lets time pass, from deadline to deadline. */
  advance(ms: number): this {
    const end = this.now + ms
    this.run()
    for (;;) {
      const due = this.#nextDeadline()
      if (due === undefined || due > end) break
      this.now = Math.max(due, this.now + 0.001)
      this.#expire()
      this.run()
    }
    this.now = Math.max(end, this.now)
    return this
  }

  #nextDeadline(): Instant | undefined {
    const deadlines = [this.session.pollTimeout()]
    for (const { initiator, target } of this.joints)
      deadlines.push(initiator.pollTimeout(), target.pollTimeout())
    const due = deadlines.filter((deadline) => deadline !== undefined)
    return due.length === 0 ? undefined : Math.min(...due)
  }

  #expire(): void {
    const ends = this.joints.flatMap(({ initiator, target }) => [initiator, target])
    for (const end of [this.session, ...ends]) {
      const deadline = end.pollTimeout()
      if (deadline !== undefined && deadline <= this.now) end.handleTimeout(this.now)
    }
  }

  /** The TCP connection ends. */
  cut(joint: Joint | undefined): boolean {
    if (!joint?.isOpen) return false
    joint.isOpen = false
    joint.initiator.transportClosed('cut', this.now)
    joint.target.transportClosed('cut', this.now)
    return true
  }

  /** The open joint with this CID. */
  joint(cid: number): Joint {
    const joint = this.joints.find(({ isOpen, initiator }) => isOpen && initiator.cid === cid)
    assert.ok(joint, `no connection ${cid}`)
    return joint
  }

  /** Logs out; nothing is left. */
  finish(): void {
    this.fate = () => 'pass'
    this.session.logOut()
    this.run()
    for (const joint of this.joints) this.cut(joint)
    this.advance(120_000)
    assert.ok(this.kinds.includes('ended'))
    assert.equal(this.session.tasks.size, 0)
    assert.equal(this.pool.inUse, 0, 'buffers are left')
  }

  #takeEvents(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      if (event.kind !== 'connect') {
        this.events.push(event)
        continue
      }
      if (this.isUnreachable) event.connection.transportClosed('refused', this.now)
      else this.#join(event.connection)
    }
    for (const { target } of this.joints) while (target.pollEvent());
  }

  #join(initiator: InitiatorConnection): void {
    const target = new TargetConnection({
      host: this.target,
      pool: this.pool,
      limits: this.#targetLimits,
      budget: new MemoryBudget(2 ** 30),
      peerAddress: '127.0.0.1:50000',
      localAddress: '127.0.0.1:3260',
      now: this.now,
      wake: () => {},
    })
    this.joints.push({ initiator, target, isOpen: true })
    initiator.transportOpened(this.now)
  }

  #move(joint: Joint, from: End, to: End, fromTarget: boolean): boolean {
    if (!joint.isOpen || (!from.hasOutput && from.state !== 'closing')) return false
    const { headerDigest, dataDigest } = from
    const out = from.newTransmitVector()
    from.pollTransmit(out)
    const bytes = new Uint8Array(Buffer.concat(out.chunks))
    out.release()
    for (let at = 0; at < bytes.length && joint.isOpen; ) {
      const pdu = passing(bytes.subarray(at), joint.initiator.cid, fromTarget, headerDigest, dataDigest)
      at += pdu.bytes.length
      this.log.push(`${fromTarget ? '<' : '>'} ${pdu.name}`)
      const opcode = opcodeOf(pdu.view, 0)
      if (opcode === Opcode.loginRequest) this.logins.push(pdu)
      const isLogin = opcode === Opcode.loginRequest || opcode === Opcode.loginResponse
      const fate = isLogin ? 'pass' : this.fate(pdu)
      if (fate === 'drop') continue
      if (fate === 'cut') {
        this.cut(joint)
        return true
      }
      if (fate === 'spoil') pdu.bytes[pdu.dataAt] = (pdu.bytes[pdu.dataAt] as number) ^ 1
      const segment = this.pool.take(pdu.bytes.length)
      segment.bytes.set(pdu.bytes)
      to.receive(segment, 0, pdu.bytes.length, this.now)
      segment.release()
    }
    return true
  }
}

/** The first PDU of `bytes`. */
function passing(
  bytes: Uint8Array,
  cid: number,
  fromTarget: boolean,
  headerDigest: boolean,
  dataDigest: boolean,
): Passing {
  const view = viewOf(bytes)
  const dataBytes = dataSegmentLengthOf(view, 0)
  const dataAt = BHS_BYTES + ahsLengthOf(view, 0) + (headerDigest ? 4 : 0)
  const lengthBytes = dataAt + pad4(dataBytes) + (dataDigest && dataBytes > 0 ? 4 : 0)
  assert.ok(bytes.length >= lengthBytes, 'a whole PDU')
  const own = bytes.slice(0, lengthBytes)
  return {
    cid,
    fromTarget,
    name: opcodeName(opcodeOf(view, 0)),
    view: viewOf(own),
    bytes: own,
    dataAt,
    dataBytes,
  }
}
