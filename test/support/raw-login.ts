/** Logins request by request, for what an ordinary initiator does not do, and CHAP without any of our code. */
import { createHash } from 'node:crypto'
import { NO_TAG, Op, type RawInitiator, type ReceivedPdu } from './raw-initiator.ts'

export type Pairs = readonly (readonly [key: string, value: string])[]

/** The `CSG` and `NSG` of RFC 7143 §11.12.3. */
export const Stage = { security: 0, operational: 1, fullFeature: 3 } as const

export interface RequestOptions {
  readonly stage?: number
  /** Sets the T bit. */
  readonly next?: number
  /** Sets the C bit. */
  readonly continued?: boolean
  readonly tsih?: number
  readonly cid?: number
}

export const INITIATOR = 'iqn.2026-11.dev.example:raw'

export const encodePairs = (pairs: Pairs): Buffer =>
  Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''))

/** The keys that a first request begins with; without a target, those of a discovery session. */
export const identity = (target?: string, initiatorName = INITIATOR): Pairs => [
  ['InitiatorName', initiatorName],
  ...(target === undefined ? ([['SessionType', 'Discovery']] as const) : ([['TargetName', target]] as const)),
]

/** The login phase of one connection. */
export class RawLogin {
  readonly #initiator: RawInitiator
  readonly #isid: Uint8Array
  readonly #itt: number

  constructor(initiator: RawInitiator, isid: Uint8Array = Buffer.from([0x80, 7, 7, 7, 7, 7])) {
    this.#initiator = initiator
    this.#isid = isid
    this.#itt = initiator.allocateItt()
  }

  send(text: Pairs | Buffer, options: RequestOptions = {}): void {
    const { stage = Stage.operational, next, continued = false, tsih = 0, cid = 0 } = options
    const transit = next === undefined ? 0 : 0x80 | next
    const flags = transit | (continued ? 0x40 : 0) | (stage << 2)
    const initiator = this.#initiator
    const bhs = initiator.bhs(Op.login, { immediate: true, flags, itt: this.#itt, cmdSn: initiator.cmdSn })
    Buffer.from(this.#isid).copy(bhs, 8)
    bhs.writeUInt16BE(tsih, 14)
    bhs.writeUInt16BE(cid, 20)
    initiator.send(bhs, Buffer.isBuffer(text) ? text : encodePairs(text))
  }

  /** One request and its response. */
  async request(text: Pairs | Buffer, options: RequestOptions = {}): Promise<ReceivedPdu> {
    this.send(text, options)
    const pdu = await this.#initiator.receive()
    if (pdu.opcode !== Op.loginResponse || (pdu.itt !== this.#itt && pdu.itt !== NO_TAG))
      throw new Error(`not a login response: ${pdu.bhs.toString('hex')}`)
    return pdu
  }
}

/** Class and detail, as §11.13.5 writes them: `0201`. `0000` is success. */
export const statusOf = (pdu: ReceivedPdu): string => pdu.bhs.toString('hex', 36, 38)

const hashes: Readonly<Record<string, string>> = { 5: 'md5', 6: 'sha1', 7: 'sha256', 8: 'sha3-256' }

/** RFC 1994 §4.1. */
export function chapHash(algorithm: string, identifier: number, secret: string, challenge: Buffer): string {
  const hash = createHash(hashes[algorithm] ?? '')
  return `0x${hash
    .update(Buffer.from([identifier]))
    .update(secret)
    .update(challenge)
    .digest('hex')}`
}

export interface ChapOptions {
  readonly target?: string
  readonly initiatorName?: string
  readonly user: string
  readonly secret: string
  /** CHAP_A. */
  readonly algorithms?: string
  /** Asks the target for a proof with this challenge. */
  readonly challenge?: Buffer
  readonly tsih?: number
  readonly cid?: number
  readonly isid?: Uint8Array
}

export interface ChapResult {
  readonly status: string
  /** The response that ended it. */
  readonly last: ReceivedPdu
  /** All responses. */
  readonly pdus: readonly ReceivedPdu[]
  /** From the response to the proof to its answer. */
  readonly verdictMs: number
}

/** The identifier of the initiator's own challenges. */
export const CHAP_IDENTIFIER = 77

/** Logs in with CHAP, straight from the security stage to the full-feature phase. */
export async function chapLogin(initiator: RawInitiator, options: ChapOptions): Promise<ChapResult> {
  const { target, initiatorName, user, secret, algorithms = '8,7,6,5', challenge, isid } = options
  const login = new RawLogin(initiator, isid)
  const rest = { stage: Stage.security, tsih: options.tsih ?? 0, cid: options.cid ?? 0 }
  const pdus: ReceivedPdu[] = []
  const exchange = async (pairs: Pairs, next?: number): Promise<ReceivedPdu> => {
    const pdu = await login.request(pairs, next === undefined ? rest : { ...rest, next })
    pdus.push(pdu)
    return pdu
  }
  const result = (last: ReceivedPdu, verdictMs = 0): ChapResult => ({
    status: statusOf(last),
    last,
    pdus,
    verdictMs,
  })
  const offered = await exchange([...identity(target, initiatorName), ['AuthMethod', 'CHAP']])
  if (statusOf(offered) !== '0000') return result(offered)
  const asked = await exchange([['CHAP_A', algorithms]])
  if (statusOf(asked) !== '0000') return result(asked)
  const text = asked.text
  const theirs = Buffer.from((text.get('CHAP_C') ?? '').slice(2), 'hex')
  const response = chapHash(text.get('CHAP_A') ?? '', Number(text.get('CHAP_I')), secret, theirs)
  const proof: Pairs = [
    ['CHAP_N', user],
    ['CHAP_R', response],
  ]
  const mutual: Pairs =
    challenge === undefined
      ? []
      : [
          ['CHAP_I', String(CHAP_IDENTIFIER)],
          ['CHAP_C', `0x${challenge.toString('hex')}`],
        ]
  const start = performance.now()
  const last = await exchange([...proof, ...mutual], Stage.fullFeature)
  return result(last, performance.now() - start)
}
