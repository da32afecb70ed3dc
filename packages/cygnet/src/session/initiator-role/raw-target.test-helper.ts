import assert from 'node:assert/strict'
import type { Instant } from '../../base/clock.ts'
import { BufferPool } from '../../base/pool.ts'
import { serialAdd } from '../../base/serial32.ts'
import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { type AsyncMessage, encodeAsyncMessage } from '../../pdu/async-message.ts'
import { type DataIn, encodeDataIn, encodeR2T, type R2T } from '../../pdu/data.ts'
import { decodeLoginRequest, encodeLoginResponse, type LoginRequest } from '../../pdu/login.ts'
import { encodeLogoutResponse, type LogoutResponse } from '../../pdu/logout.ts'
import { encodeNopIn } from '../../pdu/nop.ts'
import { Opcode } from '../../pdu/opcodes.ts'
import { encodeScsiResponse, type ScsiResponse } from '../../pdu/scsi-response.ts'
import { encodeTaskManagementResponse } from '../../pdu/task-management.ts'
import { encodeText, parseText } from '../../pdu/text.ts'
import { HOST_NAME } from '../both-roles.test-helper.ts'
import { TARGET_NAME } from '../target-role/fake-target.test-helper.ts'
import type { InitiatorConnection } from './initiator-connection.ts'
import { defaultInitiatorLimits, type InitiatorLimits } from './initiator-limits.ts'
import { defaultSessionPolicy, type SessionPolicy } from './initiator-policy.ts'
import { noAuthentication } from './initiator-security.ts'
import { InitiatorSession } from './initiator-session.ts'
import type { SessionEvent } from './initiator-session-events.ts'
import type { Pair } from '../negotiator.ts'
import type { PortalAddress } from '../portal-address.ts'
import { ScsiRequest, type ScsiRequestOptions, type ScsiResult } from './scsi-request.ts'
import { type Answer, NO_DIGESTS, takeAnswer, wirePdu } from '../wire.test-helper.ts'

const NOTHING = new Uint8Array(0)
const TSIH = 7

export interface RawTargetOptions {
  readonly policy?: Partial<SessionPolicy>
  readonly limits?: Partial<InitiatorLimits>
  /** What the target answers where it does not agree to all that is offered. */
  readonly keys?: readonly Pair[]
  /** The first CmdSN. */
  readonly cmdSN?: number
}

/** A request of the initiator, and where it came. */
export interface Request extends Answer {
  readonly cid: number
}

/** What became of a request; `result` is undefined while nothing has. */
export interface Executed {
  readonly request: ScsiRequest
  result: ScsiResult | undefined
}

/** One connection, with the target's numbers. */
class Line {
  readonly connection: InitiatorConnection
  statSN = 500
  login: LoginRequest | undefined

  constructor(connection: InitiatorConnection) {
    this.connection = connection
  }
}

/** A target by hand, for an InitiatorSession: it logs in every connection and leaves the rest to the test. */
export class RawTarget {
  readonly pool = new BufferPool({ poison: true })
  readonly session: InitiatorSession
  readonly events: SessionEvent[] = []
  /** Every login request, in order. */
  readonly logins: LoginRequest[] = []
  now: Instant = 1000
  /** ExpCmdSN; counts what comes in order. */
  expCmdSN = 0
  depth = 16
  /** Where the target sends those that want to log in. */
  redirect: (login: LoginRequest) => string | undefined = () => undefined
  /** What the session was asked to connect to, in order; undefined: where it always goes. */
  readonly portals: (PortalAddress | undefined)[] = []
  readonly #keys: ReadonlyMap<string, string>
  readonly #lines = new Map<number, Line>()

  constructor(options: RawTargetOptions = {}) {
    this.#keys = new Map(options.keys)
    const cmdSN = options.cmdSN ?? 1
    this.session = new InitiatorSession({
      pool: this.pool,
      now: this.now,
      wake: () => {},
      random: (lengthBytes) =>
        Uint8Array.from({ length: lengthBytes }, (_, at) => (cmdSN >>> (8 * (lengthBytes - 1 - at))) & 0xff),
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
      digests: { header: ['None'], data: ['None'] },
    })
  }

  /** Logs in all connections. */
  open(): this {
    this.session.start(this.now)
    assert.deepEqual(this.poll(), [])
    assert.ok(
      this.events.some(({ kind }) => kind === 'logged-in'),
      JSON.stringify(this.events),
    )
    return this
  }

  get kinds(): string[] {
    return this.events.map(({ kind }) => kind)
  }

  line(cid = 1): Line {
    const line = this.#lines.get(cid)
    assert.ok(line, `no connection ${cid}`)
    return line
  }

  execute(options: Partial<ScsiRequestOptions> = {}): Executed {
    const executed: Executed = {
      request: new ScsiRequest({ lun: 0, cdb: NOTHING, ...withCdb(options) }, (result) => {
        executed.result = result
      }),
      result: undefined,
    }
    this.session.execute(executed.request)
    return executed
  }

