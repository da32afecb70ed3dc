import { serialAdd } from '../../base/serial32.ts'
import { opcodeOf, RESERVED_TAG } from '../../pdu/bhs.ts'
import { LoginStage } from '../../pdu/codes.ts'
import { decodeLoginRequest, encodeLoginResponse, type LoginRequest } from '../../pdu/login.ts'
import { LoginStatus } from '../../pdu/login-status.ts'
import { Opcode, opcodeName } from '../../pdu/opcodes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import { encodeText } from '../../pdu/text.ts'
import type { TargetLimits } from '../limits.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { Negotiator } from '../negotiator.ts'
import { sessionParameters } from '../parameters.ts'
import type { TargetConnection } from './target-connection.ts'
import { type LoginIdentity, type LoginRefusal, refuse, type TargetHost } from './target-host.ts'
import { type LoginComplete, type LoginRespond, TargetLogin } from './target-login.ts'
import { TargetSession } from './target-session.ts'

/** What the last login request of a connection brought it into. */
export interface LoggedIn {
  readonly session: TargetSession
  readonly identity: LoginIdentity
  readonly keys: Negotiator
  readonly receiveSegmentBytes: number
  /** It joins a session that exists: the ExpStatSN of the connection whose place it may take (§11.12.9). */
  readonly oldExpStatSN: number
  /** Sends the last login response; `sent` runs when it has been encoded. */
  respond(sent: () => void): void
}

/** The PDUs of a connection's login phase: what `TargetLogin` makes of them, and the session that they lead to. */
export class LoginPhase {
  readonly #connection: TargetConnection
  readonly #host: TargetHost
  readonly #limits: TargetLimits
  readonly #budget: MemoryBudget
  readonly #login: TargetLogin

  constructor(connection: TargetConnection, budget: MemoryBudget, localAddress: string) {
    this.#connection = connection
    this.#host = connection.host
    this.#limits = connection.limits
    this.#budget = budget
    this.#login = new TargetLogin(this.#host, this.#limits, connection.peerAddress, localAddress)
  }

  get identity(): LoginIdentity | undefined {
    return this.#login.identity
  }

  /** One PDU; what it leads to where that was the last one and all is well. */
  receive(pdu: ReceivedPdu): LoggedIn | undefined {
    const opcode = opcodeOf(pdu.view, pdu.at)
    if (opcode !== Opcode.loginRequest) {
      const reason = `${opcodeName(opcode)} before the end of the login`
      this.fail(refuse(LoginStatus.invalidDuringLogin, reason), undefined)
      return undefined
    }
    const header = decodeLoginRequest(pdu.view, pdu.at)
    const first = this.#login.first ?? header
    const step = this.#login.request(header, pdu)
    if (step.kind === 'refusal') this.fail(step, header)
    else if (step.kind === 'respond') this.#respond(header, step, undefined)
    else return this.#complete(header, first, step)
    return undefined
  }

  #complete(header: LoginRequest, first: LoginRequest, step: LoginComplete): LoggedIn | undefined {
    const { identity, keys } = this.#login
    if (!identity || !keys) throw new Error('a login ended without an identity')
    const session = identity.tsih === 0 ? this.#newSession(identity, keys, header) : this.#join(identity)
    if (!(session instanceof TargetSession)) {
      this.fail(session, header)
      return undefined
    }
    keys.commit(true)
    const response: LoginRespond = {
      kind: 'respond',
      transit: true,
      continue: false,
      csg: step.csg,
      nsg: LoginStage.fullFeaturePhase,
      data: step.data,
    }
    return {
      session,
      identity,
      keys,
      receiveSegmentBytes: this.#login.receiveSegmentBytes,
      oldExpStatSN: first.expStatSN,
      respond: (sent) => this.#respond(header, response, session, sent),
    }
  }

  #newSession(identity: LoginIdentity, keys: Negotiator, header: LoginRequest): TargetSession | LoginRefusal {
    const { counters } = this.#connection
    const session = new TargetSession(
      this.#host,
      identity,
      header.cmdSN,
      this.#limits,
      this.#budget,
      counters,
    )
    const home = this.#host.establish(identity, session)
    if (!home.ok) {
      session.connections.loginFailed()
      return home
    }
    session.establish(home, sessionParameters(keys))
    return session
  }

  /** A further connection (§4.3), or one in the place of another (§6.3.4). */
  #join(identity: LoginIdentity): TargetSession | LoginRefusal {
    const session = this.#host.join(identity)
    if (!(session instanceof TargetSession)) return session
    if (session.identity.user !== identity.user) {
      return refuse(LoginStatus.authorizationFailure, 'the session belongs to another user')
    }
    if (!session.connections.hasRoomFor(identity.cid)) {
      const limit = session.parameters.maxConnections
      return refuse(LoginStatus.tooManyConnections, `the session has its ${limit} connections`)
    }
    return session
  }

  #respond(
    header: LoginRequest,
    step: LoginRespond,
    session: TargetSession | undefined,
    sent?: () => void,
  ): void {
    // Before there is a session, the numbers are those that it will begin with (§11.12.8).
    const depth = this.#limits.commandDepth
    this.#connection.sendControl(
      (view, at, numbering) =>
        encodeLoginResponse(view, at, {
          transit: step.transit,
          continue: step.continue,
          csg: step.csg,
          nsg: step.nsg,
          versionMax: 0,
          versionActive: 0,
          dataSegmentLength: step.data.length,
          isid: header.isid,
          tsih: session?.tsih ?? header.tsih,
          initiatorTaskTag: header.initiatorTaskTag,
          statSN: numbering.statSN,
          expCmdSN: session ? numbering.expCmdSN : header.cmdSN,
          maxCmdSN: session ? numbering.maxCmdSN : serialAdd(header.cmdSN, depth - 1),
          statusClass: 0,
          statusDetail: 0,
        }),
      step.data,
      true,
      sent,
    )
  }

  /** Ends the login, and with it the connection. */
  fail(refusal: LoginRefusal, header: LoginRequest | undefined): void {
    const { status, reason, targetAddress } = refusal
    const request = header ?? this.#login.first
    const data = encodeText(targetAddress === undefined ? [] : [['TargetAddress', targetAddress]])
    const connection = this.#connection
    connection.sendControl(
      (view, at) =>
        encodeLoginResponse(view, at, {
          transit: false,
          continue: false,
          csg: 0,
          nsg: 0,
          versionMax: 0,
          versionActive: 0,
          dataSegmentLength: data.length,
          isid: request?.isid ?? new Uint8Array(6),
          tsih: request?.tsih ?? 0,
          initiatorTaskTag: request?.initiatorTaskTag ?? RESERVED_TAG,
          statSN: 0,
          expCmdSN: 0,
          maxCmdSN: 0,
          statusClass: status.statusClass,
          statusDetail: status.statusDetail,
        }),
      data,
    )
    if (refusal.isFailedProof) this.#host.authenticationFailed(connection.peerAddress)
    connection.loginFailed(status, reason)
  }
}
