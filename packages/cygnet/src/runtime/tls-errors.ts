/** What a failed TLS handshake means, in one sentence, at either side. */
import { CygnetError } from '../base/errors.ts'

/** First byte of a TLS record of the handshake (RFC 8446 §5.1): a TLS client's first byte. No iSCSI opcode has it. */
export const TLS_HANDSHAKE_RECORD = 0x16
/** First byte of a TLS alert: what a TLS portal answers to a plain login. No iSCSI opcode of a target has it. */
export const TLS_ALERT_RECORD = 0x15
/** The alert that a TLS portal sends to a client without TLS: fatal (2), unexpected_message (10). */
export const PLAIN_CLIENT_ALERT: Uint8Array = Uint8Array.of(TLS_ALERT_RECORD, 3, 3, 0, 2, 2, 10)

/** Why a plain connection to a TLS portal fails, for an initiator whose first received byte is TLS_ALERT_RECORD. */
export const portalSpeaksTls = (endpoint: string): CygnetError =>
  new CygnetError('TLS_REQUIRED', `${endpoint} takes TLS connections only: connect with TLS.`)

/** What the target says of a client whose first byte is TLS_HANDSHAKE_RECORD. */
export const TLS_ON_PLAIN_PORTAL = 'the initiator speaks TLS, and this portal does not'

/** RFC 8446 §6 alerts that a peer may end a handshake with. */
const Alert = {
  handshakeFailure: 40,
  badCertificate: 42,
  certificateRevoked: 44,
  certificateExpired: 45,
  certificateUnknown: 46,
  unknownCa: 48,
  accessDenied: 49,
  decryptError: 51,
  protocolVersion: 70,
  insufficientSecurity: 71,
  unknownPskIdentity: 115,
  certificateRequired: 116,
} as const

/** The number of the alert that the peer has sent, if that is what the error is about. */
function alertOf(error: Error): number | undefined {
  const number = /SSL alert number (\d+)/.exec(error.message)?.[1]
  return number === undefined ? undefined : Number(number)
}

const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? ''

/** OpenSSL's reason without its addresses and file names. */
const plainMessage = (error: Error): string =>
  /:error:[^:]*:[^:]*:[^:]*:([^:]+)/.exec(error.message)?.[1] ?? error.message.trim()

/** One line about an error of an established connection, over TCP or TLS. */
export const explainTransportError = (error: Error): string =>
  codeOf(error).startsWith('ERR_SSL') ? `TLS: ${plainMessage(error)}` : `TCP: ${error.message}`

// The target's side

export interface FailedClient {
  readonly error: Error
  /** What is wrong with the client's certificate: OpenSSL's code, such as CERT_HAS_EXPIRED. */
  readonly certificateError: string | undefined
  /** The last pre-shared key identity that it has offered. */
  readonly offeredIdentity: string | undefined
  /** The portal has no certificate, only pre-shared keys. */
  readonly pskOnly: boolean
  /** When the portal's own certificate has expired, if it has. */
  readonly ownExpiry: string | undefined
}

const alertsFromClient: Readonly<Record<number, string>> = {
  [Alert.badCertificate]: "the initiator does not accept this portal's certificate",
  [Alert.certificateRevoked]: "the initiator takes this portal's certificate for revoked",
  [Alert.certificateExpired]: "the initiator takes this portal's certificate for expired",
  [Alert.certificateUnknown]: "the initiator does not accept this portal's certificate",
  [Alert.unknownCa]: "the initiator does not trust the CA of this portal's certificate",
}

const clientCertificateErrors: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "the initiator's certificate has expired",
  CERT_NOT_YET_VALID: "the initiator's certificate is not valid yet",
  CERT_REVOKED: "the initiator's certificate is revoked",
  INVALID_PURPOSE: "the initiator's certificate is not made for clients",
}

const localErrors: Readonly<Record<string, (client: FailedClient) => string>> = {
  ERR_SSL_UNSUPPORTED_PROTOCOL: () => 'the initiator does not offer TLS 1.3, the only version that is taken',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: () =>
    'the initiator shows no certificate, and this portal asks for one',
  ERR_SSL_BINDER_DOES_NOT_VERIFY: ({ offeredIdentity }) =>
    `the initiator has another key for the pre-shared key identity ${JSON.stringify(offeredIdentity)}`,
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: (client) =>
    client.pskOnly ? pskMissing(client) : 'the initiator takes none of the signatures of this certificate',
  ERR_SSL_NO_SHARED_CIPHER: () => 'the initiator offers no cipher suite that this portal takes',
}

const pskMissing = ({ offeredIdentity }: FailedClient): string =>
  offeredIdentity === undefined
    ? 'the initiator offers no pre-shared key, and this portal has no certificate'
    : `the pre-shared key identity ${JSON.stringify(offeredIdentity)} is not known here`

