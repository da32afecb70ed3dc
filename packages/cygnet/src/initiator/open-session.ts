import { viewOf } from '../base/bytes.ts'
import { CygnetError } from '../base/errors.ts'
import { LoginStatus } from '../pdu/login-status.ts'
import type { ChapAlgorithmName } from '../session/auth/chap-algorithms.ts'
import { defaultInitiatorLimits } from '../session/initiator-role/initiator-limits.ts'
import type { LoginRedirection } from '../session/initiator-role/initiator-login.ts'
import type { LoginFailure } from '../session/initiator-role/initiator-login-failure.ts'
import { defaultSessionPolicy } from '../session/initiator-role/initiator-policy.ts'
import type { SessionEvent } from '../session/initiator-role/initiator-session-events.ts'
import { parseIscsiName } from '../session/iscsi-name.ts'
import { encodeIsid } from '../session/isid.ts'
import { formatPortalAddress, type PortalAddress } from '../session/portal-address.ts'
import { checkCredentials, firstAlgorithms, LoginAttempt } from './login-attempt.ts'
import { DEFAULT_CONNECT_TIMEOUT_MS, DEFAULT_REDIRECTIONS, type SessionOptions } from './options.ts'
import type { InitiatorRuntime, Transport } from './ports.ts'
import { Session } from './session.ts'
import { SessionHost } from './session-host.ts'

/** Where to log in, and as what; the rest is in the options. */
export interface LoginTarget {
  readonly type: 'Normal' | 'Discovery'
  /** Normalised name; '' in a discovery session that names none. */
  readonly target: string
  readonly portal: PortalAddress
}

type LoginOptions = Omit<SessionOptions, 'host' | 'port' | 'target'>

type Outcome = { readonly kind: 'session'; readonly session: Session } | LoginFailure | LoginRedirection

/**
 * Connects and logs in, following redirections (RFC 7143 §11.13.5) and, where a target mistakes the CHAP algorithm,
 * trying an older one.
 * @throws {CygnetError} LOGIN_…, CONNECT_FAILED, CONNECT_TIMEOUT, CONNECTION_LOST, REDIRECTION_LIMIT,
 * REDIRECTION_LOOP, NAME_INVALID, CREDENTIALS_INVALID
 */
export async function logIn(
  runtime: InitiatorRuntime,
  { type, target, portal }: LoginTarget,
  options: LoginOptions,
): Promise<Session> {
  checkCredentials(options.chap)
  const initiatorName = parseIscsiName(options.initiatorName ?? runtime.hostName)
  const isid = options.isid ?? randomIsid(runtime)
  const limit = options.maxRedirections ?? DEFAULT_REDIRECTIONS
  const redirections: { portal: PortalAddress; permanent: boolean }[] = []
  const visited = new Set<string>()
  let algorithms = firstAlgorithms(options.chap)
  let here = portal
  for (;;) {
    visited.add(formatPortalAddress(here))
    const attempt = new LoginAttempt(options.chap, algorithms, (lengthBytes) => runtime.random(lengthBytes))
    const facts = { target, initiatorName, isid, portal: here, redirections }
    // oxlint-disable-next-line no-await-in-loop -- each login follows from the one before
    const outcome = await logInOnce(runtime, type, facts, attempt, options)
    if (outcome.kind === 'session') return outcome.session
    if (outcome.kind === 'failed') {
      const fallback = olderAlgorithms(outcome, attempt)
      if (fallback === undefined) throw failedLogin(outcome, here)
      algorithms = fallback
      continue
    }
    if (redirections.length >= limit) {
      throw new CygnetError(
        'REDIRECTION_LIMIT',
        `The target sent us on ${limit + 1} times, last to ${formatPortalAddress(outcome.portals[0] as PortalAddress)}: look into its redirections, or allow more.`,
      )
    }
    const next = outcome.portals.find((one) => !visited.has(formatPortalAddress(one)))
    if (next === undefined) {
      throw new CygnetError(
        'REDIRECTION_LOOP',
        `The target sends us in a circle, back to ${formatPortalAddress(outcome.portals[0] as PortalAddress)}: look into its redirections.`,
      )
    }
    redirections.push({ portal: next, permanent: outcome.permanent })
    here = next
  }
}

