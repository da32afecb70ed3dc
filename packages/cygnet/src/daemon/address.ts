import { isIPv4, isIPv6 } from 'node:net'
import { CygnetError } from '../base/errors.ts'
import { formatEndpoint } from '../runtime/tcp-connection.ts'

/** IANA's port for iSCSI (RFC 7143 §15). */
export const ISCSI_PORT = 3260

/** Where to listen or connect. `host` is a name or an IPv4 or IPv6 address without brackets. */
export interface Address {
  readonly host: string
  /** 0..65535; 0 asks the system for a free one. */
  readonly port: number
}

/**
 * Reads `HOST`, `HOST:PORT`, `:PORT`, `[IPv6]` or `[IPv6]:PORT`. What is left out comes from `defaults`;
 * where their host is empty, `text` must name one.
 * @throws {CygnetError} ADDRESS_INVALID
 */
export function parseAddress(text: string, defaults: Address): Address {
  const match = /^(?:\[(?<ipv6>[^\]]*)\]|(?<host>[^:[\]]*))(?::(?<port>[^:]*))?$/.exec(text)
  const groups = match?.groups
  if (groups === undefined) {
    const remedy = isIPv6(text) ? `put an IPv6 address in brackets, [${text}]` : 'write HOST:PORT'
    throw invalid(text, remedy)
  }
  const { ipv6, host, port } = groups
  if (ipv6 !== undefined && !isIPv6(ipv6))
    throw invalid(text, 'what stands in brackets must be an IPv6 address')
  if (host && !isHost(host)) throw invalid(text, `"${host}" is neither a host name nor an IPv4 address`)
  if (text === '' || (!host && !ipv6 && defaults.host === '')) throw invalid(text, 'write HOST:PORT')
  return {
    host: ipv6 ?? (host || defaults.host),
    port: port === undefined ? defaults.port : parsePort(text, port),
  }
}

/** `HOST:PORT`, an IPv6 address in brackets. */
export const formatAddress = ({ host, port }: Address): string => formatEndpoint(host, port)

/** True where listening there takes connections from every network. */
export const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'

/** True where only this machine can connect. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))

/** RFC 1123 §2.1 host names; digits and dots alone must be a whole IPv4 address. */
function isHost(host: string): boolean {
  if (/^[\d.]+$/.test(host)) return isIPv4(host)
  return (
    host.length <= 253 &&
    host.split('.').every((label) => /^[a-z\d](?:[a-z\d_-]{0,61}[a-z\d])?$/i.test(label))
  )
}

function parsePort(text: string, port: string): number {
  if (/^\d{1,5}$/.test(port) && Number(port) <= 65_535) return Number(port)
  throw invalid(text, `the port must be a number from 0 to 65535, not "${port}"`)
}

const invalid = (text: string, remedy: string): CygnetError =>
  new CygnetError('ADDRESS_INVALID', `"${text}" is not an address: ${remedy}.`)
