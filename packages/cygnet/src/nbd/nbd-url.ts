import { CygnetError } from '../base/errors.ts'

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
}

const invalid = (what: string): CygnetError =>
  new CygnetError(
    'URL_INVALID',
    `The NBD URL is not valid: ${what}. Write nbd://HOST[:PORT]/[EXPORT] or nbd+unix:///[EXPORT]?socket=PATH.`,
  )

/**
 * Reads the URLs of the NBD project (doc/uri.md): `nbd://host[:port]/export`, `nbd+unix:///export?socket=path`.
 * @throws {CygnetError} URL_INVALID
 */
export function parseNbdUrl(text: string): NbdUrl {
  const groups =
    /^(?<scheme>nbd|nbd\+unix):\/\/(?<authority>[^/?#]*)(?:\/(?<path>[^?#]*))?(?:\?(?<query>[^#]*))?$/i.exec(
      text,
    )?.groups
  if (groups === undefined) throw invalid('it must begin with nbd:// or nbd+unix://')
  const { scheme = '', authority = '', path = '', query = '' } = groups
  const exportName = decode(path)
  const parameters = query.split('&').filter((one) => one !== '')
  if (scheme.toLowerCase() === 'nbd') {
    if (parameters.length > 0) throw invalid('it has no parameters')
    return { address: readAuthority(authority), exportName }
  }
  const [socket, ...others] = parameters
  if (authority !== '') throw invalid('a Unix socket has no host: write three slashes')
  if (others.length > 0 || socket?.startsWith('socket=') !== true)
    throw invalid('its one parameter is socket')
  const socketPath = decode(socket.slice('socket='.length))
  if (socketPath === '') throw invalid('the path of the socket is missing')
  return { address: { kind: 'unix', path: socketPath }, exportName }
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
