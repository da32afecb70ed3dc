import { LoginStatus, loginStatusOf } from '../../pdu/login-status.ts'

/** The login ends here; what a `CygnetError` is made of. */
export interface LoginFailure {
  readonly kind: 'failed'
  /** Stable, for programs. */
  readonly code: string
  /** One sentence that says what to do. */
  readonly message: string
  /** What the target answered; undefined where it is our own finding. */
  readonly status: LoginStatus | undefined
}

/** What each status (RFC 7143 §11.13.5) means for whoever wants to log in. Redirections are not failures of their own. */
const explanations = {
  initiatorError: [
    'LOGIN_INITIATOR_ERROR',
    'The target says that our login was wrong (0200): look into its log for the reason, and report it if the settings are right.',
  ],
  authenticationFailure: [
    'LOGIN_AUTHENTICATION_FAILED',
    'The target refused the authentication (0201): check the user and the secret, and whether it wants CHAP at all.',
  ],
  authorizationFailure: [
    'LOGIN_NOT_AUTHORIZED',
    'The target does not let this initiator in (0202): have its access rules allow our initiator name, address and user.',
  ],
  notFound: [
    'LOGIN_TARGET_NOT_FOUND',
    'There is no such target at this address (0203): look with `cygnet discover` at what there is.',
  ],
  targetRemoved: [
    'LOGIN_TARGET_REMOVED',
    'The target has been removed and left no new address (0204): ask its administrator, or discover again.',
  ],
  unsupportedVersion: [
    'LOGIN_VERSION_UNSUPPORTED',
    'The target speaks no iSCSI version that we do (0205), which is version 0 of RFC 7143: update its software.',
  ],
  tooManyConnections: [
    'LOGIN_TOO_MANY_CONNECTIONS',
    'The session has all the connections that it may have (0206): close one, or raise MaxConnections at the target.',
  ],
  missingParameter: [
    'LOGIN_PARAMETER_MISSING',
    'The target misses a parameter in our login (0207): name a target, since this address serves nothing without.',
  ],
  cannotIncludeInSession: [
    'LOGIN_SESSION_CANNOT_SPAN',
    'The session cannot have a connection through this address (0208): use a portal of the same portal group.',
  ],
  sessionTypeNotSupported: [
    'LOGIN_SESSION_TYPE_UNSUPPORTED',
    'The target does not offer this type of session to us (0209): for discovery, name the target and its address instead.',
  ],
  sessionDoesNotExist: [
    'LOGIN_NO_SUCH_SESSION',
    'The session that the connection was for is gone (020a): open a new session.',
  ],
  invalidDuringLogin: [
    'LOGIN_REQUEST_INVALID',
    'The target got a request that it does not take during login (020b): report this, with its log.',
  ],
  targetError: [
    'LOGIN_TARGET_ERROR',
    'The target has a hardware or software error (0300): look into its log, and try again later.',
  ],
  serviceUnavailable: [
    'LOGIN_SERVICE_UNAVAILABLE',
    'The target is not in operation at the moment (0301): try again later.',
  ],
  outOfResources: [
    'LOGIN_OUT_OF_RESOURCES',
    'The target has no room for another session (0302): close one that is not needed, or try again later.',
  ],
} as const satisfies {
  readonly [name in keyof typeof LoginStatus]?: readonly [code: string, message: string]
}

/** §11.13.5: the class alone is enough for what to do about a status that is not assigned. */
const unassigned: Readonly<Record<number, readonly [code: string, message: string]>> = {
  2: ['LOGIN_INITIATOR_ERROR', 'trying again will not help: look into the log of the target'],
  3: ['LOGIN_TARGET_ERROR', 'look into the log of the target, and try again later'],
}

/** The failure that a status class of 2 or above means. */
export function failureOfStatus(statusClass: number, statusDetail: number): LoginFailure {
  const status = loginStatusOf(statusClass, statusDetail)
  for (const [name, [code, message]] of Object.entries(explanations)) {
    if (LoginStatus[name as keyof typeof LoginStatus] === status)
      return { kind: 'failed', code, message, status }
  }
  const [code, remedy] = unassigned[statusClass] ?? [
    'LOGIN_STATUS_UNKNOWN',
    'look into the log of the target',
  ]
  return {
    kind: 'failed',
    code,
    message: `The target ended the login: ${status.text} What to do: ${remedy}.`,
    status,
  }
}

/** The target broke a rule of the login phase (RFC 7143 §6.3): the connection is dropped. */
export const protocolFailure = (what: string): LoginFailure => ({
  kind: 'failed',
  code: 'LOGIN_PROTOCOL_ERROR',
  message: `The target does not log us in by the rules of RFC 7143: ${what}. Update or report its software.`,
  status: undefined,
})
