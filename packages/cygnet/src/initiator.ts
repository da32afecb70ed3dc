/** `cygnet/initiator`: discovers and uses iSCSI targets from Node. */
import { Initiator } from './initiator/initiator.ts'
import { nodeInitiatorRuntime } from './runtime/initiator-runtime.ts'

export { CygnetError } from './base/errors.ts'
export type { DiscoveredTarget, PortalGroup } from './initiator/discovered-target.ts'
export { Initiator } from './initiator/initiator.ts'
export type { ChapCredentials, InitiatorOptions, SessionOptions } from './initiator/options.ts'
export type { ByteStream, InitiatorRuntime, StreamHandler, Transport } from './initiator/ports.ts'
export type { Session, SessionFacts } from './initiator/session.ts'
export { type IscsiUrl, parseIscsiUrl } from './initiator/url.ts'
export { type OpenStream, SocketTransport, tlsTransport } from './runtime/initiator-socket.ts'
export type { TlsClientOptions } from './runtime/tls-connect.ts'
export type { Notice } from './session/initiator-events.ts'
export { defaultInitiatorLimits, type InitiatorLimits } from './session/initiator-limits.ts'
export type { ConnectionParameters, SessionParameters } from './session/parameters.ts'
export type { PortalAddress } from './session/portal-address.ts'

const initiator = new Initiator(nodeInitiatorRuntime())

/** See {@link Initiator.discover}. */
export const discover: Initiator['discover'] = (address, options) => initiator.discover(address, options)

/** See {@link Initiator.openSession}. */
export const openSession: Initiator['openSession'] = (where, options) => initiator.openSession(where, options)
