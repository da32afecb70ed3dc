import { parseNumber } from '../pdu/text-values.ts'
import {
  type BooleanKey,
  type KeyName,
  type KeySpec,
  type KeyUse,
  keySpec,
  keys,
  type NumericKey,
  reservedAnswers,
  type TextKey,
} from './keys.ts'

/**
 * Text negotiation, one engine for both roles (RFC 7143 §6.2). Pairs come in through `receive`, answers and proposals
 * go out through `takeOutgoing`; nothing takes effect before `commit` (§6.2: negotiations are atomic).
 *
 * A key is proposed by one side and answered by the other, once in a negotiation. What arrives for a key that we
 * proposed is its answer; everything else is a proposal or a declaration. Declared values stand beside each other (each
 * side's MaxRecvDataSegmentLength), negotiated values are common.
 */

export type Pair = readonly [key: string, value: string]
export type KeyValue = number | boolean | string
export type Role = 'initiator' | 'target'
/** Where a text exchange happens; decides which keys may appear. */
export type Stage = 'security' | 'operational' | 'fullFeature'

/** A peer's breach of the negotiation rules; the negotiation cannot go on. */
export interface NegotiationViolation {
  readonly key: string
  readonly reason: string
}

/** What this side wants of each negotiated key: a number, a boolean, or the supported list values in order. */
export type Preferences = { readonly [name in KeyName]?: number | boolean | readonly string[] }

const NONE: readonly string[] = ['None']
/** MaxBurstLength bounds FirstBurstLength (§13.14), ErrorRecoveryLevel bounds MaxOutstandingR2T (§13.19). */
const decidesOthers: ReadonlySet<string> = new Set(['MaxBurstLength', 'ErrorRecoveryLevel'])
const RESPONSE_ONLY: ReadonlySet<KeyUse> = new Set<KeyUse>(['LO', 'IO'])

const encode = (value: KeyValue): string =>
  typeof value === 'boolean' ? (value ? 'Yes' : 'No') : String(value)

/** A proposed boolean whose value is the result by itself (§6.2.2): an answer is optional. */
function isDecided(name: string, value: string): boolean {
  const spec = keySpec(name)
  return spec?.type === 'boolean' && value === encode(spec.result === 'or')
}

export class Negotiator {
  readonly #role: Role
  #preferences: Preferences
  /** A login that creates a session; others may not use leading-only keys. */
  readonly #leading: boolean
  /** Negotiated values in force. */
  readonly #agreed = new Map<string, KeyValue>()
  /** Values the peer declared that are in force. */
  readonly #declared = new Map<string, KeyValue>()
  // This negotiation's, until commit or rollback.
  readonly #newlyAgreed = new Map<string, KeyValue>()
  readonly #newlyDeclared = new Map<string, KeyValue>()
  /** Our proposals without an answer yet. */
  readonly #open = new Map<string, string>()
  /** Keys that were used in this negotiation, by whom. */
  readonly #used = new Set<string>()
  #outgoing: Pair[] = []

  constructor(role: Role, preferences: Preferences, leading: boolean) {
    this.#role = role
    this.#preferences = preferences
    this.#leading = leading
  }

  /** The negotiated value: agreed in this negotiation, else in force, else the default. */
  number(name: KeyName): number {
    return this.#value(name) as number
  }

  boolean(name: KeyName): boolean {
    return this.#value(name) as boolean
  }

  /** A negotiated list key's selection, or a text that the peer declared ('' where it did not). */
  text(name: KeyName): string {
    return this.#value(name) as string
  }

  /** Sets what this side wants of a key, before it comes up. */
  prefer(name: KeyName, preference: NonNullable<Preferences[KeyName]>): void {
    this.#preferences = { ...this.#preferences, [name]: preference }
  }

  /** Proposed and answered in this negotiation, whatever the answer. */
  isSettled(name: KeyName): boolean {
    return this.#used.has(name) && !this.#open.has(name)
  }

  /** Whether the peer declared the key, or both agreed on it. */
  has(name: KeyName): boolean {
    return (
      this.#newlyAgreed.has(name) ||
      this.#newlyDeclared.has(name) ||
      this.#agreed.has(name) ||
      this.#declared.has(name)
    )
  }

  get isDiscovery(): boolean {
    return this.text('SessionType') === 'Discovery'
  }

