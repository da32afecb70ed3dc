import { randomBytes } from 'node:crypto'
import { RecentChallenges } from '../session/auth/chap-challenges.ts'
import { ChapTarget, type ChapTargetOptions } from '../session/auth/chap-target.ts'
import { type AuthPolicy, noAuthentication } from '../target/auth-policy.ts'
import type { Secrets } from './config/secrets.ts'
import type { AuthState } from './config/state.ts'

/** What this process has asked, on all its connections: what comes back is a reflection (RFC 7143 §9.2.1). */
const challenges = new RecentChallenges()

/** CHAP with the users of a target's, or of discovery's, settings; null: nobody has to authenticate itself. */
export function authPolicyOf(auth: AuthState | null, secrets: Secrets): AuthPolicy {
  if (auth === null) return noAuthentication
  const users = new Map(auth.users.map(({ user, secret }) => [user, secrets.of(secret)]))
  const { mutual } = auth
  const options: ChapTargetOptions = {
    algorithms: auth.algorithms,
    preference: auth.preference,
    requireMutual: auth.requireMutual,
    allowShortSecrets: auth.allowShortSecrets,
    findSecret: (user) => users.get(user),
    ...(mutual && { mutual: { user: mutual.user, secret: secrets.of(mutual.secret) } }),
    challenges,
    random: (lengthBytes) => randomBytes(lengthBytes),
  }
  return { methods: ['CHAP'], authenticator: () => new ChapTarget(options) }
}
