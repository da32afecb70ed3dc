/**
 * A scripted target on loopback with one small disk, which is honest but for what a lie changes: the PDUs that it answers one step with,
 * and what it does then. Nothing of the code under test is in it.
 */
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { buildBhs, cutPdu, decodeTextPairs, encodeText, frame, NO_TAG, Op, ReceivedPdu } from './raw-pdu.ts'

export const LYING_TARGET = 'iqn.2026-11.dev.example:liar'
const BLOCK_BYTES = 512
const DISK_BLOCKS = 256
/** Bytes of a Data-In, so that a read of a few blocks has several. */
const DATA_IN_BYTES = 512
const WINDOW = 31
const NOTHING = Buffer.alloc(0)
const NO_DIGESTS = { header: false, data: false }

/** Where in a PDU its fields are (RFC 7143 §11); the data segment begins at `data`. */
export const At = {
  flags: 1,
  response: 2,
  status: 3,
  isid: 8,
  tsih: 14,
  tag: 16,
  statSn: 24,
  dataSn: 36,
  offset: 40,
  last: 44,
  data: 48,
} as const

/** Steps of a session, in the order in which a disk is connected to and used. */
export type Step =
  | 'connection'
  | 'security login'
  | 'operational login'
  | 'INQUIRY'
  | 'INQUIRY page'
  | 'TEST UNIT READY'
  | 'READ CAPACITY'
  | 'MODE SENSE'
  | 'READ'
  | 'WRITE'
  | 'Data-Out'
  | 'any command'

export interface Lie {
  /** At every request of the step. */
  readonly at: Step
  /** What is sent instead of the honest PDUs, which may be changed in place. Default: nothing at all. */
  readonly tell?: (honest: () => Buffer[], request: ReceivedPdu, connection: LyingConnection) => Buffer[]
  /** Then say nothing more, whatever is asked; or end the connection. Default: go on honestly. */
  readonly afterwards?: 'silence' | 'close'
}

/** What block `lba` of the disk holds. */
export function trueBytes(offset: number, lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => ((offset + i) * 31 + ((offset + i) >>> 9)) & 0xff)
}

const steps: Readonly<Record<number, Step>> = {
  0x00: 'TEST UNIT READY',
  0x12: 'INQUIRY',
  0x9e: 'READ CAPACITY',
  0x25: 'READ CAPACITY',
  0x1a: 'MODE SENSE',
  0x5a: 'MODE SENSE',
  0x28: 'READ',
  0x2a: 'WRITE',
}

/** Keys whose honest answer is not what was offered. */
const answers: Readonly<Record<string, string>> = {
  InitialR2T: 'Yes',
  ImmediateData: 'No',
  MaxOutstandingR2T: '1',
  TaskReporting: 'RFC3720',
  iSCSIProtocolLevel: '1',
}
const declared = new Set([
  'InitiatorName',
  'InitiatorAlias',
  'TargetName',
  'SessionType',
  'MaxRecvDataSegmentLength',
])

/** One connection, from the target's side. */
export class LyingConnection {
  readonly #socket: Socket
  readonly #lie: Lie
  #received: Buffer = NOTHING
  #statSn = 1000
  #expCmdSn = 0
  #isMute = false
  /** The write whose data is coming. */
  #writing: ReceivedPdu | undefined

  constructor(socket: Socket, lie: Lie) {
    this.#socket = socket
    this.#lie = lie
    socket.setNoDelay()
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => this.#receive(bytes))
    if (lie.at === 'connection') this.#say('connection', () => [], new ReceivedPdu(NOTHING, NOTHING, NOTHING))
  }

