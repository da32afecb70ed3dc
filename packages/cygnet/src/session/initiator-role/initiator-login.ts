import { hex } from '../../base/bytes.ts'
import { type Serial32, serialAdd } from '../../base/serial32.ts'
import { LoginStage } from '../../pdu/codes.ts'
import type { LoginResponse } from '../../pdu/login.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { isAuthenticationKey } from '../auth/authenticator.ts'
import type { InitiatorLimits } from './initiator-limits.ts'
import { failureOfStatus, type LoginFailure, protocolFailure } from './initiator-login-failure.ts'
import { laterKeys, operationalKeys } from './initiator-preferences.ts'
import { type InitiatorAuthentication, InitiatorSecurity } from './initiator-security.ts'
import { type KeyName, keySpec } from '../keys.ts'
import { LOGIN_SEGMENT_BYTES } from '../limits.ts'
import { Negotiator, type Pair, type Preferences, type Stage } from '../negotiator.ts'
import { parsePortalGroupTag, parseTargetAddress, type PortalAddress } from '../portal-address.ts'

import { TextExchange } from '../text-exchange.ts'

/**
 * The login phase at the initiator (RFC 7143 §6.3): `begin` makes the first login request, and each login response
 * leads to the next request or to the end.
 *
 * SecurityNegotiation always comes first, even if only to offer AuthMethod=None: a target that wants authentication can
 * say so, and there are targets that expect it. We ask to leave a stage (T) as soon as all of ours is said; the target
 * agrees when it is ready, and what it proposes in between is answered. Every response is checked against the
 * request: ISID, ITT, CSG, T and NSG, version, StatSN, and the rules of text negotiation (§6.2).
 */

export interface InitiatorLoginOptions {
  readonly type: 'Normal' | 'Discovery'
  /** Normalised iSCSI names. */
  readonly initiatorName: string
  /** '' for none. */
  readonly initiatorAlias: string
  /** '' in a discovery session that names no target. */
  readonly targetName: string
  /** 6 bytes. */
  readonly isid: Uint8Array
  /** 0 for a new session. */
  readonly tsih: number
  readonly cid: number
  /** ExpStatSN of the connection whose place this one takes (§11.12.8); 0 where it takes none. */
  readonly oldExpStatSN?: Serial32
  readonly initiatorTaskTag: number
  readonly preferences: Preferences
  readonly authentication: InitiatorAuthentication
  /** The portal group that the address is known to belong to: another one is refused (§6.3.1). */
  readonly portalGroupTag?: number | undefined
  /** Most bytes of a login request's data segment, up to 8192, the default. */
  readonly segmentBytes?: number
}

/** A login request is to be sent. */
export interface LoginRequestStep {
  readonly kind: 'request'
  readonly transit: boolean
  readonly continue: boolean
  readonly csg: number
  readonly nsg: number
  readonly expStatSN: Serial32
  readonly data: Uint8Array
}

/** The target is elsewhere (§11.13.5, status class 1). */
export interface LoginRedirection {
  readonly kind: 'redirected'
  readonly permanent: boolean
  /** At least one; any of them will do. */
  readonly portals: readonly PortalAddress[]
}

export type InitiatorLoginStep =
  | LoginRequestStep
  /** The full feature phase has begun. */
  | { readonly kind: 'complete'; readonly tsih: number }
  | LoginRedirection
  | LoginFailure

const STAGES: Readonly<Record<number, Stage>> = {
  [LoginStage.securityNegotiation]: 'security',
  [LoginStage.loginOperationalNegotiation]: 'operational',
}
const NEXT_STAGE: Readonly<Record<number, number>> = {
  [LoginStage.securityNegotiation]: LoginStage.loginOperationalNegotiation,
  [LoginStage.loginOperationalNegotiation]: LoginStage.fullFeaturePhase,
}
/** Exchanges in a row that may bring nothing, before the target counts as stuck. */
const IDLE_EXCHANGES = 16
const NO_PAIRS: readonly Pair[] = []

export class InitiatorLogin {
  /** Who is who, as given. */
  readonly options: InitiatorLoginOptions
  /** The negotiated values, once the login has ended well. */
  readonly keys: Negotiator
  readonly #limits: InitiatorLimits
  readonly #security: InitiatorSecurity
  readonly #text: TextExchange
  readonly #segmentBytes: number
  #stage: number = LoginStage.securityNegotiation
  #request: LoginRequestStep | undefined
  #wantsTransit = true
  #securityKeys = NO_PAIRS
  #expStatSN: Serial32 | undefined
  #isFirstText = true
  #idleExchanges = 0

  constructor(options: InitiatorLoginOptions, limits: InitiatorLimits) {
    this.options = options
    this.#limits = limits
    const preferences = { ...options.preferences, AuthMethod: options.authentication.methods }
    this.keys = new Negotiator('initiator', preferences, options.tsih === 0)
    this.#security = new InitiatorSecurity(options.authentication)
    this.#text = new TextExchange(limits.textBytes)
    this.#segmentBytes = Math.min(options.segmentBytes ?? LOGIN_SEGMENT_BYTES, LOGIN_SEGMENT_BYTES)
  }

