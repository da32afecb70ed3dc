import { MemoryBudget } from './memory-budget.ts'
import assert from 'node:assert/strict'
import type { Instant } from '../../base/clock.ts'
import { BufferPool } from '../../base/pool.ts'
import { serialAdd, serialLess } from '../../base/serial32.ts'
import { BHS_BYTES, RESERVED_TAG } from '../../pdu/bhs.ts'
import { LoginStage } from '../../pdu/codes.ts'
import { type DataOut, encodeDataOut } from '../../pdu/data.ts'
import { encodeLoginRequest, type LoginRequest } from '../../pdu/login.ts'
import { encodeLogoutRequest, type LogoutRequest } from '../../pdu/logout.ts'
import { encodeNopOut, type NopOut } from '../../pdu/nop.ts'
import { Opcode } from '../../pdu/opcodes.ts'
import { encodeScsiCommand, type ScsiCommand } from '../../pdu/scsi-command.ts'
import { encodeTaskManagementRequest, type TaskManagementRequest } from '../../pdu/task-management.ts'
import { encodeText } from '../../pdu/text.ts'
import { encodeTextRequest, type TextRequest } from '../../pdu/text-pdu.ts'
import { FakeTarget, TARGET_NAME } from './fake-target.test-helper.ts'
import { defaultTargetLimits, type TargetLimits } from '../limits.ts'
import type { Pair } from '../negotiator.ts'
import { type ConnectionEvent, TargetConnection } from './target-connection.ts'
import type { TargetHost } from './target-host.ts'
import { type Answer, asLogin, type Digests, NO_DIGESTS, takeAnswer, wirePdu } from '../wire.test-helper.ts'

export const INITIATOR_NAME = 'iqn.2026-11.test:host'
const NOTHING = new Uint8Array(0)

export interface PeerOptions {
  /** One of its own where not given. */
  readonly budget?: MemoryBudget
  readonly limits?: Partial<TargetLimits>
  readonly host?: TargetHost
  readonly pool?: BufferPool
  readonly localAddress?: string
  /** Bytes that arrive at a time. */
  readonly chunkBytes?: number
}

export const namesPairs = (more: readonly Pair[] = []): Pair[] => [
  ['InitiatorName', INITIATOR_NAME],
  ['TargetName', TARGET_NAME],
  ...more,
]

/**
 * §11.16: what is sent again is what was sent, but for ExpCmdSN, MaxCmdSN and ExpDataSN; §11.16.3: unless it answers an R-Data
 * SNACK, with a SCSI Response that has its tag.
 */
function assertReplica(answer: Answer, first: Answer): void {
  const isResponse = answer.opcode === Opcode.scsiResponse
  if (isResponse && answer.view.getUint32(20) !== 0) return
  assert.equal(answer.name, first.name, 'a StatSN is used again')
  for (let at = 0; at < BHS_BYTES; at += 4) {
    const isCurrent = at === 28 || at === 32 || (isResponse && at === 36)
    if (!isCurrent)
      assert.equal(answer.view.getUint32(at), first.view.getUint32(at), `byte ${at} of ${answer.name}`)
  }
  assert.deepEqual(answer.data, first.data)
}

/**
 * An initiator that feeds a TargetConnection and checks on every PDU what must always hold: digests, padding, StatSN
 * without gaps and what is repeated unchanged, MaxCmdSN and ExpCmdSN that never go back, MaxCmdSN >= ExpCmdSN - 1.
 */
export class TestPeer {
  readonly pool: BufferPool
  readonly target: FakeTarget
  readonly connection: TargetConnection
  readonly events: ConnectionEvent[] = []
  now: Instant = 1000
  cmdSN = 1
  tag = 1
  /** Digests of what we send and of what comes. */
  digests: Digests = NO_DIGESTS
  expStatSN: number | undefined
  expCmdSN: number | undefined
  maxCmdSN: number | undefined
  tsih = 0
  isid = new Uint8Array([0x80, 1, 2, 3, 4, 5])
  readonly #chunkBytes: number
  /** What came with each StatSN. */
  readonly #numbered = new Map<number, Answer>()

