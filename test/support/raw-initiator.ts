/**
 * A small iSCSI initiator for tests, close to the wire. Three levels, freely mixed on one connection:
 *  - `write(bytes)`: anything at all;
 *  - `send(bhs, data)` and `receive()`: one PDU, numbered by the caller or with `bhs(op, …)`;
 *  - `login`, `command`, `text`, `ping`, `taskManagement`, `logout`: a whole exchange, checked as it goes (order, DataSN, offsets,
 *    lengths, digests, padding), any number at once.
 *
 * A PDU whose ITT belongs to a running exchange goes to it; every other one waits for `receive()`. Pings of the target are
 * answered, unless `answerPings` is false, and never reach `receive()`. Asynchronous messages are also kept in `asyncMessages`.
 */
import { connect as connectTcp } from 'node:net'
import type { Socket } from 'node:net'
import { type CommandOptions, CommandExchange, type CommandResult } from './raw-command.ts'
import {
  type Bytes,
  type BhsFields,
  type Digests,
  type FrameOptions,
  buildBhs,
  cutPdu,
  decodeTextPairs,
  encodeText,
  frame,
  NO_TAG,
  Op,
  type ReceivedPdu,
} from './raw-pdu.ts'

export * from './raw-pdu.ts'
export type { CommandOptions, CommandResult } from './raw-command.ts'

const NO_DATA = Buffer.alloc(0)
const DEFAULT_TIMEOUT_MS = 10_000

export interface LoginOptions {
  /** Target to log in to; without one, a discovery session. */
  readonly target?: string
  readonly initiatorName?: string
  /** Declared or offered in the operational stage, over the defaults. An empty string as value removes a default key. */
  readonly keys?: Readonly<Record<string, string>>
  /** Stages to go through, ending in the full-feature phase. Default: the operational stage alone. */
  readonly stages?: readonly ('security' | 'operational')[]
  /** Six bytes. */
  readonly isid?: Uint8Array
  readonly tsih?: number
  readonly cid?: number
}

export interface LoginResult {
  /** 0 is success. */
  readonly statusClass: number
  readonly statusDetail: number
  readonly tsih: number
  /** What the target declared and answered. */
  readonly keys: ReadonlyMap<string, string>
  readonly pdus: readonly ReceivedPdu[]
}

/** What login settled, and RFC 7143 §13 defaults where nothing was said. */
export interface Negotiated {
  /** The target's receive limit for a data segment, in bytes. */
  targetMaxRecvDataSegmentLength: number
  maxBurstLength: number
  firstBurstLength: number
  initialR2T: boolean
  immediateData: boolean
}

interface Exchange {
  /** Returns true when the exchange is complete. */
  receive(pdu: ReceivedPdu): boolean
  fail(error: Error): void
}

interface Waiter {
  resolve(pdu: ReceivedPdu): void
  reject(error: Error): void
}

/** RFC 7143 §4.2.2.1, §11.2.1.8: one numbering for all connections of a session, and tags that none of their tasks share. */
class SessionNumbers {
  nextItt = 1
  cmdSn = 1
  expCmdSn = 1
  maxCmdSn = 1
  /** Called when MaxCmdSN has moved. */
  readonly waiters = new Set<() => void>()
}

/** `a` before `b` in RFC 1982 arithmetic of 32 bits. */
const before = (a: number, b: number): boolean => ((a - b) | 0) < 0

let nextInitiator = 0

export class RawInitiator {
  readonly socket: Socket
  readonly digests: Digests = { header: false, data: false }
  readonly negotiated: Negotiated = {
    targetMaxRecvDataSegmentLength: 8192,
    maxBurstLength: 262144,
    firstBurstLength: 65536,
    initialR2T: true,
    immediateData: true,
  }
  readonly asyncMessages: ReceivedPdu[] = []
  /** Resolves when the target has closed or reset the connection, or `close` was called. */
  readonly closed: Promise<void>
  answerPings = true
  expStatSn = 0
  /** Bytes and PDUs received so far. */
  receivedBytes = 0
  timeoutMs = DEFAULT_TIMEOUT_MS