  /** What the initiator has sent, login requests aside: those are answered. */
  poll(): Request[] {
    const requests: Request[] = []
    for (let isQuiet = false, rounds = 0; !isQuiet; rounds++) {
      assert.ok(rounds < 1000, 'the initiator does not come to rest')
      isQuiet = true
      for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
        isQuiet = false
        if (event.kind === 'connect') {
          this.portals.push(event.portal)
          this.#lines.set(event.connection.cid, new Line(event.connection))
          event.connection.transportOpened(this.now)
        } else this.events.push(event)
      }
      for (const line of [...this.#lines.values()]) {
        for (const answer of output(line.connection)) {
          isQuiet = false
          if (answer.opcode === Opcode.loginRequest) this.#answerLogin(line, answer)
          else requests.push(this.#note(line, answer))
        }
      }
    }
    return requests
  }

  /** Sends a PDU to the initiator; what it sends then. */
  send(cid: number, encode: (view: DataView, at: number) => void, data: Uint8Array = NOTHING): Request[] {
    this.sendUnread(cid, encode, data)
    return this.poll()
  }

  /** Sends a PDU, and does not look at what comes. */
  sendUnread(cid: number, encode: (view: DataView, at: number) => void, data: Uint8Array = NOTHING): void {
    const { connection } = this.line(cid)
    const bytes = wirePdu(encode, data, NO_DIGESTS)
    const segment = this.pool.take(bytes.length)
    segment.bytes.set(bytes)
    connection.receive(segment, 0, bytes.length, this.now)
    segment.release()
  }

  /** Time passes, from deadline to deadline. */
  advance(ms: number): Request[] {
    const end = this.now + ms
    const requests = this.poll()
    for (let rounds = 0; ; ) {
      const ends = [this.session, ...[...this.#lines.values()].map(({ connection }) => connection)]
      const deadlines = ends.map((one) => one.pollTimeout()).filter((deadline) => deadline !== undefined)
      const due = Math.min(end + 1, ...deadlines)
      if (due > end) break
      rounds = due > this.now ? 0 : rounds + 1
      assert.ok(rounds < 100, 'a deadline that is met stays')
      this.now = Math.max(due, this.now)
      for (const one of ends) {
        const deadline = one.pollTimeout()
        if (deadline !== undefined && deadline <= this.now) one.handleTimeout(this.now)
      }
      requests.push(...this.poll())
    }
    this.now = end
    return requests
  }

  lose(cid: number): Request[] {
    this.line(cid).connection.transportClosed('reset', this.now)
    return this.poll()
  }

  /** The numbers of the next response of a connection. */
  numbers(cid: number, advances = true): { statSN: number; expCmdSN: number; maxCmdSN: number } {
    const line = this.line(cid)
    const { statSN } = line
    if (advances) line.statSN = serialAdd(statSN, 1)
    return { statSN, expCmdSN: this.expCmdSN, maxCmdSN: serialAdd(this.expCmdSN, this.depth - 1) }
  }

  respond(cid: number, more: Partial<ScsiResponse>, data: Uint8Array = NOTHING): Request[] {
    const response: ScsiResponse = {
      bidirectionalReadOverflow: false,
      bidirectionalReadUnderflow: false,
      residualOverflow: false,
      residualUnderflow: false,
      response: 0,
      status: 0,
      dataSegmentLength: data.length,
      initiatorTaskTag: RESERVED_TAG,
      snackTag: 0,
      expDataSN: 0,
      bidirectionalReadResidualCount: 0,
      residualCount: 0,
      ...(more.statSN === undefined ? this.numbers(cid) : this.numbers(cid, false)),
      ...more,
    }
    return this.send(cid, (view, at) => encodeScsiResponse(view, at, response), data)
  }

  dataIn(cid: number, more: Partial<DataIn>, data: Uint8Array): Request[] {
    const hasStatus = more.hasStatus ?? false
    const pdu: DataIn = {
      final: hasStatus,
      acknowledge: false,
      residualOverflow: false,
      residualUnderflow: false,
      hasStatus,
      status: 0,
      dataSegmentLength: data.length,
      lun: 0n,
      initiatorTaskTag: RESERVED_TAG,
      targetTransferTag: RESERVED_TAG,
      dataSN: 0,
      bufferOffset: 0,
      residualCount: 0,
      ...this.numbers(cid, hasStatus),
      ...more,
    }
    return this.send(cid, (view, at) => encodeDataIn(view, at, pdu), data)
  }

  r2t(cid: number, more: Partial<R2T>): Request[] {
    const pdu: R2T = {
      lun: 0n,
      initiatorTaskTag: RESERVED_TAG,
      targetTransferTag: 1,
      r2tSN: 0,
      bufferOffset: 0,
      desiredDataTransferLength: 512,
      ...this.numbers(cid, false),
      ...more,
    }
    return this.send(cid, (view, at) => encodeR2T(view, at, pdu))
  }

  managed(cid: number, initiatorTaskTag: number, response = 0): Request[] {
    const pdu = { response, initiatorTaskTag, ...this.numbers(cid) }
    return this.send(cid, (view, at) => encodeTaskManagementResponse(view, at, pdu))
  }

  loggedOut(cid: number, initiatorTaskTag: number, more: Partial<LogoutResponse> = {}): Request[] {
    const pdu = {
      response: 0,
      initiatorTaskTag,
      time2Wait: 0,
      time2Retain: 20,
      ...this.numbers(cid),
      ...more,
    }
    return this.send(cid, (view, at) => encodeLogoutResponse(view, at, pdu))
  }

  asyncMessage(cid: number, more: Partial<AsyncMessage>): Request[] {
    const pdu: AsyncMessage = {
      dataSegmentLength: 0,
      lun: 0n,
      asyncEvent: 0,
      asyncVCode: 0,
      parameter1: 0,
      parameter2: 0,
      parameter3: 0,
      ...this.numbers(cid),
      ...more,
    }
    return this.send(cid, (view, at) => encodeAsyncMessage(view, at, pdu))
  }

  /** A ping that also tells the initiator of a window. */
  nopIn(cid: number, targetTransferTag = RESERVED_TAG): Request[] {
    const pdu = {
      dataSegmentLength: 0,
      lun: 0n,
      initiatorTaskTag: RESERVED_TAG,
      targetTransferTag,
      ...this.numbers(cid, false),
    }
    return this.send(cid, (view, at) => encodeNopIn(view, at, pdu))
  }

  /** Every connection ends, and with them the session; nothing is left. */
  finish(): void {
    this.session.logOut()
    this.poll()
    for (const { connection } of this.#lines.values()) connection.transportClosed('end of test', this.now)
    this.poll()
    assert.equal(this.pool.inUse, 0, 'buffers are left')
  }

  #note({ connection }: Line, answer: Answer): Request {
    const { opcode, view } = answer
    const isImmediate = (view.getUint8(0) & 0x40) !== 0
    const isNumbered = opcode !== Opcode.dataOut && opcode !== Opcode.snackRequest
    if (isNumbered && !isImmediate && view.getUint32(24) === this.expCmdSN) {
      this.expCmdSN = serialAdd(this.expCmdSN, 1)
    }
    return { ...answer, cid: connection.cid }
  }

  #answerLogin(line: Line, { view, data }: Answer): void {
    const request = decodeLoginRequest(view, 0)
    if (!line.login) this.logins.push(request)
    const isFirst = line.login === undefined
    line.login = request
    if (request.tsih === 0) this.expCmdSN = request.cmdSN
    const text = parseText([data])
    assert.ok(text.ok)
    const pairs: Pair[] = isFirst ? [['TargetPortalGroupTag', '1']] : []
    for (const [key, value] of text.pairs) {
      if (notAnswered.has(key)) continue
      const answer = key === 'AuthMethod' ? 'None' : (this.#keys.get(key) ?? value.split(',')[0])
      pairs.push([key, answer ?? value])
    }
    const elsewhere = this.redirect(request)
    if (elsewhere !== undefined) pairs.splice(0, pairs.length, ['TargetAddress', elsewhere])
    const mine = this.#keys.get('MaxRecvDataSegmentLength')
    if (mine !== undefined && request.csg === 1) pairs.push(['MaxRecvDataSegmentLength', mine])
    const answer = encodeText(pairs)
    const response = {
      transit: request.transit && elsewhere === undefined,
      continue: false,
      csg: request.csg,
      nsg: request.transit && elsewhere === undefined ? request.nsg : 0,
      versionMax: 0,
      versionActive: 0,
      dataSegmentLength: answer.length,
      isid: request.isid,
      tsih: TSIH,
      initiatorTaskTag: request.initiatorTaskTag,
      statusClass: elsewhere === undefined ? 0 : 1,
      statusDetail: elsewhere === undefined ? 0 : 1,
      ...this.numbers(line.connection.cid),
    }
    const bytes = wirePdu((to, at) => encodeLoginResponse(to, at, response), answer, NO_DIGESTS)
    const segment = this.pool.take(bytes.length)
    segment.bytes.set(bytes)
    line.connection.receive(segment, 0, bytes.length, this.now)
    segment.release()
  }
}

/** Declared by the initiator alone. */
const notAnswered: ReadonlySet<string> = new Set([
  'InitiatorName',
  'InitiatorAlias',
  'TargetName',
  'SessionType',
  'MaxRecvDataSegmentLength',
])

const withCdb = (options: Partial<ScsiRequestOptions>): Partial<ScsiRequestOptions> => ({
  cdb: new Uint8Array(16),
  ...options,
})

function* output(connection: InitiatorConnection): Generator<Answer> {
  while (connection.hasOutput) {
    const out = connection.newTransmitVector()
    connection.pollTransmit(out)
    let bytes: Uint8Array = new Uint8Array(Buffer.concat(out.chunks))
    out.release()
    for (let next = takeAnswer(bytes, NO_DIGESTS); next; next = takeAnswer(bytes, NO_DIGESTS)) {
      yield next.answer
      bytes = bytes.subarray(next.lengthBytes)
    }
  }
}