/** What targets answer that take the algorithm for another: tgt has 0200 for a response of the wrong length. */
const refusals: ReadonlySet<LoginStatus | undefined> = new Set([
  LoginStatus.authenticationFailure,
  LoginStatus.initiatorError,
])

const olderAlgorithms = (
  { status }: LoginFailure,
  attempt: LoginAttempt,
): readonly ChapAlgorithmName[] | undefined => (refusals.has(status) ? attempt.fallback : undefined)

const failedLogin = ({ code, message }: LoginFailure, portal: PortalAddress): CygnetError =>
  new CygnetError(code, `Login at ${formatPortalAddress(portal)}: ${message}`)

function logInOnce(
  runtime: InitiatorRuntime,
  type: LoginTarget['type'],
  facts: ConstructorParameters<typeof Session>[1],
  attempt: LoginAttempt,
  options: LoginOptions,
): Promise<Outcome> {
  const limits = { ...defaultInitiatorLimits, ...options.limits }
  const digests = {
    header: options.headerDigest ?? (['None', 'CRC32C'] as const),
    data: options.dataDigest ?? (['None', 'CRC32C'] as const),
  }
  const policy = {
    ...defaultSessionPolicy,
    ...(options.connections !== undefined && { connections: options.connections }),
    ...(options.spread !== undefined && { spread: options.spread }),
    ...(options.errorRecoveryLevel !== undefined && { errorRecoveryLevel: options.errorRecoveryLevel }),
    ...(options.reopenLimitMs !== undefined && { reopenLimitMs: options.reopenLimitMs }),
    ...(options.taskTimeoutMs !== undefined && { taskTimeoutMs: options.taskTimeoutMs }),
  }
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
  let session: Session | undefined
  const onEvent = (event: SessionEvent): void => {
    if (session) session.handle(event)
    else if (event.kind === 'logged-in') {
      session = new Session(host.protocol, facts, () => runtime.clock.now(), {
        onNotice: options.onNotice,
        onRecovery: options.onRecovery,
      })
      resolve({ kind: 'session', session })
    } else if (event.kind === 'ended') {
      const { code, message } = event.failure ?? NEVER_OPEN
      if (host.transportError?.code === code) reject(host.transportError)
      else if (event.login) resolve(event.login)
      else reject(new CygnetError(code, message))
    }
  }
  const host = new SessionHost(
    reachedBy(options.transport ?? (options.tls && runtime.secured(options.tls)), runtime),
    facts.portal,
    options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
    {
      limits,
      policy,
      digests,
      login: {
        type,
        initiatorName: facts.initiatorName,
        initiatorAlias: options.initiatorAlias ?? '',
        targetName: facts.target,
        isid: facts.isid,
        authentication: () => attempt.authentication,
        // A redirection leads to another portal group.
        portalGroupTag: facts.redirections.length === 0 ? options.portalGroupTag : undefined,
      },
    },
    onEvent,
  )
  host.start()
  return promise
}

/** The same runtime, with another way to reach portals where there is one. */
function reachedBy(transport: Transport | undefined, runtime: InitiatorRuntime): InitiatorRuntime {
  if (transport === undefined) return runtime
  return {
    transport,
    clock: runtime.clock,
    pool: runtime.pool,
    hostName: runtime.hostName,
    secured: (tls) => runtime.secured(tls),
    random: (lengthBytes) => runtime.random(lengthBytes),
    defer: (callback) => runtime.defer(callback),
    schedule: (callback, delayMs) => runtime.schedule(callback, delayMs),
  }
}

const NEVER_OPEN = { code: 'CONNECTION_LOST', message: 'The session ended before it was open.' }

/** §11.12.5: a random one, so that two sessions of this host do not reinstate each other. */
function randomIsid(runtime: InitiatorRuntime): Uint8Array {
  const view = viewOf(runtime.random(5))
  return encodeIsid({ type: 'random', random: view.getUint32(0) >>> 8, qualifier: view.getUint16(3) })
}
