import { CygnetError } from '../base/errors.ts'
import { peerName } from '../session/iscsi-name.ts'
import { parseTargetAddress } from '../session/portal-address.ts'
import type { ChapCredentials, SessionOptions } from './options.ts'
import type { Digest } from '../session/initiator-role/initiator-preferences.ts'

/** What an iSCSI URL says. */
export interface IscsiUrl extends SessionOptions {
  readonly port: number
  /** Undefined where the URL names a target and no logical unit. */
  readonly lun: number | undefined
  /** More ways to the unit: all that the target tells, or these portals, HOST[:PORT]. */
  readonly paths?: 'discover' | readonly string[]
}

const FORM = 'iscsi://[user[%secret]@]host[:port]/target[/lun]'
const URL_PATTERN =
  /^iscsi:\/\/(?:(?<login>[^@/]*)@)?(?<address>[^/?#@]+)\/(?<path>[^?#]*)(?:\?(?<query>[^#]*))?$/i
const LARGEST_LUN = 16_383

/** Never shows a secret. */
const invalid = (what: string): CygnetError =>
  new CygnetError('URL_INVALID', `The iSCSI URL is not valid: ${what}. Write ${FORM}.`)

/**
 * Reads `iscsi://[user[%secret]@]host[:port]/iqn[/lun][?parameters]`, the form that libiscsi and QEMU read. Parameters,
 * with `&` between: `target_user` and `target_password` (mutual CHAP), `header_digest` and `data_digest` (`crc32c` or
 * `none`), and our own `paths` (`discover`, or portals with commas between).
 *
 * A secret in a URL ends up in shell histories and process lists: better give it in the options.
 * @throws {CygnetError} URL_INVALID
 */
export function parseIscsiUrl(text: string): IscsiUrl {
  const groups = URL_PATTERN.exec(text)?.groups
  if (groups === undefined) {
    throw invalid(
      /^iscsi:\/\//i.test(text) ? 'a host and a target are needed' : 'it must begin with iscsi://',
    )
  }
  const { login, address = '', path = '', query } = groups
  const portal = parseTargetAddress(address)
  if (portal === undefined || portal.portalGroupTag !== undefined) {
    throw invalid(`"${address}" is not an address (an IPv6 address needs brackets)`)
  }
  const [name = '', lun, ...rest] = path.split('/')
  const target = peerName(decode(name))
  if (target === undefined)
    throw invalid(`"${name}" is not an iSCSI name such as iqn.2026-11.com.example:disk1`)
  if (rest.length > 0) throw invalid('there is more than a LUN after the target')
  const parameters = readQuery(query ?? '')
  const chap = readLogin(login, parameters)
  const headerDigest = readDigest(parameters, 'header_digest')
  const dataDigest = readDigest(parameters, 'data_digest')
  const paths = readPaths(parameters)
  return {
    host: portal.host,
    port: portal.port,
    target,
    lun: readLun(lun),
    ...(chap && { chap }),
    ...(headerDigest && { headerDigest }),
    ...(dataDigest && { dataDigest }),
    ...(paths && { paths }),
  }
}

function readLun(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,5}$/.test(text) && Number(text) <= LARGEST_LUN) return Number(text)
  throw invalid(`the LUN must be a number from 0 to ${LARGEST_LUN}, not "${text}"`)
}

/** `user%secret`, both as they stand: libiscsi and QEMU decode neither. */
function readLogin(login: string | undefined, parameters: Map<string, string>): ChapCredentials | undefined {
  const targetUser = parameters.get('target_user')
  const targetSecret = parameters.get('target_password')
  if (login === undefined || login === '') {
    if (targetUser === undefined && targetSecret === undefined) return undefined
    throw invalid('mutual CHAP (target_user, target_password) needs a user and a secret of our own')
  }
  const separator = login.indexOf('%')
  if (separator < 1 || separator === login.length - 1) throw invalid('a user needs a secret, as user%secret')
  if (targetUser !== undefined && targetSecret === undefined)
    throw invalid('target_user needs a target_password')
  return {
    user: login.slice(0, separator),
    secret: login.slice(separator + 1),
    ...(targetSecret !== undefined && {
      mutual: { ...(targetUser !== undefined && { user: targetUser }), secret: targetSecret },
    }),
  }
}

const knownParameters: ReadonlySet<string> = new Set([
  'target_user',
  'target_password',
  'header_digest',
  'data_digest',
  'paths',
])

function readQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const part of query.split('&').filter((one) => one !== '')) {
    const [name = '', ...value] = part.split('=')
    if (!knownParameters.has(name)) {
      throw invalid(`"${name}" is not a parameter; there are ${[...knownParameters].join(', ')}`)
    }
    if (parameters.has(name)) throw invalid(`the parameter ${name} is there twice`)
    parameters.set(name, decode(value.join('=')))
  }
  return parameters
}

const digests: Readonly<Record<string, readonly Digest[]>> = { crc32c: ['CRC32C'], none: ['None'] }

function readDigest(parameters: Map<string, string>, name: string): readonly Digest[] | undefined {
  const value = parameters.get(name)
  if (value === undefined) return undefined
  const found = Object.hasOwn(digests, value.toLowerCase()) ? digests[value.toLowerCase()] : undefined
  if (found === undefined) throw invalid(`${name} must be crc32c or none`)
  return found
}

function readPaths(parameters: Map<string, string>): IscsiUrl['paths'] {
  const value = parameters.get('paths')
  if (value === undefined || value === 'discover') return value
  const paths = value.split(',')
  const wrong = paths.find((path) => parseTargetAddress(path) === undefined)
  if (wrong === undefined) return paths
  throw invalid(`paths must be discover or portals with commas between, and "${wrong}" is none`)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('a % is not followed by two hexadecimal digits of UTF-8')
  }
}
