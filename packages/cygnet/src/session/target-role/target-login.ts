import { hex } from '../../base/bytes.ts'
import { LoginStage } from '../../pdu/codes.ts'
import type { LoginRequest } from '../../pdu/login.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { isAuthenticationKey } from '../auth/authenticator.ts'
import { peerName } from '../iscsi-name.ts'
import { foldIscsiName } from '../iscsi-name-profile.ts'
import { LOGIN_SEGMENT_BYTES, type TargetLimits } from '../limits.ts'
import { Negotiator, type Pair, type Stage } from '../negotiator.ts'
import { targetPreferences } from '../parameters.ts'
import {
  type LoginAdmission,
  type LoginIdentity,
  type LoginRefusal,
  refuse,
  type TargetHost,
} from './target-host.ts'
import { TargetSecurity } from './target-security.ts'
import { TextExchange } from '../text-exchange.ts'

/**
 * The login phase at the target (RFC 7143 §6.3): one login request in, one login response out.
 *
 * Stages are SecurityNegotiation, LoginOperationalNegotiation and the full feature phase; the first request may begin
 * in either of the first two. A response transits only if its request did, all received text was complete, all our text
 * was sent, and nothing that we proposed is unanswered. Everything is checked against the first request: ISID, TSIH,
 * CID, ITT, CmdSN and version stay as they were.
 */

/** A login response that goes on with the login phase. */
export interface LoginRespond {
  readonly kind: 'respond'
  readonly transit: boolean
  readonly continue: boolean
  readonly csg: number
  readonly nsg: number
  readonly data: Uint8Array
}

/** The last login response is to be made. */
export interface LoginComplete {
  readonly kind: 'complete'
  readonly csg: number
  readonly data: Uint8Array
}

/** What one login request leads to. */
export type LoginStep = LoginRespond | LoginComplete | LoginRefusal

const EMPTY = new Uint8Array(0)
const STAGES: Readonly<Record<number, Stage>> = {
  [LoginStage.securityNegotiation]: 'security',
  [LoginStage.loginOperationalNegotiation]: 'operational',
}
/** Who logs in to what is settled by the first request (§6.3.1). */
const identityKeys: ReadonlySet<string> = new Set(['InitiatorName', 'TargetName', 'SessionType'])
/** A session of a type that we do not know is asked for. */
const hasOtherType = (pairs: readonly Pair[]): boolean =>
  pairs.some(([key, value]) => key === 'SessionType' && !/^(?:Normal|Discovery)$/.test(value))
const initiatorError = (reason: string): LoginRefusal => refuse(LoginStatus.initiatorError, reason)

export class TargetLogin {
  readonly #host: TargetHost
  readonly #limits: TargetLimits
  readonly #peerAddress: string
  readonly #localAddress: string
  readonly #text: TextExchange
  #first: LoginRequest | undefined
  #keys: Negotiator | undefined
  #identity: LoginIdentity | undefined
  #admission: LoginAdmission | undefined
  #security: TargetSecurity | undefined
  /** Keys of the authentication method that are to be sent. */
  #securityKeys: readonly Pair[] = []
  #stage: number = LoginStage.securityNegotiation
  #declaredOperational = false

  constructor(host: TargetHost, limits: TargetLimits, peerAddress: string, localAddress: string) {
    this.#host = host
    this.#limits = limits
    this.#peerAddress = peerAddress
    this.#localAddress = localAddress
    this.#text = new TextExchange(limits.textBytes)
  }

