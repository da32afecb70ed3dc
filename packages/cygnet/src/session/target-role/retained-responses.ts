import { serialAdd, serialDistance } from '../../base/serial32.ts'
import type { Response } from '../transmit.ts'

/**
 * The responses of one connection that its initiator has not acknowledged by ExpStatSN (RFC 7143 §4.2.2.2), at
 * ErrorRecoveryLevel 1 and 2. Each StatSN has one, so they are a run of numbers. Beyond its limits the oldest is
 * forgotten: a SNACK for it is rejected.
 */
export class RetainedResponses {
  readonly #limitCount: number
  readonly #limitBytes: number
  #responses: Response[] = []
  /** Index in `#responses` of the oldest. */
  #head = 0
  /** StatSN of the oldest. */
  #first: number
  #heldBytes = 0

  /** `statSN`: the first that will be added. */
  constructor(statSN: number, limitCount: number, limitBytes: number) {
    this.#first = statSN
    this.#limitCount = limitCount
    this.#limitBytes = limitBytes
  }

  get count(): number {
    return this.#responses.length - this.#head
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /** StatSN of the oldest that is kept; of the next that will be, where there is none. */
  get first(): number {
    return this.#first
  }

  /** The response with the StatSN after the newest one. */
  add(response: Response): void {
    this.#responses.push(response)
    this.#heldBytes += response.heldBytes
    while (this.count > this.#limitCount || (this.#heldBytes > this.#limitBytes && this.count > 1)) {
      this.#forgetFirst()
    }
  }

  get(statSN: number): Response | undefined {
    const distance = serialDistance(this.#first, statSN)
    return distance < 0 ? undefined : this.#responses[this.#head + distance]
  }

  /** The initiator has everything before `expStatSN`. */
  acknowledge(expStatSN: number): void {
    while (this.count > 0 && serialDistance(this.#first, expStatSN) > 0) this.#forgetFirst()
  }

  #forgetFirst(): void {
    const response = this.#responses[this.#head] as Response
    this.#head++
    this.#first = serialAdd(this.#first, 1)
    this.#heldBytes -= response.heldBytes
    if (this.#head > 256 && this.#head * 2 > this.#responses.length) {
      this.#responses = this.#responses.slice(this.#head)
      this.#head = 0
    }
    response.forget()
  }
}