  #pending: Bytes[] = []
  #pendingBytes = 0
  /** No PDU can be complete below this many pending bytes. */
  #needBytes = 48
  #isClosed = false
  #failure: Error | undefined
  #loginKeys = new Map<string, string>()
  readonly #inbox: ReceivedPdu[] = []
  readonly #waiters: Waiter[] = []
  readonly #exchanges = new Map<number, Exchange>()
  #numbers = new SessionNumbers()

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', (error) => {
      this.#failure ??= error
    })
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#isClosed = true
        this.#fail(this.#failure ?? new Error('the connection was closed'))
        resolve()
      })
    })
  }

  /** `localAddress`: where the connection shall come from, such as 127.0.0.2. */
  static connect(port: number, host = '127.0.0.1', localAddress?: string): Promise<RawInitiator> {
    return new Promise((resolve, reject) => {
      const socket = connectTcp({ port, host, ...(localAddress === undefined ? {} : { localAddress }) })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawInitiator(socket))
      })
    })
  }

  /** Connects and logs in, or throws. */
  static async open(port: number, options: LoginOptions): Promise<RawInitiator> {
    const initiator = await RawInitiator.connect(port)
    const { statusClass, statusDetail } = await initiator.login(options)
    if (statusClass === 0) return initiator
    initiator.close()
    throw new Error(`login failed with status class ${statusClass}, detail ${statusDetail}`)
  }

  /** From now on, commands are numbered together with those of another connection: both are of one session. */
  joinSession(other: RawInitiator): void {
    this.#numbers = other.#numbers
  }

  get cmdSn(): number {
    return this.#numbers.cmdSn
  }
  set cmdSn(cmdSn: number) {
    this.#numbers.cmdSn = cmdSn
  }
  get expCmdSn(): number {
    return this.#numbers.expCmdSn
  }
  get maxCmdSn(): number {
    return this.#numbers.maxCmdSn
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** A tag that no exchange of this session uses. */
  allocateItt(): number {
    return this.#numbers.nextItt++
  }

  /** A BHS with this connection's ExpStatSN and next CmdSN, which is used up unless the PDU is immediate or carries none. */
  bhs(opcode: number, fields: BhsFields = {}): Buffer {
    const takesCmdSn =
      !fields.immediate && opcode !== Op.dataOut && opcode !== Op.snack && opcode !== Op.login
    const cmdSn = fields.cmdSn ?? (opcode === Op.dataOut ? 0 : this.cmdSn)
    if (takesCmdSn && fields.cmdSn === undefined) this.cmdSn = (this.cmdSn + 1) >>> 0
    return buildBhs(opcode, { expStatSn: this.expStatSn, ...fields, cmdSn })
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  send(bhs: Uint8Array, data: Uint8Array = NO_DATA, options: FrameOptions = {}): void {
    this.socket.write(frame(bhs, data, this.digests, options))
  }

  /** The next PDU that no exchange claims. */
  receive(timeoutMs = this.timeoutMs): Promise<ReceivedPdu> {
    const waiting = this.#inbox.shift()
    if (waiting !== undefined) return Promise.resolve(waiting)
    return this.#wait(this.#waiters, timeoutMs, 'a PDU')
  }

  /** True when the target closes the connection within the time. */
  async closesWithin(timeoutMs: number): Promise<boolean> {
    if (this.#isClosed) return true
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs)
    })
    const result = await Promise.race([this.closed.then(() => true), late])
    clearTimeout(timer)
    return result
  }

  async login(options: LoginOptions = {}): Promise<LoginResult> {
    const stages = options.stages ?? ['operational']
    const isid = options.isid ?? Buffer.from([0x80, 0, 0, 0, nextInitiator >>> 8, nextInitiator++ & 0xff])
    const itt = this.allocateItt()
    const pdus: ReceivedPdu[] = []
    this.#loginKeys = new Map()
    const identity: Record<string, string> = {
      InitiatorName: options.initiatorName ?? 'iqn.2026-11.dev.example:raw',
      // Of leading logins only.
      ...(options.tsih ? {} : { SessionType: options.target === undefined ? 'Discovery' : 'Normal' }),
      ...(options.target === undefined ? {} : { TargetName: options.target }),
    }
    const operational: Record<string, string> = {
      HeaderDigest: 'None',
      DataDigest: 'None',
      MaxRecvDataSegmentLength: '262144',
      ...options.keys,
    }
    for (const [key, value] of Object.entries(operational)) if (value === '') delete operational[key]
    let tsih = options.tsih ?? 0
    for (const [index, stage] of stages.entries()) {
      const current = stage === 'security' ? 0 : 1
      const following = index + 1 < stages.length ? 1 : 3
      let keys = index === 0 ? identity : {}
      if (stage === 'security') keys = { ...keys, AuthMethod: 'None' }
      if (stage === 'operational') keys = { ...keys, ...operational }
      // Ask again with no keys where the target has more to say before it agrees to move on.
      for (let turn = 0; turn < 8; turn++) {
        const flags = 0x80 | (current << 2) | following
        const bhs = this.bhs(Op.login, { immediate: true, flags, itt, cmdSn: this.cmdSn })
        Buffer.from(isid).copy(bhs, 8)
        bhs.writeUInt16BE(tsih, 14)
        bhs.writeUInt16BE(options.cid ?? 0, 20)
        this.send(bhs, turn === 0 ? encodeText(keys) : NO_DATA)
        const pdu = await this.receive()
        pdus.push(pdu)
        if (pdu.opcode !== Op.loginResponse || pdu.itt !== itt)
          throw new Error(`not a login response: ${pdu.bhs.toString('hex')}`)
        const statusClass = pdu.bhs.readUInt8(36)
        tsih = pdu.bhs.readUInt16BE(14)
        if (statusClass !== 0) return this.#loginResult(statusClass, pdu, tsih, pdus)
        if (pdu.final) break
      }
    }
    const last = pdus.at(-1)
    if (last === undefined || (last.flags & 0x83) !== 0x83)
      throw new Error('login did not reach the full-feature phase')
    return this.#loginResult(0, last, tsih, pdus)
  }

  /** One SCSI command to its status. Waits for the command window first. */
  async command(cdb: Uint8Array | readonly number[], options: CommandOptions = {}): Promise<CommandResult> {
    if (!options.immediateDelivery) await this.#windowOpen()
    const exchange = new CommandExchange(this, Uint8Array.from(cdb), options)
    return this.#run(exchange.itt, exchange, () => exchange.start(), exchange.result, options.timeoutMs)
  }

  /** One PDU out, its answer back. */
  request(
    opcode: number,
    fields: BhsFields,
    data: Uint8Array = NO_DATA,
    edit?: (bhs: Buffer) => void,
  ): Promise<ReceivedPdu> {
    const itt = fields.itt ?? this.allocateItt()
    let settle: Waiter | undefined
    const result = new Promise<ReceivedPdu>((resolve, reject) => {
      settle = { resolve, reject }
    })
    const exchange: Exchange = {
      receive: (pdu) => {
        settle?.resolve(pdu)
        return true
      },
      fail: (error) => settle?.reject(error),
    }
    const start = (): void => {
      const bhs = this.bhs(opcode, { ...fields, itt })
      edit?.(bhs)
      this.send(bhs, data)
    }
    return this.#run(itt, exchange, start, result)
  }

  ping(data: Uint8Array = NO_DATA): Promise<ReceivedPdu> {
    return this.request(Op.nopOut, { immediate: true, word20: NO_TAG }, data)
  }

  text(keys: Readonly<Record<string, string>>): Promise<ReceivedPdu> {
    return this.request(Op.text, { word20: NO_TAG }, encodeText(keys))
  }

  async sendTargets(which = 'All'): Promise<[string, string][]> {
    return decodeTextPairs((await this.text({ SendTargets: which })).data)
  }

  /** The response code of byte 2. */
  async taskManagement(
    fn: number,
    options: { lun?: number; referencedItt?: number; refCmdSn?: number } = {},
  ): Promise<number> {
    const fields = {
      immediate: true,
      flags: 0x80 | fn,
      lun: options.lun ?? 0,
      word20: options.referencedItt ?? NO_TAG,
    }
    const answer = await this.request(Op.taskManagement, fields, NO_DATA, (bhs) => {
      bhs.writeUInt32BE(options.refCmdSn ?? 0, 32)
    })
    return answer.bhs.readUInt8(2)
  }

  /** The response code of byte 2; then the connection is ended. Reason 0 closes the session. */
  async logout(reason = 0): Promise<number> {
    const answer = await this.request(Op.logout, { immediate: true, flags: 0x80 | reason })
    this.close()
    await this.closed
    return answer.bhs.readUInt8(2)
  }

  close(): void {
    this.socket.destroy()
  }

  /** Ends the connection with a TCP reset. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  #loginResult(statusClass: number, pdu: ReceivedPdu, tsih: number, pdus: ReceivedPdu[]): LoginResult {
    return { statusClass, statusDetail: pdu.bhs.readUInt8(37), tsih, keys: this.#loginKeys, pdus }
  }

  async #run<T>(
    itt: number,
    exchange: Exchange,
    start: () => void,
    result: Promise<T>,
    timeoutMs = this.timeoutMs,
  ): Promise<T> {
    if (this.#isClosed) throw this.#failure ?? new Error('the connection was closed')
    this.#exchanges.set(itt, exchange)
    const timer = setTimeout(
      () => exchange.fail(new Error(`no answer for ITT ${itt} in ${timeoutMs} ms`)),
      timeoutMs,
    )
    try {
      start()
      return await result
    } finally {
      clearTimeout(timer)
      this.#exchanges.delete(itt)
    }
  }

  async #windowOpen(): Promise<void> {
    const { waiters } = this.#numbers
    const end = performance.now() + this.timeoutMs
    while (before(this.maxCmdSn, this.cmdSn)) {
      if (this.#isClosed) throw this.#failure ?? new Error('the connection was closed')
      const leftMs = end - performance.now()
      if (leftMs <= 0) throw new Error(`waited ${this.timeoutMs} ms for the command window to open`)
      await new Promise<void>((resolve) => {
        const go = (): void => {
          clearTimeout(timer)
          waiters.delete(go)
          resolve()
        }
        const timer = setTimeout(go, leftMs)
        waiters.add(go)
      })
    }
  }

  #wait(queue: Waiter[], timeoutMs: number, what: string): Promise<ReceivedPdu> {
    if (this.#isClosed) return Promise.reject(this.#failure ?? new Error('the connection was closed'))
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve: (pdu) => {
          clearTimeout(timer)
          resolve(pdu)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      }
      const timer = setTimeout(() => {
        queue.splice(queue.indexOf(waiter), 1)
        reject(new Error(`waited ${timeoutMs} ms for ${what}`))
      }, timeoutMs)
      queue.push(waiter)
    })
  }

  #receive(chunk: Buffer): void {
    this.receivedBytes += chunk.length
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
    if (this.#pendingBytes < this.#needBytes) return
    let bytes: Bytes = this.#pending.length === 1 ? chunk : Buffer.concat(this.#pending)
    try {
      for (let cut = cutPdu(bytes, this.digests); cut !== undefined; cut = cutPdu(bytes, this.digests)) {
        bytes = bytes.subarray(cut.used)
        this.#dispatch(cut.pdu)
      }
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error))
      this.#fail(this.#failure)
      this.socket.destroy()
      return
    }
    this.#pending = bytes.length === 0 ? [] : [bytes]
    this.#pendingBytes = bytes.length
    this.#needBytes = bytes.length < 48 ? 48 : 48 + bytes.readUInt8(4) * 4 + bytes.readUIntBE(5, 3)
  }

  #dispatch(pdu: ReceivedPdu): void {
    this.#count(pdu)
    if (pdu.opcode === Op.loginResponse) this.#applyLogin(pdu)
    if (pdu.opcode === Op.asyncMessage) this.asyncMessages.push(pdu)
    if (pdu.opcode === Op.nopIn && pdu.ttt !== NO_TAG && this.answerPings) {
      this.send(this.bhs(Op.nopOut, { immediate: true, word20: pdu.ttt }), pdu.data)
      return
    }
    const exchange = pdu.opcode === Op.reject ? undefined : this.#exchanges.get(pdu.itt)
    if (exchange !== undefined) {
      if (exchange.receive(pdu)) this.#exchanges.delete(pdu.itt)
      return
    }
    const waiter = this.#waiters.shift()
    if (waiter === undefined) this.#inbox.push(pdu)
    else waiter.resolve(pdu)
  }

  #count(pdu: ReceivedPdu): void {
    if (pdu.takesStatSn) this.expStatSn = (pdu.statSn + 1) >>> 0
    // A Data-In with no status has ExpCmdSN and MaxCmdSN too; the smaller never overrides the greater (RFC 7143 §4.2.2.1).
    const numbers = this.#numbers
    if (before(numbers.expCmdSn, pdu.expCmdSn)) numbers.expCmdSn = pdu.expCmdSn
    if (!before(numbers.maxCmdSn, pdu.maxCmdSn)) return
    numbers.maxCmdSn = pdu.maxCmdSn
    for (const go of numbers.waiters) go()
  }

  /** Runs inside the parser, for the very next PDU may carry digests. */
  #applyLogin(pdu: ReceivedPdu): void {
    for (const [key, value] of pdu.text) this.#loginKeys.set(key, value)
    if (pdu.bhs.readUInt8(36) !== 0 || (pdu.flags & 0x83) !== 0x83) return
    const number = (key: string, otherwise: number): number => Number(this.#loginKeys.get(key) ?? otherwise)
    const flag = (key: string, otherwise: string): boolean =>
      (this.#loginKeys.get(key) ?? otherwise) === 'Yes'
    this.digests.header = this.#loginKeys.get('HeaderDigest') === 'CRC32C'
    this.digests.data = this.#loginKeys.get('DataDigest') === 'CRC32C'
    this.negotiated.targetMaxRecvDataSegmentLength = number('MaxRecvDataSegmentLength', 8192)
    this.negotiated.maxBurstLength = number('MaxBurstLength', 262144)
    this.negotiated.firstBurstLength = number('FirstBurstLength', 65536)
    this.negotiated.initialR2T = flag('InitialR2T', 'Yes')
    this.negotiated.immediateData = flag('ImmediateData', 'Yes')
  }

  #fail(error: Error): void {
    for (const exchange of this.#exchanges.values()) exchange.fail(error)
    this.#exchanges.clear()
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
    for (const go of this.#numbers.waiters) go()
  }
}