  /** Known once the first request's text is complete; `user` once it has authenticated itself. */
  get identity(): LoginIdentity | undefined {
    return (
      this.#identity && {
        ...this.#identity,
        initiatorAlias: this.#keys?.text('InitiatorAlias') ?? '',
        user: this.#security?.user ?? '',
      }
    )
  }

  get first(): LoginRequest | undefined {
    return this.#first
  }

  /** The negotiated values, once the login has ended well. */
  get keys(): Negotiator | undefined {
    return this.#keys
  }

  /** What we declared that we can receive; the default where the login skipped the operational stage. */
  get receiveSegmentBytes(): number {
    return this.#declaredOperational ? this.#limits.maxRecvDataSegmentLength : LOGIN_SEGMENT_BYTES
  }

  request(header: LoginRequest, pdu: ReceivedPdu): LoginStep {
    const wrong = this.#first ? this.#checkNext(header, this.#first) : this.#begin(header)
    if (wrong) return wrong
    const text = this.#text.receive(pdu.data, header.continue)
    if (text.kind === 'error') return initiatorError(text.reason)
    if (text.kind === 'partial') return this.#respond(false, EMPTY)
    if (this.#text.isSending) {
      if (text.pairs.length > 0) return initiatorError('text was sent before all of ours was taken (C bit)')
    } else {
      const refused = this.#negotiate(text.pairs)
      if (refused) return refused
    }
    return this.#answer(header)
  }

  #begin(header: LoginRequest): LoginRefusal | undefined {
    if (header.versionMin > 0) {
      return refuse(
        LoginStatus.unsupportedVersion,
        `the initiator supports iSCSI versions from ${header.versionMin} on`,
      )
    }
    this.#first = header
    this.#stage = header.csg
    this.#keys = new Negotiator('target', targetPreferences(this.#limits), header.tsih === 0)
    return this.#checkStage(header)
  }

  #checkNext(header: LoginRequest, first: LoginRequest): LoginRefusal | undefined {
    if (hex(header.isid) !== hex(first.isid)) return initiatorError('ISID changed during login')
    if (header.tsih !== first.tsih) return initiatorError('TSIH changed during login')
    if (header.cid !== first.cid) return initiatorError('CID changed during login')
    if (header.initiatorTaskTag !== first.initiatorTaskTag) {
      return initiatorError('the initiator task tag changed during login')
    }
    if (header.versionMax !== first.versionMax || header.versionMin !== first.versionMin) {
      return initiatorError('the version range changed during login')
    }
    // In a session that exists, other connections may move it on (§11.12.8).
    if (first.tsih === 0 && header.cmdSN !== first.cmdSN) return initiatorError('CmdSN changed during login')
    return this.#checkStage(header)
  }

  /** CSG, NSG and the T and C bits against each other and the stage that we are in (§6.3, §11.12). */
  #checkStage(header: LoginRequest): LoginRefusal | undefined {
    if (!(header.csg in STAGES)) return initiatorError(`CSG ${header.csg} is not a login stage`)
    if (header.csg !== this.#stage) return initiatorError(`CSG ${header.csg} in login stage ${this.#stage}`)
    if (!header.transit) return undefined
    if (header.continue) return initiatorError('the T and C bits are both set')
    const isStage =
      header.nsg === LoginStage.loginOperationalNegotiation || header.nsg === LoginStage.fullFeaturePhase
    if (!isStage || header.nsg <= header.csg) {
      return initiatorError(`no transition from login stage ${header.csg} to ${header.nsg}`)
    }
    return undefined
  }

  #negotiate(pairs: readonly Pair[]): LoginRefusal | undefined {
    const keys = this.#keys as Negotiator
    const stage = STAGES[this.#stage] as Stage
    const identifying = pairs.filter(([key]) => identityKeys.has(key))
    if (this.#identity) {
      if (identifying[0]) return initiatorError(`${identifying[0][0]} is not in the first login request`)
    } else {
      // Who it is decides how it may authenticate: those keys first, in whatever order they came.
      const wrong = keys.receive(identifying, stage)
      if (wrong) {
        const { initiatorError: error, sessionTypeNotSupported } = LoginStatus
        const status =
          wrong.key === 'SessionType' && hasOtherType(identifying) ? sessionTypeNotSupported : error
        return refuse(status, `${wrong.key} ${wrong.reason}`)
      }
      const refused = this.#identify(keys)
      if (refused) return refused
    }
    const others = pairs.filter(([key]) => !identityKeys.has(key) && !isAuthenticationKey(key))
    const wrong = keys.receive(others, stage)
    if (wrong) return initiatorError(`${wrong.key} ${wrong.reason}`)
    return this.#authenticate(pairs.filter(([key]) => isAuthenticationKey(key)))
  }

  #authenticate(pairs: readonly Pair[]): LoginRefusal | undefined {
    const keys = this.#keys as Negotiator
    const security = this.#security as TargetSecurity
    if (this.#stage !== LoginStage.securityNegotiation) {
      if (pairs[0]) return initiatorError(`${pairs[0][0]} outside the SecurityNegotiation stage`)
      if (security.user !== undefined) return undefined
      return refuse(LoginStatus.authenticationFailure, 'the initiator must authenticate itself')
    }
    if (!security.isChosen && keys.has('AuthMethod')) security.choose(keys.text('AuthMethod'))
    if (!security.isChosen && keys.isSettled('AuthMethod')) {
      return refuse(LoginStatus.authenticationFailure, 'no authentication method suits both sides')
    }
    const answer = security.receive(pairs)
    if ('ok' in answer) return answer
    this.#securityKeys = answer
    return undefined
  }

  /** The first request's text is complete: who is this, and what does it want? */
  #identify(keys: Negotiator): LoginRefusal | undefined {
    const first = this.#first as LoginRequest
    const received = keys.text('InitiatorName')
    if (received === '') return refuse(LoginStatus.missingParameter, 'InitiatorName is missing')
    const initiatorName = peerName(received)
    if (initiatorName === undefined) return initiatorError(`InitiatorName ${received} is no iSCSI name`)
    const targetName = foldIscsiName(keys.text('TargetName'))
    if (targetName === '' && !keys.isDiscovery) {
      return refuse(LoginStatus.missingParameter, 'TargetName is missing')
    }
    this.#identity = {
      initiatorName,
      initiatorAlias: '',
      user: '',
      type: keys.isDiscovery ? 'Discovery' : 'Normal',
      targetName,
      isid: hex(first.isid),
      tsih: first.tsih,
      cid: first.cid,
      peerAddress: this.#peerAddress,
      localAddress: this.#localAddress,
    }
    const admission = this.#host.admit(this.#identity)
    if (!admission.ok) return admission
    this.#admission = admission
    this.#security = new TargetSecurity(admission)
    keys.prefer('AuthMethod', admission.authMethods)
    // §6.3.1: with the first response that may carry it.
    if (admission.portalGroupTag !== undefined) {
      keys.declare('TargetPortalGroupTag', admission.portalGroupTag)
    }
    return undefined
  }

  #answer(header: LoginRequest): LoginStep {
    const keys = this.#keys as Negotiator
    if (this.#stage === LoginStage.loginOperationalNegotiation && !this.#declaredOperational) {
      this.#declaredOperational = true
      keys.declare('MaxRecvDataSegmentLength', this.#limits.maxRecvDataSegmentLength)
      if (this.#admission?.targetAlias && !keys.isDiscovery) {
        keys.declare('TargetAlias', this.#admission.targetAlias)
      }
    }
    let mayTransit = header.transit
    const security = this.#security as TargetSecurity
    if (this.#stage === LoginStage.securityNegotiation && header.transit && security.user === undefined) {
      mayTransit = false
      // It would rather not authenticate, but it has to: the offer comes from us (§6.3.1).
      if (!security.isChosen) keys.propose('AuthMethod')
    }
    const leavesOperational =
      header.transit && header.nsg === LoginStage.fullFeaturePhase && !this.#text.isSending
    let nsg = header.nsg
    if (leavesOperational) {
      if (this.#stage === LoginStage.loginOperationalNegotiation) {
        if (keys.proposeUnacceptable()) mayTransit = false
      } else if (keys.unacceptable().length > 0) nsg = LoginStage.loginOperationalNegotiation
    }
    this.#text.queue([...keys.takeOutgoing(), ...this.#securityKeys])
    this.#securityKeys = []
    const data = this.#text.take(LOGIN_SEGMENT_BYTES)
    if (!mayTransit || this.#text.isSending || keys.unanswered.length > 0) return this.#respond(false, data)
    const wrong = keys.checkIntegrity()
    if (wrong) return initiatorError(`${wrong.key} ${wrong.reason}`)
    const [rejected] = nsg === LoginStage.fullFeaturePhase ? keys.rejected() : []
    if (rejected) return initiatorError(`${rejected} was rejected, and its default is beyond a limit here`)
    keys.commit(false)
    if (nsg === LoginStage.fullFeaturePhase) {
      return { kind: 'complete', csg: this.#stage, data }
    }
    const step = this.#respond(true, data, nsg)
    this.#stage = nsg
    return step
  }

  #respond(transit: boolean, data: Uint8Array, nsg = 0): LoginStep {
    return {
      kind: 'respond',
      transit,
      continue: this.#text.isSending,
      csg: this.#stage,
      nsg: transit ? nsg : 0,
      data,
    }
  }
}
