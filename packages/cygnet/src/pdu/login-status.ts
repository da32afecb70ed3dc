/** Status of a Login Response (RFC 7143 §11.13.5). A class other than 0 closes the TCP connection on both sides. */
export interface LoginStatus {
  /** Status-Class: 0 success, 1 redirection, 2 initiator error, 3 target error. */
  readonly statusClass: number
  readonly statusDetail: number
  /** The RFC's short name. */
  readonly name: string
  /** One sentence for a log or an error message. */
  readonly text: string
}

const status = (statusClass: number, statusDetail: number, name: string, text: string): LoginStatus => ({
  statusClass,
  statusDetail,
  name,
  text,
})

/** Every status that RFC 7143 §11.13.5 assigns. */
export const LoginStatus = {
  success: status(0, 0x00, 'Success', 'Login is proceeding.'),
  targetMovedTemporarily: status(
    1,
    0x01,
    'Target moved temporarily',
    'The target has temporarily moved to the address provided.',
  ),
  targetMovedPermanently: status(
    1,
    0x02,
    'Target moved permanently',
    'The target has permanently moved to the address provided.',
  ),
  initiatorError: status(2, 0x00, 'Initiator error', 'The initiator made an error in its login.'),
  authenticationFailure: status(
    2,
    0x01,
    'Authentication failure',
    'The initiator could not be authenticated, or target authentication is not supported.',
  ),
  authorizationFailure: status(
    2,
    0x02,
    'Authorization failure',
    'The initiator is not allowed access to this target.',
  ),
  notFound: status(2, 0x03, 'Not found', 'The requested target does not exist at this address.'),
  targetRemoved: status(
    2,
    0x04,
    'Target removed',
    'The requested target has been removed, and no forwarding address is known.',
  ),
  unsupportedVersion: status(
    2,
    0x05,
    'Unsupported version',
    'The iSCSI version range of the initiator is not supported.',
  ),
  tooManyConnections: status(
    2,
    0x06,
    'Too many connections',
    'The session has as many connections as it may have.',
  ),
  missingParameter: status(
    2,
    0x07,
    'Missing parameter',
    'A required parameter such as InitiatorName or TargetName is missing.',
  ),
  cannotIncludeInSession: status(
    2,
    0x08,
    "Can't include in session",
    'The session cannot span to a connection at this address.',
  ),
  sessionTypeNotSupported: status(
    2,
    0x09,
    'Session type not supported',
    'This type of session is not supported, or not for this initiator.',
  ),
  sessionDoesNotExist: status(
    2,
    0x0a,
    'Session does not exist',
    'The connection was to be added to a session that does not exist.',
  ),
  invalidDuringLogin: status(
    2,
    0x0b,
    'Invalid during login',
    'A request of this type is not allowed during login.',
  ),
  targetError: status(3, 0x00, 'Target error', 'The target has a hardware or software error.'),
  serviceUnavailable: status(
    3,
    0x01,
    'Service unavailable',
    'The iSCSI service or the target is not currently operational.',
  ),
  outOfResources: status(
    3,
    0x02,
    'Out of resources',
    'The target has not enough sessions, connections or other resources.',
  ),
} as const

/** The table's entry for a received class and detail; an unassigned detail is named after its class. */
export function loginStatusOf(statusClass: number, statusDetail: number): LoginStatus {
  for (const known of Object.values(LoginStatus)) {
    if (known.statusClass === statusClass && known.statusDetail === statusDetail) return known
  }
  const kind =
    ['Success', 'Redirection', 'Initiator error', 'Target error'][statusClass] ?? 'Unassigned status class'
  const code = `0x${((statusClass << 8) | statusDetail).toString(16).padStart(4, '0')}`
  return status(statusClass, statusDetail, `${kind} (${code})`, `The status ${code} is not assigned.`)
}