  /** The StatSN that the next response must have; the first one tells us (§4.2.2.2). */
  get expStatSN(): Serial32 {
    return this.#expStatSN ?? this.options.oldExpStatSN ?? 0
  }

  /** Whom the target proved to be; '' where it did not have to. */
  get targetUser(): string {
    return this.#security.peer
  }

  begin(): LoginRequestStep {
    const { initiatorName, initiatorAlias, targetName, type, tsih } = this.options
    this.keys.declare('InitiatorName', initiatorName)
    if (initiatorAlias !== '') this.keys.declare('InitiatorAlias', initiatorAlias)
    if (targetName !== '') this.keys.declare('TargetName', targetName)
    if (tsih === 0) this.keys.declare('SessionType', type)
    this.keys.propose('AuthMethod')
    return this.#next()
  }

  response(header: LoginResponse, pdu: Pick<ReceivedPdu, 'data' | 'dataLengthBytes'>): InitiatorLoginStep {
    if (header.statusClass > 1) return this.#refusal(header)
    const request = this.#request as LoginRequestStep
    const wrong =
      this.#checkAnswer(header) ?? (header.statusClass === 1 ? undefined : this.#checkHeader(header, request))
    if (wrong !== undefined) return protocolFailure(wrong)
    const text = this.#text.receive(pdu.data, header.continue)
    if (text.kind === 'error') return protocolFailure(text.reason)
    if (header.statusClass === 1) return redirection(header, text.kind === 'complete' ? text.pairs : NO_PAIRS)
    this.#expStatSN = serialAdd(header.statSN, 1)
    if (request.continue) {
      return pdu.dataLengthBytes > 0 || header.continue
        ? protocolFailure('it answered a part of our text (C bit) with text of its own')
        : this.#next()
    }
    const isIdle = pdu.dataLengthBytes === 0 && request.data.length === 0 && !header.transit
    this.#idleExchanges = isIdle ? this.#idleExchanges + 1 : 0
    if (this.#idleExchanges >= IDLE_EXCHANGES)
      return protocolFailure('it neither goes on with the login nor ends it')
    if (text.kind === 'partial') return this.#next()
    return this.#negotiate(text.pairs) ?? (header.transit ? this.#transit(header, text.pairs) : this.#next())
  }

  #refusal({ statusClass, statusDetail }: LoginResponse): LoginFailure {
    const failure = failureOfStatus(statusClass, statusDetail)
    if (failure.status !== LoginStatus.authenticationFailure) return failure
    // Whoever has given no credentials need not check them.
    return this.#security.isTried ? failure : { ...this.#security.refused(), status: failure.status }
  }

  /** The next request: what is left of a text, else all that is to be said. */
  #next(): LoginRequestStep {
    const awaitsRest = this.#text.isReceiving
    if (!this.#text.isSending && !awaitsRest) {
      this.#text.queue([...this.keys.takeOutgoing(), ...this.#securityKeys])
      this.#securityKeys = NO_PAIRS
    }
    const data = awaitsRest ? new Uint8Array(0) : this.#text.take(this.#segmentBytes)
    const isContinued = this.#text.isSending
    const transit = this.#wantsTransit && !isContinued
    this.#request = {
      kind: 'request',
      transit,
      continue: isContinued,
      csg: this.#stage,
      nsg: transit ? (NEXT_STAGE[this.#stage] as number) : 0,
      expStatSN: this.expStatSN,
      data,
    }
    return this.#request
  }

