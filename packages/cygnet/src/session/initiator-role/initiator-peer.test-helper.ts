import assert from 'node:assert/strict'
import type { Instant } from '../../base/clock.ts'
import { BufferPool } from '../../base/pool.ts'
import { serialAdd } from '../../base/serial32.ts'
import { opcodeOf } from '../../pdu/bhs.ts'
import {
  decodeLoginRequest,
  encodeLoginResponse,
  type LoginRequest,
  type LoginResponse,
} from '../../pdu/login.ts'
import { Opcode } from '../../pdu/opcodes.ts'
import { encodeText, parseText } from '../../pdu/text.ts'
import { loginOptions } from '../both-roles.test-helper.ts'
import { InitiatorConnection } from './initiator-connection.ts'
import { RecordingOwner } from './initiator-owner.test-helper.ts'
import type { InitiatorEvent } from './initiator-events.ts'
import { defaultInitiatorLimits, type InitiatorLimits } from './initiator-limits.ts'
import type { InitiatorLoginOptions } from './initiator-login.ts'
import type { Pair } from '../negotiator.ts'
import { type Answer, NO_DIGESTS, takeAnswer, wirePdu } from '../wire.test-helper.ts'

const NOTHING = new Uint8Array(0)

/** What the target says in the security stage where it has no objections. */
export const GROUP_TAG: Pair = ['TargetPortalGroupTag', '1']
export const NO_AUTH: Pair = ['AuthMethod', 'None']

/** A target by hand: reads what an InitiatorConnection sends, and answers what the test says. */
export class InitiatorPeer {
  readonly pool = new BufferPool({ poison: true })
  readonly connection: InitiatorConnection
  readonly owner: RecordingOwner
  readonly events: InitiatorEvent[] = []
  readonly limits: InitiatorLimits
  now: Instant = 1000
  statSN = 500
  expCmdSN = 1
  maxCmdSN = 32
  /** The last login request. */
  login: LoginRequest | undefined

  constructor(login: Partial<InitiatorLoginOptions> = {}, limits: Partial<InitiatorLimits> = {}) {
    this.limits = { ...defaultInitiatorLimits, ...limits }
    this.owner = new RecordingOwner(this.events)
    this.connection = new InitiatorConnection({
      login: loginOptions(this.limits, login),
      limits: this.limits,
      pool: this.pool,
      now: this.now,
      owner: this.owner,
    })
    this.connection.transportOpened(this.now)
  }

  get lastEvent(): InitiatorEvent | undefined {
    return this.events.at(-1)
  }

  /** The message of the failure that the last event is about. */
  get lastMessage(): string {
    const event = this.lastEvent
    if (event?.kind === 'failed') return event.message
    return event && 'failure' in event ? event.failure.message : ''
  }

  feed(bytes: Uint8Array): void {
    const segment = this.pool.take(bytes.length)
    segment.bytes.set(bytes)
    this.connection.receive(segment, 0, bytes.length, this.now)
    segment.release()
  }

  /** All that the initiator has to send now. */
  poll(): Answer[] {
    const requests: Answer[] = []
    while (this.connection.hasOutput) {
      const out = this.connection.newTransmitVector()
      this.connection.pollTransmit(out)
      let bytes: Uint8Array = new Uint8Array(Buffer.concat(out.chunks))
      out.release()
      for (let next = takeAnswer(bytes, NO_DIGESTS); next; next = takeAnswer(bytes, NO_DIGESTS)) {
        requests.push(next.answer)
        bytes = bytes.subarray(next.lengthBytes)
      }
    }
    return requests
  }

  exchange(encode: (view: DataView, at: number) => void, data: Uint8Array = NOTHING): Answer[] {
    this.feed(wirePdu(encode, data, NO_DIGESTS))
    return this.poll()
  }

  /** The numbers of the next response. */
  numbers(advances = true): { statSN: number; expCmdSN: number; maxCmdSN: number } {
    const { statSN, expCmdSN, maxCmdSN } = this
    if (advances) this.statSN = serialAdd(statSN, 1)
    return { statSN, expCmdSN, maxCmdSN }
  }

  /** The login request that comes now, and its keys. */
  loginRequest(): { header: LoginRequest; keys: Map<string, string> } {
    const [answer] = this.poll()
    assert.ok(answer, `no login request came: ${this.lastMessage}`)
    assert.equal(opcodeOf(answer.view, 0), Opcode.loginRequest)
    this.login = decodeLoginRequest(answer.view, 0)
    const text = parseText([answer.data])
    return { header: this.login, keys: new Map(text.ok ? text.pairs : []) }
  }

  /** Answers it, with T where it asked for T. */
  answerLogin(pairs: readonly Pair[] | Uint8Array, more: Partial<LoginResponse> = {}): void {
    const request = this.login as LoginRequest
    const data = pairs instanceof Uint8Array ? pairs : encodeText(pairs)
    const transit = more.transit ?? request.transit
    const response: LoginResponse = {
      transit,
      continue: false,
      csg: request.csg,
      nsg: transit ? request.nsg : 0,
      versionMax: 0,
      versionActive: 0,
      dataSegmentLength: data.length,
      isid: request.isid,
      tsih: transit && request.nsg === 3 ? 7 : 0,
      initiatorTaskTag: request.initiatorTaskTag,
      statusClass: 0,
      statusDetail: 0,
      ...this.numbers(),
      ...more,
    }
    this.feed(wirePdu((view, at) => encodeLoginResponse(view, at, response), data, NO_DIGESTS))
  }

  /** Up to the first operational request, whose keys are returned. */
  toOperational(): Map<string, string> {
    this.loginRequest()
    this.answerLogin([NO_AUTH, GROUP_TAG])
    return this.loginRequest().keys
  }

  /** Agrees to all that is proposed. */
  agree(keys: ReadonlyMap<string, string>, more: readonly Pair[] = []): Pair[] {
    const negotiated = [...keys].filter(([name]) => name !== 'MaxRecvDataSegmentLength')
    const answers = negotiated.map(([name, value]): Pair => [name, value.split(',')[0] as string])
    const changed = new Map(more)
    return [...answers.filter(([name]) => !changed.has(name)), ...more]
  }

  logIn(): this {
    this.answerLogin(this.agree(this.toOperational()))
    this.poll()
    assert.equal(this.lastEvent?.kind, 'logged-in', this.lastMessage)
    return this
  }

  advance(ms: number): Answer[] {
    this.now += ms
    const deadline = this.connection.pollTimeout()
    if (deadline !== undefined && deadline <= this.now) this.connection.handleTimeout(this.now)
    return this.poll()
  }
}
