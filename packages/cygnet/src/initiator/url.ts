import { CygnetError } from '../base/errors.ts'
import { peerName } from '../session/iscsi-name.ts'
import { parseTargetAddress } from '../session/portal-address.ts'
import type { ChapCredentials, SessionOptions } from './options.ts'
import type { TlsSettings } from './ports.ts'
import type { Digest } from '../session/initiator-role/initiator-preferences.ts'

/** What an iSCSI URL says. */
export interface IscsiUrl extends SessionOptions {
  readonly port: number
  /** Undefined where the URL names a target and no logical unit. */
  readonly lun: number | undefined
  /** More ways to the unit: all that the target tells, or these portals, HOST[:PORT]. */
  readonly paths?: 'discover' | readonly string[]
  /** Who logs in, where the URL has no secret for it: `chap` must be given beside it then. */
  readonly user?: string
}

const FORM = 'iscsi://[user[%secret]@]host[:port]/target[/lun]'
const URL_PATTERN =
  /^iscsi:\/\/(?:(?<login>[^@/]*)@)?(?<address>[^/?#@]+)\/(?<path>[^?#]*)(?:\?(?<query>[^#]*))?$/i
const LARGEST_LUN = 16_383
const MAX_CONNECTIONS = 32
const MAX_SECONDS = 86_400

/** Never shows a secret. */
const invalid = (what: string): CygnetError =>
  new CygnetError('URL_INVALID', `The iSCSI URL is not valid: ${what}. Write ${FORM}.`)

/**
 * Reads `iscsi://[user[%secret]@]host[:port]/iqn[/lun][?parameters]`, the form that libiscsi and QEMU read. Parameters,
 * with `&` between:
 *
 * - `target_user` and `target_password`: mutual CHAP;
 * - `header_digest` and `data_digest`: `crc32c` or `none`;
 * - and of our own: `connections` (1 to 32); `tls`, with `tls_ca`, `tls_server_name`, `tls_cert`, `tls_key` and `tls_psk` as in
 *   `TlsSettings`, each of which implies it; `paths` (`discover`, or portals with commas between); `task_timeout` and
 *   `reopen_limit` in seconds, 0 to 86400.
 *
 * A secret in a URL ends up in shell histories and process lists: better give it in the options.
 * @throws {CygnetError} URL_INVALID
 */
export function parseIscsiUrl(text: string): IscsiUrl {
  if (/^iser:/i.test(text)) throw invalid(NO_RDMA)
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
  return {
    host: portal.host,
    port: portal.port,
    target,
    lun: readLun(lun),
    ...readLogin(login, parameters),
    ...readDigest(parameters, 'header_digest', 'headerDigest'),
    ...readDigest(parameters, 'data_digest', 'dataDigest'),
    ...readTls(parameters),
    ...readNumber(parameters, 'connections', 'connections', [1, MAX_CONNECTIONS], 1),
    ...readNumber(parameters, 'task_timeout', 'taskTimeoutMs', [0, MAX_SECONDS], 1000),
    ...readNumber(parameters, 'reopen_limit', 'reopenLimitMs', [0, MAX_SECONDS], 1000),
    ...readPaths(parameters),
  }
}

/**
 * Options of which the place may be a URL: what `options` say goes before what it says.
 * @throws {CygnetError} URL_INVALID; CREDENTIALS_INVALID where there is a user and no secret
 */
export function withUrl<Options extends SessionOptions>(
  where: string | Options,
  options: Partial<Options>,
): (Options | IscsiUrl) & Partial<Options> {
  if (typeof where !== 'string') return { ...where, ...options }
  const { user, ...url } = parseIscsiUrl(where)
  if (user === undefined || options.chap !== undefined) return { ...url, ...options }
  throw new CygnetError(
    'CREDENTIALS_INVALID',
    `The URL names the user "${user}" and no secret: give it in the options (on the command line --secret-file).`,
  )
}

function readLun(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,5}$/.test(text) && Number(text) <= LARGEST_LUN) return Number(text)
  throw invalid(`the LUN must be a number from 0 to ${LARGEST_LUN}, not "${text}"`)
}