  /** It answers our request, and no other one. */
  #checkAnswer(header: LoginResponse): string | undefined {
    const { isid, initiatorTaskTag } = this.options
    if (hex(header.isid) !== hex(isid)) return 'it answered with another ISID'
    return header.initiatorTaskTag === initiatorTaskTag
      ? undefined
      : 'it answered with another initiator task tag'
  }

  #checkHeader(header: LoginResponse, request: LoginRequestStep): string | undefined {
    const { tsih } = this.options
    if (header.versionActive !== 0) return `it chose version ${header.versionActive}, and 0 was offered`
    if (header.csg !== request.csg)
      return `it answered in stage ${header.csg} of the login to a request of stage ${request.csg}`
    if (header.continue && header.transit) return 'it set both the T and the C bit'
    if (header.transit && !request.transit) return 'it left a stage of the login unasked (T bit)'
    if (header.transit && header.nsg !== request.nsg)
      return `it went to stage ${header.nsg} of the login where ${request.nsg} was asked for`
    if (this.#expStatSN !== undefined && header.statSN !== this.#expStatSN)
      return `its StatSN is ${header.statSN} where ${this.#expStatSN} was due`
    const isFinal = header.transit && header.nsg === LoginStage.fullFeaturePhase
    if (isFinal && (tsih === 0 ? header.tsih === 0 : header.tsih !== tsih))
      return `it gave the session the TSIH ${header.tsih}`
    return undefined
  }

  /** Takes the text of a response. */
  #negotiate(pairs: readonly Pair[]): LoginFailure | undefined {
    const known = pairs
      .filter(([key]) => !isAuthenticationKey(key))
      .map(
        ([key, value]): Pair => [key, value === 'NotUnderstood' && laterKeys.has(key) ? 'Irrelevant' : value],
      )
    const wrong = this.keys.receive(known, STAGES[this.#stage] as Stage)
    if (wrong) return protocolFailure(`${wrong.key} ${wrong.reason}`)
    const misplaced = this.#checkPortalGroup()
    if (misplaced) return misplaced
    const security = pairs.filter(([key]) => isAuthenticationKey(key))
    if (this.#stage === LoginStage.securityNegotiation) return this.#authenticate(security)
    return security[0]
      ? protocolFailure(`${security[0][0]} came outside the SecurityNegotiation stage`)
      : undefined
  }

  /** §13.9: the tag comes with the first text of a login that names a target. */
  #checkPortalGroup(): LoginFailure | undefined {
    if (!this.#isFirstText) return undefined
    this.#isFirstText = false
    const { targetName, portalGroupTag } = this.options
    if (!this.keys.has('TargetPortalGroupTag')) {
      return targetName === '' ? undefined : protocolFailure('TargetPortalGroupTag is missing')
    }
    const tag = parsePortalGroupTag(this.keys.text('TargetPortalGroupTag'))
    if (tag === undefined) return protocolFailure('TargetPortalGroupTag is not a number of 16 bits')
    if (portalGroupTag === undefined || portalGroupTag === tag) return undefined
    const message = `The address belongs to portal group ${tag} of the target and not to ${portalGroupTag}: discover again, its configuration has changed.`
    return { kind: 'failed', code: 'LOGIN_PORTAL_GROUP_CHANGED', message, status: undefined }
  }

  #authenticate(pairs: readonly Pair[]): LoginFailure | undefined {
    const method = this.keys.has('AuthMethod') ? this.keys.text('AuthMethod') : undefined
    if (method === undefined && this.keys.isSettled('AuthMethod')) return this.#security.refused()
    const step = this.#security.receive(method, pairs)
    if ('kind' in step) return step
    this.#securityKeys = step.send
    this.#wantsTransit = step.mayTransit
    return undefined
  }

  /** Both sides have agreed to leave the stage. */
  #transit(header: LoginResponse, pairs: readonly Pair[]): InitiatorLoginStep {
    const unanswered = this.keys.unanswered[0]
    if (unanswered !== undefined) return protocolFailure(`it left ${unanswered} without an answer`)
    const owed = this.keys.takeOutgoing().find(([key]) => needsAnswer(key, pairs))
    if (owed)
      return protocolFailure(`it proposed ${owed[0]} and left the stage without waiting for our answer`)
    if (this.#stage === LoginStage.securityNegotiation) {
      const unproven = this.#security.checkEnd(this.#securityKeys.length > 0)
      return unproven ?? this.#beginOperational()
    }
    const wrong = this.keys.checkIntegrity()
    if (wrong) return protocolFailure(`${wrong.key} ${wrong.reason}`)
    const [refused] = this.keys.rejected()
    if (refused) return this.#refusedKey(refused)
    this.keys.commit(true)
    return { kind: 'complete', tsih: header.tsih }
  }

  #beginOperational(): LoginRequestStep {
    this.keys.commit(false)
    this.#stage = LoginStage.loginOperationalNegotiation
    this.#wantsTransit = true
    const { type, tsih } = this.options
    for (const name of operationalKeys(type === 'Discovery', tsih === 0)) this.keys.propose(name)
    this.keys.declare('MaxRecvDataSegmentLength', this.#limits.maxRecvDataSegmentLength)
    return this.#next()
  }

  #refusedKey(name: KeyName): LoginFailure {
    const wanted = this.options.preferences[name]
    const text = Array.isArray(wanted) ? wanted.join(',') : String(wanted)
    return {
      kind: 'failed',
      code: 'LOGIN_PARAMETER_REFUSED',
      message: `The target does not agree to ${name}=${text}: allow it there, or ask for something else.`,
      status: undefined,
    }
  }
}

/**
 * §6.3: what comes with the T bit set may not need an answer. A key that we do not understand does not, nor does a
 * boolean that decides the result by itself (§6.2.2).
 */
function needsAnswer(key: string, pairs: readonly Pair[]): boolean {
  const spec = keySpec(key)
  const value = pairs.findLast(([name]) => name === key)?.[1]
  return spec !== undefined && !(spec.type === 'boolean' && value === (spec.result === 'or' ? 'Yes' : 'No'))
}

/** §11.13.5: a redirection has at least one TargetAddress; those that we cannot read are passed over. */
function redirection(header: LoginResponse, pairs: readonly Pair[]): LoginRedirection | LoginFailure {
  const portals = pairs
    .filter(([key]) => key === 'TargetAddress')
    .map(([, value]) => parseTargetAddress(value))
    .filter((portal) => portal !== undefined)
  if (portals.length === 0) return protocolFailure('it redirects us without a TargetAddress that we can use')
  const permanent = header.statusDetail === LoginStatus.targetMovedPermanently.statusDetail
  return { kind: 'redirected', permanent, portals: portals.map(({ host, port }) => ({ host, port })) }
}
