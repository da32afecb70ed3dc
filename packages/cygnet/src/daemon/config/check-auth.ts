import { hex } from '../../base/bytes.ts'
import { checkChapSecret, checkChapUser, MIN_SECRET_BYTES } from '../../session/auth/chap-secrets.ts'
import { errorAt, errorAtKey, type Finding, warningAt } from './finding.ts'
import type { Path } from './problem.ts'
import type { SoundPart } from './prune.ts'
import type { AuthConfig, CredentialConfig } from './schema.ts'
import { readSecret, type Secrets } from './secrets.ts'
import type { SecretSource } from './state.ts'
import { resolvePath, type Surroundings, warnAboutRights } from './named-files.ts'

/** Reads the secrets, and finds what is wrong with credentials. */
export function checkAuth(part: SoundPart, surroundings: Surroundings, secrets: Secrets): Finding[] {
  const { discovery, targets } = part.config
  const places = [
    { auth: discovery.auth, path: ['discovery', 'auth'] },
    ...Object.entries(targets).map(([key, { auth }]) => ({ auth, path: ['targets', key, 'auth'] })),
  ]
  const checker = new CredentialChecker(part, surroundings, secrets)
  for (const { auth, path } of places) if (auth) checker.check(auth, path)
  checker.compare()
  return checker.findings
}

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

/** A credential whose secret could be read. */
interface KnownCredential {
  readonly user: string
  readonly secretHex: string
  readonly role: 'user' | 'target'
  /** Of its secret. */
  readonly path: Path
}

/** Looks at credentials one by one, and then at all together. */
class CredentialChecker {
  readonly findings: Finding[] = []
  readonly #known: KnownCredential[] = []
  readonly #part: SoundPart
  readonly #surroundings: Surroundings
  readonly #secrets: Secrets

  constructor(part: SoundPart, surroundings: Surroundings, secrets: Secrets) {
    this.#part = part
    this.#surroundings = surroundings
    this.#secrets = secrets
  }

  check(auth: AuthConfig, path: Path): void {
    const { users, mutual, algorithms, requireMutual } = auth
    const names = users.map(({ user }) => user)
    for (const [i, user] of users.entries()) {
      const userPath = [...path, 'users', i]
      if (names.indexOf(user.user) !== i) {
        const words = {
          expected: 'each user once',
          found: `"${user.user}" again`,
          remedy: 'remove one of the two',
        }
        this.findings.push(errorAt([...userPath, 'user'], words))
      }
      this.#checkCredential(user, 'user', auth, userPath)
    }
    if (mutual) this.#checkCredential(mutual, 'target', auth, [...path, 'mutual'])
    else if (requireMutual && this.#part.isWhole(this.#part.inFile(path))) {
      const words = { expected: 'mutual where it is required', found: 'none', remedy: 'add mutual' }
      this.findings.push(errorAtKey([...path, 'requireMutual'], words))
    }
    for (const [i, algorithm] of algorithms.entries()) {
      if (algorithms.indexOf(algorithm) === i) continue
      const words = { expected: 'each algorithm once', found: `${algorithm} again`, remedy: 'remove it' }
      this.findings.push(errorAt([...path, 'algorithms', i], words))
    }
  }

  /** RFC 7143 §9.2.1: each direction has secrets of its own, whichever the target; and each user should. */
  compare(): void {
    for (const [i, { user, role, secretHex, path }] of this.#known.entries()) {
      const same = this.#known.filter((other) => other.secretHex === secretHex)
      const ofUser = same.find((other) => other.role === 'user')
      if (role === 'target' && ofUser) {
        this.findings.push(
          errorAt(path, {
            expected: 'a secret that no user has',
            found: `the secret of the user "${ofUser.user}"`,
            remedy: 'choose another, so that neither side can pass for the other',
          }),
        )
      }
      const first = same.find((other) => other.role === role && other.user !== user)
      if (role === 'user' && first && this.#known.indexOf(first) < i) {
        this.findings.push(
          warningAt(path, {
            expected: 'a secret of its own for each user',
            found: `the secret of the user "${first.user}"`,
            remedy: 'choose another, so that neither can pass for the other',
          }),
        )
      }
    }
  }

  #checkCredential(
    credential: CredentialConfig,
    role: KnownCredential['role'],
    auth: AuthConfig,
    path: Path,
  ): void {
    const { findings } = this
    const { user } = credential
    if (checkChapUser(user) !== undefined) {
      const words = {
        expected: 'a user name of 1 to 255 bytes',
        found: JSON.stringify(user),
        remedy: 'shorten it',
      }
      findings.push(errorAt([...path, 'user'], words))
    }
    const source = secretSource(credential, this.#surroundings.folder)
    if (source === undefined) {
      const given = Object.values(settingOf).filter((name) => credential[name] !== undefined)
      if (given.length === 0 && !this.#part.isWhole(this.#part.inFile(path))) return
      const found = given.length === 0 ? 'none of them' : given.join(' and ')
      const remedy = given.length === 0 ? 'say where the secret is' : 'keep one of them'
      findings.push(errorAtKey(path, { expected: 'one of secretFile, secretEnv, secret', found, remedy }))
      return
    }
    const at = [...path, settingOf[source.kind]]
    const read = readSecret(source, this.#surroundings.environment)
    if (!read.ok) {
      const { expected, found, remedy } = read
      findings.push(errorAt(at, { expected, found, remedy }))
      return
    }
    const { secret } = read
    this.#secrets.add(source, secret)
    this.#known.push({ user, role, secretHex: hex(secret), path: at })
    if (checkChapSecret(secret, auth.allowShortSecrets) !== undefined) {
      findings.push(
        errorAt(at, {
          expected: `a secret of at least ${MIN_SECRET_BYTES} bytes`,
          found: `one of ${secret.length}`,
          remedy: 'choose a longer one, such as from openssl rand -hex 16, or set allowShortSecrets: true',
        }),
      )
    }
    findings.push(...warnAbout(source, at))
  }
}

function warnAbout(source: SecretSource, path: Path): Finding[] {
  if (source.kind === 'inline') {
    const remedy = 'use secretFile or secretEnv: whoever reads this file knows the secret'
    return [warningAt(path, { expected: 'a secret outside of this file', found: 'one inside', remedy })]
  }
  return source.kind === 'file' ? warnAboutRights(source.path, path) : []
}
