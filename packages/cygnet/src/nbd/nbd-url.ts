import { CygnetError } from '../base/errors.ts'
import type { TlsSettings } from '../initiator/ports.ts'

/** Where an NBD server listens. */
export type NbdAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }

/** IANA's port for NBD. */
export const NBD_PORT = 10_809

export interface NbdUrl {
  readonly address: NbdAddress
  /** '' is the server's default. */
  readonly exportName: string
  /** TLS, and whom to believe. */
  readonly tls?: TlsSettings
}

const invalid = (what: string): CygnetError =>
  new CygnetError(
    'URL_INVALID',
    `The NBD URL is not valid: ${what}. Write nbd://HOST[:PORT]/[EXPORT] or nbd+unix:///[EXPORT]?socket=PATH, and nbds for TLS.`,
  )

/** What stands for the files of TLS. */
const tlsParameters = {
  'tls-ca': 'caFile',
  'tls-cert': 'certFile',
  'tls-key': 'keyFile',
  'tls-psk-file': 'pskFile',
  'tls-hostname': 'serverName',
} as const

/**
 * Reads the URLs of the NBD project (doc/uri.md): `nbd://host[:port]/export`, `nbd+unix:///export?socket=path`, and with TLS
 * `nbds://` and `nbds+unix://`, of which `tls-psk-file` and `tls-hostname` are also libnbd's, and `tls-ca`, `tls-cert` and
 * `tls-key` (PEM files) our own.
 * @throws {CygnetError} URL_INVALID
 */
export function parseNbdUrl(text: string): NbdUrl {
  const groups =
    /^nbd(?<tls>s?)(?<unix>\+unix)?:\/\/(?<authority>[^/?#]*)(?:\/(?<path>[^?#]*))?(?:\?(?<query>[^#]*))?$/i.exec(
      text,
    )?.groups
  if (groups === undefined) throw invalid('it must begin with nbd://, nbds://, nbd+unix:// or nbds+unix://')
  const { authority = '', path = '', query = '' } = groups
  const exportName = decode(path)
  const parameters = readQuery(query, groups['tls'] !== '', groups['unix'] !== undefined)
  const tls = groups['tls'] !== '' && { tls: readTls(parameters) }
  if (groups['unix'] === undefined) return { address: readAuthority(authority), exportName, ...tls }
  if (authority !== '') throw invalid('a Unix socket has no host: write three slashes')
  const socketPath = parameters.get('socket')
  if (socketPath === undefined || socketPath === '') throw invalid('the path of the socket is missing')
  return { address: { kind: 'unix', path: socketPath }, exportName, ...tls }
}

function readQuery(query: string, isTls: boolean, isUnix: boolean): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const part of query.split('&').filter((one) => one !== '')) {
    const [name = '', ...value] = part.split('=')
    const isKnown = name === 'socket' ? isUnix : isTls && Object.hasOwn(tlsParameters, name)
    if (!isKnown) throw invalid(`"${name}" is not a parameter of it`)
    if (parameters.has(name)) throw invalid(`the parameter ${name} is there twice`)
    parameters.set(name, decode(value.join('=')))
  }
  return parameters
}

function readTls(parameters: Map<string, string>): TlsSettings {
  const given = Object.entries(tlsParameters).flatMap(([name, key]) => {
    const value = parameters.get(name)
    return value === undefined ? [] : [[key, value]]
  })
  return Object.fromEntries(given) as TlsSettings
}

function readAuthority(text: string): NbdAddress {
  const groups = /^(?:\[(?<ipv6>[\da-f:.]+)\]|(?<host>[^:[\]@]+))(?::(?<port>\d{1,5}))?$/i.exec(text)?.groups
  if (groups === undefined) throw invalid(`"${text}" is not an address (an IPv6 address needs brackets)`)
  const { ipv6, host = '', port } = groups
  const number = port === undefined ? NBD_PORT : Number(port)
  if (number < 1 || number > 65_535) throw invalid('the port must be from 1 to 65535')
  return { kind: 'tcp', host: ipv6 ?? host, port: number }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('a % is not followed by two hexadecimal digits of UTF-8')
  }
}
