import { RESERVED_TAG } from '../../pdu/bhs.ts'
import { RejectReason } from '../../pdu/codes.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import type { TextRequest } from '../../pdu/text-pdu.ts'
import type { Negotiator, Pair } from '../negotiator.ts'
import { TextExchange } from '../text-exchange.ts'

/** A Text Response, or the reason of a Reject that ends the negotiation. */
export type TextStep =
  | {
      readonly kind: 'respond'
      readonly final: boolean
      readonly continue: boolean
      readonly targetTransferTag: number
      readonly data: Uint8Array
    }
  | { readonly kind: 'reject'; readonly reason: RejectReason; readonly explanation: string }

const EMPTY = new Uint8Array(0)

const reject = (reason: RejectReason, explanation: string): TextStep => ({
  kind: 'reject',
  reason,
  explanation,
})

/**
 * Text Requests in the full feature phase (RFC 7143 §6.4, §11.10): one negotiation sequence at a time for each
 * connection, bookmarked by the Target Transfer Tag of our last response. Values take effect when the sequence ends.
 */
export class TargetText {
  readonly #keys: Negotiator
  readonly #limitBytes: number
  readonly #takeTransferTag: () => number | undefined
  /** Answers SendTargets; undefined where the value is not allowed. */
  readonly #sendTargets: (value: string) => Pair[] | undefined
  #exchange: TextExchange | undefined
  #initiatorTaskTag = RESERVED_TAG
  #targetTransferTag = RESERVED_TAG

  constructor(
    keys: Negotiator,
    limitBytes: number,
    takeTransferTag: () => number | undefined,
    sendTargets: (value: string) => Pair[] | undefined,
  ) {
    this.#keys = keys
    this.#limitBytes = limitBytes
    this.#takeTransferTag = takeTransferTag
    this.#sendTargets = sendTargets
  }

  /** `segmentBytes`: most bytes that the initiator takes in one PDU. */
  request(header: TextRequest, pdu: ReceivedPdu, segmentBytes: number): TextStep {
    if (header.final && header.continue) {
      this.#reset()
      return reject(RejectReason.protocolError, 'the F and C bits are both set')
    }
    if (header.targetTransferTag === RESERVED_TAG) {
      this.#reset()
      this.#exchange = new TextExchange(this.#limitBytes)
      this.#initiatorTaskTag = header.initiatorTaskTag
    }
    const exchange = this.#exchange
    const isKnown =
      header.targetTransferTag === this.#targetTransferTag &&
      header.initiatorTaskTag === this.#initiatorTaskTag
    if (!exchange || !isKnown) {
      return reject(RejectReason.invalidPduField, 'the target transfer tag names no text negotiation')
    }
    const text = exchange.receive(pdu.data, header.continue)
    if (text.kind === 'error') return this.#fail(text.reason)
    if (text.kind === 'partial') return this.#respond(false, false, EMPTY)
    if (exchange.isSending) {
      if (text.pairs.length > 0) return this.#fail('text was sent before all of ours was taken (C bit)')
    } else {
      const wrong = this.#negotiate(text.pairs)
      if (wrong) return this.#fail(wrong)
      exchange.queue(this.#keys.takeOutgoing())
    }
    const data = exchange.take(segmentBytes)
    if (exchange.isSending) return this.#respond(false, true, data)
    if (!header.final || this.#keys.unanswered.length > 0) return this.#respond(false, false, data)
    const integrity = this.#keys.checkIntegrity()
    if (integrity) return this.#fail(`${integrity.key} ${integrity.reason}`)
    this.#keys.commit(true)
    this.#exchange = undefined
    this.#targetTransferTag = RESERVED_TAG
    return this.#respond(true, false, data)
  }

  #negotiate(pairs: readonly Pair[]): string | undefined {
    const wrong = this.#keys.receive(pairs, 'fullFeature')
    if (wrong) return `${wrong.key} ${wrong.reason}`
    const sendTargets = pairs.find(([key]) => key === 'SendTargets')
    if (sendTargets) {
      const answer = this.#sendTargets(sendTargets[1])
      this.#exchange?.queue(answer ?? [['SendTargets', 'Reject']])
    }
    return undefined
  }

  #respond(final: boolean, isContinued: boolean, data: Uint8Array): TextStep {
    if (!final && this.#targetTransferTag === RESERVED_TAG) {
      const tag = this.#takeTransferTag()
      if (tag === undefined) {
        this.#reset()
        return reject(RejectReason.longOperationReject, 'too much that is not read for a longer negotiation')
      }
      this.#targetTransferTag = tag
    }
    return {
      kind: 'respond',
      final,
      continue: isContinued,
      targetTransferTag: final ? RESERVED_TAG : this.#targetTransferTag,
      data,
    }
  }

  #fail(explanation: string): TextStep {
    this.#reset()
    return reject(RejectReason.protocolError, explanation)
  }

  #reset(): void {
    this.#keys.rollback()
    this.#exchange = undefined
    this.#initiatorTaskTag = RESERVED_TAG
    this.#targetTransferTag = RESERVED_TAG
  }
}
