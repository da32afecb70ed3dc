import { CygnetError } from '../base/errors.ts'
import { type ChapAlgorithmName, chapAlgorithmNames } from '../session/auth/chap-algorithms.ts'
import { ChapInitiator } from '../session/auth/chap-initiator.ts'
import {
  chapSecretFromText,
  checkChapSecret,
  checkChapUser,
  checkSecretsDiffer,
} from '../session/auth/chap-secrets.ts'
import {
  type InitiatorAuthentication,
  noAuthentication,
} from '../session/initiator-role/initiator-security.ts'
import type { ChapCredentials } from './options.ts'

const bytesOf = (secret: string | Uint8Array): Uint8Array =>
  typeof secret === 'string' ? chapSecretFromText(secret) : secret

/**
 * The algorithms of RFC 3720's time. Some targets have SHA-1 at number 7, which is registered for SHA-256: they choose
 * it, and then find our response wrong.
 */
const OLD_ALGORITHMS: readonly ChapAlgorithmName[] = ['SHA1', 'MD5']

/** The authentication of one login, and whether another try with older algorithms may help where it fails. */
export class LoginAttempt {
  readonly authentication: InitiatorAuthentication
  readonly #offered: readonly ChapAlgorithmName[]
  #chap: ChapInitiator | undefined

  constructor(
    credentials: ChapCredentials | undefined,
    algorithms: readonly ChapAlgorithmName[],
    random: (lengthBytes: number) => Uint8Array,
  ) {
    this.#offered = algorithms
    if (credentials === undefined) {
      this.authentication = noAuthentication
      return
    }
    const { user, secret, mutual, allowShortSecrets } = credentials
    this.authentication = {
      // Who wants the target to prove itself does not do without.
      methods: mutual ? ['CHAP'] : ['CHAP', 'None'],
      authenticator: () => {
        this.#chap = new ChapInitiator({
          user,
          secret: bytesOf(secret),
          algorithms,
          ...(mutual && { mutual: { ...mutual, secret: bytesOf(mutual.secret) } }),
          ...(allowShortSecrets !== undefined && { allowShortSecrets }),
          random,
        })
        return this.#chap
      },
    }
  }

  /** What to offer in another try after a refused authentication; undefined where that would be the same again. */
  get fallback(): readonly ChapAlgorithmName[] | undefined {
    const chosen = this.#chap?.algorithm
    if (chosen === undefined || OLD_ALGORITHMS.includes(chosen)) return undefined
    const older = this.#offered.filter((name) => OLD_ALGORITHMS.includes(name))
    return older.length === 0 ? undefined : older
  }
}

/** The algorithms of the first try. */
export const firstAlgorithms = (credentials: ChapCredentials | undefined): readonly ChapAlgorithmName[] =>
  credentials?.algorithms ?? chapAlgorithmNames

/**
 * What the protocol would refuse anyway, said before anything is sent.
 * @throws {CygnetError} CREDENTIALS_INVALID
 */
export function checkCredentials(credentials: ChapCredentials | undefined): void {
  if (credentials === undefined) return
  const { user, mutual, allowShortSecrets } = credentials
  const secret = bytesOf(credentials.secret)
  const ofTarget = mutual && bytesOf(mutual.secret)
  const problem =
    checkChapUser(user) ??
    checkChapSecret(secret, allowShortSecrets) ??
    (ofTarget && (checkChapSecret(ofTarget, allowShortSecrets) ?? checkSecretsDiffer(secret, ofTarget)))
  if (problem !== undefined) throw new CygnetError('CREDENTIALS_INVALID', problem)
}
