import { hex } from '../../base/bytes.ts'
import { LoginStage } from '../../pdu/codes.ts'
import { decodeLoginRequest, decodeLoginResponse, type LoginRequest } from '../../pdu/login.ts'
import { dataOf, type WirePdu } from './cutter.ts'

/** What a login has agreed on, as the wire says. */
export interface LoginOutcome {
  /** Initiator name and ISID. */
  readonly port: string
  readonly tsih: number
  readonly cid: number
  readonly isNewSession: boolean
  readonly isDiscovery: boolean
  /** CmdSN that the session begins with; of a later connection, its current one. */
  readonly cmdSN: number
  readonly statSN: number
  /** Keys, as the target answered or declared them. */
  readonly keys: ReadonlyMap<string, string>
  /** Keys that the initiator declared. */
  readonly declared: ReadonlyMap<string, string>
}

export interface LoginRefused {
  readonly status: number
  readonly request: LoginRequest
}

/** Follows one connection's login phase. */
export class LoginWatcher {
  readonly #text = { initiator: '', target: '' }
  readonly #keys = new Map<string, string>()
  readonly #declared = new Map<string, string>()
  #first: LoginRequest | undefined
  #last: LoginRequest | undefined

  request(pdu: WirePdu): void {
    const header = decodeLoginRequest(pdu.view, pdu.start)
    this.#first ??= header
    this.#last = header
    this.#take('initiator', pdu, header.continue, this.#declared)
  }

  /** The outcome, where this was the last response. */
  response(pdu: WirePdu): LoginOutcome | LoginRefused | undefined {
    const header = decodeLoginResponse(pdu.view, pdu.start)
    const first = this.#first
    const last = this.#last
    if (first === undefined || last === undefined) return undefined
    if (header.statusClass !== 0) {
      return { status: header.statusClass * 256 + header.statusDetail, request: first }
    }
    this.#take('target', pdu, header.continue, this.#keys)
    if (!header.transit || header.nsg !== LoginStage.fullFeaturePhase) return undefined
    return {
      port: `${this.#declared.get('InitiatorName')},${hex(first.isid)}`,
      tsih: header.tsih,
      cid: first.cid,
      isNewSession: first.tsih === 0,
      isDiscovery: this.#declared.get('SessionType') === 'Discovery',
      cmdSN: last.cmdSN,
      statSN: header.statSN,
      keys: this.#keys,
      declared: this.#declared,
    }
  }

  #take(from: 'initiator' | 'target', pdu: WirePdu, goesOn: boolean, into: Map<string, string>): void {
    this.#text[from] += new TextDecoder().decode(dataOf(pdu))
    if (goesOn) return
    for (const pair of this.#text[from].split('\0')) {
      const equals = pair.indexOf('=')
      if (equals > 0) into.set(pair.slice(0, equals), pair.slice(equals + 1))
    }
    this.#text[from] = ''
  }
}
