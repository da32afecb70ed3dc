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
import { checkChapSecret, checkSecretsDiffer } from './chap-secrets.ts'

/** What a target must prove to know, and under which name where that matters. */
export interface TargetCredential {
  readonly user?: string
  readonly secret: Uint8Array
}

export interface ChapInitiatorOptions extends ChallengeOptions {
  readonly user: string
  readonly secret: Uint8Array
  /** Offered in this order. Default: all, strongest first. RFC 7143 wants MD5 always offered. */
  readonly algorithms?: readonly ChapAlgorithmName[]
  /** The target must prove itself. */
  readonly mutual?: TargetCredential
  /** Answer with a secret below 96 bits. Default: false. */
  readonly allowShortSecrets?: boolean
}

/** What we asked the target, and what it must know. */
interface Asked extends Challenge {
  readonly target: TargetCredential
}

/**
 * CHAP at the initiator (RFC 7143 §12.1.3); the exchange is drawn in `chap-target.ts`. No response leaves before the
 * secrets are long enough and differ by direction, and none to a challenge that is our own (§9.2.1).
 */
export class ChapInitiator implements Authenticator {
  readonly #options: ChapInitiatorOptions
  readonly #algorithms: readonly ChapAlgorithm[]
  readonly #challenger: Challenger
  #algorithm: ChapAlgorithm | undefined
  #state: 'challenge' | Asked | 'ended' = 'challenge'

  constructor(options: ChapInitiatorOptions) {
    this.#options = options
    this.#algorithms = usableAlgorithms(options.algorithms ?? chapAlgorithmNames)
    this.#challenger = new Challenger(options)
  }

  /**
   * What the target chose; undefined before it has. Where the login then fails, a new one may offer the others: some
   * targets take a registered number for another algorithm (tgt has SHA1 at SHA-256's).
   */
  get algorithm(): ChapAlgorithmName | undefined {
    return this.#algorithm?.name
  }

  start(): readonly Pair[] {
    return [['CHAP_A', this.#algorithms.map(({ number }) => number).join()]]
  }

  /** `done` without a proof of the target's identity has '' for its user. */
  receive(pairs: readonly Pair[]): AuthStep {
    const state = this.#state
    this.#state = 'ended'
    if (state === 'ended') return failed('keys after the end of CHAP', 'initiatorError')
    return state === 'challenge' ? this.#respond(pairs) : this.#verify(pairs, state)
  }

  #respond(pairs: readonly Pair[]): AuthStep {
    const step = readChapStep(pairs, ['algorithms', 'identifier', 'challenge'])
    if (!step.ok) return step.failure
    const { algorithms, identifier, challenge } = step.values
    const algorithm = this.#algorithms.find(({ number }) => number === algorithms[0])
    if (algorithm === undefined || algorithms.length > 1) {
      return failed(`the target answered with CHAP_A=${algorithms.join()}, which is none that was offered`)
    }
    this.#algorithm = algorithm
    if (this.#challenger.isOurs(challenge)) {
      return failed('the target sent a challenge of ours back (reflection)')
    }
    const unfit = this.#checkSecrets()
    if (unfit !== undefined) return failed(unfit)
    const { user, secret, mutual } = this.#options
    const response = chapResponse(algorithm, identifier, secret, challenge)
    const send: Pair[] = [
      ['CHAP_N', user],
      ['CHAP_R', formatHexConstant(response)],
    ]
    if (mutual === undefined) return { kind: 'done', send, user: '' }
    const asked = this.#challenger.issue(algorithm)
    if (equalBytes(asked.challenge, challenge)) return failed('a random challenge equals that of the target')
    this.#state = { ...asked, target: mutual }
    send.push(['CHAP_I', String(asked.identifier)], ['CHAP_C', formatHexConstant(asked.challenge)])
    return { kind: 'continue', send }
  }

  /** §9.2.1: whether a response may leave at all. */
  #checkSecrets(): string | undefined {
    const { secret, mutual, allowShortSecrets } = this.#options
    const unfit = checkChapSecret(secret, allowShortSecrets)
    if (unfit !== undefined || mutual === undefined) return unfit
    return checkSecretsDiffer(secret, mutual.secret) ?? checkChapSecret(mutual.secret, allowShortSecrets)
  }

  #verify(pairs: readonly Pair[], asked: Asked): AuthStep {
    const step = readChapStep(pairs, ['name', 'response'])
    if (!step.ok) return step.failure
    const { name, response } = step.values
    const { algorithm, identifier, challenge, target } = asked
    const isRight = equalBytes(chapResponse(algorithm, identifier, target.secret, challenge), response)
    const ownResponse = chapResponse(algorithm, identifier, this.#options.secret, challenge)
    const isOurs = equalBytes(ownResponse, response)
    if (isOurs) return failed("the target answered with the initiator's own secret")
    if (!isRight) return failed(`the target, ${quoteName(name)}, does not have the right secret`)
    if (target.user !== undefined && target.user !== name) {
      return failed(`the target proved to be ${quoteName(name)}, and not ${quoteName(target.user)}`)
    }
    return { kind: 'done', send: [], user: name }
  }
}