/** Why a client's handshake has failed, for the target's log. */
export function explainFailedClient(client: FailedClient): string {
  const { error, certificateError, ownExpiry } = client
  const expired = ownExpiry === undefined ? '' : `, which expired on ${ownExpiry}`
  if (certificateError !== undefined)
    return (
      clientCertificateErrors[certificateError] ??
      `the initiator's certificate is not signed by a CA that this portal trusts (${certificateError})`
    )
  const alert = alertsFromClient[alertOf(error) ?? -1]
  if (alert !== undefined) return alert + expired
  const local = localErrors[codeOf(error)]
  if (local !== undefined) return local(client)
  if (codeOf(error) === 'ECONNRESET')
    return client.pskOnly
      ? 'the initiator broke the handshake off'
      : `the initiator broke the handshake off: it does not accept this portal's certificate${expired}`
  return `the TLS handshake failed: ${plainMessage(error)}`
}

// The initiator's side

export interface FailedServer {
  /** `host:port` that the connection went to. */
  readonly endpoint: string
  /** The name that the certificate must have. */
  readonly serverName: string
  readonly pskIdentity: string | undefined
  readonly hasCertificate: boolean
  /** The handshake was over at this side; a TLS 1.3 server looks at the client's certificate after that. */
  readonly secured: boolean
}

type Explain = (server: FailedServer) => readonly [code: string, sentence: string]

const untrusted: Explain = ({ endpoint }) => [
  'TLS_UNTRUSTED',
  `The certificate of ${endpoint} is not signed by a CA that is trusted here: give the CA that has signed it.`,
]
const expired: Explain = ({ endpoint }) => [
  'TLS_EXPIRED',
  `The certificate of ${endpoint} has expired: renew it there.`,
]
const pskRefused: Explain = ({ endpoint, pskIdentity }) =>
  pskIdentity === undefined
    ? ['TLS_REFUSED', `${endpoint} refuses the handshake: it may ask for a pre-shared key.`]
    : [
        'TLS_PSK_REFUSED',
        `${endpoint} does not take the pre-shared key ${JSON.stringify(pskIdentity)}: compare identity and key.`,
      ]
const clientRefused: Explain = ({ endpoint, hasCertificate }) =>
  hasCertificate
    ? [
        'TLS_CLIENT_CERTIFICATE_REFUSED',
        `${endpoint} does not accept the client certificate: it must be valid and signed by the portal's client CA.`,
      ]
    : ['TLS_REFUSED', `${endpoint} ended the connection right after the handshake.`]
const notTls: Explain = ({ endpoint }) => [
  'TLS_NOT_SPOKEN',
  `${endpoint} does not answer in TLS: it is a portal without TLS, or the wrong port.`,
]
const tooOld: Explain = ({ endpoint }) => ['TLS_VERSION', `${endpoint} does not speak TLS 1.3.`]

const alertsFromServer: Readonly<Record<number, Explain>> = {
  [Alert.certificateRequired]: ({ endpoint }) => [
    'TLS_CLIENT_CERTIFICATE_REQUIRED',
    `${endpoint} asks for a client certificate: give one with its key.`,
  ],
  [Alert.handshakeFailure]: pskRefused,
  [Alert.decryptError]: pskRefused,
  [Alert.unknownPskIdentity]: pskRefused,
  [Alert.badCertificate]: clientRefused,
  [Alert.certificateRevoked]: clientRefused,
  [Alert.certificateExpired]: clientRefused,
  [Alert.certificateUnknown]: clientRefused,
  [Alert.unknownCa]: clientRefused,
  [Alert.accessDenied]: clientRefused,
  [Alert.protocolVersion]: tooOld,
  [Alert.insufficientSecurity]: tooOld,
}

const byCode: Readonly<Record<string, Explain>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  CERT_SIGNATURE_FAILURE: untrusted,
  CERT_UNTRUSTED: untrusted,
  INVALID_CA: untrusted,
  CERT_HAS_EXPIRED: expired,
  CERT_NOT_YET_VALID: ({ endpoint }) => [
    'TLS_EXPIRED',
    `The certificate of ${endpoint} is not valid yet: check the clocks.`,
  ],
  ERR_TLS_CERT_ALTNAME_INVALID: ({ endpoint, serverName }) => [
    'TLS_WRONG_NAME',
    `The certificate of ${endpoint} is not for ${serverName}: connect by a name in it, or say which to expect.`,
  ],
  ERR_SSL_WRONG_VERSION_NUMBER: notTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: notTls,
  ERR_SSL_UNSUPPORTED_PROTOCOL: tooOld,
  ECONNREFUSED: ({ endpoint }) => [
    'CONNECTION_REFUSED',
    `Nothing listens on ${endpoint}: start the target, or check address and port.`,
  ],
  ENOTFOUND: ({ endpoint }) => ['HOST_UNKNOWN', `The host name in ${endpoint} is not known.`],
  ECONNRESET: (server) => (server.secured ? clientRefused : notTls)(server),
  EPIPE: (server) => (server.secured ? clientRefused : notTls)(server),
}

/** Why a connection over TLS has failed, as the error of the initiator's side. */
export function explainFailedServer(error: Error, server: FailedServer): CygnetError {
  const alert = alertOf(error)
  const explain = alert === undefined ? byCode[codeOf(error)] : alertsFromServer[alert]
  const [code, sentence] = explain?.(server) ?? [
    'TLS_FAILED',
    `The connection to ${server.endpoint} failed: ${plainMessage(error)}.`,
  ]
  return new CygnetError(code, sentence, { cause: error })
}
