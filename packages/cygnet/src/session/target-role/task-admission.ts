import type { IscsiTask } from './iscsi-task.ts'
import type { TargetLimits } from '../limits.ts'
import type { MemoryBudget } from './memory-budget.ts'
import { RetainedData } from './retained-data.ts'

/**
 * Lets the tasks of a session go to their logical units, in order, when there is memory for their whole transfers: of
 * the session's own, and of what all sessions share. What is kept in case that it is asked for again makes room for what
 * is asked for now.
 */
export class TaskAdmission {
  readonly #limitBytes: number
  readonly #budget: MemoryBudget
  readonly #retained: RetainedData
  readonly #submit: (task: IscsiTask) => void
  readonly #retry = (): void => this.submitWaiting()
  readonly #giveUp = (): boolean => this.#retained.dropOldest()
  /** Delivered, and waiting for memory. */
  #waiting: IscsiTask[] = []
  #reservedBytes = 0
  /** Memory that becomes free meanwhile is looked at anyway. */
  #isSubmitting = false

  constructor(limits: TargetLimits, budget: MemoryBudget, submit: (task: IscsiTask) => void) {
    this.#limitBytes = limits.sessionBufferBytes
    this.#budget = budget
    this.#submit = submit
    this.#retained = new RetainedData(limits.retainedDataBytes, (task) => this.#free(task, 0))
  }

  /** Its turn has come. */
  enter(task: IscsiTask): void {
    this.#waiting.push(task)
    this.submitWaiting()
  }

  /** It does not wait any more. */
  withdraw(task: IscsiTask): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting !== task)
  }

  submitWaiting(): void {
    if (this.#isSubmitting) return
    this.#isSubmitting = true
    for (let task = this.#waiting[0]; task && this.#reserve(task); task = this.#waiting[0]) {
      this.#waiting.shift()
      this.#submit(task)
    }
    this.#isSubmitting = false
  }

  #reserve(task: IscsiTask): boolean {
    const bytes = Math.min(task.dataInLimitBytes + task.dataOutLimitBytes, this.#limitBytes)
    while (!this.#hasRoomFor(bytes) && this.#retained.dropOldest());
    if (this.#reservedBytes + bytes > this.#limitBytes) return false
    if (this.#reservedBytes === 0) this.#budget.reserve(bytes)
    else if (!this.#budget.tryReserve(bytes, this.#retry)) return false
    this.#reservedBytes += bytes
    task.reservedBytes = bytes
    return true
  }

  #hasRoomFor(bytes: number): boolean {
    return this.#reservedBytes + bytes <= this.#limitBytes && this.#budget.hasRoomFor(bytes)
  }

  /** The task has been answered: its data is kept, but may be dropped where others need the memory. */
  retain(task: IscsiTask): void {
    if (task.reservedBytes > 0) {
      this.#retained.add(task)
      this.#budget.offer(this.#giveUp)
    }
    this.submitWaiting()
  }

  /** Its data is needed. */
  unretain(task: IscsiTask): void {
    this.#retained.remove(task)
    if (this.#retained.isEmpty) this.#budget.withdrawOffer(this.#giveUp)
  }

  /** Gives back what the task has reserved beyond `bytes`. */
  release(task: IscsiTask, bytes: number): void {
    if (bytes === 0) this.unretain(task)
    this.#free(task, bytes)
  }

  #free(task: IscsiTask, bytes: number): void {
    if (this.#retained.isEmpty) this.#budget.withdrawOffer(this.#giveUp)
    const released = task.reservedBytes - bytes
    if (released <= 0) return
    task.reservedBytes = bytes
    this.#reservedBytes -= released
    this.#budget.release(released)
  }

  /** Nothing more is submitted. */
  close(): void {
    this.#waiting = []
    this.#budget.forget(this.#retry)
  }
}
