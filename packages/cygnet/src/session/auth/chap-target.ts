import { formatHexConstant } from '../../pdu/text-values.ts'
import type { Pair } from '../negotiator.ts'
import { type Authenticator, type AuthStep, failed } from './authenticator.ts'
import {
  type ChapAlgorithm,
  type ChapAlgorithmName,
  chapAlgorithmNames,
  chapResponse,
  equalBytes,
  usableAlgorithms,
} from './chap-algorithms.ts'
import { type Challenge, type ChallengeOptions, Challenger } from './chap-challenges.ts'
import { quoteName, readChapStep } from './chap-keys.ts'
import { type ChapCredential, checkChapSecret, MIN_SECRET_BYTES } from './chap-secrets.ts'

export interface ChapTargetOptions extends ChallengeOptions {
  /** Allowed ones, in our order of preference. Default: all, strongest first. */
  readonly algorithms?: readonly ChapAlgorithmName[]
  /** Whose order decides among those that both sides have. Default: the target's. */
  readonly preference?: 'target' | 'initiator'
  /** The secret that this user proves itself with; undefined for an unknown user. */
  findSecret(user: string): Uint8Array | undefined
  /** What we prove ourselves with to an initiator that asks; without it, asking fails. */
  readonly mutual?: ChapCredential
  /** The login fails unless the initiator asks us to prove ourselves. Default: false. */
  readonly requireMutual?: boolean
  /** Secrets below 96 bits count; without, they are as wrong ones. Default: false. */
  readonly allowShortSecrets?: boolean
}

/**
 * CHAP at the target (RFC 7143 §12.1.3, RFC 1994):
 *
 * ```
 *  initiator                            target
 *  CHAP_A=<list>               ->
 *                              <-       CHAP_A=<one of it> CHAP_I CHAP_C
 *  CHAP_N CHAP_R [CHAP_I CHAP_C] ->
 *                              <-       [CHAP_N CHAP_R]
 * ```
 *
 * What §9.2.1 demands against reflection: no challenge of ours is answered when it comes back, on whichever connection,
 * and a response that our own secret would have made proves nothing. An unknown user costs the same work as a wrong
 * secret and is answered alike.
 */
export class ChapTarget implements Authenticator {
  readonly #options: ChapTargetOptions
  readonly #algorithms: readonly ChapAlgorithm[]
  readonly #challenger: Challenger
  /** Takes the place of an unknown user's secret. */
  readonly #dummySecret: Uint8Array
  #state: 'algorithms' | Challenge | 'ended' = 'algorithms'

  constructor(options: ChapTargetOptions) {
    this.#options = options
    this.#algorithms = usableAlgorithms(options.algorithms ?? chapAlgorithmNames)
    this.#challenger = new Challenger(options)
    this.#dummySecret = options.random(MIN_SECRET_BYTES)
  }

  start(): readonly Pair[] {
    return []
  }

  receive(pairs: readonly Pair[]): AuthStep {
    const state = this.#state
    this.#state = 'ended'
    if (state === 'ended') return failed('keys after the end of CHAP', 'initiatorError')
    return state === 'algorithms' ? this.#challenge(pairs) : this.#verify(pairs, state)
  }

  #challenge(pairs: readonly Pair[]): AuthStep {
    const step = readChapStep(pairs, ['algorithms'])
    if (!step.ok) return step.failure
    const algorithm = this.#choose(step.values.algorithms)
    if (algorithm === undefined) {
      return failed(
        `none of the offered CHAP algorithms is allowed (CHAP_A=${step.values.algorithms.join()})`,
      )
    }
    const issued = this.#challenger.issue(algorithm)
    this.#state = issued
    return {
      kind: 'continue',
      send: [
        ['CHAP_A', String(algorithm.number)],
        ['CHAP_I', String(issued.identifier)],
        ['CHAP_C', formatHexConstant(issued.challenge)],
      ],
    }
  }

  #choose(offered: readonly number[]): ChapAlgorithm | undefined {
    if (this.#options.preference !== 'initiator') {
      return this.#algorithms.find((algorithm) => offered.includes(algorithm.number))
    }
    const first = offered.find((number) => this.#algorithms.some((algorithm) => algorithm.number === number))
    return this.#algorithms.find((algorithm) => algorithm.number === first)
  }

  #verify(pairs: readonly Pair[], asked: Challenge): AuthStep {
    const step = readChapStep(pairs, ['name', 'response'], ['identifier', 'challenge'])
    if (!step.ok) return step.failure
    const { name, response, identifier, challenge } = step.values
    if ((identifier === undefined) !== (challenge === undefined)) {
      return failed('of CHAP_I and CHAP_C, one is missing', 'missingParameter')
    }
    const isAsked = identifier !== undefined && challenge !== undefined
    if (isAsked && this.#challenger.isOurs(challenge)) {
      return failed('the initiator sent a challenge of ours back (reflection)')
    }
    // All that does not depend on the user comes first, so that it cannot tell a wrong secret from a right one.
    const refused = this.#checkMutual(isAsked)
    if (refused !== undefined) return failed(refused)
    const wrong = this.#checkResponse(name, response, asked)
    if (wrong !== undefined) return failed(wrong)
    const { mutual } = this.#options
    if (!isAsked || mutual === undefined) return { kind: 'done', send: [], user: name }
    const proof = chapResponse(asked.algorithm, identifier, mutual.secret, challenge)
    return {
      kind: 'done',
      send: [
        ['CHAP_N', mutual.user],
        ['CHAP_R', formatHexConstant(proof)],
      ],
      user: name,
    }
  }

  #checkMutual(isAsked: boolean): string | undefined {
    const { mutual, requireMutual, allowShortSecrets } = this.#options
    if (!isAsked) {
      return requireMutual === true ? 'the initiator did not ask the target to prove itself' : undefined
    }
    if (mutual === undefined) return 'the initiator asks for a proof of the target, which has no credentials'
    return checkChapSecret(mutual.secret, allowShortSecrets)
  }

  /** Why the response proves nothing; undefined where it does. */
  #checkResponse(name: string, response: Uint8Array, asked: Challenge): string | undefined {
    const { algorithm, identifier, challenge } = asked
    const { mutual, allowShortSecrets } = this.#options
    const secret = this.#options.findSecret(name)
    const expected = chapResponse(algorithm, identifier, secret ?? this.#dummySecret, challenge)
    const isRight = equalBytes(expected, response)
    const isOurs =
      mutual !== undefined &&
      equalBytes(chapResponse(algorithm, identifier, mutual.secret, challenge), response)
    if (secret === undefined) return `there is no CHAP user ${quoteName(name)}`
    if (isOurs) return `CHAP user ${quoteName(name)} answered with the target's own secret`
    if (!isRight) return `CHAP user ${quoteName(name)} does not have the right secret`
    return checkChapSecret(secret, allowShortSecrets)
  }
}
