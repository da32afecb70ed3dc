import { parseNumber } from '../pdu/text-values.ts'

/** IANA's port for iSCSI (RFC 7143 §14). */
const DEFAULT_PORT = 3260

/** Where a target listens. `host` is a domain name, an IPv4 address, or an IPv6 address without brackets. */
export interface PortalAddress {
  readonly host: string
  /** 1..65535. */
  readonly port: number
}

/** A portal as SendTargets reports it. */
export interface Portal extends PortalAddress {
  /** 0..65535: portals with the same tag may serve one session together; undefined where none was given. */
  readonly portalGroupTag: number | undefined
}

const TARGET_ADDRESS =
  /^(?:\[(?<ipv6>[0-9A-Fa-f:.]+)\]|(?<host>[^\s:,[\]/@]+))(?::(?<port>[^,:]+))?(?:,(?<tag>[^,]+))?$/
/** RFC 1123 §2.1 names; an underscore is common enough in private ones. */
const DOMAIN_LABEL = /^[a-z\d](?:[a-z\d_-]{0,61}[a-z\d])?$/i
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const HEXTET = /^[0-9A-Fa-f]{1,4}$/

/** Reads `domainname[:port][,portal-group-tag]` (RFC 7143 §13.8); undefined where it is not of that form. */
export function parseTargetAddress(text: string): Portal | undefined {
  const groups = TARGET_ADDRESS.exec(text)?.groups
  if (groups === undefined) return undefined
  const { ipv6, host = '', port: portText, tag } = groups
  if (ipv6 === undefined ? !isHost(host) : !isIPv6(ipv6)) return undefined
  const port = portText === undefined ? DEFAULT_PORT : parseNumber(portText, 1, 65_535)
  const portalGroupTag = tag === undefined ? undefined : parsePortalGroupTag(tag)
  if (port === undefined || (tag !== undefined && portalGroupTag === undefined)) return undefined
  return { host: ipv6 ?? host, port, portalGroupTag }
}

/** A portal group tag (§13.9), 0..65535. */
export const parsePortalGroupTag = (text: string): number | undefined => parseNumber(text, 0, 65_535)

/** `host:port`, an IPv6 address in brackets: what TargetAddress holds, without the tag. */
export const formatPortalAddress = ({ host, port }: PortalAddress): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

/** Digits and dots alone must be a whole IPv4 address. */
function isHost(host: string): boolean {
  if (/^[\d.]+$/.test(host)) return IPV4.test(host)
  return host.length <= 253 && host.split('.').every((label) => DOMAIN_LABEL.test(label))
}

/** RFC 4291 §2.2: eight groups, at most one `::` for those that are zero, perhaps IPv4 at the end. */
function isIPv6(text: string): boolean {
  const lastColon = text.lastIndexOf(':')
  const tail = text.slice(lastColon + 1)
  const groups = tail.includes('.') ? `${text.slice(0, lastColon + 1)}0:0` : text
  if (tail.includes('.') && !IPV4.test(tail)) return false
  const halves = groups.split('::')
  if (halves.length > 2) return false
  const parts = halves.flatMap((half) => (half === '' ? [] : half.split(':')))
  return (
    parts.every((part) => HEXTET.test(part)) && (halves.length === 2 ? parts.length < 8 : parts.length === 8)
  )
}