  constructor(options: PeerOptions = {}) {
    this.pool = options.pool ?? new BufferPool({ poison: true })
    this.target = options.host instanceof FakeTarget ? options.host : new FakeTarget(this.pool)
    this.#chunkBytes = options.chunkBytes ?? Infinity
    this.connection = new TargetConnection({
      host: options.host ?? this.target,
      pool: this.pool,
      limits: { ...defaultTargetLimits, ...options.limits },
      budget: options.budget ?? new MemoryBudget(2 ** 30),
      peerAddress: '127.0.0.1:50000',
      localAddress: options.localAddress ?? '127.0.0.1:3260',
      now: this.now,
      wake: () => {},
    })
  }

  get state(): string {
    return this.connection.state
  }

  /** The explanation of the last refusal, reject or drop. */
  get lastReason(): string {
    const event = this.events.at(-1)
    if (event?.kind === 'rejected') return event.explanation
    return event && 'reason' in event ? event.reason : ''
  }

  // Bytes

  feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += this.#chunkBytes) {
      const chunk = bytes.subarray(at, at + this.#chunkBytes)
      const segment = this.pool.take(chunk.length)
      segment.bytes.set(chunk)
      this.connection.receive(segment, 0, chunk.length, this.now)
      segment.release()
    }
  }

  /** All that the target has to send now. */
  poll(): Answer[] {
    const answers: Answer[] = []
    for (let more = true; more; ) {
      const out = this.connection.newTransmitVector()
      more = this.connection.pollTransmit(out)
      let bytes: Uint8Array = new Uint8Array(Buffer.concat(out.chunks))
      assert.equal(bytes.length, out.lengthBytes, 'lengthBytes of the batch')
      out.release()
      for (let next = takeAnswer(bytes, this.digests); next; next = takeAnswer(bytes, this.digests)) {
        this.#check(next.answer)
        answers.push(next.answer)
        bytes = bytes.subarray(next.lengthBytes)
      }
      assert.equal(bytes.length, 0, 'the target sends whole PDUs')
    }
    for (let event = this.connection.pollEvent(); event; event = this.connection.pollEvent()) {
      this.events.push(event)
    }
    return answers
  }

  exchange(bytes: Uint8Array): Answer[] {
    this.feed(bytes)
    return this.poll()
  }

  wire(
    encode: (view: DataView, at: number) => void,
    data: Uint8Array = NOTHING,
    options: Parameters<typeof wirePdu>[3] = {},
  ): Uint8Array {
    return wirePdu(encode, data, this.digests, options)
  }

  /** Time passes. */
  advance(ms: number): Answer[] {
    this.now += ms
    const deadline = this.connection.pollTimeout()
    if (deadline !== undefined && deadline <= this.now) this.connection.handleTimeout(this.now)
    return this.poll()
  }

  /** The connection ends; everything must be back in the pool. */
  finish(): void {
    this.connection.transportClosed('end of test', this.now)
    // Its session may be kept for Time2Wait and Time2Retain.
    for (let due = this.connection.pollTimeout(); due !== undefined; due = this.connection.pollTimeout()) {
      this.now = Math.max(this.now, due)
      this.connection.handleTimeout(this.now)
    }
    this.target.finishHeld()
    this.poll()
    assert.equal(this.state, 'closed')
    this.assertAtRest()
    assert.equal(this.target.sessions.size, 0, 'sessions are left')
  }

  assertAtRest(): void {
    assert.equal(this.pool.inUse, 0, 'buffers are left')
  }

  // Requests

  loginRequest(pairs: readonly Pair[] | Uint8Array, more: Partial<LoginRequest> = {}): Uint8Array {
    const data = pairs instanceof Uint8Array ? pairs : encodeText(pairs)
    const request: LoginRequest = {
      transit: true,
      continue: false,
      csg: LoginStage.loginOperationalNegotiation,
      nsg: LoginStage.fullFeaturePhase,
      versionMax: 0,
      versionMin: 0,
      dataSegmentLength: data.length,
      isid: this.isid,
      tsih: this.tsih,
      initiatorTaskTag: 0xabcd,
      cid: 1,
      cmdSN: this.cmdSN,
      expStatSN: this.expStatSN ?? 0,
      ...more,
    }
    return this.wire((view, at) => encodeLoginRequest(view, at, request), data)
  }

  login(pairs: readonly Pair[] | Uint8Array, more: Partial<LoginRequest> = {}): Answer[] {
    return this.exchange(this.loginRequest(pairs, more))
  }

  /** Logs in to the full feature phase in one exchange, and begins digests where they were agreed on. */
  logIn(more: readonly Pair[] = []): Answer {
    const answers = this.login(namesPairs(more))
    const [answer] = answers
    const response = asLogin(answer)
    assert.equal(response.statusClass, 0, this.lastReason)
    assert.ok(response.transit, 'the login needs more exchanges')
    assert.ok(answer)
    const text = Buffer.from(answer.data).toString()
    this.digests = {
      header: text.includes('HeaderDigest=CRC32C'),
      data: text.includes('DataDigest=CRC32C'),
    }
    return answer
  }

  commandBytes(
    cdb: Uint8Array,
    more: Partial<ScsiCommand> = {},
    data: Uint8Array = NOTHING,
    options: Parameters<typeof wirePdu>[3] = {},
  ): Uint8Array {
    const command: ScsiCommand = {
      immediate: false,
      final: true,
      read: false,
      write: false,
      attribute: 1,
      totalAhsLength: 0,
      dataSegmentLength: data.length,
      lun: 0n,
      initiatorTaskTag: more.initiatorTaskTag ?? this.tag++,
      expectedDataTransferLength: 0,
      cmdSN: more.cmdSN ?? this.cmdSN,
      expStatSN: this.expStatSN ?? 0,
      cdb,
      ...more,
    }
    if (!command.immediate && more.cmdSN === undefined) this.cmdSN = serialAdd(this.cmdSN, 1)
    return this.wire((view, at) => encodeScsiCommand(view, at, command), data, options)
  }

  command(
    cdb: Uint8Array,
    more: Partial<ScsiCommand> = {},
    data: Uint8Array = NOTHING,
    options: Parameters<typeof wirePdu>[3] = {},
  ): Answer[] {
    return this.exchange(this.commandBytes(cdb, more, data, options))
  }

  dataOutBytes(
    more: Partial<DataOut> & Pick<DataOut, 'initiatorTaskTag'>,
    data: Uint8Array,
    spoilData = false,
  ): Uint8Array {
    const pdu: DataOut = {
      final: true,
      dataSegmentLength: data.length,
      lun: 0n,
      targetTransferTag: RESERVED_TAG,
      expStatSN: this.expStatSN ?? 0,
      dataSN: 0,
      bufferOffset: 0,
      ...more,
    }
    return this.wire((view, at) => encodeDataOut(view, at, pdu), data, { spoilData })
  }

  dataOut(
    more: Partial<DataOut> & Pick<DataOut, 'initiatorTaskTag'>,
    data: Uint8Array,
    spoilData = false,
  ): Answer[] {
    return this.exchange(this.dataOutBytes(more, data, spoilData))
  }

  taskManagement(more: Partial<TaskManagementRequest> & Pick<TaskManagementRequest, 'function'>): Answer[] {
    const request: TaskManagementRequest = {
      immediate: true,
      lun: 0n,
      initiatorTaskTag: 0x9000_0000 + this.tag++,
      referencedTaskTag: RESERVED_TAG,
      cmdSN: more.cmdSN ?? this.cmdSN,
      expStatSN: this.expStatSN ?? 0,
      refCmdSN: 0,
      expDataSN: 0,
      ...more,
    }
    if (!request.immediate && more.cmdSN === undefined) this.cmdSN = serialAdd(this.cmdSN, 1)
    return this.exchange(this.wire((view, at) => encodeTaskManagementRequest(view, at, request)))
  }

  nopOut(more: Partial<NopOut> = {}, ping: Uint8Array = NOTHING): Answer[] {
    const request: NopOut = {
      immediate: true,
      dataSegmentLength: ping.length,
      lun: 0n,
      initiatorTaskTag: this.tag++,
      targetTransferTag: RESERVED_TAG,
      cmdSN: more.cmdSN ?? this.cmdSN,
      expStatSN: this.expStatSN ?? 0,
      ...more,
    }
    if (!request.immediate && more.cmdSN === undefined) this.cmdSN = serialAdd(this.cmdSN, 1)
    return this.exchange(this.wire((view, at) => encodeNopOut(view, at, request), ping))
  }

  text(pairs: readonly Pair[] | Uint8Array, more: Partial<TextRequest> = {}): Answer[] {
    const data = pairs instanceof Uint8Array ? pairs : encodeText(pairs)
    const request: TextRequest = {
      immediate: true,
      final: true,
      continue: false,
      dataSegmentLength: data.length,
      lun: 0n,
      initiatorTaskTag: 0x7000,
      targetTransferTag: RESERVED_TAG,
      cmdSN: more.cmdSN ?? this.cmdSN,
      expStatSN: this.expStatSN ?? 0,
      ...more,
    }
    if (!request.immediate && more.cmdSN === undefined) this.cmdSN = serialAdd(this.cmdSN, 1)
    return this.exchange(this.wire((view, at) => encodeTextRequest(view, at, request), data))
  }

  logout(more: Partial<LogoutRequest> = {}): Answer[] {
    const request: LogoutRequest = {
      immediate: true,
      reasonCode: 0,
      initiatorTaskTag: this.tag++,
      cid: 1,
      cmdSN: more.cmdSN ?? this.cmdSN,
      expStatSN: this.expStatSN ?? 0,
      ...more,
    }
    if (!request.immediate && more.cmdSN === undefined) this.cmdSN = serialAdd(this.cmdSN, 1)
    return this.exchange(this.wire((view, at) => encodeLogoutRequest(view, at, request)))
  }

  // What must hold for every PDU

  #check(answer: Answer): void {
    const { opcode, view, name } = answer
    if (opcode === Opcode.loginResponse && view.getUint8(36) !== 0) return
    const statSN = view.getUint32(24)
    const flags = view.getUint8(1)
    const isUnsolicitedNop = opcode === Opcode.nopIn && view.getUint32(16) === RESERVED_TAG
    const hasStatus = opcode !== Opcode.dataIn || (flags & 1) !== 0
    if (hasStatus) {
      this.expStatSN ??= statSN
      const isNumbered = opcode !== Opcode.r2t && !isUnsolicitedNop
      const first = isNumbered && this.connection.isRecoverable ? this.#numbered.get(statSN) : undefined
      if (first) assertReplica(answer, first)
      else {
        assert.equal(statSN, this.expStatSN, `StatSN of ${name}`)
        if (isNumbered) this.expStatSN = serialAdd(statSN, 1)
        if (isNumbered && opcode !== Opcode.loginResponse) this.#numbered.set(statSN, answer)
      }
    }
    const expCmdSN = view.getUint32(28)
    const maxCmdSN = view.getUint32(32)
    assert.ok(!serialLess(serialAdd(maxCmdSN, 1), expCmdSN), `MaxCmdSN < ExpCmdSN - 1 in ${name}`)
    if (this.expCmdSN !== undefined) assert.ok(!serialLess(expCmdSN, this.expCmdSN), 'ExpCmdSN went back')
    if (this.maxCmdSN !== undefined) assert.ok(!serialLess(maxCmdSN, this.maxCmdSN), 'MaxCmdSN went back')
    this.expCmdSN = expCmdSN
    this.maxCmdSN = maxCmdSN
  }
}