  /** A PDU of the target, with the numbers that are due. */
  pdu(opcode: number, itt: number, data: Uint8Array = NOTHING, flags = 0x80): Buffer {
    const pdu = frame(buildBhs(opcode, { flags, itt }), data, NO_DIGESTS)
    pdu.writeUInt32BE(this.#statSn >>> 0, At.statSn)
    pdu.writeUInt32BE(this.#expCmdSn, 28)
    pdu.writeUInt32BE((this.#expCmdSn + WINDOW) >>> 0, 32)
    return pdu
  }

  /** A SCSI Response; uses up a StatSN. */
  status(itt: number, status: number, dataInPdus = 0, missingBytes = 0, sense?: Uint8Array): Buffer {
    const data = sense ? Buffer.concat([Buffer.from([0, sense.length]), sense]) : NOTHING
    const pdu = this.pdu(Op.scsiResponse, itt, data, missingBytes > 0 ? 0x82 : 0x80)
    pdu[At.status] = status
    pdu.writeUInt32BE(dataInPdus, At.dataSn)
    pdu.writeUInt32BE(missingBytes, At.last)
    this.#statSn++
    return pdu
  }

  /** A Login Response that goes where the request wants to. */
  loginResponse(request: ReceivedPdu, text: Uint8Array): Buffer {
    const pdu = this.pdu(Op.loginResponse, request.itt, text, request.flags)
    request.bhs.copy(pdu, At.isid, At.isid, At.tsih)
    pdu[At.tsih + 1] = 1
    this.#statSn++
    return pdu
  }

  /** A Ready To Transfer. */
  r2t(itt: number, offset: number, lengthBytes: number): Buffer {
    const pdu = this.pdu(Op.r2t, itt)
    pdu.writeUInt32BE(1, 20)
    pdu.writeUInt32BE(offset, At.offset)
    pdu.writeUInt32BE(lengthBytes, At.last)
    return pdu
  }

  /** Data-In PDUs and a SCSI Response; of more data than was asked for only the first bytes, unless told otherwise. */
  answer(request: ReceivedPdu, data: Uint8Array, sendsAll = false): Buffer[] {
    const asked = request.bhs.readUInt32BE(20)
    const sent = sendsAll ? data : data.subarray(0, asked)
    const pdus: Buffer[] = []
    for (let at = 0; at < sent.length; at += DATA_IN_BYTES) {
      const isLast = at + DATA_IN_BYTES >= sent.length
      const pdu = this.pdu(Op.dataIn, request.itt, sent.subarray(at, at + DATA_IN_BYTES), isLast ? 0x80 : 0)
      pdu.writeUInt32BE(NO_TAG, 20)
      pdu.writeUInt32BE(pdus.length, At.dataSn)
      pdu.writeUInt32BE(at, At.offset)
      pdus.push(pdu)
    }
    pdus.push(this.status(request.itt, 0, pdus.length, Math.max(0, asked - sent.length)))
    return pdus
  }

  /** CHECK CONDITION with fixed-format sense data. */
  refuse(request: ReceivedPdu, key: number, additional: number): Buffer {
    const sense = Buffer.alloc(18)
    sense[0] = 0x70
    sense[2] = key
    sense[7] = 10
    sense.writeUInt16BE(additional, 12)
    return this.status(request.itt, 2, 0, request.bhs.readUInt32BE(20), sense)
  }

  #receive(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    for (let cut = cutPdu(this.#received, NO_DIGESTS); cut; cut = cutPdu(this.#received, NO_DIGESTS)) {
      this.#received = this.#received.subarray(cut.used)
      if (!this.#isMute) this.#handle(cut.pdu)
    }
  }

  #say(step: Step, honest: () => Buffer[], request: ReceivedPdu): void {
    const { at, tell, afterwards } = this.#lie
    const isScsi = step !== 'connection' && !step.endsWith('login')
    const isLie = at === step || (at === 'any command' && isScsi)
    const pdus = isLie ? (tell?.(honest, request, this) ?? []) : honest()
    if (pdus.length > 0) this.#socket.write(Buffer.concat(pdus))
    if (!isLie) return
    this.#isMute = afterwards !== undefined
    if (afterwards === 'close') this.#socket.end()
  }

  #handle(request: ReceivedPdu): void {
    const isImmediate = (request.bhs.readUInt8(0) & 0x40) !== 0
    const cmdSn = request.bhs.readUInt32BE(24)
    if (request.opcode === Op.login) this.#expCmdSn = cmdSn
    else if (!isImmediate && request.opcode !== Op.dataOut) this.#expCmdSn = (cmdSn + 1) >>> 0
    switch (request.opcode) {
      case Op.login:
        this.#logIn(request)
        return
      case Op.scsiCommand:
        this.#command(request)
        return
      case Op.dataOut:
        if (request.final && this.#writing) {
          const written = this.#writing
          this.#say('Data-Out', () => [this.status(written.itt, 0)], written)
        }
        return
      case Op.taskManagement:
        this.#confirm(Op.taskManagementResponse, request)
        return
      case Op.logout:
        this.#confirm(Op.logoutResponse, request)
        this.#socket.end()
        return
      case Op.nopOut:
        if (request.itt !== NO_TAG) {
          const pong = this.pdu(Op.nopIn, request.itt, request.data)
          pong.writeUInt32BE(NO_TAG, 20)
          this.#statSn++
          this.#socket.write(pong)
        }
    }
  }

  #confirm(opcode: number, request: ReceivedPdu): void {
    this.#socket.write(this.pdu(opcode, request.itt))
    this.#statSn++
  }