  /** Keys that we proposed and that have no answer yet. A boolean whose value decides the result needs none (§6.2.2). */
  get unanswered(): readonly string[] {
    return [...this.#open].filter(([name, value]) => !isDecided(name, value)).map(([name]) => name)
  }

  /** Declares a value of ours. */
  declare(name: KeyName, value: KeyValue): void {
    this.#used.add(`own ${name}`)
    // Both sides go by what the initiator says (§13.21).
    if (name === 'SessionType') this.#newlyDeclared.set(name, value)
    this.#outgoing.push([name, encode(value)])
  }

  /** Proposes our preference for a negotiated key. */
  propose(name: KeyName): void {
    const preference = this.#preferences[name]
    if (preference === undefined || this.#used.has(name)) return
    const value = Array.isArray(preference) ? preference.join(',') : encode(preference as KeyValue)
    this.#used.add(name)
    this.#open.set(name, value)
    this.#outgoing.push([name, value])
  }

  /**
   * Proposes every session or connection key whose current value this side cannot live with: the peer did not
   * propose it, and the default is outside our preference. True where there was one.
   */
  proposeUnacceptable(): boolean {
    // A default FirstBurstLength may not exceed what MaxBurstLength has become (§13.14).
    const maxBurstLength = this.number('MaxBurstLength')
    if (maxBurstLength < keys.FirstBurstLength.default && !this.has('FirstBurstLength')) {
      this.prefer('FirstBurstLength', maxBurstLength)
    }
    const names = this.unacceptable()
    for (const name of names) this.propose(name)
    return names.length > 0
  }

  /** The operational keys that `proposeUnacceptable` would propose. */
  unacceptable(): readonly KeyName[] {
    return this.#unacceptableDefaults().filter((name) => !this.#used.has(name))
  }

  /** Keys that were answered with Reject, so that a value stays which this side cannot live with. */
  rejected(): readonly KeyName[] {
    return this.#unacceptableDefaults().filter((name) => this.#used.has(name) && !this.#open.has(name))
  }

  /** Operational keys whose default holds, and should not. */
  #unacceptableDefaults(): KeyName[] {
    return (Object.entries(keys) as [KeyName, KeySpec][])
      .filter(([name, spec]) => {
        if (spec.securityStage || (spec.use === 'LO' && !this.#leading)) return false
        if (this.#agreed.has(name) || this.#newlyAgreed.has(name)) return false
        return !(spec.irrelevantInDiscovery && this.isDiscovery) && this.#cannotAccept(name, spec)
      })
      .map(([name]) => name)
  }

  /** Takes one complete logical text data segment. Undefined: all is well, answers are in `takeOutgoing`. */
  receive(pairs: readonly Pair[], stage: Stage): NegotiationViolation | undefined {
    for (const [key, value] of this.#sorted(pairs)) {
      const reason = this.#receivePair(key, value, stage)
      if (reason !== undefined) return { key, reason }
    }
    return undefined
  }

  /** Pairs to send, in order; each is handed out once. */
  takeOutgoing(): Pair[] {
    const outgoing = this.#outgoing
    this.#outgoing = []
    return outgoing
  }

  /**
   * The rules between keys, checked before the new values take effect (§6.2): FirstBurstLength may not exceed
   * MaxBurstLength (§13.14), and with an ErrorRecoveryLevel above 0 and data sequences in order, MaxOutstandingR2T is 1
   * (§13.19).
   */
  checkIntegrity(): NegotiationViolation | undefined {
    if (this.isDiscovery) return undefined
    const burstMatters = !this.boolean('InitialR2T') || this.boolean('ImmediateData')
    if (
      burstMatters &&
      this.has('FirstBurstLength') &&
      this.number('FirstBurstLength') > this.number('MaxBurstLength')
    ) {
      return { key: 'FirstBurstLength', reason: 'exceeds MaxBurstLength' }
    }
    if (
      this.number('ErrorRecoveryLevel') > 0 &&
      this.boolean('DataSequenceInOrder') &&
      this.number('MaxOutstandingR2T') > 1
    ) {
      return {
        key: 'MaxOutstandingR2T',
        reason: 'must be 1 with ErrorRecoveryLevel>0 and DataSequenceInOrder=Yes',
      }
    }
    return undefined
  }

  /** The negotiation succeeded: its values take effect. `reset` lets keys be used again (a new negotiation sequence). */
  commit(reset: boolean): void {
    for (const [name, value] of this.#open) {
      if (isDecided(name, value)) this.#agreed.set(name, value === 'Yes')
    }
    for (const [name, value] of this.#newlyAgreed) this.#agreed.set(name, value)
    for (const [name, value] of this.#newlyDeclared) this.#declared.set(name, value)
    this.#clearPending()
    if (reset) this.#used.clear()
  }

  /** The negotiation failed: everything stays as it was (§7.12). */
  rollback(): void {
    this.#clearPending()
    this.#used.clear()
    this.#outgoing = []
  }

  #clearPending(): void {
    this.#newlyAgreed.clear()
    this.#newlyDeclared.clear()
    this.#open.clear()
  }

  #value(name: KeyName): KeyValue {
    const spec: KeySpec = keys[name]
    return (
      this.#newlyAgreed.get(name) ??
      this.#newlyDeclared.get(name) ??
      this.#agreed.get(name) ??
      this.#declared.get(name) ??
      ('default' in spec ? spec.default : '')
    )
  }

  /** SessionType decides what is irrelevant, and some keys bound others: they are looked at first. */
  #sorted(pairs: readonly Pair[]): readonly Pair[] {
    const first = ([key]: Pair): number => (key === 'SessionType' ? 0 : decidesOthers.has(key) ? 1 : 2)
    return pairs.toSorted((a, b) => first(a) - first(b))
  }

  #cannotAccept(name: KeyName, spec: KeySpec): boolean {
    const preference = this.#preferences[name]
    if (preference === undefined || !('default' in spec)) return false
    switch (spec.type) {
      case 'numeric':
        return spec.result === 'minimum'
          ? (preference as number) < spec.default
          : spec.result === 'maximum' && (preference as number) > spec.default
      case 'boolean':
        return spec.result === 'or'
          ? preference === true && !spec.default
          : preference === false && spec.default
      case 'list':
        return !(preference as readonly string[]).includes(spec.default)
    }
  }

  #receivePair(key: string, value: string, stage: Stage): string | undefined {
    const spec = keySpec(key)
    if (value === 'NotUnderstood' && !spec) return undefined
    const proposed = this.#open.get(key)
    if (proposed !== undefined) return this.#receiveAnswer(key, value, proposed)
    if (reservedAnswers.has(value)) return `answered with ${value}, but was not proposed`
    if (!spec) return this.#once(key, () => this.#answer(key, 'NotUnderstood'))
    const misuse = this.#misuse(key, spec, stage)
    if (misuse) return misuse
    if (spec.repeatable) return this.#receiveText(key, value, spec as TextKey)
    return this.#once(key, () => {
      if (spec.irrelevantInDiscovery && this.isDiscovery) return this.#answer(key, 'Irrelevant')
      switch (spec.type) {
        case 'obsolete':
          return this.#answer(key, 'Reject')
        case 'text':
          return this.#receiveText(key, value, spec)
        case 'numeric':
          return spec.result ? this.#answerNumeric(key, value, spec) : this.#receiveNumeric(key, value, spec)
        case 'boolean':
          return this.#answerBoolean(key, value, spec)
        case 'list':
          return this.#answerList(key, value)
      }
    })
  }

  /** Redeclaring or renegotiating a key is an error (§6.3). */
  #once(key: string, handle: () => string | undefined): string | undefined {
    const mark = this.#isDeclarative(key) ? `peer ${key}` : key
    if (this.#used.has(mark)) return 'may be sent only once'
    this.#used.add(mark)
    return handle()
  }

  #isDeclarative(key: string): boolean {
    const spec = keySpec(key)
    return spec !== undefined && (spec.type === 'text' || (spec.type === 'numeric' && !spec.result))
  }

  #misuse(key: string, spec: KeySpec, stage: Stage): string | undefined {
    const sender = this.#role === 'target' ? 'initiator' : 'target'
    if (spec.senders !== 'both' && spec.senders !== sender) return `may not be sent by the ${sender}`
    if (stage === 'fullFeature') {
      if (RESPONSE_ONLY.has(spec.use)) return 'may be used only during login'
      return undefined
    }
    if (spec.use === 'FFPO') return 'may be used only in the full feature phase'
    if (spec.use === 'LO' && !this.#leading) return 'may be used only by the leading login of a session'
    if (stage === 'security' && !spec.securityStage && !spec.anyStage) {
      return 'may not be used in the SecurityNegotiation stage'
    }
    if (stage === 'operational' && spec.securityStage) {
      return 'may be used only in the SecurityNegotiation stage'
    }
    return undefined
  }

  #answer(key: string, value: string): undefined {
    this.#outgoing.push([key, value])
    return undefined
  }

  #receiveText(key: string, value: string, spec: TextKey): string | undefined {
    if (Buffer.byteLength(value) > spec.maxBytes) return `is longer than ${spec.maxBytes} bytes`
    if (spec.oneOf && !spec.oneOf.includes(value)) return `must be one of ${spec.oneOf.join(', ')}`
    this.#newlyDeclared.set(key, value)
    return undefined
  }

  #receiveNumeric(key: string, value: string, spec: NumericKey): string | undefined {
    const number = parseNumber(value, spec.minimum, spec.maximum)
    if (number === undefined) {
      return `must be a number from ${spec.minimum} to ${spec.maximum}`
    }
    this.#newlyDeclared.set(key, number)
    return undefined
  }

  #answerNumeric(key: string, value: string, spec: NumericKey): undefined {
    const offered = parseNumber(value, spec.minimum, spec.maximum)
    if (offered === undefined) return this.#answer(key, 'Reject')
    const wanted = (this.#preferences[key as KeyName] as number | undefined) ?? spec.default
    let selected = spec.result === 'minimum' ? Math.min(offered, wanted) : Math.max(offered, wanted)
    if (key === 'FirstBurstLength') selected = Math.min(selected, this.number('MaxBurstLength'))
    if (key === 'ErrorRecoveryLevel' && this.isDiscovery) selected = 0
    // §13.19: one outstanding R2T, where sequences are in order and may be recovered. What is settled first decides.
    if (key === 'ErrorRecoveryLevel' && this.number('MaxOutstandingR2T') > 1) selected = 0
    if (key === 'MaxOutstandingR2T' && this.number('ErrorRecoveryLevel') > 0) selected = 1
    this.#newlyAgreed.set(key, selected)
    return this.#answer(key, encode(selected))
  }

  #answerBoolean(key: string, value: string, spec: BooleanKey): undefined {
    if (value !== 'Yes' && value !== 'No') return this.#answer(key, 'Reject')
    const offered = value === 'Yes'
    const wanted = (this.#preferences[key as KeyName] as boolean | undefined) ?? spec.default
    const selected = spec.result === 'or' ? offered || wanted : offered && wanted
    this.#newlyAgreed.set(key, selected)
    return this.#answer(key, encode(selected))
  }

  #answerList(key: string, value: string): undefined {
    const supported = (this.#preferences[key as KeyName] as readonly string[] | undefined) ?? NONE
    const selected = value.split(',').find((item) => supported.includes(item))
    if (selected === undefined) return this.#answer(key, 'Reject')
    this.#newlyAgreed.set(key, selected)
    return this.#answer(key, selected)
  }

  /** An answer to our proposal: it must be admissible under the key's result function (§6.2.2). */
  #receiveAnswer(key: string, value: string, proposed: string): string | undefined {
    const spec = keySpec(key)
    this.#open.delete(key)
    if (value === 'NotUnderstood')
      return spec ? 'is in RFC 7143 and may not be answered with NotUnderstood' : undefined
    if (value === 'Reject' || value === 'Irrelevant' || !spec) return undefined
    switch (spec.type) {
      case 'numeric':
        return this.#acceptNumeric(key, value, Number(proposed), spec)
      case 'boolean':
        return this.#acceptBoolean(key, value, proposed === 'Yes', spec)
      case 'list':
        return this.#acceptList(key, value, proposed)
      default:
        return undefined
    }
  }

  #acceptNumeric(key: string, value: string, proposed: number, spec: NumericKey): string | undefined {
    const selected = parseNumber(value, spec.minimum, spec.maximum)
    const admissible =
      selected !== undefined && (spec.result === 'minimum' ? selected <= proposed : selected >= proposed)
    if (!admissible)
      return `was proposed as ${proposed} and answered with "${value}", which is not admissible`
    this.#newlyAgreed.set(key, selected)
    return undefined
  }

  #acceptBoolean(key: string, value: string, proposed: boolean, spec: BooleanKey): string | undefined {
    if (value !== 'Yes' && value !== 'No') return 'must be Yes or No'
    const selected = value === 'Yes'
    const decided = spec.result === 'or' ? proposed : !proposed
    if (decided && selected !== proposed) {
      return `was proposed as ${encode(proposed)} and may not become ${value}`
    }
    this.#newlyAgreed.set(key, selected)
    return undefined
  }

  #acceptList(key: string, value: string, proposed: string): string | undefined {
    if (!proposed.split(',').includes(value)) return `was answered with "${value}", which was not proposed`
    this.#newlyAgreed.set(key, value)
    return undefined
  }
}
