import { createHash } from 'node:crypto'
import { hex } from '../../base/bytes.ts'
import type { Pair } from '../negotiator.ts'
import type { Authenticator, AuthStep } from './authenticator.ts'

/** Bytes that never repeat in a test: a counter, hashed. */
export function countingRandom(seed = 0): (lengthBytes: number) => Uint8Array {
  let calls = 0
  return (lengthBytes) => {
    calls++
    return Uint8Array.from(
      createHash('shake128', { outputLength: lengthBytes }).update(`${seed} ${calls}`).digest(),
    )
  }
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** The value of a key in a list of pairs; '' where it is missing. */
export const valueOf = (pairs: readonly Pair[], key: string): string =>
  pairs.find(([name]) => name === key)?.[1] ?? ''

/** The keys of a step that must go on or end well. */
export function sent(step: AuthStep): readonly Pair[] {
  if (step.kind === 'failed') throw new Error(step.reason)
  return step.send
}

/** A response computed beside the code under test. */
export function responseTo(hash: string, challengePairs: readonly Pair[], secret: Uint8Array): string {
  const identifier = Uint8Array.of(Number(valueOf(challengePairs, 'CHAP_I')))
  const challenge = Buffer.from(valueOf(challengePairs, 'CHAP_C').slice(2), 'hex')
  return `0x${hex(createHash(hash).update(identifier).update(secret).update(challenge).digest())}`
}

export interface Outcome {
  readonly initiator: AuthStep
  readonly target: AuthStep
}

/** Lets both roles talk until neither has anything to add, and gives the last step of each. */
export function authenticate(
  initiator: Authenticator,
  target: Authenticator,
  change: (pairs: readonly Pair[]) => readonly Pair[] = (pairs) => pairs,
): Outcome {
  let atTarget = target.receive(change(initiator.start()))
  let atInitiator: AuthStep = { kind: 'continue', send: [] }
  while (atTarget.kind !== 'failed') {
    if (atInitiator.kind === 'continue') atInitiator = initiator.receive(change(atTarget.send))
    if (atInitiator.kind === 'failed' || atTarget.kind === 'done') break
    atTarget = target.receive(change(atInitiator.send))
  }
  return { initiator: atInitiator, target: atTarget }
}