  #logIn(request: ReceivedPdu): void {
    const stage = (request.flags >>> 2) & 3
    const isLast = stage === 1
    const offers = decodeTextPairs(request.data).filter(([key]) => !declared.has(key))
    const text = Object.fromEntries(
      offers.map(([key, value]) => [key, answers[key] ?? value.split(',')[0] ?? '']),
    )
    const tag = isLast ? {} : { TargetPortalGroupTag: '1' }
    const honest = (): Buffer[] => [this.loginResponse(request, encodeText({ ...text, ...tag }))]
    this.#say(isLast ? 'operational login' : 'security login', honest, request)
  }

  #command(request: ReceivedPdu): void {
    const cdb = request.bhs.subarray(32, 48)
    const opcode = cdb.readUInt8(0)
    const step = steps[opcode] ?? 'any command'
    const [lba, blocks] = [cdb.readUInt32BE(2), cdb.readUInt16BE(7)]
    switch (step) {
      case 'TEST UNIT READY':
        this.#say(step, () => [this.status(request.itt, 0)], request)
        return
      case 'INQUIRY':
        if (cdb[1] === 1)
          this.#say('INQUIRY page', () => this.answer(request, page(cdb.readUInt8(2))), request)
        else this.#say(step, () => this.answer(request, inquiry), request)
        return
      case 'READ CAPACITY':
        this.#say(step, () => this.answer(request, capacity(BigInt(DISK_BLOCKS - 1), BLOCK_BYTES)), request)
        return
      case 'READ':
        this.#say(
          step,
          () => this.answer(request, trueBytes(lba * BLOCK_BYTES, blocks * BLOCK_BYTES)),
          request,
        )
        return
      case 'WRITE':
        this.#writing = request
        this.#say(step, () => [this.r2t(request.itt, 0, request.bhs.readUInt32BE(20))], request)
        return
      default:
        // ILLEGAL REQUEST, INVALID COMMAND OPERATION CODE.
        this.#say(step, () => [this.refuse(request, 5, 0x2000)], request)
    }
  }
}

const inquiry = Buffer.concat([
  Buffer.from([0, 0, 6, 2, 31, 0, 0, 2]),
  Buffer.from('LIAR    Scripted disk   1.0 '),
])

/** Vital product data: the list of pages and a serial number; other pages are empty. */
function page(code: number): Buffer {
  const body =
    code === 0 ? Buffer.from([0x00, 0x80, 0x83, 0xb0]) : Buffer.from(code === 0x80 ? '12345678' : '')
  return Buffer.concat([Buffer.from([0, code, 0, body.length]), body])
}

/** READ CAPACITY (16) data. */
export function capacity(lastLba: bigint, blockBytes: number): Buffer {
  const data = Buffer.alloc(32)
  data.writeBigUInt64BE(lastLba)
  data.writeUInt32BE(blockBytes, 8)
  return data
}

export class LyingTarget {
  readonly url: string
  readonly #server: Server
  readonly #sockets: Set<Socket>

  private constructor(server: Server, sockets: Set<Socket>, port: number) {
    this.#server = server
    this.#sockets = sockets
    this.url = `iscsi://127.0.0.1:${port}/${LYING_TARGET}/0`
  }

  static async start(lie: Lie): Promise<LyingTarget> {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      // oxlint-disable-next-line no-new -- it lives by the socket's events
      new LyingConnection(socket, lie)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the listener has no port')
    return new LyingTarget(server, sockets, address.port)
  }

  /** Connections that the other side has not ended. */
  get connections(): number {
    return this.#sockets.size
  }

  stop(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }
}