/** `user%secret`, both as they stand: libiscsi and QEMU decode neither. */
function readLogin(
  login: string | undefined,
  parameters: Map<string, string>,
): { readonly chap?: ChapCredentials; readonly user?: string } {
  const targetUser = parameters.get('target_user')
  const targetSecret = parameters.get('target_password')
  const isMutual = targetUser !== undefined || targetSecret !== undefined
  const [user, ...secrets] = (login ?? '').split('%')
  const secret = secrets.join('%')
  if (!user || !secret) {
    if (isMutual)
      throw invalid('mutual CHAP (target_user, target_password) needs a user and a secret of our own')
    if (login === undefined || login === '') return {}
    if (!user || secrets.length > 0) throw invalid('a user is written as user or user%secret')
    return { user }
  }
  if (targetUser !== undefined && targetSecret === undefined)
    throw invalid('target_user needs a target_password')
  const mutual = targetSecret !== undefined && {
    mutual: { ...(targetUser !== undefined && { user: targetUser }), secret: targetSecret },
  }
  return { chap: { user, secret, ...mutual } }
}

const knownParameters: ReadonlySet<string> = new Set([
  'target_user',
  'target_password',
  'header_digest',
  'data_digest',
  'connections',
  'tls',
  'tls_ca',
  'tls_server_name',
  'tls_cert',
  'tls_key',
  'tls_psk',
  'paths',
  'task_timeout',
  'reopen_limit',
])
const NO_RDMA = 'iSER (RDMA) is not known here, only TCP: leave iser away'

function readQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const part of query.split('&').filter((one) => one !== '')) {
    const [name = '', ...value] = part.split('=')
    if (name === 'iser') throw invalid(NO_RDMA)
    if (!knownParameters.has(name)) {
      throw invalid(`"${name}" is not a parameter; there are ${[...knownParameters].join(', ')}`)
    }
    if (parameters.has(name)) throw invalid(`the parameter ${name} is there twice`)
    parameters.set(name, decode(value.join('=')))
  }
  return parameters
}

const digests: Readonly<Record<string, readonly Digest[]>> = { crc32c: ['CRC32C'], none: ['None'] }

function readDigest<Key extends 'headerDigest' | 'dataDigest'>(
  parameters: Map<string, string>,
  name: string,
  key: Key,
): { readonly [K in Key]?: readonly Digest[] } {
  const value = parameters.get(name)
  if (value === undefined) return {}
  const found = Object.hasOwn(digests, value.toLowerCase()) ? digests[value.toLowerCase()] : undefined
  if (found === undefined) throw invalid(`${name} must be crc32c or none`)
  return { [key]: found } as { readonly [K in Key]?: readonly Digest[] }
}

/** `unit`: what one of the number is. */
function readNumber(
  parameters: Map<string, string>,
  name: string,
  key: 'connections' | 'taskTimeoutMs' | 'reopenLimitMs',
  [least, most]: readonly [number, number],
  unit: number,
): Partial<SessionOptions> {
  const value = parameters.get(name)
  if (value === undefined) return {}
  const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN
  if (number >= least && number <= most) return { [key]: number * unit }
  throw invalid(`${name} must be a whole number from ${least} to ${most}`)
}

const tlsParameters = {
  tls_ca: 'caFile',
  tls_server_name: 'serverName',
  tls_cert: 'certFile',
  tls_key: 'keyFile',
  tls_psk: 'pskFile',
} as const

function readTls(parameters: Map<string, string>): { readonly tls?: TlsSettings } {
  if ((parameters.get('tls') ?? '') !== '') throw invalid('tls has no value')
  const given = Object.entries(tlsParameters).flatMap(([name, key]) => {
    const value = parameters.get(name)
    if (value === '') throw invalid(`${name} needs a value`)
    return value === undefined ? [] : [[key, value]]
  })
  return given.length > 0 || parameters.has('tls') ? { tls: Object.fromEntries(given) as TlsSettings } : {}
}

function readPaths(parameters: Map<string, string>): Pick<IscsiUrl, 'paths'> {
  const value = parameters.get('paths')
  if (value === undefined) return {}
  if (value === 'discover') return { paths: value }
  const paths = value.split(',')
  const wrong = paths.find((path) => parseTargetAddress(path) === undefined)
  if (wrong === undefined) return { paths }
  throw invalid(`paths must be discover or portals with commas between, and "${wrong}" is none`)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('a % is not followed by two hexadecimal digits of UTF-8')
  }
}
