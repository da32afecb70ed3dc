import { hex } from '../../base/bytes.ts'
import { MAX_CHAP_NAME_BYTES } from './chap-keys.ts'

/*
 * What RFC 7143 §9.2.1 demands of CHAP secrets, as checks for settings. Each answers with a sentence that says what to
 * do, or with undefined; none shows a secret.
 */

/** Who somebody is, and how it is proven. */
export interface ChapCredential {
  readonly user: string
  readonly secret: Uint8Array
}

/** 96 bits. */
export const MIN_SECRET_BYTES = 12

/**
 * The bytes of a secret that was written as text: its UTF-8, literally. `0x…` is no number but the characters
 * themselves, as it is for open-iscsi, LIO and tgt, which take passwords as they stand; what two ends hash must be the
 * same bytes. Characters beyond ASCII are best avoided: not every system encodes them so.
 */
export const chapSecretFromText = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Long enough? */
export function checkChapSecret(secret: Uint8Array, allowShortSecrets = false): string | undefined {
  if (secret.length === 0) return 'The CHAP secret is empty; give a random one of at least 12 bytes.'
  if (secret.length >= MIN_SECRET_BYTES || allowShortSecrets) return undefined
  return (
    `The CHAP secret has ${secret.length} bytes, and at least ${MIN_SECRET_BYTES} are needed (96 bits, RFC 7143 ` +
    '§9.2.1); give a longer random one, or allow short secrets where IPsec or TLS protects the connection.'
  )
}

/** Can it be sent in CHAP_N? */
export function checkChapUser(user: string): string | undefined {
  const lengthBytes = Buffer.byteLength(user)
  if (lengthBytes === 0) return 'The CHAP user is empty; give a name.'
  if (lengthBytes > MAX_CHAP_NAME_BYTES) {
    return `The CHAP user has ${lengthBytes} bytes, and at most ${MAX_CHAP_NAME_BYTES} are allowed.`
  }
  if (user.includes('\0')) return 'The CHAP user holds a null character, which ends a value.'
  return user.isWellFormed() ? undefined : 'The CHAP user holds half a character (a lone surrogate).'
}

/** Whoever is asked the other's question would know the answer. */
export const checkSecretsDiffer = (ofInitiator: Uint8Array, ofTarget: Uint8Array): string | undefined =>
  isSame(ofInitiator, ofTarget)
    ? 'Initiator and target have the same CHAP secret; give each direction its own (RFC 7143 §9.2.1).'
    : undefined

/** The same for all that is configured: one sentence for each initiator and target that share a secret. */
export function checkSecretRoles(
  ofInitiators: readonly ChapCredential[],
  ofTargets: readonly ChapCredential[],
): readonly string[] {
  const problems: string[] = []
  for (const initiator of ofInitiators) {
    for (const target of ofTargets) {
      if (!isSame(initiator.secret, target.secret)) continue
      problems.push(
        `CHAP user "${initiator.user}" of initiators and "${target.user}" of targets have the same secret; ` +
          'give each direction its own (RFC 7143 §9.2.1).',
      )
    }
  }
  return problems
}

/** Users of one role that share a secret, and could pass for each other: one warning for each such group. */
export function findSharedSecrets(credentials: readonly ChapCredential[]): readonly string[] {
  const groups = Map.groupBy(credentials, ({ secret }) => hex(secret))
  const warnings: string[] = []
  for (const group of groups.values()) {
    const users = [...new Set(group.map(({ user }) => `"${user}"`))]
    if (users.length < 2) continue
    warnings.push(
      `CHAP users ${users.join(', ')} have the same secret, so each can pass for the others; give each its own.`,
    )
  }
  return warnings
}

/**
 * A random secret as text, to be typed anywhere: 128 bits make 22 characters; 96 bits make 16, the most that
 * Microsoft's initiator takes.
 */
export function generateChapSecret(
  random: (lengthBytes: number) => Uint8Array,
  bits: 96 | 128 = 128,
): string {
  return Buffer.from(random(bits / 8)).toString('base64url')
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => hex(a) === hex(b)
