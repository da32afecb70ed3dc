import type { Command } from 'commander'
import { CygnetError } from '../base/errors.ts'
import { readSecret } from '../daemon/config/secrets.ts'
import type { SecretSource } from '../daemon/config/state.ts'
import type { ChapCredentials, InitiatorOptions } from '../initiator/options.ts'
import type { TlsSettings } from '../initiator/ports.ts'

/** How a command logs in to targets. */
export interface LoginOptions {
  readonly user?: string
  readonly secretFile?: string
  readonly secretEnv?: string
  readonly mutualUser?: string
  readonly mutualSecretFile?: string
  readonly mutualSecretEnv?: string
  readonly initiatorName?: string
  readonly tls?: true
  readonly ca?: string
  readonly serverName?: string
  readonly cert?: string
  readonly key?: string
  readonly pskFile?: string
}

/** Gives a command the options of logins. */
export const withLoginOptions = (command: Command): Command =>
  command
    .option('--user <NAME>', 'CHAP: log in as this user')
    .option('--secret-file <FILE>', 'CHAP: a file with the secret in one line')
    .option('--secret-env <VARIABLE>', 'CHAP: an environment variable with the secret')
    .option('--mutual-user <NAME>', 'CHAP: the target must prove to be this user')
    .option('--mutual-secret-file <FILE>', 'CHAP: a file with the secret of the target in one line')
    .option('--mutual-secret-env <VARIABLE>', 'CHAP: an environment variable with the secret of the target')
    .option('--initiator-name <IQN>', 'the iSCSI name to log in with (default: made of the host name)')

/** And those of TLS. */
export const withTlsOptions = (command: Command): Command =>
  command
    .option('--tls', 'connect with TLS 1.3; implied by the options that follow')
    .option(
      '--ca <FILE>',
      "TLS: the CA that has signed the target's certificate (default: the well-known ones)",
    )
    .option('--server-name <NAME>', 'TLS: the name in that certificate, where it is not the host')
    .option('--cert <FILE>', 'TLS: own certificate, PEM')
    .option('--key <FILE>', 'TLS: its private key, PEM')
    .option('--psk-file <FILE>', 'TLS: a pre-shared key, identity:hexadecimal-key, instead of certificates')

/** What the options say of a login without its credentials. */
export function anonymousLogin(options: LoginOptions): InitiatorOptions {
  const tls = tlsOf(options)
  return {
    ...(options.initiatorName !== undefined && { initiatorName: options.initiatorName }),
    ...(tls && { tls }),
  }
}

/**
 * What the options say of a login. `urlUser`: who logs in, where a URL says so.
 * @throws {CygnetError} CREDENTIALS_INVALID
 */
export function loginSettings(options: LoginOptions, urlUser?: string): InitiatorOptions {
  const chap = credentialsOf(options, options.user ?? urlUser)
  return { ...anonymousLogin(options), ...(chap && { chap }) }
}

function credentialsOf(options: LoginOptions, user: string | undefined): ChapCredentials | undefined {
  const { mutualUser } = options
  const secret = secretOf('secret', options.secretFile, options.secretEnv)
  const ofTarget = secretOf('mutual-secret', options.mutualSecretFile, options.mutualSecretEnv)
  if (user === undefined) {
    if (secret === undefined && ofTarget === undefined && mutualUser === undefined) return undefined
    throw new CygnetError('CREDENTIALS_INVALID', 'CHAP needs a user: give --user.')
  }
  if (secret === undefined)
    throw new CygnetError('CREDENTIALS_INVALID', 'CHAP needs a secret: give --secret-file or --secret-env.')
  if (mutualUser !== undefined && ofTarget === undefined) {
    const message =
      '--mutual-user needs the secret of the target: give --mutual-secret-file or --mutual-secret-env.'
    throw new CygnetError('CREDENTIALS_INVALID', message)
  }
  return {
    user,
    secret,
    ...(ofTarget && { mutual: { ...(mutualUser !== undefined && { user: mutualUser }), secret: ofTarget } }),
  }
}

function secretOf(
  option: string,
  path: string | undefined,
  name: string | undefined,
): Uint8Array | undefined {
  if (path !== undefined && name !== undefined)
    throw new CygnetError('CREDENTIALS_INVALID', `Give --${option}-file or --${option}-env, not both.`)
  let source: SecretSource
  if (path !== undefined) source = { kind: 'file', path }
  else if (name !== undefined) source = { kind: 'environment', name }
  else return undefined
  const read = readSecret(source, process.env)
  if (read.ok) return read.secret
  const what = path === undefined ? `--${option}-env` : `--${option}-file`
  throw new CygnetError('CREDENTIALS_INVALID', `${what} needs ${read.expected}, and there is ${read.found}.`)
}

function tlsOf(options: LoginOptions): TlsSettings | undefined {
  const { tls, ca, serverName, cert, key, pskFile } = options
  const isWanted = [tls, ca, serverName, cert, key, pskFile].some((value) => value !== undefined)
  if (!isWanted) return undefined
  return {
    ...(ca !== undefined && { caFile: ca }),
    ...(serverName !== undefined && { serverName }),
    ...(cert !== undefined && { certFile: cert }),
    ...(key !== undefined && { keyFile: key }),
    ...(pskFile !== undefined && { pskFile }),
  }
}
