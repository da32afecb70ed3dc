import { createHash, getHashes, timingSafeEqual } from 'node:crypto'

/** As settings name them. */
export type ChapAlgorithmName = 'SHA3-256' | 'SHA-256' | 'SHA1' | 'MD5'

export interface ChapAlgorithm {
  readonly name: ChapAlgorithmName
  /** In CHAP_A: IANA's registry of PPP authentication algorithms. */
  readonly number: number
  readonly responseBytes: number
  /** Node's name of it. */
  readonly hash: string
}

/** Strongest first: the order in which they are preferred and offered where no setting says otherwise. */
export const chapAlgorithms: readonly ChapAlgorithm[] = [
  { name: 'SHA3-256', number: 8, responseBytes: 32, hash: 'sha3-256' },
  { name: 'SHA-256', number: 7, responseBytes: 32, hash: 'sha256' },
  { name: 'SHA1', number: 6, responseBytes: 20, hash: 'sha1' },
  { name: 'MD5', number: 5, responseBytes: 16, hash: 'md5' },
]

export const chapAlgorithmNames: readonly ChapAlgorithmName[] = chapAlgorithms.map(({ name }) => name)

const plain = (name: string): string => name.replaceAll('-', '').toUpperCase()

/** An algorithm's name in a setting, in any case and with or without its dashes. */
export const parseChapAlgorithm = (text: string): ChapAlgorithmName | undefined =>
  chapAlgorithmNames.find((name) => plain(name) === plain(text))

/** The algorithms of these names in their order, but for those that this machine forbids (MD5 in FIPS mode). */
export function usableAlgorithms(names: readonly ChapAlgorithmName[]): readonly ChapAlgorithm[] {
  const hashes = new Set(getHashes())
  return names.flatMap((name) =>
    chapAlgorithms.filter((algorithm) => algorithm.name === name && hashes.has(algorithm.hash)),
  )
}

/** The response to a challenge (RFC 1994 §4.1): a hash over the identifier's byte, the secret and the challenge. */
export const chapResponse = (
  algorithm: ChapAlgorithm,
  identifier: number,
  secret: Uint8Array,
  challenge: Uint8Array,
): Uint8Array =>
  createHash(algorithm.hash).update(Uint8Array.of(identifier)).update(secret).update(challenge).digest()

/** In a time that depends on the lengths alone. */
export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b)
