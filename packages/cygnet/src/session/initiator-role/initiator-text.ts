import { RESERVED_TAG } from '../../pdu/bhs.ts'
import type { ReceivedPdu } from '../../pdu/received-pdu.ts'
import type { TextResponse } from '../../pdu/text-pdu.ts'
import type { Pair } from '../negotiator.ts'
import { TextExchange } from '../text-exchange.ts'

/** A Text Request to send. */
export interface TextRequestStep {
  readonly kind: 'request'
  readonly final: boolean
  readonly continue: boolean
  readonly targetTransferTag: number
  readonly data: Uint8Array
}

export type InitiatorTextStep =
  | TextRequestStep
  /** The answer is complete. */
  | { readonly kind: 'complete'; readonly pairs: readonly Pair[] }
  | { readonly kind: 'error'; readonly reason: string }

const EMPTY = new Uint8Array(0)

const error = (reason: string): InitiatorTextStep => ({ kind: 'error', reason })

/**
 * One sequence of Text Requests and Responses at the initiator (RFC 7143 §6.4, §11.10): all that we have to say, then
 * empty requests until the target has said all of its answer, each with the tag that says "go on".
 */
export class InitiatorText {
  readonly #exchange: TextExchange
  #targetTransferTag = RESERVED_TAG
  #request: TextRequestStep | undefined

  /** `limitBytes`: most bytes that the answer may have. */
  constructor(pairs: readonly Pair[], limitBytes: number) {
    this.#exchange = new TextExchange(limitBytes)
    this.#exchange.queue(pairs)
  }

  /** `segmentBytes`: most bytes that the target takes in one PDU. */
  next(segmentBytes: number): TextRequestStep {
    const data = this.#exchange.isReceiving ? EMPTY : this.#exchange.take(segmentBytes)
    const isContinued = this.#exchange.isSending
    this.#request = {
      kind: 'request',
      final: !isContinued,
      continue: isContinued,
      targetTransferTag: this.#targetTransferTag,
      data,
    }
    return this.#request
  }

  response(header: TextResponse, pdu: Pick<ReceivedPdu, 'data'>, segmentBytes: number): InitiatorTextStep {
    if (header.final && header.continue) return error('the F and C bits of a Text Response are both set')
    if (header.final && !this.#request?.final) return error('the answer ended before our text did (F bit)')
    if (!header.final && header.targetTransferTag === RESERVED_TAG)
      return error('a Text Response says that more follows, without a target transfer tag')
    if (this.#request?.continue && (header.continue || header.dataSegmentLength > 0))
      return error('a part of our text (C bit) was answered with text')
    this.#targetTransferTag = header.targetTransferTag
    // The answer is looked at when it is whole: tgt cuts pairs in two without the C bit, as the example of a long
    // answer in §11.10.4 can be read.
    const text = this.#exchange.receive(pdu.data, !header.final)
    if (text.kind === 'error') return error(text.reason)
    return text.kind === 'complete' ? { kind: 'complete', pairs: text.pairs } : this.next(segmentBytes)
  }
}
