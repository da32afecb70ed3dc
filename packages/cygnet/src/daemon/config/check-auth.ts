import { join, isAbsolute, normalize } from 'node:path'
import { errorAt, errorAtKey, type Finding, warningAt } from './finding.ts'
import type { Path } from './problem.ts'
import type { SoundPart } from './prune.ts'
import type { AuthConfig, CredentialConfig, PortalConfig } from './schema.ts'
import { type Environment, fileFault, isOpenToOthers, readSecret, type Secrets } from './secrets.ts'
import type { SecretSource } from './state.ts'

/** RFC 7143 §9.2.1: without IPsec, a CHAP secret has at least 96 bits. */
const LEAST_SECRET_BYTES = 12
/** Certificates and keys in PEM, with all their authorities. */
const MAX_PEM_BYTES = 4 * 1024 * 1024

export interface Surroundings {
  /** Where relative paths start: the folder of the file. */
  readonly folder: string
  readonly environment: Environment
}

/** Reads the secrets, and finds what is wrong with credentials and with the files that portals name. */
export function checkAuth(part: SoundPart, surroundings: Surroundings, secrets: Secrets): Finding[] {
  const { discovery, targets, portals } = part.config
  const places = [
    { auth: discovery.auth, path: ['discovery', 'auth'] },
    ...Object.entries(targets).map(([key, { auth }]) => ({ auth, path: ['targets', key, 'auth'] })),
  ]
  const reader = new CredentialChecker(part, surroundings, secrets)
  return [
    ...places.flatMap(({ auth, path }) => (auth ? reader.check(auth, path) : [])),
    ...portals.flatMap((portal, i) => checkTlsFiles(portal, ['portals', i, 'tls'], surroundings)),
  ]
}

export const resolvePath = (folder: string, path: string): string =>
  isAbsolute(path) ? normalize(path) : join(folder, path)

/** Where a credential's secret is to be had; undefined where the file names no place, or several. */
export function secretSource(credential: CredentialConfig, folder: string): SecretSource | undefined {
  const { secretFile, secretEnv, secret } = credential
  const sources: SecretSource[] = []
  if (secretFile !== undefined) sources.push({ kind: 'file', path: resolvePath(folder, secretFile) })
  if (secretEnv !== undefined) sources.push({ kind: 'environment', name: secretEnv })
  if (secret !== undefined) sources.push({ kind: 'inline', text: secret })
  return sources.length === 1 ? sources[0] : undefined
}

const settingOf = { file: 'secretFile', environment: 'secretEnv', inline: 'secret' } as const

class CredentialChecker {
  readonly #part: SoundPart
  readonly #surroundings: Surroundings
  readonly #secrets: Secrets

  constructor(part: SoundPart, surroundings: Surroundings, secrets: Secrets) {
    this.#part = part
    this.#surroundings = surroundings
    this.#secrets = secrets
  }

  check(auth: AuthConfig, path: Path): Finding[] {
    const { users, mutual, algorithms } = auth
    const findings: Finding[] = []
    const texts = new Set<string>()
    const names = users.map(({ user }) => user)
    for (const [i, user] of users.entries()) {
      const userPath = [...path, 'users', i]
      if (names.indexOf(user.user) !== i) {
        const words = {
          expected: 'each user once',
          found: `"${user.user}" again`,
          remedy: 'remove one of the two',
        }
        findings.push(errorAt([...userPath, 'user'], words))
      }
      const text = this.#read(user, auth, userPath, findings)
      if (text !== undefined) texts.add(text)
    }
    if (mutual) {
      const mutualPath = [...path, 'mutual']
      const text = this.#read(mutual, auth, mutualPath, findings)
      if (text !== undefined && texts.has(text)) {
        findings.push(
          errorAtKey(mutualPath, {
            expected: 'a secret that no user has',
            found: 'the secret of a user',
            remedy: 'choose another: who knows one secret must not be able to pass as the other side',
          }),
        )
      }
    }
    for (const [i, algorithm] of algorithms.entries()) {
      if (algorithms.indexOf(algorithm) === i) continue
      const words = { expected: 'each algorithm once', found: `${algorithm} again`, remedy: 'remove it' }
      findings.push(errorAt([...path, 'algorithms', i], words))
    }
    return findings
  }

  #read(credential: CredentialConfig, auth: AuthConfig, path: Path, findings: Finding[]): string | undefined {
    const source = secretSource(credential, this.#surroundings.folder)
    if (source === undefined) {
      const given = Object.values(settingOf).filter((name) => credential[name] !== undefined)
      if (given.length > 0 || this.#part.isWhole(this.#part.inFile(path))) {
        const found = given.length === 0 ? 'none of them' : given.join(' and ')
        const remedy = given.length === 0 ? 'say where the secret is' : 'keep one of them'
        findings.push(errorAtKey(path, { expected: 'one of secretFile, secretEnv, secret', found, remedy }))
      }
      return undefined
    }
    const at = [...path, settingOf[source.kind]]
    const read = readSecret(source, this.#surroundings.environment)
    if (!read.ok) {
      findings.push(errorAt(at, read))
      return undefined
    }
    const { text } = read
    this.#secrets.add(source, text)
    const lengthBytes = Buffer.byteLength(text)
    if (lengthBytes < LEAST_SECRET_BYTES && !auth.allowShortSecrets) {
      findings.push(
        errorAt(at, {
          expected: `a secret of at least ${LEAST_SECRET_BYTES} bytes`,
          found: `one of ${lengthBytes}`,
          remedy: 'choose a longer one, such as from openssl rand -hex 16, or set allowShortSecrets: true',
        }),
      )
    }
    findings.push(...warnAbout(source, at))
    return text
  }
}

function warnAbout(source: SecretSource, path: Path): Finding[] {
  if (source.kind === 'inline') {
    const remedy = 'use secretFile or secretEnv: whoever reads this file knows the secret'
    return [warningAt(path, { expected: 'a secret outside of this file', found: 'one inside', remedy })]
  }
  return source.kind === 'file' ? warnAboutRights(source.path, path) : []
}

function warnAboutRights(file: string, path: Path): Finding[] {
  if (!isOpenToOthers(file)) return []
  const found = `${file}, which other users of this machine may use`
  return [warningAt(path, { expected: 'a private file', found, remedy: `chmod o= ${file}` })]
}

function checkTlsFiles({ tls }: PortalConfig, path: Path, { folder }: Surroundings): Finding[] {
  if (!tls) return []
  const { certFile, keyFile, clientCaFile, psk } = tls
  const files = [
    { file: certFile, at: [...path, 'certFile'], isPrivate: false },
    { file: keyFile, at: [...path, 'keyFile'], isPrivate: true },
    { file: clientCaFile, at: [...path, 'clientCaFile'], isPrivate: false },
    ...psk.map((key, i) => ({ file: key.keyFile, at: [...path, 'psk', i, 'keyFile'], isPrivate: true })),
  ]
  return files.flatMap(({ file, at, isPrivate }) => {
    if (file === undefined) return []
    const resolved = resolvePath(folder, file)
    const fault = fileFault(resolved, MAX_PEM_BYTES)
    if (fault) return [errorAt(at, { expected: 'a file', ...fault })]
    return isPrivate ? warnAboutRights(resolved, at) : []
  })
}
